package wire

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pushgateway/internal/metric"
)

// OpenMetricsPart is a part of the samples of a family. A family that OpenMetrics cannot
// represent with its type is exposed in parts of type unknown, one for each of its sample
// names.
type OpenMetricsPart uint8

const (
	Whole   OpenMetricsPart = iota // with the family's type
	Values                         // samples with the family's own name
	Buckets                        // those ending in _bucket
	Counts                         // those ending in _count
	Sums                           // those ending in _sum
)

// Suffix returns what the part's sample names have after the family's name.
func (p OpenMetricsPart) Suffix() string {
	return [...]string{"", "", "_bucket", "_count", "_sum"}[p]
}

// OpenMetricsParts returns the parts of a family of the type.
func OpenMetricsParts(typ metric.Type) []OpenMetricsPart {
	switch typ {
	case metric.Summary:
		return []OpenMetricsPart{Values, Counts, Sums}
	case metric.Histogram, metric.GaugeHistogram:
		return []OpenMetricsPart{Buckets, Counts, Sums}
	}
	return []OpenMetricsPart{Values}
}

// OpenMetricsName returns the name that a family of the type has in the lines that describe
// it: the name of a counter is that of its samples without _total.
func OpenMetricsName(name string, typ metric.Type) string {
	if typ == metric.Counter {
		return strings.TrimSuffix(name, "_total")
	}
	return name
}

// FitsOpenMetrics reports whether OpenMetrics 1.0 can represent the metrics with the
// family's type, by all rules that readers check. Names are not checked.
func FitsOpenMetrics(typ metric.Type, metrics []metric.Metric) bool {
	if typ == metric.GaugeHistogram {
		return false // its samples have other names than in the text format
	}
	for i := range metrics {
		m := &metrics[i]
		switch typ {
		case metric.Counter:
			if !(m.Value >= 0) {
				return false
			}
		case metric.Summary:
			if !summaryFits(m.Summary) {
				return false
			}
		case metric.Histogram:
			if !histogramFits(m.Histogram) {
				return false
			}
		}
	}
	return true
}

func summaryFits(s *metric.SummaryValue) bool {
	for _, q := range s.Quantiles {
		if !(q.Quantile >= 0 && q.Quantile <= 1) || q.Value < 0 {
			return false
		}
	}
	return s.Sum >= 0
}

func histogramFits(h *metric.HistogramValue) bool {
	if h.CountFloat != 0 || !(h.Sum >= 0) {
		return false
	}
	lower, count := math.Inf(-1), uint64(0)
	for i := range h.Buckets {
		b := &h.Buckets[i]
		ordered := b.UpperBound > lower || i == 0
		if b.CumulativeCountFloat != 0 || !(b.UpperBound >= 0) || !ordered || b.CumulativeCount < count || b.CumulativeCount > h.Count {
			return false
		}
		if math.IsInf(b.UpperBound, 1) && b.CumulativeCount != h.Count {
			return false
		}
		lower, count = b.UpperBound, b.CumulativeCount
	}
	return true
}

// AppendOpenMetricsHeader appends the lines that describe a family or, with type unknown,
// a part of one. A unit is left out unless it is the suffix of the name, as the format
// demands.
func AppendOpenMetricsHeader(dst []byte, name, help, unit string, typ metric.Type, part OpenMetricsPart) []byte {
	kind := "unknown"
	if part != Whole {
		typ = metric.Untyped
		name += part.Suffix()
	}
	switch typ {
	case metric.Gauge, metric.Summary, metric.Histogram:
		kind = typ.String()
	case metric.Counter:
		kind = "counter"
		name = OpenMetricsName(name, typ)
	}
	line := func(keyword string) {
		dst = append(dst, keyword...)
		dst = appendName(dst, name)
		dst = append(dst, ' ')
	}
	if help != "" {
		line("# HELP ")
		dst = append(appendEscaped(dst, help, true), '\n')
	}
	line("# TYPE ")
	dst = append(append(dst, kind...), '\n')
	if unit != "" && strings.HasSuffix(name, "_"+unit) {
		line("# UNIT ")
		dst = append(appendEscaped(dst, unit, true), '\n')
	}
	return dst
}

// AppendOpenMetrics appends samples of f in OpenMetrics 1.0: those of the part. Whole means
// all of them; the metrics must then fit (FitsOpenMetrics).
func AppendOpenMetrics(dst []byte, f *metric.Family, part OpenMetricsPart) []byte {
	plain := metric.LegacyMetricName(f.Name)
	var scratch [256]byte
	for i := range f.Metrics {
		m := &f.Metrics[i]
		w := openMetricsWriter{sample: sample{name: f.Name, plain: plain, labels: appendLabels(scratch[:0], m.Labels)}, part: part}
		switch f.Type {
		case metric.Summary:
			dst = w.summary(dst, m.Summary)
			dst = w.created(dst, f.Name, m.Created)
		case metric.Histogram, metric.GaugeHistogram:
			dst = w.histogram(dst, m.Histogram)
			dst = w.created(dst, f.Name, m.Created)
		default:
			dst = w.sample.append(dst)
			dst = appendOpenMetricsFloat(dst, m.Value)
			if part == Whole && f.Type == metric.Counter {
				dst = appendOpenMetricsExemplar(dst, m.Exemplar)
				dst = append(dst, '\n')
				dst = w.created(dst, OpenMetricsName(f.Name, f.Type), m.Created)
				continue
			}
			dst = append(dst, '\n')
		}
	}
	return dst
}

