package store

import (
	"pushgateway/internal/metric"
)

// batch is the store as it will be once the changes gathered so far have been
// applied. It only reads the store, so that nothing has happened before it is
// published.
type batch struct {
	store    *Store
	wiped    bool              // of the store's own state nothing counts
	groups   map[string]*Group // changed groups by ID, nil where deleted
	changed  []string          // their IDs in the order of the first change
	families map[string]pendingFamily

	quota *Quota // nil if nothing is bounded
	usage usage  // what is stored once the batch is applied; unused without a quota
}

// pendingFamily is a family as the batch leaves it.
type pendingFamily struct {
	typ     metric.Type
	holders int     // groups
	added   []shape // of groups that came to hold it; shapes that went may remain
}

func (b *batch) empty() bool { return !b.wiped && len(b.changed) == 0 }

func (b *batch) reset() {
	b.wiped, b.changed, b.quota = false, b.changed[:0], nil
	clear(b.groups)
	clear(b.families)
}

// changes returns what the journal has to keep.
func (b *batch) changes() Changes {
	c := Changes{Wiped: b.wiped, Groups: make([]Change, len(b.changed))}
	for i, id := range b.changed {
		c.Groups[i] = Change{ID: id, Group: b.groups[id]}
	}
	return c
}

// group returns the group of this ID, nil where there is none.
func (b *batch) group(id string) *Group {
	if g, ok := b.groups[id]; ok {
		return g
	}
	if b.wiped {
		return nil
	}
	return b.store.groups[id]
}

// family returns what is known of the families of this name; no holders where
// there is none.
func (b *batch) family(name string) pendingFamily {
	if f, ok := b.families[name]; ok {
		return f
	}
	if f := b.store.families[name]; f != nil && !b.wiped {
		return pendingFamily{typ: f.typ, holders: f.run.count}
	}
	return pendingFamily{}
}

// shapesOf returns the shapes of the groups that hold the family, and perhaps some
// that no longer do: those the store knows, and those the batch added. held is a
// chunk of the family that a group has, nil where none is at hand.
func (b *batch) shapesOf(name string, held *EncodedFamily) (known *shapes, added []shape) {
	if len(b.families) > 0 {
		added = b.families[name].added
	}
	var f *family
	switch {
	case b.wiped:
	case held != nil && held.family != nil:
		f = held.family
	default:
		f = b.store.families[name]
	}
	if f != nil {
		return &f.shapes, added
	}
	return &shapes{}, added
}

// put makes next the group of this ID; nil deletes it.
func (b *batch) put(id string, next *Group) {
	old := b.group(id)
	if _, again := b.groups[id]; !again {
		b.changed = append(b.changed, id)
	}
	b.groups[id] = next
	b.account(old, next)
	eachDifference(old, next, func(was, is *EncodedFamily) {
		switch {
		case was == nil:
			f := b.family(is.Name())
			f.typ = is.Type()
			f.holders++
			f.added = append(f.added, next.shape)
			b.families[is.Name()] = f
		case is == nil:
			f := b.family(was.Name())
			f.holders--
			b.families[was.Name()] = f
		case was.Type() != is.Type():
			f := b.family(is.Name())
			f.typ = is.Type()
			b.families[is.Name()] = f
		}
	})
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
	b.wiped, b.changed = true, b.changed[:0]
	b.usage.total = size{}
	clear(b.usage.rules)
	clear(b.groups)
	clear(b.families)
	return count
}

// eachDifference calls visit for each family in which two states of a group
// differ: nil stands for a state, or the group itself, that has none.
func eachDifference(old, next *Group, visit func(was, is *EncodedFamily)) {
	var was, is []*EncodedFamily
	if old != nil {
		was = old.Families
	}
	if next != nil {
		is = next.Families
	}
	for len(was) > 0 && len(is) > 0 {
		switch c := compareEncodedFamilies(was[0], is[0]); {
		case c < 0:
			visit(was[0], nil)
			was = was[1:]
		case c > 0:
			visit(nil, is[0])
			is = is[1:]
		default:
			if was[0] != is[0] {
				visit(was[0], is[0])
			}
			was, is = was[1:], is[1:]
		}
	}
	for _, c := range was {
		visit(c, nil)
	}
	for _, c := range is {
		visit(nil, c)
	}
}
