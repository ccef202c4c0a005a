package metric

import (
	"cmp"
	"math"
	"slices"
)

// maxExemplars is how many exemplars of a native histogram a sum keeps.
const maxExemplars = 10

// CheckSummable prepares f, which is normalized, for being added up, also when its
// group holds nothing of it yet: summaries lose their quantiles, since those of two
// processes tell nothing of both together, and classic buckets are sorted by their
// bounds. It rejects types, and values of counters and histograms, that cannot be
// added up.
//
// A rejection leaves f in an undefined state. Cost: O(n) in the values of f, apart
// from sorting buckets that are not sorted.
func (f *Family) CheckSummable(gauges GaugeMerge) error {
	switch f.Type {
	case Untyped:
		return Reject(BadMerge,
			"metric family %q is untyped, so nobody knows how to add it up: give it a TYPE line that says counter, gauge, histogram or summary", f.Name)
	case GaugeHistogram:
		if gauges == GaugeMin || gauges == GaugeMax {
			return Reject(BadMerge,
				"metric family %q is of type gauge histogram, of which there is no least or greatest: push it with gauges=sum or gauges=last", f.Name)
		}
	}
	for i := range f.Metrics {
		m := &f.Metrics[i]
		switch f.Type {
		case Counter:
			if !(m.Value >= 0) {
				return Reject(BadValue,
					"the counter %s is %v and cannot be added up: push how much the process counted, which is at least 0, or make it a gauge", f.series(m), m.Value)
			}
		case Summary:
			m.Summary.Quantiles = nil
		case Histogram, GaugeHistogram:
			if !f.adds(gauges) {
				continue
			}
			slices.SortFunc(m.Histogram.Buckets, compareBounds)
			if problem, advice := m.Histogram.unfit(); problem != "" {
				return Reject(BadValue, "the %s %s cannot be added up: %s; %s", f.Type, f.series(m), problem, advice)
			}
		}
	}
	return nil
}

// AddMetrics returns what a group holds once f, which passed CheckSummable, is added
// to the metrics of its name and type that the group holds so far. Both sides are
// sorted by CompareLabels and have no label set twice, and so has the result. Series
// that only one side has stay as they are.
//
//   - Counters add up, and so do count and sum of summaries; quantiles go.
//   - Histograms add up bucket by bucket, and only with their like: native and
//     classic do not mix. Classic buckets may have other bounds than those of the
//     group: the sum has the bounds of both, and an observation counts from the bound
//     on under which it was pushed. Native ones add up as FloatHistogram.Add of
//     github.com/prometheus/prometheus/model/histogram has it: with the lower of
//     both resolutions and a zero bucket that holds both. Counts stay integers where
//     both sides have integers.
//   - Gauges and gauge histograms become what gauges says.
//   - The newest exemplar stays, of native histograms the ten newest; the pushed one
//     is taken for newer where one has no timestamp. The earliest created timestamp
//     stays.
//
// But for rounding, gauges=last and exemplars of the same time or of none, the sum
// depends neither on the order of pushes nor on how they are grouped. There is one
// exception, as in Prometheus: where native histograms differ in zero threshold as
// well as in resolution, the order shows in the zero threshold and the buckets beside
// it. Count and sum of the observations are right in any case.
//
// A *RejectionError says that the sides do not go together, that a count leaves its
// range, or that what the group holds could not have passed CheckSummable. Its Fix is
// DeleteGroup; the caller knows the group.
//
// Neither side is modified, and the result shares memory with both. Cost: O(n) in
// the values of both sides; one allocation, and of what both sides have one more for
// each summary, two for each classic histogram and about ten for each native one.
func AddMetrics(f *Family, held []Metric, gauges GaugeMerge) ([]Metric, error) {
	pushed := f.Metrics
	sums := make([]Metric, 0, max(len(held), len(pushed)))
	for len(held) > 0 && len(pushed) > 0 {
		switch c := CompareLabels(held[0].Labels, pushed[0].Labels); {
		case c < 0:
			sums, held = append(sums, held[0]), held[1:]
		case c > 0:
			sums, pushed = append(sums, pushed[0]), pushed[1:]
		default:
			sum, err := f.add(&held[0], &pushed[0], gauges)
			if err != nil {
				return nil, err
			}
			sums, held, pushed = append(sums, sum), held[1:], pushed[1:]
		}
	}
	return append(append(sums, held...), pushed...), nil
}

