package web

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/api"
	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// newTestServer returns a server whose log goes to the returned buffer.
func newTestServer(t testing.TB, change func(*Config)) (*Server, *bytes.Buffer) {
	t.Helper()
	pages, err := webui.New(webui.Config{External: url.URL{}, MetricsPath: "/metrics"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	config := Config{
		Store: store.InMemory(), Logger: slog.New(slog.NewTextHandler(&log, nil)), Clock: store.SystemClock(),
		Validation: metric.LegacyValidation, TelemetryPath: "/metrics", Pages: pages, Status: api.Status{},
	}
	if change != nil {
		change(&config)
	}
	if config.Rules == nil {
		config.Rules = newTestRules(t, &config, nil)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, &log
}

// newTestRules returns a manager of the rules that load returns. They decide when groups of
// the store expire.
func newTestRules(t testing.TB, c *Config, load func() (*rules.Rules, error)) *rules.Manager {
	t.Helper()
	manager, err := rules.NewManager(rules.ManagerConfig{Load: load, Now: c.Clock.Now, Logger: c.Logger, Apply: func(inUse *rules.Rules) {
		c.Store.SetExpiry(func(key metric.GroupingKey) metric.Expiry {
			return inUse.For(key).Expiry.Or(c.Defaults.Expiry)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	return manager
}

// withJournal returns an open store with the journal.
func withJournal(t testing.TB, j store.Journal) *store.Store {
	t.Helper()
	s := store.New(store.Config{Journal: j})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func do(s http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

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
	for _, c := range []struct{ encoding, body string }{
		{"", "m 1\n"}, {"identity", "m 1\n"}, {"utf-8", "m 1\n"}, {"IDENTITY", "m 1"},
		{"gzip", asGzip(t, "m 1\n")}, {"GZip", asGzip(t, "m 1\n")},
		{"snappy", asSnappy(t, "m 1\n")}, {"Snappy", asSnappy(t, "m 1")},
		{"zstd", asZstd(t, "m 1\n")}, {"ZSTD", asZstd(t, "m 1\r\n")},
	} {
		if w := do(s, "PUT", "/metrics/job/a", c.body, "Content-Encoding", c.encoding); w.Code != 200 || w.Body.Len() > 0 {
			t.Errorf("%q: %d %s", c.encoding, w.Code, w.Body)
		}
	}
	for _, c := range []struct{ encoding, body, want string }{
		{"gzip", "m 1\n", "Content-Encoding: gzip"}, {"snappy", "m 1\n", "Content-Encoding: snappy"}, {"zstd", "m 1\n", "Content-Encoding: zstd"},
		{"gzip", asGzip(t, "m 1\n")[:20], "Content-Encoding: gzip"},
		{"utf-8", "m{\n", "the header Content-Encoding: utf-8 is not a known compression"},
		{"", asGzip(t, "m 1\n"), "with the header Content-Encoding: gzip"},
		{"", asZstd(t, "m 1\n"), "with the header Content-Encoding: zstd"},
		{"", asSnappy(t, "m 1\n"), "with the header Content-Encoding: snappy"},
	} {
		if w := do(s, "PUT", "/metrics/job/a", c.body, "Content-Encoding", c.encoding); w.Code != 400 || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%q: %d %q, want %q", c.encoding, w.Code, w.Body, c.want)
		}
	}
}

func TestContentTypes(t *testing.T) {
	s, _ := newTestServer(t, nil)
	const protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	gauge := "\x0e\x0a\x01g\x18\x01\x22\x07\x12\x05\x09\x00\x00\x00\x00\x00\x00"
	gauge = "\x12\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
	for _, c := range []struct {
		contentType, body string
		status            int
		want              string
	}{
		{"", "m 1", 200, ""}, {"text/plain", "m 1", 200, ""}, {"nonsense;;", "m 1", 200, ""}, {"application/json", "m 1", 200, ""},
		{"application/x-www-form-urlencoded", "m 1", 200, ""},
		{protobuf, gauge, 200, ""}, {protobuf, "", 200, ""},
		{"application/openmetrics-text; version=1.0.0; charset=utf-8", "# TYPE c counter\nc_total 1 # {id=\"x\"} 1\nc_created 1.5\n# EOF\n", 200, ""},
		{"application/openmetrics-text", "\ufeff# EOF", 200, ""},
		{"application/openmetrics-text", "c 1\n", 200, ""},
		{protobuf, "m 1\n", 400, "leave it out to push the text format"},
		{"", gauge, 400, "send it with the header Content-Type: application/vnd.google.protobuf"},
		{"application/vnd.google.protobuf", gauge, 400, "Content-Type"},
		{"application/x-www-form-urlencoded", "a 1b 2", 400, "--data-binary"},
		{"multipart/form-data; boundary=x", "--x", 400, "instead of -F"},
	} {
		w := do(s, "PUT", "/metrics/job/a", c.body, "Content-Type", c.contentType)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%q: %d %q, want %d %q", c.contentType, w.Code, w.Body, c.status, c.want)
		}
	}
	w := do(s, "POST", "/metrics/job/a", "x", "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy")
	if w.Code != 415 || !strings.Contains(w.Body.String(), "remote write") {
		t.Errorf("remote write: %d %s", w.Code, w.Body)
	}
}

// TestRejectionsName goes through what a rejection has to say: who is in the way, and
// what to do.
func TestRejectionsName(t *testing.T) {
	const group = "/metrics/job/b/instance/i"
	for _, c := range []struct {
		name, held, body string
		reason           metric.Reason
		want             []string
	}{
		{"timestamp", "", "m 1\nn{l=\"x\"} 2 1700000000000\n", metric.BadTimestamp, []string{"timestamps", `"n"`, "1700000000000"}},
		{"type elsewhere", "# TYPE m gauge\nm 1\n", "# TYPE m counter\nm 1\n", metric.TypeConflict,
			[]string{`"m"`, "counter", "gauge", `{job="a"}`, "# TYPE m gauge", "another name"}},
		{"untyped", "# TYPE m gauge\nm 1\n", "m 1\n", metric.TypeConflict, []string{"without a TYPE line is untyped"}},
		{"own metric", "", "# TYPE go_goroutines counter\ngo_goroutines 1\n", metric.TypeConflict, []string{"go_goroutines", "gateway's own", "gauge"}},
		{"own vector", "", "pushgateway_http_requests_total 1\n", metric.TypeConflict, []string{"gateway's own", "counter"}},
		{"own suffix", "", "pushgateway_http_push_size_bytes_count 1\n", metric.SuffixCollision, []string{"pushgateway_http_push_size_bytes", "gateway's own"}},
		{"twice in a push", "", "m{l=\"1\"} 1\nm{l=\"1\"} 2\n", metric.DuplicateSeries, []string{`m{instance="i",job="b",l="1"}`, "twice"}},
		{"in two groups", "m{instance=\"i\",job=\"x\"} 1\n", "m 1\n", "", nil},
		{"suffix of held", "# TYPE h histogram\nh_sum 1\nh_count 1\n", "# TYPE h_count counter\nh_count 1\n", metric.SuffixCollision, []string{`"h_count"`, `histogram "h"`, `{job="a"}`}},
		{"held is suffix", "s_sum 1\n", "# TYPE s summary\ns_count 1\n", metric.SuffixCollision, []string{`"s_sum"`, `summary "s"`, `{job="a"}`}},
		{"suffix in push", "", "h_count 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", metric.SuffixCollision, []string{"the same push"}},
		{"gauge histogram", "# TYPE h gaugehistogram\nh_count 1\n", "# TYPE h_bucket counter\nh_bucket 1\n", metric.SuffixCollision, []string{`gauge histogram "h"`}},
		{"help", "", "# HELP m \xff\nm 1\n", metric.BadUTF8, []string{"help", `"m"`, "UTF-8"}},
		{"bucket twice", "", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1\"} 1\n", metric.DuplicateSeries, []string{`le="1"`}},
	} {
		s, log := newTestServer(t, nil)
		if c.held != "" {
			if w := do(s, "PUT", "/metrics/job/a", c.held); w.Code != 200 {
				t.Fatalf("%s: %d %s", c.name, w.Code, w.Body)
			}
		}
		w := do(s, "PUT", group, c.body)
		if c.reason == "" {
			if w.Code != 200 {
				t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
			}
			continue
		}
		if w.Code != 400 {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
		for _, want := range c.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %q does not say %q", c.name, w.Body, want)
			}
		}
		if n := testutil.ToFloat64(s.metrics.rejected.WithLabelValues(string(c.reason))); n != 1 {
			t.Errorf("%s: %v rejected for %s", c.name, n, c.reason)
		}
		line := log.String()
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "level=WARN") || !strings.Contains(line, `{instance=\"i\",job=\"b\"}`) ||
			!strings.Contains(line, "remote_addr=192.0.2.1:1234") || !strings.Contains(line, "reason="+string(c.reason)) {
			t.Errorf("%s: logged %q", c.name, line)
		}
		if g := s.config.Store.Snapshot().Group(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "b"}, {Name: "instance", Value: "i"}})); g == nil || g.Failed.IsZero() || !g.Pushed.IsZero() {
			t.Errorf("%s: the failure is not recorded: %+v", c.name, g)
		}
	}
}

// TestSeriesInTwoGroups has labels in the body that make a series that of another
// group.
func TestSeriesInTwoGroups(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a/instance/i", "m 1\n")
	w := do(s, "PUT", "/metrics/job/a", "m{instance=\"i\"} 2\n")
	for _, want := range []string{`m{instance="i",job="a"}`, `to group {job="a"}`, `group {instance="i",job="a"} holds it`, "a label that differs"} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %q", w.Code, w.Body, want)
		}
	}
	// Two groups that differ in an empty instance label only.
	if w := do(s, "PUT", "/metrics/job/b", "m 1\n"); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	if w := do(s, "PUT", "/metrics/job/b/instance@base64/=", "n 1\n"); w.Code != 400 || !strings.Contains(w.Body.String(), "empty one") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := s.config.Store.Totals().Groups; n != 3 {
		t.Errorf("%d groups, want 3", n)
	}
}

