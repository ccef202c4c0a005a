package metric_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// sumOf adds up families as a group does, and checks that this changes neither what
// the group holds nor what is pushed.
func sumOf(t testing.TB, gauges metric.GaugeMerge, pushes ...*metric.Family) (*metric.Family, error) {
	t.Helper()
	sum := *pushes[0]
	sum.Metrics = nil
	for _, f := range pushes {
		if err := f.CheckSummable(gauges); err != nil {
			return nil, err
		}
		stored, pushed := encoded(&sum), encoded(f)
		metrics, err := metric.AddMetrics(f, sum.Metrics, gauges)
		if !bytes.Equal(encoded(&sum), stored) || !bytes.Equal(encoded(f), pushed) {
			t.Fatalf("AddMetrics changed what it was given: %s and %s", text(&sum), text(f))
		}
		if err != nil {
			return nil, err
		}
		sum.Metrics = metrics
	}
	return &sum, nil
}

// encoded is all there is in the metrics of a family.
func encoded(f *metric.Family) []byte { return wire.AppendProtobufMetrics(nil, f) }

func text(f *metric.Family) string { return string(wire.AppendText(nil, f)) }

// family parses the samples of a family m, which are separated by semicolons.
func family(t *testing.T, typ metric.Type, samples string) *metric.Family {
	t.Helper()
	if samples == "" {
		return &metric.Family{Name: "m", Type: typ}
	}
	name := typ.String()
	if typ == metric.GaugeHistogram {
		name = "histogram"
	}
	parser := wire.TextParser{Names: metric.LegacyValidation}
	families, err := parser.Parse("# TYPE m " + name + "\n" + strings.ReplaceAll(samples, ";", "\n") + "\n")
	if err != nil || len(families) != 1 {
		t.Fatalf("%s: %d families, %v", samples, len(families), err)
	}
	families[0].Type = typ
	return &families[0]
}

// classic writes the samples of a histogram whose sum is 1, from buckets such as
// "0.5:2 1:3".
func classic(buckets string, count any) string {
	var b strings.Builder
	for bucket := range strings.FieldsSeq(buckets) {
		bound, n, _ := strings.Cut(bucket, ":")
		fmt.Fprintf(&b, `m_bucket{le="%s"} %s;`, bound, n)
	}
	return fmt.Sprintf("%sm_sum 1;m_count %v", b.String(), count)
}

