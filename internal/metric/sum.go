package metric

import (
	"cmp"
	"math"
	"slices"
)

// maxExemplars bounds the exemplars of a native histogram in a sum.
const maxExemplars = 10

// CheckSummable prepares f, which is normalized, for adding up, whether or not its group
// has the family already. Summaries lose their quantiles, since quantiles of two
// processes cannot be combined. Classic buckets are sorted by their bounds.
// CheckSummable rejects types, and values of counters and histograms, that cannot be
// added up. The error is a *RejectionError.
//
// A rejection leaves f in an undefined state. Cost: O(n) in the values of f, plus
// sorting buckets that are not sorted.
func (f *Family) CheckSummable(gauges GaugeMerge) error {
	switch f.Type {
	case Untyped:
		return Reject(BadMerge,
			"metric family %q is untyped, so it is not known how to add it up: give it a TYPE line that says counter, gauge, "+
				"histogram or summary", f.Name)
	case GaugeHistogram:
		if gauges == GaugeMin || gauges == GaugeMax {
			return Reject(BadMerge,
				"metric family %q is of type gauge histogram, which has no minimum or maximum: push it with gauges=sum or "+
					"gauges=last", f.Name)
		}
	}
	for i := range f.Metrics {
		m := &f.Metrics[i]
		switch f.Type {
		case Counter:
			if !(m.Value >= 0) {
				return Reject(BadValue,
					"the counter %s is %v and cannot be added up: push how much the process counted, which is at least 0, or make "+
						"it a gauge", f.series(m), m.Value)
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

// AddMetrics adds f, which passed CheckSummable, to stored, the group's metrics of the
// same name and type, and returns the sum. Both sides are sorted by CompareLabels
// without duplicates, and so is the result. Series of only one side stay as they are.
//
//   - Counters add up, and so do count and sum of summaries. Quantiles are dropped.
//   - Histograms add up bucket by bucket. Native and classic ones do not mix. If the
//     bounds of classic buckets differ, the sum has the bounds of both sides, and an
//     observation counts in the bucket with the bound under which it was pushed and in
//     all above. Native ones add up like FloatHistogram.Add of
//     github.com/prometheus/prometheus/model/histogram: with the lower of both
//     resolutions and a zero bucket that covers both. Counts stay integers if both sides
//     have integers.
//   - Gauges and gauge histograms are merged as gauges says.
//   - The newest exemplar wins; of native histograms the ten newest. One without a
//     timestamp counts as older if it is stored, as newer if it is pushed. The earliest
//     created timestamp wins.
//
// Apart from rounding, gauges=last and exemplars without distinct timestamps, the sum
// depends neither on the order of pushes nor on how they are grouped. There is one
// exception, as in Prometheus: if native histograms differ in zero threshold as well as
// in resolution, the order shows in the zero threshold and the buckets beside it. Count
// and sum of the observations are right in any case.
//
// A *RejectionError says that the sides cannot be added, that a count leaves its range,
// or that stored could not have passed CheckSummable. Its Fix is DeleteGroup; the caller
// knows the group.
//
// Neither side is modified, and the result shares memory with both. Cost: O(n) in the
// values of both sides; one allocation, and for each series of both sides one more for a
// summary, two for a classic histogram and about ten for a native one.
func AddMetrics(f *Family, stored []Metric, gauges GaugeMerge) ([]Metric, error) {
	pushed := f.Metrics
	sums := make([]Metric, 0, max(len(stored), len(pushed)))
	for len(stored) > 0 && len(pushed) > 0 {
		switch c := CompareLabels(stored[0].Labels, pushed[0].Labels); {
		case c < 0:
			sums, stored = append(sums, stored[0]), stored[1:]
		case c > 0:
			sums, pushed = append(sums, pushed[0]), pushed[1:]
		default:
			sum, err := f.add(&stored[0], &pushed[0], gauges)
			if err != nil {
				return nil, err
			}
			sums, stored, pushed = append(sums, sum), stored[1:], pushed[1:]
		}
	}
	return append(append(sums, stored...), pushed...), nil
}

// CombineDuplicates replaces metrics that have the same labels with their sum, as AddMetrics
// adds them up. f passed CheckSummable, and metrics with the same labels are side by side,
// in the order in which they were pushed. The error is a *RejectionError.
func (f *Family) CombineDuplicates(gauges GaugeMerge) error {
	combined := f.Metrics[:0]
	for i := range f.Metrics {
		last := len(combined) - 1
		if last < 0 || CompareLabels(combined[last].Labels, f.Metrics[i].Labels) != 0 {
			combined = append(combined, f.Metrics[i])
			continue
		}
		sum, err := f.add(&combined[last], &f.Metrics[i], gauges)
		if err != nil {
			return err
		}
		combined[last] = sum
	}
	f.Metrics = combined
	return nil
}

// add returns the sum of a stored metric and the one pushed with the same labels.
func (f *Family) add(stored, pushed *Metric, gauges GaugeMerge) (Metric, error) {
	sum := *pushed
	sum.Created = earliest(stored.Created, pushed.Created)
	switch f.Type {
	case Counter:
		if !(stored.Value >= 0) {
			return sum, Reject(BadMerge, "the group holds the counter %s with the value %v, to which nothing can be added",
				f.series(stored), stored.Value).
				With(DeleteGroup)
		}
		sum.Value += stored.Value
		sum.Exemplar = newer(stored.Exemplar, pushed.Exemplar)
	case Gauge:
		sum.Value = addGauge(stored.Value, pushed.Value, gauges)
	case Summary:
		count, ok := addCounts(stored.Summary.Count, pushed.Summary.Count)
		if !ok {
			return sum, f.tooLarge(pushed)
		}
		sum.Summary = &SummaryValue{Count: count, Sum: stored.Summary.Sum + pushed.Summary.Sum}
	case Histogram, GaugeHistogram:
		if !f.adds(gauges) {
			break
		}
		var err error
		if sum.Histogram, err = f.addHistogram(stored, pushed); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// adds reports whether histograms of f add up rather than replace each other.
func (f *Family) adds(gauges GaugeMerge) bool { return f.Type == Histogram || gauges == GaugeSum }

// series names a metric of f for a message.
func (f *Family) series(m *Metric) string { return f.Name + FormatLabels(m.Labels) }

func (f *Family) tooLarge(m *Metric) *RejectionError {
	return Reject(BadMerge, "the %s %s cannot be added up: together with what the group holds it has more observations than can be counted",
		f.Type, f.series(m)).With(DeleteGroup)
}

func addGauge(stored, pushed float64, gauges GaugeMerge) float64 {
	switch {
	case gauges == GaugeSum:
		return stored + pushed
	case gauges != GaugeMin && gauges != GaugeMax, math.IsNaN(stored):
		return pushed
	case math.IsNaN(pushed):
		return stored
	case gauges == GaugeMin:
		return min(stored, pushed)
	}
	return max(stored, pushed)
}

// addCounts returns a+b, and whether it is in range.
func addCounts(a, b uint64) (uint64, bool) { return a + b, a+b >= a }

// newer returns the newer of two exemplars; either may be nil.
func newer(stored, pushed *Exemplar) *Exemplar {
	if pushed == nil || stored != nil && pushed.Timestamp.Set && stored.Timestamp.compare(pushed.Timestamp) > 0 {
		return stored
	}
	return pushed
}

// newest returns the newest exemplars of a native histogram, oldest first.
func newest(stored, pushed []Exemplar) []Exemplar {
	all := slices.Concat(stored, pushed)
	slices.SortStableFunc(all, func(a, b Exemplar) int { return a.Timestamp.compare(b.Timestamp) })
	return all[max(0, len(all)-maxExemplars):]
}

func earliest(a, b Timestamp) Timestamp {
	if !a.Set || b.Set && b.compare(a) < 0 {
		return b
	}
	return a
}

// compare compares timestamps by time. One that is not set comes first.
func (t Timestamp) compare(other Timestamp) int {
	switch {
	case t.Set != other.Set && t.Set:
		return +1
	case t.Set != other.Set:
		return -1
	}
	return cmp.Or(cmp.Compare(t.Seconds, other.Seconds), cmp.Compare(t.Nanos, other.Nanos))
}
