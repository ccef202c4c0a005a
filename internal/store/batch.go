package store

import (
	"iter"

	"pushgateway/internal/sorted"
)

// batch is the store as it will be once the changes gathered so far have been applied.
// It only reads the store, so nothing has happened until it is published.
type batch struct {
	store   *Store
	wiped   bool              // all groups of the store count as deleted
	groups  map[string]*Group // changed groups by ID, nil if deleted
	changed []string          // their IDs in the order of the first change
	// families are the changed families, without what is unfolded. The last change of a
	// batch need not be folded, which spares a lone push most of this cost.
	families map[string]pendingFamily
	unfolded []groupChange
	checking check // the last one; its memory is reused for the next

	quota *Quota // nil if nothing is bounded
	usage usage  // what is stored once the batch is applied; unused without a quota
}

// pendingFamily is a family as the batch leaves it.
type pendingFamily struct {
	types
	added []shape // of groups that came to have it; shapes that went may remain
}

// groupChange is a change from one state of a group to the next; either may be nil.
type groupChange struct{ old, next *Group }

// families returns how many families the two states have.
func (c groupChange) families() int {
	n := 0
	for _, g := range [...]*Group{c.old, c.next} {
		if g != nil {
			n += len(g.Families)
		}
	}
	return n
}

func (b *batch) reset() {
	b.wiped, b.changed, b.quota, b.checking = false, b.changed[:0], nil, check{}
	clear(b.groups)
	clear(b.families)
	clear(b.unfolded)
	b.unfolded = b.unfolded[:0]
	if cap(b.changed) > maxReused { // a map does not shrink
		usage := b.usage
		*b = newBatch(b.store)
		b.usage = usage
	}
}

// maxReused is how many changes a batch may have had that is used again.
const maxReused = 4096

func newBatch(s *Store) batch {
	return batch{store: s, groups: map[string]*Group{}, families: map[string]pendingFamily{}}
}

// changes returns what the journal has to persist.
func (b *batch) changes() Changes {
	c := Changes{Wiped: b.wiped}
	if len(b.changed) > 0 {
		c.Groups = make([]Change, len(b.changed))
	}
	for i, id := range b.changed {
		c.Groups[i] = Change{ID: id, Group: b.groups[id]}
	}
	return c
}

// group returns the group of this ID, nil if there is none.
func (b *batch) group(id string) *Group {
	if g, ok := b.groups[id]; ok {
		return g
	}
	if b.wiped {
		return nil
	}
	return b.store.groups[id]
}

// find returns the store's index entry for a family, nil if there is none that counts. e
// is an encoded family of that name, nil if none is at hand.
func (b *batch) find(name string, e *EncodedFamily) *family {
	if b.wiped {
		return nil
	}
	b.store.settleFamily(name)
	if e != nil && e.family != nil {
		return e.family
	}
	return b.store.families[name]
}

// family returns what is known of the families of a name. e is as in find.
func (b *batch) family(name string, e *EncodedFamily) pendingFamily {
	if len(b.families) > 0 {
		if f, ok := b.families[name]; ok {
			return f
		}
	}
	if f := b.find(name, e); f != nil {
		return pendingFamily{types: f.types}
	}
	return pendingFamily{}
}

// shapesOf returns the shapes of the groups that have the family, and perhaps of some
// that no longer do: those the store knows, and those the batch added. e is as in find.
func (b *batch) shapesOf(name string, e *EncodedFamily) (known *shapes, added []shape) {
	if len(b.families) > 0 {
		added = b.families[name].added
	}
	if f := b.find(name, e); f != nil {
		return &f.shapes, added
	}
	return &shapes{}, added
}

// put makes next the group of this ID; nil deletes it. What family and shapesOf return
// changes with the next fold.
func (b *batch) put(id string, next *Group) {
	old := b.group(id)
	if _, again := b.groups[id]; !again {
		b.changed = append(b.changed, id)
	}
	b.groups[id] = next
	b.account(old, next)
	b.unfolded = append(b.unfolded, groupChange{old, next})
}

// fold makes the changes so far count in family and shapesOf. Cost: O(their families).
func (b *batch) fold() {
	for _, c := range b.unfolded {
		for before, after := range differences(c.old, c.next) {
			e := after
			if e == nil {
				e = before
			}
			f := b.family(e.Name(), e)
			if before != nil {
				f.remove(before.Type())
			}
			if after != nil {
				f.add(after.Type())
			}
			if before == nil {
				f.added = append(f.added, c.next.shape)
			}
			b.families[e.Name()] = f
		}
	}
	clear(b.unfolded)
	b.unfolded = b.unfolded[:0]
}

// large reports whether what fold has to do is much.
func (b *batch) large() bool {
	families := 0
	for _, c := range b.unfolded {
		families += c.families()
	}
	return families >= b.store.minLarge
}

// wipe deletes all groups and returns how many there were.
func (b *batch) wipe() int {
	count := 0
	for _, g := range b.groups {
		if g != nil {
			count++
		}
	}
	if !b.wiped {
		for id := range b.store.groups {
			if _, changed := b.groups[id]; !changed {
				count++
			}
		}
	}
	quota := b.quota
	b.reset()
	b.wiped, b.quota = true, quota
	b.usage.total = size{}
	clear(b.usage.rules)
	return count
}

// differences yields the encoded families in which two states of a group differ. Either
// state may be nil; a state that lacks a family yields nil for it.
func differences(old, next *Group) iter.Seq2[*EncodedFamily, *EncodedFamily] {
	var before, after []*EncodedFamily
	if old != nil {
		before = old.Families
	}
	if next != nil {
		after = next.Families
	}
	return func(yield func(before, after *EncodedFamily) bool) {
		for i, j := range sorted.Join(len(before), len(after), func(i, j int) int { return compareNames(before[i], after[j]) }) {
			var a, b *EncodedFamily
			if i >= 0 {
				a = before[i]
			}
			if j >= 0 {
				b = after[j]
			}
			if a != b && !yield(a, b) {
				return
			}
		}
	}
}
