package store

import (
	"errors"
	"time"

	"pushgateway/internal/metric"
)

// Apply changes the push's group as the push's options say. It returns once the push is
// persisted and visible. replayed reports that a push with the same idempotency key was
// applied before; then nothing has changed. On a *metric.RejectionError, only the group's
// failure time has changed. Cost: O(series pushed or replaced), whatever else is stored;
// if series are merged, also those that the group has of the pushed families. However
// large the push is, others wait only for a part of that.
func (s *Store) Apply(p *Push) (replayed bool, err error) {
	if len(p.encoded) < s.minLarge {
		replayed, err = commit(s, func(b *batch) (bool, error) { return b.decideUnlessLarge(p) })
		if err != errLarge {
			return replayed, err
		}
	}
	return s.applyLarge(p)
}

var errLarge = errors.New("the group is large")

// decideUnlessLarge decides on the push, unless its group has so many families that
// the push has to be prepared.
func (b *batch) decideUnlessLarge(p *Push) (replayed bool, err error) {
	if old := b.group(p.key.ID()); old != nil && len(old.Families) >= b.store.minLarge {
		return false, errLarge
	}
	return p.decide(b)
}

// decide decides on the push, without preparation.
func (p *Push) decide(b *batch) (replayed bool, err error) {
	return b.decide(p, func(old *Group) (*Group, error) {
		if err := b.check(p, old); err != nil {
			return nil, err
		}
		return old.afterPush(p)
	})
}

// decide decides on a push. after returns the next state of its group, or why it is
// rejected.
func (b *batch) decide(p *Push, after func(old *Group) (*Group, error)) (replayed bool, err error) {
	old := b.group(p.key.ID())
	if old != nil && old.used.has(p) {
		return true, nil
	}
	next, err := after(old)
	if err == nil {
		err = p.checkGroupLimit(old, next)
	}
	if err == nil {
		err = b.checkQuota(old, next)
	}
	if err != nil {
		b.fail(p.key, p.at)
		return false, err
	}
	b.put(p.key.ID(), next)
	return false, nil
}

// Fail records that a push to the group was rejected at the given time.
func (s *Store) Fail(key metric.GroupingKey, at time.Time) error {
	_, err := commit(s, func(b *batch) (struct{}, error) {
		b.fail(key, at)
		return struct{}{}, nil
	})
	return err
}

// fail records a rejected push, unless that alone would make the exposition
// inconsistent or exceed the quota.
func (b *batch) fail(key metric.GroupingKey, at time.Time) {
	old := b.group(key.ID())
	if old == nil && b.checkConflictingGroup(key) != nil {
		return
	}
	next := old.afterRejection(key, at)
	if b.checkQuota(old, next) == nil {
		b.put(key.ID(), next)
	}
}

// Delete deletes the group and reports whether there was one.
func (s *Store) Delete(key metric.GroupingKey) (found bool, err error) {
	defer s.finish()
	return commit(s, func(b *batch) (found bool, err error) {
		if b.group(key.ID()) == nil {
			return false, nil
		}
		b.put(key.ID(), nil)
		return true, nil
	})
}

// CatchUp has the store learn what others have committed until now. Unless the journal is
// shared, that is nothing. An error is that of a change that is not accepted.
func (s *Store) CatchUp() error {
	if _, shared := s.journal.(SharedJournal); !shared {
		return nil
	}
	_, err := commit(s, func(*batch) (none struct{}, err error) { return none, nil })
	return err
}

// DeleteAll deletes, in one step, those of the groups that are still there and, unless
// still is nil, for which it reports true. It returns them as they were. still can be
// called several times for a group.
func (s *Store) DeleteAll(keys []metric.GroupingKey, still func(*Group) bool) (deleted []*Group, err error) {
	defer s.finish()
	return commit(s, func(b *batch) (deleted []*Group, err error) {
		for _, key := range keys {
			if g := b.group(key.ID()); g != nil && (still == nil || still(g)) {
				b.put(key.ID(), nil)
				deleted = append(deleted, g)
			}
		}
		return deleted, nil
	})
}

// Wipe deletes all groups in one step and returns how many there were.
func (s *Store) Wipe() (count int, err error) {
	return commit(s, func(b *batch) (count int, err error) { return b.wipe(), nil })
}
