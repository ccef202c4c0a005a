package metric

import "github.com/prometheus/prometheus/model/histogram"

// validateNative checks the native histogram in h as Prometheus does when it
// scrapes one; a single invalid one would fail the whole scrape.
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
