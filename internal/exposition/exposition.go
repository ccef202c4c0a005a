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
// wrote. own must be sorted by name. A family in view of the same name but another
// type, which can only have been kept from a time with other own names, is left out.
//
// Cost: copying, for what earlier calls have compressed and nobody pushed since.
func (w *Writer) Write(out io.Writer, view *store.Snapshot, own []*dto.MetricFamily, format expfmt.Format, encoding Encoding) (int64, error) {
	s := w.newSink(out, encoding)
	err := writeFamilies(s, view, own, format)
	if closeErr := s.close(); err == nil {
		err = closeErr
	}
	return s.written(), err
}

func writeFamilies(s sink, view *store.Snapshot, own []*dto.MetricFamily, format expfmt.Format) error {
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
func eachFamily(view *store.Snapshot, own []*dto.MetricFamily, visit func(*store.Family, *dto.MetricFamily) error) error {
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
		if f != nil && o != nil && f.Type != metric.Type(o.GetType()) {
			f = nil
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
	for _, b := range f.Segments {
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
		for c := range f.All() {
			size += len(c.Protobuf())
		}
	}
	if _, err := s.Write(append(protowire.AppendVarint(nil, uint64(size)), head...)); err != nil || f == nil {
		return err
	}
	for _, b := range f.Segments {
		if err := s.block(b, protobuf); err != nil {
			return err
		}
	}
	return nil
}

// encodeFamilies decodes all families and has expfmt encode them.
func encodeFamilies(s sink, view *store.Snapshot, own []*dto.MetricFamily, format expfmt.Format) error {
	encoder := expfmt.NewEncoder(s, format.WithEscapingScheme(model.NoEscaping), expfmt.WithCreatedLines())
	names := newNaming(view, own, format)
	err := eachFamily(view, own, func(f *store.Family, o *dto.MetricFamily) error {
		family, err := decodeFamily(f, o)
		if err != nil {
			return err
		}
		for _, adapted := range names.adapt(family) {
			if err := encoder.Encode(adapted); err != nil {
				return err
			}
		}
		return nil
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
	for c := range f.All() {
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
