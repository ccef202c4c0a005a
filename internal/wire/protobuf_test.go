package wire_test

import (
	"bytes"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

func exemplar(id string) *dto.Exemplar {
	return &dto.Exemplar{
		Label:     []*dto.LabelPair{{Name: proto.String("trace_id"), Value: proto.String(id)}},
		Value:     proto.Float64(0.5),
		Timestamp: timestamppb.New(timestamppb.Now().AsTime()),
	}
}

func labelled(m *dto.Metric, pairs ...string) *dto.Metric {
	for i := 0; i < len(pairs); i += 2 {
		m.Label = append(m.Label, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return m
}

// protobufFamilies are families of every type with every field the gateway keeps.
func protobufFamilies() []*dto.MetricFamily {
	created := &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 5}
	return []*dto.MetricFamily{
		{Name: proto.String("c_total"), Help: proto.String("C."), Unit: proto.String("things"), Type: dto.MetricType_COUNTER.Enum(),
			Metric: []*dto.Metric{
				labelled(&dto.Metric{Counter: &dto.Counter{Value: proto.Float64(3), Exemplar: exemplar("a"), CreatedTimestamp: created}},
					"l", "v", "k", "ü"),
				labelled(&dto.Metric{Counter: &dto.Counter{Value: proto.Float64(math.Inf(1))}}, "l", "w")}},
		{Name: proto.String("g"), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(-1)}}}},
		{Name: proto.String("u"), Type: dto.MetricType_UNTYPED.Enum(),
			Metric: []*dto.Metric{{Untyped: &dto.Untyped{Value: proto.Float64(math.MaxFloat64)}}}},
		{Name: proto.String("s"), Type: dto.MetricType_SUMMARY.Enum(), Metric: []*dto.Metric{{Summary: &dto.Summary{
			SampleCount: proto.Uint64(math.MaxUint64), SampleSum: proto.Float64(3), CreatedTimestamp: created,
			Quantile: []*dto.Quantile{{Quantile: proto.Float64(0.5), Value: proto.Float64(1)}}}}}},
		{Name: proto.String("h"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCount: proto.Uint64(4), SampleSum: proto.Float64(2.5), CreatedTimestamp: created,
			Bucket: []*dto.Bucket{
				{CumulativeCount: proto.Uint64(1), UpperBound: proto.Float64(0.1), Exemplar: exemplar("b")},
				{CumulativeCount: proto.Uint64(4), UpperBound: proto.Float64(math.Inf(1))}}}}}},
		{Name: proto.String("nh"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCount: proto.Uint64(10), SampleSum: proto.Float64(12.5), Schema: proto.Int32(-3),
			ZeroThreshold: proto.Float64(0.001), ZeroCount: proto.Uint64(2),
			NegativeSpan: []*dto.BucketSpan{{Offset: proto.Int32(-7), Length: proto.Uint32(1)}}, NegativeDelta: []int64{1},
			PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(2)}, {Offset: proto.Int32(1),
				Length: proto.Uint32(1)}},
			PositiveDelta: []int64{2, 1, -1}, Exemplars: []*dto.Exemplar{exemplar("c")}}}}},
		{Name: proto.String("fh"), Type: dto.MetricType_GAUGE_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCountFloat: proto.Float64(2.5), SampleSum: proto.Float64(1), Schema: proto.Int32(8),
			ZeroThreshold: proto.Float64(0), ZeroCountFloat: proto.Float64(0.5),
			PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(3), Length: proto.Uint32(2)}}, PositiveCount: []float64{1, 1}}}}},
	}
}