func TestRoutes(t *testing.T) {
	quit := 0
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true; c.Quit = func() { quit++ } })
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/-/healthy", 200, "OK"}, {"GET", "/-/ready", 200, "OK"}, {"HEAD", "/-/ready", 405, ""},
		{"GET", "/metrics", 200, "# TYPE go_goroutines gauge"}, {"GET", "/metrics/", 301, ""}, {"POST", "/metrics", 405, "GET, OPTIONS"},
		{"GET", "/metrics/job/a", 405, "DELETE, POST, PUT, OPTIONS"}, {"PUT", "/metrics/job", 404, ""}, {"PUT", "/metrics/instance/x", 404, ""},
		{"PUT", "//metrics/job/a", 200, ""}, {"POST", "/metrics/job/a/", 200, ""},
		{"DELETE", "/metrics/job/nobody", 202, "0 groups deleted"}, {"DELETE", "/metrics/job/a", 202, "1 group deleted: {job=\"a\"}"},
		{"GET", "/", 200, "<!DOCTYPE html>"}, {"GET", "/status", 200, "<!DOCTYPE html>"}, {"GET", "/nothing", 404, ""}, {"GET", "/static/nothing", 404, ""},
		{"GET", "/api/v1/status", 200, "build_information"}, {"GET", "/api/v1/metrics", 200, `{"status":"success","data":[]}`}, {"OPTIONS", "/api/v1/whatever", 200, ""},
		{"OPTIONS", "/metrics", 200, ""}, {"PUT", "/api/v1/admin/wipe", 202, ""}, {"GET", "/api/v1/admin/wipe", 405, ""},
		{"PUT", "/metrics//job/a", 404, ""}, {"GET", "/a/../metrics", 404, ""}, {"GET", "/debug/pprof", 301, ""}, {"POST", "/debug/pprof/", 405, ""},
		{"GET", "/debug/pprof/", 200, "goroutine"}, {"GET", "/debug/pprof/cmdline", 200, ""}, {"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/-/quit", 405, "Only POST or PUT"}, {"PUT", "/-/quit", 200, "Goodbye"},
	} {
		w := do(s, c.method, c.path, "")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %.200q, want %d %q", c.method, c.path, w.Code, w.Body, c.status, c.body)
		}
	}
	if quit != 1 {
		t.Errorf("quit %d times", quit)
	}
	if allow := do(s, "POST", "/metrics", "").Header().Get("Allow"); allow != "GET, OPTIONS" {
		t.Errorf("Allow: %q", allow)
	}
	if cors := do(s, "OPTIONS", "/api/v1/x", "").Header().Get("Access-Control-Allow-Origin"); cors != "*" {
		t.Errorf("CORS: %q", cors)
	}
}

