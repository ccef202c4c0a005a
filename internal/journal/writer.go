package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"

	"pushgateway/internal/store"
)

const (
	// minStep and maxStep bound how much a file grows at a time: twice as much as the
	// last time.
	minStep = 256 << 10
	maxStep = 4 << 20
	// aheadStep is how much allocateAhead writes between two syncs. Syncs of other files on the
	// disk wait for that.
	aheadStep = 1 << 20

	// maxBuffer is how much memory a log keeps from one batch to the next.
	maxBuffer = 1 << 20
)

// log is a file to which batches are appended. It is not safe for concurrent use. After
// an error nothing of the batch counts, but some or all of it may be in the file.
type log struct {
	file  *os.File
	info  os.FileInfo
	salt  uint64
	start position // where the first batch is
	position
	allocated int64 // the file's size; all behind position.end is zeros, and on disk
	step      int64 // how much it grew the last time
	dirty     int64 // where what a failed append may have left ends
	finished  bool  // the last batch is empty
	staged    staged
	buffer    []byte
	disk      *disk
}

// disk is the system calls that may fail or take long, so that tests can have them do so.
type disk struct {
	write func(f *os.File, b []byte, at int64) error
	sync  func(f *os.File) error // of what was written and the file's size
}

func newDisk() *disk { return &disk{write: writeAt, sync: fdatasync} }