func TestSums(t *testing.T) {
	const (
		last, total, least, most = metric.GaugeLast, metric.GaugeSum, metric.GaugeMin, metric.GaugeMax

		counter, gauge, summary   = metric.Counter, metric.Gauge, metric.Summary
		histogram, gaugeHistogram = metric.Histogram, metric.GaugeHistogram
	)
	for name, c := range map[string]struct {
		typ                  metric.Type
		gauges               metric.GaugeMerge
		stored, pushed, want string
	}{
		"counters":              {counter, last, "m 1", "m 2.5", "m 3.5"},
		"counters up to 2^53":   {counter, last, "m 4503599627370495", "m 4503599627370497", "m 9007199254740992"},
		"infinite counter":      {counter, last, "m +Inf", "m 1", "m +Inf"},
		"a series first":        {counter, last, `m{a="2"} 1`, `m{a="1"} 2;m{a="2"} 4`, `m{a="1"} 2;m{a="2"} 5`},
		"a series between":      {counter, last, `m{a="1"} 1;m{a="3"} 2`, `m{a="2"} 4`, `m{a="1"} 1;m{a="2"} 4;m{a="3"} 2`},
		"a series last":         {counter, last, `m{a="1"} 1`, `m{a="1"} 2;m{a="2"} 4`, `m{a="1"} 3;m{a="2"} 4`},
		"shorter label sets":    {counter, last, `m 1;m{a="1"} 1`, `m{a="1"} 2;m{a="1",b="1"} 4`, `m 1;m{a="1"} 3;m{a="1",b="1"} 4`},
		"nothing stored":        {counter, last, "", `m 1`, "m 1"},
		"gauge":                 {gauge, metric.GaugeDefault, "m 3", "m 2", "m 2"},
		"last gauge":            {gauge, last, "m 3", "m NaN", "m NaN"},
		"total of gauges":       {gauge, total, "m 3", "m -5", "m -2"},
		"total with NaN":        {gauge, total, "m 3", "m NaN", "m NaN"},
		"least gauge pushed":    {gauge, least, "m 3", "m 2", "m 2"},
		"least gauge stored":    {gauge, least, "m -3", "m 2", "m -3"},
		"least of NaN pushed":   {gauge, least, "m 3", "m NaN", "m 3"},
		"least of NaN stored":   {gauge, least, "m NaN", "m 3", "m 3"},
		"least of NaN":          {gauge, least, "m NaN", "m NaN", "m NaN"},
		"greatest gauge pushed": {gauge, most, "m 3", "m 4", "m 4"},
		"greatest gauge stored": {gauge, most, "m 3", "m -Inf", "m 3"},
		"greatest of NaN":       {gauge, most, "m NaN", "m -1", "m -1"},
		"summaries lose quantiles": {summary, last, `m{quantile="0.5"} 1;m_sum 4;m_count 2`,
			`m{quantile="0.5"} 3;m_sum -1;m_count 3`, "m_sum 3;m_count 5"},
		"the first summary, too": {summary, last, "", `m{quantile="0.5"} 3;m_sum 1;m_count 3`, "m_sum 1;m_count 3"},
		"same buckets": {histogram, last, classic("1:2 5:3", 4), classic("1:0 5:4", 4),
			"m_bucket{le=\"1\"} 2;m_bucket{le=\"5\"} 7;m_sum 2;m_count 8"},
		"other buckets": {histogram, total, classic("1:2 5:3", 4), classic("2:1 5:1 7:6", 6),
			"m_bucket{le=\"1\"} 2;m_bucket{le=\"2\"} 3;m_bucket{le=\"5\"} 4;m_bucket{le=\"7\"} 9;m_sum 2;m_count 10"},
		"no buckets":                {histogram, last, classic("1:2", 4), classic("", 3), "m_bucket{le=\"1\"} 2;m_sum 2;m_count 7"},
		"no buckets on either side": {histogram, last, classic("", 4), classic("", 3), "m_sum 2;m_count 7"},
		"buckets below zero": {histogram, last, classic("-Inf:1 -2:2", 4), classic("-3:1 -2:1", 3),
			"m_bucket{le=\"-Inf\"} 1;m_bucket{le=\"-3\"} 2;m_bucket{le=\"-2\"} 3;m_sum 2;m_count 7"},
		"both zeros": {histogram, last, classic("-0:1", 1), classic("0:1", 3), "m_bucket{le=\"-0\"} 2;m_sum 2;m_count 4"},
		"unsorted buckets": {histogram, last, classic("5:3 +Inf:4 1:2", 4), classic("+Inf:6 2:1", 6),
			"m_bucket{le=\"1\"} 2;m_bucket{le=\"2\"} 3;m_bucket{le=\"5\"} 4;m_sum 2;m_count 10"},
		"float counts": {histogram, last, classic("1:2 5:3", 4), classic("1:0.5 2:1", 1.5),
			"m_bucket{le=\"1\"} 2.5;m_bucket{le=\"2\"} 3;m_bucket{le=\"5\"} 4;m_sum 2;m_count 5.5"},
		"float counts stored": {histogram, last, classic("1:0.25", 4), classic("1:1", 2),
			"m_bucket{le=\"1\"} 1.25;m_sum 2;m_count 6"},
		"gauge histogram":   {gaugeHistogram, last, classic("1:2", 4), classic("2:1", 3), classic("2:1", 3)},
		"inconsistent last": {gaugeHistogram, last, classic("1:9", 4), classic("2:9", 3), classic("2:9", 3)},
		"total of gauge histograms": {gaugeHistogram, total, classic("1:2", 4), classic("2:1", 3),
			"m_bucket{le=\"1\"} 2;m_bucket{le=\"2\"} 3;m_sum 2;m_count 7"},
		"least of a family of other": {histogram, least, classic("1:2", 4), classic("1:1", 3), "m_bucket{le=\"1\"} 3;m_sum 2;m_count 7"},
	} {
		t.Run(name, func(t *testing.T) {
			var pushes []*metric.Family
			if c.stored != "" {
				pushes = append(pushes, family(t, c.typ, c.stored))
			}
			sum, err := sumOf(t, c.gauges, append(pushes, family(t, c.typ, c.pushed))...)
			if err != nil {
				t.Errorf("%v", err)
			} else if got, want := text(sum), text(family(t, c.typ, c.want)); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestInfiniteBucketIsKept(t *testing.T) {
	for _, c := range []struct{ stored, pushed, want string }{
		{"1:1", "1:1", "[1:2]"},
		{"1:1 +Inf:3", "1:1", "[1:2 +Inf:6]"},
		{"1:1", "+Inf:3", "[1:1 +Inf:6]"},
		{"+Inf:3", "+Inf:3", "[+Inf:6]"},
	} {
		sum, err := sumOf(t, metric.GaugeLast, family(t, metric.Histogram, classic(c.stored, 3)), family(t, metric.Histogram,
			classic(c.pushed, 3)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range sum.Metrics[0].Histogram.Buckets {
			got = append(got, fmt.Sprintf("%v:%d", b.UpperBound, b.CumulativeCount))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s and %s: got %v, want %s", c.stored, c.pushed, got, c.want)
		}
	}
}

// native returns a family of one native histogram.
func native(h metric.HistogramValue) *metric.Family {
	return &metric.Family{Name: "m", Type: metric.Histogram, Metrics: []metric.Metric{{
		Labels: []metric.Label{{Name: "job", Value: "j"}}, Histogram: &h}}}
}

func integers(offset int32, deltas ...int64) metric.NativeBuckets {
	return metric.NativeBuckets{Spans: []metric.Span{{Offset: offset, Length: uint32(len(deltas))}}, Deltas: deltas}
}

func floats(offset int32, counts ...float64) metric.NativeBuckets {
	return metric.NativeBuckets{Spans: []metric.Span{{Offset: offset, Length: uint32(len(counts))}}, Counts: counts}
}

func TestNativeSums(t *testing.T) {
	for name, c := range map[string]struct{ stored, pushed, want metric.HistogramValue }{
		"integers": {
			metric.HistogramValue{Count: 4, Sum: 1, ZeroThreshold: 0.5, ZeroCount: 1, Positive: integers(1, 1, 1)},
			metric.HistogramValue{Count: 9, Sum: 2, ZeroThreshold: 0.5, ZeroCount: 2, Positive: integers(2, 3), Negative: integers(-1, 4)},
			metric.HistogramValue{Count: 13, Sum: 3, ZeroThreshold: 0.5, ZeroCount: 3, Positive: integers(1, 1, 4),
				Negative: integers(-1, 4)}},
		"integers beyond 2^53": {
			metric.HistogramValue{Count: 1<<62 + 1, Positive: integers(1, 1<<62+1)},
			metric.HistogramValue{Count: 1<<61 + 1, Positive: integers(1, 1<<61+1)},
			metric.HistogramValue{Count: 1<<62 + 1<<61 + 2, Positive: integers(1, 1<<62+1<<61+2)}},
		"floats": {
			metric.HistogramValue{CountFloat: 1.5, ZeroThreshold: 0.5, ZeroCountFloat: 0.5, Positive: floats(1, 1)},
			metric.HistogramValue{CountFloat: 2.25, ZeroThreshold: 0.5, Positive: floats(1, 0.25, 2)},
			metric.HistogramValue{CountFloat: 3.75, ZeroThreshold: 0.5, ZeroCountFloat: 0.5, Positive: floats(1, 1.25, 2)}},
		"integers and floats": {
			metric.HistogramValue{Count: 5, ZeroThreshold: 0.5, ZeroCount: 2, Positive: integers(1, 1, 1)},
			metric.HistogramValue{CountFloat: 1.5, ZeroThreshold: 0.5, ZeroCountFloat: 0.5, Positive: floats(2, 1)},
			metric.HistogramValue{CountFloat: 6.5, ZeroThreshold: 0.5, ZeroCountFloat: 2.5, Positive: floats(1, 1, 3)}},
		"floats and nothing observed": {
			metric.HistogramValue{CountFloat: 1.5, ZeroThreshold: 0.5, ZeroCountFloat: 0.5, Positive: floats(2, 1)},
			metric.HistogramValue{ZeroThreshold: 0.5},
			metric.HistogramValue{CountFloat: 1.5, ZeroThreshold: 0.5, ZeroCountFloat: 0.5, Positive: floats(2, 1)}},
		"nothing observed": {
			metric.HistogramValue{Positive: integers(0)},
			metric.HistogramValue{Negative: integers(0)},
			metric.HistogramValue{Positive: integers(0)}},
		"only empty buckets": {
			metric.HistogramValue{Positive: integers(5, 0, 0)},
			metric.HistogramValue{Negative: integers(0)},
			metric.HistogramValue{Positive: integers(0)}},
		"empty buckets and spans go": {
			metric.HistogramValue{Count: 3, Positive: metric.NativeBuckets{Spans: []metric.Span{{-2, 2}, {0, 0}, {1, 1}, {3, 2}},
				Deltas: []int64{1, -1, 0, 2, -2}}},
			metric.HistogramValue{Count: 1, Positive: metric.NativeBuckets{Spans: []metric.Span{{-3, 0}, {0, 0}, {4, 1}},
				Deltas: []int64{1}}},
			metric.HistogramValue{Count: 4, Positive: metric.NativeBuckets{Spans: []metric.Span{{-2, 1}, {2, 1}, {3, 1}},
				Deltas: []int64{1, 0, 1}}}},
		"the lower resolution stored": {
			metric.HistogramValue{Schema: 0, Count: 1, Positive: integers(1, 1)},
			metric.HistogramValue{Schema: 1, Count: 9, Positive: integers(0, 1, 1, 1, -3, 3),
				Negative: metric.NativeBuckets{Spans: []metric.Span{{-4, 0}}}},
			metric.HistogramValue{Schema: 0, Count: 10, Positive: integers(0, 1, 5, -3)}},
		"the lower resolution pushed": {
			metric.HistogramValue{Schema: 3, Count: 2, Negative: integers(-8, 1, 0)},
			metric.HistogramValue{Schema: -4, Count: 1, Negative: integers(1, 1)},
			metric.HistogramValue{Schema: -4, Count: 3, Negative: integers(0, 2, -1)}},
		"a larger zero bucket": {
			metric.HistogramValue{Count: 10, ZeroThreshold: 0.25, ZeroCount: 1, Positive: integers(0, 2, 1, 0), Negative: integers(0, 1)},
			metric.HistogramValue{Count: 1, ZeroThreshold: 1, Positive: integers(2, 1)},
			metric.HistogramValue{Count: 11, ZeroThreshold: 1, ZeroCount: 4, Positive: integers(1, 3, 1)}},
		"a zero bucket that cuts a populated one": {
			metric.HistogramValue{Count: 5, ZeroThreshold: 0.25, ZeroCount: 1, Positive: integers(2, 1), Negative: integers(1, 3)},
			metric.HistogramValue{Count: 5, ZeroThreshold: 1.5, Positive: integers(1, 1, 3)},
			metric.HistogramValue{Count: 10, ZeroThreshold: 2, ZeroCount: 5, Positive: integers(2, 5)}},
		"a zero bucket that cuts none": {
			metric.HistogramValue{Count: 2, ZeroThreshold: 0.25, ZeroCount: 1, Positive: integers(2, 1)},
			metric.HistogramValue{Count: 5, ZeroThreshold: 1.5, Positive: integers(1, 1, 3)},
			metric.HistogramValue{Count: 7, ZeroThreshold: 1.5, ZeroCount: 1, Positive: integers(1, 1, 4)}},
		"a zero bucket that cuts what is joined": {
			metric.HistogramValue{Schema: 1, Count: 7, ZeroThreshold: 0.25, Positive: integers(1, 3, 1)},
			metric.HistogramValue{Schema: 0, Count: 1, ZeroThreshold: 2 * 0.7071067811865475, Positive: integers(2, 1)},
			metric.HistogramValue{Schema: 0, Count: 8, ZeroThreshold: 2 * 0.7071067811865475, ZeroCount: 3, Positive: integers(1, 4, -3)}},
		"the outermost buckets": {
			metric.HistogramValue{Schema: 8, Count: 1, ZeroThreshold: 0, Positive: integers(1024<<8+1, 1)},
			metric.HistogramValue{Schema: 8, Count: 1, ZeroThreshold: math.MaxFloat64, ZeroCount: 1},
			metric.HistogramValue{Schema: 8, Count: 2, ZeroThreshold: math.MaxFloat64, ZeroCount: 1, Positive: integers(1024<<8+1, 1)}},
		"the innermost buckets": {
			metric.HistogramValue{Schema: 8, Count: 1, Positive: integers(-1074<<8, 1)},
			metric.HistogramValue{Schema: 7, Count: 1, Positive: integers(-1074<<7, 1)},
			metric.HistogramValue{Schema: 7, Count: 2, Positive: integers(-1074<<7, 2)}},
		"NaN observed": {
			metric.HistogramValue{Count: 3, Sum: math.NaN(), Positive: integers(1, 2)},
			metric.HistogramValue{Count: 1, Sum: 1, Positive: integers(1, 1)},
			metric.HistogramValue{Count: 4, Sum: math.NaN(), Positive: integers(1, 3)}},
		"custom buckets": {
			metric.HistogramValue{Schema: -53, Count: 3, Positive: integers(0, 3)},
			metric.HistogramValue{Schema: -53, Count: 1, Positive: integers(0, 1)},
			metric.HistogramValue{Schema: -53, Count: 4, Positive: integers(0, 4)}},
		"classic buckets, too": {
			metric.HistogramValue{Count: 2, Positive: integers(1, 2), Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCount: 1}}},
			metric.HistogramValue{Count: 3, Positive: integers(1, 3), Buckets: []metric.Bucket{{UpperBound: 2, CumulativeCount: 3}}},
			metric.HistogramValue{Count: 5, Positive: integers(1, 5), Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCount: 1},
				{UpperBound: 2, CumulativeCount: 4}}}},
		"float classic buckets beside native integers": {
			metric.HistogramValue{Count: 2, Positive: integers(1, 2), Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCountFloat: 0.5}}},
			metric.HistogramValue{Count: 3, Positive: integers(1, 3), Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCount: 3}}},
			metric.HistogramValue{CountFloat: 5, Positive: floats(1, 5),
				Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCountFloat: 3.5}}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, order := range [][2]metric.HistogramValue{{c.stored, c.pushed}, {c.pushed, c.stored}} {
				sum, err := sumOf(t, metric.GaugeLast, native(order[0]), native(order[1]))
				if err != nil {
					t.Errorf("%v", err)
				} else if got := *sum.Metrics[0].Histogram; show(got) != show(c.want) {
					t.Errorf("got\n%s, want\n%s", show(got), show(c.want))
				} else if !got.Native() {
					t.Errorf("the sum is not native")
				}
			}
		})
	}
}

