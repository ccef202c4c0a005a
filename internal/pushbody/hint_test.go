package pushbody

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/snappy"
)

// utf16LE encodes ASCII as Windows PowerShell writes it to a file.
func utf16LE(text string) string {
	out := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

// TestHintsWork reads a body that is rejected, does what the error says, and sees that it is
// accepted.
func TestHintsWork(t *testing.T) {
	const protobuf = protobufType + "; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	const gauge = "\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f" // a message
	var lines strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&lines, "m{l=\"%d\"} 1\n", i)
	}
	type headers = []string
	type request struct {
		body    string
		headers headers
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
	body := func(body, says string) func(*testing.T, request, string) request {
		return func(t *testing.T, r request, answer string) request {
			first(t, "("+says+")", answer)
			r.body = body
			return r
		}
	}
	withHeader := func(name string) func(*testing.T, request, string) request {
		return func(t *testing.T, r request, answer string) request {
			r.headers = headers{name, first(t, name+`: ([^\n(]+[^\n( ])`, answer)}
			return r
		}
	}
	for _, c := range []struct {
		name     string
		rejected request
		follow   func(t *testing.T, r request, answer string) request
	}{
		{"JSON", request{body: `{"some_metric": 3.14}`}, func(t *testing.T, r request, answer string) request {
			r.body = first(t, `such as "([^"]+)"`, answer)
			return r
		}},
		{"JSON of another form", request{body: `[{"a": "b"}]`}, func(t *testing.T, r request, answer string) request {
			r.body = first(t, `such as "([^"]+)"`, answer)
			return r
		}},
		{"JSON of several lines", request{body: "{\"some_metric\": 3.14}\n{\"b\": 1}\n"}, func(t *testing.T, r request, answer string) request {
			r.body = first(t, `such as "([^"]+)"`, answer)
			return r
		}},
		{"UTF-16", request{body: utf16LE("some_metric 3.14\r\n")}, body("some_metric 3.14\r\n", "Out-File -Encoding ascii")},
		{"quotes of cmd.exe", request{body: "\"some_metric 3.14\" \r\n"}, func(t *testing.T, r request, answer string) request {
			r.body = first(t, `as in echo ([^\n(]+) `, answer) + " \r\n"
			return r
		}},
		{"escaped quotes of cmd.exe", request{body: `"m{a=\"b\"} 1"`}, func(t *testing.T, r request, answer string) request {
			r.body = first(t, `as in echo ([^\n(]+) `, answer) + " \r\n"
			return r
		}},
		{"literal line break", request{body: `x 1\ny 2\n`}, body("x 1\ny 2\n", "printf")},
		{"option of echo", request{body: "-e # TYPE x gauge\nx 1\n"}, body("# TYPE x gauge\nx 1\n", "-e, which echo .* use printf")},
		{"OpenMetrics as text", request{body: "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n"}, withHeader("Content-Type")},
		{"info as text", request{body: "# TYPE build info\nbuild_info{v=\"1\"} 1\n# EOF\n"}, withHeader("Content-Type")},
		{"protobuf as text", request{body: "\x12" + gauge}, withHeader("Content-Type")},
		{"protobuf without length", request{body: gauge, headers: headers{"Content-Type", protobuf}},
			func(t *testing.T, r request, answer string) request {
				r.body = "\x12" + r.body
				return withHeader("Content-Type")(t, r, answer)
			}},
		{"protobuf as words", request{body: `name:"g" type:GAUGE metric:{gauge:{value:3}}`,
			headers: headers{"Content-Type", protobufType + "; encoding=text"}},
			func(t *testing.T, r request, answer string) request {
				r.body = "\x12" + gauge
				return withHeader("Content-Type")(t, r, answer)
			}},
		{"families of protobuf as words", request{body: "name:\"g\" type:GAUGE metric:{gauge:{value:3}}\n\nname: \"h\"\n" +
			"type: GAUGE\nmetric: {gauge: {value: 3}}\n", headers: headers{"Content-Type", protobuf}},
			func(t *testing.T, r request, answer string) request {
				r.body = "\x12" + gauge
				return withHeader("Content-Type")(t, r, answer)
			}},
		{"text as protobuf", request{body: "m 1\n", headers: headers{"Content-Type", protobuf}},
			func(t *testing.T, r request, answer string) request {
				first(t, "(leave it out)", answer)
				r.headers = nil
				return r
			}},
		{"gzip", request{body: asGzip(t, "m 1\n")}, withHeader("Content-Encoding")},
		{"zstd", request{body: asZstd(t, "m 1\n")}, withHeader("Content-Encoding")},
		{"snappy", request{body: asSnappy(t, "m 1\n")}, withHeader("Content-Encoding")},
		{"much gzip", request{body: asGzip(t, lines.String())}, withHeader("Content-Encoding")},
		{"snappy block", request{body: string(snappy.Encode(nil, []byte("m 1\n")))}, func(t *testing.T, r request, answer string) request {
			r.body = asSnappy(t, "m 1\n")
			return withHeader("Content-Encoding")(t, r, answer)
		}},
		{"snappy block with header", request{body: string(snappy.Encode(nil, []byte("m 1\n"))),
			headers: headers{"Content-Encoding", "snappy"}},
			func(t *testing.T, r request, answer string) request {
				first(t, "(framing format)", answer)
				r.body = asSnappy(t, "m 1\n")
				return r
			}},
		{"not compressed", request{body: "m 1\n", headers: headers{"Content-Encoding", "gzip"}},
			func(t *testing.T, r request, answer string) request {
				first(t, "(without that header)", answer)
				r.headers = nil
				return r
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(c.rejected.body, c.rejected.headers...)
			if reasonOf(err) == "" {
				t.Fatalf("%v, want a rejection", err)
			}
			r := c.follow(t, c.rejected, err.Error())
			if families, again := read(r.body, r.headers...); again != nil || !hasMetrics(families) {
				t.Errorf("after %q: %v, %v", err, families, again)
			}
		})
	}
}
