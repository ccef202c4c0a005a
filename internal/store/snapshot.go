package store

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"pushgateway/internal/metric"
)

// View is everything held, as it was at one moment between two changes. It is
// immutable and shared by all who read.
type Snapshot struct {
	// Families are sorted by name, each with at least one block.
	Families []*Family
	Totals   Totals

	groups []*Segment[*Group]
}

// Totals says how much is held.
type Totals struct {
	Groups int
	Series int   // label sets; a histogram counts once
	Bytes  int64 // of encoded families
	// Escaped counts the chunks with names that some expositions must escape.
	Escaped int
}

func (t *Totals) addEncodedFamily(c *EncodedFamily, sign int) {
	t.Series += sign * c.Series()
	t.Bytes += int64(sign * c.Size())
	if !c.plain {
		t.Escaped += sign
	}
}

// Groups returns the groups, ordered by their IDs.
func (v *Snapshot) Groups() iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		for _, b := range v.groups {
			for _, g := range b.Items {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// Group returns the group of this key, nil where there is none.
func (v *Snapshot) Group(key metric.GroupingKey) *Group {
	g, _ := findInSegments(v.groups, key.ID())
	return g
}

// Family returns the family of this name, nil if there is none. Cost: O(log families).
func (v *Snapshot) Family(name string) *Family {
	i, found := slices.BinarySearchFunc(v.Families, name, func(f *Family, name string) int { return strings.Compare(f.Name, name) })
	if !found {
		return nil
	}
	return v.Families[i]
}

// Family is all families of one name, those of every group that has one. It is
// immutable.
type Family struct {
	Name     string
	Type     metric.Type
	Segments []*Segment[*EncodedFamily]

	texts func() (help, unit string)
	cache // of what readers derived from the segments
}

func newFamily(name string, typ metric.Type, blocks []*Segment[*EncodedFamily]) *Family {
	f := &Family{Name: name, Type: typ, Segments: blocks}
	f.texts = sync.OnceValues(f.findTexts)
	return f
}

// Help returns the help text, which is the first one that a group gives.
func (f *Family) Help() string {
	help, _ := f.texts()
	return help
}

// Unit returns the unit, which is the first one that a group gives.
func (f *Family) Unit() string {
	_, unit := f.texts()
	return unit
}

func (f *Family) findTexts() (help, unit string) {
	for c := range f.All() {
		if help == "" {
			help = c.Help()
		}
		if unit == "" {
			unit = c.Unit()
		}
		if help != "" {
			// Units come with OpenMetrics alone, and from everyone or no one.
			break
		}
	}
	return help, unit
}

// Chunks returns the family's chunks, ordered by their groups' IDs.
func (f *Family) All() iter.Seq[*EncodedFamily] {
	return func(yield func(*EncodedFamily) bool) {
		for _, b := range f.Segments {
			for _, c := range b.Items {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Snapshot returns all that is stored, whole pushes only. Cost: O(families) after a
// change, and a pointer per segment of those that changed; O(1) otherwise.
func (s *Store) Snapshot() *Snapshot {
	s.visible.Lock()
	defer s.visible.Unlock()
	if s.snapshot == nil {
		v := &Snapshot{
			Families: make([]*Family, len(s.sorted)),
			Totals:   s.totals,
			groups:   s.groupRun.snapshot(),
		}
		for i, f := range s.sorted {
			if f.view == nil {
				f.view = newFamily(f.name, f.typ, f.run.snapshot())
			}
			v.Families[i] = f.view
		}
		s.snapshot = v
	}
	return s.snapshot
}

// Totals returns how much is stored. Cost: O(1).
func (s *Store) Totals() Totals {
	s.visible.Lock()
	defer s.visible.Unlock()
	return s.totals
}

// HiddenFamilies returns the names of stored families that cannot be exposed, since
// metrics of other types have these names; see Reserve. Pushes bring no such family;
// a journal can that was written while fewer names were reserved. Cost: O(families).
func (s *Store) HiddenFamilies() []string {
	s.visible.Lock()
	reserved := s.reserved
	s.visible.Unlock()
	var names []string
	for _, f := range s.Snapshot().Families {
		if typ, ok := reserved[f.Name]; ok && typ != f.Type {
			names = append(names, f.Name)
		}
	}
	return names
}
