package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"

	"pushgateway/internal/store"
)

// visitor gets the records of a file, in its order.
type visitor interface {
	// space returns n bytes for the data of the next record.
	space(n int) []byte
	// record gets a record of a batch that may still turn out to be unfinished.
	record(r record)
	// batch says that the records since the last call make up a batch whose checksum is right.
	// An error is damage.
	batch() error
}

// scan reads the batches of a file of size bytes in their order. h and at are the header and
// the position behind the last batch; dirty is not zero if an unfinished batch follows, which
// ends before it. Any error but a *NewerError is damage; at is then the end of what is intact.
// Apart from the visitor's space, scan needs little memory, however large a batch is.
func scan(f io.ReaderAt, size int64, v visitor) (h header, at position, dirty int64, err error) {
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
	in := bufio.NewReaderSize(io.NewSectionReader(f, at.end, max(0, size-at.end)), readSize)
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
		batch := batchReader{in: in, rest: next.length}
		if err := batch.readAll(next, v); err != nil {
			return h, at, 0, err
		}
		if !batch.whole {
			break
		}
		if err := cmp.Or(batch.malformed, v.batch()); err != nil {
			return h, at, 0, fmt.Errorf("the batch at byte %d: %w", at.end, err)
		}
		at = next.after(at, batch.sum)
	}
	if size < at.size {
		return h, at, 0, fmt.Errorf("it is cut short: it has %d bytes, but should have %d", size, at.size)
	}
	dirty, err = checkTail(f, size, h.salt, at.end, next)
	return h, at, dirty, err
}

// readSize is how much of a file is read at once.
const readSize = 256 << 10

// batchReader reads one batch.
type batchReader struct {
	in        *bufio.Reader
	rest      int64  // bytes of records that are not read yet
	sum       uint32 // of what is read
	whole     bool   // the batch was written to its end, and is as it was written
	malformed error  // why the records of the batch are none that this program writes
}

// readAll reads the whole batch with that head and gives its records to v. An error is
// that of the disk.
func (b *batchReader) readAll(h head, v visitor) error {
	var begin [headSize]byte
	if err := b.read(begin[:]); err != nil {
		return err
	}
	for b.rest > 0 && b.malformed == nil {
		if err := b.readRecord(v); err != nil {
			return err
		}
	}
	for b.rest > 0 {
		skipped := make([]byte, min(b.rest, readSize))
		if err := b.read(skipped); err != nil {
			return err
		}
		b.rest -= int64(len(skipped))
	}
	trailer := make([]byte, h.padded()-headSize-h.length)
	if _, err := io.ReadFull(b.in, trailer); err != nil {
		return err
	}
	b.whole = endsBatch(trailer, b.sum)
	return nil
}

func (b *batchReader) readRecord(v visitor) error {
	if b.rest < recordHeadSize {
		b.malformed = errRecordCut
		return nil
	}
	begin, err := b.in.Peek(recordHeadSize)
	if err != nil {
		return err
	}
	kind, length, err := parseRecordHead(begin, b.rest)
	if err != nil {
		b.malformed = err
		return nil
	}
	b.sum = crc32.Update(b.sum, castagnoli, begin)
	_, _ = b.in.Discard(recordHeadSize) // which are there
	data := v.space(length)
	if err := b.read(data); err != nil {
		return err
	}
	b.rest -= recordHeadSize + int64(length)
	v.record(record{kind, data})
	return nil
}

