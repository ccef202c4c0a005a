package test

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// startPrometheus3 runs the Prometheus 3 that scripts/setup builds. It scrapes the gateway
// once for each of the settings, whose name is the label mode of all series.
func startPrometheus3(t *testing.T, gateway *program, settings map[string]string) *program {
	t.Helper()
	config := "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
	for name, lines := range settings {
		config += fmt.Sprintf("- job_name: %s\n  honor_labels: true\n", name)
		config += fmt.Sprintf("  static_configs: [{targets: [%q], labels: {mode: %s}}]\n", gateway.Addr, name)
		for line := range strings.Lines(lines) {
			config += "  " + strings.TrimSpace(line) + "\n"
		}
	}
	return launchPrometheus3(t, config)
}

// launchPrometheus3 runs the Prometheus 3 that scripts/setup builds, with a configuration.
func launchPrometheus3(t *testing.T, config string, args ...string) *program {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := filepath.Abs(filepath.Join(root, "dist", "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	return launch(t, exec.Command(binary, args...))
}

// TestPrometheus3ReadsMixedHistograms: groups push native and classic histograms of one name.
// All arrive, whether Prometheus keeps the classic buckets of native histograms or not.
func TestPrometheus3ReadsMixedHistograms(t *testing.T) {
	t.Parallel()
	p := start(t)
	const protobuf = "scrape_protocols: [PrometheusProto]\nscrape_native_histograms: true\n"
	prom := startPrometheus3(t, p, map[string]string{
		"native": protobuf,
		"both":   protobuf + "always_scrape_classic_histograms: true\n",
	})
	for job, factor := range map[string]float64{"a": 1.5, "b": 0, "c": 1.5} {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "mixed_seconds", NativeHistogramBucketFactor: factor, Buckets: prometheus.DefBuckets,
		})
		for i := range 10 {
			h.Observe(float64(i))
		}
		if err := push.New(p.URL, job).Collector(h).Push(); err != nil {
			t.Fatal(err)
		}
	}
	// Other kinds of histograms, before and after others of their name, and their
	// neighbors.
	float := &dto.Histogram{
		SampleCountFloat: proto.Float64(2.5), SampleSum: proto.Float64(5), Schema: proto.Int32(0), ZeroThreshold: proto.Float64(0.5),
		ZeroCountFloat: proto.Float64(0), PositiveSpan: []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(1)}},
		PositiveCount: []float64{2.5},
	}
	classic := &dto.Histogram{SampleCount: proto.Uint64(3), SampleSum: proto.Float64(5), Bucket: []*dto.Bucket{
		{UpperBound: proto.Float64(1), CumulativeCount: proto.Uint64(1)},
		{UpperBound: proto.Float64(math.Inf(1)), CumulativeCount: proto.Uint64(3)},
	}}
	for i, h := range []*dto.Histogram{classic, float, classic} {
		var body strings.Builder
		for name, typ := range map[string]dto.MetricType{
			"float_seconds": dto.MetricType_HISTOGRAM, "queue_size": dto.MetricType_GAUGE_HISTOGRAM,
		} {
			f := &dto.MetricFamily{Name: &name, Type: typ.Enum(), Metric: []*dto.Metric{{Histogram: h}}}
			if _, err := protodelim.MarshalTo(&body, f); err != nil {
				t.Fatal(err)
			}
		}
		p.push(t, http.MethodPut, fmt.Sprint("/metrics/job/float", i), body.String(), "Content-Type", protobufType)
	}
	p.push(t, http.MethodPut, "/metrics/job/beside",
		"g 1\n# TYPE mixed_seconds_s summary\nmixed_seconds_s{quantile=\"0.5\"} 1\nmixed_seconds_s_sum 2\nmixed_seconds_s_count 1\nz 3\n")

	prom.wantQuery(t, `up`, fmt.Sprintf(`up{instance=%q,job="both",mode="both"} 1`, p.Addr),
		fmt.Sprintf(`up{instance=%q,job="native",mode="native"} 1`, p.Addr))
	for mode, buckets := range map[string]int{"native": 12, "both": 36} {
		in := fmt.Sprintf(`{mode=%q}`, mode)
		prom.wantQuery(t, `count(mixed_seconds`+in+`)`, `{} 2`)
		prom.wantQuery(t, `count(mixed_seconds_bucket`+in+`)`, fmt.Sprintf(`{} %d`, buckets))
		prom.wantQuery(t, `sum by (job) (histogram_count(mixed_seconds`+in+`))`, `{job="a"} 10`, `{job="c"} 10`)
		prom.wantQuery(t, `mixed_seconds_count{job="b",mode="`+mode+`"}`, `mixed_seconds_count{job="b",mode="`+mode+`"} 10`)
		for _, name := range []string{"float_seconds", "queue_size"} {
			prom.wantQuery(t, `histogram_count(`+name+in+`)`, `{job="float1",mode="`+mode+`"} 2.5`)
			prom.wantQuery(t, `count(`+name+`_bucket{mode="`+mode+`",job!="float1"})`, `{} 4`)
		}
		prom.wantQuery(t, `{job="beside",mode="`+mode+`",__name__!~"push_.*"}`,
			`g{job="beside",mode="`+mode+`"} 1`, `mixed_seconds_s_count{job="beside",mode="`+mode+`"} 1`,
			`mixed_seconds_s_sum{job="beside",mode="`+mode+`"} 2`,
			`mixed_seconds_s{job="beside",mode="`+mode+`",quantile="0.5"} 1`, `z{job="beside",mode="`+mode+`"} 3`)
	}
}

