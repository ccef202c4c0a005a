package journal

import (
	"encoding/binary"
	"errors"

	"pushgateway/internal/store"
)

// A group of very many families is staged: its record is written in parts, each as a batch of
// its own, before the batch that changes the group, which only refers to them. Other batches can
// come in between, and none waits for more than one part. Parts that no batch refers to, for
// example after a crash, have no effect.

// maxPart is the maximum number of bytes of a record in one part.
const maxPart = maxBuffer - 64<<10

// staged is a group whose record is in a log in parts.
type staged struct {
	group *store.Group // nil if there is none
	size  int64        // of its record
}

// Stage writes the record of a group in parts, so that Commit takes little time for it; see
// store.StagingJournal. If it cannot, Commit writes the record as usual. A compaction would
// leave the parts behind, so none begins until done is called.
func (j *Journal) Stage(g *store.Group) (done func()) {
	if j.memory.Load() != nil || j.options.Sync == SyncInterval { // Commit does not wait
		return func() {}
	}
	j.mu.Lock()
	j.staging = true
	c := j.compaction
	j.mu.Unlock()
	if c != nil {
		<-c.done
	}
	record := store.AppendRecord(make([]byte, 0, recordSize(g)), g)
	var l *log
	for at := 0; at < len(record) && j.stagePart(&l, record, at); at += j.maxPart {
		if at+j.maxPart >= len(record) {
			j.setStaged(l, staged{g, int64(len(record))})
		}
	}
	return func() {
		j.setStaged(l, staged{})
		j.mu.Lock()
		defer j.mu.Unlock()
		j.staging = false
	}
}

// stagePart writes the part of the record that begins at the given byte. l is the log that
// has the parts before it, nil if there are none. It reports whether the part was written.
func (j *Journal) stagePart(l **log, record []byte, at int) bool {
	if j.turn.acquire(j.ctx) != nil {
		return false
	}
	defer j.turn.release()
	if *l == nil {
		*l = j.log
	}
	if j.unavailable != nil || j.log != *l {
		return false
	}
	defer j.now("writing to")()
	if err := j.log.appendPart(record, at, j.maxPart); err != nil {
		j.fail(err)
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.use(j.log)
	return true
}

// setStaged sets the group that a log has in parts.
func (j *Journal) setStaged(l *log, s staged) {
	if l != nil && j.turn.acquire(j.ctx) == nil {
		l.staged = s
		j.turn.release()
	}
}

// appendPart appends a batch with the part of a record that begins at the given byte and has
// up to size bytes.
func (l *log) appendPart(record []byte, at, size int) error {
	part := record[at:min(at+size, len(record))]
	if need := headSize + len(part) + 64; cap(l.buffer) < need {
		l.buffer = make([]byte, 0, need)
	}
	b := appendRecord(l.buffer[:headSize], partRecord, nil)
	b = append(binary.LittleEndian.AppendUint64(b, uint64(at)), part...)
	binary.LittleEndian.PutUint32(b[headSize+1:], uint32(len(part)+8))
	return l.appendBatch(b)
}

// parts collects the parts of a record, in the order of the file.
type parts struct{ record []byte }

// join returns the record that counts instead of r: r itself, or the one that the parts make up if
// r refers to them. ok is false if r is a part, or an error.
func (p *parts) join(r record) (joined record, ok bool, err error) {
	if r.kind != partRecord && r.kind != partsRecord {
		return r, true, nil
	}
	if len(r.data) < 8 {
		return record{}, false, errPart
	}
	size, data := binary.LittleEndian.Uint64(r.data), r.data[8:]
	if r.kind == partRecord && size == 0 {
		p.record = nil
	}
	if size != uint64(len(p.record)) || r.kind == partsRecord && len(data) > 0 {
		return record{}, false, errPart
	}
	if r.kind == partRecord {
		p.record = append(p.record, data...)
		return record{}, false, nil
	}
	joined = record{groupRecord, p.record}
	p.record = nil
	return joined, true, nil
}

var errPart = errors.New("parts of a record are missing")
