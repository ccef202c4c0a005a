package metric

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

func compareBounds(a, b Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) }

// unfit returns why h, whose buckets are sorted, cannot be added up, and what to do
// about it; both are empty if it can.
func (h *HistogramValue) unfit() (problem, advice string) {
	if problem := h.unfitBuckets(); problem != "" {
		return problem, "let each bucket count all observations up to its bound, and the count all there are"
	}
	if h.Native() {
		if problem := h.unfitNative(); problem != "" {
			return problem, "push the histogram as an official client library makes it"
		}
	}
	return "", ""
}

// unfitBuckets returns what is wrong with the count and the classic buckets of h.
func (h *HistogramValue) unfitBuckets() string {
	total := Bucket{UpperBound: math.Inf(+1), CumulativeCount: h.Count, CumulativeCountFloat: h.CountFloat}
	if n := total.Observations(); !(n >= 0 && n <= math.MaxFloat64) {
		return fmt.Sprintf("its count is %v", n)
	}
	last := Bucket{UpperBound: math.NaN()} // equal to no bound
	for _, b := range h.Buckets {
		switch infinite := math.IsInf(b.UpperBound, +1); {
		case math.IsNaN(b.UpperBound):
			return `it has a bucket le="NaN"`
		case b.UpperBound == last.UpperBound:
			return fmt.Sprintf("it has the bucket le=\"%v\" twice", b.UpperBound)
		case compareCounts(&b, &last) < 0:
			return fmt.Sprintf("its bucket le=\"%v\" counts %v, which is less than the %v of the bucket before", b.UpperBound,
				b.Observations(), last.Observations())
		case compareCounts(&b, &total) > 0, infinite && compareCounts(&b, &total) != 0:
			return fmt.Sprintf("its bucket le=\"%v\" counts %v, but its count is %v", b.UpperBound, b.Observations(), total.Observations())
		}
		last = b
	}
	return ""
}

// compareCounts compares the counts of two buckets, exactly if both are integers. NaN is
// less than any count.
func compareCounts(a, b *Bucket) int {
	if a.CumulativeCountFloat == 0 && b.CumulativeCountFloat == 0 {
		return cmp.Compare(a.CumulativeCount, b.CumulativeCount)
	}
	return cmp.Compare(a.Observations(), b.Observations())
}

// countsFloats reports whether some count of h is a float, so that a sum with h counts in
// floats.
func (h *HistogramValue) countsFloats() bool {
	return h.CountFloat != 0 ||
		slices.ContainsFunc(h.Buckets, func(b Bucket) bool { return b.CumulativeCountFloat != 0 })
}

// addHistogram returns the sum of a stored histogram and a pushed one, which passed
// CheckSummable.
func (f *Family) addHistogram(stored, pushed *Metric) (*HistogramValue, error) {
	a, b := stored.Histogram, pushed.Histogram
	if !slices.IsSortedFunc(a.Buckets, compareBounds) {
		sorted := *a
		sorted.Buckets = slices.Clone(a.Buckets)
		slices.SortFunc(sorted.Buckets, compareBounds)
		a = &sorted
	}
	if problem, _ := a.unfit(); problem != "" {
		return nil, Reject(BadMerge, "the group holds the %s %s, to which nothing can be added: %s", f.Type, f.series(stored),
			problem).With(DeleteGroup)
	}
	if problem := mismatch(a, b); problem != "" {
		return nil, Reject(BadMerge, "the %s %s cannot be added up: %s", f.Type, f.series(pushed), problem).With(DeleteGroup)
	}
	sum := &HistogramValue{Sum: a.Sum + b.Sum}
	ok := true
	if a.countsFloats() || b.countsFloats() {
		sum.CountFloat = a.Observations() + b.Observations()
		ok = !math.IsInf(sum.CountFloat, +1)
	} else {
		sum.Count, ok = addCounts(a.Count, b.Count)
	}
	if ok && len(a.Buckets)+len(b.Buckets) > 0 {
		sum.addBuckets(a.Buckets, b.Buckets)
	}
	if ok && a.Native() {
		ok = sum.addNative(a, b)
	}
	if !ok {
		return nil, f.tooLarge(pushed)
	}
	if len(a.Exemplars)+len(b.Exemplars) > 0 {
		sum.Exemplars = newest(a.Exemplars, b.Exemplars)
	}
	return sum, nil
}

// mismatch returns why two histograms cannot be added to each other although both are
// fit for adding up.
func mismatch(stored, pushed *HistogramValue) string {
	kind := func(native bool) string {
		if native {
			return "native"
		}
		return "classic"
	}
	switch a, b := stored.Native(), pushed.Native(); {
	case a != b:
		return fmt.Sprintf("it is %s, but the one that the group holds is %s", kind(b), kind(a))
	case !a:
		return ""
	}
	switch a, b := stored.classic(), pushed.classic(); {
	case b && !a:
		return "it has classic buckets beside the native ones, but the one that the group holds has none"
	case a && !b:
		return "it has no classic buckets beside the native ones, as the one that the group holds has"
	}
	if stored.Schema != pushed.Schema && (stored.customBuckets() || pushed.customBuckets()) {
		return fmt.Sprintf("its native buckets have the schema %d, and those that the group holds the schema %d, which is of "+
			"another kind", pushed.Schema, stored.Schema)
	}
	return ""
}

// classic reports whether h has classic buckets other than +Inf. Client libraries give
// a native histogram a lone +Inf bucket to hold an exemplar.
func (h *HistogramValue) classic() bool {
	return slices.ContainsFunc(h.Buckets, func(b Bucket) bool { return !math.IsInf(b.UpperBound, +1) })
}

// addBuckets sets the classic buckets of h, whose count is set, to the sum of two sorted
// lists. A bucket that one side lacks has the count of the bucket before it there, since
// it is not known how many observations of the next one are below its bound. So counts
// never decrease, and that of +Inf, if there is such a bucket, is the count of h.
func (h *HistogramValue) addBuckets(a, b []Bucket) {
	h.Buckets = make([]Bucket, 0, countBounds(a, b))
	var inA, inB Bucket // the last ones up to the bound
	for len(a) > 0 || len(b) > 0 {
		var sum Bucket
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].UpperBound < b[0].UpperBound:
			inA, a = a[0], a[1:]
			sum.UpperBound, sum.Exemplar = inA.UpperBound, inA.Exemplar
		case len(a) == 0 || b[0].UpperBound < a[0].UpperBound:
			inB, b = b[0], b[1:]
			sum.UpperBound, sum.Exemplar = inB.UpperBound, inB.Exemplar
		default:
			inA, a = a[0], a[1:]
			inB, b = b[0], b[1:]
			sum.UpperBound, sum.Exemplar = inA.UpperBound, newer(inA.Exemplar, inB.Exemplar)
		}
		switch {
		case math.IsInf(sum.UpperBound, +1):
			sum.CumulativeCount, sum.CumulativeCountFloat = h.Count, h.CountFloat
		case h.CountFloat != 0:
			sum.CumulativeCountFloat = inA.Observations() + inB.Observations()
		default:
			sum.CumulativeCount = inA.CumulativeCount + inB.CumulativeCount
		}
		h.Buckets = append(h.Buckets, sum)
	}
}

// countBounds returns the number of distinct bounds in two sorted lists.
func countBounds(a, b []Bucket) int {
	n := len(a) + len(b)
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].UpperBound < b[0].UpperBound:
			a = a[1:]
		case b[0].UpperBound < a[0].UpperBound:
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
			n--
		}
	}
	return n
}
