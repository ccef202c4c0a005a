// Package store holds the pushed groups in memory: it applies pushes and
// deletes, one after the other, checks each against everything held, and hands
// out immutable views. It knows neither HTTP nor files.
package store

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/metric"
)

// Store holds groups. All methods are safe for concurrent use. Readers never
// wait for a change being decided, only for the moment in which it becomes
// visible.
type Store struct {
	own map[string]metric.Type // not changed once there are pushes

	queueing sync.Mutex // guards queue
	queue    []*change

	// committing serializes batches. It guards the index: groups and families
	// with their types, holders and shapes.
	committing sync.Mutex
	groups     map[string]*Group
	families   map[string]*family
	next       batch // scratch
	journal    Journal

	// visible guards what views are made of: the runs, sorted, totals and view; and ends.
	// Who changes the index holds both locks.
	visible  sync.Mutex
	sorted   []*family // by name
	groupRun run[*Group]
	totals   Totals
	snapshot *Snapshot // nil once something has changed
	expiries expiryQueue

	expiryPolicy atomic.Pointer[ExpiryPolicy] // nil where no group ends
}

// New returns an empty store that keeps its changes in the journal.
func New(journal Journal) *Store {
	s := &Store{groups: map[string]*Group{}, families: map[string]*family{}, journal: journal}
	s.next = batch{store: s, groups: map[string]*Group{}, families: map[string]pendingFamily{}}
	return s
}

// Use gives the store another journal. It is called before the first change.
func (s *Store) Use(journal Journal) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.journal = journal
}

// Reserve gives the names and types of the metrics that are exposed beside the
// pushed ones, all of them, for pushes to be checked against. It is called once,
// before the first push.
func (s *Store) Reserve(own map[string]metric.Type) { s.own = own }

// Hidden returns the names of families that are held with another type than the own
// metrics have, so that they cannot be exposed beside these. Pushes bring no such
// family; a file can that was written when own metrics were fewer or elsewhere.
func (s *Store) HiddenFamilies() []string {
	var names []string
	for _, f := range s.Snapshot().Families {
		if typ, ok := s.own[f.Name]; ok && typ != f.Type {
			names = append(names, f.Name)
		}
	}
	return names
}

// Apply makes the push part of its group, in the manner it was encoded with. It
// returns once the push is visible to View, or, with repeated, where one of the same
// idempotency key was applied before and nothing has changed. On a
// *metric.RejectionError only the group's failure time has changed. Cost: O(series
// pushed or replaced), not O(store); where series are merged also those that the
// group holds of the families pushed.
func (s *Store) Apply(p *Push) (repeated bool, err error) {
	err = s.commit(func(b *batch) error {
		old := b.group(p.key.ID())
		if repeated = old != nil && old.used.has(p); repeated {
			return nil
		}
		err := b.check(p, old)
		var next *Group
		if err == nil {
			next, err = old.afterPush(p)
		}
		if err != nil {
			b.fail(p.key, p.at)
			return err
		}
		b.put(p.key.ID(), next)
		return nil
	})
	return repeated, err
}

// Fail records that a push to the group was rejected at the given time.
func (s *Store) Fail(key metric.GroupingKey, at time.Time) error {
	return s.commit(func(b *batch) error {
		b.fail(key, at)
		return nil
	})
}

// fail records a rejected push, unless that alone would make the exposition
// inconsistent.
func (b *batch) fail(key metric.GroupingKey, at time.Time) {
	old := b.group(key.ID())
	if old == nil && b.checkConflictingGroup(key) != nil {
		return
	}
	b.put(key.ID(), old.afterRejection(key, at))
}

// Delete deletes the group and reports whether there was one.
func (s *Store) Delete(key metric.GroupingKey) (found bool, err error) {
	err = s.commit(func(b *batch) error {
		if found = b.group(key.ID()) != nil; found {
			b.put(key.ID(), nil)
		}
		return nil
	})
	return found, err
}

