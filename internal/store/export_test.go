package store

import "time"

// Waiting returns how many callers wait for a batch to be committed.
func (s *Store) Waiting() int {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	return len(s.queue)
}

// Due returns the IDs of groups that have expired, at most limit of them.
func (s *Store) Due(limit int) []string { return s.due(limit) }

// NextExpiry returns in how long the next group expires, and false if none does.
func (s *Store) NextExpiry() (time.Duration, bool) { return s.nextExpiry() }

// Expire deletes the groups of these IDs that have expired.
func (s *Store) Expire(ids []string) ([]ExpiredGroup, error) { return s.expire(ids) }

// DecideTwice decides on the push twice, in two batches that are dropped. It
// describes the group by each decision, and as it is stored.
func (s *Store) DecideTwice(p *Push, describe func(*Group) string) (first, second, stored string) {
	s.committing.Lock()
	defer s.committing.Unlock()
	decide := func() string {
		b := &s.next
		defer b.reset()
		old := b.group(p.key.ID())
		if err := b.check(p, old); err != nil {
			return err.Error()
		}
		next, err := old.afterPush(p)
		if err != nil {
			return err.Error()
		}
		return describe(next)
	}
	first, second = decide(), decide()
	return first, second, describe(s.groups[p.key.ID()])
}
