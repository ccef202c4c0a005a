package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

// Answers are in UTC, wherever the gateway runs.
func init() { time.Local = time.FixedZone("elsewhere", 3600) }

var key = metrictest.Key

// put replaces the group by the families.
func put(t testing.TB, s *store.Store, key metric.GroupingKey, families ...metric.Family) {
	t.Helper()
	p, err := new(store.Encoder).Push(key, families, noon, store.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, s *store.Store) string {
	t.Helper()
	var b bytes.Buffer
	if err := api.WriteMetrics(&b, s.Snapshot().Groups()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEmpty(t *testing.T) {
	if got, want := write(t, store.InMemory()), `{"status":"success","data":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFamilies(t *testing.T) {
	value := func(v float64) metric.Metric { return metric.Metric{Value: v, HasValue: true} }
	histogram := func(h metric.HistogramValue) metric.Metric { return metric.Metric{Histogram: &h} }
	f := func(family metric.Family, want string) {
		t.Helper()
		s := store.InMemory()
		family.Name = "m"
		put(t, s, key("job", "a"), family)
		got := write(t, s)
		want = `"m":{"time_stamp":"2026-11-22T12:00:00.123456789Z",` +
			strings.ReplaceAll(want, `"labels":_`, `"labels":{"instance":"","job":"a"}`) + `}`
		if !strings.Contains(got, want) {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}

	f(metric.Family{Type: metric.Gauge, Help: "A <gauge>.\n", Metrics: []metric.Metric{value(-2.5)}},
		`"type":"GAUGE","help":"A \u003cgauge\u003e.\n","metrics":[{"labels":_,"value":"-2.5"}]`)
	f(metric.Family{Type: metric.Counter, Metrics: []metric.Metric{value(1e21)}},
		`"type":"COUNTER","metrics":[{"labels":_,"value":"1e+21"}]`)
	f(metric.Family{Type: metric.Untyped, Metrics: []metric.Metric{value(math.NaN())}},
		`"type":"UNTYPED","metrics":[{"labels":_,"value":"NaN"}]`)
	f(metric.Family{Type: metric.Gauge, Metrics: []metric.Metric{value(math.Inf(-1))}},
		`"type":"GAUGE","metrics":[{"labels":_,"value":"-Inf"}]`)
	f(metric.Family{Type: metric.Gauge, Metrics: []metric.Metric{value(math.Copysign(0, -1))}},
		`"type":"GAUGE","metrics":[{"labels":_,"value":"-0"}]`)
	f(metric.Family{Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{
		Count: 30_000_000, Sum: 1e6,
		Quantiles: []metric.Quantile{{Quantile: 0.5, Value: 10}, {Quantile: 0.99, Value: math.NaN()}},
	}}}},
		`"type":"SUMMARY","metrics":[{"labels":_,"quantiles":{"0.5":"10","0.99":"NaN"},"count":"30000000","sum":"1e+06"}]`)
	f(metric.Family{Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{}}}},
		`"type":"SUMMARY","metrics":[{"labels":_,"quantiles":{},"count":"0","sum":"0"}]`)

	classic := metric.HistogramValue{Count: 20_000_000, Sum: 2.5, Buckets: []metric.Bucket{
		{UpperBound: 0.1, CumulativeCount: 1},
		{UpperBound: math.Inf(+1), CumulativeCount: 20_000_000},
	}}
	f(metric.Family{Type: metric.Histogram, Metrics: []metric.Metric{histogram(classic)}},
		`"type":"HISTOGRAM","metrics":[{"labels":_,"buckets":{"0.1":"1","+Inf":"20000000"},"count":"20000000","sum":"2.5"}]`)
	f(metric.Family{Type: metric.GaugeHistogram, Metrics: []metric.Metric{histogram(classic)}},
		`"type":"GAUGE_HISTOGRAM","metrics":[{"labels":_,"buckets":{"0.1":"1","+Inf":"20000000"},"count":"20000000","sum":"2.5"}]`)
	f(metric.Family{Type: metric.Histogram, Metrics: []metric.Metric{histogram(metric.HistogramValue{
		CountFloat: 1.5, Sum: 3, Buckets: []metric.Bucket{
			{UpperBound: 1, CumulativeCountFloat: 0.5},
			{UpperBound: 2, CumulativeCount: 1},
		},
	})}},
		`"type":"HISTOGRAM","metrics":[{"labels":_,"buckets":{"1":"0.5","2":"1"},"count":"1.5","sum":"3"}]`)
	f(metric.Family{Type: metric.Histogram, Metrics: []metric.Metric{histogram(metric.HistogramValue{
		Count: 2, Sum: 3, ZeroThreshold: 0.5, ZeroCount: 2,
	})}},
		`"type":"HISTOGRAM","metrics":[{"labels":_,"buckets":{},"count":"2","sum":"3"}]`)

	integer := metric.HistogramValue{
		Count: 20_000_016, Sum: 5, ZeroThreshold: 0.25, ZeroCount: 3,
		Negative: metric.NativeBuckets{Spans: []metric.Span{{Offset: 0, Length: 3}}, Deltas: []int64{1, 1, -2}},
		Positive: metric.NativeBuckets{
			Spans:  []metric.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}},
			Deltas: []int64{4, 2, 20_000_000 - 6},
		},
	}
	f(metric.Family{Type: metric.Histogram, Metrics: []metric.Metric{histogram(integer)}},
		`"type":"HISTOGRAM","metrics":[{"labels":_,"buckets":[`+
			`[1,"-2","-1","2"],[1,"-1","-0.5","1"],[3,"-0.25","0.25","3"],`+
			`[0,"0.5","1","4"],[0,"1","2","6"],[0,"4","8","20000000"]],"count":"20000016","sum":"5"}]`)
	f(metric.Family{Type: metric.Histogram, Metrics: []metric.Metric{histogram(metric.HistogramValue{
		CountFloat: 4.5, Sum: 5, ZeroThreshold: 0.25, ZeroCountFloat: 0.5,
		Negative: metric.NativeBuckets{Spans: []metric.Span{{Offset: 1, Length: 1}}, Counts: []float64{1.5}},
		Positive: metric.NativeBuckets{Spans: []metric.Span{{Offset: -1, Length: 1}}, Counts: []float64{2.5}},
		Buckets:  []metric.Bucket{{UpperBound: 1, CumulativeCount: 1}},
	})}},
		`"type":"HISTOGRAM","metrics":[{"labels":_,"buckets":[`+
			`[1,"-2","-1","1.5"],[3,"-0.25","0.25","0.5"],[0,"0.25","0.5","2.5"]],"count":"4.5","sum":"5"}]`)
	f(metric.Family{Type: metric.GaugeHistogram, Metrics: []metric.Metric{histogram(metric.HistogramValue{
		ZeroThreshold: 0.25, Positive: metric.NativeBuckets{Spans: []metric.Span{{}}}, // empty, yet native
	})}},
		`"type":"GAUGE_HISTOGRAM","metrics":[{"labels":_,"buckets":[],"count":"0","sum":"0"}]`)
	f(metric.Family{Type: metric.Histogram, Metrics: []metric.Metric{histogram(metric.HistogramValue{
		Count: 2, Schema: -53, // custom buckets: protobuf cannot carry their bounds
		Positive: metric.NativeBuckets{Spans: []metric.Span{{Length: 1}}, Deltas: []int64{2}},
	})}},
		`"type":"HISTOGRAM","metrics":[{"labels":_,"buckets":[[3,"-Inf","+Inf","2"]],"count":"2","sum":"0"}]`)
}

func TestLastPushSuccessful(t *testing.T) {
	s := store.InMemory()
	check := func(want bool) {
		t.Helper()
		if got := write(t, s); !strings.Contains(got, fmt.Sprintf(`"last_push_successful":%t`, want)) {
			t.Errorf("want %t: %s", want, got)
		}
	}
	fail := func(at time.Time) {
		t.Helper()
		if err := s.Fail(key("job", "a"), at); err != nil {
			t.Fatal(err)
		}
	}
	fail(noon.Add(-time.Second))
	check(false)
	put(t, s, key("job", "a"))
	check(true)
	fail(noon)
	check(true)
	fail(noon.Add(time.Second))
	check(false)
}

// A family may have the name of one of the two keys that are not families. It then
// replaces the key; no key is there twice.
func TestFamilyTakesKey(t *testing.T) {
	s := store.InMemory()
	var families []metric.Family
	for _, name := range []string{"labels", "last_push_successful", "a", "m", "z"} {
		families = append(families, metric.Family{Name: name, Type: metric.Gauge,
			Metrics: []metric.Metric{{Value: 7, HasValue: true}}})
	}
	put(t, s, key("job", "a"), families...)
	group := readGroups(t, write(t, s))[0]
	for _, name := range []string{"labels", "last_push_successful"} {
		family, _ := group[name].(map[string]any)
		if family["type"] != "GAUGE" {
			t.Errorf("%s is %v, want the family", name, group[name])
		}
	}
}

func TestHostileStrings(t *testing.T) {
	for _, hostile := range []string{
		"", `"`, `\`, `"},{"`, "</script><!--", "\x00\x01\x1f\x7f", "\n\r\t\b\f", "\u2028\u2029", "é€𝄞", "\ufffd", "\u202e",
	} {
		s := store.InMemory()
		inName := strings.ReplaceAll(hostile, "\x00", "") // which no name may have
		put(t, s, key("job", "a", "l", hostile), metric.Family{
			Name: "m" + inName, Help: hostile, Type: metric.Gauge,
			Metrics: []metric.Metric{{Labels: []metric.Label{{Name: "k" + inName, Value: hostile}}, HasValue: true}},
		})
		group := readGroups(t, write(t, s))[0]
		labels := group["labels"].(map[string]any)
		family := group["m"+inName].(map[string]any)
		own := family["metrics"].([]any)[0].(map[string]any)["labels"].(map[string]any)
		help, _ := family["help"].(string)
		if labels["l"] != hostile || own["k"+inName] != hostile || help != hostile {
			t.Errorf("%q became %v", hostile, group)
		}
	}
	// A path may contain invalid UTF-8; the document is JSON all the same.
	s := store.InMemory()
	put(t, s, key("job", "a\xff\xfeb"))
	if got := readGroups(t, write(t, s))[0]["labels"].(map[string]any)["job"]; got != "a\ufffd\ufffdb" {
		t.Errorf("job is %q", got)
	}
}

// counter counts writes and the largest of them, and fails after limit bytes.
type counter struct{ total, largest, limit int }

var errFull = errors.New("full")

func (c *counter) Write(p []byte) (int, error) {
	c.total += len(p)
	c.largest = max(c.largest, len(p))
	if c.limit > 0 && c.total > c.limit {
		return 0, errFull
	}
	return len(p), nil
}

// A single large group is written in pieces, too.
func TestStreams(t *testing.T) {
	s := store.InMemory()
	f := metric.Family{Name: "m", Type: metric.Gauge}
	for i := range 20_000 {
		f.Metrics = append(f.Metrics, metric.Metric{HasValue: true,
			Labels: []metric.Label{{Name: "l", Value: fmt.Sprint(i)}}})
	}
	put(t, s, key("job", "a"), f)
	var w counter
	if err := api.WriteMetrics(&w, s.Snapshot().Groups()); err != nil {
		t.Fatal(err)
	}
	if w.total < 1<<20 || w.largest > 80<<10 {
		t.Errorf("%d bytes in pieces of up to %d, want small pieces", w.total, w.largest)
	}
	w = counter{limit: 200_000}
	if err := api.WriteMetrics(&w, s.Snapshot().Groups()); !errors.Is(err, errFull) {
		t.Errorf("error %v, want that of the writer", err)
	}
	if w.total > 300_000 {
		t.Errorf("%d bytes were written, want a stop at the first error", w.total)
	}
}

// FuzzWriteMetrics: whatever is pushed, the answer is JSON, no object has a key twice,
// and its groups are those of the store with their labels.
func FuzzWriteMetrics(f *testing.F) {
	f.Add("# HELP m <h>\n# TYPE m counter\nm{l=\"\\\"\\n\"} 1\nlabels 2\n", []byte(nil), "a", "b")
	f.Add(allTypes, []byte(nil), "\x00\u2028", "\xff")
	f.Add(`{"a.b","c d"="e"} 1`, nativeBody(f), `</script>`, `"\`)
	f.Fuzz(func(t *testing.T, text string, protobuf []byte, job, value string) {
		s := store.InMemory()
		push := func(key metric.GroupingKey, families []metric.Family, err error) {
			if err != nil {
				return
			}
			p, err := new(store.Encoder).Push(key, families, noon, store.PushOptions{Merge: metric.MergeFamily})
			if err != nil {
				_ = s.Fail(key, noon)
				return
			}
			_, _ = s.Apply(p) // a rejection is fine
		}
		parser := wire.TextParser{Names: metric.UTF8Validation}
		families, err := parser.Parse(text)
		push(key("job", job), families, err)
		families, err = wire.ParseProtobuf(protobuf)
		push(key("job", job, "l", value), families, err)
		families, err = parser.Parse(text)
		push(key("job", "fixed", "l", value, "instance", job), families, err)

		groups := readGroups(t, write(t, s))
		if want := s.Totals().Groups; len(groups) != want {
			t.Fatalf("%d groups, want %d", len(groups), want)
		}
		for i, g := range collect(s.Snapshot()) {
			if families := len(groups[i]); families < len(g.Families) || families > len(g.Families)+2 {
				t.Errorf("group %s has %d keys for %d families", g.Key, families, len(g.Families))
			}
			labels, _ := groups[i]["labels"].(map[string]any)
			for _, l := range g.Key.Labels() {
				if g.Family("labels") == nil && labels[l.Name] != string([]rune(l.Value)) {
					t.Errorf("label %s is %q, want %q", l.Name, labels[l.Name], l.Value)
				}
			}
		}
	})
}

func BenchmarkWriteMetrics(b *testing.B) {
	for _, groups := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			s := store.InMemory()
			for i := range groups {
				put(b, s, key("job", "batch", "instance", fmt.Sprintf("host-%06d", i)), job()...)
			}
			v := s.Snapshot()
			var w counter
			b.ReportAllocs()
			for b.Loop() {
				w = counter{}
				if err := api.WriteMetrics(&w, v.Groups()); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(w.total))
		})
	}
}

// job is a push of 5 gauges, 2 counters of 5 series and a histogram of 12
// buckets: 27 lines of values.
func job() []metric.Family {
	var families []metric.Family
	for i := range 5 {
		families = append(families, metric.Family{Name: fmt.Sprintf("job_gauge_%d", i), Help: "A gauge.", Type: metric.Gauge,
			Metrics: []metric.Metric{{Value: 1.5 * float64(i), HasValue: true}}})
	}
	for i := range 2 {
		f := metric.Family{Name: fmt.Sprintf("job_counter_%d_total", i), Help: "A counter.", Type: metric.Counter}
		for j := range 5 {
			f.Metrics = append(f.Metrics, metric.Metric{Value: float64(1000 * j), HasValue: true,
				Labels: []metric.Label{{Name: "code", Value: fmt.Sprint(200 + j)}}})
		}
		families = append(families, f)
	}
	h := &metric.HistogramValue{Count: 12, Sum: 34.5}
	for i := range 11 {
		h.Buckets = append(h.Buckets, metric.Bucket{UpperBound: 0.005 * float64(int(1)<<i), CumulativeCount: uint64(i)})
	}
	h.Buckets = append(h.Buckets, metric.Bucket{UpperBound: math.Inf(+1), CumulativeCount: 12})
	return append(families, metric.Family{Name: "job_duration_seconds", Type: metric.Histogram,
		Metrics: []metric.Metric{{Histogram: h}}})
}

// readGroups decodes an answer. Unlike encoding/json, it does not accept a key twice in
// one object.
func readGroups(t testing.TB, body string) []map[string]any {
	t.Helper()
	if err := checkKeys(json.NewDecoder(strings.NewReader(body))); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var answer struct {
		Status string
		Data   []map[string]any
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&answer); err != nil || d.More() {
		t.Fatalf("%v, or text behind the document: %s", err, body)
	}
	if answer.Status != "success" || answer.Data == nil {
		t.Fatalf("no success, or no data: %s", body)
	}
	return answer.Data
}

// checkKeys reads one value and fails where an object in it has a key twice.
func checkKeys(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, _ := token.(json.Delim)
	seen := map[json.Token]bool{}
	for (open == '{' || open == '[') && d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			if seen[key] {
				return fmt.Errorf("key %q is there twice", key)
			}
			seen[key] = true
		}
		if err := checkKeys(d); err != nil {
			return err
		}
	}
	if open != 0 {
		_, err = d.Token()
	}
	return err
}

func collect(v *store.Snapshot) []*store.Group {
	var groups []*store.Group
	for g := range v.Groups() {
		groups = append(groups, g)
	}
	return groups
}
