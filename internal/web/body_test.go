package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

func compressed(t *testing.T, to func(io.Writer) io.WriteCloser, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := to(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func asGzip(t *testing.T, text string) string {
	return compressed(t, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, text)
}

func asSnappy(t *testing.T, text string) string {
	return compressed(t, func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) }, text)
}

func asZstd(t *testing.T, text string) string {
	return compressed(t, func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}, text)
}

func TestContentEncodings(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for _, c := range []struct {
		name, encoding, body string
		status               int
		want                 string
	}{
		{"none", "", "m 1\n", 200, ""},
		{"identity", "identity", "m 1\n", 200, ""},
		{"unknown", "utf-8", "m 1\n", 200, ""},
		{"identity in upper case", "IDENTITY", "m 1", 200, ""},
		{"gzip", "gzip", asGzip(t, "m 1\n"), 200, ""},
		{"gzip in mixed case", "GZip", asGzip(t, "m 1\n"), 200, ""},
		{"snappy", "snappy", asSnappy(t, "m 1\n"), 200, ""},
		{"snappy in mixed case", "Snappy", asSnappy(t, "m 1"), 200, ""},
		{"zstd", "zstd", asZstd(t, "m 1\n"), 200, ""},
		{"zstd in upper case", "ZSTD", asZstd(t, "m 1\r\n"), 200, ""},

		{"not gzip", "gzip", "m 1\n", 400, "Content-Encoding: gzip"},
		{"not snappy", "snappy", "m 1\n", 400, "Content-Encoding: snappy"},
		{"not zstd", "zstd", "m 1\n", 400, "Content-Encoding: zstd"},
		{"gzip cut short", "gzip", asGzip(t, "m 1\n")[:20], 400, "Content-Encoding: gzip"},
		{"unknown, and no metrics", "utf-8", "m{\n", 400, "the header Content-Encoding: utf-8 is not a known compression"},
		{"gzip without header", "", asGzip(t, "m 1\n"), 400, "with the header Content-Encoding: gzip"},
		{"zstd without header", "", asZstd(t, "m 1\n"), 400, "with the header Content-Encoding: zstd"},
		{"snappy without header", "", asSnappy(t, "m 1\n"), 400, "with the header Content-Encoding: snappy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(s, "PUT", "/metrics/job/a", c.body, "Content-Encoding", c.encoding)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || c.want == "" && w.Body.Len() > 0 {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.want)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	s, _ := newTestServer(t, nil)
	const (
		protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
		openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
		gauge       = "\x12\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
	)
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		want                    string
	}{
		{"none", "", "m 1", 200, ""},
		{"text", "text/plain", "m 1", 200, ""},
		{"not a media type", "nonsense;;", "m 1", 200, ""},
		{"JSON", "application/json", "m 1", 200, ""},
		{"form", "application/x-www-form-urlencoded", "m 1", 200, ""},
		{"protobuf", protobuf, gauge, 200, ""},
		{"empty protobuf", protobuf, "", 200, ""},
		{"OpenMetrics", openMetrics, "# TYPE c counter\nc_total 1 # {id=\"x\"} 1\nc_created 1.5\n# EOF\n", 200, ""},
		{"empty OpenMetrics", "application/openmetrics-text", "\ufeff# EOF", 200, ""},
		{"OpenMetrics without EOF", "application/openmetrics-text", "c 1\n", 200, ""},

		{"text as protobuf", protobuf, "m 1\n", 400, "leave it out to push the text format"},
		{"protobuf without header", "", gauge, 400, "send it with the header Content-Type: application/vnd.google.protobuf"},
		{"protobuf without parameters", "application/vnd.google.protobuf", gauge, 400, "Content-Type"},
		{"lines joined by curl", "application/x-www-form-urlencoded", "a 1b 2", 400, "--data-binary"},
		{"form with parts", "multipart/form-data; boundary=x", "--x", 400, "instead of -F"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(s, "PUT", "/metrics/job/a", c.body, "Content-Type", c.contentType)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.want)
			}
		})
	}
	t.Run("remote write", func(t *testing.T) {
		w := do(s, "POST", "/metrics/job/a", "x", "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy")
		if w.Code != 415 || !strings.Contains(w.Body.String(), "remote write") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

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
	bomb := asGzip(t, strings.Repeat("\n", 257<<20))
	w := do(s, "PUT", "/metrics/job/a", bomb, "Content-Encoding", "gzip")
	if w.Code != 413 || !strings.Contains(w.Body.String(), "256MiB, decompressed (body_size_limit)") {
		t.Errorf("%d bytes of gzip: %d %s", len(bomb), w.Code, w.Body)
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
