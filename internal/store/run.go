package store

import (
	"math/bits"
	"slices"
	"sort"
	"strings"
)

// item is an item of a run. No two items of a run have the same order. An item points
// to its leaf, so that replacing it needs no search.
type item[T any] interface {
	comparable
	order() string
	weight() int // in bytes
	leaf() *leaf[T]
	setLeaf(*leaf[T])
}

// run is an ordered collection in segments of bounded weight. Writers change it in
// place. snapshot hands out the segments, which are immutable from then on: a change
// replaces the segment that it is in. So a snapshot costs a pointer per segment, and a
// segment that nobody changes keeps what readers cached with it.
//
// A run is not safe for concurrent use; the segments of a snapshot are.
type run[T item[T]] struct {
	leaves   []*leaf[T]
	count    int32
	found    int32         // what find returned last
	segments []*Segment[T] // the last snapshot, nil once the run has changed
}

// leaf is a segment of a run, for the writer.
type leaf[T any] struct {
	first   string // the order of the segment's first item
	segment *Segment[T]
	weight  int
	shared  bool        // the segment is in a snapshot and must not change any more
	alone   [1]*leaf[T] // the leaves of a run that has no other
}

// maxSegmentWeight is the weight at which a segment splits. Small segments lose little
// when a group is pushed again; large ones compress better. Measured with make bench.
const maxSegmentWeight = 12 << 10

// withRoom returns a copy of the items with room for more. Copies come in a few sizes only. With
// many sizes, a few copies of each would survive among garbage of the same size, and hold its memory.
func withRoom[T any](items []T) []T {
	// The size is a power of two: the items, and a word of the allocator's own.
	return append(make([]T, 0, 1<<bits.Len(uint(len(items)+1))-1), items...)
}

// Segment is a stretch of consecutive items of a run. It is immutable.
type Segment[T any] struct {
	Items []T
	cache // of what readers derived from the items
}

// newLeaf returns a leaf with a single item.
func newLeaf[T item[T]](x T) *leaf[T] {
	all := &struct {
		leaf    leaf[T]
		segment Segment[T]
		items   [1]T
	}{items: [1]T{x}}
	all.segment.Items = all.items[:]
	all.leaf = leaf[T]{first: x.order(), segment: &all.segment, weight: x.weight()}
	all.leaf.alone[0] = &all.leaf
	return &all.leaf
}

// snapshot returns the segments of the run as it is now. Cost: O(segments) after a
// change, O(1) otherwise.
func (r *run[T]) snapshot() []*Segment[T] {
	if r.segments == nil {
		r.segments = make([]*Segment[T], len(r.leaves))
		for i, l := range r.leaves {
			l.shared = true
			r.segments[i] = l.segment
		}
	}
	return r.segments
}

// find returns the index of the leaf in which an item of this order is or would be.
// What is added in order is found at once.
func (r *run[T]) find(order string) int {
	if i := int(r.found); i >= len(r.leaves) || r.leaves[i].first > order || i+1 < len(r.leaves) && r.leaves[i+1].first <= order {
		r.found = int32(max(0, sort.Search(len(r.leaves), func(i int) bool { return r.leaves[i].first > order })-1))
	}
	return int(r.found)
}

// replace replaces old, which is in the run, with next, which has the same order.
func (r *run[T]) replace(old, next T) {
	r.segments = nil
	l := old.leaf()
	l.edit()
	l.segment.Items[slices.Index(l.segment.Items, old)] = next
	next.setLeaf(l)
	l.weight += next.weight() - old.weight()
	if l.weight > maxSegmentWeight && len(l.segment.Items) > 1 {
		r.split(r.find(next.order()))
	}
}

