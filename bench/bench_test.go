package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The usual body is what the goals are stated for: 5 gauges, 2 counters of 5
// series and one 11-bucket histogram, with HELP and TYPE, about 1.7 KB.
func TestBodies(t *testing.T) {
	seen := map[string]bool{}
	for i, body := range bodies {
		seen[string(body)] = true
		if len(body) < 1500 || len(body) > 1900 {
			t.Errorf("body %d: %d bytes, want 1500 to 1900", i, len(body))
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("body %d: %v\n%s", i, err, body)
		}
		kinds := map[string]int{}
		for name, f := range families {
			kinds[fmt.Sprintf("%s of %d", f.GetType(), len(f.Metric))]++
			if f.GetHelp() == "" {
				t.Errorf("body %d: %s has no help", i, name)
			}
			if f.GetType() == dto.MetricType_HISTOGRAM {
				checkHistogram(t, f.Metric[0].Histogram)
			}
		}
		if want := (map[string]int{"GAUGE of 1": 5, "COUNTER of 5": 2, "HISTOGRAM of 1": 1}); fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("body %d: %v, want %v", i, kinds, want)
		}
		samples := 0
		for line := range bytes.Lines(body) {
			if line[0] != '#' {
				samples++
			}
		}
		if samples != pushedSamples {
			t.Errorf("body %d: %d samples, want %d", i, samples, pushedSamples)
		}
	}
	if len(seen) != len(bodies) {
		t.Errorf("%d different bodies of %d", len(seen), len(bodies))
	}
}

// TestLongestAlone: what another one waits for at the same moment does not count, but many short
// waits of others are no reason for a long one.
func TestLongestAlone(t *testing.T) {
	begin := time.Unix(0, 0)
	at := func(start, end int) wait {
		return wait{begin.Add(time.Duration(start) * time.Millisecond), begin.Add(time.Duration(end) * time.Millisecond)}
	}
	waits := []wait{at(0, 30), at(100, 300), at(400, 450)}
	for _, test := range []struct {
		others []wait
		want   int
	}{
		{nil, 200},
		{[]wait{at(90, 280)}, 50},
		{[]wait{at(120, 310), at(390, 500)}, 30},
		{[]wait{at(100, 110), at(110, 120), at(120, 130)}, 190},
		{[]wait{at(310, 390)}, 200},
	} {
		if got := longestAlone(waits, test.others); got != time.Duration(test.want)*time.Millisecond {
			t.Errorf("beside %v: %v, want %d ms", test.others, got, test.want)
		}
	}
}

// checkHistogram wants 11 bounds and +Inf, cumulative up to the count.
func checkHistogram(t *testing.T, h *dto.Histogram) {
	t.Helper()
	if len(h.Bucket) != 12 || !math.IsInf(h.Bucket[11].GetUpperBound(), 1) {
		t.Fatalf("%d buckets, want 11 and +Inf", len(h.Bucket))
	}
	last := uint64(0)
	for _, b := range h.Bucket {
		if b.GetCumulativeCount() < last {
			t.Errorf("bucket %v holds less than the one before", b.GetUpperBound())
		}
		last = b.GetCumulativeCount()
	}
	if last != h.GetSampleCount() {
		t.Errorf("+Inf holds %d, count is %d", last, h.GetSampleCount())
	}
}

