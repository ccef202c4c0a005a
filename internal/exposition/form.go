package exposition

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

type segment = store.Segment[*store.EncodedFamily]

// form is an encoding of the metrics of a segment. It is immutable.
type form struct {
	kind    formKind
	variant string // distinguishes forms of a kind
	// stored returns what the store has encoded already; nil if encode has to do it.
	stored func(*store.EncodedFamily) []byte
	encode func(dst []byte, f *store.EncodedFamily) []byte
	cheap  bool // encoding takes little time beside compressing
}

type formKind uint8

const (
	textKind formKind = iota
	protobufKind
	renamedTextKind
	renamedProtobufKind
	nativeKind
	classicKind
	openMetricsKind // and one for each part
	formKinds       = openMetricsKind + 5
)

// Kinds of cached values: each form plain and compressed, and what is known of a segment or
// a family.
const (
	plainKind      = uint8(0)
	gzipKind       = uint8(formKinds)
	zstdKind       = uint8(2 * formKinds)
	fitsKind       = uint8(3 * formKinds)
	histogramsKind = fitsKind + 1
	labelNamesKind = fitsKind + 2
	renamingKind   = fitsKind + 3 // and one for each escaping scheme
)

var (
	textForm = &form{kind: textKind, cheap: true, encode: func(dst []byte, f *store.EncodedFamily) []byte {
		return f.AppendText(dst)
	}}
	protobufForm     = &form{kind: protobufKind, stored: (*store.EncodedFamily).Protobuf}
	openMetricsForms = [...]*form{
		openMetricsForm(wire.Whole), openMetricsForm(wire.Values),
		openMetricsForm(wire.Buckets), openMetricsForm(wire.Counts), openMetricsForm(wire.Sums),
	}
)

func openMetricsForm(part wire.OpenMetricsPart) *form {
	return &form{kind: openMetricsKind + formKind(part), encode: func(dst []byte, f *store.EncodedFamily) []byte {
		return wire.AppendOpenMetrics(dst, &metric.Family{Name: f.Name(), Type: f.Type(), Metrics: f.Metrics()}, part)
	}}
}

func renamedOpenMetrics(name string, labels *renaming, part wire.OpenMetricsPart) *form {
	return &form{
		kind: openMetricsKind + formKind(part), variant: variantOf(name, labels),
		encode: func(dst []byte, f *store.EncodedFamily) []byte {
			return wire.AppendOpenMetrics(dst, renamed(f, name, labels), part)
		},
	}
}

func renamedText(name string, labels *renaming) *form {
	return &form{
		kind: renamedTextKind, variant: variantOf(name, labels),
		encode: func(dst []byte, f *store.EncodedFamily) []byte { return wire.AppendText(dst, renamed(f, name, labels)) },
	}
}

// renamedProtobuf returns the form with other names of labels. The family's name is not part
// of it.
func renamedProtobuf(labels *renaming) *form {
	return &form{
		kind: renamedProtobufKind, variant: labels.variant,
		encode: func(dst []byte, f *store.EncodedFamily) []byte {
			return wire.AppendProtobufMetrics(dst, renamed(f, "", labels))
		},
	}
}

// histogramForm returns the protobuf form of the native histograms, or of the others.
func histogramForm(labels *renaming, native bool) *form {
	f := &form{kind: classicKind}
	if native {
		f.kind = nativeKind
	}
	whole := (*store.EncodedFamily).Protobuf
	if labels != nil {
		f.variant = labels.variant
		whole = func(f *store.EncodedFamily) []byte { return wire.AppendProtobufMetrics(nil, renamed(f, "", labels)) }
	}
	f.encode = func(dst []byte, f *store.EncodedFamily) []byte {
		dst, err := wire.AppendHistograms(dst, whole(f), native)
		if err != nil {
			panic(undecodable(f, err))
		}
		return dst
	}
	return f
}

func variantOf(name string, labels *renaming) string {
	if labels == nil {
		return name
	}
	return name + labels.variant
}

// renamed decodes a family with other names.
func renamed(f *store.EncodedFamily, name string, labels *renaming) *metric.Family {
	metrics := f.Metrics()
	for i := range metrics {
		labels.apply(metrics[i].Labels)
	}
	return &metric.Family{Name: name, Type: f.Type(), Metrics: metrics}
}

