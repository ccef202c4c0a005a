package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// bbolt believes the pages that it reads: those of a damaged file can have it loop
// over four billion pages that are not there, recurse without end, or end the
// process from a goroutine of its own. So they are checked here before bbolt sees
// them: whether each page is what its place in the tree says, all that it refers
// to lies within it, no page is used twice, and keys are in order.

// native is how bbolt writes numbers: as the machine has them in memory.
var native = binary.NativeEndian

// What a bbolt page is made of; see its page.go. A page begins with its number,
// flags, the count of its elements and how many pages it runs on for; then come
// the elements. Those of branches and leaves have the offset from themselves to
// their key, behind which a leaf has the value; those of a list of free pages are
// page numbers.
const (
	pageFlags    = 8
	pageCount    = 10
	pageOverflow = 12

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	elementSize                               = 16 // of branch and leaf alike
	branchAt, branchKey, branchChild          = 0, 4, 8
	leafFlags, leafAt, leafKey, leafValueSize = 0, 4, 8, 12

	bucketElement = 0x01 // a leaf element's value is a bucket
	bucketHeader  = 16   // of that value: the root page, 0 where it follows here

	manyFree = 0xFFFF // as the count of free pages: the first number is the count
)

// tree is the pages of a file.
type tree struct {
	file     []byte
	pageSize uint64
	used     []bool // by page number: whether it has been referred to
}

// checkTree checks the pages of a file whose root pages were checked.
func checkTree(file []byte) error {
	pageSize := uint64(native.Uint32(file[pageHeader+metaPageSize:]))
	root := file[pageHeader:]
	if second := file[pageSize+pageHeader:]; native.Uint64(second[metaTxID:]) > native.Uint64(root[metaTxID:]) {
		root = second
	}
	pages := native.Uint64(root[metaPages:])
	if pages > uint64(len(file))/pageSize {
		return fmt.Errorf("it is cut short: %d bytes are there of %d pages of %d", len(file), pages, pageSize)
	}
	t := tree{file: file, pageSize: pageSize, used: make([]bool, pages)}
	copy(t.used, []bool{true, true}) // the root pages
	if err := t.checkBucket(native.Uint64(root[metaRoot:])); err != nil {
		return err
	}
	if free := native.Uint64(root[metaFreelist:]); free != noFreelist {
		return t.checkFreelist(free)
	}
	return nil
}

// take notes that a page is referred to.
func (t *tree) take(number uint64) error {
	if number >= uint64(len(t.used)) {
		return fmt.Errorf("page %d is referred to, but there are %d", number, len(t.used))
	}
	if t.used[number] {
		return fmt.Errorf("page %d is used twice", number)
	}
	t.used[number] = true
	return nil
}

// page returns a page with those that it runs on for.
func (t *tree) page(number uint64) ([]byte, error) {
	if err := t.take(number); err != nil {
		return nil, err
	}
	page := t.file[number*t.pageSize:]
	if is := native.Uint64(page); is != number {
		return nil, fmt.Errorf("page %d says that it is page %d", number, is)
	}
	run := 1 + uint64(native.Uint32(page[pageOverflow:]))
	for i := number + 1; i < number+run; i++ {
		if err := t.take(i); err != nil {
			return nil, fmt.Errorf("page %d runs on: %w", number, err)
		}
	}
	return page[:run*t.pageSize], nil
}

// checkFreelist checks the list of free pages. The gateway does not store it, but
// bbolt's tools do, and where there is one bbolt writes to the pages in it.
func (t *tree) checkFreelist(number uint64) error {
	page, err := t.page(number)
	if err != nil {
		return err
	}
	if flags := native.Uint16(page[pageFlags:]); flags != freelistPage {
		return fmt.Errorf("page %d should list free pages, but its flags are %#x", number, flags)
	}
	count, free := uint64(native.Uint16(page[pageCount:])), page[pageHeader:]
	if count == manyFree {
		count, free = native.Uint64(free), free[8:]
	}
	if count > uint64(len(free))/8 {
		return fmt.Errorf("page %d: %d free pages do not fit into it", number, count)
	}
	for i := range count {
		if err := t.take(native.Uint64(free[8*i:])); err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
	}
	return nil
}

