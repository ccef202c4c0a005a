package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// Names and help texts of the metrics that every group has beside the pushed
// ones. A pushed family of one of these names is left out.
const (
	PushTime    = "push_time_seconds"
	FailureTime = "push_failure_time_seconds"

	pushTimeHelp    = "Last Unix time when changing this group in the Pushgateway succeeded."
	failureTimeHelp = "Last Unix time when changing this group in the Pushgateway failed."
)

// Group is a group as one push left it. It is immutable.
type Group struct {
	Key metric.GroupingKey
	// Chunks are the group's families, sorted by name, with the two push times.
	Families []*EncodedFamily
	// Pushed and Failed are when a push last succeeded and was last rejected;
	// zero where that has not happened.
	Pushed, Failed time.Time
	// Summed reports whether pushes are added up in the group.
	Summed bool
	// Lifetime is what the last push said itself of the group's end.
	Expiry metric.Expiry
	// Expired tells that the group has ended, and that its push times are what was
	// to stay of it, until it is pushed to or deleted.
	Expired bool

	used     usedKeys // of the pushes applied last
	shape    shape
	segment  *leaf[*Group] // for the store's run of groups
	ttlStart time.Duration // of Clock.Elapsed, see startTTL
	expiry   *expiry       // in the store's queue of ends, nil where the group stays
}

func (g *Group) order() string           { return g.Key.ID() }
func (g *Group) weight() int             { return maxSegmentWeight / 128 } // blocks of about 128 groups
func (g *Group) leaf() *leaf[*Group]     { return g.segment }
func (g *Group) setLeaf(l *leaf[*Group]) { g.segment = l }

// Chunk returns the group's family of this name, nil where it has none.
func (g *Group) Family(family string) *EncodedFamily {
	if g == nil {
		return nil
	}
	if i := findEncodedFamily(g.Families, family); i < len(g.Families) && g.Families[i].Name() == family {
		return g.Families[i]
	}
	return nil
}

// Changed returns when a push last changed the group, by success or rejection.
func (g *Group) Changed() time.Time {
	if g.Failed.After(g.Pushed) {
		return g.Failed
	}
	return g.Pushed
}

// maxGroup bounds what a group comes to hold by merging, in bytes: it is written as
// a whole with each push.
const maxGroupSize = 256 << 20

// empty reports whether the group has no pushed family, but its two push times alone.
func (g *Group) empty() bool { return g == nil || len(g.Families) == pushTimeFamilies }

// timeChunks is how many of a group's chunks are push times.
const pushTimeFamilies = 2

// Size returns about how many bytes the group takes to keep.
func (g *Group) Size() int {
	size := 0
	for _, c := range g.Families {
		size += c.Size() + len(c.Name()) + len(c.Help())
	}
	return size
}

// findChunk returns where in chunks, sorted by name, the one of this name is or
// would be.
func findEncodedFamily(chunks []*EncodedFamily, name string) int {
	i, _ := slices.BinarySearchFunc(chunks, name, func(c *EncodedFamily, name string) int { return strings.Compare(c.Name(), name) })
	return i
}

// Chunk is one metric family of one group, encoded as it is served: in protobuf
// from the beginning, as text from when that is first asked for. It is immutable
// to its readers and holds no pointer per series.
type EncodedFamily struct {
	header   unique.Handle[header]
	group    string // the group's ID
	protobuf []byte
	text     atomic.Pointer[[]byte]
	time     int64 // Unix nanoseconds
	series   int32
	plain    bool

	// For the store, once the chunk is in it.
	family *family
	home   *leaf[*EncodedFamily]
}

// header is what the chunks of a family mostly share.
type header struct {
	name, help, unit string
	typ              metric.Type
}

// The headers of the push times, which every group has.
var (
	pushTimeHeader    = unique.Make(header{PushTime, pushTimeHelp, "", metric.Gauge})
	failureTimeHeader = unique.Make(header{FailureTime, failureTimeHelp, "", metric.Gauge})
)

