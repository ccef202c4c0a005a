package metric

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Normalizer validates families and gives them the labels of one group, that of the last
// Reset. Reuse saves its allocations. It is not safe for concurrent use.
type Normalizer struct {
	// DropTimestamps drops timestamps, which are rejected otherwise.
	DropTimestamps bool
	// DropEmptyLabels drops a metric's own labels that are empty. Prometheus treats
	// them as absent, so metrics that differ only in them are one series.
	DropEmptyLabels bool
	// DropLabels are the names of labels to drop from metrics, sorted. Labels of the group stay.
	DropLabels []string
	// KeepDuplicates lets metrics have the same labels, for CombineDuplicates to combine.
	KeepDuplicates bool

	dropped  int
	plain    bool // all names of the last family are legacy names
	plainKey bool // those of the key are
	grouping []groupingLabel
	bare     []Label // the labels of metrics that have none of their own
	arena    []Label // backs the labels of the other metrics

	overwritten Label // one of a metric's own that the key replaced, in the family being normalized
}

// Reset prepares n for the group of the key. It invalidates the labels of metrics that
// were normalized before.
func (n *Normalizer) Reset(key GroupingKey) {
	n.dropped, n.plainKey = 0, true
	for _, l := range key.Labels() {
		n.plainKey = n.plainKey && LegacyLabelName(l.Name)
	}
	n.grouping = appendGrouping(n.grouping[:0], key.Labels())
	n.bare, _ = appendMerged(n.bare[:0], nil, n.grouping)
	n.arena = n.arena[:0]
}

// Reuse invalidates the labels of metrics that were normalized before and reuses their
// memory.
func (n *Normalizer) Reuse() { n.arena = n.arena[:0] }

// GroupLabels returns the labels that every metric of the group has, sorted by name:
// those of the key, and an instance.
func GroupLabels(key GroupingKey) []Label {
	labels, _ := appendMerged(nil, nil, appendGrouping(nil, key.Labels()))
	return labels
}

// Bare returns the labels of a metric that has none of its own. The next Reset
// overwrites the result.
func (n *Normalizer) Bare() []Label { return n.bare }

// Plain reports whether the names of the last family and of its labels are legacy names,
// which no exposition escapes.
func (n *Normalizer) Plain() bool { return n.plain }

// Dropped returns how many timestamps were dropped since the last Reset.
func (n *Normalizer) Dropped() int { return n.dropped }

// Normalize gives every metric of f the key's labels, which overwrite the metric's own,
// and an empty instance label if there is none, and sorts labels and metrics. It
// rejects invalid names, text that is not UTF-8, timestamps, duplicate series, and
// values that do not fit the type. Names need not be legacy names: each format
// decides which names it can carry. The error is a *RejectionError.
//
// A rejection leaves f in an undefined state. Cost: O(n log n) in the family's
// metrics, O(n) if they are sorted already.
func (n *Normalizer) Normalize(f *Family) error {
	n.plain = n.plainKey && LegacyMetricName(f.Name)
	if !n.plain && !UTF8Validation.ValidMetric(f.Name) {
		return Reject(BadName, "%q is not a valid metric name: a name must be UTF-8 text without zero bytes, and not empty", f.Name)
	}
	if !f.Type.Known() {
		return Reject(BadValue, "metric family %q has the unknown type number %d", f.Name, f.Type)
	}
	if !utf8.ValidString(f.Help) {
		return Reject(BadUTF8, "the help text of metric family %q is not valid UTF-8: %q", f.Name, f.Help)
	}
	if !utf8.ValidString(f.Unit) {
		return Reject(BadUTF8, "the unit of metric family %q is not valid UTF-8: %q", f.Name, f.Unit)
	}
	sorted := true
	n.overwritten = Label{}
	for i := range f.Metrics {
		m := &f.Metrics[i]
		if err := n.checkMetric(f, m); err != nil {
			return err
		}
		if len(n.DropLabels) > 0 {
			m.Labels = slices.DeleteFunc(m.Labels, func(l Label) bool {
				_, drop := slices.BinarySearch(n.DropLabels, l.Name)
				return drop
			})
		}
		if n.DropEmptyLabels {
			m.Labels = slices.DeleteFunc(m.Labels, func(l Label) bool { return l.Value == "" })
		}
		m.Labels = n.mergedLabels(m.Labels)
		if err := checkReserved(f, m); err != nil {
			return err
		}
		sorted = sorted && (i == 0 || CompareLabels(f.Metrics[i-1].Labels, m.Labels) < 0)
	}
	if sorted {
		return nil
	}
	slices.SortStableFunc(f.Metrics, func(a, b Metric) int { return CompareLabels(a.Labels, b.Labels) })
	for i := 1; i < len(f.Metrics) && !n.KeepDuplicates; i++ {
		if CompareLabels(f.Metrics[i-1].Labels, f.Metrics[i].Labels) == 0 {
			return n.rejectDuplicate(f, &f.Metrics[i])
		}
	}
	return nil
}

