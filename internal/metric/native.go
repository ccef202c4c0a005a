package metric

import (
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
)

// validateNative checks the native histogram in h as Prometheus does when it scrapes
// one. A single invalid histogram would fail the whole scrape.
func (h *HistogramValue) validateNative() error {
	if h.Float() {
		return h.NativeFloat().Validate()
	}
	return h.NativeInteger().Validate()
}

// NativeInteger returns the native histogram in h, which counts in integers, as
// Prometheus' own type. The result shares slices with h.
func (h *HistogramValue) NativeInteger() *histogram.Histogram {
	return &histogram.Histogram{
		Count:           h.Count,
		Sum:             h.Sum,
		Schema:          h.Schema,
		ZeroThreshold:   h.ZeroThreshold,
		ZeroCount:       h.ZeroCount,
		PositiveSpans:   nativeSpans(h.Positive.Spans),
		PositiveBuckets: h.Positive.Deltas,
		NegativeSpans:   nativeSpans(h.Negative.Spans),
		NegativeBuckets: h.Negative.Deltas,
	}
}

// NativeFloat returns the native histogram in h, which counts in floats, as
// Prometheus' own type. The result shares slices with h.
func (h *HistogramValue) NativeFloat() *histogram.FloatHistogram {
	return &histogram.FloatHistogram{
		Count:           h.CountFloat,
		Sum:             h.Sum,
		Schema:          h.Schema,
		ZeroThreshold:   h.ZeroThreshold,
		ZeroCount:       h.ZeroCountFloat,
		PositiveSpans:   nativeSpans(h.Positive.Spans),
		PositiveBuckets: h.Positive.Counts,
		NegativeSpans:   nativeSpans(h.Negative.Spans),
		NegativeBuckets: h.Negative.Counts,
	}
}

func nativeSpans(spans []Span) []histogram.Span {
	out := make([]histogram.Span, len(spans))
	for i, s := range spans {
		out[i] = histogram.Span{Offset: s.Offset, Length: s.Length}
	}
	return out
}

// maxNativeIndex is larger than the index of any native bucket that a number falls in.
const maxNativeIndex = 1 << 20

// customBuckets reports whether the native buckets of h have custom bounds rather than
// exponential ones. Such a histogram has no zero bucket.
func (h *HistogramValue) customBuckets() bool { return histogram.IsCustomBucketsSchema(h.Schema) }

// nativeBound returns the upper bound of a positive bucket.
func nativeBound(index, schema int32) float64 {
	one := histogram.FloatHistogram{
		Schema:          schema,
		PositiveSpans:   []histogram.Span{{Offset: index, Length: 1}},
		PositiveBuckets: []float64{1},
	}
	buckets := one.PositiveBucketIterator()
	buckets.Next()
	return buckets.At().Upper
}

// nativeBucketOf returns the index of the positive bucket that x > 0 falls in.
func nativeBucketOf(x float64, schema int32) int32 {
	return int32(sort.Search(2*maxNativeIndex, func(i int) bool {
		return nativeBound(int32(i-maxNativeIndex), schema) >= x
	}) - maxNativeIndex)
}
