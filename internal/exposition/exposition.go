// Package exposition writes what is scraped: the pushed metrics of a view, with
// the gateway's own woven in by name, in the format and the compression that
// were negotiated.
//
// What did not change since the last scrape is copied, plain or compressed. Only
// what expositions rarely ask for is encoded afresh each time, by the reference
// implementation: OpenMetrics, the text forms of protobuf, and names that have to
// be escaped.
package exposition

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// Writer writes expositions. It is safe for concurrent use.
type Writer struct {
	compressors
}

// NewWriter returns a Writer.
func NewWriter() (*Writer, error) {
	c, err := newCompressors()
	return &Writer{c}, err
}

// Write writes everything in view and own to out and returns how many bytes it
// wrote. own must be sorted by name, and where a family of the same name is in
// view, of the same type.
//
// Cost: copying, for what earlier calls have compressed and nobody pushed since.
func (w *Writer) Write(out io.Writer, view *store.View, own []*dto.MetricFamily, format expfmt.Format, encoding Encoding) (int64, error) {
	s := w.newSink(out, encoding)
	err := writeFamilies(s, view, own, format)
	if closeErr := s.close(); err == nil {
		err = closeErr
	}
	return s.written(), err
}

func writeFamilies(s sink, view *store.View, own []*dto.MetricFamily, format expfmt.Format) error {
	scheme := format.ToEscapingScheme()
	escaped := view.Totals.Escaped > 0 && scheme != model.NoEscaping
	switch format.FormatType() {
	case expfmt.TypeTextPlain:
		if !escaped {
			return eachFamily(view, own, func(f *store.Family, o *dto.MetricFamily) error { return writeText(s, f, o) })
		}
	case expfmt.TypeProtoDelim:
		if !escaped {
			return eachFamily(view, own, func(f *store.Family, o *dto.MetricFamily) error { return writeProtobuf(s, f, o) })
		}
	}
	return encodeFamilies(s, view, own, format)
}

// eachFamily calls visit for each name, in order, with the pushed family and the
// gateway's own one of that name; either may be nil.
func eachFamily(view *store.View, own []*dto.MetricFamily, visit func(*store.Family, *dto.MetricFamily) error) error {
	pushed := view.Families
	for len(pushed) > 0 || len(own) > 0 {
		var f *store.Family
		var o *dto.MetricFamily
		switch {
		case len(own) == 0:
			f = pushed[0]
		case len(pushed) == 0:
			o = own[0]
		default:
			c := strings.Compare(pushed[0].Name, own[0].GetName())
			if c <= 0 {
				f = pushed[0]
			}
			if c >= 0 {
				o = own[0]
			}
		}
		if f != nil {
			pushed = pushed[1:]
		}
		if o != nil {
			own = own[1:]
		}
		if err := visit(f, o); err != nil {
			return err
		}
	}
	return nil
}

func writeText(s sink, f *store.Family, own *dto.MetricFamily) error {
	if own != nil {
		if _, err := expfmt.MetricFamilyToText(s, own); err != nil {
			return fmt.Errorf("write own metric family %s: %w", own.GetName(), err)
		}
	} else if _, err := s.Write(wire.AppendTextHeader(nil, f.Name, f.Help(), f.Type)); err != nil {
		return err
	}
	if f == nil {
		return nil
	}
	for _, b := range f.Blocks {
		if err := s.block(b, text); err != nil {
			return err
		}
	}
	return nil
}

// writeProtobuf writes a delimited MetricFamily: its length, what comes before
// the pushed metrics, and those.
func writeProtobuf(s sink, f *store.Family, own *dto.MetricFamily) error {
	var head []byte
	var err error
	if own != nil {
		if head, err = proto.Marshal(own); err != nil {
			return fmt.Errorf("write own metric family %s: %w", own.GetName(), err)
		}
	} else {
		head = wire.AppendProtobufHeader(nil, f.Name, f.Help(), f.Unit(), f.Type)
	}
	size := len(head)
	if f != nil {
		for c := range f.Chunks() {
			size += len(c.Protobuf())
		}
	}
	if _, err := s.Write(append(protowire.AppendVarint(nil, uint64(size)), head...)); err != nil || f == nil {
		return err
	}
	for _, b := range f.Blocks {
		if err := s.block(b, protobuf); err != nil {
			return err
		}
	}
	return nil
}

