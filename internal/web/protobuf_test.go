package web

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

// pushProtobuf pushes families as delimited protobuf.
func pushProtobuf(t *testing.T, s http.Handler, families ...*dto.MetricFamily) *httptest.ResponseRecorder {
	t.Helper()
	var body bytes.Buffer
	for _, f := range families {
		if _, err := protodelim.MarshalTo(&body, f); err != nil {
			t.Fatal(err)
		}
	}
	return do(s, "PUT", "/metrics/job/a", body.String(), "Content-Type",
		"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
}

func TestBadNativeHistogram(t *testing.T) {
	s, _ := newTestServer(t, nil)
	h := &dto.Histogram{
		SampleCount: proto.Uint64(3), SampleSum: proto.Float64(1), ZeroThreshold: proto.Float64(0.1), ZeroCount: proto.Uint64(1),
		PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(1)}}, PositiveDelta: []int64{2},
	}
	f := &dto.MetricFamily{Name: proto.String("h"), Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: h}}}
	if w := pushProtobuf(t, s, f); w.Code != 200 {
		t.Errorf("valid: %d %s", w.Code, w.Body)
	}
	h.PositiveSpan[0].Length = proto.Uint32(2)
	if w := pushProtobuf(t, s, f); w.Code != 400 || !strings.Contains(w.Body.String(), `native histogram "h"`) {
		t.Errorf("spans without buckets: %d %s", w.Code, w.Body)
	}
	h.PositiveSpan[0].Length, h.SampleCount = proto.Uint32(1), proto.Uint64(7)
	if w := pushProtobuf(t, s, f); w.Code != 400 {
		t.Errorf("count and buckets apart: %d %s", w.Code, w.Body)
	}
}

// TestRejectedProtobuf pushes families of which upstream drops a part, or which it cannot expose.
func TestRejectedProtobuf(t *testing.T) {
	family := func(name string, typ dto.MetricType, value float64) *dto.MetricFamily {
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}, Counter: &dto.Counter{Value: &value}}
		return &dto.MetricFamily{Name: &name, Type: &typ, Metric: []*dto.Metric{m}}
	}
	for _, c := range []struct {
		name     string
		families []*dto.MetricFamily
		want     string
	}{
		{"a series twice", []*dto.MetricFamily{family("m", dto.MetricType_GAUGE, 1), family("m", dto.MetricType_GAUGE, 2)},
			`the series m{instance="",job="a"} twice`},
		{"two types", []*dto.MetricFamily{family("m", dto.MetricType_GAUGE, 1), family("m", dto.MetricType_COUNTER, 2)},
			`"m" twice, as gauge and as counter`},
		{"unknown type", []*dto.MetricFamily{family("m", 9, 1)}, `"m" has the unknown type number 9`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			if w := pushProtobuf(t, s, c.families...); w.Code != 400 || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %s, want %q", w.Code, w.Body, c.want)
			}
		})
	}
}

func TestNamesInProtobuf(t *testing.T) {
	s, _ := newTestServer(t, nil)
	gauge := func(name string, label ...string) *dto.MetricFamily {
		m := &dto.Metric{Gauge: &dto.Gauge{Value: proto.Float64(1)}}
		for i := range label {
			m.Label = append(m.Label, &dto.LabelPair{Name: &label[i], Value: proto.String("v")})
		}
		return &dto.MetricFamily{Name: &name, Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{m}}
	}
	for _, f := range []*dto.MetricFamily{
		gauge(""), gauge("m", ""), gauge("m", "__name__"), gauge("m", "l", "l"), gauge("m", "a:b"), gauge("m\xff"), gauge("m\x00"),
	} {
		if w := pushProtobuf(t, s, f); w.Code != 400 {
			t.Errorf("%v: %d %s", f, w.Code, w.Body)
		}
	}
	// Names that are not legacy names are stored as they are and escaped by a scrape
	// that asks for no more, as client libraries send them by default.
	for _, f := range []*dto.MetricFamily{gauge("a-b"), gauge("1a"), gauge("m", "a-b")} {
		if w := pushProtobuf(t, s, f); w.Code != 200 {
			t.Errorf("%v: %d %s", f, w.Code, w.Body)
		}
		scrape := do(s, "GET", "/metrics", "").Body.String()
		escaped := model.EscapeMetricFamily(f, model.UnderscoreEscaping)
		if want := "\n" + escaped.GetName() + "{"; !strings.Contains(scrape, want) {
			t.Errorf("%v: no %q in\n%s", f, want, scrape)
		}
		utf8 := do(s, "GET", "/metrics", "", "Accept", "text/plain; version=1.0.0; escaping=allow-utf-8").Body.String()
		if want := strconv.Quote(f.GetName()); !metric.LegacyMetricName(f.GetName()) && !strings.Contains(utf8, want) {
			t.Errorf("%v: no %s in\n%s", f, want, utf8)
		}
	}
	if w := pushProtobuf(t, s, gauge("m", "l", "k")); w.Code != 200 {
		t.Errorf("good names: %d %s", w.Code, w.Body)
	}
}

// TestLimits pushes what is small on the network and would be large in memory.
func TestLimits(t *testing.T) {
	s, log := newTestServer(t, func(c *Config) { c.Limits = limits.Limits{}.With(limits.BodySize, 256<<20) })
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(bytes.Repeat([]byte{'\n'}, 257<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w := do(s, "PUT", "/metrics/job/a", bomb.String(), "Content-Encoding", "gzip")
	if w.Code != 413 || !strings.Contains(w.Body.String(), "256MiB, decompressed (body_size_limit)") {
		t.Errorf("%d bytes of gzip: %d %s", bomb.Len(), w.Code, w.Body)
	}
	log.Reset()
	w = do(s, "PUT", "/metrics/job/a", strings.Repeat("a", 1<<20))
	if w.Code != 400 || w.Body.Len() > 4096 || log.Len() > 8192 {
		t.Errorf("a long name: %d, answer of %d bytes, log of %d", w.Code, w.Body.Len(), log.Len())
	}
	path := "/metrics/job/a"
	for i := range 280 {
		path += fmt.Sprintf("/label%d/%s", i, strings.Repeat("x", 100))
	}
	var body strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&body, "m{i=\"%d\"} 1\n", i)
	}
	if w := do(s, "PUT", path, body.String()); w.Code != 413 {
		t.Errorf("many labels times many series: %d %s", w.Code, w.Body)
	}
}
