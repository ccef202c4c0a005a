package otlp

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// TestDecodingTakesWhatItReserves decodes bodies that are as short as they can be for what they have.
func TestDecodingTakesWhatItReserves(t *testing.T) {
	const n = 10_000
	repeat := func(format string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprintf("%x", i)))
		}
		return b.String()
	}
	points := func(name, of, points string) string { // in JSON, of a metric
		return `{"name":"` + name + `",` + of + `"dataPoints":[` + points + `]}}`
	}
	const gauge, histogram = `"gauge":{`, `"histogram":{"aggregationTemporality":1,`
	for _, c := range []struct{ name, body string }{
		{"points of one series", inRequest(`[` + points("g", gauge, repeat(`{}`)) + `]`)},
		{"series", inRequest(`[` + points("g", gauge, repeat(`{"attributes":[{"key":"a","value":{"stringValue":"#"}}]}`)) + `]`)},
		{"attributes", inRequest(`[` + points("g", gauge, `{"attributes":[`+repeat(`{"key":"#","value":{"boolValue":true}}`)+`]}`) + `]`)},
		{"metrics", inRequest(`[` + repeat(points("#", gauge, `{}`)) + `]`)},
		{"histograms", inRequest(`[` + points("g", histogram, repeat(`{}`)) + `]`)},
		{"buckets", inRequest(`[` + points("g", `"exponentialHistogram":{`, `{"positive":{"bucketCounts":[`+repeat(`0`)+`]}}`) + `]`)},
		{"groups", `{"resourceMetrics":[` + repeat(`{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"#"}}]},`+
			`"scopeMetrics":[{"metrics":[`+points("g", gauge, `{}`)+`]}]}`) + `]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, err := fromJSON([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			reserved, refused := int64(0), errors.New("no memory")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = New(Config{}).Decode(body, Protobuf, byJob, func(memory int64) error {
				reserved = memory
				return nil
			})
			runtime.ReadMemStats(&after)
			if took := int64(after.TotalAlloc - before.TotalAlloc); err != nil || took > reserved {
				t.Errorf("%d bytes take %d, reserved are %d; %v", len(body), took, reserved, err)
			}
			if _, err := New(Config{}).Decode(body, Protobuf, byJob, func(int64) error { return refused }); err != refused {
				t.Errorf("without memory: %v", err)
			}
		})
	}
}

func byJob(metric.GroupingKey) []string { return nil }
