package otlp

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// Numbers of the fields of data points of histograms, by message.
const (
	histogramCount      = 4
	histogramSum        = 5
	histogramBucket     = 6
	histogramBound      = 7
	histogramExemplar   = 8
	histogramAttributes = 9
	histogramFlags      = 10

	exponentialAttributes = 1
	exponentialCount      = 4
	exponentialSum        = 5
	exponentialScale      = 6
	exponentialZeroCount  = 7
	exponentialPositive   = 8
	exponentialNegative   = 9
	exponentialFlags      = 10
	exponentialExemplar   = 11

	bucketsOffset = 1
	bucketsCount  = 2
)

// decodeHistogram decodes a data point of a histogram with explicit bounds to a classic
// histogram. One without a sum has the sum NaN.
func (d *decoder) decodeHistogram(p *point, message []byte) error {
	h := &metric.HistogramValue{Sum: math.NaN()}
	p.metric.Histogram = h
	var counts []uint64
	var bounds []float64
	var exemplars []metric.Exemplar
	err := protofield.Each(message, func(x protofield.Field) (err error) {
		switch {
		case x.Is(histogramCount, protowire.Fixed64Type):
			h.Count = x.Bits
		case x.Is(histogramSum, protowire.Fixed64Type):
			h.Sum = x.Float()
		case x.Number == histogramBucket:
			err = protofield.EachNumber(x, protowire.Fixed64Type, func(bits uint64) { counts = append(counts, bits) })
		case x.Number == histogramBound:
			err = protofield.EachNumber(x, protowire.Fixed64Type, func(bits uint64) { bounds = append(bounds, math.Float64frombits(bits)) })
		case x.Is(histogramExemplar, protowire.BytesType):
			exemplars, err = d.appendExemplar(exemplars, p, x.Bytes)
		default:
			err = d.common(p, x, histogramAttributes, histogramFlags)
		}
		return err
	})
	if err != nil || p.noValue {
		return err
	}
	if len(counts) == 0 && len(bounds) == 0 {
		counts = []uint64{h.Count} // count and sum alone, by the protocol
	}
	h.Buckets = p.classicBuckets(bounds, counts, h.Count)
	for i := range exemplars {
		e := &exemplars[i]
		at := slices.IndexFunc(h.Buckets, func(b metric.Bucket) bool { return e.Value <= b.UpperBound })
		if at >= 0 && (h.Buckets[at].Exemplar == nil || !newer(h.Buckets[at].Exemplar, e)) {
			h.Buckets[at].Exemplar = e
		}
	}
	return nil
}

func (d *decoder) appendExemplar(dst []metric.Exemplar, p *point, message []byte) ([]metric.Exemplar, error) {
	e, err := d.decodeExemplar(p, message)
	return append(dst, e), err
}

// classicBuckets returns the buckets with the upper bounds, and that for +Inf. It rejects the
// point if the protocol does not allow them.
func (p *point) classicBuckets(bounds []float64, counts []uint64, total uint64) []metric.Bucket {
	if len(counts) != len(bounds)+1 {
		p.reject("has %d buckets and %d bounds: there must be one bucket more", len(counts), len(bounds))
		return nil
	}
	buckets := make([]metric.Bucket, len(counts))
	sum := uint64(0)
	for i, count := range counts {
		if sum += count; sum < count {
			p.reject("has more observations than can be counted")
		}
		buckets[i] = metric.Bucket{UpperBound: math.Inf(+1), CumulativeCount: sum}
		if i == len(bounds) {
			break
		}
		if buckets[i].UpperBound = bounds[i]; !(math.Abs(bounds[i]) <= math.MaxFloat64) || i > 0 && !(bounds[i-1] < bounds[i]) {
			p.reject("has the bound %v, but bounds must be finite and increase", bounds[i])
		}
	}
	if sum != total {
		p.reject("has the count %d, but its buckets add up to %d", total, sum)
	}
	return buckets
}

// Values that Prometheus gives to native histograms from OTLP, which has other scales and
// widths of the zero bucket.
const (
	maxScale      = histogram.ExponentialSchemaMax
	minScale      = histogram.ExponentialSchemaMin
	zeroThreshold = 1e-128
)