func (b *batchReader) read(into []byte) error {
	_, err := io.ReadFull(b.in, into)
	b.sum = crc32.Update(b.sum, castagnoli, into)
	return err
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
	collector := collector{spans: spans, free: make(chan *span, cap(spans)+2)}
	collector.next()
	go func() {
		defer close(spans)
		l.header, l.position, l.dirty, err = scan(f, size, &collector)
		collector.send()
	}()
	var groups groupSet
	var failed error
	var batch []change // so far
	for c := range spans {
		<-c.decoded
		for _, change := range c.changes {
			if change.kind != batchEnd {
				batch = append(batch, change)
				continue
			}
			if failed == nil {
				failed = groups.apply(batch)
			}
			batch = slices.Delete(batch, 0, len(batch)) // lets go of the groups
		}
		c.reset()
		select {
		case collector.free <- c:
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

// collector is a visitor that collects records in spans, and has each span decoded.
type collector struct {
	spans   chan<- *span
	free    chan *span // that are done
	current *span
	parts   parts
	open    bool  // records have come since the last batch ended
	err     error // of the parts of this batch
}

func (c *collector) space(n int) []byte {
	if len(c.current.records) == 0 {
		c.current.memory = c.current.memory[:0] // it only held parts, which are copied
	} else if n > cap(c.current.memory)-len(c.current.memory) {
		c.send()
		c.next()
	}
	start := len(c.current.memory)
	c.current.memory = slices.Grow(c.current.memory, n)[:start+n]
	return c.current.memory[start:]
}

func (c *collector) record(r record) {
	r, ok, err := c.parts.join(r)
	if c.err = cmp.Or(c.err, err); ok {
		c.current.records = append(c.current.records, r)
		c.open = true
	}
}

func (c *collector) batch() error {
	if c.open {
		c.current.records = append(c.current.records, record{kind: batchEnd})
	}
	c.open = false
	return c.err
}

func (c *collector) send() {
	c.spans <- c.current
	go c.current.decode()
}

func (c *collector) next() {
	select {
	case c.current = <-c.free:
	default:
		c.current = &span{decoded: make(chan struct{}, 1)}
	}
	if cap(c.current.memory) < spanSize || cap(c.current.memory) > 4*spanSize {
		c.current.memory = make([]byte, 0, spanSize)
	}
}

// span is some records of a file, one after the other.
type span struct {
	memory  []byte
	records []record // in memory
	changes []change // one for each record
	decoded chan struct{}
}

// reset makes the span one without records.
func (c *span) reset() {
	clear(c.changes) // lets go of the groups
	c.memory, c.records, c.changes = c.memory[:0], c.records[:0], c.changes[:0]
}

func (c *span) decode() {
	defer func() { c.decoded <- struct{}{} }()
	var decoder store.RecordDecoder
	for _, r := range c.records {
		c.changes = append(c.changes, decodeChange(r, &decoder))
	}
}

// batchEnd is the kind of a record that marks the end of a batch. It is never in a file.
const batchEnd = 0

// change is what a record does to the groups. It does not alias the record.
type change struct {
	kind  byte
	size  int          // of the record
	id    string       // of the group that is deleted
	group *store.Group // that takes the place of the one before
	err   error        // why the record cannot be decoded
}

func decodeChange(r record, decoder *store.RecordDecoder) change {
	c := change{kind: r.kind, size: len(r.data)}
	switch r.kind {
	case groupRecord:
		c.group, c.err = decoder.Decode(r.data)
	case deletionRecord:
		c.id = string(r.data)
	}
	return c
}

// groupSet is groups by ID, as records leave them.
type groupSet struct {
	groups []*store.Group // in the order in which they came; nil if deleted
	sizes  []int32        // of their records
	index  map[string]int
	live   int64
}

// apply carries out changes, up to the first that could not be decoded.
func (s *groupSet) apply(changes []change) error {
	if s.index == nil {
		s.index = map[string]int{}
	}
	for _, c := range changes {
		switch {
		case c.err != nil:
			return c.err
		case c.kind == wipeRecord:
			*s = groupSet{index: map[string]int{}}
		case c.kind == deletionRecord:
			if at, ok := s.index[c.id]; ok {
				s.live -= int64(s.sizes[at])
				s.groups[at], s.sizes[at] = nil, 0
				delete(s.index, c.id)
			}
		case c.kind == groupRecord:
			s.put(c.group, int32(c.size))
		}
	}
	return nil
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
	// The IDs are side by side: to look each one up in its group took most of the time.
	type entry struct {
		id    string
		group *store.Group
	}
	entries := make([]entry, 0, len(s.groups))
	for _, g := range s.groups {
		if g != nil {
			entries = append(entries, entry{g.Key.ID(), g})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.id, b.id) })
	groups := s.groups[:0]
	for _, e := range entries {
		groups = append(groups, e.group)
	}
	return groups
}