func delimited(t *testing.T, families ...*dto.MetricFamily) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, f := range families {
		if _, err := protodelim.MarshalTo(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// TestProtobufKeepsAll decodes and encodes families of every kind: nothing the
// reference sees may be lost.
func TestProtobufKeepsAll(t *testing.T) {
	families := protobufFamilies()
	parsed, err := wire.ParseProtobuf(delimited(t, families...))
	if err != nil {
		t.Fatal(err)
	}
	got := asDTO(t, parsed)
	for _, want := range families {
		if !proto.Equal(got[want.GetName()], want) {
			t.Errorf("got  %v\nwant %v", got[want.GetName()], want)
		}
	}
}

func TestDecodeMetrics(t *testing.T) {
	parsed, err := wire.ParseProtobuf(delimited(t, protobufFamilies()...))
	if err != nil {
		t.Fatal(err)
	}
	for i := range parsed {
		f := &parsed[i]
		again, err := wire.DecodeMetrics(f.Type, wire.AppendProtobufMetrics(nil, f), len(f.Metrics))
		if err != nil || !reflect.DeepEqual(again, f.Metrics) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", f.Name, err, again, f.Metrics)
		}
	}
}

func TestProtobufSameNameTwice(t *testing.T) {
	one := &dto.MetricFamily{Name: proto.String("m"), Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{labelled(&dto.Metric{Gauge: &dto.Gauge{Value: proto.Float64(1)}}, "l", "1")}}
	two := &dto.MetricFamily{Name: proto.String("m"), Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{labelled(&dto.Metric{Gauge: &dto.Gauge{Value: proto.Float64(2)}}, "l", "2")}}
	families, err := wire.ParseProtobuf(delimited(t, one, two))
	if err != nil || len(families) != 1 || len(families[0].Metrics) != 2 {
		t.Errorf("got %+v, %v", families, err)
	}
	two.Type = dto.MetricType_COUNTER.Enum()
	if _, err := wire.ParseProtobuf(delimited(t, one, two)); err == nil {
		t.Error("two types were accepted")
	}
}

// FuzzProtobuf has the reference decode the same bytes: same verdict, and where
// both accept, the same families in the text format.
func FuzzProtobuf(f *testing.F) {
	for _, family := range protobufFamilies() {
		var out bytes.Buffer
		if _, err := protodelim.MarshalTo(&out, family); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte("m 1\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := wire.ParseProtobuf(body)
		want := map[string]*dto.MetricFamily{}
		names := 0
		for r := bytes.NewReader(body); ; {
			family := &dto.MetricFamily{}
			readErr := protodelim.UnmarshalFrom(r, family)
			if readErr == io.EOF {
				break
			}
			if readErr != nil {
				if err == nil {
					t.Fatalf("accepted, the reference says %v", readErr)
				}
				return
			}
			names++
			want[family.GetName()] = family
		}
		if names != len(want) {
			return // the reference knows no families in parts
		}
		if err != nil {
			t.Fatalf("the reference accepts, got %v", err)
		}
		for i := range parsed {
			p := &parsed[i]
			w := want[p.Name]
			for j, m := range w.Metric {
				if !p.Type.Known() || !sameKind(p, &p.Metrics[j], m) {
					return
				}
			}
			if len(p.Metrics) == 0 {
				continue
			}
			w.Unit = nil
			for _, m := range w.Metric {
				m.TimestampMs = nil
			}
			text := wire.AppendText(wire.AppendTextHeader(nil, p.Name, p.Help, p.Type), p)
			if w.GetHelp() == "" {
				w.Help = nil
			}
			if p.Name == "" {
				continue // which expfmt does not write
			}
			if slices.ContainsFunc(w.Metric, hasColonInLabel) {
				continue // which expfmt writes without quotes, so that Prometheus cannot parse it
			}
			if single := textOf(t, map[string]*dto.MetricFamily{p.Name: w}); single != string(text) {
				t.Fatalf("got\n%s\nthe reference says\n%s", text, single)
			}
		}
	})
}

func hasColonInLabel(m *dto.Metric) bool {
	return slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return strings.Contains(l.GetName(), ":") })
}

// sameKind reports whether the metric holds the value its family's type asks for,
// and fails where the reference sees that otherwise.
func sameKind(f *metric.Family, m *metric.Metric, reference *dto.Metric) bool {
	has := m.HasValue || m.Summary != nil || m.Histogram != nil
	var want bool
	switch f.Type {
	case metric.Counter:
		want = reference.Counter != nil
	case metric.Gauge:
		want = reference.Gauge != nil
	case metric.Untyped:
		want = reference.Untyped != nil
	case metric.Summary:
		want = reference.Summary != nil
	default:
		want = reference.Histogram != nil
	}
	if has != want {
		panic("the reference disagrees on the value of " + f.Name)
	}
	return has
}
