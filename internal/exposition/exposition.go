// Package exposition writes what a scrape gets: the pushed metrics of a snapshot and the
// gateway's own, sorted by name, in the negotiated format and compression.
//
// A scrape copies. Protobuf is stored with the groups; all other forms (text, OpenMetrics,
// escaped names, compressed bytes) are made from it when they are first asked for, and cached
// with each segment of a family until a push changes it. If very much is stored, only
// compressed bytes are cached, which are small.
//
// Whatever was pushed, an exposition is valid: no two families of it have the same name
// and no two samples are of the same series, whatever the escaping scheme.
package exposition

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// Writer writes expositions. It is safe for concurrent use.
type Writer struct {
	compressors
	reserved func(name string) bool
}

// NewWriter returns a Writer. reserved reports whether a self metric of this name takes
// precedence over a pushed family that it collides with; other self metrics are left out
// then. It may be nil if none does.
func NewWriter(reserved func(name string) bool) (*Writer, error) {
	c, err := newCompressors()
	if reserved == nil {
		reserved = func(string) bool { return false }
	}
	return &Writer{c, reserved}, err
}

// Write writes the families of the snapshot and the self metrics, which must be sorted by
// name, to out. It returns the number of bytes written.
//
// Cost: copying, for what earlier calls have encoded and no push has changed since. Without
// compression, and with more than maxKept bytes stored, all but protobuf is encoded anew.
func (w *Writer) Write(
	out io.Writer, view *store.Snapshot, self []*dto.MetricFamily, format expfmt.Format, encoding Encoding,
) (int64, error) {
	s := w.newSink(out, encoding, view.Totals.Bytes <= maxKept)
	err := w.write(s, view, self, format)
	if closeErr := s.close(); err == nil {
		err = closeErr
	}
	return s.written(), err
}

// maxKept is the maximum of stored bytes with which text is cached: it takes twice as many.
const maxKept = 32 << 20

func (w *Writer) write(s sink, view *store.Snapshot, self []*dto.MetricFamily, format expfmt.Format) error {
	families, err := w.selfFamilies(view, self)
	if err != nil {
		return err
	}
	e := &exposer{sink: s, view: view, self: families, scheme: format.ToEscapingScheme()}
	e.assignNames()
	switch format.FormatType() {
	case expfmt.TypeTextPlain:
		return e.each(e.text)
	case expfmt.TypeProtoDelim:
		return e.each(e.protobuf)
	case expfmt.TypeOpenMetrics:
		if err := e.each(e.openMetrics); err != nil {
			return err
		}
		_, err := io.WriteString(s, "# EOF\n")
		return err
	}
	return e.each(reencode(e, s, format))
}

// selfFamilies decodes the self metrics, without those that give way to pushed families.
func (w *Writer) selfFamilies(view *store.Snapshot, self []*dto.MetricFamily) ([]metric.Family, error) {
	if len(self) == 0 {
		return nil, nil
	}
	var body bytes.Buffer
	for _, f := range self {
		if _, err := protodelim.MarshalTo(&body, f); err != nil {
			return nil, fmt.Errorf("encode self metrics %s: %w", f.GetName(), err)
		}
	}
	families, err := wire.ParseProtobuf(body.Bytes())
	if err != nil {
		return nil, fmt.Errorf("decode self metrics: %w", err)
	}
	slices.SortFunc(families, func(a, b metric.Family) int { return strings.Compare(a.Name, b.Name) })
	return slices.DeleteFunc(families, func(f metric.Family) bool { return !w.reserved(f.Name) && collides(view, &f) }), nil
}

// collides reports whether the snapshot has a family that cannot be exposed beside the self
// metrics f: of the same name with another type, or with the same name of a sample.
func collides(view *store.Snapshot, f *metric.Family) bool {
	if pushed := view.Family(f.Name); pushed != nil && pushed.Type != f.Type {
		return true
	}
	for _, suffix := range sampleSuffixes(f.Type) {
		if suffix != "" && view.Family(f.Name+suffix) != nil {
			return true
		}
	}
	return hasComposite(f.Name, func(base string) (metric.Type, bool) { return typeOf(view.Family(base)) })
}

// exposer writes one exposition.
type exposer struct {
	sink
	view   *store.Snapshot
	self   []metric.Family
	scheme model.EscapingScheme

	assigned map[string]string   // names that families are exposed with, if not their own
	claimed  map[string]struct{} // names of samples, besides those of the families' own names
}

// each calls visit for each name, in order, with the pushed family and the self metrics of
// that name. Either may be nil.
func (e *exposer) each(visit func(*store.Family, *metric.Family) error) error {
	pushed, self := e.view.Families(), e.self
	for len(pushed) > 0 || len(self) > 0 {
		order := -1
		switch {
		case len(pushed) == 0:
			order = 1
		case len(self) > 0:
			order = strings.Compare(pushed[0].Name, self[0].Name)
		}
		var f *store.Family
		var own *metric.Family
		if order <= 0 {
			f, pushed = pushed[0], pushed[1:]
		}
		if order >= 0 {
			own, self = &self[0], self[1:]
		}
		if f != nil && own != nil && f.Type != own.Type {
			f = nil // persisted when the gateway had no such metric
		}
		if err := visit(f, own); err != nil {
			return err
		}
	}
	return nil
}

