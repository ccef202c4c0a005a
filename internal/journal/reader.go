package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"pushgateway/internal/store"
)

// scan reads the batches of a file of size bytes in their order. Each is read into
// memory that space returns and then given to visit without its head, once it has been
// checked. h and at are the header and the position behind the last batch; dirty is not
// zero if an unfinished batch follows, which ends before it. Any error but a *NewerError
// is damage; at is then the end of what is intact.
func scan(f io.ReaderAt, size int64, space func(n int64) []byte, visit func(records []byte) error) (h header, at position, dirty int64, err error) {
	first := make([]byte, sectorSize)
	n, err := f.ReadAt(first, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, at, 0, err
	}
	h, err = parseHeader(first[:n])
	if err != nil {
		return h, at, 0, err
	}
	at = h.position
	in := bufio.NewReaderSize(io.NewSectionReader(f, at.end, max(0, size-at.end)), 64<<10)
	var next head
	for {
		begin, err := in.Peek(headSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return h, at, 0, err
		}
		var ok bool
		if next, ok = parseHead(begin, h.salt); !ok {
			next = head{}
			break
		}
		if next.sequence != at.sequence+1 || next.before != at.sum {
			return h, at, 0, fmt.Errorf("the batch at byte %d does not follow the one before it", at.end)
		}
		if next.padded() > size-at.end {
			return h, at, 0, fmt.Errorf("it is cut short: it has %d bytes, but should have %d", size, at.end+next.padded())
		}
		batch := space(next.padded())
		if _, err := io.ReadFull(in, batch); err != nil {
			return h, at, 0, err
		}
		sum, ok := checkBatch(batch, next)
		if !ok {
			break
		}
		if err := visit(batch[headSize : headSize+next.length]); err != nil {
			return h, at, 0, fmt.Errorf("the batch at byte %d: %w", at.end, err)
		}
		at = next.after(at, sum)
	}
	if size < at.size {
		return h, at, 0, fmt.Errorf("it is cut short: it has %d bytes, but should have %d", size, at.size)
	}
	dirty, err = checkTail(f, size, h.salt, at.end, next)
	return h, at, dirty, err
}

