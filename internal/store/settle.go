package store

// A change of a group with very many families becomes visible in one moment, like any
// other, but the index of families follows it in steps, between which others take turns.
// Whoever looks up a family in the index has it settled first. A snapshot has all settled.

// maxSlice is how many families are settled, checked, announced or forgotten under a lock
// at once.
const maxSlice = 128

// unsettled is changes of groups that are published, without those families that the
// index does not have yet. It is guarded by visible.
type unsettled struct{ rest []settling }

// settling is a change of a group, with the families that are left, sorted by name.
type settling struct {
	groupChange
	before, after []*EncodedFamily
	early         map[string]struct{} // names of those that are settled already
}

// changes reports whether the group is the result of one of the changes.
func (u *unsettled) changes(g *Group) bool {
	for i := range u.rest {
		if g != nil && u.rest[i].next == g {
			return true
		}
	}
	return false
}

// settleLater has a change, which is visible from now on, settled step by step: before
// the caller of commit goes on. The index has an entry for each family. The caller holds
// committing and visible.
func (s *Store) settleLater(c groupChange) {
	u := s.unsettled.Load()
	if u == nil {
		u = &unsettled{}
		s.unsettled.Store(u)
	}
	change := settling{groupChange: c, early: map[string]struct{}{}}
	if c.old != nil {
		change.before = c.old.Families
	}
	if c.next != nil {
		change.after = c.next.Families
		for _, name := range [...]string{PushTime, FailureTime} { // may be new
			s.familyOf(c.next.Family(name))
		}
	}
	u.rest = append(u.rest, change)
}

// settle settles some families and reports whether there are more.
func (s *Store) settle() (more bool) {
	if s.unsettled.Load() == nil {
		return false
	}
	s.visible.Lock()
	defer s.visible.Unlock()
	return s.settleSome(maxSlice)
}

// settleSome is settle for up to n families. The caller holds visible.
func (s *Store) settleSome(n int) (more bool) {
	u := s.unsettled.Load()
	if u == nil {
		return false
	}
	for range n {
		c := &u.rest[0]
		before, after := c.cut()
		switch {
		case before == nil && after == nil:
			if u.rest = u.rest[1:]; len(u.rest) == 0 {
				s.unsettled.Store(nil)
				return false
			}
		case before != after:
			s.settlePair(c, before, after)
		}
	}
	return true
}

// cut removes the next pair of families of one name from those that are left.
func (c *settling) cut() (before, after *EncodedFamily) {
	order := 0
	switch {
	case len(c.before) == 0 && len(c.after) == 0:
		return nil, nil
	case len(c.before) == 0:
		order = 1
	case len(c.after) == 0:
		order = -1
	default:
		order = compareNames(c.before[0], c.after[0])
	}
	if order <= 0 {
		before, c.before = c.before[0], c.before[1:]
	}
	if order >= 0 {
		after, c.after = c.after[0], c.after[1:]
	}
	return before, after
}

// settlePair settles a pair of families, unless that has been done.
func (s *Store) settlePair(c *settling, before, after *EncodedFamily) {
	e := after
	if e == nil {
		e = before
	}
	if _, done := c.early[e.Name()]; done {
		return
	}
	s.refresh(s.publishFamily(before, after, c.groupChange).family)
}

// settleFamily settles the families of this name.
func (s *Store) settleFamily(name string) {
	if s.unsettled.Load() == nil {
		return
	}
	s.visible.Lock()
	defer s.visible.Unlock()
	u := s.unsettled.Load()
	if u == nil {
		return
	}
	for i := range u.rest {
		c := &u.rest[i]
		before, after := familyIn(c.before, name), familyIn(c.after, name)
		if before != after {
			s.settlePair(c, before, after)
			c.early[name] = struct{}{}
		}
	}
}
