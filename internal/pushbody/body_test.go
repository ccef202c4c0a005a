package pushbody

import (
	"fmt"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

func TestContentEncodings(t *testing.T) {
	for _, c := range []struct {
		name, encoding, body string
		reason               metric.Reason // "" if it is accepted
		want                 string
	}{
		{"none", "", "m 1\n", "", ""},
		{"identity", "identity", "m 1\n", "", ""},
		{"unknown", "utf-8", "m 1\n", "", ""},
		{"identity in upper case", "IDENTITY", "m 1", "", ""},
		{"gzip", "gzip", asGzip(t, "m 1\n"), "", ""},
		{"gzip in mixed case", "GZip", asGzip(t, "m 1\n"), "", ""},
		{"snappy", "snappy", asSnappy(t, "m 1\n"), "", ""},
		{"snappy in mixed case", "Snappy", asSnappy(t, "m 1"), "", ""},
		{"zstd", "zstd", asZstd(t, "m 1\n"), "", ""},
		{"zstd in upper case", "ZSTD", asZstd(t, "m 1\r\n"), "", ""},

		{"not gzip", "gzip", "m 1\n", metric.BadEncoding, "Content-Encoding: gzip"},
		{"not snappy", "snappy", "m 1\n", metric.BadEncoding, "Content-Encoding: snappy"},
		{"not zstd", "zstd", "m 1\n", metric.BadEncoding, "Content-Encoding: zstd"},
		{"gzip cut short", "gzip", asGzip(t, "m 1\n")[:20], metric.BadEncoding, "Content-Encoding: gzip"},
		{"unknown, and no metrics", "utf-8", "m{\n", metric.Malformed, "the header Content-Encoding: utf-8 is not a known compression"},
		{"gzip without header", "", asGzip(t, "m 1\n"), metric.Malformed, "with the header Content-Encoding: gzip"},
		{"zstd without header", "", asZstd(t, "m 1\n"), metric.Malformed, "with the header Content-Encoding: zstd"},
		{"snappy without header", "", asSnappy(t, "m 1\n"), metric.Malformed, "with the header Content-Encoding: snappy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			families, err := read(c.body, "Content-Encoding", c.encoding)
			if reasonOf(err) != c.reason || c.reason == "" && (err != nil || len(families) != 1) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%d families, %v, want %q: %s", len(families), err, c.reason, c.want)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	const (
		protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
		openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
		gauge       = "\x12\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
	)
	for _, c := range []struct {
		name, contentType, body string
		reason                  metric.Reason // "" if it is accepted
		want                    string
	}{
		{"none", "", "m 1", "", ""},
		{"text", "text/plain", "m 1", "", ""},
		{"not a media type", "nonsense;;", "m 1", "", ""},
		{"JSON", "application/json", "m 1", "", ""},
		{"form", "application/x-www-form-urlencoded", "m 1", "", ""},
		{"protobuf", protobuf, gauge, "", ""},
		{"empty protobuf", protobuf, "", "", ""},
		{"OpenMetrics", openMetrics, "# TYPE c counter\nc_total 1 # {id=\"x\"} 1\nc_created 1.5\n# EOF\n", "", ""},
		{"empty OpenMetrics", "application/openmetrics-text", "\ufeff# EOF", "", ""},
		{"OpenMetrics without EOF", "application/openmetrics-text", "c 1\n", "", ""},

		{"text as protobuf", protobuf, "m 1\n", metric.Malformed, "leave it out to push the text format"},
		{"protobuf without header", "", gauge, metric.Malformed, "send it with the header Content-Type: application/vnd.google.protobuf"},
		{"protobuf without parameters", "application/vnd.google.protobuf", gauge, metric.Malformed, "Content-Type"},
		{"lines joined by curl", "application/x-www-form-urlencoded", "a 1b 2", metric.Malformed, "--data-binary"},
		{"form with parts", "multipart/form-data; boundary=x", "--x", metric.Malformed, "instead of -F"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(c.body, "Content-Type", c.contentType)
			if reasonOf(err) != c.reason || c.reason == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v, want %q: %s", err, c.reason, c.want)
			}
		})
	}
	t.Run("remote write", func(t *testing.T) {
		_, err := read("x", "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy")
		if reasonOf(err) != metric.WrongProtocol || !strings.Contains(err.Error(), "remote write") {
			t.Error(err)
		}
	})
}