// decodeExponential decodes a data point of an exponential histogram to a native histogram.
func (d *decoder) decodeExponential(p *point, message []byte) error {
	h := &metric.HistogramValue{ZeroThreshold: zeroThreshold}
	p.metric.Histogram = h
	scale := int32(0)
	var positive, negative part
	err := protofield.Each(message, func(x protofield.Field) (err error) {
		switch {
		case x.Is(exponentialCount, protowire.Fixed64Type):
			h.Count = x.Bits
		case x.Is(exponentialSum, protowire.Fixed64Type):
			h.Sum = x.Float()
		case x.Is(exponentialScale, protowire.VarintType):
			scale = int32(protowire.DecodeZigZag(x.Bits & math.MaxUint32))
		case x.Is(exponentialZeroCount, protowire.Fixed64Type):
			h.ZeroCount = x.Bits
		case x.Is(exponentialPositive, protowire.BytesType):
			positive.add(x.Bytes)
		case x.Is(exponentialNegative, protowire.BytesType):
			negative.add(x.Bytes)
		case x.Is(exponentialExemplar, protowire.BytesType):
			h.Exemplars, err = d.appendExemplar(h.Exemplars, p, x.Bytes)
		default:
			err = d.common(p, x, exponentialAttributes, exponentialFlags)
		}
		return err
	})
	if err != nil {
		return err
	}
	if scale < minScale {
		p.reject("has the scale %d, but native histograms have at least %d", scale, minScale)
	}
	h.Schema = min(scale, maxScale)
	reduce := scale - h.Schema // each step halves the number of buckets
	if h.Positive, err = p.nativeBuckets(positive.message, reduce); err != nil {
		return err
	}
	h.Negative, err = p.nativeBuckets(negative.message, reduce)
	if err == nil && p.reason == nil && !p.noValue {
		if problem := h.NativeInteger().Validate(); problem != nil {
			p.reject("is no valid histogram: %v", problem)
		}
	}
	return err
}

// nativeBuckets decodes a message Buckets, whose buckets are joined 2^reduce at a time. Bucket 0
// of OTLP begins at 1; that of Prometheus ends there.
func (p *point) nativeBuckets(message []byte, reduce int32) (metric.NativeBuckets, error) {
	var offset int32
	var counts []uint64
	err := protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(bucketsOffset, protowire.VarintType):
			offset = int32(protowire.DecodeZigZag(x.Bits & math.MaxUint32))
		case x.Number == bucketsCount:
			return protofield.EachNumber(x, protowire.VarintType, func(bits uint64) { counts = append(counts, bits) })
		}
		return nil
	})
	var b nativeBuilder
	if err != nil || len(counts) == 0 || p.noValue {
		return b.buckets, err
	}
	if last := int64(offset) + int64(len(counts)); int64(offset) < -maxIndex || last > maxIndex {
		p.reject("has buckets from %d to %d, which no number falls in", offset, last)
		return b.buckets, nil
	}
	index, count := offset>>min(reduce, 31)+1, uint64(0)
	for i := range counts {
		at := (offset+int32(i))>>min(reduce, 31) + 1
		if at != index {
			b.add(index, count)
			index, count = at, 0
		}
		if count += counts[i]; count > math.MaxInt64 || count < counts[i] {
			p.reject("has more observations than can be counted")
			return b.buckets, nil
		}
	}
	b.add(index, count)
	return b.buckets, nil
}

// maxIndex is larger than the index of any bucket that a number falls in, at the scales that
// OTLP knows.
const maxIndex = 1 << 30

// maxGap is the largest number of empty buckets that take less space than a new span.
const maxGap = 2

// nativeBuilder builds the buckets of a native histogram.
type nativeBuilder struct {
	buckets metric.NativeBuckets
	next    int32 // the index after the last bucket
	last    int64 // count of the last bucket
}

// add adds the bucket with the index, which is larger than that of all before. An empty one is left
// out.
func (b *nativeBuilder) add(index int32, count uint64) {
	if count == 0 {
		return
	}
	gap := index - b.next
	if len(b.buckets.Spans) == 0 || gap > maxGap {
		b.buckets.Spans = append(b.buckets.Spans, metric.Span{Offset: gap})
	} else {
		for range gap {
			b.append(0)
		}
	}
	b.append(int64(count))
	b.next = index + 1
}

func (b *nativeBuilder) append(count int64) {
	b.buckets.Spans[len(b.buckets.Spans)-1].Length++
	b.buckets.Deltas = append(b.buckets.Deltas, count-b.last)
	b.last = count
}
