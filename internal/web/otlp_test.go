package web

import (
	"net/http"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlpmetrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// exportOf returns an export of a resource with the attributes, which are names and values by turns.
func exportOf(attributes []string, all ...*otlpmetrics.Metric) *otlpmetrics.MetricsData {
	return &otlpmetrics.MetricsData{ResourceMetrics: []*otlpmetrics.ResourceMetrics{{
		Resource:     &resource.Resource{Attributes: attributesOf(attributes...)},
		ScopeMetrics: []*otlpmetrics.ScopeMetrics{{Metrics: all}},
	}}}
}

func attributesOf(namesAndValues ...string) []*common.KeyValue {
	var all []*common.KeyValue
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		value := &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: namesAndValues[i+1]}}
		all = append(all, &common.KeyValue{Key: namesAndValues[i], Value: value})
	}
	return all
}

// number returns a data point at the given second.
func number(second uint64, value int64, attributes ...string) *otlpmetrics.NumberDataPoint {
	return &otlpmetrics.NumberDataPoint{
		Attributes: attributesOf(attributes...), StartTimeUnixNano: 1e9, TimeUnixNano: second * 1e9,
		Value: &otlpmetrics.NumberDataPoint_AsInt{AsInt: value},
	}
}

func gauge(name string, points ...*otlpmetrics.NumberDataPoint) *otlpmetrics.Metric {
	return &otlpmetrics.Metric{Name: name, Data: &otlpmetrics.Metric_Gauge{Gauge: &otlpmetrics.Gauge{DataPoints: points}}}
}

func sum(name string, temporality otlpmetrics.AggregationTemporality, points ...*otlpmetrics.NumberDataPoint) *otlpmetrics.Metric {
	return &otlpmetrics.Metric{Name: name, Data: &otlpmetrics.Metric_Sum{Sum: &otlpmetrics.Sum{
		DataPoints: points, AggregationTemporality: temporality, IsMonotonic: true,
	}}}
}

const (
	delta      = otlpmetrics.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	cumulative = otlpmetrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
)

// sendOTLP sends an export in protobuf and returns the answer's status and body.
func sendOTLP(t *testing.T, s http.Handler, target string, data *otlpmetrics.MetricsData, headers ...string) (int, string) {
	t.Helper()
	body, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	w := do(s, "POST", target, string(body), append(headers, "Content-Type", "application/x-protobuf")...)
	return w.Code, w.Body.String()
}

// pushed returns what a scrape has, without comments and the gateway's own metrics.
func pushed(s http.Handler) string {
	var lines strings.Builder
	for line := range strings.Lines(do(s, "GET", "/metrics", "").Body.String()) {
		if strings.Contains(line, `job="`) && !strings.HasPrefix(line, "push_") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// TestOTLP: a resource goes to the group of its job, deltas add up exactly once, cumulative values
// and gauges replace series.
func TestOTLP(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.SelfMetricsPath = "/self" })
	job := []string{"service.name", "shop", "service.namespace", "eu", "host.name", "h1"}
	first := exportOf(job, sum("orders", delta, number(2, 3, "kind", "a")), gauge("queue", number(2, 5, "q", "x"), number(2, 6, "q", "y")),
		sum("lookups", cumulative, number(2, 10)))
	second := exportOf(job, sum("orders", delta, number(3, 4, "kind", "a")), gauge("queue", number(3, 7, "q", "y")),
		sum("lookups", cumulative, number(3, 11)))
	for _, e := range []*otlpmetrics.MetricsData{first, second, second} {
		if code, body := sendOTLP(t, s, otlpPath, e); code != 200 || body != "" {
			t.Fatalf("%d %q", code, body)
		}
	}
	const want = `lookups_total{instance="",job="eu/shop"} 11
orders_total{instance="",job="eu/shop",kind="a"} 7
queue{instance="",job="eu/shop",q="x"} 5
queue{instance="",job="eu/shop",q="y"} 7
target_info{host_name="h1",instance="",job="eu/shop"} 1
`
	if got := pushed(s); got != want {
		t.Errorf("%s", got)
	}
}