// rejectDuplicate rejects a family that has a metric with the labels of m twice.
func (n *Normalizer) rejectDuplicate(f *Family, m *Metric) error {
	if len(n.DropLabels) > 0 {
		return RejectIndistinct(n.DropLabels, f.Name, m.Labels)
	}
	if n.overwritten == (Label{}) {
		return RejectDuplicate(f.Name, m.Labels)
	}
	e := Reject(DuplicateSeries, "the push has the series %s%s twice, since the URL overwrites the label %s=%q of the metrics",
		f.Name, FormatLabels(m.Labels), n.overwritten.Name, n.overwritten.Value).
		With(SplitByLabels).Noting(", or push each to a URL of its own")
	e.Labels = []string{JobLabel}
	for _, l := range n.grouping {
		if !l.optional && l.Name != JobLabel {
			e.Labels = append(e.Labels, l.Name)
		}
	}
	return e
}

// RejectDuplicate rejects a push that has a series of the family twice.
func RejectDuplicate(family string, labels []Label) *RejectionError {
	return Reject(DuplicateSeries, "the push has the series %s%s twice: push it once, or add a label that differs",
		family, FormatLabels(labels))
}

// RejectIndistinct rejects a push in which two series of the family are the same without
// the labels that were dropped.
func RejectIndistinct(dropped []string, family string, labels []Label) *RejectionError {
	return Reject(DuplicateSeries,
		"without the labels to drop (%s), the push has the series %s%s twice: push with merge=sum, by POST and with "+
			"TYPE lines, to add the two up, or drop fewer labels",
		strings.Join(dropped, ","), family, FormatLabels(labels))
}

// groupingLabel is a label of a grouping key as a metric gets it. The optional one, an
// empty instance, does not overwrite a label of the metric itself.
type groupingLabel struct {
	Label
	optional bool
}

// appendGrouping appends a key's labels and an instance label.
func appendGrouping(dst []groupingLabel, labels []Label) []groupingLabel {
	instance := groupingLabel{Label{InstanceLabel, ""}, true}
	placed := false
	for _, l := range labels {
		if !placed && l.Name >= InstanceLabel {
			if l.Name != InstanceLabel {
				dst = append(dst, instance)
			}
			placed = true
		}
		dst = append(dst, groupingLabel{l, false})
	}
	if !placed {
		dst = append(dst, instance)
	}
	return dst
}

// mergedLabels returns a metric's labels as the group has them.
func (n *Normalizer) mergedLabels(own []Label) []Label {
	if len(own) == 0 {
		return n.bare
	}
	start := len(n.arena)
	var overwritten Label
	if n.arena, overwritten = appendMerged(n.arena, own, n.grouping); overwritten.Name != "" {
		n.overwritten = overwritten
	}
	return n.arena[start:len(n.arena):len(n.arena)]
}

