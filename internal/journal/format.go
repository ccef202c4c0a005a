package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"pushgateway/internal/store"
)

const (
	magic   = "pushgwlg"
	version = 3
	// versionWithoutParts is the version of files without parts. They can be read; opening one to
	// append to it marks it as version.
	versionWithoutParts = 2

	// sectorSize is what a disk writes as a whole or not at all. The header is one
	// sector, and each batch begins at one, so that no write touches a sector with
	// anything that was acknowledged before.
	sectorSize = 512

	headerSize  = 64 // without the zeros that fill its sector
	headSize    = 32 // of a batch
	trailerSize = 5  // of a batch

	// mark is the last byte of a batch. It is not zero, so a batch that ends in a zero
	// was not written to its end.
	mark = 0xFF
)

// Kinds of records.
const (
	groupRecord    = 1 // store.AppendRecord
	deletionRecord = 2 // the group's ID
	wipeRecord     = 3 // nothing
	partRecord     = 4 // an offset in the record of a group, and the part that begins there
	partsRecord    = 5 // the length of the record of a group, which the parts before it make up
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// position is a place between two batches.
type position struct {
	end      int64  // offset of the batch that comes next
	sequence uint64 // number of the last batch, 0 if there is none
	sum      uint32 // checksum of the last batch
	size     int64  // the file has at least this many bytes
}

// header is the first sector of a file.
type header struct {
	version uint32
	salt    uint64 // differs between files: no batch of one is valid in another
	position
}

// encode returns the header's sector, always with the current version.
func (h header) encode() []byte {
	b := append(make([]byte, 0, sectorSize), magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = appendSum(b, b)
	b = binary.LittleEndian.AppendUint64(b, h.salt)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.end))
	b = binary.LittleEndian.AppendUint64(b, h.sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	b = binary.LittleEndian.AppendUint32(b, h.sum)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	return appendSum(b, b)[:sectorSize]
}

// parseHeader reads the first sector of a file that begins with magic. The error is
// a *NewerError, without a path, or says what is damaged.
func parseHeader(b []byte) (h header, err error) {
	if len(b) < sectorSize {
		return header{}, errors.New("it is cut short within its header")
	}
	if !sumFollows(b[:12], b[12:]) {
		return header{}, errors.New("the checksum of its header is wrong")
	}
	v := binary.LittleEndian.Uint32(b[8:])
	if v < versionWithoutParts || v > version {
		return header{}, &NewerError{Version: v}
	}
	if !sumFollows(b[:headerSize-4], b[headerSize-4:]) || !allZero(b[headerSize:sectorSize]) {
		return header{}, errors.New("the checksum of its header is wrong")
	}
	h = header{
		version: v,
		salt:    binary.LittleEndian.Uint64(b[16:]),
		position: position{
			end:      int64(binary.LittleEndian.Uint64(b[24:])),
			sequence: binary.LittleEndian.Uint64(b[32:]),
			size:     int64(binary.LittleEndian.Uint64(b[40:])),
			sum:      binary.LittleEndian.Uint32(b[48:]),
		},
	}
	if h.end < sectorSize || h.end%sectorSize != 0 || h.size < h.end {
		return header{}, errors.New("its header is not one that this program writes")
	}
	return h, nil
}

// head is the beginning of a batch.
type head struct {
	sequence uint64
	length   int64  // of the records
	size     int64  // the file has at least this many bytes, unless a later batch says otherwise
	before   uint32 // checksum of the batch before
}

func (h head) encode(dst []byte, salt uint64) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, h.sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.length))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.size))
	dst = binary.LittleEndian.AppendUint32(dst, h.before)
	return binary.LittleEndian.AppendUint32(dst, headSum(dst[start:], salt))
}

// parseHead reads the head of a batch; false if b does not begin with one of a file
// with this salt.
func parseHead(b []byte, salt uint64) (head, bool) {
	if len(b) < headSize || headSum(b[:headSize-4], salt) != binary.LittleEndian.Uint32(b[headSize-4:]) {
		return head{}, false
	}
	h := decodeHead(b)
	return h, h.length >= 0 && h.length < maxLength
}

// maxLength bounds what the records of a batch can take, so that no sum overflows.
const maxLength = 1 << 48

func decodeHead(b []byte) head {
	return head{
		sequence: binary.LittleEndian.Uint64(b),
		length:   int64(binary.LittleEndian.Uint64(b[8:])),
		size:     int64(binary.LittleEndian.Uint64(b[16:])),
		before:   binary.LittleEndian.Uint32(b[24:]),
	}
}

func headSum(b []byte, salt uint64) uint32 {
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], salt)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b)
}

// used is how many bytes the batch takes.
func (h head) used() int64 { return headSize + h.length + trailerSize }

// padded is used with the zeros that fill the last sector.
func (h head) padded() int64 { return roundUp(h.used(), sectorSize) }

