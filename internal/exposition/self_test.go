package exposition_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// TestReservedTypeWins leaves out a persisted family that has the name of a reserved self
// metric but another type: readers of protobuf would see values that nobody pushed.
func TestReservedTypeWins(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", "# TYPE shared counter\nshared 5\n# TYPE zz_own gauge\nzz_own 6\n")
	s.Reserve(map[string]metric.Type{"shared": metric.Gauge, "zz_own": metric.Gauge})
	if hidden := s.HiddenFamilies(); len(hidden) != 1 || hidden[0] != "shared" {
		t.Errorf("hidden are %q", hidden)
	}
	w := newWriter(t)
	for _, format := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeProtoDelim, expfmt.TypeOpenMetrics} {
		f := expfmt.NewFormat(format)
		body := string(write(t, w, s.Snapshot(), selfMetrics(t), f, exposition.Identity))
		if strings.Count(body, "shared") == 0 || strings.Contains(body, "shared{") || !strings.Contains(body, "zz_own") {
			t.Errorf("%s:\n%s", f, body)
		}
		if format == expfmt.TypeProtoDelim && strings.Count(body, "\x00\x00\x14@") > 0 { // 5 as a double
			t.Errorf("the persisted counter is exposed:\n%q", body)
		}
	}
}

// TestSelfMetricsGiveWay pushes what collides with self metrics that are not reserved.
func TestSelfMetricsGiveWay(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "same"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "other_type"}),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushed_sample_seconds", Buckets: []float64{1}}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "pushed_histogram_count"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "untouched"}),
	)
	self, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s := store.InMemory()
	push(t, s, "a", "# TYPE same gauge\nsame 1\n# TYPE other_type counter\nother_type 2\npushed_sample_seconds_sum 3\n"+
		"# TYPE pushed_histogram summary\npushed_histogram{quantile=\"0.5\"} 1\npushed_histogram_sum 1\npushed_histogram_count 4\n")
	w, err := exposition.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	eachForm(func(format expfmt.Format) {
		got := readBy(t, write(t, w, s.Snapshot(), self, format, exposition.Identity), format)
		want := []string{
			`{__name__="other_type", instance="", job="a"}`,
			`{__name__="push_failure_time_seconds", instance="", job="a"}`,
			`{__name__="push_time_seconds", instance="", job="a"}`,
			`{__name__="pushed_histogram", instance="", job="a", quantile="0.5"}`,
			`{__name__="pushed_histogram_count", instance="", job="a"}`,
			`{__name__="pushed_histogram_sum", instance="", job="a"}`,
			`{__name__="pushed_sample_seconds_sum", instance="", job="a"}`,
			`{__name__="same", instance="", job="a"}`,
			`{__name__="same"}`,
			`{__name__="untouched"}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", format, got)
		}
	})
}
