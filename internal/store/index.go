package store

import "sync"

// publish makes changes visible. The caller holds committing.
func (s *Store) publish(changes Changes) {
	s.visible.Lock()
	defer s.visible.Unlock()
	s.snapshot = nil
	if changes.Wiped {
		s.clear()
	}
	if len(s.groups) == 0 && len(changes.Groups) > minParallel {
		s.publishFirst(changes.Groups)
		return
	}
	for _, c := range changes.Groups {
		old := s.groups[c.ID]
		s.publishFamilies(groupChange{old, c.Group})
		s.publishGroup(c.ID, old, c.Group)
	}
}

// minParallel is how many groups make it worth publishing them in parallel.
const minParallel = 1000

// publishFirst is publish for many groups in an empty store, as at a start.
func (s *Store) publishFirst(changes []Change) {
	var families sync.WaitGroup
	families.Go(func() {
		for _, c := range changes {
			s.publishFamilies(groupChange{nil, c.Group})
		}
	})
	s.groups = make(map[string]*Group, len(changes))
	for _, c := range changes {
		s.publishGroup(c.ID, nil, c.Group)
	}
	families.Wait()
}

// clear removes all groups from the index. The caller holds committing and visible.
func (s *Store) clear() {
	announced := map[string]*family{}
	if s.preparing != nil {
		s.preparing.outdated = true
		for name, f := range s.families {
			if f.announced > 0 {
				*f = family{name: name, announced: f.announced}
				announced[name] = f
			}
		}
	}
	s.groups, s.families, s.list, s.stale, s.unused = map[string]*Group{}, announced, run[*Family]{}, nil, nil
	s.groupRun, s.totals, s.expiries = run[*Group]{}, Totals{}, nil
	s.unsettled.Store(nil)
	clear(s.ruleUsage)
}

// publishGroup replaces the group old with next in the index, but for their families; either
// may be nil. The caller holds committing and visible.
func (s *Store) publishGroup(id string, old, next *Group) {
	s.totals = s.totals.plus(next.count()).minus(old.count())
	s.schedule(old, next)
	s.countRule(old, next)
	switch {
	case old == nil && next == nil: // came and went within the batch
	case old == nil:
		s.groups[id] = next
		s.groupRun.insert(next)
	case next == nil:
		delete(s.groups, id)
		s.groupRun.remove(old)
	default:
		s.groups[id] = next
		s.groupRun.replace(old, next)
	}
}

// publishFamilies has the index of families follow a change of a group, at once or, if
// there are many, step by step. The caller holds committing and visible.
func (s *Store) publishFamilies(c groupChange) {
	if u := s.unsettled.Load(); u != nil && u.changes(c.old) {
		for s.settleSome(s.minLarge) {
		}
	}
	if s.minLarge <= c.families() && (c.next == nil || c.next.announced) {
		if s.preparing != nil && c.next == nil {
			s.preparing.outdated = true
		}
		s.settleLater(c)
		return
	}
	for before, after := range differences(c.old, c.next) {
		e := s.publishFamily(before, after, c)
		s.markStale(e.family)
		if s.preparing != nil {
			s.preparing.note(e.Name())
		}
	}
}

// publishFamily replaces the encoded family before with after, for a change of its group;
// either may be nil. It returns one of the two. The caller holds visible.
func (s *Store) publishFamily(before, after *EncodedFamily, c groupChange) *EncodedFamily {
	switch {
	case after == nil:
		f := before.family
		f.remove(before.Type())
		f.run.remove(before)
		f.shapes.remove(c.old.shape)
		if f.groups == 0 {
			s.unused = append(s.unused, f)
		}
		return before
	case before == nil:
		f := s.familyOf(after)
		f.add(after.Type())
		f.run.insert(after)
		f.shapes.add(c.next.shape)
		after.family = f
	default:
		f := before.family
		f.remove(before.Type())
		f.add(after.Type())
		f.run.replace(before, after)
		after.family = f
	}
	return after
}

// markStale notes that the family has changed, for the next snapshot. The caller holds
// visible.
func (s *Store) markStale(f *family) {
	if !f.stale {
		f.stale = true
		s.stale = append(s.stale, f)
	}
}

// refresh has the list of families show the family as it is. The caller holds visible.
func (s *Store) refresh(f *family) {
	old := f.view
	f.stale, f.view = false, nil
	if f.groups > 0 {
		f.view = &Family{Name: f.name, Type: f.typeOf(), Segments: f.segments()}
	}
	switch {
	case old == nil && f.view == nil:
	case old == nil:
		s.list.insert(f.view)
	case f.view == nil:
		s.list.remove(old)
	default:
		s.list.replace(old, f.view)
	}
}

// sweep removes some of the index entries that no group has any more, and reports whether
// it left others. It looks at n at most, so that a change that deletes very many families
// does not make others wait for all of them. The caller holds committing.
func (s *Store) sweep(n int) (more bool) {
	s.visible.Lock()
	defer s.visible.Unlock()
	for range min(n, len(s.unused)) {
		last := len(s.unused) - 1
		f := s.unused[last]
		s.unused[last] = nil
		s.unused = s.unused[:last]
		s.forgetFamily(f)
	}
	if len(s.unused) == 0 && cap(s.unused) > maxSlice {
		s.unused = nil
	}
	return len(s.unused) > 0
}

// forgetFamily removes the index entry of a family, if no group has it any more. The
// caller holds committing and visible.
func (s *Store) forgetFamily(f *family) {
	if f.groups == 0 && f.announced == 0 && s.families[f.name] == f {
		s.refresh(f)
		delete(s.families, f.name)
	}
}

// familyOf returns the index entry for the encoded family, which it makes if there is
// none.
func (s *Store) familyOf(e *EncodedFamily) *family {
	if e.family != nil { // announced
		return e.family
	}
	name := e.Name()
	f := s.families[name]
	if f == nil {
		f = &family{name: name}
		s.families[name] = f
	}
	return f
}
