package store

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"
	"time"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// Encoder checks and encodes pushes. It is a wire.Sink: a large push comes in batches. Each
// batch is encoded when it arrives, so a push takes little more memory than what is stored
// in the end.
//
// For each push call Begin, then either Done with all families, or Add for each batch and
// Done with the last one, then Finish. An Encoder can be reused, which saves allocations, once
// its last push has been applied. The zero value is ready for use. An Encoder is not safe for
// concurrent use.
type Encoder struct {
	key        metric.GroupingKey
	options    PushOptions
	normalizer metric.Normalizer
	metrics    int   // of the push, so far
	rejected   error // by Add or Done

	// The batch, as it was normalized and encoded.
	families []metric.Family
	scratch  []byte
	ends     []int  // of the families in scratch
	plain    []bool // whether their names are

	pieces  [][]piece // of a push in several batches, by batch
	joined  []piece   // one for each family, once the last batch has come
	dropped int       // timestamps, before the last Resume

	headers headers
	shape   shape // of the last key
}

// piece is what a batch has of a family.
type piece struct {
	name, help, unit string
	typ              metric.Type
	merge            metric.Merge
	plain, whole     bool // whole: protobuf shares its memory with no other piece
	series           int
	protobuf         []byte
}

// headers are those of the last groups, which have the same in turn. Sharing them saves memory.
type headers struct {
	byPlace []*header // of the family in its group
	known   map[header]*header
}

// shared returns the header of the family in place i.
func (s *headers) shared(i int, h header) *header {
	if i < len(s.byPlace) && *s.byPlace[i] == h {
		return s.byPlace[i] // as usually, and cheaper to see
	}
	shared := s.known[h]
	if shared == nil {
		shared = &header{strings.Clone(h.name), strings.Clone(h.help), strings.Clone(h.unit), h.typ}
	}
	if i >= maxHeaders {
		return shared
	}
	if len(s.known) == maxHeaders || s.known == nil {
		s.known = map[header]*header{}
	}
	s.known[*shared] = shared
	for len(s.byPlace) <= i {
		s.byPlace = append(s.byPlace, shared)
	}
	s.byPlace[i] = shared
	return shared
}

func headerOf(f *metric.Family) header { return header{f.Name, f.Help, f.Unit, f.Type} }

const (
	// maxHeaders bounds how many headers are remembered.
	maxHeaders = 256
	// maxShared bounds the memory that several families may share, in bytes.
	maxShared = 8 << 10
	// maxScratch bounds the scratch space of an idle Encoder, in bytes.
	maxScratch = 1 << 20
)

// Push returns a push of the families to the group called key at the given time. It
// changes the families and uses them until the push has been applied. The error is a
// *metric.RejectionError.
func (e *Encoder) Push(key metric.GroupingKey, families []metric.Family, at time.Time, o PushOptions) (*Push, error) {
	e.Begin(key, o)
	if err := e.Done(families); err != nil {
		return nil, err
	}
	return e.Finish(at), nil
}

// Begin begins a push to the group called key.
func (e *Encoder) Begin(key metric.GroupingKey, o PushOptions) {
	e.key, e.options = key, o
	e.Reset()
}

// Reset drops what was added to the push.
func (e *Encoder) Reset() {
	e.normalizer.Reset(e.key)
	e.normalizer.DropTimestamps = e.options.DropTimestamps
	e.normalizer.DropLabels = e.options.DropLabels
	switch e.options.Merge {
	case metric.MergeSeries, metric.MergeSum, metric.MergeEach:
		e.normalizer.DropEmptyLabels = true
	default:
		e.normalizer.DropEmptyLabels = false
	}
	e.metrics, e.rejected, e.pieces, e.joined, e.families, e.dropped = 0, nil, nil, nil, nil, 0
	e.scratch, e.ends, e.plain = e.scratch[:0], e.ends[:0], e.plain[:0]
}

// combines reports whether metrics of a pushed family that are the same series are added up.
func (e *Encoder) combines(f *metric.Family) bool {
	return len(e.options.DropLabels) > 0 && e.options.mergeOf(f) == metric.MergeSum
}

// Draft is a push that was begun and is not finished. The zero value is no push.
type Draft struct {
	key      metric.GroupingKey
	options  PushOptions
	metrics  int
	rejected error
	pieces   [][]piece
	joined   []piece
	dropped  int
}

// Suspend returns the push, with all batches that went to Add and Done so far, so that the Encoder
// can be used for another one.
func (e *Encoder) Suspend() Draft {
	return Draft{e.key, e.options, e.metrics, e.rejected, e.pieces, e.joined, e.dropped + e.normalizer.Dropped()}
}

