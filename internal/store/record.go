package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// A record is a group as journals persist it: a checksum and then, in the order below,
// lengths and counts as unsigned varints, times as signed varints, texts after their
// lengths. docs/OPERATING.md describes the file that contains them.
//
//	CRC-32C of all that follows, 4 bytes, little endian
//	number of labels; for each its name and value
//	time of the last push, time of the last rejected push (Unix ns, 0 for never)
//	number of families; for each:
//	  name, help, unit, type (a byte)
//	  time of its push, number of metrics
//	  1 byte of bits: names are plain; the group is summed, but pushes replace the values of this family
//	  the metrics as fields of a MetricFamily message
//	if the group has any of these:
//	  1 byte of bits: pushes are added up; the last push set a TTL; the push times
//	  stay when the group expires; it has expired
//	  the TTL (ns)
//	  number of idempotency keys; for each 8 bytes of its hash, little endian, and
//	  the time of its push (Unix s)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendRecord appends the record of g.
func AppendRecord(dst []byte, g *Group) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.AppendUvarint(dst, uint64(len(g.Key.Labels())))
	for _, l := range g.Key.Labels() {
		dst = appendText(appendText(dst, l.Name), l.Value)
	}
	dst = appendTime(appendTime(dst, g.Pushed), g.Failed)
	dst = binary.AppendUvarint(dst, uint64(len(g.Families)))
	for _, e := range g.Families {
		h := e.header
		dst = appendText(appendText(appendText(dst, h.name), h.help), h.unit)
		dst = append(dst, byte(h.typ))
		dst = binary.AppendVarint(dst, e.time)
		dst = binary.AppendUvarint(dst, uint64(e.Series()))
		dst = append(dst, e.bits(g.Summed))
		dst = binary.AppendUvarint(dst, uint64(e.Size()))
		dst = append(dst, e.Protobuf()...)
	}
	dst = appendState(dst, g)
	binary.LittleEndian.PutUint32(dst[start:], crc32.Checksum(dst[start+4:], castagnoli))
	return dst
}

// bits returns what a record says of the family in a byte.
func (e *EncodedFamily) bits(summed bool) byte {
	bits := byte(0)
	if e.Plain() {
		bits |= plainBit
	}
	if e.replaced() && summed {
		bits |= replacedBit
	}
	return bits
}

// Bits of what a record says besides the families.
const (
	summedBit = 1 << iota
	ttlBit
	keepTimesBit
	expiredBit
)

// appendState appends the state of the group that is not in its families, if any.
func appendState(dst []byte, g *Group) []byte {
	bits := byte(0)
	if g.Summed {
		bits |= summedBit
	}
	if g.Expiry.Set {
		bits |= ttlBit
	}
	if g.Expiry.KeepPushTimes {
		bits |= keepTimesBit
	}
	if g.Expired {
		bits |= expiredBit
	}
	if bits == 0 && len(g.used) == 0 {
		return dst
	}
	dst = append(dst, bits)
	dst = binary.AppendVarint(dst, int64(g.Expiry.TTL))
	dst = binary.AppendUvarint(dst, uint64(len(g.used)))
	for _, k := range g.used {
		dst = binary.LittleEndian.AppendUint64(dst, k.hash)
		dst = binary.AppendVarint(dst, k.seconds)
	}
	return dst
}

// state reads what appendState appended.
func (r *recordReader) state(g *Group) {
	if len(r.rest) == 0 {
		return
	}
	bits := r.byte()
	g.Summed, g.Expired = bits&summedBit != 0, bits&expiredBit != 0
	g.Expiry.Set, g.Expiry.KeepPushTimes = bits&ttlBit != 0, bits&keepTimesBit != 0
	g.Expiry.TTL = time.Duration(r.varint())
	keys := r.count()
	r.bad = r.bad || bits >= expiredBit<<1 || bits == 0 && keys == 0 ||
		g.Expiry.TTL < 0 || g.Expiry.TTL > 0 && !g.Expiry.Set
	for range keys {
		if hash := r.take(8); hash != nil {
			g.used = append(g.used, usedKey{binary.LittleEndian.Uint64(hash), r.varint()})
		}
	}
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(dst, 0)
	}
	return binary.AppendVarint(dst, t.UnixNano())
}

