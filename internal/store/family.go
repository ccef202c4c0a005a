package store

import (
	"slices"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/sorted"
)

// family is the index entry of the families of one name in all groups.
type family struct {
	name string
	types
	run run[*EncodedFamily]
	// retyped are the segments of a mixed family by those of run; see segments.
	retyped map[*Segment[*EncodedFamily]]*Segment[*EncodedFamily]
	// shapes are those of the groups that have the family.
	shapes shapes
	view   *Family // nil once the family has changed
	// announced counts pushes that may add the family; see announce.
	announced int
	listed    bool // in the familyList
}

// compositeSuffixes are the suffixes of the samples of summaries and histograms.
var compositeSuffixes = [...]string{"_count", "_sum", "_bucket"}

// hasSample reports whether a family of the type has samples with this suffix.
func hasSample(typ metric.Type, suffix string) bool {
	return typ.HasBuckets() || typ == metric.Summary && suffix != "_bucket"
}

// cutSampleSuffix splits a name that a sample of a summary or histogram could have.
func cutSampleSuffix(name string) (base, suffix string, ok bool) {
	for _, suffix := range compositeSuffixes {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			return base, suffix, true
		}
	}
	return "", "", false
}

// familyList lists families by name. Additions and removals are gathered and merged
// when the list is next asked for, so that each costs O(log n) amortized, however many
// families there are.
type familyList struct {
	sorted  []*family // may have some that are removed
	added   []*family // since, in no order
	removed int       // families in either that no group has any more
}

// add adds a family that was removed or is new.
func (l *familyList) add(f *family) {
	if f.listed {
		l.removed--
		return
	}
	f.listed = true
	l.added = append(l.added, f)
}

// remove removes a family, which no group has any more.
func (l *familyList) remove() {
	l.removed++
	if l.removed > 1024 && l.removed > (len(l.sorted)+len(l.added))/2 {
		l.all() // to give back their memory, if nobody asks for the list
	}
}

// all returns the families by name. The result is valid until the next change.
func (l *familyList) all() []*family {
	if len(l.added) == 0 && l.removed == 0 {
		return l.sorted
	}
	byName := func(a, b *family) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(l.added, byName)
	merged := make([]*family, 0, len(l.sorted)+len(l.added)-l.removed)
	for i, j := range sorted.Join(len(l.sorted), len(l.added), func(i, j int) int { return byName(l.sorted[i], l.added[j]) }) {
		f := (*family)(nil)
		if i >= 0 {
			f = l.sorted[i]
			if f.groups > 0 {
				merged = append(merged, f)
			} else {
				f.listed = false
			}
		}
		if j < 0 {
			continue
		}
		// A removed family may have left one of the same name.
		if f = l.added[j]; f.groups > 0 {
			merged = append(merged, f)
		} else {
			f.listed = false
		}
	}
	*l = familyList{sorted: merged}
	return merged
}