func writeAt(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

// newLog makes a log of an empty file. It takes batches at once, but is only on disk
// after seal.
func newLog(f *os.File, disk *disk) (*log, error) {
	l := &log{file: f, salt: rand.Uint64(), position: position{end: sectorSize}, disk: disk} // #nosec G404 -- tells files apart, and guards nothing
	l.start = l.position
	if err := l.writeHeader(sectorSize); err != nil {
		return nil, err
	}
	return l, l.identify()
}

// openLog continues a file that has been read, and removes an unfinished batch.
func openLog(f *os.File, from loaded, size int64, disk *disk) (*log, error) {
	l := &log{file: f, salt: from.header.salt, start: from.header.position, position: from.position,
		allocated: size, dirty: from.dirty, disk: disk}
	if err := l.identify(); err != nil {
		return nil, err
	}
	if err := l.clean(); err != nil || from.header.version == version {
		return l, err
	}
	return l, errors.Join(l.writeHeader(from.header.size), l.disk.sync(f)) // before the first part
}

func (l *log) identify() (err error) {
	l.info, err = l.file.Stat()
	return err
}

func (l *log) writeHeader(size int64) error {
	h := header{salt: l.salt, position: l.start}
	h.size = size
	return l.disk.write(l.file, h.encode(), 0)
}

// seal allocates space for batches to come and syncs the file.
func (l *log) seal() error {
	l.allocated = l.end
	if err := l.allocate(0, minStep); err != nil {
		return err
	}
	// Only now, as a file that is shorter than its header says is a damaged one.
	if err := l.writeHeader(l.allocated); err != nil {
		return err
	}
	return l.disk.sync(l.file)
}

// sealed reports whether the log has been sealed, or was when it was opened.
func (l *log) sealed() bool { return l.allocated > 0 }

// append appends a batch with the changes. If the log is sealed, the batch is on disk
// when append returns. Cost: O(changes), and one sync, or two if the file has to grow.
func (l *log) append(changes store.Changes) error {
	if need := encodedSize(changes, l.staged); int64(cap(l.buffer)) < need {
		l.buffer = make([]byte, 0, need)
	}
	if err := l.appendBatch(encodeRecords(l.buffer[:headSize], changes, l.staged)); err != nil {
		return err
	}
	l.finished = changes.Empty()
	return nil
}

// appendBatch appends a batch. It consists of space for the head, and the records. The log keeps
// it as its buffer.
func (l *log) appendBatch(batch []byte) error {
	if l.buffer = batch; cap(batch) > maxBuffer {
		l.buffer = nil
	}
	need := roundUp(int64(len(batch)+trailerSize), sectorSize)
	size := l.end + need
	l.dirty = size
	if l.sealed() {
		if err := l.reserve(need); err != nil {
			return err
		}
		size = l.allocated
	}
	batch, after := encodeBatch(batch, l.position, l.salt, size)
	if err := l.disk.write(l.file, batch, l.end); err != nil {
		return err
	}
	if l.sealed() {
		if err := l.disk.sync(l.file); err != nil {
			return err
		}
	}
	l.position, l.dirty, l.finished = after, 0, false
	return nil
}

// reserve has the file grow, if need be, so that a batch of need bytes fits. One more
// sector stays free: so the batch after which the file is larger begins in space that
// was there before, and a file that is cut anywhere is shorter than it says.
func (l *log) reserve(need int64) error {
	if l.end+need+sectorSize <= l.allocated {
		return nil
	}
	step := min(max(2*l.step, minStep), maxStep)
	err := l.allocate(need, step)
	if outOfSpace(err) {
		return l.allocate(need, sectorSize)
	}
	l.step = step
	return err
}

// allocate has the file grow by a step behind the next need bytes. The step is filled
// with zeros: if the space were only reserved, the file system would have to note at a
// later sync what was written of it. The need bytes are left to the batch that is about
// to be written. The file's size is on disk before any batch says that it has it.
func (l *log) allocate(need, step int64) error {
	size := l.end + need + step
	err := l.fill(max(l.allocated, l.end+need), size)
	if err == nil {
		err = l.disk.sync(l.file)
	}
	if err != nil {
		// If this fails, too, what is left there is zeros, and does no harm.
		_ = l.file.Truncate(l.allocated)
		return err
	}
	l.allocated = size
	return nil
}

// allocateAhead has a sealed file grow until batches of so many bytes fit, the disk is full, or
// ctx ends.
func (l *log) allocateAhead(ctx context.Context, bytes int64) error {
	for l.allocated-l.end < bytes {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		free := l.allocated - l.end
		err := l.allocate(free, roundUp(min(bytes-free, aheadStep), sectorSize))
		if outOfSpace(err) {
			return nil // a batch may still fit
		}
		if err != nil {
			return err
		}
	}
	l.step = aheadStep
	return nil
}

// fill writes zeros.
func (l *log) fill(from, to int64) error {
	for from < to {
		n := min(int64(len(zeros)), to-from)
		if err := l.disk.write(l.file, zeros[:n], from); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// clean overwrites with zeros what a batch that failed or was never finished has left.
func (l *log) clean() error {
	if l.dirty <= l.end {
		return nil
	}
	if err := l.fill(l.end, l.dirty); err != nil {
		return err
	}
	if err := l.disk.sync(l.file); err != nil {
		return err
	}
	l.allocated, l.dirty = max(l.allocated, l.dirty), 0
	return nil
}

// finish appends an empty batch, unless the last one is. Damage to any batch before it
// can then be told from an unfinished write.
func (l *log) finish() error {
	if l.finished {
		return nil
	}
	return l.append(store.Changes{})
}

// verify checks that the file is as the last successful append left it.
func (l *log) verify() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	h, at, _, err := scan(l.file, info.Size(), new(checker))
	at.size = l.position.size
	if err == nil && (h.salt != l.salt || at != l.position || info.Size() < l.allocated) {
		err = errors.New("it is not as it was written last")
	}
	if err != nil {
		return fmt.Errorf("the file has changed: %w", err)
	}
	return nil
}

// checker is a visitor that takes no notice of what the records say.
type checker struct{ buffer []byte }

func (c *checker) space(n int) []byte {
	c.buffer = slices.Grow(c.buffer[:0], n)
	return c.buffer[:n]
}

func (*checker) record(record) {}
func (*checker) batch() error  { return nil }

// writeGroups appends groups in batches of up to about a megabyte, until ctx ends.
func (l *log) writeGroups(ctx context.Context, groups iter.Seq[*store.Group]) error {
	var changes store.Changes
	size, synced := int64(0), l.end
	// The last sync must not have everything left to do: those of other files on the
	// disk would wait for it.
	pace := func(err error) error {
		if err = errors.Join(ctx.Err(), err); err == nil && l.end-synced > maxUnsynced {
			synced, err = l.end, l.disk.sync(l.file)
		}
		return err
	}
	flush := func() error {
		err := l.append(changes)
		changes.Groups, size, l.staged = changes.Groups[:0], 0, staged{}
		return pace(err)
	}
	for g := range groups {
		changes.Groups = append(changes.Groups, store.Change{ID: g.Key.ID(), Group: g})
		if n := recordSize(g); n <= 2*maxPart {
			size += n
		} else if err := l.stage(g, pace); err != nil {
			return err
		}
		if size > spanSize/2 || l.staged.group != nil {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(changes.Groups) == 0 {
		return nil
	}
	return flush()
}

// stage appends the record of a group in parts, and calls pace with the result of each.
func (l *log) stage(g *store.Group, pace func(error) error) error {
	record := store.AppendRecord(make([]byte, 0, recordSize(g)), g)
	for at := 0; at < len(record); at += maxPart {
		if err := pace(l.appendPart(record, at, maxPart)); err != nil {
			return err
		}
	}
	l.staged = staged{g, int64(len(record))}
	return nil
}

// maxUnsynced is about how much of a new file is written between two syncs.
const maxUnsynced = 4 << 20

// outOfSpace reports whether a write failed because the disk is full. Then nothing of the
// batch counts, and what was synced before is as it was. After any other error, even if a
// sync fails because the disk is full, the kernel may show what is not on disk.
func outOfSpace(err error) bool {
	var failed *os.PathError
	return errors.As(err, &failed) && failed.Op == "write" &&
		(errors.Is(failed, syscall.ENOSPC) || errors.Is(failed, syscall.EDQUOT))
}

// bytes is how many bytes the file has, without those that moveStart gave back.
func (l *log) bytes() int64 { return l.allocated - l.start.end + sectorSize }

// moveStart makes the batch behind from the first one, and gives the space of those
// before it back to the file system, if that can.
func (l *log) moveStart(from position) error {
	l.start = from
	if err := l.writeHeader(l.allocated); err != nil {
		return err
	}
	if err := l.disk.sync(l.file); err != nil {
		return err
	}
	punchHole(l.file, sectorSize, from.end-sectorSize)
	return nil
}
