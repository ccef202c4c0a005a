package metric

// Type is a metric family's type. The numbers are those of
// io.prometheus.client.MetricType, so they are encoded as they are.
type Type uint8

const (
	Counter Type = iota
	Gauge
	Summary
	Untyped
	Histogram
	GaugeHistogram
)

// String returns the type's name for people. All but "gauge histogram" are those of
// the text format.
func (t Type) String() string {
	switch t {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	case Summary:
		return "summary"
	case Untyped:
		return "untyped"
	case Histogram:
		return "histogram"
	case GaugeHistogram:
		return "gauge histogram"
	}
	return "unknown"
}

// Known reports whether t is one of the types above.
func (t Type) Known() bool { return t <= GaugeHistogram }

// Scalar reports whether metrics of the type have a single value.
func (t Type) Scalar() bool { return t == Counter || t == Gauge || t == Untyped }

// HasBuckets reports whether metrics of the type have a HistogramValue.
func (t Type) HasBuckets() bool { return t == Histogram || t == GaugeHistogram }

// Family is a metric family as it was pushed: metrics of one name and type.
type Family struct {
	Name string
	Help string // may be empty
	Unit string // of OpenMetrics; may be empty
	Type Type
	// Merge is how a push with MergeEach merges the family: MergeFamily, MergeSeries or
	// MergeSum.
	Merge   Merge
	Metrics []Metric
}

// Metric is one label set of a family with its value. The family's type says which
// field holds the value; the others are zero.
type Metric struct {
	Labels []Label

	// Value is that of a counter, gauge or untyped metric. HasValue is false if
	// protobuf carried, say, a gauge's value in a family of counters.
	Value    float64
	HasValue bool

	Exemplar  *Exemplar // of a counter; may be nil
	Created   Timestamp // of a counter, summary or histogram
	Summary   *SummaryValue
	Histogram *HistogramValue

	TimestampMs  int64 // milliseconds since 1970, if HasTimestamp
	HasTimestamp bool
}

// Timestamp is a time with the resolution of google.protobuf.Timestamp. The zero
// value means that none was given.
type Timestamp struct {
	Seconds int64 // since 1970
	Nanos   int32
	Set     bool
}

// Exemplar is a single observation, with labels such as a trace ID.
type Exemplar struct {
	Labels    []Label
	Value     float64
	Timestamp Timestamp
}

// SummaryValue is the value of a summary.
type SummaryValue struct {
	Count     uint64
	Sum       float64
	Quantiles []Quantile
}

// Quantile is one φ-quantile (0 ≤ φ ≤ 1) of a summary and its value.
type Quantile struct{ Quantile, Value float64 }

// HistogramValue is the value of a histogram: classic buckets, a native
// histogram, or both. A count of type float64 overrides the integer beside it
// unless it is 0.
type HistogramValue struct {
	Count      uint64
	CountFloat float64
	Sum        float64
	Buckets    []Bucket // classic, as pushed; the one for +Inf may be missing

	Schema         int32
	ZeroThreshold  float64
	ZeroCount      uint64
	ZeroCountFloat float64
	Positive       NativeBuckets
	Negative       NativeBuckets
	Exemplars      []Exemplar // of the native histogram
}

// Bucket is a classic bucket: the number of observations up to UpperBound.
type Bucket struct {
	UpperBound           float64
	CumulativeCount      uint64
	CumulativeCountFloat float64
	Exemplar             *Exemplar
}

// NativeBuckets is one side of a native histogram. Integer histograms use Deltas,
// the differences between neighboring buckets; float histograms use Counts.
type NativeBuckets struct {
	Spans  []Span
	Deltas []int64
	Counts []float64
}

// Span is a run of Length neighboring native buckets. Offset is its distance to the
// run before it, or to bucket 0.
type Span struct {
	Offset int32
	Length uint32
}

// Native reports whether h is a native histogram, by the same fields as Prometheus.
func (h *HistogramValue) Native() bool {
	return len(h.Positive.Spans) > 0 || len(h.Negative.Spans) > 0 ||
		h.ZeroThreshold > 0 || h.ZeroCount > 0 || h.ZeroCountFloat > 0
}

// Float reports whether h counts in floats rather than integers, by the same fields as
// Prometheus.
func (h *HistogramValue) Float() bool { return h.CountFloat > 0 || h.ZeroCountFloat > 0 }

// Observations returns the count of h as the text format shows it.
func (h *HistogramValue) Observations() float64 {
	if h.CountFloat != 0 {
		return h.CountFloat
	}
	return float64(h.Count)
}

// Observations returns the cumulative count of b as the text format shows it.
func (b *Bucket) Observations() float64 {
	if b.CumulativeCountFloat != 0 {
		return b.CumulativeCountFloat
	}
	return float64(b.CumulativeCount)
}