// show writes all of a histogram but exemplars.
func show(h metric.HistogramValue) string {
	h.Exemplars = nil
	return fmt.Sprintf("%+v", h)
}

func TestExemplarsOfSums(t *testing.T) {
	at := func(value float64, second int64) *metric.Exemplar {
		return &metric.Exemplar{Value: value, Timestamp: metric.Timestamp{Seconds: second, Set: second != 0}}
	}
	for name, c := range map[string]struct{ stored, pushed, want *metric.Exemplar }{
		"none":            {nil, nil, nil},
		"only stored":     {at(1, 5), nil, at(1, 5)},
		"only pushed":     {nil, at(2, 5), at(2, 5)},
		"pushed newer":    {at(1, 5), at(2, 6), at(2, 6)},
		"stored newer":    {at(1, 6), at(2, 5), at(1, 6)},
		"same time":       {at(1, 5), at(2, 5), at(2, 5)},
		"stored timeless": {at(1, 0), at(2, 5), at(2, 5)},
		"timeless":        {at(1, 5), at(2, 0), at(2, 0)},
		"before 1970":     {at(1, -5), at(2, 0), at(2, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			counter := func(e *metric.Exemplar) *metric.Family {
				return &metric.Family{Type: metric.Counter, Metrics: []metric.Metric{{HasValue: true, Exemplar: e}}}
			}
			bucket := func(e *metric.Exemplar) *metric.Family {
				return native(metric.HistogramValue{Buckets: []metric.Bucket{{UpperBound: 1, Exemplar: e}}})
			}
			counters, err := sumOf(t, metric.GaugeLast, counter(c.stored), counter(c.pushed))
			if err != nil {
				t.Fatal(err)
			}
			buckets, err := sumOf(t, metric.GaugeLast, bucket(c.stored), bucket(c.pushed))
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []*metric.Exemplar{counters.Metrics[0].Exemplar, buckets.Metrics[0].Histogram.Buckets[0].Exemplar} {
				if got != c.want && (got == nil || c.want == nil || got.Value != c.want.Value || got.Timestamp != c.want.Timestamp) {
					t.Errorf("got %v, want %v", got, c.want)
				}
			}
		})
	}
}