// insert adds x. The run must have no item of its order. An item that is inserted into
// an empty run may have been given its leaf before.
func (r *run[T]) insert(x T) {
	r.segments = nil
	r.count++
	if r.count == 1 {
		l := x.leaf()
		if l == nil {
			l = newLeaf(x)
			x.setLeaf(l)
		}
		r.leaves = l.alone[:]
		return
	}
	i := r.find(x.order())
	l := r.leaves[i]
	l.edit()
	at := len(l.segment.Items)
	if order := x.order(); l.segment.Items[at-1].order() > order {
		at, _ = slices.BinarySearchFunc(l.segment.Items, order, compareOrder[T])
	}
	if items := l.segment.Items; len(items) == cap(items) {
		l.segment.Items = withRoom(items)
	}
	l.segment.Items = slices.Insert(l.segment.Items, at, x)
	l.first = l.segment.Items[0].order()
	x.setLeaf(l)
	l.weight += x.weight()
	if l.weight > maxSegmentWeight {
		r.split(i)
	}
}

// remove removes x, which is in the run.
func (r *run[T]) remove(x T) {
	r.segments = nil
	r.count--
	l := x.leaf()
	x.setLeaf(nil)
	if r.count == 0 {
		r.leaves = nil
		return
	}
	l.edit()
	at := slices.Index(l.segment.Items, x)
	l.segment.Items = slices.Delete(l.segment.Items, at, at+1)
	l.weight -= x.weight()
	if l.weight >= maxSegmentWeight/4 && at > 0 {
		return
	}
	i := r.find(l.first)
	if len(l.segment.Items) == 0 {
		r.leaves = slices.Delete(r.leaves, i, i+1)
		return
	}
	l.first = l.segment.Items[0].order()
	if l.weight < maxSegmentWeight/4 {
		r.join(i)
	}
}

// edit prepares the leaf's items for a change. If a snapshot has the segment, the leaf
// gets a copy of it, with nothing cached.
func (l *leaf[T]) edit() {
	if l.shared {
		l.segment = &Segment[T]{Items: append(make([]T, 0, len(l.segment.Items)+1), l.segment.Items...)}
		l.shared = false
	}
}

// split divides leaf i, which is prepared for a change and has several items, in two of
// about the same weight.
func (r *run[T]) split(i int) {
	l := r.leaves[i]
	items := l.segment.Items
	at, weight := 0, 0
	for at == 0 || at < len(items)-1 && weight+items[at].weight() <= l.weight/2 {
		weight += items[at].weight()
		at++
	}
	upper := &leaf[T]{
		first:   items[at].order(),
		segment: &Segment[T]{Items: withRoom(items[at:])},
		weight:  l.weight - weight,
	}
	for _, x := range upper.segment.Items {
		x.setLeaf(upper)
	}
	l.segment.Items = withRoom(items[:at])
	l.weight = weight
	r.leaves = slices.Insert(r.leaves, i+1, upper)
}

// join joins leaf i with a neighbor if both together stay small.
func (r *run[T]) join(i int) {
	i = min(i, len(r.leaves)-2)
	if i < 0 || r.leaves[i].weight+r.leaves[i+1].weight > maxSegmentWeight/2 {
		return
	}
	l, upper := r.leaves[i], r.leaves[i+1]
	l.edit()
	l.segment.Items = append(l.segment.Items, upper.segment.Items...)
	for _, x := range upper.segment.Items {
		x.setLeaf(l)
	}
	l.weight += upper.weight
	r.leaves = slices.Delete(r.leaves, i+1, i+2)
}

func compareOrder[T item[T]](x T, order string) int { return strings.Compare(x.order(), order) }

// findInSegments returns the item of this order in a snapshot.
func findInSegments[T item[T]](segments []*Segment[T], order string) (x T, found bool) {
	i := sort.Search(len(segments), func(i int) bool { return segments[i].Items[0].order() > order }) - 1
	if i < 0 {
		return x, false
	}
	at, found := slices.BinarySearchFunc(segments[i].Items, order, compareOrder[T])
	if found {
		x = segments[i].Items[at]
	}
	return x, found
}