func TestRoutePrefix(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.RoutePrefix = "/pg"; c.TelemetryPath = "/self" })
	for path, status := range map[string]int{
		"/pg/self": 200, "/pg/metrics": 404, "/self": 404, "/pgself": 404, "/pg": 200, "/pg/": 200, "/": 404,
		"/pg/api/v1/status": 200, "/pg/debug/pprof/goroutine": 200, "/pg/-/healthy": 200,
	} {
		if w := do(s, "GET", path, ""); w.Code != status {
			t.Errorf("%s: %d, want %d", path, w.Code, status)
		}
	}
	if w := do(s, "PUT", "/pg/metrics/job/a", "m 1"); w.Code != 200 {
		t.Errorf("push: %d %s", w.Code, w.Body)
	}
}

func TestUncheckedAnswers202(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.Unchecked = true })
	if w := do(s, "PUT", "/metrics/job/a", "# TYPE m gauge\nm 1\n"); w.Code != 202 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(s, "PUT", "/metrics/job/b", "# TYPE m counter\nm 1\n"); w.Code != 400 {
		t.Errorf("inconsistent: %d %s", w.Code, w.Body)
	}
}

func TestNegotiateEncoding(t *testing.T) {
	for accept, want := range map[string]exposition.Encoding{
		"": exposition.Identity, "identity": exposition.Identity, "gzip": exposition.Gzip, "GZIP": exposition.Gzip, "zstd": exposition.Zstd,
		"zstd, gzip": exposition.Gzip, "gzip;q=0.5, zstd": exposition.Zstd, "gzip;q=0": exposition.Identity, "gzip; q=0, zstd; q=0.1": exposition.Zstd,
		"br, deflate": exposition.Identity, "gzip;q=nonsense": exposition.Identity,
		"gzip;q=0.5, identity;q=1": exposition.Identity, "gzip;q=0.5, identity": exposition.Identity,
		"identity;q=0.5, gzip;q=0.5": exposition.Gzip, "identity;q=0, zstd;q=0.1": exposition.Zstd, "identity;q=0": exposition.Identity,
	} {
		if got := negotiateEncoding(http.Header{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("%q: got %s, want %s", accept, got, want)
		}
	}
}

// TestReservedNames pushes what collides with the gateway's own metrics, after every kind of
// request has been made. Pushes that upstream rejects are rejected. Other pushes are
// accepted, and the gateway's own metrics of these names are not exposed.
func TestReservedNames(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true })
	for _, request := range []struct{ method, path string }{
		{"PUT", "/metrics/job/a"}, {"POST", "/metrics/job/a"}, {"DELETE", "/metrics/job/a"}, {"PUT", "/metrics/job/a/x"}, {"GET", "/metrics"}, {"GET", "/"},
		{"GET", "/api/v1/metrics"}, {"GET", "/api/v1/status"}, {"OPTIONS", "/api/v1/x"}, {"PUT", "/api/v1/admin/wipe"}, {"GET", "/-/ready"}, {"GET", "/static/x"},
	} {
		do(s, request.method, request.path, "")
	}
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		body := "# TYPE " + f.GetName() + " summary\n" + f.GetName() + "_sum 1\n"
		if strings.EqualFold(f.GetType().String(), "summary") {
			body = "# TYPE " + f.GetName() + " gauge\n" + f.GetName() + " 1\n"
		}
		name, _, _ := strings.Cut(f.GetName(), "_")
		upstream := name == "go" || name == "process" || strings.HasPrefix(f.GetName(), "pushgateway_http_") || f.GetName() == "pushgateway_build_info"
		want := map[bool]int{true: 400, false: 200}[upstream]
		if w := do(s, "PUT", "/metrics/job/x", body); w.Code != want {
			t.Errorf("%s: %d, want %d", f.GetName(), w.Code, want)
		}
		exposed := do(s, "GET", "/metrics", "").Body.String()
		if n := strings.Count(exposed, "# TYPE "+f.GetName()+" "); n != 1 {
			t.Errorf("%s is exposed %d times", f.GetName(), n)
		}
		if strings.Contains(exposed, "\n"+f.GetName()+`_sum{instance="",job="x"}`) != (want == 200 && strings.Contains(body, "_sum")) {
			t.Errorf("%s: %s", body, exposed)
		}
	}
}

