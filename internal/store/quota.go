package store

import (
	"fmt"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

// Quota bounds what is stored. Only growth is rejected: even if a bound is exceeded, for
// example after it was lowered, a group can be replaced by one that is not larger.
type Quota struct {
	// Groups, Series and Bytes bound the store as a whole, as Totals counts; 0 is no bound.
	Groups, Series, Bytes int64
	// Rules are the limits of the rules. limits.Groups and limits.TotalSeries of a rule bound
	// all groups together to which the rule applies.
	Rules []limits.Limits
	// RuleOf returns the index in Rules of the rule for a group, or -1. It may be nil if
	// there are no rules.
	RuleOf func(metric.GroupingKey) int
}

// countsRules reports whether the groups of a rule are bounded.
func (q *Quota) countsRules() bool {
	for i := range q.Rules {
		if q.Rules[i].Max(limits.Groups) > 0 || q.Rules[i].Max(limits.TotalSeries) > 0 {
			return true
		}
	}
	return false
}

// usage is what is stored in all, and by rule.
type usage struct {
	total size
	rules []size // empty if the quota bounds no rule
}

type size struct{ groups, series, bytes int64 }

// sizeOf returns the size of a group, which may be nil. Cost: that of Group.count.
func sizeOf(g *Group) size {
	t := g.count()
	return size{int64(t.Groups), int64(t.Series), t.Bytes}
}

func (s size) plus(o size) size {
	return size{s.groups + o.groups, s.series + o.series, s.bytes + o.bytes}
}
func (s size) minus(o size) size {
	return size{s.groups - o.groups, s.series - o.series, s.bytes - o.bytes}
}

// Quota returns what SetQuota set; the zero value if nothing is bounded. Cost: O(1).
func (s *Store) Quota() Quota {
	s.visible.Lock()
	defer s.visible.Unlock()
	if s.quota == nil {
		return Quota{}
	}
	return *s.quota
}

// SetQuota bounds what is stored from now on. Nothing is deleted because of it. Cost:
// O(groups) if a rule has bounds, while changes and readers wait; otherwise O(1).
func (s *Store) SetQuota(q Quota) {
	s.visible.Lock()
	defer s.visible.Unlock()
	s.quota, s.ruleUsage = &q, nil
	if !q.countsRules() {
		if q.Groups == 0 && q.Series == 0 && q.Bytes == 0 {
			s.quota = nil // nothing to count
		}
		return
	}
	s.ruleUsage = make([]size, len(q.Rules))
	for _, g := range s.groups {
		s.countRule(nil, g)
	}
}

// countRule counts the change of a group for its rule. The caller holds visible.
func (s *Store) countRule(old, next *Group) {
	if len(s.ruleUsage) == 0 {
		return
	}
	key := next
	if key == nil {
		key = old
	}
	if key == nil {
		return
	}
	if i := s.quota.RuleOf(key.Key); i >= 0 {
		s.ruleUsage[i] = s.ruleUsage[i].plus(sizeOf(next)).minus(sizeOf(old))
	}
}

// begin has the batch account for what is stored.
func (b *batch) begin() {
	s := b.store
	s.visible.Lock()
	defer s.visible.Unlock()
	b.quota = s.quota
	if b.quota != nil {
		b.usage.total = size{int64(s.totals.Groups), int64(s.totals.Series), s.totals.Bytes}
		b.usage.rules = append(b.usage.rules[:0], s.ruleUsage...)
	}
}

// account counts the change of a group.
func (b *batch) account(old, next *Group) {
	if b.quota == nil {
		return
	}
	change := sizeOf(next).minus(sizeOf(old))
	b.usage.total = b.usage.total.plus(change)
	if len(b.usage.rules) == 0 {
		return
	}
	key := next
	if key == nil {
		key = old
	}
	if key != nil {
		if i := b.quota.RuleOf(key.Key); i >= 0 {
			b.usage.rules[i] = b.usage.rules[i].plus(change)
		}
	}
}

// checkQuota rejects a change of a group that would make more than the quota allows. The
// error is a *metric.RejectionError.
func (b *batch) checkQuota(old, next *Group) error {
	if b.quota == nil {
		return nil
	}
	change := sizeOf(next).minus(sizeOf(old))
	total := b.usage.total.plus(change)
	q := b.quota
	for _, bound := range []struct {
		change, total, max int64
		what, name         string
	}{
		{change.groups, total.groups, q.Groups, "groups", "storage.max-groups"},
		{change.series, total.series, q.Series, "series", "storage.max-series"},
		{change.bytes, total.bytes, q.Bytes, "bytes", "storage.max-bytes"},
	} {
		if bound.max > 0 && bound.change > 0 && bound.total > bound.max {
			return rejectQuota(bound.change, bound.what, bound.max, bound.name, "all groups together")
		}
	}
	if len(b.usage.rules) == 0 {
		return nil
	}
	i := q.RuleOf(next.Key)
	if i < 0 {
		return nil
	}
	total = b.usage.rules[i].plus(change)
	l := &q.Rules[i]
	if change.groups > 0 && l.Exceeded(limits.Groups, int(total.groups)) {
		return rejectQuota(change.groups, "groups", l.Max(limits.Groups), limits.Groups.String(), fmt.Sprintf("the groups of rule %d", i+1))
	}
	if change.series > 0 && l.Exceeded(limits.TotalSeries, int(total.series)) {
		return rejectQuota(change.series, "series", l.Max(limits.TotalSeries), limits.TotalSeries.String(), fmt.Sprintf("the groups of rule %d", i+1))
	}
	return nil
}

func rejectQuota(change int64, what string, max int64, name, of string) error {
	return metric.Reject(metric.QuotaExceeded, "the push would add %d %s, but %s must not have more than %d (%s): "+
		"delete what is no longer needed, or push less; to replace a group by something no larger is always possible",
		change, what, of, max, name)
}

// checkGroupLimit rejects a push after which its group, next, would have grown beyond a
// limit.
func (p *Push) checkGroupLimit(old, next *Group) error {
	l := &p.options.Limits
	if l.Max(limits.GroupSeries) == 0 {
		return nil
	}
	before, after := sizeOf(old).series, sizeOf(next).series
	if after > before && l.Exceeded(limits.GroupSeries, int(after)) {
		return rejectLimit(limits.GroupSeries, l, "the group would have %d series, its push times included", after)
	}
	return nil
}

// checkLabels rejects a normalized family with a series that exceeds a limit. It counts
// what Prometheus will see: the name is a label, and samples of histograms and summaries
// have one more.
func checkLabels(f *metric.Family, l *limits.Limits) error {
	count, name := 1, len(f.Name)
	switch f.Type {
	case metric.Histogram, metric.GaugeHistogram:
		count, name = 2, name+len("_bucket")
	case metric.Summary:
		count, name = 2, name+len("_count")
	}
	if l.Exceeded(limits.LabelValueLength, name) {
		return rejectLimit(limits.LabelValueLength, l, "the name of the metric %q has %d bytes", f.Name, name)
	}
	for i := range f.Metrics {
		n := count
		for _, label := range f.Metrics[i].Labels {
			if label.Value == "" {
				continue // as good as absent
			}
			n++
			if l.Exceeded(limits.LabelNameLength, len(label.Name)) {
				return rejectLimit(limits.LabelNameLength, l, "the label name %q of %q has %d bytes", label.Name, f.Name, len(label.Name))
			}
			if l.Exceeded(limits.LabelValueLength, len(label.Value)) {
				return rejectLimit(limits.LabelValueLength, l, "the value of the label %q of %q has %d bytes", label.Name, f.Name, len(label.Value))
			}
		}
		if l.Exceeded(limits.Labels, n) {
			return rejectLimit(limits.Labels, l, "the series %s%s has %d labels, its name included", f.Name, metric.FormatLabels(f.Metrics[i].Labels), n)
		}
	}
	return nil
}

func rejectLimit(k limits.Kind, l *limits.Limits, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	return metric.Reject(metric.LimitExceeded, "%s, which is more than the limit of %d (%s)", what, l.Max(k), k)
}
