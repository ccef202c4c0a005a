package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// collector is a sink that remembers everything, in a text form: what it is given is
// overwritten.
type collector struct {
	batches int
	resets  int
	metrics []string
	reject  error // of Done, at the first time
}

func (c *collector) Add(families []metric.Family) error {
	c.batches++
	for i := range families {
		f := &families[i]
		for j := range f.Metrics {
			one := metric.Family{Name: f.Name, Type: f.Type, Metrics: f.Metrics[j : j+1]}
			c.metrics = append(c.metrics, sketchFamilies([]metric.Family{one}))
		}
	}
	return nil
}

func (c *collector) Done(families []metric.Family) error {
	err := c.reject
	c.reject = nil
	return cmp.Or(err, c.Add(families))
}

func (c *collector) Reset() { c.resets++; c.batches, c.metrics = 0, nil }

// TestBatches parses bodies of all formats in batches and as a whole.
func TestBatches(t *testing.T) {
	const many = 3*maxBatch + 100
	lines := func(format string) string {
		var b strings.Builder
		for i := range many {
			fmt.Fprintf(&b, strings.ReplaceAll(format, "N", "%[1]d"), i)
		}
		return b.String()
	}
	for _, c := range []struct {
		name   string
		format Format
		body   string
	}{
		{"text, one family", Text, "# TYPE m gauge\n" + lines("m{l=\"N\"} N\n")},
		{"text, many families", Text, lines("# TYPE mN counter\nmN N\n")},
		{"text, families in turn", Text, lines("a{l=\"N\"} 1\nb{l=\"N\",m=\"x\"} 2\n")},
		{"text, histograms", Text,
			"# TYPE h histogram\n" + lines("h_bucket{l=\"N\",le=\"1\"} 1\nh_bucket{l=\"N\",le=\"+Inf\"} 2.5\nh_sum{l=\"N\"} "+
				"N\nh_count{l=\"N\"} 3\n")},
		{"text, summaries", Text, "# TYPE s summary\n" + lines("s{l=\"N\",quantile=\"0.5\"} N\ns_sum{l=\"N\"} N\ns_count{l=\"N\"} N\n")},
		{"text, gauges and histograms", Text, "# TYPE h histogram\n" + lines("h_count{l=\"N\"} 3\ng{l=\"N\"} N\nh_sum{l=\"N\"} N\n")},
		{"OpenMetrics, one family", OpenMetrics, "# TYPE m gauge\n" + lines("m{l=\"N\"} N\n") + "# EOF\n"},
		{"OpenMetrics, many families", OpenMetrics, lines("# TYPE mN counter\nmN_total N\n")},
		{"OpenMetrics, counters", OpenMetrics, "# TYPE m counter\n" + lines("m_total{l=\"N\"} N # {a=\"N\"} 1\nm_created{l=\"N\"} 7\n")},
		{"OpenMetrics, histograms", OpenMetrics,
			"# TYPE h histogram\n" + lines("h_bucket{l=\"N\",le=\"+Inf\"} 2\nh_sum{l=\"N\"} N\nh_count{l=\"N\"} 2\n")},
		{"OpenMetrics, counters created later", OpenMetrics,
			"# TYPE m counter\n" + lines("m_total{l=\"N\"} N\n") + lines("m_created{l=\"N\"} 7\n")},
		{"text as OpenMetrics", OpenMetrics, lines("m{l=\"N\"} N\n") + "\nn 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole := new(collector)
			var families []metric.Family
			var err error
			if c.format == OpenMetrics && !strings.HasPrefix(c.name, "text") {
				families, err = ParseOpenMetrics(c.body, metric.LegacyValidation)
			} else {
				families, err = new(TextParser).Parse(c.body)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := whole.Done(families); err != nil {
				t.Fatal(err)
			}
			got := new(collector)
			if err := new(Parser).ParseTo([]byte(c.body), c.format, metric.LegacyValidation, got); err != nil {
				t.Fatal(err)
			}
			slices.Sort(whole.metrics)
			slices.Sort(got.metrics)
			if !slices.Equal(got.metrics, whole.metrics) {
				t.Errorf("%d metrics, as a whole %d", len(got.metrics), len(whole.metrics))
			}
			if later := c.name == "OpenMetrics, counters created later"; got.batches < 3 != later {
				t.Errorf("%d batches", got.batches)
			}
		})
	}
}

// TestLinesApart parses summaries and histograms with lines in different batches: the
// sink sees a series twice, and then the body as a whole.
func TestLinesApart(t *testing.T) {
	for _, c := range []struct {
		name   string
		format Format
		first  string
		second string
	}{
		{"text", Text, "# TYPE s summary\n", "s_sum{l=\"%d\"} 1\n"},
		{"OpenMetrics", OpenMetrics, "# TYPE s summary\n", "s_sum{l=\"%d\"} 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString(c.first)
			for i := range 2 * maxBatch {
				fmt.Fprintf(&b, c.second, i)
			}
			for i := range 2 * maxBatch {
				fmt.Fprintf(&b, strings.ReplaceAll(c.second, "_sum", "_count"), i)
			}
			sink := &collector{reject: metric.Reject(metric.DuplicateSeries, "twice")}
			if err := new(Parser).ParseTo([]byte(b.String()), c.format, metric.LegacyValidation, sink); err != nil {
				t.Fatal(err)
			}
			if sink.resets != 1 || sink.batches != 1 || len(sink.metrics) != 2*maxBatch {
				t.Errorf("%d resets, %d batches, %d metrics", sink.resets, sink.batches, len(sink.metrics))
			}
		})
	}
}