// after returns the position behind the batch, whose checksum is sum.
func (h head) after(at position, sum uint32) position {
	return position{end: at.end + h.padded(), sequence: h.sequence, sum: sum, size: h.size}
}

// encodeRecords appends the records of a batch with the changes. The staged group becomes a
// reference to its parts.
func encodeRecords(dst []byte, changes store.Changes, staged staged) []byte {
	if changes.Wiped {
		dst = appendRecord(dst, wipeRecord, nil)
	}
	for _, c := range changes.Groups {
		if c.Group == nil {
			dst = appendRecord(dst, deletionRecord, []byte(c.ID))
			continue
		}
		if c.Group == staged.group {
			dst = appendRecord(dst, partsRecord, binary.LittleEndian.AppendUint64(nil, uint64(staged.size)))
			continue
		}
		dst = appendRecord(dst, groupRecord, nil)
		before := len(dst)
		dst = store.AppendRecord(dst, c.Group)
		binary.LittleEndian.PutUint32(dst[before-4:], uint32(len(dst)-before))
	}
	return dst
}

// encodeBatch makes a batch of b, which has the records behind space for the head, and
// returns it with the position behind it.
func encodeBatch(b []byte, at position, salt uint64, size int64) ([]byte, position) {
	h := head{sequence: at.sequence + 1, length: int64(len(b) - headSize), size: size, before: at.sum}
	h.encode(b[:0], salt)
	b = appendSum(b, b)
	sum := binary.LittleEndian.Uint32(b[len(b)-4:])
	return append(b, mark), h.after(at, sum)
}

// encodedSize returns about how many bytes a batch with the changes takes.
func encodedSize(changes store.Changes, staged staged) int64 {
	size := int64(headSize + trailerSize)
	for _, c := range changes.Groups {
		size += int64(len(c.ID)) + 16
		if c.Group != nil && c.Group != staged.group {
			size += recordSize(c.Group)
		}
	}
	return size
}

// recordSize returns about how many bytes the record of a group takes, and rarely too few.
func recordSize(g *store.Group) int64 {
	const ofRecord, ofFamily = 24, 20
	return int64(ofRecord + 2*len(g.Key.ID()) + g.Size() + ofFamily*len(g.Families))
}

// appendRecord appends a record: its kind, the length of its data in 4 bytes, and the
// data.
func appendRecord(dst []byte, kind byte, data []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(append(dst, kind), uint32(len(data)))
	return append(dst, data...)
}

// record is one record of a batch.
type record struct {
	kind byte
	data []byte
}

// recordHeadSize is the size of a record's kind and length.
const recordHeadSize = 5

// parseRecordHead parses the kind and the length of a record. rest is how many bytes its batch has
// from the beginning of the record on.
func parseRecordHead(b []byte, rest int64) (kind byte, length int, err error) {
	kind, length = b[0], int(binary.LittleEndian.Uint32(b[1:]))
	if int64(length) > rest-recordHeadSize || kind < groupRecord || kind > partsRecord {
		return 0, 0, errors.New("a record is not one that this program writes")
	}
	return kind, length, nil
}

var errRecordCut = errors.New("a record is cut short")

// splitRecords returns the records of a batch, which alias b.
func splitRecords(b []byte) (records []record, err error) {
	for len(b) > 0 {
		if len(b) < recordHeadSize {
			return records, errRecordCut
		}
		kind, length, err := parseRecordHead(b, int64(len(b)))
		if err != nil {
			return records, err
		}
		b = b[recordHeadSize:]
		records = append(records, record{kind, b[:length]})
		b = b[length:]
	}
	return records, nil
}

// checkBatch reports whether a whole batch, padding included, is as it was written.
func checkBatch(b []byte, h head) bool {
	records, trailer := b[:headSize+h.length], b[headSize+h.length:]
	return endsBatch(trailer, crc32.Checksum(records, castagnoli))
}

// endsBatch reports whether a trailer with the padding behind it is that of a batch whose head and
// records have the checksum.
func endsBatch(trailer []byte, sum uint32) bool {
	return binary.LittleEndian.Uint32(trailer) == sum && trailer[4] == mark && allZero(trailer[trailerSize:])
}

func appendSum(dst, of []byte) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(of, castagnoli))
}

func sumFollows(b, sum []byte) bool {
	return crc32.Checksum(b, castagnoli) == binary.LittleEndian.Uint32(sum)
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

var zeros [64 << 10]byte

func allZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// DamageError says that a file cannot be trusted. Nothing has been written to it.
type DamageError struct {
	Path   string
	Reason error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the file %s is damaged: %v. It was left as it is. Restore it from a backup, "+
		"or move it away to start empty; \"pushgateway dump %s\" prints what can still be read of it", e.Path, e.Reason, e.Path)
}

func (e *DamageError) Unwrap() error { return e.Reason }

// NewerError says that the file is of a format that this program does not know.
type NewerError struct {
	Path    string
	Version uint32
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the file %s has version %d, but this program knows only version %d: use the program that wrote it, or a newer one", e.Path, e.Version, version)
}
