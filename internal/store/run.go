package store

import (
	"slices"
	"sort"
	"strings"
)

// item is what a run holds: distinct by its order, and of some weight in bytes. It
// keeps its leaf for the run, so that replacing it needs no search.
type item[T any] interface {
	comparable
	order() string
	weight() int
	leaf() *leaf[T]
	setLeaf(*leaf[T])
}

// run is an ordered collection in blocks of a bounded weight. Writers change it
// in place; snapshot hands out the blocks, which from then on are immutable and
// replaced when their part of the run changes. So a reader's snapshot costs a
// pointer per block, and a block nobody changed keeps what was memoized with it.
//
// A run is not safe for concurrent use; the blocks of a snapshot are.
type run[T item[T]] struct {
	leaves   []*leaf[T]
	count    int
	segments []*Segment[T] // the last snapshot, nil once the run has changed
}

// leaf is the writer's hold on a block.
type leaf[T any] struct {
	first   string // the order of the block's first item
	segment *Segment[T]
	weight  int
	shared  bool // the block is in a snapshot and must not change any more
}

// blockWeight is where a block splits. Small blocks lose little when one group
// pushes again; large ones compress better. Measured with make bench.
const maxSegmentWeight = 12 << 10

// Segment is a stretch of consecutive items of a run. It is immutable.
type Segment[T any] struct {
	Items []T
	cache // of what readers derived from the items
}

// snapshot returns the run as it is now. Cost: O(blocks) after a change, O(1)
// otherwise.
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

// find returns the leaf where an item of this order is or would be.
func (r *run[T]) find(order string) int {
	return max(0, sort.Search(len(r.leaves), func(i int) bool { return r.leaves[i].first > order })-1)
}

// replace puts next in the place of old, which is in the run and of the same
// order.
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

// insert adds x, of whose order there is none yet.
func (r *run[T]) insert(x T) {
	r.segments = nil
	r.count++
	if len(r.leaves) == 0 {
		r.leaves = append(r.leaves, &leaf[T]{segment: &Segment[T]{}})
	}
	i := r.find(x.order())
	l := r.leaves[i]
	l.edit()
	at, _ := slices.BinarySearchFunc(l.segment.Items, x.order(), compareOrder[T])
	l.segment.Items = slices.Insert(l.segment.Items, at, x)
	l.first = l.segment.Items[0].order()
	x.setLeaf(l)
	l.weight += x.weight()
	if l.weight > maxSegmentWeight && len(l.segment.Items) > 1 {
		r.split(i)
	}
}

// remove takes out x, which is in the run.
func (r *run[T]) remove(x T) {
	r.segments = nil
	r.count--
	l := x.leaf()
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

// edit makes the leaf's items ready for a change. Where readers have the block,
// they keep it, with all that is memoized, and the leaf gets a copy.
func (l *leaf[T]) edit() {
	if l.shared {
		l.segment = &Segment[T]{Items: append(make([]T, 0, len(l.segment.Items)+1), l.segment.Items...)}
		l.shared = false
	}
}

// split divides leaf i, which is ready for a change, in two of about the same
// weight.
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
		segment: &Segment[T]{Items: slices.Clone(items[at:])},
		weight:  l.weight - weight,
	}
	for _, x := range upper.segment.Items {
		x.setLeaf(upper)
	}
	l.segment.Items = slices.Clone(items[:at])
	l.weight = weight
	r.leaves = slices.Insert(r.leaves, i+1, upper)
}

// join unites leaf i with a neighbour where both together stay small.
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

// findInBlocks returns the item of this order in a snapshot.
func findInSegments[T item[T]](blocks []*Segment[T], order string) (x T, found bool) {
	i := sort.Search(len(blocks), func(i int) bool { return blocks[i].Items[0].order() > order }) - 1
	if i < 0 {
		return x, false
	}
	at, found := slices.BinarySearchFunc(blocks[i].Items, order, compareOrder[T])
	if found {
		x = blocks[i].Items[at]
	}
	return x, found
}