func TestMeasuresAreComplete(t *testing.T) {
	names := map[string]bool{}
	for _, m := range measures() {
		if names[m.name] {
			t.Errorf("two measures are named %s", m.name)
		}
		names[m.name] = true
		if m.ours == nil || m.reference == nil && m.upstream == nil || m.rounds == 0 || m.what == "" || m.goal.of == "" {
			t.Errorf("%s: a field is missing", m.name)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []measure{{name: "push"}, {name: "scrape"}, {name: "million-push", onRequest: true}}
	for _, c := range []struct{ pattern, want string }{
		{"", "push scrape"},
		{"push", "push"},
		{"million", "million-push"},
		{"^s", "scrape"},
		{"none", ""},
		{"(", ""},
	} {
		t.Run(c.pattern, func(t *testing.T) {
			chosen, err := choose(all, c.pattern)
			var names []string
			for _, m := range chosen {
				names = append(names, m.name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if (err != nil) != (c.want == "") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// Each round measures both sides; the ratio is taken within a round. If
// upstream is only shown, it has its rounds after the others.
func TestTake(t *testing.T) {
	var order []string
	counted := func(name string, v float64) side {
		return func(*lab) (func() (float64, error), error) {
			return func() (float64, error) {
				order = append(order, name)
				return v, nil
			}, nil
		}
	}
	m := measure{reference: counted("r", 2), upstream: counted("u", 9), ours: counted("o", 3), rounds: 4, goal: atMost(1, "× r")}
	r := m.take(&lab{})
	if r.err != nil {
		t.Fatal(r.err)
	}
	if got, want := strings.Join(order, ""), "orroorrouuuu"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(r.ratios()), "[1.5 1.5 1.5 1.5]"; got != want {
		t.Errorf("ratios %s, want %s", got, want)
	}

	failing := errors.New("no such luck")
	m.ours = func(*lab) (func() (float64, error), error) {
		return func() (float64, error) { return 0, failing }, nil
	}
	if r := m.take(&lab{}); !errors.Is(r.err, failing) {
		t.Errorf("error %v, want %v", r.err, failing)
	}
}

func TestPrintTable(t *testing.T) {
	rows := []row{
		{measure: measure{what: "a push", goal: atMost(1.6, "× floor")},
			reference: []float64{1e-3}, upstream: []float64{2e-3}, ours: []float64{1.5e-3}},
		{measure: measure{what: "a scrape", unit: rate, goal: atLeast(2, "× upstream")}, upstream: []float64{10, 10}, ours: []float64{10, 20}},
		{measure: measure{what: "a start", goal: atMost(1, "of 1 s")}, err: errors.New("it exited\nlog")},
	}
	var b strings.Builder
	printTable(&b, "upstream v1", rows)
	table, _, _ := strings.Cut(strings.TrimSpace(b.String()), "\n\n")
	const want = `
| measure  | reference | upstream v1 | ours    | ratio (middle half of the rounds)     | goal   |        |
| -------- | --------- | ----------- | ------- | ------------------------------------- | ------ | ------ |
| a push   | 1.00 ms   | 2.00 ms     | 1.50 ms | 1.50 × floor                          | ≤ 1.60 | ok     |
| a scrape | –         | 10/s        | 15/s    | 1.50 × upstream (1.25 – 1.75 of 2)    | ≥ 2.00 | missed |
| a start  |           |             |         | not measured: it exited               | ≤ 1.00 | failed |`
	if got := normalizeSpaces(table); got != normalizeSpaces(want) {
		t.Errorf("got\n%s\nwant%s", table, want)
	}
}

func normalizeSpaces(table string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(table)) {
		if !strings.HasPrefix(line, "| --") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, "\n")
}

func TestTimed(t *testing.T) {
	calls := 0
	took, err := timed(time.Nanosecond, func() error { calls++; return nil })
	if err != nil || len(took) == 0 || calls < len(took) {
		t.Errorf("%d times of %d calls: %v", len(took), calls, err)
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{atMost(1.6, "").String(), "≤ 1.60"},
		{atLeast(0.6, "").String(), "≥ 0.60"},
		{atLeast(0.6, "").format(0.25), "0.25"},
		{atMost(1.0/3, "").String(), "≤ 1/3"},
		{atMost(1.0/3, "").format(0.4), "1/2.5"},
		{atMost(1.0/40, "").String(), "≤ 1/40"},
		{duration(61e-6), "61 µs"},
		{duration(0.0013), "1.30 ms"},
		{duration(0.3), "300 ms"},
		{atMost(1.6, "").verdict(1.6), "ok"},
		{atMost(1.6, "").verdict(1.61), "missed"},
		{atLeast(0.6, "").verdict(0.59), "missed"},
		{atLeast(0.6, "").verdict(0.9), "ok"},
		{fmt.Sprint(median([]float64{3, 1, 2})), "2"},
		{fmt.Sprint(median([]float64{4, 1, 2, 3})), "2.5"},
		{fmt.Sprint(quantile([]float64{1, 2, 3, 4, 5}, 0.99)), "4.96"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %s, want %s", c.got, c.want)
			}
		})
	}
}