// openMetricsWriter writes the samples of one metric, or a part of them.
type openMetricsWriter struct {
	sample
	part OpenMetricsPart
}

func (w *openMetricsWriter) wants(part OpenMetricsPart) bool {
	return w.part == Whole || w.part == part
}

func (w *openMetricsWriter) summary(dst []byte, s *metric.SummaryValue) []byte {
	if w.wants(Values) {
		for _, q := range s.Quantiles {
			dst = w.start(dst, "", metric.QuantileLabel, q.Quantile)
			dst = append(appendOpenMetricsFloat(dst, q.Value), '\n')
		}
	}
	dst = w.sum(dst, s.Sum)
	return w.count(dst, s.Count, 0)
}

func (w *openMetricsWriter) histogram(dst []byte, h *metric.HistogramValue) []byte {
	if w.wants(Buckets) {
		infinite := false
		for i := range h.Buckets {
			b := &h.Buckets[i]
			dst = w.start(dst, "_bucket", metric.BucketLabel, b.UpperBound)
			dst = w.appendCount(dst, b.CumulativeCount, b.CumulativeCountFloat)
			if w.part == Whole {
				dst = appendOpenMetricsExemplar(dst, b.Exemplar)
			}
			dst = append(dst, '\n')
			infinite = infinite || math.IsInf(b.UpperBound, 1)
		}
		if !infinite {
			dst = w.start(dst, "_bucket", metric.BucketLabel, math.Inf(1))
			dst = append(w.appendCount(dst, h.Count, h.CountFloat), '\n')
		}
	}
	dst = w.sum(dst, h.Sum)
	return w.count(dst, h.Count, h.CountFloat)
}

func (w *openMetricsWriter) sum(dst []byte, sum float64) []byte {
	if !w.wants(Sums) {
		return dst
	}
	dst = w.suffixed("_sum").append(dst)
	return append(appendOpenMetricsFloat(dst, sum), '\n')
}

func (w *openMetricsWriter) count(dst []byte, n uint64, f float64) []byte {
	if !w.wants(Counts) {
		return dst
	}
	dst = w.suffixed("_count").append(dst)
	return append(w.appendCount(dst, n, f), '\n')
}

// appendCount appends an integer with the type, and a number as for any sample without.
func (w *openMetricsWriter) appendCount(dst []byte, n uint64, f float64) []byte {
	if w.part == Whole {
		return strconv.AppendUint(dst, n, 10)
	}
	if f == 0 {
		f = float64(n)
	}
	return appendOpenMetricsFloat(dst, f)
}

func (w *openMetricsWriter) created(dst []byte, base string, at metric.Timestamp) []byte {
	if !at.Set || w.part != Whole {
		return dst
	}
	s := w.sample
	s.name, s.suffix = base, "_created"
	return append(appendSeconds(s.append(dst), at), '\n')
}

// start appends what comes before the value of a sample with a bound.
func (w *openMetricsWriter) start(dst []byte, suffix, label string, bound float64) []byte {
	s := w.bounded(suffix, label, bound)
	s.floatBound = true
	return s.append(dst)
}

// maxExemplarLabels is the maximum length of all names and values of an exemplar's labels,
// in characters.
const maxExemplarLabels = 128

// appendOpenMetricsExemplar appends an exemplar unless the format cannot hold it.
func appendOpenMetricsExemplar(dst []byte, e *metric.Exemplar) []byte {
	if e == nil || len(e.Labels) == 0 {
		return dst
	}
	length := 0
	for _, l := range e.Labels {
		length += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value)
	}
	if length > maxExemplarLabels {
		return dst
	}
	dst = append(dst, " # {"...)
	dst = appendLabels(dst, e.Labels)
	dst = append(dst, "} "...)
	dst = appendOpenMetricsFloat(dst, e.Value)
	if e.Timestamp.Set {
		dst = appendSeconds(append(dst, ' '), e.Timestamp)
	}
	return dst
}

// appendSeconds appends a time as Unix seconds.
func appendSeconds(dst []byte, t metric.Timestamp) []byte {
	seconds := float64(time.Unix(t.Seconds, int64(t.Nanos)).UnixNano()) / 1e9
	return appendOpenMetricsFloat(dst, seconds)
}

// appendOpenMetricsFloat appends v in its shortest form with a point or an exponent.
func appendOpenMetricsFloat(dst []byte, v float64) []byte {
	start := len(dst)
	dst = appendFloat(dst, v)
	for _, c := range dst[start:] {
		switch c {
		case '.', 'e', 'N', 'I':
			return dst
		}
	}
	return append(dst, ".0"...)
}
