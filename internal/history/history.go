// Package history remembers, in memory and within bounds, what came of the last
// pushes: a timeline per group, and the recent rejections of all. It knows neither
// HTTP nor what the groups hold.
package history

import (
	"container/list"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
	"unique"

	"pushgateway/internal/metric"
)

// Event is one push and what came of it.
type Event struct {
	At     time.Time
	Method string // PUT or POST
	Size   int64  // of the body as it was sent, in bytes
	Source string // the address it came from
	Client string // the User-Agent header; may be empty

	// Repeated tells that the push had been applied before, by its idempotency
	// key, and changed nothing.
	Replayed bool

	// Key is the group's; the zero value where the URL named none, which
	// then is in Path.
	Key  metric.GroupingKey
	Path string

	// Message is why the push was rejected, and Reason the same in one word,
	// which is empty where the gateway itself failed. Both are empty for a push
	// that was accepted.
	Reason  metric.Reason
	Message string
}

// Accepted reports whether the push was applied.
func (e *Event) Accepted() bool { return e.Message == "" }

// Bounds of what is remembered. Texts of a push may be long on purpose.
const (
	perGroup   = 20
	rejections = 100
	maxMessage = 2000
	maxText    = 200
	// budget bounds all timelines together, in bytes as cost counts them. Some 3,000
	// groups have whole timelines, or 15,000 their last push.
	budget = 8 << 20
	// sweepAt is how many groups there are before it is looked, for the first
	// time, which of them are gone.
	sweepAt = 1024
)

// Log remembers pushes. It is safe for concurrent use.
type Log struct {
	held func(keys []metric.GroupingKey) []bool

	mu         sync.Mutex // guards all below
	groups     map[string]*list.Element
	byAge      list.List // of *timeline, the one with the latest push at the back
	spent      int       // bytes of all timelines
	limit      int       // events of each timeline; less than perGroup where all would exceed the budget
	sweepAt    int
	rejected   map[string]time.Time // when a group's last rejection was, by its ID
	rejections []Event              // the oldest first
	version    uint64
}

// timeline is what is known of one group.
type timeline struct {
	key    metric.GroupingKey
	events []event // the oldest first
	// rejected is the last rejection, which stays when later pushes have taken its
	// place among events; nil where there was none.
	rejected *Event
}

// event is an Event as it is kept: what repeats in every event of a group, or of
// many groups, is kept once.
type event struct {
	at      int64 // Unix nanoseconds
	size    int64
	source  string
	client  unique.Handle[string]
	method  unique.Handle[string]
	reason  metric.Reason
	message string

	repeated bool
}

// New returns an empty log. held tells which of these groups are still there; the
// timelines of others are dropped, at the latest when the log has doubled.
func New(held func(keys []metric.GroupingKey) []bool) *Log {
	return &Log{held: held, groups: map[string]*list.Element{}, rejected: map[string]time.Time{}, limit: perGroup, sweepAt: sweepAt}
}

// Record remembers the push. Cost: O(1), amortized.
func (l *Log) Record(e Event) {
	e.Source, e.Client, e.Path = shorten(e.Source, maxText), shorten(e.Client, maxText), shorten(e.Path, maxText)
	e.Message = shorten(e.Message, maxMessage)

	l.mu.Lock()
	defer l.mu.Unlock()
	if !e.Accepted() {
		if len(l.rejections) == rejections {
			l.rejections = append(l.rejections[:0], l.rejections[1:]...)
		}
		l.rejections = append(l.rejections, e)
		l.version++
	}
	id := e.Key.ID()
	if id == "" {
		return
	}
	element, ok := l.groups[id]
	if ok {
		l.byAge.MoveToBack(element)
	} else {
		if len(l.groups) >= l.sweepAt {
			l.sweep()
		}
		element = l.byAge.PushBack(&timeline{key: e.Key})
		l.groups[id] = element
		l.spent += costOfGroup(e.Key)
	}
	t := element.Value.(*timeline)
	if !e.Accepted() {
		if t.rejected != nil {
			l.spent -= len(t.rejected.Message)
		}
		last := e // a copy, so that accepted pushes need no allocation
		t.rejected = &last
		l.rejected[id] = e.At
		l.spent += len(e.Message)
	}
	if len(t.events) >= l.limit {
		l.spent -= t.events[0].cost()
		t.events = append(t.events[:0], t.events[1:]...)
	}
	t.events = append(t.events, event{
		at: e.At.UnixNano(), size: e.Size, source: e.Source, reason: e.Reason, message: e.Message,
		client: unique.Make(e.Client), method: unique.Make(e.Method), repeated: e.Replayed,
	})
	l.spent += t.events[len(t.events)-1].cost()
	for l.spent > budget && l.byAge.Len() > 1 {
		if l.limit > 1 {
			l.shrink()
		} else {
			// The groups that were silent for longest give way.
			l.drop(l.byAge.Front())
		}
	}
}

