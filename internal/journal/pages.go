package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// bbolt believes the pages that it reads: those of a damaged file can have it loop
// over four billion pages that are not there, recurse without end, or end the
// process from a goroutine of its own. So they are checked here before bbolt sees
// them: whether each page is what its place in the tree says, all that it refers
// to lies within it, no page is used twice, and keys are in order.

// Of a bbolt page that holds elements; see its page.go. A page begins with its
// number, flags, the count of its elements and how many pages it runs on for; then
// come the elements, each with the offset from itself to its key.
const (
	pageFlags    = 8
	pageCount    = 10
	pageOverflow = 12

	branchPage  = 0x01
	leafPage    = 0x02
	elementSize = 16 // of branch and leaf alike

	branchAt, branchKey, branchChild          = 0, 4, 8
	leafFlags, leafAt, leafKey, leafValueSize = 0, 4, 8, 12

	bucketElement = 0x01 // a leaf element's value is the root of a bucket
	bucketHeader  = 16   // of that value: the root page, 0 where it follows here
)

// tree is the pages of a file and those seen in it so far.
type tree struct {
	file     []byte
	pageSize uint64
	pages    uint64 // how many there are, the root pages included
	seen     []bool
}

// checkPages checks the pages of a file whose root pages were checked.
func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the file: %w", err)
	}
	err = guarded(func() error { return checkTree(file) })
	return errors.Join(err, syscall.Munmap(file))
}

func checkTree(file []byte) error {
	pageSize := uint64(binary.LittleEndian.Uint32(file[pageHeader+metaPageSize:]))
	root := file[pageHeader:]
	if second := file[pageSize+pageHeader:]; binary.LittleEndian.Uint64(second[metaTxID:]) > binary.LittleEndian.Uint64(root[metaTxID:]) {
		root = second
	}
	t := tree{file: file, pageSize: pageSize, pages: binary.LittleEndian.Uint64(root[metaPages:])}
	if t.pages > uint64(len(file))/pageSize {
		return fmt.Errorf("it is cut short: %d bytes are there of %d pages of %d", len(file), t.pages, pageSize)
	}
	t.seen = make([]bool, t.pages)
	return t.check(binary.LittleEndian.Uint64(root[metaRoot:]), nil, nil, true)
}

// check checks a page and all below it. Its keys must be from low on and below
// high, where those are given. top tells whether the page is the root of a bucket.
func (t *tree) check(number uint64, low, high []byte, top bool) error {
	if number < 2 || number >= t.pages {
		return fmt.Errorf("page %d is referred to, but there are %d", number, t.pages)
	}
	page := t.file[number*t.pageSize:]
	run := uint64(binary.LittleEndian.Uint32(page[pageOverflow:])) + 1
	if run > t.pages-number {
		return fmt.Errorf("page %d runs on for %d pages, beyond the last", number, run)
	}
	for i := number; i < number+run; i++ {
		if t.seen[i] {
			return fmt.Errorf("page %d is used twice", i)
		}
		t.seen[i] = true
	}
	if is := binary.LittleEndian.Uint64(page); is != number {
		return fmt.Errorf("page %d says that it is page %d", number, is)
	}
	if err := t.checkElements(page[:run*t.pageSize], low, high, top); err != nil {
		return fmt.Errorf("page %d: %w", number, err)
	}
	return nil
}

func (t *tree) checkElements(page, low, high []byte, top bool) error {
	if len(page) < pageHeader {
		return errors.New("it is cut short")
	}
	flags, count := binary.LittleEndian.Uint16(page[pageFlags:]), int(binary.LittleEndian.Uint16(page[pageCount:]))
	if flags != branchPage && flags != leafPage {
		return fmt.Errorf("it is of no known kind: %#x", flags)
	}
	if count == 0 && (flags == branchPage || !top) {
		return errors.New("it is empty")
	}
	if pageHeader+count*elementSize > len(page) {
		return fmt.Errorf("%d elements do not fit into it", count)
	}
	if flags == leafPage {
		return t.checkLeaf(page, count, low, high)
	}
	for i := range count {
		element := page[pageHeader+i*elementSize:]
		key, err := part(element, binary.LittleEndian.Uint32(element[branchAt:]), binary.LittleEndian.Uint32(element[branchKey:]))
		if err != nil {
			return err
		}
		if err := inOrder(key, low, high, i > 0); err != nil {
			return err
		}
		end := high
		if i+1 < count {
			next := page[pageHeader+(i+1)*elementSize:]
			if end, err = part(next, binary.LittleEndian.Uint32(next[branchAt:]), binary.LittleEndian.Uint32(next[branchKey:])); err != nil {
				return err
			}
		}
		if err := t.check(binary.LittleEndian.Uint64(element[branchChild:]), key, end, false); err != nil {
			return err
		}
		low = key
	}
	return nil
}

func (t *tree) checkLeaf(page []byte, count int, low, high []byte) error {
	for i := range count {
		element := page[pageHeader+i*elementSize:]
		at, size := binary.LittleEndian.Uint32(element[leafAt:]), binary.LittleEndian.Uint32(element[leafKey:])
		key, err := part(element, at, size)
		if err != nil {
			return err
		}
		value, err := part(element[uint64(at)+uint64(size):], 0, binary.LittleEndian.Uint32(element[leafValueSize:]))
		if err != nil {
			return err
		}
		if err := inOrder(key, low, high, i > 0); err != nil {
			return err
		}
		low = key
		switch flags := binary.LittleEndian.Uint32(element[leafFlags:]); {
		case flags == 0:
			continue
		case flags != bucketElement:
			return fmt.Errorf("an element has the unknown flags %#x", flags)
		case len(value) < bucketHeader:
			return errors.New("a bucket is cut short")
		}
		if root := binary.LittleEndian.Uint64(value); root != 0 {
			err = t.check(root, nil, nil, true)
		} else {
			err = t.checkElements(value[bucketHeader:], nil, nil, true)
		}
		if err != nil {
			return fmt.Errorf("bucket %q: %w", key, err)
		}
	}
	return nil
}

// part returns size bytes that lie at an offset from the element.
func part(element []byte, at, size uint32) ([]byte, error) {
	end := uint64(at) + uint64(size)
	if end > uint64(len(element)) {
		return nil, errors.New("an element does not lie within it")
	}
	return element[at:end], nil
}

// inOrder checks a key against the one before, or the least that there may be, and
// against the one that begins the next page.
func inOrder(key, low, high []byte, after bool) error {
	if c := bytes.Compare(key, low); low != nil && (c < 0 || after && c == 0) || high != nil && bytes.Compare(key, high) >= 0 {
		return fmt.Errorf("key %q is out of order", key)
	}
	return nil
}