// described returns the name, help text, unit and type of a family. A help text of the self
// metrics takes precedence.
func described(f *store.Family, own *metric.Family) metric.Family {
	if own != nil {
		return metric.Family{Name: own.Name, Help: own.Help, Unit: own.Unit, Type: own.Type}
	}
	return metric.Family{Name: f.Name, Help: f.Help(), Unit: f.Unit(), Type: f.Type}
}

func (e *exposer) text(f *store.Family, own *metric.Family) error {
	d := described(f, own)
	name := e.nameOf(d.Name)
	head := wire.AppendTextHeader(nil, name, d.Help, d.Type)
	if own != nil {
		head = wire.AppendText(head, own)
	}
	if _, err := e.Write(head); err != nil || f == nil {
		return err
	}
	form := textForm
	if labels := e.labelsOf(f); name != d.Name || labels != nil {
		form = renamedText(name, labels)
	}
	return e.segments(f, form)
}

func (e *exposer) protobuf(f *store.Family, own *metric.Family) error {
	d := described(f, own)
	form := protobufForm
	var labels *renaming
	if f != nil {
		if labels = e.labelsOf(f); labels != nil {
			form = renamedProtobuf(labels)
		}
	}
	if f == nil || !mixed(f, own) {
		return e.message(d, own, f, form)
	}
	// Prometheus' parser takes the first metric of a message to say whether all are native
	// histograms. Two messages of one name keep both kinds.
	if err := e.message(d, nil, f, histogramForm(labels, true)); err != nil {
		return err
	}
	return e.message(d, own, f, histogramForm(labels, false))
}

// message writes a delimited MetricFamily.
func (e *exposer) message(d metric.Family, own *metric.Family, f *store.Family, form *form) error {
	head := wire.AppendProtobufHeader(nil, e.nameOf(d.Name), d.Help, d.Unit, d.Type)
	if own != nil {
		head = wire.AppendProtobufMetrics(head, own)
	}
	size := len(head)
	if f != nil {
		for _, segment := range f.Segments {
			size += form.size(segment)
		}
	}
	if _, err := e.Write(append(protowire.AppendVarint(nil, uint64(size)), head...)); err != nil || f == nil {
		return err
	}
	return e.segments(f, form)
}

func (e *exposer) openMetrics(f *store.Family, own *metric.Family) error {
	d := described(f, own)
	name := e.nameOf(d.Name)
	var labels *renaming
	fits := own == nil || wire.FitsOpenMetrics(own.Type, own.Metrics)
	if f != nil {
		labels = e.labelsOf(f)
		fits = fits && fitsOpenMetrics(f)
	}
	parts := []wire.OpenMetricsPart{wire.Whole}
	if !e.typed(name, d.Type, fits) {
		parts = wire.OpenMetricsParts(d.Type)
	}
	for _, part := range parts {
		head := wire.AppendOpenMetricsHeader(nil, name, d.Help, d.Unit, d.Type, part)
		if own != nil {
			head = wire.AppendOpenMetrics(head, own, part)
		}
		if _, err := e.Write(head); err != nil {
			return err
		}
		if f == nil {
			continue
		}
		form := openMetricsForms[part]
		if name != d.Name || labels != nil {
			form = renamedOpenMetrics(name, labels, part)
		}
		if err := e.segments(f, form); err != nil {
			return err
		}
	}
	return nil
}

func (e *exposer) segments(f *store.Family, form *form) error {
	for _, segment := range f.Segments {
		if err := e.segment(segment, form); err != nil {
			return err
		}
	}
	return nil
}

// reencode returns a visitor that has expfmt encode the families in one of the text forms of
// protobuf, which hardly anybody asks for.
func reencode(e *exposer, out io.Writer, format expfmt.Format) func(*store.Family, *metric.Family) error {
	encoder := expfmt.NewEncoder(out, format.WithEscapingScheme(model.NoEscaping))
	return func(f *store.Family, own *metric.Family) error {
		var message bytes.Buffer
		e.sink = newPlainSink(&message)
		if err := e.protobuf(f, own); err != nil {
			return err
		}
		if err := e.close(); err != nil {
			return err
		}
		for message.Len() > 0 {
			family := &dto.MetricFamily{}
			if err := protodelim.UnmarshalFrom(&message, family); err != nil {
				return fmt.Errorf("decode metric family: %w", err)
			}
			if err := encoder.Encode(family); err != nil {
				return err
			}
		}
		return nil
	}
}
