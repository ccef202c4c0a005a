package store

import (
	"cmp"
	"errors"
	"unique"

	"pushgateway/internal/metric"
)

// checkOptions rejects a push that would mix sums with values, by what its group,
// old, is.
func (p *Push) checkOptions(old *Group) error {
	if old.empty() || p.replaces(old) || len(p.families) == 0 {
		return nil
	}
	switch sum := p.options.Merge == metric.MergeSum; {
	case sum && !old.Summed:
		return concerning(p.key, metric.Reject(metric.BadMerge,
			"group %s holds values that were pushed without merge=sum, to which nothing can be added", p.key).With(metric.DeleteGroup))
	case !sum && old.Summed:
		return concerning(p.key, metric.Reject(metric.BadMerge,
			"group %s adds up what is pushed to it, and this push would replace a part of the sums", p.key).With(metric.SumOrReplace))
	}
	return nil
}

// concerning returns a rejection whose fix is about the group called key.
func concerning(key metric.GroupingKey, rejection *metric.RejectionError) *metric.RejectionError {
	rejection.Group = key
	return rejection
}

// mergeSeries replaces the families in pushed, which are those of p and the two push
// times, with what they are together with the old ones of the group: of each series
// the pushed value, or the sum.
func (p *Push) mergeSeries(pushed []*EncodedFamily, old *Group) error {
	var scratch []byte
	at, held := 0, old.Families
	for i, c := range pushed {
		if at == len(p.families) {
			break
		}
		if c.Name() != p.families[at].Name {
			continue // a push time
		}
		f := p.families[at]
		f.Metrics = p.metrics(at)
		at++
		for len(held) > 0 && held[0].Name() < f.Name {
			held = held[1:]
		}
		if len(held) == 0 || held[0].Name() != f.Name {
			continue
		}
		merged := metric.Family{Name: f.Name, Help: f.Help, Unit: f.Unit, Type: f.Type}
		var err error
		if p.options.Merge == metric.MergeSum {
			merged.Metrics, err = metric.AddMetrics(&f, held[0].Metrics(), p.options.Gauges)
		} else {
			merged.Metrics = mergeSorted(f.Metrics, held[0].Metrics(),
				func(a, b metric.Metric) int { return metric.CompareLabels(a.Labels, b.Labels) })
		}
		if rejection, ok := errors.AsType[*metric.RejectionError](err); ok {
			return concerning(p.key, rejection)
		}
		// What was known of the family stays known, and mostly is all there is to know.
		h := held[0].header
		if next := (header{f.Name, cmp.Or(f.Help, held[0].Help()), cmp.Or(f.Unit, held[0].Unit()), f.Type}); next != h.Value() {
			h = unique.Make(next)
		}
		pushed[i], scratch = newEncodedFamily(&merged, h, p.key, p.at, c.plain && held[0].plain, scratch)
	}
	return nil
}

// mergeSorted merges two sorted lists. Of items that compare equal, it takes that of
// first.
func mergeSorted[T any](first, second []T, compare func(a, b T) int) []T {
	all := make([]T, 0, len(first)+len(second))
	for len(first) > 0 && len(second) > 0 {
		switch c := compare(first[0], second[0]); {
		case c > 0:
			all, second = append(all, second[0]), second[1:]
		case c == 0:
			second = second[1:]
			fallthrough
		default:
			all, first = append(all, first[0]), first[1:]
		}
	}
	return append(append(all, first...), second...)
}
