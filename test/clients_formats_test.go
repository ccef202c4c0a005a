package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestClientsFormats pushes with client_golang in each format that it can send.
func TestClientsFormats(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.enable-utf8-names")
	openMetrics := func(version string) expfmt.Format {
		format, err := expfmt.NewOpenMetricsFormat(version)
		if err != nil {
			t.Fatal(err)
		}
		return format
	}
	utf8 := expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.NoEscaping)
	for name, c := range map[string]struct {
		format   expfmt.Format
		rejected string // a part of the reason
	}{
		"text":              {format: expfmt.NewFormat(expfmt.TypeTextPlain)},
		"openmetrics-0.0.1": {format: openMetrics(expfmt.OpenMetricsVersion_0_0_1)},
		"openmetrics-1.0.0": {format: openMetrics(expfmt.OpenMetricsVersion_1_0_0)},
		"delimited":         {format: expfmt.NewFormat(expfmt.TypeProtoDelim)},
		"compact":           {expfmt.NewFormat(expfmt.TypeProtoCompact), "encoding=delimited"},
		"prototext":         {expfmt.NewFormat(expfmt.TypeProtoText), "encoding=delimited"},
	} {
		counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "files_total", Help: "Files."})
		counter.Add(7)
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "size.bytes", Help: "A name that needs quotes."})
		gauge.Set(4096)
		histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "seconds", Help: "Seconds.", Buckets: []float64{1}})
		histogram.Observe(0.5)
		summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "rows", Help: "Rows.", Objectives: map[float64]float64{0.5: 0.1}})
		summary.Observe(3)

		err := push.New(p.URL, name).Format(c.format.WithEscapingScheme(model.NoEscaping)).
			Collector(counter).Collector(gauge).Collector(histogram).Collector(summary).Push()
		switch {
		case c.rejected != "":
			if err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), c.rejected) {
				t.Errorf("%s: %v, want status 400 and %q", name, err, c.rejected)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			labels := `{instance="",job="` + name + `"`
			want := []string{
				"files_total" + labels + "} 7", `{"size.bytes",` + labels[1:] + "} 4096",
				"seconds_bucket" + labels + `,le="1"} 1`, "seconds_bucket" + labels + `,le="+Inf"} 1`,
				"seconds_sum" + labels + "} 0.5", "seconds_count" + labels + "} 1",
				"rows" + labels + `,quantile="0.5"} 3`, "rows_sum" + labels + "} 3", "rows_count" + labels + "} 1",
			}
			slices.Sort(want)
			got := slices.DeleteFunc(samplesOf(t, p.get(t, "/metrics", "Accept", string(utf8))), func(line string) bool {
				return !strings.Contains(line, labels[1:])
			})
			wantLines(t, name, got, want)
		}
	}
}

// TestClientsBlanks: a client that sends a blank as + gets a plus, as with upstream.
func TestClientsBlanks(t *testing.T) {
	t.Parallel()
	p := start(t)
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "x", Help: "X."})
	if err := push.New(p.URL, "two words").Grouping("database", "a+b c").Collector(gauge).Push(); err != nil {
		t.Fatal(err)
	}
	p.wantPaths(t, "after the push", "/metrics/job/two+words/database/a+b+c")
}