// appendMerged appends the union of own and grouping, both sorted by name. overwritten
// is one of own whose value was replaced, if there is one.
func appendMerged(dst, own []Label, grouping []groupingLabel) (_ []Label, overwritten Label) {
	for len(own) > 0 && len(grouping) > 0 {
		switch c := strings.Compare(own[0].Name, grouping[0].Name); {
		case c < 0:
			dst, own = append(dst, own[0]), own[1:]
		case c > 0:
			dst, grouping = append(dst, grouping[0].Label), grouping[1:]
		default:
			if grouping[0].optional {
				dst = append(dst, own[0])
			} else {
				if own[0].Value != grouping[0].Value {
					overwritten = own[0]
				}
				dst = append(dst, grouping[0].Label)
			}
			own, grouping = own[1:], grouping[1:]
		}
	}
	dst = append(dst, own...)
	for _, g := range grouping {
		dst = append(dst, g.Label)
	}
	return dst, overwritten
}

// checkMetric checks m as it was pushed and sorts its labels.
func (n *Normalizer) checkMetric(f *Family, m *Metric) error {
	if m.HasTimestamp {
		if !n.DropTimestamps {
			return Reject(BadTimestamp, "a sample of %q has the timestamp %d: leave it out", f.Name, m.TimestampMs).
				With(DropTimestamps).Noting(" (Prometheus records the time of its scrape)")
		}
		m.HasTimestamp, m.TimestampMs = false, 0
		n.dropped++
	}
	if len(m.Labels) > 1 && !slices.IsSortedFunc(m.Labels, compareLabelNames) {
		slices.SortStableFunc(m.Labels, compareLabelNames)
	}
	for i, l := range m.Labels {
		switch {
		case l.Name == NameLabel:
			return Reject(BadName, "metric family %q has a label %q, which is reserved for the metric's name", f.Name, l.Name)
		case !n.validLabel(l.Name):
			return Reject(BadName,
				"metric family %q has the invalid label name %q: a name must be UTF-8 text without colons and zero bytes, "+
					"and not empty", f.Name, l.Name)
		case Reserved(l.Name):
			return Reject(BadName, "metric family %q has the label name %q: names that begin with two underscores are reserved",
				f.Name, l.Name)
		case i > 0 && m.Labels[i-1].Name == l.Name:
			return Reject(BadName, "a metric of family %q has the label %q twice", f.Name, l.Name)
		case !utf8.ValidString(l.Value):
			return Reject(BadUTF8, "metric family %q has a label %q whose value is not valid UTF-8: %q", f.Name, l.Name, l.Value)
		}
	}
	if err := checkExemplar(f, m.Exemplar); err != nil {
		return err
	}
	if !m.Created.valid() {
		return Reject(BadValue, "metric family %q has a created timestamp that is not between the years 1 and 9999", f.Name)
	}
	switch f.Type {
	case Counter, Gauge, Untyped:
		if !m.HasValue {
			return wrongValue(f)
		}
	case Summary:
		if m.Summary == nil {
			return wrongValue(f)
		}
		return checkQuantiles(f, m.Summary.Quantiles)
	case Histogram, GaugeHistogram:
		if m.Histogram == nil {
			return wrongValue(f)
		}
		return checkHistogram(f, m.Histogram)
	}
	return nil
}

// validLabel reports whether name is a valid label name, and takes note of names that are
// not legacy names.
func (n *Normalizer) validLabel(name string) bool {
	if LegacyLabelName(name) {
		return true
	}
	n.plain = false
	return UTF8Validation.ValidLabel(name)
}

func wrongValue(f *Family) error {
	return Reject(BadValue, "metric family %q is of type %s, but one of its metrics holds no value of that type", f.Name, f.Type)
}

