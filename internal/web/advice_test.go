package web

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// TestAdviceWorks pushes something that is rejected, does what the answer says, and sees
// that it is accepted.
func TestAdviceWorks(t *testing.T) {
	const path = "/metrics/job/x"
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
	// replaced follows the advice to write something else.
	replaced := func(what, pattern string) func(*testing.T, *Server, request, string) request {
		return func(t *testing.T, _ *Server, r request, answer string) request {
			r.body = strings.Replace(r.body, what, first(t, pattern, answer), 1)
			return r
		}
	}
	// instead follows advice that says so with another body.
	instead := func(body, says string) func(*testing.T, *Server, request, string) request {
		return func(t *testing.T, _ *Server, r request, answer string) request {
			first(t, "("+says+")", answer)
			r.body = body
			return r
		}
	}
	for _, c := range []struct {
		name     string
		before   []request
		rejected request
		follow   func(t *testing.T, s *Server, r request, answer string) request
	}{
		{"dash in a name", nil, request{body: "my-metric 1\n"}, replaced("my-metric", `write (\w+)`)},
		{"dot in a name", nil, request{body: "my.metric{a=\"b\"} 1\n"}, replaced("my.metric", `write (\w+)`)},
		{"blank in a name", nil, request{body: "my metric 1\n"}, replaced("my metric", `write (\w+)`)},
		{"digit before a name", nil, request{body: "1m 1\n"}, replaced("1m", `write (\w+)`)},
		{"dash in a label", nil, request{body: "m{my-label=\"x\"} 1\n"}, replaced("my-label", `write (\w+)`)},
		{"blank in a label", nil, request{body: "m{a=\"b\",my label=\"x\"} 1\n"}, replaced("my label", `write (\w+)`)},
		{"quoted name", nil, request{body: "{\"my-metric\"} 1\n"}, replaced(`{"my-metric"}`, `write (\w+)`)},
		{"dash in an OpenMetrics name", nil, request{body: "my-metric 1 # {a=\"b\"} 1\n# EOF\n",
			headers: headers{"Content-Type", "application/openmetrics-text"}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `write (\w+)`, answer) + " 1\n# EOF\n"
				return r
			}},
		{"dash after TYPE in OpenMetrics", nil, request{body: "# TYPE my-metric gauge\nmy-metric 1\n# EOF\n",
			headers: headers{"Content-Type", "application/openmetrics-text"}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = strings.ReplaceAll(r.body, "my-metric", first(t, `line 1: "my-metric" is .* write (\w+)`, answer))
				return r
			}},
		{"dash in an OpenMetrics label", nil, request{body: "m{my-label=\"x\"} 1 # {a=\"b\"} 1\n# EOF\n",
			headers: headers{"Content-Type", "application/openmetrics-text"}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = "# TYPE m gauge\nm{" + first(t, `write (\w+)`, answer) + "=\"x\"} 1\n# EOF\n"
				return r
			}},
		{"decimal comma in OpenMetrics", nil, request{body: "m 0,5\n# EOF\n", headers: headers{"Content-Type", "application/openmetrics-text"}},
			replaced("0,5", `write ([0-9.]+)`)},
		{"decimal comma", nil, request{body: "m{disk=\"/dev/sda\"} 0,5\n"}, replaced("0,5", `write ([0-9.]+)`)},
		{"percent", nil, request{body: "m 45%\n"}, replaced("45%", `write ([0-9.]+)`)},
		{"unit", nil, request{body: "m 1.5GiB\n"}, replaced("1.5GiB", `write ([0-9.]+)`)},
		{"boolean", nil, request{body: "m true\n"}, replaced("true", `write ([0-9.]+)`)},
		{"comma of thousands or decimals", nil, request{body: "m 1,000\n"}, instead("m 1000\n", "write 1000 or 1.000")},
		{"number in quotes", nil, request{body: "m \"1\"\n"}, replaced(`"1"`, `write (\d+)\n`)},
		{"number with a semicolon", nil, request{body: "m 1;\n"}, replaced("1;", `write (\d+)\n`)},
		{"variable in single quotes", nil, request{body: "m $VALUE\n"}, instead("m 1\n", "a variable in double quotes")},
		{"dash in a name after TYPE", nil, request{body: "# TYPE my-metric gauge\nmy-metric 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = strings.ReplaceAll(r.body, "my-metric", first(t, `line 1: "my-metric" is .* write (\w+)`, answer))
				return r
			}},
		{"null", nil, request{body: "m null\nn 1\n"}, instead("n 1\n", "leave the line out")},
		{"date", nil, request{body: "m 2026-11-26T04:00:00Z\n"}, instead("m 1795665600\n", `in seconds since 1970`)},
		{"equals sign", nil, request{body: "m=1\n"}, replaced("m=1", `write (\S+ \S+)\n`)},
		{"unit after a value", nil, request{body: "m 1 seconds\n"}, instead("m 1\n", `unexpected "seconds" after the value of "m": remove it`)},
		{"two values", nil, request{body: "m 1 2.5\n"}, instead("m 1\n", `unexpected "2.5" after the value of "m": remove it`)},
		{"three values", nil, request{body: "m 1 2 3\n"}, instead("m 1\n", `unexpected "2 3" after the value of "m": remove it`)},
		{"two samples in a line", nil, request{body: "m 1 n{a=\"b\"} 2\n"}, instead("m 1\nn{a=\"b\"} 2\n", "put it on a line of its own")},
		{"labels after the value", nil, request{body: "m 1 {a=\"b\"}\n"}, instead("m{a=\"b\"} 1\n", "put them directly after the name")},
		{"date after a value", nil, request{body: "m 1 2026-11-26\n"},
			instead("m 1\n", `"2026-11-26" after the value of "m" looks like a date: remove it`)},
		{"output of date after a value", nil, request{body: "m 1 Thu Nov 26 10:00:00 UTC 2026\n"},
			instead("m 1\n", "looks like a date: remove it")},
		{"label set without an end", nil, request{body: "m{a=\"b\" 3\n"},
			instead("m{a=\"b\"} 3\n", `'}' is missing after the value of label "a": "3"`)},
		{"label set ending in a comma", nil, request{body: "m{a=\"b\", 3\n"}, instead("m{a=\"b\"} 3\n", `'}' is missing before "3"`)},
		{"labels without a comma", nil, request{body: "m{a=\"b\" c=\"d\"} 3\n"},
			instead("m{a=\"b\",c=\"d\"} 3\n", `',' is missing after the value of label "a"`)},
		{"quote in a label value", nil, request{body: "m{a=\"x\"y\"} 3\n"},
			instead("m{a=\"x\\\"y\"} 3\n", `write \\" for a double quote in a value`)},
		{"line printed twice", nil, request{body: "m 1\nn 1\nm 1\n"}, instead("m 1\nn 1\n", `push it once, .*; lines 1 and 3 have`)},
		{"label missing", nil, request{body: "# TYPE m gauge\nm{a=\"b\"} 1\nm{a=\"b\"} 2\n"},
			instead("m{a=\"b\"} 1\nm{a=\"b\",c=\"d\"} 2\n", "or add a label that differs; lines 2 and 3 have")},
		{"two names", nil, request{body: "m{\"a.b\"} 1\n"}, replaced("{\"a.b\"}", `two metric names, "m" and "a.b": remove one()`)},
		{"label without a value", nil, request{body: "m{a} 1\n"}, replaced("a", `as in (a="x")`)},
		{"label without quotes", nil, request{body: "m{a=b} 1\n"}, replaced("a=b", `as in (a="b")`)},
		{"label in single quotes", nil, request{body: "m{a='b c',d=\"e\"} 1\n"}, replaced("a='b c'", `as in (a="b c")`)},
		{"joined lines", nil, request{body: "# HELP m Help.m 1", headers: headers{"Content-Type", "application/x-www-form-urlencoded"}},
			instead("# HELP m Help.\nm 1\n", "--data-binary")},
		{"joined samples", nil, request{body: "m 1n 2", headers: headers{"Content-Type", "application/x-www-form-urlencoded"}},
			instead("m 1\nn 2\n", "^the lines of the body have been joined")},
		{"joined negative sample", nil, request{body: "m -1n 2", headers: headers{"Content-Type", "application/x-www-form-urlencoded"}},
			instead("m -1\nn 2\n", "^the lines of the body have been joined")},
		{"comment joined to a sample", nil, request{body: "m NaN# TYPE n gaugen 2",
			headers: headers{"Content-Type", "application/x-www-form-urlencoded"}},
			instead("m NaN\n# TYPE n gauge\nn 2\n", "^the lines of the body have been joined")},
		{"one line without a mistake of curl's", nil, request{body: "m yes",
			headers: headers{"Content-Type", "application/x-www-form-urlencoded"}},
			replaced("yes", `write (\d)\n`)},
		{"unknown compression", nil, request{body: "\x78\x9c\xcbU0\xe4\x02", headers: headers{"Content-Encoding", "deflate"}},
			func(t *testing.T, _ *Server, r request, answer string) request {
				first(t, "(drop the header)", answer)
				return request{path: r.path, body: "m 1\n"}
			}},
		{"thousands", nil, request{body: "m 1,234.5\n"}, instead("m 1234.5\n", "without separators of thousands")},
		{"labels dropped from a PUT", nil, request{method: "PUT", path: path + "?drop_labels=a", body: "m{a=\"x\"} 1\nm{a=\"y\"} 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.method = first(t, `push with merge=sum, by (POST)`, answer)
				r.body = "# " + first(t, `with (TYPE) lines`, answer) + " m counter\n" + r.body
				r.path += "&merge=sum"
				return r
			}},
		{"no value", nil, request{body: "m{a=\"b\"}\n"}, instead("m{a=\"b\"} 1\n", `"m" has no value, perhaps because of an unset variable`)},
		{"name only", nil, request{body: "m\n"}, instead("m 1\n", "write a number after it")},
		{"fractional timestamp", nil, request{body: "m 1 1718000000.5\n"},
			instead("m 1\n", `1718000000.5 after the value of "m" looks like a timestamp: remove it`)},
		{"OpenMetrics timestamp as text", nil, request{body: "m 1 1718000000.5\n# EOF\n"},
			func(t *testing.T, s *Server, r request, answer string) request {
				r.path += "?" + first(t, `with (timestamps=drop) in the query`, answer)
				r.headers = headers{"Content-Type", first(t, `Content-Type: ([^,]+),`, answer)}
				return r
			}},
		{"instances without a job", nil, request{path: path + "/instance/i", body: "m{instance=\"a\"} 1\nm{instance=\"b\"} 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.path = strings.TrimPrefix(first(t, `push to '([^']+)' \(each metric needs the label job\)`, answer), gateway)
				r.body = strings.ReplaceAll(r.body, "{", "{job=\"x\",")
				return r
			}},
		{"another type", []request{{path: "/metrics/job/a", body: "# TYPE m gauge\nm 1\n"}}, request{body: "# TYPE m counter\nm 2\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `(# TYPE m \w+)`, answer) + "\nm 2\n"
				return r
			}},
		{"type of a self metric", nil, request{body: "go_goroutines 2\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `(# TYPE go_goroutines \w+)`, answer) + "\ngo_goroutines 2\n"
				return r
			}},
		{"part of a histogram without its type", []request{{path: "/metrics/job/a", body: "# TYPE h histogram\nh_count 1\n"}},
			request{body: "h_bucket{le=\"1\"} 1\nh_count 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.body = first(t, `(# TYPE h \w+)`, answer) + "\n" + r.body
				return r
			}},
		{"series of another group", []request{{path: "/metrics/job/x/instance/i", body: "m 1\n"}}, request{body: "m{instance=\"i\"} 2\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				first(t, "(give it a label that differs)", answer)
				r.body = "m{instance=\"i\",source=\"x\"} 2\n"
				return r
			}},
		{"reserved label in the URL", nil, request{path: path + "/le/1", body: "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n"},
			func(t *testing.T, _ *Server, r request, answer string) request {
				r.path = strings.Replace(r.path, first(t, `not have a label "(le)", .*: rename that label`, answer), "bound", 1)
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
	s, _ := newTestServer(t, nil)
	example := regexp.MustCompile(`quoted names: (.* 1)`).FindStringSubmatch(do(s, "POST", "/metrics/job/x", "my-metric 1\n").Body.String())
	if example == nil {
		t.Fatal("the answer does not say that the name needs quotes")
	}
	s, _ = newTestServer(t, func(c *Config) { c.Validation = metric.UTF8Validation })
	if w := do(s, "POST", "/metrics/job/x", example[1]+"\n"); w.Code != 200 {
		t.Errorf("%s: %d %s", example[1], w.Code, w.Body)
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