func TestReservedLabels(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for _, c := range []struct{ path, body, label string }{
		{"/metrics/job/a/le/1", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", `"le"`},
		{"/metrics/job/a/quantile/1", "# TYPE s summary\ns_count 1\n", `"quantile"`},
	} {
		if w := do(s, "PUT", c.path, c.body); w.Code != 400 || !strings.Contains(w.Body.String(), c.label) || !strings.Contains(w.Body.String(), "URL") {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
		if w := do(s, "PUT", c.path, "# TYPE m gauge\nm 1\n"); w.Code != 200 {
			t.Errorf("%s with a gauge: %d %s", c.path, w.Code, w.Body)
		}
	}
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
	h := &dto.Histogram{SampleCount: proto.Uint64(3), SampleSum: proto.Float64(1), ZeroThreshold: proto.Float64(0.1), ZeroCount: proto.Uint64(1),
		PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(1)}}, PositiveDelta: []int64{2}}
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

// TestOwnHelpWins pushes an own metric of the gateway, as every client library's
// default registry does.
func TestOwnHelpWins(t *testing.T) {
	s, _ := newTestServer(t, nil)
	if w := do(s, "PUT", "/metrics/job/a", "# HELP go_goroutines Another text.\n# TYPE go_goroutines gauge\ngo_goroutines 7\n"); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	body := do(s, "GET", "/metrics", "").Body.String()
	if strings.Count(body, "# HELP go_goroutines Number of goroutines") != 1 || strings.Contains(body, "Another text") ||
		!strings.Contains(body, "\ngo_goroutines{instance=\"\",job=\"a\"} 7\n") {
		t.Error(body)
	}
}

// TestLimits pushes what takes little to send and would take much to hold.
func TestLimits(t *testing.T) {
	s, log := newTestServer(t, nil)
	bomb := asGzip(t, strings.Repeat("\n", 257<<20))
	if w := do(s, "PUT", "/metrics/job/a", bomb, "Content-Encoding", "gzip"); w.Code != 413 || !strings.Contains(w.Body.String(), "256 MiB") {
		t.Errorf("%d bytes of gzip: %d %s", len(bomb), w.Code, w.Body)
	}
	log.Reset()
	if w := do(s, "PUT", "/metrics/job/a", strings.Repeat("a", 1<<20)); w.Code != 400 || w.Body.Len() > 4096 || log.Len() > 8192 {
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

// BenchmarkPushBesideOtherKeys pushes series that might each be in another group,
// and are not.
func BenchmarkPushBesideOtherKeys(b *testing.B) {
	for _, series := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint("series=", series), func(b *testing.B) {
			s, _ := newTestServer(b, nil)
			var held, pushed strings.Builder
			for i := range series {
				fmt.Fprintf(&held, "x{i=\"%d\"} 1\n", i)
				fmt.Fprintf(&pushed, "x{b=\"c\",i=\"%d\",z=\"1\"} 1\n", i)
			}
			do(s, "PUT", "/metrics/job/a/b/c", held.String())
			for b.Loop() {
				if w := do(s, "PUT", "/metrics/job/a", pushed.String()); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
