package metric

import (
	"fmt"
	"math"
)

// unfitNative says why the native histogram in h cannot be added up.
func (h *HistogramValue) unfitNative() string {
	if err := h.validateNative(); err != nil {
		return err.Error()
	}
	switch {
	case !(h.ZeroThreshold >= 0 && h.ZeroThreshold <= math.MaxFloat64):
		return fmt.Sprintf("its zero threshold is %v", h.ZeroThreshold)
	case h.Float() != (h.CountFloat != 0), h.Float() && h.ZeroCount > 0 && h.ZeroCountFloat == 0:
		return "its counts are partly integers and partly floats"
	case !h.Float() && h.ZeroCountFloat != 0:
		return fmt.Sprintf("its zero bucket counts %v", h.ZeroCountFloat)
	}
	if problem := unfitSpans(h.Positive.Spans); problem != "" {
		return problem
	}
	if problem := unfitSpans(h.Negative.Spans); problem != "" {
		return problem
	}
	if h.Float() {
		total := h.ZeroCountFloat
		for _, side := range [...][]float64{h.Positive.Counts, h.Negative.Counts} {
			for _, n := range side {
				total += n
			}
		}
		if !(total <= math.MaxFloat64) {
			return fmt.Sprintf("its buckets together count %v", total)
		}
		return ""
	}
	// The validation above lets a sum of buckets pass that wraps around to the
	// count. Below it, all sums of counts stay in range.
	if h.Count > math.MaxInt64 || h.ZeroCount > h.Count {
		return "its buckets or its count are too large"
	}
	rest := int64(h.Count - h.ZeroCount)
	for _, side := range [...][]int64{h.Positive.Deltas, h.Negative.Deltas} {
		n := int64(0)
		for _, delta := range side {
			n += delta
			if rest -= n; rest < 0 {
				return "its buckets or its count are too large"
			}
		}
	}
	return ""
}

// unfitSpans rejects buckets that no number falls in.
func unfitSpans(spans []Span) string {
	next := int64(0)
	for _, s := range spans {
		next += int64(s.Offset)
		if next < -farthestNative || next+int64(s.Length) > farthestNative {
			return fmt.Sprintf("it has a native bucket with the index %d, where there are no numbers", next)
		}
		next += int64(s.Length)
	}
	return ""
}

// nativeCount is what a native histogram counts in.
type nativeCount interface{ int64 | float64 }

// nativeSum is a sum of two native histograms, counting in floats where one of
// them does.
type nativeSum[N nativeCount] struct {
	schema             int32
	zeroThreshold      float64
	zero               N
	positive, negative sumBuckets[N]
}

// addNative gives h, whose count is set, the sum of two native histograms, and tells
// whether the counts are in range. Both can be added up with each other.
func (h *HistogramValue) addNative(a, b *HistogramValue) (ok bool) {
	if h.CountFloat != 0 {
		sum := addNative[float64](a, b)
		h.Schema, h.ZeroThreshold, h.ZeroCountFloat = sum.schema, sum.zeroThreshold, sum.zero
		h.Positive = NativeBuckets{Spans: sum.positive.spans, Counts: sum.positive.counts}
		h.Negative = NativeBuckets{Spans: sum.negative.spans, Counts: sum.negative.counts}
		ok = !math.IsInf(sum.zero+sum.positive.total()+sum.negative.total(), +1)
	} else {
		sum := addNative[int64](a, b)
		h.Schema, h.ZeroThreshold, h.ZeroCount = sum.schema, sum.zeroThreshold, uint64(sum.zero)
		h.Positive = NativeBuckets{Spans: sum.positive.spans, Deltas: differences(sum.positive.counts)}
		h.Negative = NativeBuckets{Spans: sum.negative.spans, Deltas: differences(sum.negative.counts)}
		ok = h.Count <= math.MaxInt64
	}
	if !h.Native() {
		h.Positive.Spans = []Span{{}} // tells it from a classic histogram
	}
	return ok
}

// addNative returns the sum of a and b. What an enlarged zero bucket takes in leaves
// the buckets before their resolution is reduced, so that it counts once. The counts
// may have wrapped around where the histograms have more observations than an int64.
func addNative[N nativeCount](a, b *HistogramValue) nativeSum[N] {
	sum := nativeSum[N]{schema: min(a.Schema, b.Schema), zeroThreshold: commonZeroThreshold(a, b)}
	var positive, negative [2]nativeWalk[N]
	for i, h := range [...]*HistogramValue{a, b} {
		positive[i], negative[i] = walk[N](h, &h.Positive, sum.schema), walk[N](h, &h.Negative, sum.schema)
		if h.Float() {
			sum.zero += N(h.ZeroCountFloat)
		} else {
			sum.zero += N(h.ZeroCount)
		}
		if h.ZeroThreshold != sum.zeroThreshold {
			last := nativeBucketOf(sum.zeroThreshold, h.Schema)
			sum.zero += positive[i].takeTo(last) + negative[i].takeTo(last)
		}
	}
	sum.positive.fill(&positive[0], &positive[1])
	sum.negative.fill(&negative[0], &negative[1])
	return sum
}