func undecodable(f *store.EncodedFamily, err error) string {
	return fmt.Sprintf("metric family %s, which was encoded here, does not decode: %v", f.Name(), err)
}

// each calls visit with the bytes of the segment in the form, in pieces. With keep, they are
// cached unless they are stored.
func (f *form) each(s *segment, keep bool, visit func([]byte) error) error {
	if f.stored == nil {
		if keep {
			return visit(f.plain(s))
		}
		encoded := f.encodeSegment(s)
		defer encoded.free()
		return visit(*encoded)
	}
	for _, c := range s.Items {
		if err := visit(f.stored(c)); err != nil {
			return err
		}
	}
	return nil
}

// plain returns the bytes of the segment in the form, cached.
func (f *form) plain(s *segment) []byte {
	return s.Cached(store.Form{Kind: plainKind + uint8(f.kind), Variant: f.variant}, func() any {
		encoded := f.encodeSegment(s)
		defer encoded.free()
		return append([]byte(nil), *encoded...)
	}).([]byte)
}

// encodeSegment returns the bytes of the segment in the form. The caller frees them.
func (f *form) encodeSegment(s *segment) *scratch {
	all := scratches.Get().(*scratch)
	for _, c := range s.Items {
		*all = f.encode(*all, c)
	}
	return all
}

// scratch is memory for the bytes of a segment that are needed only once.
type scratch []byte

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	*s = (*s)[:0]
	scratches.Put(s)
}

// size returns the number of bytes of the segment in the form.
func (f *form) size(s *segment) int {
	if f.stored == nil {
		return len(f.plain(s))
	}
	size := 0
	for _, c := range s.Items {
		size += len(f.stored(c))
	}
	return size
}

// fitsOpenMetrics reports whether wire.FitsOpenMetrics is true of all metrics of the family.
func fitsOpenMetrics(f *store.Family) bool {
	if f.Type == metric.Gauge || f.Type == metric.Untyped {
		return true
	}
	key := store.Form{Kind: fitsKind}
	return f.Cached(key, func() any {
		return !slices.ContainsFunc(f.Segments, func(s *segment) bool {
			return !s.Cached(key, func() any {
				return !slices.ContainsFunc(s.Items, func(c *store.EncodedFamily) bool { return !wire.FitsOpenMetrics(c.Type(), c.Metrics()) })
			}).(bool)
		})
	}).(bool)
}

// histogramKinds says which kinds of histograms a segment or a family has.
type histogramKinds struct{ native, classic bool }

// mixed reports whether the family, with the self metrics of its name, has both native
// histograms and others.
func mixed(f *store.Family, own *metric.Family) bool {
	if !f.Type.HasBuckets() {
		return false
	}
	key := store.Form{Kind: histogramsKind}
	kinds := f.Cached(key, func() any {
		var all histogramKinds
		for _, s := range f.Segments {
			kinds := s.Cached(key, func() any { return histogramKindsOf(s) }).(histogramKinds)
			all = histogramKinds{all.native || kinds.native, all.classic || kinds.classic}
		}
		return all
	}).(histogramKinds)
	return kinds.native && (kinds.classic || own != nil)
}

func histogramKindsOf(s *segment) histogramKinds {
	var all histogramKinds
	for _, c := range s.Items {
		native, classic, err := wire.HistogramKinds(c.Protobuf())
		if err != nil {
			panic(undecodable(c, err))
		}
		all = histogramKinds{all.native || native, all.classic || classic}
	}
	return all
}

// labelNames returns the names of all labels of the family, sorted; nil if no scheme escapes
// any of them.
func labelNames(f *store.Family) []string {
	plain := !slices.ContainsFunc(f.Segments, func(s *segment) bool {
		return slices.ContainsFunc(s.Items, func(c *store.EncodedFamily) bool { return !c.Plain() })
	})
	if plain {
		return nil
	}
	var names []string
	for _, s := range f.Segments {
		names = append(names, s.Cached(store.Form{Kind: labelNamesKind}, func() any { return labelNamesOf(s) }).([]string)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func labelNamesOf(s *segment) []string {
	seen := map[string]bool{}
	for _, c := range s.Items {
		metrics := c.Metrics()
		for i := range metrics {
			for _, l := range metrics[i].Labels {
				if !seen[l.Name] {
					seen[strings.Clone(l.Name)] = true
				}
			}
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