// checkBucket checks a bucket that begins with the page.
func (t *tree) checkBucket(root uint64) error {
	w := walk{tree: t}
	return w.below(root, true)
}

// checkBucketValue checks a bucket that an element's value is.
func (t *tree) checkBucketValue(value []byte) error {
	if len(value) < bucketHeader {
		return errors.New("it is cut short")
	}
	if root := native.Uint64(value); root != 0 {
		return t.checkBucket(root)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || native.Uint16(inline[pageFlags:]) != leafPage {
		return errors.New("it is neither here nor on a page of its own")
	}
	w := walk{tree: t}
	return w.elements(inline, true)
}

// walk is a way through a bucket in the order of its keys. A key of a branch is the
// least that there may be on the page that it refers to.
type walk struct {
	*tree
	last     []byte // key; nil at the beginning
	lastLeaf bool   // whether it is that of a leaf
}

// next takes the next key.
func (w *walk) next(key []byte, leaf bool) error {
	if c := bytes.Compare(key, w.last); len(key) == 0 || c < 0 || c == 0 && w.lastLeaf {
		return fmt.Errorf("key %q is out of order", key)
	}
	w.last, w.lastLeaf = key, leaf
	return nil
}

// below goes through a page and all below it. Only the first of a bucket may be
// empty.
func (w *walk) below(number uint64, first bool) error {
	page, err := w.page(number)
	if err != nil {
		return err
	}
	if err := w.elements(page, first); err != nil {
		return fmt.Errorf("page %d: %w", number, err)
	}
	return nil
}

func (w *walk) elements(page []byte, first bool) error {
	flags, count := native.Uint16(page[pageFlags:]), int(native.Uint16(page[pageCount:]))
	element := w.leaf
	switch {
	case flags == branchPage:
		element = w.branch
	case flags != leafPage:
		return fmt.Errorf("it is of no known kind: %#x", flags)
	}
	if count == 0 && (flags == branchPage || !first) {
		return errors.New("it is empty")
	}
	if pageHeader+count*elementSize > len(page) {
		return fmt.Errorf("%d elements do not fit into it", count)
	}
	for i := range count {
		if err := element(page[pageHeader+i*elementSize:]); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) branch(element []byte) error {
	key, err := part(element, native.Uint32(element[branchAt:]), native.Uint32(element[branchKey:]))
	if err != nil {
		return err
	}
	if err := w.next(key, false); err != nil {
		return err
	}
	return w.below(native.Uint64(element[branchChild:]), false)
}

func (w *walk) leaf(element []byte) error {
	at, size := native.Uint32(element[leafAt:]), native.Uint32(element[leafKey:])
	key, err := part(element, at, size)
	if err != nil {
		return err
	}
	value, err := part(element[uint64(at)+uint64(size):], 0, native.Uint32(element[leafValueSize:]))
	if err != nil {
		return err
	}
	if err := w.next(key, true); err != nil {
		return err
	}
	switch flags := native.Uint32(element[leafFlags:]); flags {
	case 0:
		return nil
	case bucketElement:
		if err := w.checkBucketValue(value); err != nil {
			return fmt.Errorf("bucket %q: %w", key, err)
		}
		return nil
	default:
		return fmt.Errorf("an element has the unknown flags %#x", flags)
	}
}

// part returns size bytes that lie at an offset from the element.
func part(element []byte, at, size uint32) ([]byte, error) {
	end := uint64(at) + uint64(size)
	if end > uint64(len(element)) {
		return nil, errors.New("an element does not lie within it")
	}
	return element[at:end], nil
}
