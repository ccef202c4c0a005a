package store

// publish makes the batch visible. The caller holds committing.
func (s *Store) publish(b *batch) {
	s.visible.Lock()
	defer s.visible.Unlock()
	s.snapshot = nil
	if b.wiped {
		s.clear()
	}
	for _, id := range b.changed {
		s.publishGroup(id, s.groups[id], b.groups[id])
	}
}

// clear removes all groups from the index. The caller holds committing and visible.
func (s *Store) clear() {
	announced := map[string]*family{}
	for name, f := range s.families {
		if f.announced > 0 {
			*f = family{name: name, announced: f.announced}
			announced[name] = f
		}
	}
	s.groups, s.families, s.list, s.unused = map[string]*Group{}, announced, familyList{}, nil
	s.groupRun, s.totals, s.expiries = run[*Group]{}, Totals{}, nil
	clear(s.ruleUsage)
}

// publishGroup replaces the group old with next in the index; either may be nil. The
// caller holds committing and visible.
func (s *Store) publishGroup(id string, old, next *Group) {
	for before, after := range differences(old, next) {
		switch {
		case after == nil:
			s.removeFamily(before, old.shape)
		case before == nil:
			s.addFamily(after, next.shape)
		default:
			s.replaceFamily(before, after)
		}
	}
	s.schedule(old, next)
	s.countRule(old, next)
	switch {
	case old == nil && next == nil: // came and went within the batch
	case old == nil:
		s.totals.Groups++
		s.groups[id] = next
		s.groupRun.insert(next)
	case next == nil:
		s.totals.Groups--
		delete(s.groups, id)
		s.groupRun.remove(old)
	default:
		s.groups[id] = next
		s.groupRun.replace(old, next)
	}
}

func (s *Store) addFamily(e *EncodedFamily, groupShape shape) {
	f := s.familyOf(e)
	if f.groups == 0 {
		s.list.add(f)
	}
	f.add(e.Type())
	f.run.insert(e)
	f.shapes.add(groupShape)
	e.family, f.view = f, nil
	s.totals.addFamily(e, +1)
}

func (s *Store) replaceFamily(before, after *EncodedFamily) {
	f := before.family
	f.remove(before.Type())
	f.add(after.Type())
	f.run.replace(before, after)
	after.family, f.view = f, nil
	s.totals.addFamily(before, -1)
	s.totals.addFamily(after, +1)
}

func (s *Store) removeFamily(e *EncodedFamily, groupShape shape) {
	f := e.family
	f.view = nil
	f.remove(e.Type())
	f.run.remove(e)
	f.shapes.remove(groupShape)
	s.totals.addFamily(e, -1)
	if f.groups == 0 {
		s.list.remove()
		s.unused = append(s.unused, f)
	}
}

// sweep removes some of the index entries that no group has any more, and reports whether
// it left others. It takes little time, so that a change that deletes very many families
// does not make others wait for all of them.
func (s *Store) sweep() (more bool) {
	s.visible.Lock()
	defer s.visible.Unlock()
	for range min(maxSlice, len(s.unused)) {
		last := len(s.unused) - 1
		f := s.unused[last]
		s.unused[last] = nil
		s.unused = s.unused[:last]
		if f.groups == 0 && f.announced == 0 && s.families[f.name] == f {
			delete(s.families, f.name)
		}
	}
	if len(s.unused) == 0 && cap(s.unused) > maxSlice {
		s.unused = nil
	}
	return len(s.unused) > 0
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

const (
	// minAnnounced is how many families a push has for them to be announced.
	minAnnounced = 2048
	// maxSlice is how many families are announced, or forgotten, under the lock at once.
	maxSlice = 512
)

// announce makes index entries for the families of a large push before it takes its
// turn, a few at a time, so that the turn, for which others wait, takes little of the
// time that the push takes. The caller calls forget once the push has had its turn.
func (s *Store) announce(p *Push) {
	s.inSlices(p, func(e *EncodedFamily) {
		f := s.familyOf(e)
		f.announced++
		e.family = f
		if f.groups == 0 {
			e.home = newLeaf(e)
		}
	})
}

// forget undoes announce for families that the push did not add.
func (s *Store) forget(p *Push) {
	s.inSlices(p, func(e *EncodedFamily) {
		f := e.family
		f.announced--
		if f.announced == 0 && f.groups == 0 && s.families[f.name] == f {
			delete(s.families, f.name)
		}
	})
}

// inSlices calls visit for the encoded families of a large push, under committing.
func (s *Store) inSlices(p *Push, visit func(*EncodedFamily)) {
	if len(p.encoded) < minAnnounced {
		return
	}
	for start := 0; start < len(p.encoded); start += maxSlice {
		s.committing.Lock()
		s.visible.Lock()
		for i := start; i < min(start+maxSlice, len(p.encoded)); i++ {
			visit(&p.encoded[i])
		}
		s.visible.Unlock()
		s.committing.Unlock()
	}
}