// Resume continues a push that was suspended.
func (e *Encoder) Resume(d Draft) {
	e.Begin(d.key, d.options)
	e.metrics, e.rejected, e.pieces, e.joined, e.dropped = d.metrics, d.rejected, d.pieces, d.joined, d.dropped
}

// Rejected returns the error that Add or Done returned since Begin or Reset, if any.
func (e *Encoder) Rejected() error { return e.rejected }

// Add checks and encodes a batch that is not the last one. The error is a
// *metric.RejectionError.
func (e *Encoder) Add(families []metric.Family) error {
	e.rejected = e.add(families)
	return e.rejected
}

func (e *Encoder) add(families []metric.Family) error {
	var pieces []piece
	for i := range families {
		if f := &families[i]; len(f.Metrics) == 0 && f.Help != "" {
			pieces = append(pieces, piece{name: f.Name, help: f.Help, unit: f.Unit, typ: f.Type, merge: f.Merge, plain: true})
		}
	}
	if err := e.encode(families); err != nil {
		return err
	}
	encoded, start := slices.Clone(e.scratch), 0
	pieces = slices.Grow(pieces, len(e.families))
	for i := range e.families {
		f := &e.families[i]
		pieces = append(pieces, piece{
			name: f.Name, help: f.Help, unit: f.Unit, typ: f.Type, merge: f.Merge, plain: e.plain[i], whole: len(e.families) == 1,
			series: len(f.Metrics), protobuf: encoded[start:e.ends[i]:e.ends[i]],
		})
		start = e.ends[i]
	}
	// One slice for all would be copied as it grows. While that takes time, the collector
	// cannot stop the world, and so stops all others.
	if len(pieces) > 0 {
		e.pieces = append(e.pieces, pieces)
	}
	e.families = nil
	return nil
}

// Done checks and encodes the last batch, and uses it until the push has been applied.
// The error is a *metric.RejectionError.
func (e *Encoder) Done(families []metric.Family) error {
	if len(e.pieces) == 0 {
		e.rejected = e.encode(families)
	} else if e.rejected = e.add(families); e.rejected == nil {
		e.rejected = e.joinPieces()
	}
	return e.rejected
}

// encode normalizes a batch and encodes it to scratch.
func (e *Encoder) encode(families []metric.Family) error {
	families = slices.DeleteFunc(families, func(f metric.Family) bool {
		return f.Name == PushTime || f.Name == FailureTime || len(f.Metrics) == 0
	})
	slices.SortFunc(families, func(a, b metric.Family) int { return strings.Compare(a.Name, b.Name) })
	for i := range families {
		e.metrics += len(families[i].Metrics)
	}
	if err := e.checkSize(); err != nil {
		return err
	}
	if e.options.Limits.Exceeded(limits.Series, e.metrics) {
		return rejectLimit(limits.Series, &e.options.Limits, "the push has at least %d series", e.metrics)
	}
	if len(e.pieces) > 0 {
		e.normalizer.Reuse() // metrics of earlier batches are encoded
	}
	e.families = families
	e.scratch, e.ends, e.plain = e.scratch[:0], e.ends[:0], e.plain[:0]
	for i := range families {
		f := &families[i]
		e.normalizer.KeepDuplicates = e.combines(f)
		if err := e.normalizer.Normalize(f); err != nil {
			return err
		}
		if e.options.Limits != (limits.Limits{}) {
			if err := checkLabels(f, &e.options.Limits); err != nil {
				return err
			}
		}
		if e.options.mergeOf(f) == metric.MergeSum {
			if err := f.CheckSummable(e.options.Gauges); err != nil {
				return err
			}
			if e.combines(f) {
				if err := f.CombineDuplicates(e.options.Gauges); err != nil {
					return err
				}
			}
		}
		e.scratch = wire.AppendProtobufMetrics(e.scratch, f)
		e.ends, e.plain = append(e.ends, len(e.scratch)), append(e.plain, e.normalizer.Plain())
	}
	return nil
}

// checkSize rejects a push whose metrics would be huge once each has the labels of the
// group.
func (e *Encoder) checkSize() error {
	labels := 0
	for _, l := range e.key.Labels() {
		labels += len(l.Name) + len(l.Value) + 6
	}
	const maxSize = 256 << 20
	if labels*e.metrics > maxSize {
		return metric.Reject(metric.TooLarge,
			"%d metrics, each with %d bytes of labels from the URL, are more than %d MiB: push fewer, or use shorter labels",
			e.metrics, labels, maxSize>>20)
	}
	return nil
}