func TestNativeExemplarsOfSums(t *testing.T) {
	histogram := func(seconds ...int64) *metric.Family {
		h := metric.HistogramValue{ZeroThreshold: 1}
		for _, s := range seconds {
			h.Exemplars = append(h.Exemplars, metric.Exemplar{Timestamp: metric.Timestamp{Seconds: s, Set: s != 0}})
		}
		return native(h)
	}
	for _, c := range []struct{ stored, pushed, want []int64 }{
		{nil, nil, nil},
		{[]int64{2, 1}, nil, []int64{1, 2}},
		{nil, []int64{2, 1}, []int64{1, 2}},
		{[]int64{3, 1}, []int64{0, 2}, []int64{0, 1, 2, 3}},
		{[]int64{9, 8, 7, 6, 5, 0}, []int64{1, 2, 3, 10, 11, 12}, []int64{2, 3, 5, 6, 7, 8, 9, 10, 11, 12}},
	} {
		sum, err := sumOf(t, metric.GaugeLast, histogram(c.stored...), histogram(c.pushed...))
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, e := range sum.Metrics[0].Histogram.Exemplars {
			got = append(got, e.Timestamp.Seconds)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v and %v: got %v, want %v", c.stored, c.pushed, got, c.want)
		}
	}
}

func TestCreatedOfSums(t *testing.T) {
	never := metric.Timestamp{}
	at := func(seconds int64, nanos int32) metric.Timestamp {
		return metric.Timestamp{Seconds: seconds, Nanos: nanos, Set: true}
	}
	for _, c := range []struct{ stored, pushed, want metric.Timestamp }{
		{never, never, never},
		{never, at(5, 0), at(5, 0)},
		{at(5, 0), never, at(5, 0)},
		{at(-5, 0), never, at(-5, 0)},
		{at(5, 0), at(4, 9), at(4, 9)},
		{at(5, 1), at(5, 2), at(5, 1)},
		{at(5, 2), at(5, 1), at(5, 1)},
		{at(0, 0), at(-1, 2), at(-1, 2)},
	} {
		for _, m := range []struct {
			typ    metric.Type
			metric metric.Metric
		}{
			{metric.Counter, metric.Metric{HasValue: true}},
			{metric.Summary, metric.Metric{Summary: &metric.SummaryValue{}}},
			{metric.Histogram, metric.Metric{Histogram: &metric.HistogramValue{}}},
		} {
			created := func(at metric.Timestamp) *metric.Family {
				m.metric.Created = at
				return &metric.Family{Type: m.typ, Metrics: []metric.Metric{m.metric}}
			}
			sum, err := sumOf(t, metric.GaugeLast, created(c.stored), created(c.pushed))
			if err != nil || sum.Metrics[0].Created != c.want {
				t.Errorf("%s: %v and %v: got %v, %v", m.typ, c.stored, c.pushed, sum.Metrics[0].Created, err)
			}
		}
	}
}