func (c *EncodedFamily) order() string                   { return c.group }
func (c *EncodedFamily) weight() int                     { return len(c.protobuf) }
func (c *EncodedFamily) leaf() *leaf[*EncodedFamily]     { return c.home }
func (c *EncodedFamily) setLeaf(l *leaf[*EncodedFamily]) { c.home = l }

// Name returns the family's name.
func (c *EncodedFamily) Name() string { return c.header.Value().name }

// Type returns the family's type.
func (c *EncodedFamily) Type() metric.Type { return c.header.Value().typ }

// Help returns the help text that was pushed with the family, which may be empty.
func (c *EncodedFamily) Help() string { return c.header.Value().help }

// Unit returns the unit that was pushed with the family, which may be empty.
func (c *EncodedFamily) Unit() string { return c.header.Value().unit }

// Protobuf returns the metrics as fields of an io.prometheus.client.MetricFamily
// message. The caller must not change it.
func (c *EncodedFamily) Protobuf() []byte { return c.protobuf }

// Text returns the samples in the text format, without HELP and TYPE. The caller
// must not change it.
func (c *EncodedFamily) Text() []byte {
	if text := c.text.Load(); text != nil {
		return *text
	}
	// Most pushes are replaced before anyone scrapes them, so their text is not
	// made before it is needed. Two readers may both make it.
	w := textWriters.Get().(*wire.TextWriter)
	defer textWriters.Put(w)
	written, err := w.Text(c.Name(), c.Type(), c.protobuf)
	if err != nil {
		panic(c.undecodable(err))
	}
	text := append(make([]byte, 0, len(written)), written...)
	c.text.Store(&text)
	return text
}

// textWriters holds what is used to write text, between two uses.
var textWriters = sync.Pool{New: func() any { return new(wire.TextWriter) }}

// Series returns how many metrics the chunk holds: label sets, not samples.
func (c *EncodedFamily) Series() int { return int(c.series) }

// Size returns how many bytes the chunk holds, in protobuf.
func (c *EncodedFamily) Size() int { return len(c.protobuf) }

// Time returns when the family was pushed.
func (c *EncodedFamily) Time() time.Time { return time.Unix(0, c.time) }

// Plain reports whether all names are such that no exposition escapes them.
func (c *EncodedFamily) Plain() bool { return c.plain }

// Metrics decodes the chunk. The caller must not change strings' memory, which is
// the chunk's. Cost: O(bytes).
func (c *EncodedFamily) Metrics() []metric.Metric {
	metrics, err := wire.DecodeMetrics(c.Type(), c.protobuf, c.Series())
	if err != nil {
		panic(c.undecodable(err))
	}
	return metrics
}

func (c *EncodedFamily) undecodable(err error) string {
	return fmt.Sprintf("chunk %s of group %q, which was encoded here, does not decode: %v", c.Name(), c.group, err)
}

// newChunk returns the chunk of f, which must be normalized for the group, with the
// header h. plain reports whether its names are. scratch is working space, returned for
// the next call.
func newEncodedFamily(f *metric.Family, h unique.Handle[header], group metric.GroupingKey, at time.Time, plain bool, scratch []byte) (*EncodedFamily, []byte) {
	scratch = wire.AppendProtobufMetrics(scratch[:0], f)
	c := new(EncodedFamily)
	c.init(len(f.Metrics), h, group, at, plain, slices.Clone(scratch))
	return c, scratch
}

// init makes c the chunk of f, which has been encoded as protobuf.
func (c *EncodedFamily) init(series int, h unique.Handle[header], group metric.GroupingKey, at time.Time, plain bool, protobuf []byte) {
	c.header = h
	c.group = group.ID()
	c.protobuf = protobuf
	c.time = at.UnixNano()
	c.series = int32(series)
	c.plain = plain
}