// Finish returns the push, with the time at which it succeeded. It is called after Done.
func (e *Encoder) Finish(at time.Time) *Push {
	e.shape = e.shape.of(e.key)
	p := &Push{key: e.key, shape: e.shape, at: at, options: e.options, dropped: e.dropped + e.normalizer.Dropped()}
	if len(e.pieces) > 0 {
		p.families = make([]metric.Family, len(e.joined))
		p.encoded = make([]EncodedFamily, len(e.joined))
		p.times = make([]EncodedFamily, pushTimeFamilies)
		for i := range e.joined {
			x, f := &e.joined[i], &p.families[i]
			*f = metric.Family{Name: x.name, Help: x.help, Unit: x.unit, Type: x.typ, Merge: x.merge}
			p.encoded[i].init(x.series, e.headers.shared(i, headerOf(f)), e.key, at, x.plain, x.protobuf)
		}
	} else {
		p.families = e.families
		e.encodedFamilies(p)
	}
	for i := range p.encoded {
		if e.options.Merge == metric.MergeEach && p.families[i].Merge != metric.MergeSum {
			p.encoded[i].setReplaced()
		}
	}
	e.scratch = initTimeFamilies(p.times, e.key, e.normalizer.Bare(), at, e.scratch)
	e.families, e.pieces, e.joined = nil, nil, nil
	if cap(e.scratch) > maxScratch {
		e.scratch = nil
	}
	return p
}

// encodedFamilies sets the encoded families of a push of a single batch.
func (e *Encoder) encodedFamilies(p *Push) {
	// What is pushed together is usually replaced together, so it shares one piece of
	// memory if it does not matter that one family alone may later hold on to it.
	protobuf, start := e.scratch, 0
	shared := len(protobuf) <= maxShared
	if shared {
		protobuf = slices.Clone(protobuf)
	}
	all := make([]EncodedFamily, len(e.families)+pushTimeFamilies)
	p.encoded, p.times = slices.Clip(all[:len(e.families)]), all[len(e.families):]
	for i := range e.families {
		f := &e.families[i]
		own := protobuf[start:e.ends[i]]
		if !shared {
			own = slices.Clone(own)
		}
		p.encoded[i].init(len(f.Metrics), e.headers.shared(i, headerOf(f)), e.key, p.at, e.plain[i], own)
		start = e.ends[i]
	}
}

// joinPieces joins the pieces of each family, so that there is one left for each, in the
// order of their names.
func (e *Encoder) joinPieces() error {
	// Pieces have many pointers, so moving them around would take much longer than
	// sorting where they are.
	type place struct{ batch, index int32 }
	count := 0
	for _, batch := range e.pieces {
		count += len(batch)
	}
	places := make([]place, 0, count)
	for i, batch := range e.pieces {
		for j := range batch {
			places = append(places, place{int32(i), int32(j)})
		}
	}
	at := func(p place) *piece { return &e.pieces[p.batch][p.index] }
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(strings.Compare(at(a).name, at(b).name), cmp.Compare(a.batch, b.batch), cmp.Compare(a.index, b.index))
	})
	joined := make([]piece, 0, count)
	var same []piece
	for rest := places; len(rest) > 0; {
		same = same[:0]
		for name := at(rest[0]).name; len(rest) > 0 && at(rest[0]).name == name; rest = rest[1:] {
			same = append(same, *at(rest[0]))
			*at(rest[0]) = piece{} // gives its memory back
		}
		one, err := e.joinFamily(same)
		if err != nil {
			return err
		}
		if one.series > 0 {
			joined = append(joined, one)
		}
	}
	clear(e.pieces)
	e.joined = joined
	return nil
}

// joinFamily joins the pieces of one family, in the order of their batches. It drops them to
// give their memory back.
func (e *Encoder) joinFamily(pieces []piece) (piece, error) {
	all := piece{name: pieces[0].name, typ: pieces[0].typ, merge: pieces[0].merge, plain: true}
	size, count := 0, 0
	var last *piece
	for i := range pieces {
		p := &pieces[i]
		if len(p.protobuf) > 0 {
			last = p
			count++
		}
		if p.series > 0 && p.typ != all.typ {
			if all.series > 0 {
				return all, metric.Reject(metric.Malformed, "the push has the metric family %q twice, as %s and as %s", p.name,
					all.typ, p.typ)
			}
			all.typ = p.typ
		}
		all.help, all.unit = cmp.Or(all.help, p.help), cmp.Or(all.unit, p.unit)
		all.plain = all.plain && p.plain
		all.series += p.series
		size += len(p.protobuf)
	}
	switch {
	case count == 0:
		return all, nil
	case count == 1 && last.whole:
		all.protobuf = last.protobuf
		return all, nil
	case count == 1:
		all.protobuf = slices.Clone(last.protobuf)
		return all, nil
	}
	all.protobuf = make([]byte, 0, size)
	if inOrder(pieces) {
		for i := range pieces {
			all.protobuf = append(all.protobuf, pieces[i].protobuf...)
			pieces[i].protobuf = nil
		}
		return all, nil
	}
	err := e.mergePieces(&all, pieces)
	return all, err
}