// mustReject checks that an error is a rejection with this reason, and that its message
// contains these texts.
func mustReject(t *testing.T, err error, reason metric.Reason, says ...string) {
	t.Helper()
	rejection, ok := err.(*metric.RejectionError)
	if !ok || rejection.Reason != reason {
		t.Errorf("got %v, want a rejection with reason %s", err, reason)
		return
	}
	for _, s := range says {
		if !strings.Contains(rejection.Message, s) {
			t.Errorf("%q does not say %q", rejection.Message, s)
		}
	}
}

func TestUnsummableRejected(t *testing.T) {
	const last = metric.GaugeLast
	nan := math.NaN()
	for name, c := range map[string]struct {
		family *metric.Family
		gauges metric.GaugeMerge
		reason metric.Reason
		says   string
	}{
		"negative counter": {family(t, metric.Counter, `m{a="b"} -1`), last, metric.BadValue, `counter m{a="b"} is -1`},
		"NaN counter":      {family(t, metric.Counter, `m NaN`), last, metric.BadValue, "counter m{} is NaN"},
		"untyped":          {family(t, metric.Untyped, `m 1`), last, metric.BadMerge, "TYPE line"},
		"least gauge histogram": {family(t, metric.GaugeHistogram, classic("1:2", 4)), metric.GaugeMin, metric.BadMerge,
			"gauges=sum"},
		"greatest gauge histogram": {family(t, metric.GaugeHistogram, classic("1:2", 4)), metric.GaugeMax, metric.BadMerge,
			"gauges=sum"},
		"decreasing buckets": {family(t, metric.Histogram, classic("1:2 2:1", 4)), last, metric.BadValue,
			`m{} cannot be added up: its bucket le="2" counts 1, which is less than the 2 of the bucket before; let each`},
		"decreasing when sorted": {family(t, metric.Histogram, classic("2:1 1:2", 4)), last, metric.BadValue, `le="2" counts 1`},
		"decreasing floats": {family(t, metric.Histogram, classic("1:0.5 2:0.25", 4)), last, metric.BadValue,
			`le="2" counts 0.25`},
		"decreasing to zero": {family(t, metric.Histogram, classic("1:0.5 2:0", 4)), last, metric.BadValue, `le="2" counts 0`},
		"bucket above the count": {family(t, metric.Histogram, classic("1:5", 4)), last, metric.BadValue,
			`le="1" counts 5, but its count is 4`},
		"infinite above the count": {family(t, metric.Histogram, classic("1:1 +Inf:5", 4)), last, metric.BadValue,
			`le="+Inf" counts 5, but its count is 4`},
		"infinite below the count": {family(t, metric.Histogram, classic("1:1 +Inf:3", 4)), last, metric.BadValue,
			`le="+Inf" counts 3, but its count is 4`},
		"infinite by a half": {family(t, metric.Histogram, classic("+Inf:3.5", 4)), last, metric.BadValue,
			`le="+Inf" counts 3.5, but`},
		"count by one in 2^53": {native(metric.HistogramValue{Count: 1<<53 + 1,
			Buckets: []metric.Bucket{{UpperBound: math.Inf(1), CumulativeCount: 1 << 53}}}), last, metric.BadValue, `le="+Inf"`},
		"gauge histogram": {family(t, metric.GaugeHistogram, classic("1:5", 4)), metric.GaugeSum, metric.BadValue,
			"gauge histogram m{} cannot be added up"},
		"NaN bound": {native(metric.HistogramValue{Buckets: []metric.Bucket{{UpperBound: nan}}}), last,
			metric.BadValue, `le="NaN"`},
		"NaN bound between": {native(metric.HistogramValue{Buckets: []metric.Bucket{{UpperBound: 2}, {UpperBound: nan},
			{UpperBound: 1}}}), last, metric.BadValue, `le="NaN"`},
		"bound twice": {native(metric.HistogramValue{Buckets: []metric.Bucket{{UpperBound: 2}, {UpperBound: 1},
			{UpperBound: 2}}}), last, metric.BadValue, `le="2" twice`},
		"NaN bucket": {native(metric.HistogramValue{Count: 2,
			Buckets: []metric.Bucket{{UpperBound: 2, CumulativeCountFloat: nan}}}), last, metric.BadValue, `counts NaN`},
		"NaN count":      {native(metric.HistogramValue{CountFloat: nan}), last, metric.BadValue, `its count is NaN`},
		"infinite count": {family(t, metric.Histogram, classic("", "+Inf")), last, metric.BadValue, `its count is +Inf`},
		"invalid native": {native(metric.HistogramValue{Count: 2, Positive: integers(0, 1)}), last, metric.BadValue,
			"client library"},
		"native of unknown schema": {native(metric.HistogramValue{Schema: 9, Count: 1, Positive: integers(0, 1)}), last,
			metric.BadValue, "schema"},
		"NaN zero threshold": {native(metric.HistogramValue{ZeroThreshold: nan, Positive: integers(0)}), last,
			metric.BadValue, "zero threshold is NaN"},
		"negative zero threshold": {native(metric.HistogramValue{ZeroThreshold: -1, Positive: integers(0)}), last,
			metric.BadValue, "zero threshold is -1"},
		"infinite zero threshold": {native(metric.HistogramValue{ZeroThreshold: math.Inf(1)}), last, metric.BadValue,
			"zero threshold is +Inf"},
		"float zero count only":   {native(metric.HistogramValue{Count: 2, ZeroCountFloat: 2}), last, metric.BadValue, "partly"},
		"integer zero count only": {native(metric.HistogramValue{CountFloat: 2, ZeroCount: 2}), last, metric.BadValue, "partly"},
		"negative zero count": {native(metric.HistogramValue{ZeroCountFloat: -2, Positive: integers(0)}), last,
			metric.BadValue, "counts -2"},
		"NaN native bucket": {native(metric.HistogramValue{CountFloat: 2, Positive: floats(0, nan)}), last, metric.BadValue,
			"count NaN"},
		"infinite native bucket": {native(metric.HistogramValue{CountFloat: 2, Negative: floats(0, math.Inf(1))}), last,
			metric.BadValue, "count +Inf"},
		"bucket far out": {native(metric.HistogramValue{Count: 1, Positive: integers(math.MaxInt32, 1)}), last,
			metric.BadValue, "index 2147483647"},
		"bucket far in": {native(metric.HistogramValue{Count: 1, Negative: integers(math.MinInt32, 1)}), last,
			metric.BadValue, "index -2147483648"},
		"buckets that wrap around": {native(metric.HistogramValue{Count: 1, Positive: integers(0, math.MaxInt64, 0),
			Negative: integers(0, 3)}), last, metric.BadValue, "too large"},
		"zero bucket that wraps": {native(metric.HistogramValue{Count: 1, ZeroCount: math.MaxUint64, Negative: integers(0, 2)}),
			last, metric.BadValue, "too large"},
		"more than a bucket can hold": {native(metric.HistogramValue{Count: 1 << 63, ZeroCount: 1 << 63}), last, metric.BadValue,
			"too large"},
	} {
		t.Run(name, func(t *testing.T) {
			mustReject(t, c.family.CheckSummable(c.gauges), c.reason, c.says)
		})
	}
}

