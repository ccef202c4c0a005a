package store

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"pushgateway/internal/metric"
)

// Limits say when groups end.
type Limits struct {
	// For returns the lifetime of a group as far as its last push left it open.
	For   func(metric.GroupingKey) metric.Lifetime
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
type end struct {
	at    time.Duration // of Clock.Elapsed
	id    string        // of the group
	index int
}

// ends is a heap of ends, the earliest first.
type ends []*end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *ends) Push(x any) {
	x.(*end).index = len(*e)
	*e = append(*e, x.(*end))
}

func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	(*e)[len(*e)-1] = nil
	*e = (*e)[:len(*e)-1]
	return last
}

// due returns the IDs of groups that have ended by then, at most limit of them.
// Cost: O(limit), as they are all at the top of the heap.
func (e ends) due(now time.Duration, limit int) []string {
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
// called again where the answers of For change. Cost: O(groups).
func (s *Store) Limit(limits Limits) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.visible.Lock()
	defer s.visible.Unlock()
	s.limits.Store(&limits)
	s.ends = nil
	for _, g := range s.groups {
		g.end = nil
		s.schedule(nil, g)
	}
}

// schedule queues the end of next, in the place of that of old, which it follows.
// The caller holds committing and visible.
func (s *Store) schedule(old, next *Group) {
	var e *end
	if old != nil {
		e = old.end
	}
	at, ends := time.Duration(0), false
	if next != nil {
		at, ends = s.endOf(next)
	}
	switch {
	case !ends && e == nil:
	case !ends:
		heap.Remove(&s.ends, e.index)
		old.end = nil
	case e == nil:
		next.end = &end{at: at, id: next.Key.ID()}
		heap.Push(&s.ends, next.end)
	default:
		e.at, next.end = at, e
		heap.Fix(&s.ends, e.index)
	}
}

// lifetime returns how long the group stays after its last push; false for ever.
func (s *Store) lifetime(g *Group) (metric.Lifetime, bool) {
	limits := s.limits.Load()
	if limits == nil {
		return metric.Lifetime{}, false
	}
	l := g.Lifetime.Or(limits.For(g.Key))
	return l, l.TTL > 0 && !g.Expired && !(l.KeepTimes && g.empty())
}

// LifetimeStart returns when the group's lifetime began: with its last successful push, or,
// where there was none, with the refused one that made it.
func (g *Group) LifetimeStart() time.Time {
	if g.Pushed.IsZero() {
		return g.Failed
	}
	return g.Pushed
}

// endOf returns when the group ends, as of Clock.Elapsed; false for never. A group
// pushed in what is the future by the time of day counts as pushed now.
func (s *Store) endOf(g *Group) (time.Duration, bool) {
	l, ends := s.lifetime(g)
	if !ends {
		return 0, false
	}
	clock := s.limits.Load().Clock
	left := l.TTL - max(0, clock.Now().Sub(g.LifetimeStart()))
	now := clock.Elapsed()
	if left > math.MaxInt64-now {
		return 0, false
	}
	return now + left, true
}

// ExpiresAt returns when a group of a view ends, and with keepTimes that its two
// push times stay; the zero time for never.
func (s *Store) ExpiresAt(g *Group) (at time.Time, keepTimes bool) {
	l, ends := s.lifetime(g)
	if !ends {
		return time.Time{}, false
	}
	return g.LifetimeStart().Add(l.TTL), l.KeepTimes
}

// Due returns how many groups have ended, but are still there. Cost: O(of them).
func (s *Store) Due() int {
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.ends) == 0 {
		return 0
	}
	return len(s.ends.due(s.limits.Load().Clock.Elapsed(), len(s.ends)))
}

// NextEnd returns in how long the next group ends, not positive where that is over;
// false where none does.
func (s *Store) NextEnd() (time.Duration, bool) {
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.ends) == 0 {
		return 0, false
	}
	return s.ends[0].at - s.limits.Load().Clock.Elapsed(), true
}

// Expire ends groups whose time has come, at most limit of them and in one step, and
// returns them as they were. Each is gone as a whole, or has its two push times left.
// Cost: O(what the groups hold).
func (s *Store) Expire(limit int) (ended []*Group, err error) {
	err = s.commit(func(b *batch) error {
		if b.wiped || len(s.ends) == 0 {
			return nil
		}
		for _, id := range s.ends.due(s.limits.Load().Clock.Elapsed(), limit) {
			g := s.groups[id]
			if b.group(id) != g {
				continue // another one by now
			}
			ended = append(ended, g)
			if l, _ := s.lifetime(g); l.KeepTimes {
				b.put(id, g.emptied())
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
func (g *Group) emptied() *Group {
	next := *g
	next.Expired, next.Summed, next.home, next.end = true, false, nil, nil
	next.Chunks = slices.DeleteFunc(slices.Clone(g.Chunks), func(c *Chunk) bool {
		return c.Name() != PushTime && c.Name() != FailureTime
	})
	return &next
}
