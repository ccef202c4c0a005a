package store

import (
	"container/heap"
	"context"
	"math"
	"slices"
	"time"

	"pushgateway/internal/metric"
)

// ExpiryPolicy returns when a group expires, unless its last push set that. It is called
// often and concurrently, and must be fast.
type ExpiryPolicy func(metric.GroupingKey) metric.Expiry

func noExpiry(metric.GroupingKey) metric.Expiry { return metric.Expiry{} }

// expiry is a group's place in the queue.
type expiry struct {
	at    time.Duration // of Clock.Elapsed
	id    string        // of the group
	index int
}

// expiryQueue is a heap, the earliest first.
type expiryQueue []*expiry

func (e expiryQueue) Len() int           { return len(e) }
func (e expiryQueue) Less(i, j int) bool { return e[i].at < e[j].at }
func (e expiryQueue) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *expiryQueue) Push(x any) {
	x.(*expiry).index = len(*e)
	*e = append(*e, x.(*expiry))
}

func (e *expiryQueue) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = nil
	*e = (*e)[:len(*e)-1]
	return last
}

// due returns the IDs of groups that have expired by now, at most limit of them.
// Cost: O(limit), as they are all at the top of the heap.
func (e expiryQueue) due(now time.Duration, limit int) []string {
	var ids []string
	var visit func(i int)
	visit = func(i int) {
		if i >= len(e) || e[i].at > now || len(ids) >= limit {
			return
		}
		ids = append(ids, e[i].id)
		visit(2*i + 1)
		visit(2*i + 2)
	}
	visit(0)
	return ids
}

// SetExpiry sets the policy by which groups expire, stored ones as well. With nil, only
// pushes set a TTL. It returns how many groups have now expired and are not deleted yet.
// It must not be called concurrently with itself. Cost: O(groups). It does not wait for
// a disk, and changes and readers continue meanwhile.
func (s *Store) SetExpiry(policy ExpiryPolicy) (due int) {
	if policy == nil {
		policy = noExpiry
	}
	s.expiryPolicy.Store(&policy)
	// Groups that come from here on follow the new policy, and so does RunExpiry. What
	// is left is to move the others in the queue.
	const maxBatch = 256
	for groups := range slices.Chunk(slices.Collect(s.Groups()), maxBatch) {
		s.reschedule(groups)
	}
	return len(s.due(math.MaxInt))
}

// reschedule moves the groups that are still there in the queue.
func (s *Store) reschedule(groups []*Group) {
	s.visible.Lock()
	defer s.visible.Unlock()
	for _, g := range groups {
		if s.groups[g.Key.ID()] == g {
			s.schedule(g, g)
		}
	}
}

// schedule queues the expiry of next instead of that of old, which it follows or
// is. The caller holds visible.
func (s *Store) schedule(old, next *Group) {
	var e *expiry
	if old != nil {
		e = old.expiry
	}
	at, expires := time.Duration(0), false
	if next != nil {
		next.startTTL(old, s.clock)
		at, expires = s.expiryPolicy.Load().expiryOf(next)
	}
	switch {
	case !expires && e == nil:
	case !expires:
		heap.Remove(&s.expiries, e.index)
		old.expiry = nil
	case e == nil:
		next.expiry = &expiry{at: at, id: next.Key.ID()}
		heap.Push(&s.expiries, next.expiry)
	default:
		e.at, next.expiry = at, e
		heap.Fix(&s.expiries, e.index)
	}
}

// startTTL sets from when the group's TTL counts, by the time that has passed: as in
// the state before it, or from the time of day, where the future counts as now.
func (g *Group) startTTL(old *Group, clock Clock) {
	switch start := g.TTLStart(); {
	case old == g:
	case old != nil && old.TTLStart().Equal(start):
		g.ttlStart = old.ttlStart
	default:
		g.ttlStart = clock.Elapsed() - max(0, clock.Now().Sub(start))
	}
}

// TTLStart returns the time from which the group's TTL counts: that of its last
// successful push or, if there was none, of the rejected push that created the group.
func (g *Group) TTLStart() time.Time {
	if pushTime := g.Family(PushTime); g.Pushed.IsZero() && pushTime != nil {
		return pushTime.Time()
	}
	return g.Pushed
}

// of returns how the group expires; false if it does not.
func (p *ExpiryPolicy) of(g *Group) (metric.Expiry, bool) {
	e := g.Expiry.Or((*p)(g.Key))
	return e, e.TTL > 0 && !g.Expired && !(e.KeepPushTimes && g.empty())
}

