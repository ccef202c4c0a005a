package wire_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// TestAppendOpenMetrics compares families that fit OpenMetrics with what expfmt writes.
func TestAppendOpenMetrics(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, 1, -1, 0.5, 1e-5, 123456, 1e6, 123456789, 1e21, math.MaxFloat64, math.Inf(1), math.NaN()}
	value := func() float64 { return values[random.IntN(len(values))] }
	created := metric.Timestamp{Seconds: 1_700_000_000, Nanos: 250_000_000, Set: true}
	exemplar := &metric.Exemplar{Labels: []metric.Label{{Name: "trace", Value: "a\"b"}}, Value: 1.5, Timestamp: created}
	compared := 0
	for i := range 2000 {
		f := metric.Family{
			Name: []string{"m_total", "m", "a.b", "m_seconds"}[random.IntN(4)], Help: "A \\ \"help\"\nof lines.",
			Type: metric.Type(random.IntN(6)), Unit: "seconds",
		}
		for n := range random.IntN(3) {
			m := metric.Metric{Labels: []metric.Label{{Name: "l", Value: fmt.Sprint("v\\\"\n", n)}, {Name: "é", Value: ""}}}
			if random.IntN(2) == 0 {
				m.Created, m.Exemplar = created, exemplar
			}
			switch {
			case f.Type == metric.Summary:
				m.Exemplar, m.Summary = nil, &metric.SummaryValue{Count: 3, Sum: value(), Quantiles: []metric.Quantile{{Quantile: 0.5, Value: value()}}}
			case f.Type.HasBuckets():
				m.Histogram = &metric.HistogramValue{Count: 3, Sum: value(), Buckets: []metric.Bucket{
					{UpperBound: math.Abs(value()), CumulativeCount: 1, Exemplar: m.Exemplar}, {UpperBound: math.Inf(1), CumulativeCount: 3},
				}[random.IntN(2):]}
				m.Exemplar = nil
			case f.Type == metric.Counter:
				m.Value, m.HasValue = value(), true
			default:
				m.Value, m.HasValue, m.Created, m.Exemplar = value(), true, metric.Timestamp{}, nil
			}
			f.Metrics = append(f.Metrics, m)
		}
		if !wire.FitsOpenMetrics(f.Type, f.Metrics) || f.Type == metric.Counter && wire.OpenMetricsName(f.Name, f.Type) == f.Name {
			continue
		}
		compared++
		got := wire.AppendOpenMetricsHeader(nil, f.Name, f.Help, f.Unit, f.Type, wire.Whole)
		got = wire.AppendOpenMetrics(got, &f, wire.Whole)

		message := wire.AppendProtobufHeader(nil, f.Name, f.Help, "", f.Type)
		decoded := &dto.MetricFamily{}
		if err := proto.Unmarshal(wire.AppendProtobufMetrics(message, &f), decoded); err != nil {
			t.Fatal(err)
		}
		if f.Name == "m_seconds" {
			decoded.Unit = &f.Unit // otherwise not a suffix of the name
		}
		var want bytes.Buffer
		if _, err := expfmt.MetricFamilyToOpenMetrics(&want, decoded, expfmt.WithCreatedLines()); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Fatalf("%d, %s:\n got %s\nwant %s", i, f.Type, got, &want)
		}
	}
	if compared < 500 {
		t.Errorf("only %d families were compared", compared)
	}
}

// TestOpenMetricsParts: the parts of a family together have its samples, without types.
func TestOpenMetricsParts(t *testing.T) {
	f := metric.Family{Name: "h", Help: "H.", Type: metric.Histogram, Metrics: []metric.Metric{{
		Labels: []metric.Label{{Name: "l", Value: "v"}}, Created: metric.Timestamp{Seconds: 1, Set: true},
		Histogram: &metric.HistogramValue{CountFloat: 2.5, Sum: -3, Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCountFloat: 0.5}}},
	}}}
	if wire.FitsOpenMetrics(f.Type, f.Metrics) {
		t.Error("a histogram with float counts fits")
	}
	var got []byte
	for _, part := range wire.OpenMetricsParts(f.Type) {
		got = wire.AppendOpenMetricsHeader(got, f.Name, f.Help, f.Unit, f.Type, part)
		got = wire.AppendOpenMetrics(got, &f, part)
	}
	const want = "# HELP h_bucket H.\n# TYPE h_bucket unknown\nh_bucket{l=\"v\",le=\"1.0\"} 0.5\nh_bucket{l=\"v\",le=\"+Inf\"} 2.5\n" +
		"# HELP h_count H.\n# TYPE h_count unknown\nh_count{l=\"v\"} 2.5\n" +
		"# HELP h_sum H.\n# TYPE h_sum unknown\nh_sum{l=\"v\"} -3.0\n"
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
