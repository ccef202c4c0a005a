package store

import "time"

// Waiting returns how many callers wait for a batch to be committed.
func (s *Store) Waiting() int {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	return len(s.queue)
}

// SetMinLarge has changes with so many families prepared and settled in slices.
func (s *Store) SetMinLarge(families int) { s.minLarge = families }

// Replaced reports whether pushes replace the values of the family even if its group is summed.
func (e *EncodedFamily) Replaced() bool { return e.replaced() }

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
		b.fold()
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

// CountsRules reports whether the groups of a rule are bounded.
func (q *Quota) CountsRules() bool { return q.countsRules() }

// RuleUsage returns how many groups and series are counted for a rule.
func (s *Store) RuleUsage(i int) [2]int64 {
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.ruleUsage) == 0 {
		return [2]int64{}
	}
	return [2]int64{s.ruleUsage[i].groups, s.ruleUsage[i].series}
}

// Decide calls decide as part of a batch.
func (s *Store) Decide(decide func()) {
	_, _ = commit(s, func(*batch) (struct{}, error) {
		decide()
		return struct{}{}, nil
	})
}