// TestPrometheus3ReadsAllForms: whatever format and escaping scheme Prometheus asks for, a
// scrape succeeds and has all series, also those whose names meet when they are escaped.
func TestPrometheus3ReadsAllForms(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.enable-utf8-names", "--web.enable-openmetrics")
	p.push(t, http.MethodPut, "/metrics/job/names", `# TYPE c_total counter
c_total 1
# TYPE c_created gauge
c_created 2
# TYPE a__b gauge
a__b 3
# TYPE "a b" counter
{"a b"} 4
# TYPE "a.b" histogram
{"a.b_bucket",le="1"} 1
{"a.b_bucket",le="+Inf"} 2
{"a.b_sum"} 3
{"a.b_count"} 2
a_b_sum 5
m{"l.m"="1",l_m="2"} 6
n{"l.m"="1"} 7
n{"l-m"="1"} 8
# TYPE pushgateway_groups counter
pushgateway_groups 9
# TYPE s summary
s{quantile="0.5"} -1
s_sum -3
s_count 2
`)
	settings := map[string]string{}
	for name, protocol := range map[string]string{
		"proto": "PrometheusProto", "om1": "OpenMetricsText1.0.0", "om0": "OpenMetricsText0.0.1",
		"text1": "PrometheusText1.0.0", "text0": "PrometheusText0.0.4",
	} {
		for _, scheme := range []string{"allow-utf-8", "underscores", "dots", "values"} {
			lines := "scrape_protocols: [" + protocol + "]\nmetric_name_escaping_scheme: " + scheme + "\n"
			if scheme != "allow-utf-8" {
				lines += "metric_name_validation_scheme: legacy\n"
			}
			settings[name+"-"+scheme] = lines
		}
	}
	prom := startPrometheus3(t, p, settings)
	prom.wantQuery(t, `count(up == 1)`, fmt.Sprintf(`{} %d`, len(settings)))
	prom.wantQuery(t, `count_values("series", count by (mode) ({job="names"}))`, fmt.Sprintf(`{series="18"} %d`, len(settings)))
	// OpenMetrics has the times of creation as well.
	prom.wantQuery(t, `count(count by (samples) (count_values by (mode) ("samples", scrape_samples_scraped{mode!~"om.*"})))`, `{} 1`)
}
