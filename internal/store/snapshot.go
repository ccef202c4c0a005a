package store

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"pushgateway/internal/metric"
)

// Snapshot is all that is stored, as it was at one moment between two batches. It is
// immutable and shared by its readers.
type Snapshot struct {
	// Families are sorted by name. Each has at least one segment.
	Families []*Family
	Totals   Totals

	groups []*Segment[*Group]
}

// Totals are the sizes of what is stored.
type Totals struct {
	Groups int
	Series int   // label sets; a histogram counts once
	Bytes  int64 // of encoded families
	// Escaped counts the encoded families with names that some expositions escape.
	Escaped int
}

func (t *Totals) addFamily(e *EncodedFamily, sign int) {
	t.Series += sign * e.Series()
	t.Bytes += int64(sign * e.Size())
	if !e.plain {
		t.Escaped += sign
	}
}

// Groups iterates over the groups, ordered by their IDs.
func (v *Snapshot) Groups() iter.Seq[*Group] { return items(v.groups) }

// Group returns the group of this key, nil if there is none. Cost: O(log groups).
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

// Family is the families of one name in all groups. It is immutable.
type Family struct {
	Name     string
	Type     metric.Type // also of all encoded families in Segments
	Segments []*Segment[*EncodedFamily]

	describe   sync.Once
	help, unit string // see describe

	cache // of what readers derived from the segments
}

// Help returns the help text, which is the first one that a group gives. Cost: O(groups)
// the first time.
func (f *Family) Help() string {
	f.describe.Do(f.findTexts)
	return f.help
}

// Unit returns the unit, which is the first one that a group gives. Cost: O(groups) the
// first time.
func (f *Family) Unit() string {
	f.describe.Do(f.findTexts)
	return f.unit
}

func (f *Family) findTexts() {
	for e := range f.All() {
		if f.help == "" {
			f.help = e.Help()
		}
		if f.unit == "" {
			f.unit = e.Unit()
		}
		if f.help != "" {
			// Units come only with OpenMetrics, and usually from all groups or none.
			break
		}
	}
}

// All iterates over the encoded families, ordered by their groups' IDs.
func (f *Family) All() iter.Seq[*EncodedFamily] { return items(f.Segments) }

func items[T any](segments []*Segment[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, segment := range segments {
			for _, x := range segment.Items {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// Snapshot returns all that is stored. It shows each push as a whole or not at all. Cost:
// O(1) if nothing has changed since the last call; otherwise O(families), plus a pointer
// per segment of the families that changed.
func (s *Store) Snapshot() *Snapshot {
	s.visible.Lock()
	defer s.visible.Unlock()
	if s.snapshot == nil {
		families := s.list.all()
		v := &Snapshot{
			Families: make([]*Family, len(families)),
			Totals:   s.totals,
			groups:   s.groupRun.snapshot(),
		}
		for i, f := range families {
			if f.view == nil {
				f.view = &Family{Name: f.name, Type: f.typeOf(), Segments: f.segments()}
			}
			v.Families[i] = f.view
		}
		s.snapshot = v
	}
	return s.snapshot
}

// Totals returns the sizes of what is stored. Cost: O(1).
func (s *Store) Totals() Totals {
	s.visible.Lock()
	defer s.visible.Unlock()
	return s.totals
}

// HiddenFamilies returns the names of stored families that cannot be exposed, since
// metrics of other types have these names; see Reserve. Pushes cannot add such a
// family, but a journal may have one that was written when fewer names were reserved. Cost:
// O(families).
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