// encodeFamilies decodes all families and has expfmt encode them.
func encodeFamilies(s sink, view *store.View, own []*dto.MetricFamily, format expfmt.Format) error {
	encoder := expfmt.NewEncoder(s, format.WithEscapingScheme(model.NoEscaping), expfmt.WithCreatedLines())
	names := newNaming(view, own, format)
	err := eachFamily(view, own, func(f *store.Family, o *dto.MetricFamily) error {
		family, err := decodeFamily(f, o)
		if err != nil {
			return err
		}
		return encoder.Encode(names.adapt(family))
	})
	if closer, ok := encoder.(expfmt.Closer); ok && err == nil {
		err = closer.Close()
	}
	return err
}

// decodeFamily returns the two families of one name, of which one may be nil, as
// a single one.
func decodeFamily(f *store.Family, own *dto.MetricFamily) (*dto.MetricFamily, error) {
	if f == nil {
		return own, nil
	}
	var message bytes.Buffer
	message.Write(wire.AppendProtobufHeader(nil, f.Name, f.Help(), f.Unit(), f.Type))
	for c := range f.Chunks() {
		message.Write(c.Protobuf())
	}
	family := &dto.MetricFamily{}
	if err := proto.Unmarshal(message.Bytes(), family); err != nil {
		return nil, fmt.Errorf("decode metric family %s: %w", f.Name, err)
	}
	if own != nil {
		family.Help = own.Help
		family.Metric = append(own.Metric[:len(own.Metric):len(own.Metric)], family.Metric...)
	}
	return family, nil
}

// naming adapts names to a format so that no two families and no two series
// become one.
type naming struct {
	scheme      model.EscapingScheme
	openMetrics bool
	held        map[string]bool // names of all families, as they are
	taken       map[string]bool // names given to families
}

func newNaming(view *store.View, own []*dto.MetricFamily, format expfmt.Format) naming {
	n := naming{
		scheme:      format.ToEscapingScheme(),
		openMetrics: format.FormatType() == expfmt.TypeOpenMetrics,
		held:        map[string]bool{},
		taken:       map[string]bool{},
	}
	_ = eachFamily(view, own, func(f *store.Family, o *dto.MetricFamily) error {
		name := o.GetName()
		if f != nil {
			name = f.Name
		}
		n.held[name] = true
		if metric.LegacyMetricName(name) {
			// Names that are fine as they are go before those that are not.
			n.taken[model.EscapeName(name, n.scheme)] = true
		}
		return nil
	})
	return n
}

// adapt returns the family as it can be exposed. It does not change f.
func (n naming) adapt(f *dto.MetricFamily) *dto.MetricFamily {
	out := model.EscapeMetricFamily(f, n.scheme)
	needed := !metric.LegacyMetricName(f.GetName()) && n.scheme != model.NoEscaping
	if needed && n.taken[out.GetName()] || n.scheme != model.NoEscaping && !distinct(out) {
		out = model.EscapeMetricFamily(f, model.ValueEncodingEscaping)
	}
	n.taken[out.GetName()] = true
	if n.openMetrics {
		out = n.openMetricsFamily(f.GetName(), out)
	}
	return out
}

// openMetricsFamily makes a family fit OpenMetrics, which has more rules for
// names than the text format.
func (n naming) openMetricsFamily(name string, f *dto.MetricFamily) *dto.MetricFamily {
	out := &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type, Metric: f.Metric, Unit: f.Unit}
	if base, total := strings.CutSuffix(name, "_total"); total && f.GetType() == dto.MetricType_COUNTER && n.held[base] {
		// A counter x_total announces itself as x. Beside another family of that
		// name it keeps its own, as every counter without _total does, at the
		// price of its type.
		out.Type = dto.MetricType_UNTYPED.Enum()
		out.Metric = make([]*dto.Metric, len(f.Metric))
		for i, m := range f.Metric {
			out.Metric[i] = &dto.Metric{Label: m.Label, Untyped: &dto.Untyped{Value: m.Counter.Value}}
		}
	}
	if out.Unit != nil && !strings.HasSuffix(strings.TrimSuffix(f.GetName(), "_total"), "_"+f.GetUnit()) {
		out.Unit = nil // units are only allowed as a suffix of the name
	}
	return out
}

// distinct tells whether no metric of the family has a label twice and no two
// have the same labels.
func distinct(f *dto.MetricFamily) bool {
	seen := make(map[string]struct{}, len(f.Metric))
	for _, m := range f.Metric {
		labels := make([]metric.Label, len(m.Label))
		names := make(map[string]struct{}, len(m.Label))
		for i, l := range m.Label {
			labels[i] = metric.Label{Name: l.GetName(), Value: l.GetValue()}
			names[l.GetName()] = struct{}{}
		}
		id := metric.NewGroupingKey(labels).String()
		if _, twice := seen[id]; twice || len(names) < len(labels) {
			return false
		}
		seen[id] = struct{}{}
	}
	return true
}