// checkTail checks what follows the last good batch, from byte end on: zeros, or what a
// crash can leave of one batch that was never acknowledged. Its place held zeros that
// were on disk, and a sector is written as a whole or not at all, so there must be a
// sector that is still zero, or the batch must break off, with zeros from there on. If
// a good batch follows, the damaged one was acknowledged. damaged is the head of the batch
// at end, if at least that is right.
//
// checkTail returns where the unfinished batch ends, 0 if there is none. An error is
// damage.
func checkTail(f io.ReaderAt, size int64, salt uint64, end int64, damaged head) (dirty int64, err error) {
	firstIsZero, gap := true, false
	batchEnd := int64(0) // 0 if unknown
	if damaged.sequence != 0 {
		batchEnd = end + damaged.used()
	}
	buffer := make([]byte, 256*sectorSize)
	for at := end; at < size; at += int64(len(buffer)) {
		n, err := f.ReadAt(buffer, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i < n; i += sectorSize {
			sector := buffer[i:min(i+sectorSize, n)]
			from := at + int64(i)
			if from < batchEnd && allZero(sector[:min(int64(len(sector)), batchEnd-from)]) {
				gap = true
			}
			if allZero(sector) {
				continue
			}
			if from == end {
				firstIsZero = false
			} else if _, ok := parseHead(sector, salt); ok {
				return 0, fmt.Errorf("the batch at byte %d is damaged, but another one follows at byte %d", end, from)
			}
			dirty = from + int64(len(bytes.TrimRight(sector, "\x00")))
		}
	}
	switch {
	case dirty == 0:
		return 0, nil
	case batchEnd == 0 && (firstIsZero || dirty < end+headSize):
		return dirty, nil
	case dirty < batchEnd, dirty == batchEnd && gap:
		return dirty, nil
	}
	return 0, fmt.Errorf("the batch at byte %d is damaged", end)
}

// loaded is what a file holds.
type loaded struct {
	header   header
	position position
	dirty    int64          // where an unfinished batch ends that follows, 0 if there is none
	groups   []*store.Group // sorted by ID
	live     int64          // bytes that their records take
}

// loadFile reads a file of size bytes: one goroutine reads and checks it, one per
// processor decodes. With an error the groups are those of the batches before it. The
// error is as that of scan.
func loadFile(f io.ReaderAt, size int64) (loaded, error) {
	var l loaded
	var err error
	spans := make(chan *span, runtime.GOMAXPROCS(0))
	free := make(chan []byte, cap(spans)+2)
	go func() {
		defer close(spans)
		current := newSpan(free, int(min(spanSize, size)))
		var parts parts
		send := func() {
			spans <- current
			go current.decode()
			current = newSpan(free, int(min(spanSize, size)))
		}
		l.header, l.position, l.dirty, err = scan(f, size, func(n int64) []byte {
			if len(current.records) == 0 {
				current.memory = current.memory[:0] // it only held parts, which are copied
			}
			if len(current.records) > 0 && n > int64(cap(current.memory)-len(current.memory)) {
				send()
			}
			start := int64(len(current.memory))
			current.memory = slices.Grow(current.memory, int(n))[:start+n]
			return current.memory[start:]
		}, func(records []byte) error {
			known := len(current.records)
			all, err := splitRecords(current.records, records)
			if err == nil {
				all, err = parts.join(all, known)
			}
			current.records = all
			return err
		})
		send()
	}()
	var groups groupSet
	var failed error
	for c := range spans {
		<-c.decoded
		if failed == nil {
			failed = c.err
			groups.apply(c.records, c.groups)
		}
		select {
		case free <- c.memory[:0]:
		default:
		}
	}
	l.groups, l.live = groups.sorted(), groups.live
	if failed != nil {
		err = failed
	}
	return l, err
}

// spanSize is about how much of a file is decoded at once.
const spanSize = 1 << 20

// span is some batches of a file.
type span struct {
	memory  []byte
	records []record       // in memory
	groups  []*store.Group // of each record that has one
	err     error          // of the first record that is damaged; those before it are there
	decoded chan struct{}
}

func newSpan(free <-chan []byte, size int) *span {
	c := &span{decoded: make(chan struct{})}
	select {
	case c.memory = <-free:
	default:
	}
	if cap(c.memory) < size || cap(c.memory) > 4*spanSize {
		c.memory = make([]byte, 0, size)
	}
	return c
}

func (c *span) decode() {
	defer close(c.decoded)
	c.groups = make([]*store.Group, len(c.records))
	var decoder store.RecordDecoder
	for i, r := range c.records {
		if r.kind != groupRecord {
			continue
		}
		if c.groups[i], c.err = decoder.Decode(r.data); c.err != nil {
			c.records, c.groups = c.records[:i], c.groups[:i]
			return
		}
	}
}

// groupSet is groups by ID, as records leave them.
type groupSet struct {
	groups []*store.Group // in the order in which they came; nil if deleted
	sizes  []int32        // of their records
	index  map[string]int
	live   int64
}

// apply carries out records. groups has the group of each that is one.
func (s *groupSet) apply(records []record, groups []*store.Group) {
	if s.index == nil {
		s.index = map[string]int{}
	}
	for i, r := range records {
		switch r.kind {
		case wipeRecord:
			*s = groupSet{index: map[string]int{}}
		case deletionRecord:
			if at, ok := s.index[string(r.data)]; ok {
				s.live -= int64(s.sizes[at])
				s.groups[at], s.sizes[at] = nil, 0
				delete(s.index, string(r.data))
			}
		case groupRecord:
			s.put(groups[i], int32(len(r.data)))
		}
	}
}

func (s *groupSet) put(g *store.Group, size int32) {
	s.live += int64(size)
	if at, ok := s.index[g.Key.ID()]; ok {
		s.live -= int64(s.sizes[at])
		s.groups[at], s.sizes[at] = g, size
		return
	}
	s.index[g.Key.ID()] = len(s.groups)
	s.groups, s.sizes = append(s.groups, g), append(s.sizes, size)
}

// sorted returns the groups by ID.
func (s *groupSet) sorted() []*store.Group {
	groups := slices.DeleteFunc(s.groups, func(g *store.Group) bool { return g == nil })
	slices.SortFunc(groups, func(a, b *store.Group) int { return strings.Compare(a.Key.ID(), b.Key.ID()) })
	return groups
}