// commonZeroThreshold returns the least zero threshold that both histograms can be
// given without cutting a populated bucket.
func commonZeroThreshold(a, b *HistogramValue) float64 {
	threshold := max(a.ZeroThreshold, b.ZeroThreshold)
	for {
		next := b.uncut(a.uncut(threshold))
		if next == threshold {
			return threshold
		}
		threshold = next
	}
}

// uncut returns the least threshold, from the given one on, that cuts no populated
// bucket of h. The zero threshold of h itself counts as one that does not.
func (h *HistogramValue) uncut(threshold float64) float64 {
	if threshold == h.ZeroThreshold {
		return threshold
	}
	index := nativeBucketOf(threshold, h.Schema)
	for _, side := range [...]*NativeBuckets{&h.Positive, &h.Negative} {
		w := walk[float64](h, side, h.Schema)
		w.takeTo(index - 1)
		if w.ok && w.index == index {
			return nativeBound(index, h.Schema)
		}
	}
	return threshold
}

// nativeWalk stands at a populated bucket of one side of a native histogram, or
// behind the last one.
type nativeWalk[N nativeCount] struct {
	ok    bool  // it is not behind the last one
	index int32 // of the bucket
	count N

	reduction int32 // by how much the schema is to become lower

	// What is still to come.
	spans  []Span // behind the current one
	left   uint32 // buckets of the current span
	next   int32  // index of the first of them
	counts []float64
	deltas []int64 // in place of counts
	total  int64   // what the deltas have come to
}

// walk begins at the first populated bucket of a side of h.
func walk[N nativeCount](h *HistogramValue, side *NativeBuckets, schema int32) nativeWalk[N] {
	w := nativeWalk[N]{spans: side.Spans, reduction: h.Schema - schema}
	if h.Float() {
		w.counts = side.Counts
	} else {
		w.deltas = side.Deltas
	}
	w.step()
	return w
}

// step goes to the next populated bucket.
func (w *nativeWalk[N]) step() {
	for {
		for w.left == 0 {
			if len(w.spans) == 0 {
				w.ok = false
				return
			}
			w.next += w.spans[0].Offset
			w.left, w.spans = w.spans[0].Length, w.spans[1:]
		}
		if len(w.deltas) > 0 {
			w.total += w.deltas[0]
			w.count, w.deltas = N(w.total), w.deltas[1:]
		} else {
			w.count, w.counts = N(w.counts[0]), w.counts[1:]
		}
		w.index = w.next
		w.next++
		w.left--
		if w.count != 0 {
			w.ok = true
			return
		}
	}
}

// takeTo steps behind the bucket of the index last and returns the sum of the counts
// on the way.
func (w *nativeWalk[N]) takeTo(last int32) (sum N) {
	for w.ok && w.index <= last {
		sum += w.count
		w.step()
	}
	return sum
}

// reduced returns the index of the bucket that holds the current one once the
// resolution is reduced. Each bucket ends where one of a higher resolution does, so
// those with an index of 1 to 2ⁿ become the one with the index 1.
func (w *nativeWalk[N]) reduced() int32 { return (w.index-1)>>w.reduction + 1 }

// sumBuckets is one side of a sum. It has no bucket without observations.
type sumBuckets[N nativeCount] struct {
	spans  []Span
	counts []N
	last   int32 // index of the last bucket
}

// fill adds all that two walks have still before them.
func (s *sumBuckets[N]) fill(a, b *nativeWalk[N]) {
	if a.ok || b.ok {
		s.spans = make([]Span, 0, max(len(a.spans), len(b.spans))+1)
		s.counts = make([]N, 0, max(len(a.counts)+len(a.deltas), len(b.counts)+len(b.deltas))+1)
	}
	for a.ok || b.ok {
		w := a
		if !a.ok || b.ok && b.reduced() < a.reduced() {
			w = b
		}
		s.add(w.reduced(), w.count)
		w.step()
	}
}

// add counts in a bucket, none before the last one.
func (s *sumBuckets[N]) add(index int32, count N) {
	switch n := len(s.counts); {
	case n == 0:
		s.spans = append(s.spans, Span{Offset: index, Length: 1})
	case index == s.last:
		s.counts[n-1] += count
		return
	case index == s.last+1:
		s.spans[len(s.spans)-1].Length++
	default:
		s.spans = append(s.spans, Span{Offset: index - s.last - 1, Length: 1})
	}
	s.counts, s.last = append(s.counts, count), index
}

func (s *sumBuckets[N]) total() (sum N) {
	for _, n := range s.counts {
		sum += n
	}
	return sum
}

// differences makes each count the difference to the one before, in place.
func differences(counts []int64) []int64 {
	for i := len(counts) - 1; i > 0; i-- {
		counts[i] -= counts[i-1]
	}
	return counts
}
