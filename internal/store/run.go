package store

import (
	"slices"
	"sort"
	"strings"
	"sync/atomic"
)

// item is what a run holds: distinct by its order, and of some weight in bytes.
type item interface {
	comparable
	order() string
	weight() int
}

// run is an ordered collection in blocks of a bounded weight. Writers change it
// in place; snapshot hands out the blocks, which from then on are immutable and
// replaced when their part of the run changes. So a reader's snapshot costs a
// pointer per block, and a block nobody changed keeps what was memoized with it.
//
// A run is not safe for concurrent use; the blocks of a snapshot are.
type run[T item] struct {
	leaves []leaf[T]
	count  int
	blocks []*Block[T] // the last snapshot, nil once the run has changed
}

// leaf is the writer's hold on a block.
type leaf[T item] struct {
	first  string // the order of the block's first item
	block  *Block[T]
	weight int
	shared bool // the block is in a snapshot and must not change any more
}

// blockWeight is where a block splits. Small blocks lose little when one group
// pushes again; large ones compress better. Measured with make bench.
const blockWeight = 12 << 10

// Block is a stretch of consecutive items of a run. It is immutable.
type Block[T item] struct {
	Items []T
	memos [Forms]atomic.Pointer[Memo]
}

// Form numbers the encoded forms that a block can keep.
type Form uint8

// Forms is how many forms there are for a block to keep.
const Forms = 4

// Memo is a form of a block that was worth keeping.
type Memo struct {
	Bytes    []byte
	Size     int    // of what the form encodes, in bytes
	Checksum uint32 // CRC-32 (IEEE) of what the form encodes
}

// Memo returns the form of the block, which encode makes where nobody has asked
// for it before. It is safe for concurrent use; encode can then run twice.
func (b *Block[T]) Memo(form Form, encode func() *Memo) *Memo {
	if m := b.memos[form].Load(); m != nil {
		return m
	}
	m := encode()
	b.memos[form].Store(m)
	return m
}

// snapshot returns the run as it is now. Cost: O(blocks) after a change, O(1)
// otherwise.
func (r *run[T]) snapshot() []*Block[T] {
	if r.blocks == nil {
		r.blocks = make([]*Block[T], len(r.leaves))
		for i := range r.leaves {
			r.leaves[i].shared = true
			r.blocks[i] = r.leaves[i].block
		}
	}
	return r.blocks
}

// find returns the leaf where an item of this order is or would be, and its
// place in it.
func (r *run[T]) find(order string) (leafAt, at int, found bool) {
	leafAt = sort.Search(len(r.leaves), func(i int) bool { return r.leaves[i].first > order }) - 1
	if leafAt < 0 {
		return 0, 0, false
	}
	at, found = slices.BinarySearchFunc(r.leaves[leafAt].block.Items, order,
		func(x T, order string) int { return strings.Compare(x.order(), order) })
	return leafAt, at, found
}

// put adds x, in the place of an item of the same order where there is one.
func (r *run[T]) put(x T) {
	r.blocks = nil
	if len(r.leaves) == 0 {
		r.leaves = append(r.leaves, leaf[T]{first: x.order(), block: &Block[T]{}})
	}
	i, at, found := r.find(x.order())
	items := r.edit(i)
	l := &r.leaves[i]
	if found {
		l.weight -= (*items)[at].weight()
		(*items)[at] = x
	} else {
		*items = slices.Insert(*items, at, x)
		r.count++
	}
	l.weight += x.weight()
	l.first = (*items)[0].order()
	if l.weight > blockWeight && len(*items) > 1 {
		r.split(i)
	}
}

// remove takes out the item of this order, if there is one.
func (r *run[T]) remove(order string) {
	i, at, found := r.find(order)
	if !found {
		return
	}
	r.blocks = nil
	r.count--
	items := r.edit(i)
	l := &r.leaves[i]
	l.weight -= (*items)[at].weight()
	*items = slices.Delete(*items, at, at+1)
	if len(*items) == 0 {
		r.leaves = slices.Delete(r.leaves, i, i+1)
		return
	}
	l.first = (*items)[0].order()
	if l.weight < blockWeight/4 {
		r.join(i)
	}
}

// edit returns the items of leaf i for changing. Where readers have the block,
// that is a copy; in any case nothing memoized survives.
func (r *run[T]) edit(i int) *[]T {
	l := &r.leaves[i]
	if l.shared {
		l.block = &Block[T]{Items: append(make([]T, 0, len(l.block.Items)+1), l.block.Items...)}
		l.shared = false
	}
	return &l.block.Items
}

// split divides leaf i, which is not shared, in two of about the same weight.
func (r *run[T]) split(i int) {
	l := &r.leaves[i]
	items := l.block.Items
	at, weight := 0, 0
	for at == 0 || at < len(items)-1 && weight+items[at].weight() <= l.weight/2 {
		weight += items[at].weight()
		at++
	}
	upper := leaf[T]{
		first:  items[at].order(),
		block:  &Block[T]{Items: slices.Clone(items[at:])},
		weight: l.weight - weight,
	}
	l.block.Items = slices.Clone(items[:at])
	l.weight = weight
	r.leaves = slices.Insert(r.leaves, i+1, upper)
}

// join unites leaf i with a neighbour where both together stay small.
func (r *run[T]) join(i int) {
	if i == len(r.leaves)-1 {
		i--
	}
	if i < 0 || i+1 >= len(r.leaves) || r.leaves[i].weight+r.leaves[i+1].weight > blockWeight/2 {
		return
	}
	items := r.edit(i)
	*items = append(*items, r.leaves[i+1].block.Items...)
	r.leaves[i].weight += r.leaves[i+1].weight
	r.leaves = slices.Delete(r.leaves, i+1, i+2)
}

// findInBlocks returns the item of this order in a snapshot.
func findInBlocks[T item](blocks []*Block[T], order string) (x T, found bool) {
	i, found := slices.BinarySearchFunc(blocks, order, func(b *Block[T], order string) int {
		return strings.Compare(b.Items[0].order(), order)
	})
	if !found {
		if i == 0 {
			return x, false
		}
		i--
	}
	at, found := slices.BinarySearchFunc(blocks[i].Items, order,
		func(x T, order string) int { return strings.Compare(x.order(), order) })
	if found {
		x = blocks[i].Items[at]
	}
	return x, found
}
