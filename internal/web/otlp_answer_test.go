package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"pushgateway/internal/limits"
	"pushgateway/internal/protofield"
)

// resourceJSON returns a resource in JSON with the attributes, which are names and values by turns, and
// the metrics.
func resourceJSON(metrics string, attributes ...string) string {
	var list []string
	for i := 0; i+1 < len(attributes); i += 2 {
		list = append(list, fmt.Sprintf(`{"key":%q,"value":{"stringValue":%q}}`, attributes[i], attributes[i+1]))
	}
	return fmt.Sprintf(`{"resource":{"attributes":[%s]},"scopeMetrics":[{"metrics":[%s]}]}`, strings.Join(list, ","), metrics)
}

// gaugeJSON returns a gauge in JSON.
func gaugeJSON(name string, value int) string {
	return fmt.Sprintf(`{"name":%q,"gauge":{"dataPoints":[{"asInt":"%d"}]}}`, name, value)
}

// counterJSON returns a counter in JSON with a temporality, 1 for delta or 2 for cumulative, and a time.
func counterJSON(name string, temporality, value, second int) string {
	return fmt.Sprintf(`{"name":%q,"sum":{"isMonotonic":true,"aggregationTemporality":%d,"dataPoints":[`+
		`{"asInt":"%d","startTimeUnixNano":"1","timeUnixNano":"%d000000000"}]}}`, name, temporality, value, second)
}

// sendJSON sends an export of the resources in JSON.
func sendJSON(s http.Handler, target string, headers []string, resources ...string) *httptest.ResponseRecorder {
	body := `{"resourceMetrics":[` + strings.Join(resources, ",") + `]}`
	return do(s, "POST", target, body, append(headers, "Content-Type", "application/json; charset=utf-8")...)
}

// TestOTLPAnswers: an export is answered as OTLP says: data points that were rejected are counted if others
// were accepted, and otherwise the status says whether to send all again.
func TestOTLPAnswers(t *testing.T) {
	good, failing := resourceJSON(gaugeJSON("g", 1), "service.name", "a"), resourceJSON(gaugeJSON("g", 1), "service.name", "b")
	partly := resourceJSON(gaugeJSON("g", 1)+","+gaugeJSON("", 2)+","+counterJSON("c", 0, 1, 1), "service.name", "a")
	nameless := resourceJSON(gaugeJSON("g", 1) + "," + gaugeJSON("h", 2))
	unnamed := resourceJSON(gaugeJSON("", 2), "service.name", "a")
	large := resourceJSON(gaugeJSON(strings.Repeat("x", 5000), 1), "service.name", "a")
	const partialSuccess = `{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"`
	const cannotBeNamed, noName = `the metric \"\" cannot be named`, `a resource has no attribute service.name`
	ended := resourceJSON(`{"name":"g","gauge":{"dataPoints":[{"flags":1}]}}`, "service.name", "c")
	for _, c := range []struct {
		name      string
		resources []string
		status    int
		body      string // a part of it
		retry     bool
	}{
		{"nothing", nil, 200, "{}", false},
		{"accepted", []string{good}, 200, "{}", false},
		{"partly accepted", []string{partly}, 200, partialSuccess + cannotBeNamed, false},
		{"one group accepted", []string{good, nameless}, 200, partialSuccess + noName, false},
		{"no group", []string{nameless}, 400, `{"code":3,"message":"` + noName, false},
		{"no metric of a group", []string{unnamed}, 400, `{"code":3,"message":"` + cannotBeNamed, false},
		{"series that have ended", []string{ended}, 200, "{}", false},
		{"cannot be stored", []string{good, failing, nameless}, 503,
			`{"code":14,"message":"the change could not be stored and was not applied: disk full`, true},
		{"malformed", []string{"{"}, 400, `{"code":3,"message":"the body is no ExportMetricsServiceRequest in JSON: `, false},
		{"too large", []string{large}, 413, `{"code":3,"message":"the body is larger`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestServer(t, func(config *Config) {
				config.Store = withJournal(t, failingFor{group: "b"})
				config.Limits = limits.Limits{}.With(limits.BodySize, 4000)
			})
			w := sendJSON(s, otlpPath, nil, c.resources...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || w.Header().Get("Content-Type") != "application/json" ||
				(w.Header().Get("Retry-After") != "") != c.retry {
				t.Errorf("%d %v\n%s\nwant %d\n%s", w.Code, w.Header(), w.Body, c.status, c.body)
			}
		})
	}
}

// TestOTLPErrors: errors are a google.rpc.Status in the encoding of the request, in JSON if that is unknown.
func TestOTLPErrors(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) {
		c.Guard = newGuard(t, `users: [{name: a, bearer_token_sha256: TOKEN(a), allow: [push], match: '{job="a"}'}]`)
	})
	const protobuf = "application/x-protobuf"
	body, err := proto.Marshal(exportOf([]string{"service.name", "b"}, gauge("g", number(1, 1))))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token, target, body, contentType string
		status, code                           int
	}{
		{"malformed", "a", otlpPath, "\x01", protobuf, 400, 3},
		{"an unknown option", "a", otlpPath + "?tll=1h", "", protobuf, 400, 3},
		{"another group", "a", otlpPath, string(body), protobuf, 403, 7},
		{"no token", "", otlpPath, string(body), protobuf, 401, 16},
		{"another type", "a", otlpPath, "m 1\n", "text/plain", 415, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := as(s, c.token, "POST", c.target, c.body, "Content-Type", c.contentType)
			switch contentType := w.Header().Get("Content-Type"); {
			case c.contentType != protobuf:
				if contentType != "application/json" || !strings.HasPrefix(w.Body.String(), fmt.Sprintf(`{"code":%d,`, c.code)) {
					t.Errorf("%s %s", contentType, w.Body)
				}
			case contentType != protobuf:
				t.Errorf("%s %s", contentType, w.Body)
			default:
				var code uint64
				var message string
				err := protofield.Each(w.Body.Bytes(), func(x protofield.Field) error {
					switch x.Number {
					case 1:
						code = x.Bits
					case 2:
						message = x.String()
					}
					return nil
				})
				if err != nil || int(code) != c.code || message == "" {
					t.Errorf("%d %q, %v", code, message, err)
				}
			}
			if w.Code != c.status {
				t.Errorf("%d, want %d", w.Code, c.status)
			}
		})
	}
}

