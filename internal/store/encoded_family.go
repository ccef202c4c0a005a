package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// EncodedFamily is one metric family of one group, encoded as protobuf. It is immutable to
// its readers and has no pointer per series. There are millions of them, so it is small. All
// methods are safe for concurrent use.
type EncodedFamily struct {
	header        *header            // shared with other families where possible
	key           metric.GroupingKey // the group's
	time          int64              // Unix nanoseconds
	protobuf      *byte              // see Protobuf
	size          uint32             // of protobuf
	seriesAndBits uint32             // the number of series before the familyBits

	// Set while the encoded family is in the store, and guarded by its locks.
	family *family
	home   *leaf[*EncodedFamily] // in the run of family
}

// Bits of an encoded family.
const (
	plainBit    = 1 << iota // see Plain
	replacedBit             // see replaced
	familyBits  = iota
)

// header is what the encoded families of one name usually share. It is immutable.
type header struct {
	name, help, unit string
	typ              metric.Type
}

func (e *EncodedFamily) order() string                   { return e.key.ID() }
func (e *EncodedFamily) weight() int                     { return e.Size() }
func (e *EncodedFamily) leaf() *leaf[*EncodedFamily]     { return e.home }
func (e *EncodedFamily) setLeaf(l *leaf[*EncodedFamily]) { e.home = l }

// Name returns the family's name.
func (e *EncodedFamily) Name() string { return e.header.name }

// Type returns the family's type.
func (e *EncodedFamily) Type() metric.Type { return e.header.typ }

// Help returns the help text that was pushed with the family. It may be empty.
func (e *EncodedFamily) Help() string { return e.header.help }

// Unit returns the unit that was pushed with the family. It may be empty.
func (e *EncodedFamily) Unit() string { return e.header.unit }

// Series returns the number of metrics: label sets, not samples.
func (e *EncodedFamily) Series() int { return int(e.seriesAndBits >> familyBits) }

// Size returns the size of Protobuf.
func (e *EncodedFamily) Size() int { return int(e.size) }

// Time returns when the family was pushed.
func (e *EncodedFamily) Time() time.Time { return time.Unix(0, e.time) }

// Plain reports whether no exposition has to escape a name of the family.
func (e *EncodedFamily) Plain() bool { return e.seriesAndBits&plainBit != 0 }

// replaced reports whether pushes replace the values of the family even if those of others in its group are
// added up.
func (e *EncodedFamily) replaced() bool { return e.seriesAndBits&replacedBit != 0 }

// setReplaced sets what replaced returns.
func (e *EncodedFamily) setReplaced() { e.seriesAndBits |= replacedBit }

// Protobuf returns the metrics as fields of an io.prometheus.client.MetricFamily message.
// The caller must not change it.
func (e *EncodedFamily) Protobuf() []byte { return unsafe.Slice(e.protobuf, e.size) } // #nosec G103 -- a slice is three words

// setProtobuf sets what Protobuf returns, which must not change any more.
func (e *EncodedFamily) setProtobuf(b []byte) {
	e.protobuf, e.size = unsafe.SliceData(b), uint32(len(b)) // #nosec G103 -- Protobuf puts it together again
}

func (e *EncodedFamily) setSeries(series int, plain bool) {
	e.seriesAndBits = uint32(series) << familyBits
	if plain {
		e.seriesAndBits |= plainBit
	}
}

// AppendText appends the samples in the text format, without HELP and TYPE. Cost: O(bytes).
func (e *EncodedFamily) AppendText(dst []byte) []byte {
	w := textWriters.Get().(*wire.TextWriter)
	defer textWriters.Put(w)
	dst, err := w.Append(dst, e.Name(), e.Type(), e.Protobuf())
	if err != nil {
		panic(e.undecodable(err))
	}
	return dst
}

var textWriters = sync.Pool{New: func() any { return new(wire.TextWriter) }}

// Metrics decodes the metrics. Their strings share memory with the encoded family, so the
// caller must not change it. Cost: O(bytes).
func (e *EncodedFamily) Metrics() []metric.Metric {
	metrics, err := wire.DecodeMetrics(e.Type(), e.Protobuf(), e.Series())
	if err != nil {
		panic(e.undecodable(err))
	}
	return metrics
}

func (e *EncodedFamily) undecodable(err error) string {
	return fmt.Sprintf("family %s of group %s, which was encoded here, does not decode: %v", e.Name(), e.key, err)
}

// newEncodedFamily encodes f, which must be normalized for the group, with the header h.
// plain is as in Plain. scratch is working space, returned for the next call.
func newEncodedFamily(f *metric.Family, h *header, key metric.GroupingKey, at time.Time, plain bool, scratch []byte) (*EncodedFamily, []byte) {
	scratch = wire.AppendProtobufMetrics(scratch[:0], f)
	e := new(EncodedFamily)
	e.init(len(f.Metrics), h, key, at, plain, slices.Clone(scratch))
	return e, scratch
}

// init makes e a family that has been encoded as protobuf.
func (e *EncodedFamily) init(series int, h *header, key metric.GroupingKey, at time.Time, plain bool, protobuf []byte) {
	e.header = h
	e.key = key
	e.time = at.UnixNano()
	e.setProtobuf(protobuf)
	e.setSeries(series, plain)
}

// clone returns a copy that is not in the store and shares no memory with other families of the
// group.
func (e *EncodedFamily) clone() *EncodedFamily {
	c := *e
	c.setProtobuf(slices.Clone(e.Protobuf()))
	c.family, c.home = nil, nil
	return &c
}

// compareNames orders encoded families by their names.
func compareNames(a, b *EncodedFamily) int {
	if a.header == b.header {
		return 0 // as usually, and cheaper to see
	}
	return strings.Compare(a.Name(), b.Name())
}

// findFamily returns the index at which families, sorted by name, have the one of this
// name or would have it.
func findFamily(families []*EncodedFamily, name string) int {
	i, _ := slices.BinarySearchFunc(families, name, func(e *EncodedFamily, name string) int { return strings.Compare(e.Name(), name) })
	return i
}

// familyIn returns the one of the families, sorted by name, that has this name, nil if
// none has.
func familyIn(families []*EncodedFamily, name string) *EncodedFamily {
	if i := findFamily(families, name); i < len(families) && families[i].Name() == name {
		return families[i]
	}
	return nil
}
