package wire

import (
	"cmp"
	"fmt"
	"math"
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
		{"text, many histograms", Text, lines("# TYPE hN histogram\nhN_count N\n")},
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

// TestBatchesThatBeginWithMany: what goes from a batch to the next, since more of its lines may
// follow, takes no longer than reading the lines, however much that is.
func TestBatchesThatBeginWithMany(t *testing.T) {
	const many = 16 * maxBatch
	for _, c := range []struct {
		name, first, line string
		max               int // batches
	}{
		{"histograms", "", "# TYPE h%[1]d histogram\nh%[1]d_count 1\n", 12},
		{"buckets", "# TYPE h histogram\n" + bucketLines(many), "m{l=\"%d\"} 1\n", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString(c.first)
			for i := range many {
				fmt.Fprintf(&b, c.line, i)
			}
			sink := new(collector)
			if err := new(Parser).ParseTo([]byte(b.String()), Text, metric.LegacyValidation, sink); err != nil {
				t.Fatal(err)
			}
			if sink.batches > c.max {
				t.Errorf("%d batches, want at most %d", sink.batches, c.max)
			}
		})
	}
}

// bucketLines returns n buckets of one histogram.
func bucketLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "h_bucket{le=\"%d\"} %d\n", i, i)
	}
	return b.String()
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

// joiner is a sink that finds summaries and histograms that come twice, as the encoder of
// pushes does.
type joiner struct {
	collector
	seen  map[string]bool
	twice bool
}

func (j *joiner) Add(families []metric.Family) error {
	for _, f := range families {
		for _, m := range f.Metrics {
			if f.Type.Scalar() {
				continue
			}
			labels := slices.Clone(m.Labels)
			sortLabels(labels)
			series := f.Name + metric.FormatLabels(labels)
			j.twice = j.twice || j.seen[series]
			j.seen[series] = true
		}
	}
	return j.collector.Add(families)
}

func (j *joiner) Done(families []metric.Family) error {
	if err := j.Add(families); err != nil {
		return err
	}
	if j.twice {
		return metric.Reject(metric.DuplicateSeries, "twice")
	}
	return nil
}

func (j *joiner) Reset() {
	j.collector.Reset()
	j.seen, j.twice = map[string]bool{}, false
}

// FuzzBatches parses bodies as a whole and in tiny batches, with the same verdict and the
// same metrics.
func FuzzBatches(f *testing.F) {
	for _, body := range []string{
		"a 1\nb 2\na{l=\"1\"} 3\n# HELP a late\n",
		"# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"2\",le=\"1\"} 2\nh_bucket{a=\"3\",le=\"1\"} 2\n" +
			"h_bucket{le=\"2\",a=\"1\"} 3\nh_sum{a=\"1\"} 2.5\n",
		"# TYPE s summary\ns{quantile=\"0.5\"} 1\nx 1\ny 1\nz 1\ns_sum 3\ns_count 2\ns_sum{l=\"m\"} 2\n",
		"# TYPE c counter\nc_total{l=\"1\"} 1 # {e=\"x\"} 1\nc_created{l=\"1\"} 1\n" +
			"c_total{l=\"2\"} 2 # {e=\"y\"} 1\nc_total{l=\"3\"} 2\nc_created{l=\"2\"} 1\n# EOF\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {c=\"d\"} 2\nh_bucket{le=\"+Inf\"} 2.5\nh_sum 1\n" +
			"h_bucket{a=\"b\",le=\"+Inf\"} 2 # {e=\"f\"} 1\nh_count 2\nh_created 1\n# EOF\n",
		"# TYPE a gauge\na{l=\"1\"} 1\na{l=\"2\"} 1\na{l=\"3\"} 1\n# TYPE a counter\na_total{l=\"1\"} 1\na_total{l=\"2\"} 1\n# EOF\n",
	} {
		for limit := range 4 {
			f.Add(body, uint8(limit))
		}
	}
	f.Fuzz(func(t *testing.T, body string, limit uint8) {
		for _, parse := range []func(sink Sink, limit int) error{
			func(sink Sink, limit int) error {
				return (&TextParser{Names: metric.UTF8Validation}).parseTo(body, sink, limit)
			},
			func(sink Sink, limit int) error { return parseOpenMetricsTo(body, metric.UTF8Validation, sink, limit) },
		} {
			var whole, batches joiner
			whole.Reset()
			batches.Reset()
			wholeErr := parse(&whole, math.MaxInt)
			err := parse(&batches, 1+int(limit%8))
			if fmt.Sprint(err) != fmt.Sprint(wholeErr) {
				t.Fatalf("%q: %v, as a whole %v", body, err, wholeErr)
			}
			if err != nil {
				continue
			}
			slices.Sort(whole.metrics)
			slices.Sort(batches.metrics)
			if !slices.Equal(batches.metrics, whole.metrics) {
				t.Fatalf("%q:\ngot        %q\nas a whole %q", body, batches.metrics, whole.metrics)
			}
		}
	})
}