// TestOTLPRetries: if one group could not be stored, the export is sent again, and adds nothing twice.
func TestOTLPRetries(t *testing.T) {
	failing := &failingOnce{}
	s, _ := newTestServer(t, func(c *Config) { c.SelfMetricsPath = "/self"; c.Store = withJournal(t, failing) })
	a, b := resourceJSON(counterJSON("c", 1, 2, 1), "service.name", "a"), resourceJSON(counterJSON("c", 1, 3, 1), "service.name", "b")
	failing.group = "b"
	for i, want := range []int{503, 200, 200} {
		if w := sendJSON(s, otlpPath, nil, a, b); w.Code != want {
			t.Fatalf("attempt %d: %d %s", i+1, w.Code, w.Body)
		}
		failing.group = ""
	}
	// A later interval, and one that the client itself identifies.
	for _, headers := range [][]string{nil, {idempotencyHeader, "k"}, {idempotencyHeader, "k"}} {
		if w := sendJSON(s, otlpPath, headers, resourceJSON(counterJSON("c", 1, 2, 2), "service.name", "a")); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	// Without times, the gateway cannot know whether it is a retry.
	untimed := strings.ReplaceAll(b, `"timeUnixNano":"1000000000"`, `"timeUnixNano":"0"`)
	for range 2 {
		if w := sendJSON(s, otlpPath, nil, untimed); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	const want = "c_total{instance=\"\",job=\"a\"} 6\nc_total{instance=\"\",job=\"b\"} 9\n"
	if got := pushed(s); got != want {
		t.Errorf("got\n%s", got)
	}
}

// failingOnce is a journal that cannot persist changes of one group for the moment.
type failingOnce struct{ failingFor }

// TestOTLPLimits: the limits of a push hold for each group.
func TestOTLPLimits(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.Limits = limits.Limits{}.With(limits.Series, 2) })
	few := resourceJSON(gaugeJSON("g", 1), "service.name", "a")
	many := resourceJSON(gaugeJSON("g", 1)+","+gaugeJSON("h", 1)+","+gaugeJSON("i", 1), "service.name", "b")
	w := sendJSON(s, otlpPath, nil, few, many)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"rejectedDataPoints":"3"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	limited, _ := newTestServer(t, func(c *Config) { c.PushRate = 0.001 })
	for w = sendJSON(limited, otlpPath, nil, few); w.Code == 200; w = sendJSON(limited, otlpPath, nil, few) {
	}
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || !strings.HasPrefix(w.Body.String(), `{"code":8,`) {
		t.Errorf("too many: %d %v %s", w.Code, w.Header(), w.Body)
	}
	w = sendJSON(s, otlpPath, nil, many)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "series") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestOTLPPaths: an export to the path of another gateway, or of another signal, is told where metrics go.
func TestOTLPPaths(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for _, c := range []struct {
		path   string
		status int // as upstream's
		want   string
	}{
		{"/v1/metrics", 404, otlpPath},
		{"/v1/traces", 404, otlpPath},
		{"/api/v1/otlp/v1/logs", 404, otlpPath},
		{"/", 405, otlpPath},
		{"/api/v1/metrics", 405, otlpPath},
		{"/with/ttl=1h/v1/metrics", 404, "/with/ttl=1h" + otlpPath},
		{"/with/ttl=1h", 404, "/with/ttl=1h" + otlpPath},
	} {
		for _, contentType := range []string{"application/x-protobuf", "application/json"} {
			w := do(s, "POST", c.path, "", "Content-Type", contentType)
			if w.Code != c.status || (w.Header().Get("Allow") != "") != (c.status == 405) ||
				!strings.HasSuffix(w.Body.String(), "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to http://example.com"+c.want+"\n") {
				t.Errorf("%s: %d %v %s", c.path, w.Code, w.Header(), w.Body)
			}
		}
	}
	for _, path := range []string{"/", "/api/v1/metrics"} {
		if w := do(s, "POST", path, "m 1\n"); w.Code != 405 || strings.Contains(w.Body.String(), "OTLP") {
			t.Errorf("a push of text to %s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestGRPC: a call by gRPC is told what to use instead, as an error of gRPC.
func TestGRPC(t *testing.T) {
	s, _ := newTestServer(t, nil)
	r := httptest.NewRequest("POST", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", nil)
	r.ProtoMajor, r.ProtoMinor = 2, 0
	r.Header.Set("Content-Type", "application/grpc+proto")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	message, err := url.PathUnescape(w.Header().Get("Grpc-Message"))
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/grpc" || w.Header().Get("Grpc-Status") != "12" || w.Body.Len() > 0 ||
		err != nil || !strings.Contains(message, "not over gRPC") || !strings.HasSuffix(message, "http://example.com"+otlpPath) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}
