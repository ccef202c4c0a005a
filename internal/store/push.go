package store

import (
	"slices"
	"strings"
	"time"
	"unique"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// Manner says how a push becomes part of its group.
type PushOptions struct {
	Validation metric.ValidationScheme // which names the push may use
	// Merge is what becomes of what the group holds; the zero value is as
	// metric.MergeGroup.
	Merge metric.Merge
	// Gauges is what becomes of gauges that are added up.
	Gauges metric.GaugeMerge
	// Restart has metric.MergeSum begin anew where the group was not summed so
	// far, which is rejected otherwise.
	Reset bool
	// Lifetime is what the push itself says of the group's end.
	Expiry metric.Expiry
	// DropTimestamps takes samples with timestamps without them.
	DropTimestamps bool
	// IdempotencyKey makes the push have no effect where one with the same key
	// was applied to the group within RepeatWindow; empty for none.
	IdempotencyKey string
}

// Push is a push ready to be applied: checked in itself and encoded, which is
// most of its cost and needs nothing of the store.
type Push struct {
	key      metric.GroupingKey
	at       time.Time
	options  PushOptions
	families []metric.Family // as normalized, sorted by name
	encoded  []EncodedFamily // of families
	pushTime *EncodedFamily
	dropped  int // timestamps
}

// Encoder makes pushes ready. It may be reused, which saves its allocations, but
// not before the push it made last has been applied, and not concurrently. The
// zero value is ready for use.
type Encoder struct {
	normalizer metric.Normalizer
	scratch    []byte
	ends       []int         // of the families in scratch
	plain      []bool        // whether their names are
	headers    []knownHeader // of the last push, by the place of the family in it
}

// knownHeader is a header and its handle.
type knownHeader struct {
	header header
	handle unique.Handle[header]
}

// headerOf returns the handle of the header of the family in place i. Many pushes
// in a row mostly come from the same program, and comparing is cheaper than
// looking up.
func (e *Encoder) headerOf(i int, f *metric.Family) unique.Handle[header] {
	h := header{f.Name, f.Help, f.Unit, f.Type}
	if i < len(e.headers) {
		if e.headers[i].header != h {
			handle := unique.Make(h)
			e.headers[i] = knownHeader{handle.Value(), handle}
		}
		return e.headers[i].handle
	}
	handle := unique.Make(h)
	if i < maxHeaders {
		e.headers = append(e.headers, knownHeader{handle.Value(), handle})
	}
	return handle
}

// maxHeaders bounds how many headers an idle Encoder holds on to.
const maxHeaders = 256

// maxShared is how many bytes of several families may share their memory.
const maxShared = 8 << 10

// maxScratch bounds what an idle Encoder holds on to.
const maxScratch = 1 << 20

// Push checks and encodes the families that were pushed to the group called key
// at the given time. It changes the families and uses them until the push has
// been applied. The error is a *metric.RejectionError.
func (e *Encoder) Push(key metric.GroupingKey, families []metric.Family, at time.Time, m PushOptions) (*Push, error) {
	families = slices.DeleteFunc(families, func(f metric.Family) bool {
		return f.Name == PushTime || f.Name == FailureTime || len(f.Metrics) == 0
	})
	slices.SortFunc(families, func(a, b metric.Family) int { return strings.Compare(a.Name, b.Name) })
	p := &Push{key: key, at: at, options: m, families: families}
	e.normalizer.Reset(key)
	e.normalizer.DropTimestamps = m.DropTimestamps
	e.normalizer.DropEmptyLabels = m.Merge == metric.MergeSum || m.Merge == metric.MergeSeries
	if err := checkSize(key, families); err != nil {
		return nil, err
	}
	e.scratch, e.ends, e.plain = e.scratch[:0], e.ends[:0], e.plain[:0]
	for i := range families {
		f := &families[i]
		if err := e.normalizer.Normalize(f); err != nil {
			return nil, err
		}
		if m.Merge == metric.MergeSum {
			if err := f.CheckSummable(m.Gauges); err != nil {
				return nil, err
			}
		}
		e.scratch = wire.AppendProtobufMetrics(e.scratch, f)
		e.ends, e.plain = append(e.ends, len(e.scratch)), append(e.plain, e.normalizer.Plain())
	}
	// What is pushed together mostly goes together, so it stands in one piece of
	// memory, if that is small enough to be kept for one of the families alone.
	encoded, start := e.scratch, 0
	if len(encoded) <= maxShared {
		encoded = slices.Clone(encoded)
	}
	p.encoded = make([]EncodedFamily, len(families))
	for i := range families {
		f := &families[i]
		protobuf := encoded[start:e.ends[i]:e.ends[i]]
		if len(encoded) > maxShared {
			protobuf = slices.Clone(protobuf)
		}
		p.encoded[i].init(f, e.headerOf(i, f), key, at, e.plain[i], protobuf)
		start = e.ends[i]
	}
	p.pushTime = newTimeFamily(PushTime, key, e.normalizer.Bare(), at, at)
	p.dropped = e.normalizer.Dropped()
	if cap(e.scratch) > maxScratch {
		e.scratch = nil
	}
	return p, nil
}

// checkSize rejects a push whose metrics would be huge once each has the labels of
// the group.
func checkSize(key metric.GroupingKey, families []metric.Family) error {
	labels := 0
	for _, l := range key.Labels() {
		labels += len(l.Name) + len(l.Value) + 6
	}
	metrics := 0
	for i := range families {
		metrics += len(families[i].Metrics)
	}
	const largest = 256 << 20
	if labels*metrics > largest {
		return metric.Reject(metric.TooLarge, "the %d metrics pushed, each with %d bytes of labels from the URL, are more than %d MiB: push fewer, or use shorter labels",
			metrics, labels, largest>>20)
	}
	return nil
}

// Key returns the key of the group the push goes to.
func (p *Push) Key() metric.GroupingKey { return p.key }

// DroppedTimestamps returns how many samples are taken without their timestamps.
func (p *Push) DroppedTimestamps() int { return p.dropped }

// replaces reports whether nothing of what the old state of the group held stays.
func (p *Push) replaces(old *Group) bool {
	switch p.options.Merge {
	case metric.MergeDefault, metric.MergeGroup:
		return true
	case metric.MergeSum:
		return p.options.Reset && old != nil && !old.Summed
	}
	return false
}

// groupFamilies returns the encoded families and the two push times, sorted by name.
func (p *Push) groupFamilies(failureTime *EncodedFamily) []*EncodedFamily {
	all := make([]*EncodedFamily, 0, len(p.encoded)+pushTimeFamilies)
	times := [...]*EncodedFamily{failureTime, p.pushTime} // sorted by name
	rest := times[:]
	for i := range p.encoded {
		for len(rest) > 0 && rest[0].Name() < p.families[i].Name {
			all, rest = append(all, rest[0]), rest[1:]
		}
		all = append(all, &p.encoded[i])
	}
	return append(all, rest...)
}

// find returns the type of the pushed family of this name.
func (p *Push) find(name string) (metric.Type, bool) {
	i, found := slices.BinarySearchFunc(p.families, name,
		func(f metric.Family, name string) int { return strings.Compare(f.Name, name) })
	if !found {
		return 0, false
	}
	return p.families[i].Type, true
}
