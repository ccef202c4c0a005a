package webui

import (
	"math"
	"slices"
)

// estimate is a quantile of a histogram's observations, estimated from its buckets.
type estimate struct {
	Name  string
	Value string
	Exact string
}

// estimates returns the median and two high quantiles; none if there are no observations.
func estimates(buckets []bucket, exponential bool) []estimate {
	var all []estimate
	for _, q := range []struct {
		name string
		q    float64
	}{{"median", 0.5}, {"p90", 0.9}, {"p99", 0.99}} {
		v, beyond := quantile(q.q, buckets, exponential)
		if math.IsNaN(v) {
			return nil
		}
		sign := "≈ "
		if beyond {
			sign = "> "
		}
		all = append(all, estimate{q.name, sign + formatShort(v), formatValue(v)})
	}
	return all
}

// quantile estimates a quantile as histogram_quantile of PromQL does: observations are spread
// evenly within a bucket, on a logarithmic scale if the bucket is exponential and does not contain
// 0. It returns NaN if there are no observations. beyond reports whether the quantile lies in the
// last bucket and that has no upper bound; v is then its lower bound.
func quantile(q float64, buckets []bucket, exponential bool) (v float64, beyond bool) {
	total := 0.0
	for _, b := range buckets {
		total += b.count
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return math.NaN(), false
	}
	rank := q * total
	i := slices.IndexFunc(buckets, func(b bucket) bool {
		if rank <= b.count {
			return true
		}
		rank -= b.count
		return false
	})
	if i < 0 { // by rounding
		i = len(buckets) - 1
		rank = buckets[i].count
	}
	b := buckets[i]
	switch {
	case math.IsInf(b.upper, 1) && math.IsInf(b.lower, -1):
		return math.NaN(), false
	case math.IsInf(b.upper, 1):
		return b.lower, true
	case math.IsInf(b.lower, -1) && b.upper <= 0:
		return b.upper, false
	case math.IsInf(b.lower, -1), b.lower < 0 && b.upper > 0 && i == 0:
		b.lower = 0
	case b.lower < 0 && b.upper > 0 && i == len(buckets)-1:
		b.upper = 0
	}
	part := rank / b.count
	switch {
	case exponential && b.lower > 0:
		return b.lower * math.Pow(b.upper/b.lower, part), false
	case exponential && b.upper < 0:
		return b.upper * math.Pow(b.lower/b.upper, 1-part), false
	}
	return b.lower + (b.upper-b.lower)*part, false
}
