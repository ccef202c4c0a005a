// Package history remembers the results of recent pushes, in memory and within
// bounds: a timeline per group, and the latest rejections of all groups. It also remembers
// who scraped the gateway. It knows neither HTTP nor the groups' metrics.
package history

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"pushgateway/internal/metric"
)

// Event is one push and its result.
type Event struct {
	At     time.Time
	Method string // PUT or POST
	Size   int64  // bytes of the body as sent; negative if unknown
	Source string // the client's address
	Client string // the User-Agent header; may be empty

	// Replayed reports whether a push with the same idempotency key had been
	// applied before, so that this one changed nothing.
	Replayed bool

	// Key is the group's key. It is the zero value if the URL named no group; Path
	// then holds the URL's path.
	Key  metric.GroupingKey
	Path string

	// Reason and Message say why the push was rejected. Both are empty for an
	// accepted push. Reason alone is empty if the gateway itself failed.
	Reason  metric.Reason
	Message string
}

// Accepted reports whether the push was applied.
func (e *Event) Accepted() bool { return e.Message == "" }

const (
	maxEvents     = 20  // per group
	maxRejections = 100 // of all groups
	maxMessage    = 2000
	maxText       = 200
	// maxBytes bounds the size of all timelines, as event.cost estimates it. It is
	// enough for full timelines of 3,000 groups, or the last push of 15,000.
	maxBytes = 8 << 20
	// minSweep is the number of timelines at which the log first looks for groups
	// that no longer exist.
	minSweep = 1024
	// maxShared is the maximum number of texts in shared.
	maxShared = 256
)

// Log records pushes. It is safe for concurrent use.
type Log struct {
	stored func(keys []metric.GroupingKey) []bool

	mu         sync.Mutex // guards all fields below
	groups     map[string]*timeline
	byAge      ages
	bytes      int // estimated size of all timelines
	limit      int // events per timeline; below maxEvents if maxBytes was reached
	sweepAt    int // number of timelines at which sweep runs
	rejected   map[string]Rejection
	snapshot   *Rejected // of rejected; nil after a change
	rejections []Event   // the oldest first
	shared     shared

	scrapes scrapes
}

// Rejection is the time of a group's last rejected push.
type Rejection struct {
	Key metric.GroupingKey
	At  time.Time
}

// Rejected is an immutable snapshot of the last rejection of each group.
type Rejected struct {
	byID map[string]Rejection
}

// At returns the time of the last rejected push to the group with this ID; zero if
// none is known. It accepts a nil receiver.
func (r *Rejected) At(id string) time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.byID[id].At
}

// All returns all rejections, in no particular order. It accepts a nil receiver.
func (r *Rejected) All() iter.Seq[Rejection] {
	if r == nil {
		return func(func(Rejection) bool) {}
	}
	return maps.Values(r.byID)
}

// timeline holds the recent pushes to one group.
type timeline struct {
	older, newer *timeline // in ages
	key          metric.GroupingKey
	events       []event  // the oldest first
	first        [1]event // of events, while there is one: most groups are pushed to rarely
	// rejected is the last rejection; nil if there was none. It remains after newer
	// pushes have displaced it from events.
	rejected *Event
}

// event is the compact form of an Event. It shares the strings that many events
// have in common.
type event struct {
	at      int64 // Unix nanoseconds
	size    int64
	source  string
	client  *string
	method  *string
	reason  metric.Reason
	message string

	replayed bool
}

// shared has texts that many events have in common. With package unique, a push would have to wait
// for the garbage collector: it cannot make a weak pointer strong until the collector has marked
// the whole heap.
type shared map[string]*string

// text returns a text for events to point to.
func (s *shared) text(t string) *string {
	if known := (*s)[t]; known != nil {
		return known
	}
	if *s == nil || len(*s) == maxShared {
		*s = shared{}
	}
	(*s)[t] = &t
	return &t
}

// New returns an empty log. stored reports which of the given groups exist. The log
// drops the timelines of other groups, at the latest when it has doubled in size.
func New(stored func(keys []metric.GroupingKey) []bool) *Log {
	return &Log{
		stored: stored, groups: map[string]*timeline{}, rejected: map[string]Rejection{},
		limit: maxEvents, sweepAt: minSweep,
	}
}

