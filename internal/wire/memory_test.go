package wire

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
)

// delimited returns a message with its length before it, as in a body.
func delimited(fields ...[]byte) []byte {
	var message []byte
	for _, f := range fields {
		message = append(message, f...)
	}
	return protowire.AppendBytes(nil, message)
}

func messageField(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

// TestMemoryOfShortBodies parses bodies that are as short as they can be for what they contain. What
// they are parsed to takes no more memory than Memory says.
func TestMemoryOfShortBodies(t *testing.T) {
	const many = 100_000
	lines := func(format string) []byte {
		var b strings.Builder
		for i := range many {
			fmt.Fprintf(&b, strings.ReplaceAll(format, "N", "%[1]x"), i)
		}
		return []byte(b.String())
	}
	repeated := func(number protowire.Number) []byte {
		return []byte(strings.Repeat(string(messageField(number, nil)), many))
	}
	name := messageField(familyName, []byte("a"))
	typ := func(typ metric.Type) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, familyType, protowire.VarintType), uint64(typ))
	}
	var families []byte
	for i := range many {
		families = append(families, delimited(messageField(familyName, fmt.Appendf(nil, "m%x", i)), typ(metric.Gauge),
			messageField(familyMetric, messageField(metricGauge, nil)))...)
	}
	for _, c := range []struct {
		name   string
		format Format
		body   []byte
	}{
		{"families", Text, lines("mN 1\n")},
		{"families with their types", Text, lines("# TYPE mN gauge\nmN 1\n")},
		{"histograms", Text, lines("# TYPE mN histogram\nmN_sum 1\n")},
		{"types alone", Text, lines("# TYPE mN gauge\n")},
		{"series of two families in turn", Text, lines("m{a=\"N\"} 1\nn{a=\"N\"} 1\n")},
		{"OpenMetrics", OpenMetrics, append(lines("mN 1\n"), "# EOF\n"...)},
		{"protobuf families", Protobuf, families},
		{"labels", Protobuf, delimited(name, typ(metric.Gauge), messageField(familyMetric, repeated(metricLabel)))},
		{
			"buckets", Protobuf,
			delimited(name, typ(metric.Histogram), messageField(familyMetric, messageField(metricHistogram, repeated(histogramBucket)))),
		},
		{
			"quantiles", Protobuf,
			delimited(name, typ(metric.Summary), messageField(familyMetric, messageField(metricSummary, repeated(summaryQuantile)))),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := Memory(c.body, c.format, 0)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			families := new(kept)
			if err := new(Parser).ParseTo(c.body, c.format, metric.UTF8Validation, families); err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > want {
				t.Errorf("%d bytes are parsed to %d, but Memory says %d", len(c.body), used, want)
			} else {
				t.Logf("%d bytes are parsed to %d, Memory says %d", len(c.body), used, want)
			}
			runtime.KeepAlive(families)
		})
	}
}

// kept is a sink that keeps a copy of each batch, with the metrics.
type kept struct{ all []metric.Family }

func (k *kept) Add(families []metric.Family) error {
	for i := range families {
		f := families[i]
		f.Metrics = append([]metric.Metric(nil), f.Metrics...)
		k.all = append(k.all, f)
	}
	return nil
}
func (k *kept) Done(families []metric.Family) error { return k.Add(families) }
func (k *kept) Reset()                              { k.all = nil }

// TestMemoryOfUsualBodies: a body of usual metrics takes what its size says.
func TestMemoryOfUsualBodies(t *testing.T) {
	series := []byte("# TYPE m gauge\n" + strings.Repeat("m{path=\"/api\"} 1\n", 10_000))
	const line = "http_requests_duration_seconds_%d_total"
	var families strings.Builder
	for i := range 1000 {
		name := fmt.Sprintf(line, i)
		fmt.Fprintf(&families, "# HELP %[1]s The number of requests.\n# TYPE %[1]s counter\n%[1]s{code=\"200\"} 12\n", name)
	}
	for _, body := range [][]byte{series, []byte(families.String())} {
		if enough := 6 * int64(len(body)); Memory(body, Text, enough) > enough {
			t.Errorf("%d bytes take %d", len(body), Memory(body, Text, 0))
		}
	}
}
