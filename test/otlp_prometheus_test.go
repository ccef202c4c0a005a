package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests here compare what Prometheus scrapes from the gateway with what it makes of the same OTLP itself.

// unlikePrometheus are cases of mapping.txt that are translated in another way on purpose, and why.
var unlikePrometheus = map[string]string{
	"deltas add up":                     "Prometheus ignores the second delta for one time",
	"histogram without buckets and sum": "no format of a scrape can leave the sum out",
	"label name with a colon":           "no scrape can have one, unless it is escaped",
}

// mappedExports returns an export in JSON for each case of internal/otlp/testdata/mapping.txt of which nothing is rejected.
// The job is the name of the case after "case ". Each data point has a time that Prometheus accepts.
func mappedExports(t *testing.T) (all []exported) {
	t.Helper()
	text := "\n" + string(readFile(t, filepath.Join(root, "internal", "otlp", "testdata", "mapping.txt")))
	start := time.Now().Add(-10 * time.Second)
	for _, c := range strings.Split(text, "\n# ")[1:] {
		name, rest, _ := strings.Cut(c, "\n")
		metrics, want, _ := strings.Cut(rest, "\n--\n")
		if strings.Contains(want, "rejected ") || strings.TrimSpace(want) == "" || unlikePrometheus[name] != "" {
			continue
		}
		var list any
		if err := json.Unmarshal([]byte(metrics), &list); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		setTimes(t, list, start)
		body, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, exported{
			fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},`+
				`"scopeMetrics":[{"metrics":%s}]}]}`, "case "+name, body),
			http.Header{"Content-Type": {"application/json"}},
		})
	}
	return all
}

// setTimes adds start to the times of all data points in a JSON value.
func setTimes(t *testing.T, value any, start time.Time) {
	t.Helper()
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			setTimes(t, element, start)
		}
	case map[string]any:
		points, _ := v["dataPoints"].([]any)
		for _, p := range points {
			point := p.(map[string]any)
			after := int64(0)
			if text, ok := point["timeUnixNano"].(string); ok {
				var err error
				if after, err = strconv.ParseInt(text, 10, 64); err != nil {
					t.Fatal(err)
				}
			}
			point["timeUnixNano"] = strconv.FormatInt(start.UnixNano()+after, 10)
		}
		for _, element := range v {
			setTimes(t, element, start)
		}
	}
}

// otlpSelector selects the series of the jobs that have the label mode with this value, and no name that except matches.
func otlpSelector(jobs, mode, except string) string {
	return fmt.Sprintf(`{job=~%q,mode=%q,__name__!~%q}`, jobs, mode, except)
}

// otlpSeries returns the series of the selector, in normal form, without the label mode.
func otlpSeries(t *testing.T, prom *program, selector string) []string {
	t.Helper()
	var all []string
	for _, s := range prom.query(t, selector) {
		normalizeOTLP(t, s.Metric)
		all = append(all, s.normal(t))
	}
	slices.Sort(all)
	return all
}

// normalizeOTLP removes the label mode and writes le as in OTLP: a scrape writes 1.0 for what is 1 there.
func normalizeOTLP(t *testing.T, labels map[string]string) {
	t.Helper()
	delete(labels, "mode")
	if le, ok := labels["le"]; ok {
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			t.Fatal(err)
		}
		labels["le"] = fmt.Sprint(bound)
	}
}

// otlpExemplars returns the newest exemplar of each series of the selector.
func otlpExemplars(t *testing.T, prom *program, selector string) []string {
	t.Helper()
	query := url.Values{"query": {selector}, "start": {"0"}, "end": {fmt.Sprint(time.Now().Add(time.Hour).Unix())}}
	a := prom.do(t, http.MethodGet, "/api/v1/query_exemplars?"+query.Encode(), "")
	var result struct {
		Data []struct {
			SeriesLabels map[string]string
			Exemplars    []struct {
				Labels    map[string]string
				Value     string
				Timestamp float64
			}
		}
	}
	if err := json.Unmarshal([]byte(a.body), &result); err != nil {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	var all []string
	for _, s := range result.Data {
		normalizeOTLP(t, s.SeriesLabels)
		last := s.Exemplars[len(s.Exemplars)-1]
		all = append(all, fmt.Sprint(s.SeriesLabels, last.Labels, last.Value, last.Timestamp))
	}
	slices.Sort(all)
	return all
}

// TestOTLPAsPrometheus: real SDKs, and all cases of the mapping, export to the gateway, which Prometheus scrapes, and to
// Prometheus itself. Both ways Prometheus has the same series with the same values and exemplars.
func TestOTLPAsPrometheus(t *testing.T) {
	t.Parallel()
	all := append(capture(t, otlpJobs), mappedExports(t)...)
	// Prometheus asks for UTF-8 names in text only, which lacks native histograms.
	const text, noHistograms = "PrometheusText1.0.0", "push_.*|payload.*"
	for _, c := range []struct{ strategy, protocol, except string }{
		{"UnderscoreEscapingWithSuffixes", "PrometheusProto", "push_.*"},
		{"UnderscoreEscapingWithoutSuffixes", "PrometheusProto", "push_.*"},
		{"NoUTF8EscapingWithSuffixes", text, noHistograms},
		{"NoTranslation", text, noHistograms},
	} {
		t.Run(c.strategy, func(t *testing.T) {
			t.Parallel()
			gateway := start(t, "--push.enable-utf8-names", "--otlp.translation-strategy="+c.strategy,
				"--otlp.promote-resource-attributes=host.name", "--otlp.keep-identifying-resource-attributes")
			prom := launchPrometheus3(t, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
otlp: {translation_strategy: %s, promote_resource_attributes: [host.name], keep_identifying_resource_attributes: true}
scrape_configs:
- job_name: gateway
  honor_labels: true
  scrape_protocols: [%s]
  scrape_native_histograms: true
  always_scrape_classic_histograms: true
  static_configs: [{targets: [%q], labels: {mode: scraped}}]
`, c.strategy, c.protocol, gateway.Addr), "--web.enable-otlp-receiver", "--enable-feature=otlp-deltatocumulative,exemplar-storage",
				"--query.lookback-delta=1h") // this test may have waited for others since the SDKs exported
			sendTo(t, gateway, all)
			until(t, "Prometheus is ready", func() bool { return prom.do(t, http.MethodGet, "/-/ready", "").status == http.StatusOK })
			sendTo(t, prom, all)
			same := func(what, jobs, except string, query func(*testing.T, *program, string) []string) {
				t.Helper()
				var scraped, received []string
				defer func() {
					if t.Failed() {
						wantLines(t, what, scraped, received)
					}
				}()
				until(t, "both ways have the same "+what, func() bool {
					scraped = query(t, prom, otlpSelector(jobs, "scraped", except))
					received = query(t, prom, otlpSelector(jobs, "", except))
					return len(received) > 0 && slices.Equal(scraped, received)
				})
			}
			same("series", "(go|js|case ).*", c.except, otlpSeries)
			if c.protocol != text { // which has no exemplars
				// Prometheus loses those of deltas, and no scrape has those of gauges.
				same("exemplars", "go", c.except+"|queue.*", otlpExemplars)
			}
		})
	}
}