// add returns the sum of a metric that the group holds and the one pushed with the
// same labels.
func (f *Family) add(held, pushed *Metric, gauges GaugeMerge) (Metric, error) {
	sum := *pushed
	sum.Created = earliest(held.Created, pushed.Created)
	switch f.Type {
	case Counter:
		if !(held.Value >= 0) {
			return sum, Reject(BadMerge, "the group holds the counter %s with the value %v, to which nothing can be added", f.series(held), held.Value).
				With(DeleteGroup)
		}
		sum.Value += held.Value
		sum.Exemplar = newer(held.Exemplar, pushed.Exemplar)
	case Gauge:
		sum.Value = addGauge(held.Value, pushed.Value, gauges)
	case Summary:
		count, ok := addCounts(held.Summary.Count, pushed.Summary.Count)
		if !ok {
			return sum, f.tooLarge(pushed)
		}
		sum.Summary = &SummaryValue{Count: count, Sum: held.Summary.Sum + pushed.Summary.Sum}
	case Histogram, GaugeHistogram:
		if !f.adds(gauges) {
			break
		}
		var err error
		if sum.Histogram, err = f.addHistogram(held, pushed); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// adds reports whether the values of f, which has buckets, add up rather than replace
// each other.
func (f *Family) adds(gauges GaugeMerge) bool { return f.Type == Histogram || gauges == GaugeSum }

// series names a metric of f for a message.
func (f *Family) series(m *Metric) string { return f.Name + FormatLabels(m.Labels) }

func (f *Family) tooLarge(m *Metric) *RejectionError {
	return Reject(BadMerge, "the %s %s cannot be added up: together with what the group holds it has more observations than can be counted",
		f.Type, f.series(m)).With(DeleteGroup)
}

func addGauge(held, pushed float64, gauges GaugeMerge) float64 {
	switch {
	case gauges == GaugeSum:
		return held + pushed
	case gauges != GaugeMin && gauges != GaugeMax, math.IsNaN(held):
		return pushed
	case math.IsNaN(pushed):
		return held
	case gauges == GaugeMin:
		return min(held, pushed)
	}
	return max(held, pushed)
}

// addCounts returns a+b, and whether it is in range.
func addCounts(a, b uint64) (uint64, bool) { return a + b, a+b >= a }

// newer returns the exemplar to keep; either may be nil.
func newer(held, pushed *Exemplar) *Exemplar {
	if pushed == nil || held != nil && pushed.Timestamp.Set && held.Timestamp.compare(pushed.Timestamp) > 0 {
		return held
	}
	return pushed
}

// newest returns the exemplars to keep of a native histogram, the newest last.
func newest(held, pushed []Exemplar) []Exemplar {
	all := slices.Concat(held, pushed)
	slices.SortStableFunc(all, func(a, b Exemplar) int { return a.Timestamp.compare(b.Timestamp) })
	return all[max(0, len(all)-maxExemplars):]
}

func earliest(a, b Timestamp) Timestamp {
	if !a.Set || b.Set && b.compare(a) < 0 {
		return b
	}
	return a
}

// compare orders timestamps by time, behind those that are not set.
func (t Timestamp) compare(other Timestamp) int {
	switch {
	case t.Set != other.Set && t.Set:
		return +1
	case t.Set != other.Set:
		return -1
	}
	return cmp.Or(cmp.Compare(t.Seconds, other.Seconds), cmp.Compare(t.Nanos, other.Nanos))
}