// Record adds a push. Cost: O(1), amortized.
func (l *Log) Record(e Event) {
	e.Source, e.Client, e.Path = shorten(e.Source, maxText), shorten(e.Client, maxText), shorten(e.Path, maxText)
	e.Message = shorten(e.Message, maxMessage)

	l.mu.Lock()
	defer l.mu.Unlock()
	if !e.Accepted() {
		if len(l.rejections) == maxRejections {
			l.rejections = append(l.rejections[:0], l.rejections[1:]...)
		}
		l.rejections = append(l.rejections, e)
	}
	id := e.Key.ID()
	if id == "" {
		return
	}
	t, ok := l.groups[id]
	if ok {
		l.byAge.remove(t)
	} else {
		if len(l.groups) >= l.sweepAt {
			l.sweep()
		}
		t = &timeline{key: e.Key}
		t.events = t.first[:0]
		l.groups[id] = t
		l.bytes += costOfGroup(e.Key)
	}
	l.byAge.add(t)
	if !e.Accepted() {
		if t.rejected != nil {
			l.bytes -= len(t.rejected.Message)
		}
		last := e // a copy: accepted pushes need no allocation
		t.rejected = &last
		l.rejected[id] = Rejection{e.Key, e.At}
		l.snapshot = nil
		l.bytes += len(e.Message)
	}
	if len(t.events) >= l.limit {
		l.bytes -= t.events[0].cost()
		t.events = append(t.events[:0], t.events[1:]...)
	}
	if len(t.events) == cap(t.events) {
		t.events = slices.Grow(t.events, 1)
		t.first = [1]event{}
	}
	t.events = append(t.events, event{
		at: e.At.UnixNano(), size: e.Size, source: e.Source, reason: e.Reason, message: e.Message,
		client: l.shared.text(e.Client), method: l.shared.text(e.Method), replayed: e.Replayed,
	})
	l.bytes += t.events[len(t.events)-1].cost()
	for l.bytes > maxBytes && len(l.groups) > 1 {
		if l.limit > 1 {
			l.shrink()
		} else {
			// Drop the group that has been silent for longest.
			l.drop(l.byAge.oldest)
		}
	}
}

// shrink halves the number of events per timeline. It runs a few times at most
// between two sweeps. The caller holds mu.
func (l *Log) shrink() {
	l.limit /= 2
	for t := l.byAge.oldest; t != nil; t = t.newer {
		if surplus := len(t.events) - l.limit; surplus > 0 {
			for i := range surplus {
				l.bytes -= t.events[i].cost()
			}
			t.events = slices.Clone(t.events[surplus:]) // frees the rest
		}
	}
}

// Group returns the recent pushes to the group, the latest first, and the last
// rejected one. Either is nil if none is known.
func (l *Log) Group(key metric.GroupingKey) (pushes []Event, rejected *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.groups[key.ID()]
	if !ok {
		return nil, nil
	}
	for i := len(t.events) - 1; i >= 0; i-- {
		e := &t.events[i]
		pushes = append(pushes, Event{
			At: time.Unix(0, e.at), Method: *e.method, Size: e.size, Source: e.source, Client: *e.client,
			Key: key, Replayed: e.replayed, Reason: e.reason, Message: e.message,
		})
	}
	if t.rejected != nil {
		copied := *t.rejected
		rejected = &copied
	}
	return pushes, rejected
}

// LastRejected returns the last rejected push to the group; nil if none is known.
func (l *Log) LastRejected(key metric.GroupingKey) *Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.groups[key.ID()]; ok && t.rejected != nil {
		copied := *t.rejected
		return &copied
	}
	return nil
}

// Rejected returns a snapshot of the last rejection of each group. It returns the
// same snapshot until a rejection is added or dropped. Cost: O(groups with a
// rejection) after a change, O(1) otherwise.
func (l *Log) Rejected() *Rejected {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.snapshot == nil {
		l.snapshot = &Rejected{maps.Clone(l.rejected)}
	}
	return l.snapshot
}

// Rejections returns the latest rejections of all groups, the newest first.
func (l *Log) Rejections() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	latest := make([]Event, 0, len(l.rejections))
	for i := len(l.rejections) - 1; i >= 0; i-- {
		latest = append(latest, l.rejections[i])
	}
	return latest
}

// Forget drops the timeline of a deleted group. Rejections still returns its
// rejections.
func (l *Log) Forget(key metric.GroupingKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.groups[key.ID()]; ok {
		l.drop(t)
	}
}

// ForgetAll drops all timelines.
func (l *Log) ForgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.groups)
	clear(l.rejected)
	l.byAge = ages{}
	l.snapshot = nil
	l.bytes, l.limit, l.sweepAt = 0, maxEvents, minSweep
}

// sweep drops the timelines of groups that no longer exist. The caller holds mu.
func (l *Log) sweep() {
	keys := make([]metric.GroupingKey, 0, len(l.groups))
	for t := l.byAge.oldest; t != nil; t = t.newer {
		keys = append(keys, t.key)
	}
	for i, stored := range l.stored(keys) {
		if !stored {
			l.drop(l.groups[keys[i].ID()])
		}
	}
	l.sweepAt = max(minSweep, 2*len(l.groups))
	if l.bytes < maxBytes/4 {
		l.limit = maxEvents
	}
}

// drop drops a timeline. The caller holds mu.
func (l *Log) drop(t *timeline) {
	l.byAge.remove(t)
	delete(l.groups, t.key.ID())
	if _, ok := l.rejected[t.key.ID()]; ok {
		delete(l.rejected, t.key.ID())
		l.snapshot = nil
	}
	l.bytes -= costOfGroup(t.key)
	for i := range t.events {
		l.bytes -= t.events[i].cost()
	}
	if t.rejected != nil {
		l.bytes -= len(t.rejected.Message)
	}
}

// costOfGroup estimates the size in bytes of a timeline without events.
func costOfGroup(key metric.GroupingKey) int { return 300 + 2*len(key.ID()) + 32*len(key.Labels()) }

// cost estimates the size in bytes of the event.
func (e *event) cost() int { return 118 + len(e.source) + len(e.message) }

// shorten cuts a text to at most n bytes, between two characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
