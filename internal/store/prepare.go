package store

import (
	"errors"
	"slices"
)

// A push of very many families is prepared before its turn, in slices, while others take
// theirs: its families get entries in the index, each is checked, and the group's next
// state is made. What others change meanwhile is noted, so in its turn only that has to be
// checked again.

const (
	// minLarge is how many families a group has, before and after a change together, for
	// the change to be prepared and settled in slices.
	minLarge = 4096
	// maxNoted bounds how many families may have changed while a push was prepared.
	maxNoted = 8192
	// maxPreparations is how often a push is prepared before it is decided on without.
	maxPreparations = 3
)

// preparation is a large push before its turn. It is guarded by Store.committing.
type preparation struct {
	push     *Push
	old      *Group // to which the push goes
	next     *Group // after the push
	rejected error  // instead of next
	noted    map[string]struct{}
	outdated bool // more has changed than is noted
}

// note notes that families of this name have changed.
func (p *preparation) note(name string) {
	if len(p.noted) == maxNoted {
		p.outdated = true
		return
	}
	p.noted[name] = struct{}{}
}

var errOutdated = errors.New("the preparation is outdated")

// applyLarge is Apply for a push after which, or before which, its group has very many
// families.
func (s *Store) applyLarge(p *Push) (replayed bool, err error) {
	s.large.Lock()
	defer s.large.Unlock()
	prepared := &preparation{push: p, noted: map[string]struct{}{}}
	s.committing.Lock()
	s.preparing = prepared
	s.committing.Unlock()
	defer func() {
		s.finish()
		s.forget(p)
		s.committing.Lock()
		s.preparing = nil
		s.committing.Unlock()
	}()
	s.announce(p)
	for range maxPreparations {
		s.prepare(prepared)
		done := s.stage(prepared.next)
		replayed, err = commitAlone(s, prepared.decide)
		done()
		if err != errOutdated {
			return replayed, err
		}
	}
	return commitAlone(s, p.decide)
}

// stage has the journal write the group before its turn, if the journal can. The caller must call
// done after that turn.
func (s *Store) stage(g *Group) (done func()) {
	if j, ok := s.journal.(StagingJournal); ok && g != nil {
		return j.Stage(g)
	}
	return func() {}
}

// prepare checks the push against what is stored, and makes the next state of its group.
func (s *Store) prepare(p *preparation) {
	s.committing.Lock()
	p.old = s.groups[p.push.key.ID()]
	p.next, p.rejected, p.noted, p.outdated = nil, nil, map[string]struct{}{}, false
	s.committing.Unlock()
	c := (&batch{store: s}).newCheck(p.push, p.old)
	same := make([]*EncodedFamily, len(p.push.encoded))
	for i, e := range p.push.counterparts(p.old) {
		same[i] = e
	}
	for start := 0; start < len(same) && p.rejected == nil; start += maxSlice {
		s.committing.Lock()
		for i := start; i < min(start+maxSlice, len(same)) && p.rejected == nil; i++ {
			p.rejected = c.checkFamily(i, same[i])
		}
		s.committing.Unlock()
	}
	if p.rejected == nil {
		p.next, p.rejected = p.old.afterPush(p.push)
	}
	if p.next != nil {
		p.next.announced = true
		p.next.count()
	}
}

// decide decides on the push in its turn, for which the batch is empty.
func (p *preparation) decide(b *batch) (replayed bool, err error) {
	if p.outdated || b.group(p.push.key.ID()) != p.old {
		return false, errOutdated
	}
	return b.decide(p.push, func(old *Group) (*Group, error) {
		err := b.checkGroup(p.push, old)
		if err == nil {
			err = p.rejected
		}
		if err == nil {
			err = p.recheck(b)
		}
		return p.next, err
	})
}

// recheck checks those of the pushed families again that depend on others that have
// changed.
func (p *preparation) recheck(b *batch) error {
	c := b.newCheck(p.push, p.old)
	for name := range p.noted {
		names := []string{name}
		if base, _, ok := cutSampleSuffix(name); ok {
			names = append(names, base)
		}
		for _, suffix := range compositeSuffixes {
			names = append(names, name+suffix)
		}
		for _, related := range names {
			if i, found := p.push.find(related); found {
				if err := c.checkFamily(i, p.old.Family(related)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// announce makes index entries for the families of a large push. What takes memory, and so
// perhaps the collector's time, is done without the locks. The caller calls forget once the
// push has had its turn.
func (s *Store) announce(p *Push) {
	for slice := range slices.Chunk(p.encoded, maxSlice) {
		s.committing.Lock()
		for i := range slice {
			slice[i].family = s.families[slice[i].Name()]
		}
		s.committing.Unlock()
		for i := range slice {
			if e := &slice[i]; e.family == nil {
				e.family, e.home = &family{name: e.Name()}, newLeaf(e)
			}
		}
		s.locked(func() {
			for i := range slice {
				e := &slice[i]
				if f := s.families[e.Name()]; f != nil {
					e.family = f
				} else {
					s.families[e.Name()] = e.family
				}
				e.family.announced++
			}
		})
	}
}

// forget undoes announce for families that the push did not add.
func (s *Store) forget(p *Push) {
	for slice := range slices.Chunk(p.encoded, maxSlice) {
		s.locked(func() {
			for i := range slice {
				slice[i].family.announced--
				s.forgetFamily(slice[i].family)
			}
		})
	}
}

// locked calls change, which may change the index.
func (s *Store) locked(change func()) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.visible.Lock()
	defer s.visible.Unlock()
	change()
}
