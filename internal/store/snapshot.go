package store

import (
	"iter"
	"slices"
	"sync"

	"pushgateway/internal/metric"
)

// Snapshot is all that is stored, as it was at one moment between two batches. It is
// immutable and shared by its readers.
type Snapshot struct {
	Totals Totals

	groups   []*Segment[*Group]
	families []*Segment[*Family]
	// all is families in one list; see Families.
	all    []*Family
	listed sync.Once
}

// Totals are the sizes of what is stored.
type Totals struct {
	Groups int
	Series int   // label sets; a histogram counts once
	Bytes  int64 // of encoded families
	// Escaped counts the encoded families with names that some expositions escape.
	Escaped int
}

// count returns what the encoded family adds to the totals.
func (e *EncodedFamily) count() Totals {
	t := Totals{Series: e.Series(), Bytes: int64(e.Size())}
	if !e.Plain() {
		t.Escaped = 1
	}
	return t
}

func (t Totals) plus(o Totals) Totals {
	return Totals{t.Groups + o.Groups, t.Series + o.Series, t.Bytes + o.Bytes, t.Escaped + o.Escaped}
}

func (t Totals) minus(o Totals) Totals {
	return Totals{t.Groups - o.Groups, t.Series - o.Series, t.Bytes - o.Bytes, t.Escaped - o.Escaped}
}

// Groups iterates over the groups, ordered by their IDs.
func (v *Snapshot) Groups() iter.Seq[*Group] { return items(v.groups) }

// Group returns the group of this key, nil if there is none. Cost: O(log groups).
func (v *Snapshot) Group(key metric.GroupingKey) *Group {
	g, _ := findInSegments(v.groups, key.ID())
	return g
}

// Families returns the families, sorted by name. Each has at least one segment. The caller
// must not change them. Cost: O(families) the first time.
func (v *Snapshot) Families() []*Family {
	v.listed.Do(func() {
		count := 0
		for _, segment := range v.families {
			count += len(segment.Items)
		}
		// A list that grows is copied, and while the collector marks, a long list of
		// pointers takes so long that others notice: nothing interrupts a copy.
		v.all = slices.AppendSeq(make([]*Family, 0, count), items(v.families))
	})
	return v.all
}

// Family returns the family of this name, nil if there is none. Cost: O(log families).
func (v *Snapshot) Family(name string) *Family {
	f, _ := findInSegments(v.families, name)
	return f
}

// Family is the families of one name in all groups. It is immutable.
type Family struct {
	Name     string
	Type     metric.Type // also of all encoded families in Segments
	Segments []*Segment[*EncodedFamily]

	describe   sync.Once
	help, unit string // see describe

	home *leaf[*Family] // in Store.list; guarded by its lock

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

func (f *Family) order() string            { return f.Name }
func (f *Family) weight() int              { return maxSegmentWeight / familiesPerSegment }
func (f *Family) leaf() *leaf[*Family]     { return f.home }
func (f *Family) setLeaf(l *leaf[*Family]) { f.home = l }

// familiesPerSegment is about how many families a segment of the list of families has.
const familiesPerSegment = 256

// Snapshot returns all that is stored. It shows each push as a whole or not at all. Cost:
// O(1) if nothing has changed since the last call; otherwise a pointer per segment of the
// families that changed, and a pointer per hundred of all families.
func (s *Store) Snapshot() *Snapshot {
	for {
		for s.settle() {
		}
		if v := s.settledSnapshot(); v != nil {
			return v
		}
	}
}

// settledSnapshot is Snapshot if all is settled, otherwise nil.
func (s *Store) settledSnapshot() *Snapshot {
	s.visible.Lock()
	defer s.visible.Unlock()
	if s.unsettled.Load() != nil {
		return nil
	}
	if s.snapshot == nil {
		for _, f := range s.stale {
			if f.stale {
				s.refresh(f)
			}
		}
		clear(s.stale)
		s.stale = s.stale[:0]
		s.snapshot = &Snapshot{Totals: s.totals, groups: s.groupRun.snapshot(), families: s.list.snapshot()}
	}
	return s.snapshot
}

// Groups iterates over all groups, ordered by their IDs, as they were at one moment. Cost:
// that of Snapshot, without the families.
func (s *Store) Groups() iter.Seq[*Group] {
	s.visible.Lock()
	defer s.visible.Unlock()
	return items(s.groupRun.snapshot())
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
	for _, f := range s.Snapshot().Families() {
		if typ, ok := reserved[f.Name]; ok && typ != f.Type {
			names = append(names, f.Name)
		}
	}
	return names
}
