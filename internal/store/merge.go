package store

import (
	"cmp"
	"errors"

	"pushgateway/internal/metric"
	"pushgateway/internal/sorted"
)

// checkOptions rejects a push that would mix sums with values in its group, old.
func (p *Push) checkOptions(old *Group) error {
	if old.empty() || p.replaces(old) || len(p.families) == 0 {
		return nil
	}
	switch sum := p.options.Merge == metric.MergeSum; {
	case sum && !old.Summed:
		return concerning(p.key, metric.Reject(metric.BadMerge,
			"group %s has values that were pushed without merge=sum, to which nothing can be added", p.key).With(metric.DeleteGroup))
	case sum, p.options.Merge == metric.MergeEach:
		return p.checkFamilies(old)
	case old.Summed:
		return concerning(p.key, metric.Reject(metric.BadMerge,
			"group %s adds up what is pushed to it, and this push would replace a part of the sums", p.key).With(metric.SumOrReplace))
	}
	return nil
}

// checkFamilies rejects a push that would add to values in its group, old, or replace sums there. Families that are
// added up may be beside those that are not. Gauges of a summed group are sums only if the push says so.
func (p *Push) checkFamilies(old *Group) error {
	for i := range p.families {
		f := &p.families[i]
		same := old.Family(f.Name)
		if same == nil {
			continue
		}
		gauge := f.Type == metric.Gauge && old.Summed
		switch summed, merge := old.Summed && !same.replaced(), p.options.mergeOf(f); {
		case merge == metric.MergeSum && !summed && !(gauge && p.options.Gauges != metric.GaugeSum):
			return concerning(p.key, metric.Reject(metric.BadMerge,
				"%q would be added to what group %s has, but that was pushed as a value and not as a part of a sum", f.Name, p.key).
				With(metric.DeleteGroup))
		case merge == metric.MergeSeries && summed && !gauge:
			return concerning(p.key, metric.Reject(metric.BadMerge,
				"%q is pushed as a value and not as a part of a sum (with OTLP: with cumulative temporality and not delta), "+
					"and would replace what group %s has added up", f.Name, p.key).With(metric.DeleteGroup))
		}
	}
	return nil
}

// concerning returns a rejection whose fix is about the group called key.
func concerning(key metric.GroupingKey, rejection *metric.RejectionError) *metric.RejectionError {
	rejection.Group = key
	return rejection
}

// mergeSeries merges the old series of the group into pushed, which are the families of
// p and the two push times: of each series the pushed value stays, or the sum.
func (p *Push) mergeSeries(pushed []*EncodedFamily, old *Group) error {
	var scratch []byte
	at := 0 // in p.families
	for i, j := range sorted.Join(len(pushed), len(old.Families), func(i, j int) int { return compareNames(pushed[i], old.Families[j]) }) {
		if i < 0 {
			continue
		}
		if at == len(p.families) || pushed[i].Name() != p.families[at].Name {
			pushed[i] = pushed[i].clone() // a push time; it would hold on to what was pushed
			continue
		}
		f := p.families[at]
		f.Metrics = p.metrics(at)
		at++
		if j < 0 {
			continue
		}
		same := old.Families[j]
		merged := metric.Family{Name: f.Name, Help: f.Help, Unit: f.Unit, Type: mergedType(f.Type, same.Type())}
		var err error
		switch p.options.mergeOf(&f) {
		case metric.MergeFamily:
			continue
		case metric.MergeSum:
			merged.Metrics, err = metric.AddMetrics(&f, same.Metrics(), p.options.Gauges)
		default:
			merged.Metrics = union(f.Metrics, same.Metrics(), func(a, b metric.Metric) int { return metric.CompareLabels(a.Labels, b.Labels) })
		}
		if rejection, ok := errors.AsType[*metric.RejectionError](err); ok {
			return concerning(p.key, rejection)
		}
		// Help and unit stay if the push has none, so the header is usually the old one.
		h := same.header
		if next := (header{same.Name(), cmp.Or(pushed[i].Help(), same.Help()), cmp.Or(pushed[i].Unit(), same.Unit()), merged.Type}); next != *h {
			h = &next
		}
		replaced := pushed[i].replaced()
		pushed[i], scratch = newEncodedFamily(&merged, h, p.key, p.at, pushed[i].Plain() && same.Plain(), scratch)
		if replaced {
			pushed[i].setReplaced()
		}
	}
	return nil
}

// union merges two sorted lists. Of items that compare equal, it takes that of first.
func union[T any](first, second []T, compare func(a, b T) int) []T {
	all := make([]T, 0, len(first)+len(second))
	for i, j := range sorted.Join(len(first), len(second), func(i, j int) int { return compare(first[i], second[j]) }) {
		if i >= 0 {
			all = append(all, first[i])
		} else {
			all = append(all, second[j])
		}
	}
	return all
}
