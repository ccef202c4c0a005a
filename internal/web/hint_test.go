package web

import (
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/snappy"

	"pushgateway/internal/metric"
)

// utf16LE encodes ASCII as Windows PowerShell writes it to a file.
func utf16LE(text string) string {
	out := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

// TestAdviceWorks pushes something that is rejected, does what the answer says, and sees
// that it is accepted.
func TestAdviceWorks(t *testing.T) {
	const path = "/metrics/job/x"
	const protobuf = protobufType + "; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	const gauge = "\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f" // a message
	var lines strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&lines, "m{l=\"%d\"} 1\n", i)
	}
	type headers = []string
	// push returns what pushes a body with headers.
	type request struct {
		method, path, body string
		headers            headers
	}
	// first returns the first submatch of pattern in the answer.
	first := func(t *testing.T, pattern, answer string) string {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(answer)
		if found == nil {
			t.Fatalf("no %s in %q", pattern, answer)
		}
		return found[1]
	}
	const gateway = "http://example.com"
	// retyped, renamed and so on follow the advice for a request.
	replaced := func(what, pattern string) func(*testing.T, *Server, request, string) request {
		return func(t *testing.T, _ *Server, r request, answer string) request {
			r.body = strings.Replace(r.body, what, first(t, pattern, answer), 1)
			return r
		}
	}
	body := func(body, says string) func(*testing.T, *Server, request, string) request {
		return func(t *testing.T, _ *Server, r request, answer string) request {
			first(t, "("+says+")", answer)
			r.body = body
			return r
		}
	}
	withHeader := func(name string) func(*testing.T, *Server, request, string) request {
		return func(t *testing.T, _ *Server, r request, answer string) request {
			r.headers = headers{name, first(t, name+`: ([^\n(]+[^\n( ])`, answer)}
			return r
		}
	}
	for _, c := range []struct {
		name     string
		before   []request
		rejected request
		follow   func(t *testing.T, s *Server, r request, answer string) request
	}{
		{"dash in a name", nil, request{body: "my-metric 1\n"}, replaced("my-metric", `such as (\w+)`)},
		{"dot in a name", nil, request{body: "my.metric{a=\"b\"} 1\n"}, replaced("my.metric", `such as (\w+)`)},
		{"blank in a name", nil, request{body: "my metric 1\n"}, replaced("my metric", `such as (\w+)`)},
		{"digit before a name", nil, request{body: "1m 1\n"}, replaced("1m", `such as (\w+)`)},
		{"dash in a label", nil, request{body: "m{my-label=\"x\"} 1\n"}, replaced("my-label", `such as (\w+)`)},
		{"blank in a label", nil, request{body: "m{a=\"b\",my label=\"x\"} 1\n"}, replaced("my label", `such as (\w+)`)},
		{"quoted name", nil, request{body: "{\"my-metric\"} 1\n"}, replaced(`{"my-metric"}`, `such as (\w+)`)},
		{"dash in an OpenMetrics name", nil, request{body: "my-metric 1 # {a=\"b\"} 1\n# EOF\n",
			headers: headers{"Content-Type", openMetricsType}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `such as (\w+)`, answer) + " 1\n# EOF\n"
				return r
			}},
		{"decimal comma", nil, request{body: "m{disk=\"/dev/sda\"} 0,5\n"}, replaced("0,5", `write ([0-9.]+)`)},
		{"JSON", nil, request{body: `{"some_metric": 3.14}`}, func(t *testing.T, _ *Server, r request, answer string) request {
			r.body = first(t, `such as "([^"]+)"`, answer)
			return r
		}},
		{"JSON of another form", nil, request{body: `[{"a": "b"}]`}, func(t *testing.T, _ *Server, r request, answer string) request {
			r.body = first(t, `such as "([^"]+)"`, answer)
			return r
		}},
		{"UTF-16", nil, request{body: utf16LE("some_metric 3.14\r\n")}, body("some_metric 3.14\r\n", "Out-File -Encoding ascii")},
		{"quotes of cmd.exe", nil, request{body: "\"some_metric 3.14\" \r\n"}, func(t *testing.T, _ *Server, r request,
			answer string) request {
			r.body = first(t, `as in echo ([^\n(]+) `, answer) + " \r\n"
			return r
		}},
		{"literal line break", nil, request{body: `x 1\ny 2\n`}, body("x 1\ny 2\n", "printf")},
		{"OpenMetrics as text", nil, request{body: "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n"}, withHeader("Content-Type")},
		{"info as text", nil, request{body: "# TYPE build info\nbuild_info{v=\"1\"} 1\n# EOF\n"}, withHeader("Content-Type")},
		{"protobuf as text", nil, request{body: "\x12" + gauge}, withHeader("Content-Type")},
		{"protobuf without length", nil, request{body: gauge, headers: headers{"Content-Type", protobuf}},
			func(t *testing.T, s *Server, r request, answer string) request {
				r.body = "\x12" + r.body
				return withHeader("Content-Type")(t, s, r, answer)
			}},
		{"protobuf as words", nil, request{body: `name:"g" type:GAUGE metric:{gauge:{value:3}}`,
			headers: headers{"Content-Type", protobufType + "; encoding=text"}},
			func(t *testing.T, s *Server, r request, answer string) request {
				r.body = "\x12" + gauge
				return withHeader("Content-Type")(t, s, r, answer)
			}},
		{"text as protobuf", nil, request{body: "m 1\n", headers: headers{"Content-Type", protobuf}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				first(t, "(leave it out)", answer)
				r.headers = nil
				return r
			}},
		{"gzip", nil, request{body: asGzip(t, "m 1\n")}, withHeader("Content-Encoding")},
		{"zstd", nil, request{body: asZstd(t, "m 1\n")}, withHeader("Content-Encoding")},
		{"snappy", nil, request{body: asSnappy(t, "m 1\n")}, withHeader("Content-Encoding")},
		{"much gzip", nil, request{body: asGzip(t, lines.String())}, withHeader("Content-Encoding")},
		{"snappy block", nil, request{body: string(snappy.Encode(nil, []byte("m 1\n")))}, func(t *testing.T, s *Server, r request,
			answer string) request {
			r.body = asSnappy(t, "m 1\n")
			return withHeader("Content-Encoding")(t, s, r, answer)
		}},
		{"snappy block with header", nil, request{body: string(snappy.Encode(nil, []byte("m 1\n"))),
			headers: headers{"Content-Encoding", "snappy"}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				first(t, "(framing format)", answer)
				r.body = asSnappy(t, "m 1\n")
				return r
			}},
		{"not compressed", nil, request{body: "m 1\n", headers: headers{"Content-Encoding", "gzip"}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				first(t, "(without that header)", answer)
				r.headers = nil
				return r
			}},
		{"another type", []request{{path: "/metrics/job/a", body: "# TYPE m gauge\nm 1\n"}}, request{body: "# TYPE m counter\nm 2\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `(# TYPE m \w+)`, answer) + "\nm 2\n"
				return r
			}},
		{"another type", []request{{path: "/metrics/job/a", body: "# TYPE m gauge\nm 1\n"}}, request{body: "# TYPE m counter\nm 2\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `(# TYPE m \w+)`, answer) + "\nm 2\n"
				return r
			}},
		{"series of another group", []request{{path: "/metrics/job/x/instance/i", body: "m 1\n"}}, request{body: "m{instance=\"i\"} 2\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				first(t, "(give it a label that differs)", answer)
				r.body = "m{instance=\"i\",source=\"x\"} 2\n"
				return r
			}},
		{"timestamp", nil, request{body: "m 1 1700000000000\n"}, func(t *testing.T, _ *Server, r request, answer string) request {
			r.path += "?" + first(t, `push with (timestamps=drop)`, answer)
			return r
		}},
		{"two jobs", nil, request{body: "up{job=\"a\"} 1\nup{job=\"b\"} 1\n"}, func(t *testing.T, _ *Server, r request,
			answer string) request {
			r.path = strings.TrimPrefix(first(t, `push to '([^']+)'`, answer), gateway)
			return r
		}},
		{"values where sums are", []request{{path: path + "?merge=sum", body: "# TYPE c counter\nc 1\n"}},
			request{body: "# TYPE c counter\nc 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.path = strings.TrimPrefix(first(t, `with curl: '([^']+)'`, answer), gateway)
				return r
			}},
		{"replace sums", []request{{path: path + "?merge=sum", body: "# TYPE c counter\nc 1\n"}}, request{body: "# TYPE c counter\nc 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.method, r.path = "PUT", r.path+"?"+first(t, `with PUT and (merge=group)`, answer)
				return r
			}},
		{"sums where values are", []request{{path: path, body: "# TYPE c counter\nc 1\n"}}, request{path: path + "?merge=sum",
			body: "# TYPE c counter\nc 1\n"},
			func(t *testing.T, s *Server, r request, answer string) request {
				do(s, "DELETE", strings.TrimPrefix(first(t, `curl -X DELETE '([^']+)'`, answer), gateway), "")
				return r
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			push := func(r request) *httptest.ResponseRecorder {
				if r.method == "" {
					r.method = "POST"
				}
				if r.path == "" {
					r.path = path
				}
				return do(s, r.method, r.path, r.body, r.headers...)
			}
			for _, r := range c.before {
				push(r)
			}
			if c.rejected.path == "" {
				c.rejected.path = path
			}
			w := push(c.rejected)
			if w.Code != 400 {
				t.Fatalf("%d %s, want a rejection", w.Code, w.Body)
			}
			answer := w.Body.String()
			if w = push(c.follow(t, s, c.rejected, answer)); w.Code != 200 {
				t.Errorf("after %q: %d %s", answer, w.Code, w.Body)
			}
		})
	}
}

// TestUTF8NamesAdvised has a gateway allow what the answer of another one says it could.
func TestUTF8NamesAdvised(t *testing.T) {
	for _, body := range []string{"{\"my-metric\"} 1\n", "m{\"my-label\"=\"x\"} 1\n"} {
		s, _ := newTestServer(t, nil)
		w := do(s, "POST", "/metrics/job/x", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "--push.enable-utf8-names") {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		s, _ = newTestServer(t, func(c *Config) { c.Validation = metric.UTF8Validation })
		if w := do(s, "POST", "/metrics/job/x", body); w.Code != 200 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	// Without quotes a name stays invalid, and the answer says where they go.
	for body, quoted := range map[string]string{"my-metric 1\n": `{"my-metric"} 1`, "m{my-label=\"x\"} 1\n": `m{"my-label"="x"} 1`} {
		s, _ := newTestServer(t, func(c *Config) { c.Validation = metric.UTF8Validation })
		w := do(s, "POST", "/metrics/job/x", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "in quotes: {\"my-") {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
		if w := do(s, "POST", "/metrics/job/x", quoted); w.Code != 200 {
			t.Errorf("%s: %d %s", quoted, w.Code, w.Body)
		}
	}
}
