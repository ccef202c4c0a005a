package otlp

import (
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// inRequest returns a request in JSON, of a single resource with the job "j" and the metrics.
func inRequest(metrics string) string {
	return `{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"j"}}]},` +
		`"scopeMetrics":[{"metrics":` + metrics + `}]}]}`
}

// plenty reserves any memory.
func plenty(int64) error { return nil }

func decodeJSON(t *testing.T, c Config, body string, groupBy ...string) *Request {
	t.Helper()
	r, err := New(c).Decode([]byte(body), JSON, func(metric.GroupingKey) []string { return groupBy }, plenty)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// format writes families in the text format, with how they are merged if their values are deltas, and the
// reasons of rejections.
func format(r *Request) string {
	var b strings.Builder
	rejected := func(r Rejected) {
		if r.First != nil {
			b.WriteString("rejected " + string(r.First.Reason) + ": " + r.First.Message + "\n")
		}
	}
	for _, g := range r.Groups {
		if len(r.Groups) > 1 || len(g.Key.Labels()) > 1 {
			b.WriteString(g.Key.String() + "\n")
		}
		for i := range g.Families {
			f := &g.Families[i]
			if f.Merge == metric.MergeSum {
				b.WriteString("delta ")
			}
			b.WriteString(f.Type.String() + " " + f.Name)
			if f.Unit != "" {
				b.WriteString(" in " + f.Unit)
			}
			b.WriteString("\n")
			for j := range f.Metrics {
				f.Metrics[j].HasTimestamp = false
			}
			b.Write(wire.AppendText(nil, f))
		}
		rejected(g.Rejected)
	}
	rejected(r.Rejected)
	return b.String()
}

// mappings are metrics in JSON and what becomes of them.
var mappings = []struct{ name, metrics, want string }{
	// Names and units.
	{"gauge with a unit", `[{"name":"a.b","unit":"By","gauge":{"dataPoints":[{"asDouble":1.5}]}}]`,
		"gauge a_b_bytes in bytes\na_b_bytes 1.5\n"},
	{"ratio", `[{"name":"r","unit":"1","gauge":{"dataPoints":[{"asInt":"2"}]}}]`, "gauge r_ratio\nr_ratio 2\n"},
	{"rate", `[{"name":"r","unit":"By/s","gauge":{"dataPoints":[{"asInt":2}]}}]`,
		"gauge r_bytes_per_second in bytes_per_second\nr_bytes_per_second 2\n"},
	{"unit in braces", `[{"name":"r","unit":"{order}","gauge":{"dataPoints":[{"asInt":"2"}]}}]`, "gauge r\nr 2\n"},
	{"name that begins with a digit", `[{"name":"2.x","gauge":{"dataPoints":[{"asInt":"2"}]}}]`, "gauge _2_x\n_2_x 2\n"},
	{"name of nothing", `[{"name":"","gauge":{"dataPoints":[{"asInt":"2"}]}}]`,
		`rejected name: the metric "" cannot be named: normalization for metric "" resulted in empty name` + "\n"},
	// Numbers.
	{"counter", `[{"name":"c","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"3"}]}}]`,
		"counter c_total\nc_total 3\n"},
	{"counter that is named so", `[{"name":"c_total","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE",` +
		`"isMonotonic":true,"dataPoints":[{"asDouble":"3"}]}}]`, "counter c_total\nc_total 3\n"},
	{"up-down counter", `[{"name":"c","unit":"1","sum":{"aggregationTemporality":2,"dataPoints":[{"asInt":"-3"}]}}]`, "gauge c\nc -3\n"},
	{"delta", `[{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"3"}]}}]`,
		"delta counter c_total\nc_total 3\n"},
	{"delta of an up-down counter", `[{"name":"c","sum":{"aggregationTemporality":1,"dataPoints":[{"asInt":"-3"}]}}]`, "delta gauge c\nc -3\n"},
	{"negative delta of a counter", `[{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,` +
		`"dataPoints":[{"asInt":"-3"},{"asInt":"4"}]}}]`,
		"delta counter c_total\nc_total 4\n" + `rejected value: a data point of "c_total" has the value -3, which cannot be added to a counter` + "\n"},
	{"no temporality", `[{"name":"c","sum":{"isMonotonic":true,"dataPoints":[{"asInt":"3"}]}}]`,
		`rejected value: the metric "c" has the aggregation temporality 0: it must be delta (1) or cumulative (2)` + "\n"},
	{"no value", `[{"name":"g","gauge":{"dataPoints":[{}]}}]`, "gauge g\ng 0\n"},
	{"no recorded value", `[{"name":"g","gauge":{"dataPoints":[{"asInt":"1","flags":1},{"asInt":"2","attributes":[` +
		`{"key":"a","value":{"intValue":"1"}}]}]}}]`, "gauge g\ng{a=\"1\"} 2\n"},
	{"NaN and infinity", `[{"name":"g","gauge":{"dataPoints":[{"asDouble":"NaN"}]}},{"name":"h","gauge":{"dataPoints":[{"asDouble":"-Infinity"}]}}]`,
		"gauge g\ng NaN\ngauge h\nh -Inf\n"},
	// Series that are there several times.
	{"the last value counts", `[{"name":"g","gauge":{"dataPoints":[{"timeUnixNano":"2000000000","asInt":"2"},` +
		`{"timeUnixNano":"3000000000","asInt":"3"},{"timeUnixNano":"1000000000","asInt":"1"}]}}]`, "gauge g\ng 3\n"},
	{"deltas add up", `[{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"3"},{"asInt":"4"}]}}]`,
		"delta counter c_total\nc_total 7\n"},
	{"two types", `[{"name":"c","gauge":{"dataPoints":[{"asInt":"3"}]}},{"name":"c","summary":{"dataPoints":[{"count":"1"}]}}]`,
		"gauge c\nc 3\n" + `rejected type_conflict: the request has the metric "c" twice, as gauge and as summary` + "\n"},
	{"two temporalities", `[{"name":"c","sum":{"aggregationTemporality":1,"dataPoints":[{"asInt":"3"}]}},{"name":"c","gauge":{"dataPoints":[{"asInt":"1"}]}}]`,
		"delta gauge c\nc 3\n" + `rejected merge: the request has the metric "c" with both temporalities, delta and cumulative` + "\n"},
	// Labels.
	{"labels", `[{"name":"g","gauge":{"dataPoints":[{"asInt":"1","attributes":[
		{"key":"b.c","value":{"stringValue":"x"}},{"key":"b_c","value":{"stringValue":"y"}},{"key":"1","value":{"boolValue":true}},
		{"key":"_a","value":{"doubleValue":1e-9}},{"key":"list","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"<"},{}]}}},
		{"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AQI="}}]}}},{"key":"bytes","value":{"bytesValue":"AQI="}},
		{"key":"empty","value":{"stringValue":""}},{"key":"none"},{"key":"job","value":{"stringValue":"other"}},
		{"key":"__name__","value":{"stringValue":"other"}}]}]}}]`,
		`gauge g` + "\n" + `g{b_c="x;y",bytes="AQI=",key_1="true",key_a="1e-9",list="[1,\"<\",null]",map="{\"k\":\"AQI=\"}"} 1` + "\n"},
	{"reserved label", `[{"name":"g","gauge":{"dataPoints":[{"asInt":"1","attributes":[{"key":"__a","value":{"stringValue":"x"}}]}]}}]`,
		`rejected name: the attribute "__a" cannot be a label: names that begin with two underscores are reserved` + "\n"},
	{"label of the samples", `[{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"1","attributes":[` +
		`{"key":"le","value":{"stringValue":"x"}}]}]}}]`,
		`rejected reserved_label: a data point of the histogram "h" has the attribute "le", which its samples have as a label already` + "\n"},
	// Histograms.
	{"histogram", `[{"name":"h","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"6","sum":7.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.5,1]}]}}]`,
		`histogram h_seconds in seconds
h_seconds_bucket{le="0.5"} 1
h_seconds_bucket{le="1"} 3
h_seconds_bucket{le="+Inf"} 6
h_seconds_sum 7.5
h_seconds_count 6
`},
	{"histogram without buckets and sum", `[{"name":"h","histogram":{"aggregationTemporality":1,"dataPoints":[{"count":"6"}]}}]`,
		"delta histogram h\nh_bucket{le=\"+Inf\"} 6\nh_sum NaN\nh_count 6\n"},
	{"histogram whose counts differ", `[{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"6","bucketCounts":["1"]}]}}]`,
		`rejected value: a data point of "h" has the count 6, but its buckets add up to 1` + "\n"},
	{"histogram with a bound too many", `[{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"1","bucketCounts":["1"],"explicitBounds":[1]}]}}]`,
		`rejected value: a data point of "h" has 1 buckets and 1 bounds: there must be one bucket more` + "\n"},
	{"histogram with bounds that do not increase", `[{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"count":"1","bucketCounts":["1",0,0],"explicitBounds":[1,1]}]}}]`,
		`rejected value: a data point of "h" has the bound 1, but bounds must be finite and increase` + "\n"},
	{"exponential histogram", `[{"name":"h","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":"7","sum":9,"scale":1,"zeroCount":"1",` +
		`"positive":{"offset":-1,"bucketCounts":["2","0","1"]},"negative":{"offset":3,"bucketCounts":[3]}}]}}]`,
		"histogram h\nh_bucket{le=\"+Inf\"} 7\nh_sum 9\nh_count 7\n"},
	{"exponential histogram at a scale too low", `[{"name":"h","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"scale":-5}]}}]`,
		`rejected value: a data point of "h" has the scale -5, but native histograms have at least -4` + "\n"},
	{"summary", `[{"name":"s","summary":{"dataPoints":[{"count":"2","sum":3,"quantileValues":[{"quantile":0.9,"value":2},{"quantile":0.5,"value":1}]}]}}]`,
		"summary s\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 2\ns_sum 3\ns_count 2\n"},
	{"summary with a quantile twice", `[{"name":"s","summary":{"dataPoints":[{"quantileValues":[{"quantile":1},{"quantile":1}]}]}}]`,
		`rejected value: a data point of "s" has the quantile 1, which is twice there or no number` + "\n"},
	{"metric without data points", `[{"name":"g","gauge":{}},{"name":"h"}]`, ""},
}

// TestMapping: each kind of metric becomes the family that Prometheus makes of it.
func TestMapping(t *testing.T) {
	for _, c := range mappings {
		t.Run(c.name, func(t *testing.T) {
			if got := format(decodeJSON(t, Config{}, inRequest(c.metrics))); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