// shrink halves what each timeline may hold. It happens a few times at most until
// the log is swept. The caller holds mu.
func (l *Log) shrink() {
	l.limit /= 2
	for element := l.byAge.Front(); element != nil; element = element.Next() {
		t := element.Value.(*timeline)
		if surplus := len(t.events) - l.limit; surplus > 0 {
			for i := range surplus {
				l.spent -= t.events[i].cost()
			}
			t.events = slices.Clone(t.events[surplus:]) // the rest goes, too
		}
	}
}

// Group returns the last pushes to the group, the latest first, and the last that
// was rejected; nil where none is known.
func (l *Log) Group(key metric.GroupingKey) (pushes []Event, rejected *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	element, ok := l.groups[key.ID()]
	if !ok {
		return nil, nil
	}
	t := element.Value.(*timeline)
	for i := len(t.events) - 1; i >= 0; i-- {
		e := &t.events[i]
		pushes = append(pushes, Event{
			At: time.Unix(0, e.at), Method: e.method.Value(), Size: e.size, Source: e.source, Client: e.client.Value(),
			Key: key, Replayed: e.repeated, Reason: e.reason, Message: e.message,
		})
	}
	if t.rejected != nil {
		copied := *t.rejected
		rejected = &copied
	}
	return pushes, rejected
}

// LastRejected returns the last rejected push of the group; nil where none is known.
func (l *Log) LastRejected(key metric.GroupingKey) *Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if element, ok := l.groups[key.ID()]; ok {
		if rejected := element.Value.(*timeline).rejected; rejected != nil {
			copied := *rejected
			return &copied
		}
	}
	return nil
}

// Rejected returns when the last rejected push of each group was, by the group's ID,
// as far as it is known. Cost: O(groups with a rejection).
func (l *Log) Rejected() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.rejected)
}

// Version counts the rejections. While it is the same, there are no new ones.
func (l *Log) Version() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.version
}

// Rejections returns the recent rejections of all groups, the latest first.
func (l *Log) Rejections() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	latest := make([]Event, 0, len(l.rejections))
	for i := len(l.rejections) - 1; i >= 0; i-- {
		latest = append(latest, l.rejections[i])
	}
	return latest
}

// Forget drops the timeline of a group that was deleted. The rejections of all keep
// what they have.
func (l *Log) Forget(key metric.GroupingKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if element, ok := l.groups[key.ID()]; ok {
		l.drop(element)
	}
}

// ForgetAll drops all timelines.
func (l *Log) ForgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.groups)
	clear(l.rejected)
	l.byAge.Init()
	l.spent, l.limit, l.sweepAt = 0, perGroup, sweepAt
}

// sweep drops the timelines of groups that are gone. The caller holds mu.
func (l *Log) sweep() {
	keys := make([]metric.GroupingKey, 0, len(l.groups))
	for element := l.byAge.Front(); element != nil; element = element.Next() {
		keys = append(keys, element.Value.(*timeline).key)
	}
	for i, held := range l.held(keys) {
		if !held {
			l.drop(l.groups[keys[i].ID()])
		}
	}
	l.sweepAt = max(sweepAt, 2*len(l.groups))
	if l.spent < budget/4 {
		l.limit = perGroup
	}
}

// drop drops a timeline. The caller holds mu.
func (l *Log) drop(element *list.Element) {
	t := l.byAge.Remove(element).(*timeline)
	delete(l.groups, t.key.ID())
	delete(l.rejected, t.key.ID())
	l.spent -= costOfGroup(t.key)
	for i := range t.events {
		l.spent -= t.events[i].cost()
	}
	if t.rejected != nil {
		l.spent -= len(t.rejected.Message)
	}
}

// costOfGroup returns about how many bytes a timeline takes without its events.
func costOfGroup(key metric.GroupingKey) int { return 300 + 2*len(key.ID()) + 32*len(key.Labels()) }

// cost returns about how many bytes the event takes.
func (e *event) cost() int { return 118 + len(e.source) + len(e.message) }

// shorten cuts a text after at most n bytes, between two characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