// cursor is a place in an encoded family. labels are those of the metric there.
type cursor struct {
	piece        int // the index of the piece
	metric, rest []byte
	labels       []metric.Label
}

// next goes to the next metric and reports whether there is one.
func (c *cursor) next() bool {
	if len(c.rest) == 0 {
		return false
	}
	c.metric, c.rest = wire.CutMetric(c.rest)
	c.read()
	return true
}

func (c *cursor) read() {
	labels, err := wire.AppendMetricLabels(c.labels[:0], c.metric)
	if err != nil {
		panic(fmt.Sprintf("a metric that was encoded here does not decode: %v", err))
	}
	c.labels = labels
}

// inOrder reports whether all metrics of each piece sort before those of the next.
func inOrder(pieces []piece) bool {
	var end, begin cursor
	for i := range pieces {
		encoded := pieces[i].protobuf
		if len(encoded) == 0 {
			continue
		}
		begin.metric, begin.rest = wire.CutMetric(encoded)
		begin.read()
		if end.metric != nil && metric.CompareLabels(end.labels, begin.labels) >= 0 {
			return false
		}
		end.metric = begin.metric
		for rest := begin.rest; len(rest) > 0; {
			end.metric, rest = wire.CutMetric(rest)
		}
		end.read()
	}
	return true
}

// cursors is a heap of cursors by the labels of their metrics, and then by piece.
type cursors []*cursor

func (c cursors) Len() int { return len(c) }
func (c cursors) Less(i, j int) bool {
	return cmp.Or(metric.CompareLabels(c[i].labels, c[j].labels), cmp.Compare(c[i].piece, c[j].piece)) < 0
}
func (c cursors) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(any)     { panic("a heap that only shrinks") }
func (c *cursors) Pop() any {
	last := len(*c) - 1
	top := (*c)[last]
	*c = (*c)[:last]
	return top
}

// mergePieces merges the metrics of the pieces, which are sorted, into all. Cost:
// O(n log p) in the metrics and pieces.
func (e *Encoder) mergePieces(all *piece, pieces []piece) error {
	var open cursors
	for i := range pieces {
		if c := (&cursor{piece: i, rest: pieces[i].protobuf}); c.next() {
			open = append(open, c)
		}
	}
	heap.Init(&open)
	var last []metric.Label
	start := 0 // of the last metric
	for len(open) > 0 {
		c := open[0]
		switch same := len(all.protobuf) > 0 && metric.CompareLabels(last, c.labels) == 0; {
		case same && e.combines(&metric.Family{Merge: all.merge}):
			sum, err := e.sum(all, all.protobuf[start:], c.metric)
			if err != nil {
				return err
			}
			all.protobuf = append(all.protobuf[:start], sum...)
			all.series--
		case same && len(e.options.DropLabels) > 0:
			return metric.RejectIndistinct(e.options.DropLabels, all.name, c.labels)
		case same:
			return metric.RejectDuplicate(all.name, c.labels)
		default:
			last = append(last[:0], c.labels...)
			start = len(all.protobuf)
			all.protobuf = append(all.protobuf, c.metric...)
		}
		if c.next() {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
	return nil
}

// sum returns the sum of two encoded metrics of a family.
func (e *Encoder) sum(family *piece, first, second []byte) ([]byte, error) {
	f := metric.Family{Name: family.name, Type: family.typ}
	for _, encoded := range [][]byte{first, second} {
		decoded, err := wire.DecodeMetrics(f.Type, encoded, 1)
		if err != nil {
			panic(fmt.Sprintf("a metric that was encoded here does not decode: %v", err))
		}
		f.Metrics = append(f.Metrics, decoded...)
	}
	if err := f.CombineDuplicates(e.options.Gauges); err != nil {
		return nil, err
	}
	return wire.AppendProtobufMetrics(nil, &f), nil
}