func TestSumsRejected(t *testing.T) {
	counter := func(v float64) *metric.Family {
		return &metric.Family{Name: "m", Type: metric.Counter, Metrics: []metric.Metric{{Value: v, HasValue: true}}}
	}
	summary := func(n uint64) *metric.Family {
		return &metric.Family{Name: "m", Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{Count: n}}}}
	}
	one := metric.HistogramValue{Count: 1, Positive: integers(1, 1)}
	both := one
	both.Buckets = []metric.Bucket{{UpperBound: 1}}
	for name, c := range map[string]struct {
		stored, pushed *metric.Family
		says           string
	}{
		"negative counter stored": {counter(-1), counter(1), "the group holds the counter m{} with the value -1"},
		"NaN counter stored":      {counter(math.NaN()), counter(1), "value NaN"},
		"too many in a summary":   {summary(math.MaxUint64), summary(1), "more observations than can be counted"},
		"too many in a histogram": {native(metric.HistogramValue{Count: math.MaxUint64}),
			native(metric.HistogramValue{Count: 1}), "more observations"},
		"too many in floats": {native(metric.HistogramValue{CountFloat: math.MaxFloat64}),
			native(metric.HistogramValue{CountFloat: math.MaxFloat64}), "more observations"},
		"too many in native integers": {native(metric.HistogramValue{Count: math.MaxInt64, ZeroCount: math.MaxInt64}), native(one),
			"more observations"},
		"too many in native floats": {native(metric.HistogramValue{CountFloat: 1, Positive: floats(0, math.MaxFloat64)}),
			native(metric.HistogramValue{CountFloat: 1, Positive: floats(0, math.MaxFloat64)}), "more observations"},
		"native to classic": {native(metric.HistogramValue{Count: 1}), native(one),
			`the histogram m{job="j"} cannot be added up: it is native, but the one that the group holds is classic`},
		"classic to native": {native(one), native(metric.HistogramValue{}),
			"it is classic, but the one that the group holds is native"},
		"both to native": {native(one), native(both), "has classic buckets"},
		"native to both": {native(both), native(one), "has no classic buckets"},
		"custom to exponential": {native(one), native(metric.HistogramValue{Schema: -53, Count: 1, Positive: integers(0, 1)}),
			"schema -53, and those that the group holds the schema 0"},
		"exponential to custom": {native(metric.HistogramValue{Schema: -53, Count: 1, Positive: integers(0, 1)}), native(one),
			"schema 0, and those that the group holds the schema -53"},
		"decreasing stored": {family(t, metric.Histogram, classic("1:2 2:1", 4)), family(t, metric.Histogram,
			classic("1:2", 4)), `the group holds the histogram m{}, to which nothing can be added: its bucket le="2"`},
		"decreasing stored, when sorted": {family(t, metric.Histogram, classic("2:1 1:2", 4)), family(t, metric.Histogram,
			classic("1:2", 4)), `its bucket le="2"`},
		"invalid native stored": {native(metric.HistogramValue{Count: 1,
			Positive: metric.NativeBuckets{Spans: []metric.Span{{0, 7}}}}), native(one), "spans need 7 buckets"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.pushed.CheckSummable(metric.GaugeLast); err != nil {
				t.Errorf("%v", err)
			}
			_, err := metric.AddMetrics(c.pushed, c.stored.Metrics, metric.GaugeLast)
			mustReject(t, err, metric.BadMerge, c.says)
			if rejection, ok := err.(*metric.RejectionError); ok && rejection.Fix != metric.DeleteGroup {
				t.Errorf("the fix is %d, want DeleteGroup", rejection.Fix)
			}
		})
	}
}

