package store

import (
	"math"
	"time"

	"pushgateway/internal/metric"
)

// Group is a group in one state. It is immutable.
type Group struct {
	Key metric.GroupingKey
	// Families are sorted by name and include the two push times.
	Families []*EncodedFamily
	// Pushed and Failed are when a push last succeeded and was last rejected; zero if
	// that has not happened.
	Pushed, Failed time.Time
	Expiry         metric.Expiry // as the last push set it
	Summed         bool          // pushes are added up
	// Expired says that the group has expired and only its push times are left, until
	// it is pushed to or deleted.
	Expired bool

	announced bool // the families have entries in the index; see prepare

	// What count has counted. There may be a million groups, so these are small.
	counted                bool
	series, escaped, bytes uint32

	used  usedKeys // of the last pushes
	shape shape    // of Key

	// Set while the group is in the store, and guarded by its locks.
	home     *leaf[*Group]
	ttlStart time.Duration // of Clock.Elapsed, see startTTL
	expiry   *expiry       // in the queue, nil if the group does not expire
}

// groupsPerSegment is about how many groups a segment has.
const groupsPerSegment = 128

func (g *Group) order() string           { return g.Key.ID() }
func (g *Group) weight() int             { return maxSegmentWeight / groupsPerSegment }
func (g *Group) leaf() *leaf[*Group]     { return g.home }
func (g *Group) setLeaf(l *leaf[*Group]) { g.home = l }

// Family returns the group's family of this name, nil if it has none. g may be nil.
func (g *Group) Family(name string) *EncodedFamily {
	if g == nil {
		return nil
	}
	return familyIn(g.Families, name)
}

// count returns what the group, which may be nil, adds to the totals. Cost: O(families)
// the first time, which must not be concurrent with others.
func (g *Group) count() Totals {
	if g == nil {
		return Totals{}
	}
	if g.counted {
		return Totals{Groups: 1, Series: int(g.series), Bytes: int64(g.bytes), Escaped: int(g.escaped)}
	}
	t := Totals{Groups: 1}
	for _, e := range g.Families {
		t = t.plus(e.count())
	}
	g.keepCount(t)
	return t
}

// keepCount saves count the work, unless the group has 4 GiB or more.
func (g *Group) keepCount(t Totals) {
	if t.Bytes <= math.MaxUint32 {
		g.counted, g.series, g.escaped, g.bytes = true, uint32(t.Series), uint32(t.Escaped), uint32(t.Bytes)
	}
}

// Changed returns when a push last changed the group, by success or rejection.
func (g *Group) Changed() time.Time {
	if g.Failed.After(g.Pushed) {
		return g.Failed
	}
	return g.Pushed
}

// Size returns about how many bytes it takes to persist the group.
func (g *Group) Size() int {
	size := 0
	for _, e := range g.Families {
		size += e.Size() + len(e.Name()) + len(e.Help())
	}
	return size
}

// empty reports whether the group has no pushed family. g may be nil.
func (g *Group) empty() bool { return g == nil || len(g.Families) == pushTimeFamilies }

// successor returns a copy of the group that is not in the store.
func (g *Group) successor() *Group {
	return &Group{
		Key: g.Key, Families: g.Families, Pushed: g.Pushed, Failed: g.Failed,
		Summed: g.Summed, Expiry: g.Expiry, Expired: g.Expired, used: g.used, shape: g.shape,
	}
}

// detach prepares a group for the store that may have been in another one before.
func (g *Group) detach() {
	g.home, g.expiry, g.ttlStart = nil, nil, 0
	for _, e := range g.Families {
		e.family, e.home = nil, nil
	}
}

// maxGroupSize bounds the size that a group can get to by merging, in bytes: the journal
// writes it as a whole with each push.
const maxGroupSize = 256 << 20

// afterPush returns the group g (nil if there is none yet) after the push p. It changes
// neither. The error is a *metric.RejectionError.
func (g *Group) afterPush(p *Push) (*Group, error) {
	next := &Group{Key: p.key, Pushed: p.at, Expiry: p.options.Expiry}
	next.Summed = p.sums()
	if g == nil {
		next.shape = p.shape
		next.used = next.used.with(p)
		next.Families = p.groupFamilies(nil)
		return next, nil
	}
	next.Key, next.Failed, next.shape = g.Key, g.Failed, g.shape
	next.used = g.used.with(p)
	pushed := p.groupFamilies(g)
	if p.replaces(g) {
		next.Families = pushed
		return next, nil
	}
	if len(p.families) == 0 || p.options.Merge == metric.MergeEach {
		next.Summed = next.Summed || g.Summed
	}
	if p.options.Merge != metric.MergeFamily {
		if err := p.mergeSeries(pushed, g); err != nil {
			return nil, err
		}
	}
	next.Families = union(pushed, g.Families, compareNames)
	if next.Summed && !g.Summed {
		keepValues(next.Families, g)
	}
	if size := next.Size(); size > maxGroupSize {
		return nil, metric.Reject(metric.TooLarge, "with this push, group %s would have %d MiB, more than the %d MiB that a group may have: push to several groups, or replace it with PUT",
			p.key, size>>20, maxGroupSize>>20)
	}
	return next, nil
}

// keepValues marks the families that come from the group old, which was not summed so far, as values that pushes
// replace.
func keepValues(families []*EncodedFamily, old *Group) {
	for i, e := range families {
		if e == old.Family(e.Name()) && !e.replaced() {
			families[i] = e.clone()
			families[i].setReplaced()
		}
	}
}

// afterRejection returns the group g (nil if there is none yet) after a push that was
// rejected at the given time. It does not change g.
func (g *Group) afterRejection(key metric.GroupingKey, at time.Time) *Group {
	labels := metric.GroupLabels(key)
	failure := newTimeFamily(FailureTime, key, labels, at, at)
	if g == nil {
		return &Group{
			Key:      key,
			Families: []*EncodedFamily{failure, newTimeFamily(PushTime, key, labels, time.Time{}, at)},
			Failed:   at,
			shape:    shapeOf(key),
		}
	}
	next := g.successor()
	next.Failed = at
	next.Families = union([]*EncodedFamily{failure}, g.Families, compareNames)
	next.keepCount(g.count().minus(g.Family(FailureTime).count()).plus(failure.count()))
	return next
}
