package webui_test

import (
	"math"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

func TestCharts(t *testing.T) {
	histogram := func(h metric.HistogramValue) metric.Family {
		return metric.Family{Name: "h", Type: metric.Histogram, Metrics: []metric.Metric{{Histogram: &h}}}
	}
	for name, c := range map[string]struct {
		family metric.Family
		want   []string
	}{
		"classic": {
			histogram(metric.HistogramValue{Count: 10, Sum: 20, Buckets: []metric.Bucket{
				{UpperBound: 1, CumulativeCount: 2}, {UpperBound: 2, CumulativeCount: 9},
			}}),
			[]string{`<title>≤ 1: 2</title>`, `<title>1 – 2: 7</title>`, `<title>&gt; 2: 1</title>`, `mean <span class="value">2</span>`,
				"10 observations in 3 buckets, most of them, 7, in 1 – 2"},
		},
		"no buckets":   {histogram(metric.HistogramValue{Count: 10, Sum: 20}), []string{"all: 10"}},
		"nothing":      {histogram(metric.HistogramValue{}), []string{"all: 0"}},
		"not a number": {histogram(metric.HistogramValue{Count: 1, Sum: math.NaN()}), []string{`sum <span class="value">NaN</span>`}},
		"float": {
			histogram(metric.HistogramValue{CountFloat: 1.5, Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCountFloat: 0.5}}}),
			[]string{"≤ 1: 0.5", "&gt; 1: 1"},
		},
		"native": {histogram(metric.HistogramValue{Count: 6, Schema: 0, ZeroThreshold: 0.001, ZeroCount: 1,
			Positive: metric.NativeBuckets{Spans: []metric.Span{{Offset: 0, Length: 2}, {Offset: 3, Length: 1}}, Deltas: []int64{1, 1, -1}},
			Negative: metric.NativeBuckets{Spans: []metric.Span{{Offset: 1, Length: 1}}, Deltas: []int64{1}}}),
			[]string{"native histogram", "-2 – -1: 1", "near 0: 1", "0.5 – 1: 1", "1 – 2: 2", "16 – 32: 1"}},
		"summary": {metric.Family{Name: "s", Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{Count: 4, Sum: 8,
			Quantiles: []metric.Quantile{{Quantile: 0.9, Value: 3}, {Quantile: 0.5, Value: 1}}}}}},
			[]string{`<th scope="row">0.5</th><td class="number"><span class="value">1</span></td>`, `width="33.33%"`,
				`<th scope="row">0.9</th><td class="number"><span class="value">3</span></td>`, `width="100%"`, `mean <span class="value">2</span>`}},
		"summary of nothing": {metric.Family{Name: "s", Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{
			Quantiles: []metric.Quantile{{Quantile: 0.5, Value: math.NaN()}}}}}}, []string{"NaN"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := key("job", name)
			s := store.InMemory()
			push(t, s, k, c.family)
			wantText(t, group(t, newPages(t, ""), "", sourceOf(s), k), c.want...)
		})
	}
}