// checkReserved rejects labels that the samples of a summary or histogram have
// themselves.
func checkReserved(f *Family, m *Metric) error {
	reserved := ""
	switch f.Type {
	case Summary:
		reserved = QuantileLabel
	case Histogram, GaugeHistogram:
		reserved = BucketLabel
	default:
		return nil
	}
	for _, l := range m.Labels {
		if l.Name == reserved {
			return Reject(ReservedLabel,
				"the %s %q must not have a label %q, neither of its own nor from the URL: rename that label, since its samples "+
					"have one already", f.Type, f.Name, reserved)
		}
	}
	return nil
}

func checkQuantiles(f *Family, quantiles []Quantile) error {
	if q, ok := duplicate(len(quantiles), func(i int) float64 { return quantiles[i].Quantile }); ok {
		return Reject(DuplicateSeries, "a metric of the summary %q has the quantile %v twice", f.Name, q)
	}
	return nil
}

func checkHistogram(f *Family, h *HistogramValue) error {
	if le, ok := duplicate(len(h.Buckets), func(i int) float64 { return h.Buckets[i].UpperBound }); ok {
		return Reject(DuplicateSeries, "a metric of the histogram %q has the bucket le=\"%v\" twice", f.Name, le)
	}
	if h.CountFloat < 0 {
		return Reject(BadValue, "a metric of the histogram %q has a negative count", f.Name)
	}
	for i := range h.Buckets {
		if h.Buckets[i].CumulativeCountFloat < 0 {
			return Reject(BadValue, "a metric of the histogram %q has a bucket with a negative count", f.Name)
		}
		if err := checkExemplar(f, h.Buckets[i].Exemplar); err != nil {
			return err
		}
	}
	for i := range h.Exemplars {
		if err := checkExemplar(f, &h.Exemplars[i]); err != nil {
			return err
		}
	}
	if !h.Native() {
		return nil
	}
	if err := h.validateNative(); err != nil {
		return Reject(BadValue, "the native histogram %q is not valid: %v", f.Name, err)
	}
	return nil
}

// checkExemplar rejects exemplars that would make an exposition unreadable.
func checkExemplar(f *Family, e *Exemplar) error {
	if e == nil {
		return nil
	}
	for _, l := range e.Labels {
		switch {
		case !LegacyLabelName(l.Name):
			return Reject(BadName, "an exemplar of metric family %q has the invalid label name %q", f.Name, l.Name)
		case !utf8.ValidString(l.Value) || strings.Contains(l.Value, "\x00"):
			return Reject(BadUTF8,
				"an exemplar of metric family %q has a label %q whose value is not valid UTF-8 or has a zero byte: %q", f.Name, l.Name, l.Value)
		}
	}
	if !e.Timestamp.valid() {
		return Reject(BadValue, "an exemplar of metric family %q has a timestamp that is not between the years 1 and 9999", f.Name)
	}
	return nil
}

// valid reports whether google.protobuf.Timestamp allows t.
func (t Timestamp) valid() bool {
	const first, last = -62135596800, 253402300799
	return t.Seconds >= first && t.Seconds <= last && t.Nanos >= 0 && t.Nanos < 1e9
}

// duplicate returns a number that at returns for two of the indexes below n; all NaN
// are equal. Cost: O(n) if the numbers increase, as they should.
func duplicate(n int, at func(int) float64) (float64, bool) {
	increasing := true
	for i := 1; i < n && increasing; i++ {
		increasing = at(i-1) < at(i)
	}
	if increasing && (n != 1 || !math.IsNaN(at(0))) {
		return 0, false
	}
	sorted := make([]float64, n)
	for i := range sorted {
		sorted[i] = at(i)
	}
	slices.Sort(sorted)
	for i := 1; i < n; i++ {
		a, b := sorted[i-1], sorted[i]
		if a == b || math.IsNaN(a) && math.IsNaN(b) {
			return b, true
		}
	}
	return 0, false
}