func plainNames(f *metric.Family) bool {
	if !metric.LegacyMetricName(f.Name) {
		return false
	}
	for i := range f.Metrics {
		for _, l := range f.Metrics[i].Labels {
			if !metric.LegacyLabelName(l.Name) {
				return false
			}
		}
	}
	return true
}

// newTimeChunk makes one of the two push time families, with the labels that
// every metric of the group has. A zero value time means that it has not happened
// yet and is exposed as 0.
func newTimeFamily(name string, key metric.GroupingKey, labels []metric.Label, value, at time.Time) *EncodedFamily {
	header := pushTimeHeader
	if name == FailureTime {
		header = failureTimeHeader
	}
	seconds := 0.0
	if !value.IsZero() {
		seconds = float64(value.UnixNano()) / 1e9
	}
	f := metric.Family{Name: name, Type: metric.Gauge,
		Metrics: []metric.Metric{{Labels: labels, HasValue: true, Value: seconds}}}
	var scratch [512]byte
	c, _ := newEncodedFamily(&f, header, key, at, plainNames(&f), scratch[:0])
	return c
}

// afterPush returns the group g (nil if there is none yet) after the push p. It
// changes neither. The error is a *metric.RejectionError.
func (g *Group) afterPush(p *Push) (*Group, error) {
	next := &Group{Key: p.key, Pushed: p.at, Expiry: p.options.Expiry}
	next.Summed = p.options.Merge == metric.MergeSum && len(p.families) > 0
	if g == nil {
		next.shape = shapeOf(p.key)
		next.used = next.used.with(p)
		next.Families = p.groupFamilies(newTimeFamily(FailureTime, p.key, metric.GroupLabels(p.key), time.Time{}, p.at))
		return next, nil
	}
	next.Key, next.Failed, next.shape = g.Key, g.Failed, g.shape
	next.used = g.used.with(p)
	pushed := p.groupFamilies(g.Family(FailureTime))
	if p.replaces(g) {
		next.Families = pushed
		return next, nil
	}
	if len(p.families) == 0 {
		next.Summed = g.Summed
	}
	if p.options.Merge != metric.MergeFamily {
		if err := p.mergeSeries(pushed, g); err != nil {
			return nil, err
		}
	}
	next.Families = mergeSorted(pushed, g.Families, compareEncodedFamilies)
	if size := next.Size(); size > maxGroupSize {
		return nil, metric.Reject(metric.TooLarge, "with this push, group %s would hold %d MiB, more than the %d MiB that a group may: push to several groups, or replace it with PUT",
			p.key, size>>20, maxGroupSize>>20)
	}
	return next, nil
}

// compareChunks orders chunks by their names.
func compareEncodedFamilies(a, b *EncodedFamily) int {
	if a.header == b.header {
		return 0 // as mostly, and cheaper to see
	}
	return strings.Compare(a.Name(), b.Name())
}

// successor returns a copy of the group that is not in the store.
func (g *Group) successor() *Group {
	return &Group{
		Key: g.Key, Families: g.Families, Pushed: g.Pushed, Failed: g.Failed,
		Summed: g.Summed, Expiry: g.Expiry, Expired: g.Expired, used: g.used, shape: g.shape,
	}
}

// afterRejection returns the group g (nil where there is none yet) after a push that was
// rejected at the given time.
func (g *Group) afterRejection(key metric.GroupingKey, at time.Time) *Group {
	labels := metric.GroupLabels(key)
	failure := newTimeFamily(FailureTime, key, labels, at, at)
	if g == nil {
		return &Group{
			Key:      key,
			Families: []*EncodedFamily{failure, newTimeFamily(PushTime, key, labels, time.Time{}, at)},
			Failed:   at,
			shape:    shapeOf(key),
		}
	}
	next := g.successor()
	next.Failed = at
	next.Families = mergeSorted([]*EncodedFamily{failure}, g.Families, compareEncodedFamilies)
	return next
}
