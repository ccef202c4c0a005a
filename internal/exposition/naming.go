package exposition

import (
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/prometheus/common/model"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// sampleSuffixes returns what the names of the samples of a family of the type have after
// the family's name.
func sampleSuffixes(typ metric.Type) []string {
	switch typ {
	case metric.Histogram, metric.GaugeHistogram:
		return []string{"", "_bucket", "_count", "_sum"}
	case metric.Summary:
		return []string{"", "_count", "_sum"}
	}
	return []string{""}
}

// hasComposite reports whether the name is that of a sample of a histogram or summary that
// find knows.
func hasComposite(name string, find func(base string) (metric.Type, bool)) bool {
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			if typ, known := find(base); known && slices.Contains(sampleSuffixes(typ), suffix) {
				return true
			}
		}
	}
	return false
}

// typeOf returns the type of a family, which may be nil.
func typeOf(f *store.Family) (metric.Type, bool) {
	if f == nil {
		return 0, false
	}
	return f.Type, true
}

// assignNames chooses names for the families whose own names the scheme escapes. They get
// the escaped name unless that is in use; then the one of the scheme that keeps most names
// apart, with underscores behind it until it is free.
func (e *exposer) assignNames() {
	e.claimed = map[string]struct{}{}
	if e.scheme == model.NoEscaping || e.view.Totals.Escaped == 0 {
		return
	}
	e.assigned = map[string]string{}
	for _, f := range e.view.Families() {
		if metric.LegacyMetricName(f.Name) {
			continue
		}
		name := model.EscapeName(f.Name, e.scheme)
		if !e.free(name, f.Type) {
			name = model.EscapeName(f.Name, model.ValueEncodingEscaping)
		}
		for !e.free(name, f.Type) {
			name += "_"
		}
		e.assigned[f.Name] = name
		for _, suffix := range sampleSuffixes(f.Type) {
			e.claimed[name+suffix] = struct{}{}
		}
	}
}

// nameOf returns the name that the family of this name is exposed with.
func (e *exposer) nameOf(name string) string {
	if assigned, ok := e.assigned[name]; ok {
		return assigned
	}
	return name
}

// free reports whether no other family has a sample of a name that a family of this name and
// type would have.
func (e *exposer) free(name string, typ metric.Type) bool {
	return !slices.ContainsFunc(sampleSuffixes(typ), func(suffix string) bool { return e.inUse(name + suffix) })
}

// inUse reports whether a family or a sample has the name.
func (e *exposer) inUse(name string) bool {
	if _, ok := e.claimed[name]; ok {
		return true
	}
	_, known := e.find(name)
	return known || hasComposite(name, e.find)
}

// find returns the type of the family that is exposed with its own name, which this is.
func (e *exposer) find(name string) (metric.Type, bool) {
	i := sort.Search(len(e.self), func(i int) bool { return e.self[i].Name >= name })
	if i < len(e.self) && e.self[i].Name == name {
		return e.self[i].Type, true
	}
	if _, renamed := e.assigned[name]; renamed {
		return 0, false
	}
	return typeOf(e.view.Family(name))
}

// typed reports whether OpenMetrics can hold a family with its type, and claims the names
// that readers count as the family's besides those of its samples.
func (e *exposer) typed(name string, typ metric.Type, fits bool) bool {
	var extra []string
	switch typ {
	case metric.Counter:
		base := wire.OpenMetricsName(name, typ)
		if base == name || base == "" {
			return false // the samples would need other names than in the text format
		}
		extra = []string{base, base + "_created"}
	case metric.Summary, metric.Histogram:
		extra = []string{name + "_created"}
	}
	if !fits || slices.ContainsFunc(extra, e.inUse) {
		return false
	}
	for _, name := range extra {
		e.claimed[name] = struct{}{}
	}
	return true
}

// renaming is a map of label names to those that they are exposed with.
type renaming struct {
	names   map[string]string
	variant string // of forms with these names
}

func newRenaming(names map[string]string) *renaming {
	var variant strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		variant.WriteString("\xff" + name + "\xff" + names[name]) // no name contains this byte
	}
	return &renaming{names, variant.String()}
}

// apply renames labels, which it changes.
func (r *renaming) apply(labels []metric.Label) {
	if r == nil {
		return
	}
	for i := range labels {
		if name, ok := r.names[labels[i].Name]; ok {
			labels[i].Name = name
		}
	}
	slices.SortFunc(labels, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
}

// labelsOf returns the names that the labels of the family are exposed with; nil if these are
// their own.
func (e *exposer) labelsOf(f *store.Family) *renaming {
	if e.scheme == model.NoEscaping || e.view.Totals.Escaped == 0 {
		return nil
	}
	return f.Cached(store.Form{Kind: renamingKind + uint8(e.scheme), Variant: ""}, func() any { return renameLabels(f, e.scheme) }).(*renaming)
}

func renameLabels(f *store.Family, scheme model.EscapingScheme) *renaming {
	names := labelNames(f)
	// Names that renamed labels must not get.
	used := map[string]bool{model.MetricNameLabel: true}
	switch f.Type {
	case metric.Histogram, metric.GaugeHistogram:
		used[metric.BucketLabel] = true
	case metric.Summary:
		used[metric.QuantileLabel] = true
	}
	var foreign []string
	for _, name := range names {
		if metric.LegacyLabelName(name) {
			used[name] = true
		} else {
			foreign = append(foreign, name)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	escaped, unique := map[string]string{}, map[string]bool{}
	for _, name := range foreign {
		escaped[name] = model.EscapeName(name, scheme)
		unique[escaped[name]] = true
	}
	meet := len(unique) < len(foreign) || slices.ContainsFunc(foreign, func(name string) bool { return used[escaped[name]] })
	if r := newRenaming(escaped); !meet || staysDistinct(f, r) {
		return r
	}
	for _, name := range foreign {
		other := model.EscapeName(name, model.ValueEncodingEscaping)
		for used[other] {
			other += "_"
		}
		used[other] = true
		escaped[name] = other
	}
	return newRenaming(escaped)
}

// staysDistinct reports whether, with its labels renamed, no metric of the family has a label
// twice or one that the exposition needs itself, and no two metrics have the same labels.
// Cost: O(series).
func staysDistinct(f *store.Family, r *renaming) bool {
	seen := map[string]struct{}{}
	for c := range f.All() {
		metrics := c.Metrics()
		for i := range metrics {
			labels := metrics[i].Labels
			r.apply(labels)
			for j, l := range labels {
				bound := f.Type.HasBuckets() && l.Name == metric.BucketLabel || f.Type == metric.Summary && l.Name == metric.QuantileLabel
				if bound || l.Name == model.MetricNameLabel || j > 0 && l.Name == labels[j-1].Name {
					return false
				}
			}
			id := metric.FormatLabels(labels)
			if _, twice := seen[id]; twice {
				return false
			}
			seen[id] = struct{}{}
		}
	}
	return true
}
