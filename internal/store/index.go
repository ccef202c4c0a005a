package store

import (
	"slices"
	"strings"
)

// publish makes the batch visible. The caller holds committing.
func (s *Store) publish(b *batch) {
	s.visible.Lock()
	defer s.visible.Unlock()
	s.snapshot = nil
	if b.wiped {
		s.groups, s.families = map[string]*Group{}, map[string]*family{}
		s.sorted, s.groupRun, s.totals, s.expiries = nil, run[*Group]{}, Totals{}, nil
		clear(s.ruleUsage)
	}
	for _, id := range b.changed {
		s.publishGroup(id, s.groups[id], b.groups[id])
	}
}

func (s *Store) publishGroup(id string, old, next *Group) {
	eachDifference(old, next, func(was, is *EncodedFamily) {
		if is == nil {
			s.removeEncodedFamily(was, old.shape)
			return
		}
		var f *family
		if was == nil {
			f = s.familyOf(is)
			f.run.insert(is)
			f.shapes.add(next.shape)
		} else {
			f = was.family
			f.run.replace(was, is)
			s.totals.addEncodedFamily(was, -1)
		}
		is.family, f.typ, f.view = f, is.Type(), nil
		s.totals.addEncodedFamily(is, +1)
	})
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

// familyOf returns the family that the chunk belongs to, made where there is
// none yet.
func (s *Store) familyOf(c *EncodedFamily) *family {
	name := c.Name()
	f := s.families[name]
	if f == nil {
		f = &family{name: name}
		s.families[name] = f
		i, _ := s.findSorted(name)
		s.sorted = slices.Insert(s.sorted, i, f)
	}
	return f
}

func (s *Store) findSorted(name string) (int, bool) {
	return slices.BinarySearchFunc(s.sorted, name,
		func(f *family, name string) int { return strings.Compare(f.name, name) })
}

func (s *Store) removeEncodedFamily(c *EncodedFamily, of shape) {
	f := c.family
	f.view = nil
	f.run.remove(c)
	f.shapes.remove(of)
	s.totals.addEncodedFamily(c, -1)
	if f.run.count == 0 {
		delete(s.families, f.name)
		i, _ := s.findSorted(f.name)
		s.sorted = slices.Delete(s.sorted, i, i+1)
	}
}