// TestStoredNeedsNoCheck adds to metrics that no push with merge=sum has stored.
func TestStoredNeedsNoCheck(t *testing.T) {
	stored := family(t, metric.Histogram, classic("+Inf:4 5:3 1:2", 4))
	before := text(stored)
	pushed := family(t, metric.Histogram, classic("1:1", 1))
	sums, err := metric.AddMetrics(pushed, stored.Metrics, metric.GaugeLast)
	if err != nil {
		t.Fatal(err)
	}
	if text(stored) != before {
		t.Errorf("what the group holds became\n%s", text(stored))
	}
	want := text(family(t, metric.Histogram, `m_bucket{le="1"} 3;m_bucket{le="5"} 4;m_bucket{le="+Inf"} 5;m_sum 2;m_count 5`))
	if got := text(&metric.Family{Name: "m", Type: metric.Histogram, Metrics: sums}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	summary := family(t, metric.Summary, `m{quantile="0.5"} 1;m_sum 1;m_count 1`)
	if sums, err = metric.AddMetrics(family(t, metric.Summary, "m_sum 1;m_count 1"), summary.Metrics, metric.GaugeLast); err != nil ||
		len(sums[0].Summary.Quantiles) > 0 {
		t.Errorf("got %v, %v", sums, err)
	}
}

// TestNativeWithExemplarBucket adds native histograms. Some have a lone bucket for +Inf,
// which client_golang adds if an exemplar is above all other buckets. That is no classic
// histogram beside the native one.
func TestNativeWithExemplarBucket(t *testing.T) {
	native := func(exemplar bool) metric.Family {
		h := &metric.HistogramValue{Count: 3, Sum: 6, Schema: 3, ZeroThreshold: 1e-9,
			Positive: metric.NativeBuckets{Spans: []metric.Span{{Offset: 1, Length: 1}}, Deltas: []int64{3}}}
		if exemplar {
			h.Buckets = []metric.Bucket{{UpperBound: math.Inf(+1), CumulativeCount: 3, Exemplar: &metric.Exemplar{Value: 2}}}
		}
		return metric.Family{Name: "h", Type: metric.Histogram, Metrics: []metric.Metric{{Histogram: h}}}
	}
	for _, with := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
		stored, pushed := native(with[0]), native(with[1])
		if err := pushed.CheckSummable(metric.GaugeDefault); err != nil {
			t.Fatal(err)
		}
		sums, err := metric.AddMetrics(&pushed, stored.Metrics, metric.GaugeDefault)
		if err != nil {
			t.Errorf("exemplars %v: %v", with, err)
			continue
		}
		h := sums[0].Histogram
		if h.Count != 6 || h.Positive.Deltas[0] != 6 {
			t.Errorf("exemplars %v: the sum is %+v", with, h)
		}
		want := 0
		if with[0] || with[1] {
			want = 1
		}
		if len(h.Buckets) != want || want == 1 && (h.Buckets[0].CumulativeCount != 6 || h.Buckets[0].Exemplar == nil) {
			t.Errorf("exemplars %v: the sum has the buckets %+v", with, h.Buckets)
		}
	}
}