// DeleteAll deletes those of the groups that are still there and, where that is not
// nil, of which still holds, in one step. It returns them as they were.
func (s *Store) DeleteAll(keys []metric.GroupingKey, still func(*Group) bool) (deleted []*Group, err error) {
	err = s.commit(func(b *batch) error {
		for _, key := range keys {
			if g := b.group(key.ID()); g != nil && (still == nil || still(g)) {
				b.put(key.ID(), nil)
				deleted = append(deleted, g)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

// Wipe deletes all groups in one step and returns how many there were.
func (s *Store) Wipe() (count int, err error) {
	err = s.commit(func(b *batch) error {
		count = b.wipe()
		return nil
	})
	return count, err
}

// change is one caller's part of a batch.
type change struct {
	decide func(*batch) error
	err    error
	done   bool
}

// commit has decide carried out as part of a batch and returns its error once
// the batch is visible. The first caller to come commits for those who wait by
// then.
func (s *Store) commit(decide func(*batch) error) error {
	c := &change{decide: decide}
	s.queueing.Lock()
	s.queue = append(s.queue, c)
	s.queueing.Unlock()

	s.committing.Lock()
	defer s.committing.Unlock()
	if c.done {
		return c.err
	}
	s.queueing.Lock()
	waiting := s.queue
	s.queue = nil
	s.queueing.Unlock()

	// Should something below panic, nobody must believe that all went well.
	for _, w := range waiting {
		w.done, w.err = true, errAborted
	}
	b := &s.next
	defer b.reset()
	for _, w := range waiting {
		w.err = w.decide(b)
	}
	if b.empty() {
		return c.err
	}
	if err := s.journal.Commit(b.changes()); err != nil {
		// Rejections stand; what would have been applied was not.
		for _, w := range waiting {
			if w.err == nil {
				w.err = err
			}
		}
		return c.err
	}
	s.publish(b)
	return c.err
}

var errAborted = errors.New("the change was aborted by an error in the gateway, see its log")

// Held returns the groups, as View has them.
func (s *Store) Groups() iter.Seq[*Group] { return s.Snapshot().Groups() }

// Load adds groups that were kept, each of which passed the check when it was
// pushed. It is called before the first change.
func (s *Store) Load(groups []*Group) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.visible.Lock()
	defer s.visible.Unlock()
	s.snapshot = nil
	for _, g := range groups {
		s.publishGroup(g.Key.ID(), s.groups[g.Key.ID()], g)
	}
}

// publish makes the batch visible. The caller holds committing.
func (s *Store) publish(b *batch) {
	s.visible.Lock()
	defer s.visible.Unlock()
	s.snapshot = nil
	if b.wiped {
		s.groups, s.families = map[string]*Group{}, map[string]*family{}
		s.sorted, s.groupRun, s.totals, s.expiries = nil, run[*Group]{}, Totals{}, nil
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

// View returns all that is held, whole pushes only. Cost: O(families) after a
// change, and a pointer per block of those that changed; O(1) otherwise.
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

// Totals returns how much is held. Cost: O(1).
func (s *Store) Totals() Totals {
	s.visible.Lock()
	defer s.visible.Unlock()
	return s.totals
}

// Restore adds a group that another program kept, with the times at which each of
// its families was pushed. The two push times are among the families. The group is
// checked like a push, but leaves no trace where it is rejected.
func (s *Store) Restore(key metric.GroupingKey, families []metric.Family, times map[string]time.Time) error {
	valueOf := func(name string) time.Time {
		for _, f := range families {
			if f.Name == name && len(f.Metrics) == 1 && f.Metrics[0].Value != 0 {
				return times[name]
			}
		}
		return time.Time{}
	}
	pushed, failed := valueOf(PushTime), valueOf(FailureTime)
	var encoder Encoder
	p, err := encoder.Push(key, families, pushed, PushOptions{Validation: metric.UTF8Validation})
	if err != nil {
		return err
	}
	return s.commit(func(b *batch) error {
		if err := b.check(p, nil); err != nil {
			return err
		}
		g, err := (*Group)(nil).afterPush(p)
		if err != nil {
			return err
		}
		g.Pushed, g.Failed = pushed, failed
		labels := metric.GroupLabels(key)
		for i, c := range g.Families {
			switch name := c.Name(); name {
			case PushTime:
				g.Families[i] = newTimeFamily(name, key, labels, pushed, times[name])
			case FailureTime:
				g.Families[i] = newTimeFamily(name, key, labels, failed, times[name])
			default:
				c.time = times[name].UnixNano()
			}
		}
		b.put(key.ID(), g)
		return nil
	})
}
