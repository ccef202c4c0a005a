package store

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"pushgateway/internal/metric"
)

// Limits say when groups end.
type ExpiryPolicy struct {
	// For returns the lifetime of a group as far as its last push left it open.
	For   func(metric.GroupingKey) metric.Expiry
	Clock Clock
}

// Clock tells the time of day, which can be set, and the time that has passed since
// some moment, which only grows. Groups that are held end by the latter: setting the
// clock ends none of them early, and keeps none longer. How old a group is when it
// comes into the store follows from the time of day.
type Clock struct {
	Now     func() time.Time
	Elapsed func() time.Duration
}

// end is a group's place in the queue.
type expiry struct {
	at    time.Duration // of Clock.Elapsed
	id    string        // of the group
	index int
}

// ends is a heap of ends, the earliest first.
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

// due returns the IDs of groups that have ended by then, at most limit of them.
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

// Limit has groups end as the limits say from now on, those held as well. It is
// called before the first change, and again, by one caller at a time and with the same
// clock, where the answers of For change. Cost: O(groups); other changes and readers get
// through meanwhile.
func (s *Store) SetExpiry(limits ExpiryPolicy) {
	s.expiryPolicy.Store(&limits)
	// Who comes into the store from here on follows the new limits, and Expire asks
	// them, too. What is left is to move the ends of those that were there.
	const atOnce = 256
	for groups := range slices.Chunk(slices.Collect(s.Snapshot().Groups()), atOnce) {
		s.reschedule(groups)
	}
}

// reschedule queues the ends of those of the groups that are still there.
func (s *Store) reschedule(groups []*Group) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.visible.Lock()
	defer s.visible.Unlock()
	for _, g := range groups {
		if s.groups[g.Key.ID()] == g {
			s.schedule(g, g)
		}
	}
}

// schedule queues the end of next, in the place of that of old, which it follows or
// is. The caller holds committing and visible.
func (s *Store) schedule(old, next *Group) {
	limits := s.expiryPolicy.Load()
	if limits == nil {
		return
	}
	var e *expiry
	if old != nil {
		e = old.expiry
	}
	at, ends := time.Duration(0), false
	if next != nil {
		next.begin(old, limits.Clock)
		at, ends = limits.endOf(next)
	}
	switch {
	case !ends && e == nil:
	case !ends:
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

// begin sets when the group's lifetime began, by the time that has passed: as with the
// state before it, or from the time of day, where the future counts as now.
func (g *Group) begin(old *Group, clock Clock) {
	switch start := g.TTLStart(); {
	case old == g:
	case old != nil && old.TTLStart().Equal(start):
		g.begun = old.begun
	default:
		g.begun = clock.Elapsed() - max(0, clock.Now().Sub(start))
	}
}

// LifetimeStart returns when the group's lifetime began: with its last successful push,
// or, where there was none, with the rejected one that made it.
func (g *Group) TTLStart() time.Time {
	if pushTime := g.Family(PushTime); g.Pushed.IsZero() && pushTime != nil {
		return pushTime.Time()
	}
	return g.Pushed
}

// lifetime returns how long the group stays after its last push; false for ever.
func (l *ExpiryPolicy) lifetime(g *Group) (metric.Expiry, bool) {
	of := g.Expiry.Or(l.For(g.Key))
	return of, of.TTL > 0 && !g.Expired && !(of.KeepPushTimes && g.empty())
}

// endOf returns when a group of the store ends, as of Clock.Elapsed; false for never.
func (l *ExpiryPolicy) endOf(g *Group) (time.Duration, bool) {
	of, ends := l.lifetime(g)
	if !ends || of.TTL > math.MaxInt64-max(0, g.begun) {
		return 0, false
	}
	return g.begun + of.TTL, true
}

// ExpiresAt returns when a group of a view ends, and with keepTimes that its two
// push times stay; the zero time for never.
func (s *Store) ExpiresAt(g *Group) (at time.Time, keepTimes bool) {
	limits := s.expiryPolicy.Load()
	if limits == nil {
		return time.Time{}, false
	}
	of, ends := limits.lifetime(g)
	if !ends {
		return time.Time{}, false
	}
	return g.TTLStart().Add(of.TTL), of.KeepPushTimes
}

// Due returns the IDs of groups whose time has come, at most limit of them, in order.
// Cost: O(limit log limit).
func (s *Store) Due(limit int) []string {
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.expiries) == 0 {
		return nil
	}
	ids := s.expiries.due(s.expiryPolicy.Load().Clock.Elapsed(), limit)
	slices.Sort(ids)
	return ids
}

// NextEnd returns in how long the next group ends, not positive where that is over;
// false where none does.
func (s *Store) NextExpiry() (time.Duration, bool) {
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.expiries) == 0 {
		return 0, false
	}
	return s.expiries[0].at - s.expiryPolicy.Load().Clock.Elapsed(), true
}

// Ended is a group as it was before it ended.
type ExpiredGroup struct {
	*Group
	KeptPushTimes bool // its two push times are still there
}

// Expire ends those of the groups of these IDs whose time has come, in one step. Each is
// gone as a whole, or has its two push times left. Cost: O(what the groups hold).
func (s *Store) Expire(ids []string) (ended []ExpiredGroup, err error) {
	err = s.commit(func(b *batch) error {
		limits := s.expiryPolicy.Load()
		if b.wiped || limits == nil {
			return nil
		}
		now := limits.Clock.Elapsed()
		for _, id := range ids {
			g := s.groups[id]
			if g == nil || b.group(id) != g {
				continue // another one by now
			}
			of, ends := limits.lifetime(g)
			if !ends || now-g.begun < of.TTL {
				continue
			}
			ended = append(ended, ExpiredGroup{g, of.KeepPushTimes})
			if of.KeepPushTimes {
				b.put(id, g.onlyPushTimes())
			} else {
				b.put(id, nil)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// emptied returns the group with nothing but its two push times.
func (g *Group) onlyPushTimes() *Group {
	next := *g
	next.Expired, next.Summed, next.segment, next.expiry = true, false, nil, nil
	next.Families = slices.DeleteFunc(slices.Clone(g.Families), func(c *EncodedFamily) bool {
		return c.Name() != PushTime && c.Name() != FailureTime
	})
	return &next
}
