package api

import (
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	"pushgateway/internal/metric"
)

// appendBuckets appends the native buckets as a list, or the classic ones as an object
// from upper bound to cumulative count if there are no native ones.
func appendBuckets(dst []byte, h *metric.HistogramValue) []byte {
	switch {
	case len(h.Negative.Spans)+len(h.Positive.Spans) == 0:
		// As in upstream, a zero bucket alone, although native, makes no list.
		return appendClassicBuckets(dst, h.Buckets)
	case h.Float():
		native := h.NativeFloat()
		return appendNativeBuckets(dst, native, native.ZeroCount, appendFloat)
	default:
		native := h.NativeInteger()
		return appendNativeBuckets(dst, native, native.ZeroCount, appendUint)
	}
}

func appendClassicBuckets(dst []byte, buckets []metric.Bucket) []byte {
	dst = append(dst, '{')
	for i := range buckets {
		if i > 0 {
			dst = append(dst, ',')
		}
		b := &buckets[i]
		dst = appendFloat(dst, b.UpperBound)
		dst = append(dst, ':')
		dst = appendCount(dst, b.CumulativeCount, b.CumulativeCountFloat)
	}
	return append(dst, '}')
}

// nativeHistogram is implemented by Prometheus' integer and float histograms. Their
// iterators move away from zero.
type nativeHistogram[N histogram.BucketCount] interface {
	NegativeBucketIterator() histogram.BucketIterator[N]
	ZeroBucket() histogram.Bucket[N]
	PositiveBucketIterator() histogram.BucketIterator[N]
}

// appendNativeBuckets appends the buckets with observations, from the lowest to the
// highest.
func appendNativeBuckets[N histogram.BucketCount](
	dst []byte, h nativeHistogram[N], zeroCount N, appendCount func([]byte, N) []byte,
) []byte {
	var buckets []histogram.Bucket[N]
	for it := h.NegativeBucketIterator(); it.Next(); {
		buckets = append(buckets, it.At())
	}
	slices.Reverse(buckets)
	if zeroCount != 0 { // with custom buckets ZeroBucket would panic
		buckets = append(buckets, h.ZeroBucket())
	}
	for it := h.PositiveBucketIterator(); it.Next(); {
		buckets = append(buckets, it.At())
	}

	dst = append(dst, '[')
	separate := false
	for _, b := range buckets {
		if b.Count == 0 {
			continue
		}
		if separate {
			dst = append(dst, ',')
		}
		separate = true
		dst = append(dst, '[', boundaryRule(b.LowerInclusive, b.UpperInclusive), ',')
		dst = appendFloat(dst, b.Lower)
		dst = append(dst, ',')
		dst = appendFloat(dst, b.Upper)
		dst = append(dst, ',')
		dst = appendCount(dst, b.Count)
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

// boundaryRule says which bounds belong to a bucket, by the digits of
// Prometheus' own HTTP API.
func boundaryRule(lower, upper bool) byte {
	switch {
	case lower && upper:
		return '3'
	case lower:
		return '1'
	case upper:
		return '0'
	}
	return '2'
}