// expiryOf returns when a stored group expires, by Clock.Elapsed; false if it does not.
func (p *ExpiryPolicy) expiryOf(g *Group) (time.Duration, bool) {
	e, expires := p.of(g)
	if !expires || e.TTL > math.MaxInt64-max(0, g.ttlStart) {
		return 0, false
	}
	return g.ttlStart + e.TTL, true
}

// ExpiresAt returns when a group of a snapshot expires, and whether its two push
// times stay then. The time is zero if the group does not expire.
func (s *Store) ExpiresAt(g *Group) (at time.Time, keepPushTimes bool) {
	e, expires := s.expiryPolicy.Load().of(g)
	if !expires {
		return time.Time{}, false
	}
	return g.TTLStart().Add(e.TTL), e.KeepPushTimes
}

// due returns the IDs of groups that have expired, at most limit of them, in order.
// Cost: O(limit log limit).
func (s *Store) due(limit int) []string {
	s.visible.Lock()
	defer s.visible.Unlock()
	ids := s.expiries.due(s.clock.Elapsed(), limit)
	slices.Sort(ids)
	return ids
}

// nextExpiry returns in how long the next group expires, not positive if it has, and
// false if none does.
func (s *Store) nextExpiry() (time.Duration, bool) {
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.expiries) == 0 {
		return 0, false
	}
	return s.expiries[0].at - s.clock.Elapsed(), true
}

// ExpiredGroup is a group as it was before it expired.
type ExpiredGroup struct {
	*Group
	KeptPushTimes bool // its two push times are still there
}

// expire deletes the groups of these IDs that have expired, in one step: each as a
// whole, or all but its push times. Cost: O(their families).
func (s *Store) expire(ids []string) ([]ExpiredGroup, error) {
	defer s.finish()
	return commit(s, func(b *batch) (expired []ExpiredGroup, err error) {
		policy, now := s.expiryPolicy.Load(), s.clock.Elapsed()
		for _, id := range ids {
			g := b.group(id)
			if g == nil || g != s.groups[id] {
				continue // pushed or deleted meanwhile
			}
			e, expires := policy.of(g)
			if !expires || now-g.ttlStart < e.TTL {
				continue
			}
			expired = append(expired, ExpiredGroup{g, e.KeepPushTimes})
			if e.KeepPushTimes {
				b.put(id, g.onlyPushTimes())
			} else {
				b.put(id, nil)
			}
		}
		return expired, nil
	})
}

// onlyPushTimes returns the expired group with nothing but its two push times.
func (g *Group) onlyPushTimes() *Group {
	next := g.successor()
	next.Expired, next.Summed = true, false
	next.Families = make([]*EncodedFamily, 0, pushTimeFamilies)
	for _, name := range [...]string{FailureTime, PushTime} { // sorted
		if e := g.Family(name); e != nil {
			next.Families = append(next.Families, e.clone()) // e shares its memory with families that go
		}
	}
	return next
}

// Groups expire in small steps with pauses in between, so that no push waits for long.
// Groups that are neighbors in a file expire together.
const (
	maxExpiredAtOnce = 64
	expiryPause      = 2 * time.Millisecond
	maxSortedExpired = 10_000
	// maxExpiryDelay is how late a group may expire: one can be pushed that expires
	// before the next one known, and a failed journal is asked again that often.
	maxExpiryDelay = time.Second
)

// RunExpiry deletes groups that have expired, until ctx ends. It passes what it has
// deleted to onExpired, which must not change the store.
func (s *Store) RunExpiry(ctx context.Context, onExpired func([]ExpiredGroup)) {
	for {
		wait := maxExpiryDelay
		if left, any := s.nextExpiry(); any {
			wait = min(left, maxExpiryDelay)
		}
		if wait <= 0 {
			wait = expiryPause
			if s.expireDue(ctx, onExpired) != nil {
				wait = maxExpiryDelay
			}
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// expireDue deletes groups that have expired, until there is none, ctx ends, or the
// journal fails.
func (s *Store) expireDue(ctx context.Context, onExpired func([]ExpiredGroup)) error {
	for ids := range slices.Chunk(s.due(maxSortedExpired), maxExpiredAtOnce) {
		if err := s.Ready(); err != nil {
			return err
		}
		expired, err := s.expire(ids)
		if err != nil {
			return err
		}
		if len(expired) > 0 {
			onExpired(expired)
		}
		if !sleep(ctx, expiryPause) {
			break
		}
	}
	return nil
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