// DecodeRecord decodes a record. The result does not alias it.
func DecodeRecord(record []byte) (*Group, error) { return new(RecordDecoder).Decode(record) }

// RecordDecoder decodes records. Reuse saves time where groups have the same families. It is
// not safe for concurrent use. The zero value is ready for use.
type RecordDecoder struct {
	headers headers
	shape   shape
}

// Decode is DecodeRecord.
func (d *RecordDecoder) Decode(record []byte) (*Group, error) {
	if len(record) < 4 {
		return nil, errors.New("the record is cut short")
	}
	if got, want := crc32.Checksum(record[4:], castagnoli), binary.LittleEndian.Uint32(record); got != want {
		return nil, fmt.Errorf("the record's checksum is %08x, but should be %08x", got, want)
	}
	r := recordReader{rest: record[4:]}
	labels := make([]metric.Label, r.count())
	for i := range labels {
		labels[i] = metric.Label{Name: r.text(), Value: r.text()}
		r.bad = r.bad || i > 0 && labels[i-1].Name >= labels[i].Name
	}
	g := &Group{Key: metric.NewGroupingKey(labels)}
	d.shape = d.shape.of(g.Key)
	g.shape = d.shape
	g.Pushed, g.Failed = r.time(), r.time()
	g.Families = make([]*EncodedFamily, r.count())
	var families []EncodedFamily
	size, replaced := 0, false
	for i := range g.Families {
		if len(families) == 0 {
			// Objects of up to 512 bytes have no overhead.
			families = make([]EncodedFamily, min(8, len(g.Families)-i))
		}
		e := &families[0]
		families = families[1:]
		h := header{name: r.text(), help: r.text(), unit: r.text(), typ: metric.Type(r.byte())}
		r.bad = r.bad || !h.typ.Known() || i > 0 && g.Families[i-1].Name() >= h.name
		e.header = d.headers.shared(i, h)
		e.key = g.Key
		e.time = r.varint()
		series, bits := r.count(), r.byte()
		r.bad = r.bad || bits >= 1<<familyBits
		e.setSeries(series, bits&plainBit != 0)
		if bits&replacedBit != 0 {
			e.setReplaced()
			replaced = true
		}
		e.setProtobuf(r.bytes())
		size += e.Size()
		g.Families[i] = e
	}
	r.state(g)
	if r.bad || len(r.rest) > 0 || replaced && !g.Summed {
		return nil, errors.New("the record is not one that this program writes")
	}
	// One copy for the whole group: its families are usually replaced together.
	all := make([]byte, 0, size)
	for _, e := range g.Families {
		all = append(all, e.Protobuf()...)
		e.setProtobuf(all[len(all)-e.Size():])
	}
	return g, nil
}

// recordReader reads a record from its beginning. Once something is missing, it sets bad
// and returns zeros. What AppendRecord would have written otherwise is bad, too.
type recordReader struct {
	rest []byte
	bad  bool
}

func (r *recordReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *recordReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skipNumber(n)
	return v
}

// skipNumber skips the n bytes of a number, which must be as short as it can be.
func (r *recordReader) skipNumber(n int) {
	b := r.take(uint64(max(n, 0)))
	r.bad = r.bad || n <= 0 || n > 1 && len(b) == n && b[n-1] == 0
}

func (r *recordReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skipNumber(n)
	return v
}

// count reads the number of things that follow and take at least a byte each.
func (r *recordReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *recordReader) bytes() []byte { return r.take(r.uvarint()) }
func (r *recordReader) text() string  { return protofield.Alias(r.bytes()) }

func (r *recordReader) byte() byte {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *recordReader) time() time.Time {
	if ns := r.varint(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}
