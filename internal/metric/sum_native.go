package metric

import (
	"fmt"
	"math"
)

// unfitNative returns why the native histogram in h cannot be added up; empty if it can.
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
	// The validation above accepts a sum of buckets that wraps around to the count.
	// Within these bounds no sum of counts can.
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

// unfitSpans returns whether there are buckets that no number falls in, in words.
func unfitSpans(spans []Span) string {
	next := int64(0)
	for _, s := range spans {
		next += int64(s.Offset)
		if next < -maxNativeIndex || next+int64(s.Length) > maxNativeIndex {
			return fmt.Sprintf("it has a native bucket with the index %d, where there are no numbers", next)
		}
		next += int64(s.Length)
	}
	return ""
}

// nativeCount is what a native histogram counts in.
type nativeCount interface{ int64 | float64 }

// nativeSum is the sum of two native histograms. It counts in floats if one of them
// does.
type nativeSum[N nativeCount] struct {
	schema             int32
	zeroThreshold      float64
	zero               N
	positive, negative sumBuckets[N]
}

// addNative sets the native buckets of h, whose count is set, to the sum of two native
// histograms that can be added to each other. It reports whether all counts are in
// range.
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
		h.Positive.Spans = []Span{{}} // an empty span marks it as native
	}
	return ok
}

// addNative returns the sum of a and b. Observations that fall into an enlarged zero
// bucket leave their buckets before the resolution is reduced, so that they count once.
// Counts may wrap around if there are more observations than an int64 holds.
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

// commonZeroThreshold returns the smallest zero threshold that cuts no populated bucket
// of either histogram.
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

// uncut returns the smallest threshold, from the given one on, that cuts no populated
// bucket of h. The zero threshold of h itself cuts none.
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

// nativeWalk iterates over the populated buckets of one side of a native histogram.
type nativeWalk[N nativeCount] struct {
	ok    bool  // false behind the last bucket
	index int32 // of the bucket
	count N

	reduction int32 // by how much the schema is to become lower

	// What is left.
	spans  []Span // behind the current one
	left   uint32 // buckets of the current span
	next   int32  // index of the first of them
	counts []float64
	deltas []int64 // in place of counts
	total  int64   // the sum of the deltas so far
}

// walk starts at the first populated bucket of a side of h.
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

// takeTo advances behind the bucket with index last and returns the sum of the counts
// passed.
func (w *nativeWalk[N]) takeTo(last int32) (sum N) {
	for w.ok && w.index <= last {
		sum += w.count
		w.step()
	}
	return sum
}

// reduced returns the index of the bucket that contains the current one once the
// resolution is reduced. Bounds of a lower resolution are bounds of a higher one, too, so
// the buckets 1 to 2ⁿ become bucket 1.
func (w *nativeWalk[N]) reduced() int32 { return (w.index-1)>>w.reduction + 1 }

// sumBuckets is one side of a sum. It has no empty buckets.
type sumBuckets[N nativeCount] struct {
	spans  []Span
	counts []N
	last   int32 // index of the last bucket
}

// fill adds all buckets that are left in two walks.
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

// add adds count to a bucket, which is not before the last one.
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

// differences replaces each count with its difference to the one before, in place.
func differences(counts []int64) []int64 {
	for i := len(counts) - 1; i > 0; i-- {
		counts[i] -= counts[i-1]
	}
	return counts
}
