package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"pushgateway/internal/metric"
)

// sketchFamilies writes families on one line, for tables of tests.
func sketchFamilies(families []metric.Family) string {
	var b strings.Builder
	for i, f := range families {
		if i > 0 {
			b.WriteString(" | ")
		}
		fmt.Fprintf(&b, "%s %s", f.Type, f.Name)
		if f.Help != "" {
			fmt.Fprintf(&b, " help=%q", f.Help)
		}
		if f.Unit != "" {
			fmt.Fprintf(&b, " unit=%s", f.Unit)
		}
		for j, m := range f.Metrics {
			if j > 0 {
				b.WriteByte(';')
			}
			sketchMetric(&b, &m)
		}
	}
	return b.String()
}

func sketchMetric(b *strings.Builder, m *metric.Metric) {
	if len(m.Labels) > 0 {
		b.WriteString(" " + metric.FormatLabels(m.Labels))
	}
	if m.HasValue {
		fmt.Fprintf(b, " %v", m.Value)
	}
	sketchExemplar(b, m.Exemplar)
	if s := m.Summary; s != nil {
		for _, q := range s.Quantiles {
			fmt.Fprintf(b, " q%v:%v", q.Quantile, q.Value)
		}
		fmt.Fprintf(b, " count=%d sum=%v", s.Count, s.Sum)
	}
	if h := m.Histogram; h != nil {
		for _, bucket := range h.Buckets {
			fmt.Fprintf(b, " le%v:%s", bucket.UpperBound, sketchCount(bucket.CumulativeCount, bucket.CumulativeCountFloat))
			sketchExemplar(b, bucket.Exemplar)
		}
		fmt.Fprintf(b, " count=%s sum=%v", sketchCount(h.Count, h.CountFloat), h.Sum)
	}
	if m.Created.Set {
		fmt.Fprintf(b, " created=%s", sketchTime(m.Created))
	}
	if m.HasTimestamp {
		fmt.Fprintf(b, " @%dms", m.TimestampMs)
	}
}

func sketchCount(n uint64, float float64) string {
	switch {
	case float == 0:
		return strconv.FormatUint(n, 10)
	case n == 0:
		return fmt.Sprintf("float(%v)", float)
	}
	return fmt.Sprintf("both(%v,%v)", n, float)
}

func sketchExemplar(b *strings.Builder, e *metric.Exemplar) {
	if e == nil {
		return
	}
	fmt.Fprintf(b, " #%s %v", metric.FormatLabels(e.Labels), e.Value)
	if e.Timestamp.Set {
		b.WriteString("@" + sketchTime(e.Timestamp))
	}
}

func sketchTime(t metric.Timestamp) string { return fmt.Sprintf("%d+%dns", t.Seconds, t.Nanos) }

func TestOpenMetrics(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		families, err := ParseOpenMetrics(body+"# EOF\n", metric.UTF8Validation)
		if err != nil {
			t.Errorf("%s\n%v", body, err)
		} else if got := sketchFamilies(families); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}

	f("", "")
	f("foo 1\n", "untyped foo 1")
	f("foo 1\nbar 2\n", "untyped foo 1 | untyped bar 2")
	f("foo{} 1\n", "untyped foo 1")
	f("foo{a=\"x\"} 1\nfoo{a=\"y\"} 2\n", `untyped foo {a="x"} 1; {a="y"} 2`)
	f("foo{b=\"x\",a=\"y\"} 1\n", `untyped foo {b="x",a="y"} 1`)
	f("a:b_1{_c2=\"\"} 1\n", `untyped a:b_1 {_c2=""} 1`)
	f("foo{a=\"é\x00\t\r\"} 1\n", `untyped foo {a="é`+"\x00\t\r"+`"} 1`)

	// Numbers.
	f("foo 0042\n", "untyped foo 42")
	f("foo -1.5e3\n", "untyped foo -1500")
	f("foo -0.0\n", "untyped foo -0")
	f("foo .5\n", "untyped foo 0.5")
	f("foo 5.\n", "untyped foo 5")
	f("foo 1E+2\n", "untyped foo 100")
	f("foo nAn\n", "untyped foo NaN")
	f("foo -Infinity\n", "untyped foo -Inf")
	f("foo +inf\n", "untyped foo +Inf")
	f("foo 18446744073709551615\n", "untyped foo 1.8446744073709552e+19")

	// Escapes. An undefined one stands for itself, by the ABNF.
	f(`foo{a="\\ \" \n \x \é"} 1`+"\n", `untyped foo {a="\\ \" \n \\x \\é"} 1`)
	f("# HELP foo \\\\ \\\" \\n \\x \" é\nfoo 1\n", `untyped foo help="\\ \" \n \\x \" é" 1`)

	// Metadata.
	f("# TYPE foo_s gauge\n# UNIT foo_s s\n# HELP foo_s A help.\nfoo_s 1\n", `gauge foo_s help="A help." unit=s 1`)
	f("# HELP foo_s A help.\n# UNIT foo_s s\n# TYPE foo_s gauge\nfoo_s 1\n", `gauge foo_s help="A help." unit=s 1`)
	f("# HELP foo \n# UNIT foo \nfoo 1\n", "untyped foo 1")
	f("# HELP foo Nobody home.\n# TYPE bar gauge\nbaz 1\n", "untyped baz 1")
	f("# TYPE foo unknown\nfoo 1\n", "untyped foo 1")
	f("# TYPE foo gauge\nfoo 1\nfoo_total 2\n", "gauge foo 1 | untyped foo_total 2")
	f("# TYPE foo gauge\nfoo 1\nfoo 2\n", "gauge foo 1; 2") // rejected by a later stage

	// Counters.
	f("# TYPE foo counter\nfoo_total 17\n", "counter foo_total 17")
	f("# TYPE foo_s counter\n# UNIT foo_s s\n# HELP foo_s Help.\nfoo_s_total 1\n", `counter foo_s_total help="Help." unit=s 1`)
	f("# TYPE foo counter\nfoo_total +Inf\n", "counter foo_total +Inf")
	f("# TYPE foo counter\nfoo_total{a=\"x\"} 1\nfoo_created{a=\"x\"} 2\nfoo_total{a=\"y\"} 3\nfoo_created{a=\"y\"} 4.5\n",
		`counter foo_total {a="x"} 1 created=2+0ns; {a="y"} 3 created=4+500000000ns`)
	f("# TYPE foo counter\nfoo_total{a=\"x\"} 1\nfoo_total{a=\"y\"} 3\nfoo_created{a=\"x\"} 2\nfoo_created{a=\"y\"} 4\n",
		`counter foo_total {a="x"} 1 created=2+0ns; {a="y"} 3 created=4+0ns`)
	f("# TYPE foo counter\nfoo_created{a=\"x\"} 2\nfoo_created{a=\"y\"} 4\nfoo_total{a=\"x\"} 1\nfoo_total{a=\"y\"} 3\n",
		`counter foo_total {a="x"} 1 created=2+0ns; {a="y"} 3 created=4+0ns`)
	f("# TYPE foo counter\nfoo_total{a=\"x\",b=\"y\"} 1\nfoo_created{b=\"y\",a=\"x\"} 2\n",
		`counter foo_total {a="x",b="y"} 1 created=2+0ns`)
	f("# TYPE foo counter\nfoo_total 1\nfoo_total 2\nfoo_created 3\n", "counter foo_total 1; 2 created=3+0ns") // rejected by a later stage
	f("# TYPE foo counter\nfoo_created 3\nfoo_total 1\nfoo_total 2\n", "counter foo_total 1 created=3+0ns; 2") // rejected by a later stage
	f("# TYPE foo counter\nfoo_created{a=\"x\"} 3\nfoo_total{a=\"y\"} 1\nfoo_total{a=\"y\"} 2\nfoo_total{a=\"x\"} 4\n",
		`counter foo_total {a="x"} 4 created=3+0ns; {a="y"} 1; {a="y"} 2`) // rejected by a later stage
	f("# TYPE foo_total counter\nfoo_total_total 1\n", "counter foo_total_total 1")

	// Infos and state sets.
	f("# TYPE foo info\n# HELP foo Help.\nfoo_info{v=\"1\"} 1.0\n", `gauge foo_info help="Help." {v="1"} 1`)
	f("# TYPE foo stateset\nfoo{foo=\"a\"} 0\nfoo{foo=\"b\",x=\"y\"} 1\n", `gauge foo {foo="a"} 0; {foo="b",x="y"} 1`)

	// Summaries.
	f("# TYPE foo summary\nfoo{quantile=\"0.5\"} 2\nfoo{quantile=\"1\"} NaN\nfoo_sum 3.5\nfoo_count 4.0\nfoo_created 5\n",
		"summary foo q0.5:2 q1:NaN count=4 sum=3.5 created=5+0ns")
	f("# TYPE foo summary\nfoo_count{a=\"x\"} 1\nfoo{a=\"x\",quantile=\"0\"} -2\nfoo{quantile=\"1\",a=\"y\"} 3\n",
		`summary foo {a="x"} q0:-2 count=1 sum=0; {a="y"} q1:3 count=0 sum=0`)
	f("# TYPE foo summary\nfoo_count 18446744073709551615\n", "summary foo count=18446744073709551615 sum=0")

	// Histograms.
	f("# TYPE foo histogram\nfoo_bucket{le=\"1.0\"} 2\nfoo_bucket{le=\"+Inf\"} 3.0\nfoo_count 3\nfoo_sum 4.5\nfoo_created 6\n",
		"histogram foo le1:2 le+Inf:3 count=3 sum=4.5 created=6+0ns")
	f("# TYPE foo histogram\nfoo_bucket{a=\"x\",le=\"+Inf\"} 3\nfoo_bucket{le=\"+Inf\",a=\"y\"} 4\n",
		`histogram foo {a="x"} le+Inf:3 count=3 sum=0; {a="y"} le+Inf:4 count=4 sum=0`)
	f("# TYPE foo histogram\nfoo_bucket{le=\"1\"} 2.5\nfoo_bucket{le=\"+Inf\"} 3\nfoo_count 3\n",
		"histogram foo le1:float(2.5) le+Inf:float(3) count=float(3) sum=0")
	f("# TYPE foo histogram\nfoo_bucket{le=\"1\"} 0\nfoo_bucket{le=\"+Inf\"} 0.5\n",
		"histogram foo le1:0 le+Inf:float(0.5) count=float(0.5) sum=0")
	f("# TYPE foo histogram\nfoo_bucket{le=\"+Inf\"} 1e20\nfoo_count +Inf\n", "histogram foo le+Inf:float(1e+20) count=float(+Inf) sum=0")
	f("# TYPE foo histogram\nfoo_bucket{le=\"+Inf\"} 18446744073709551615\n",
		"histogram foo le+Inf:18446744073709551615 count=18446744073709551615 sum=0")
	f("# TYPE foo histogram\nfoo_bucket{le=\"+Inf\"} 1e3\nfoo_bucket{le=\"-1\"} 2000\nfoo_sum -5\n",
		"histogram foo le+Inf:1000 le-1:2000 count=1000 sum=-5")
	f("# TYPE foo histogram\nfoo_sum{a=\"x\"} 1\nfoo_sum{a=\"y\"} 2\nfoo_bucket{a=\"x\",le=\"+Inf\"} "+
		"3\nfoo_bucket{a=\"y\",le=\"+Inf\"} 4\n",
		`histogram foo {a="x"} le+Inf:3 count=3 sum=1; {a="y"} le+Inf:4 count=4 sum=2`)
	f("# TYPE foo histogram\nfoo_sum{a=\"x\",b=\"y\"} 1\nfoo_bucket{b=\"y\",le=\"+Inf\",a=\"x\"} 3\n",
		`histogram foo {a="x",b="y"} le+Inf:3 count=3 sum=1`)
	f("# TYPE foo gaugehistogram\nfoo_bucket{le=\"+Inf\"} 3\nfoo_gcount 3\nfoo_gsum -4\n", "gauge histogram foo le+Inf:3 count=3 sum=-4")
	f("# TYPE foo gaugehistogram\nfoo_bucket{le=\"+Inf\"} 3\nfoo_sum 4\nfoo_count 3\nfoo_created 5\n",
		"gauge histogram foo le+Inf:3 count=3 sum=4 created=5+0ns")

	// Exemplars.
	f("# TYPE foo counter\nfoo_total 1 # {} 2\n", "counter foo_total 1 #{} 2")
	f("# TYPE foo counter\nfoo_total{a=\"x\"} 1 # {b=\"\\n\",c=\"é\"} -0.5 1.25\n",
		`counter foo_total {a="x"} 1 #{b="\n",c="é"} -0.5@1+250000000ns`)
	f("# TYPE foo histogram\nfoo_bucket{le=\"1\"} 1 # {a=\"x\"} NaN\nfoo_bucket{le=\"+Inf\"} 3\n",
		`histogram foo le1:1 #{a="x"} NaN le+Inf:3 count=3 sum=0`)
	f("# TYPE foo gaugehistogram\nfoo_bucket{le=\"+Inf\"} 3 # {\"a.b\"=\"x\"} 1\n",
		`gauge histogram foo le+Inf:3 #{"a.b"="x"} 1 count=3 sum=0`)
	f("# TYPE foo counter\nfoo_total 1 2 # {} 3 4\n", "counter foo_total 1 #{} 3@4+0ns @2000ms")
	f("# TYPE foo counter\nfoo_total 1 # {a=\""+strings.Repeat("é", 127)+"\"} 2\n", `counter foo_total 1 #{a="`+strings.Repeat("é",
		127)+`"} 2`)

	// Timestamps, which a later stage rejects.
	f("foo 1 1520879607.789\n", "untyped foo 1 @1520879607789ms")
	f("foo 1 -0.001\nfoo 2 1.5e9\n", "untyped foo 1 @-1ms; 2 @1500000000000ms")
	f("# TYPE foo summary\nfoo_count 1 123\nfoo_sum 2 123\nfoo_count 3 456\nfoo_sum 4 456\n", "summary foo count=3 sum=4 @456000ms")

	// Quoted names.
	f("{\"a.b\"} 1\n", "untyped a.b 1")
	f("{\"a.b\",l=\"v\",\"m.n\"=\"w\"} 1\n", `untyped a.b {l="v","m.n"="w"} 1`)
	f("{l=\"v\",\"a.b\"} 1\n", `untyped a.b {l="v"} 1`)
	f("{\"foo\",\"l\"=\"v\"} 1\n", `untyped foo {l="v"} 1`)
	f("foo{\"l.m\"=\"v\"} 1\n", `untyped foo {"l.m"="v"} 1`)
	f("# TYPE \"a\\\"b\" counter\n# HELP \"a\\\"b\" Help.\n{\"a\\\"b_total\"} 1\n", `counter a"b_total help="Help." 1`)
	f("# TYPE \"a.b_c.d\" gauge\n# UNIT \"a.b_c.d\" c.d\n{\"a.b_c.d\"} 1\n", "gauge a.b_c.d unit=c.d 1")
	f("# TYPE \"a.b\" histogram\n{\"a.b_bucket\",\"le\"=\"+Inf\"} 1\n{\"a.b_sum\"} 2\n", "histogram a.b le+Inf:1 count=1 sum=2")
	f("# TYPE foo gauge\n{\"foo\"} 1\n", "gauge foo 1")
}

func TestOpenMetricsRejections(t *testing.T) {
	check := func(src string, names metric.ValidationScheme, want string) {
		t.Helper()
		families, err := ParseOpenMetrics(src, names)
		var rejection *metric.RejectionError
		if !errors.As(err, &rejection) {
			t.Errorf("%s\nparsed as %s\nwant %s", src, sketchFamilies(families), want)
			return
		}
		if rejection.Reason != metric.Malformed || !strings.HasPrefix(rejection.Message, want) {
			t.Errorf("%s\ngot  %s\nwant %s", src, rejection.Message, want)
		}
		aboutName := strings.Contains(want, "is not a valid metric name") || strings.Contains(want, "is not a valid label name")
		if (rejection.Fix == metric.AllowQuotedUTF8) != (aboutName && names == metric.LegacyValidation) {
			t.Errorf("%s\nwith names %v the fix is %d", src, names, rejection.Fix)
		}
	}
	f := func(body, want string) { t.Helper(); check(body+"# EOF\n", metric.UTF8Validation, want) }

	// Lines.
	check("# EOF\n\n", metric.UTF8Validation, `line 2: "\n": nothing may follow the line "# EOF"`)
	check("# EOF\nfoo 1\n", metric.UTF8Validation, `line 2: "foo 1\n": nothing may follow the line "# EOF"`)
	check("# EOF\n# EOF\n", metric.UTF8Validation, `line 2: "# EOF\n": nothing may follow the line "# EOF"`)
	f("foo 1\n\nbar 1\n", "line 2: OpenMetrics has no blank lines")
	f("\r\n", "line 1: OpenMetrics has no blank lines")
	f("foo 1\n# a comment\n", "line 2: OpenMetrics has no comments")
	f("#\n", "line 1: OpenMetrics has no comments")
	f("#TYPE foo gauge\n", "line 1: OpenMetrics has no comments")
	f("#  TYPE foo gauge\n", "line 1: OpenMetrics has no comments")
	f("# type foo gauge\n", "line 1: OpenMetrics has no comments")
	f("# EOF \n", "line 1: OpenMetrics has no comments")
	f(" foo 1\n", `line 1: a sample begins with its metric name, which this line lacks: " foo 1"`)
	f("1foo 1\n", "line 1: a sample begins with its metric name")
	f("{} 1\n", "line 1: a sample begins with its metric name")
	f("{a=\"b\"} 1\n", "line 1: a sample begins with its metric name")

	// Values and timestamps.
	f("foo\n", "line 1: after foo come one space and its value")
	f("foo \n", "line 1: after foo come one space and its value")
	f("foo  1\n", "line 1: after foo come one space and its value")
	f("foo\t1\n", "line 1: after foo come one space and its value")
	f("foo{}1\n", "line 1: after foo come one space and its value")
	f("foo {a=\"b\"} 1\n", `line 1: the value of foo is "{a=\"b\"}", which is no number`)
	f("foo one\n", `line 1: the value of foo is "one", which is no number`)
	f("foo 0x1p-3\n", `line 1: the value of foo is "0x1p-3", which is no number`)
	f("foo 1_000\n", `line 1: the value of foo is "1_000", which is no number`)
	f("foo 1e999\n", `line 1: the value of foo is "1e999", which is no number`)
	f("foo +nan\n", `line 1: the value of foo is "+nan", which is no number`)
	f("foo 1 \n", "line 1: the line goes on after the value of foo")
	f("foo 1  2\n", "line 1: the line goes on after the value of foo")
	f("foo 1 2 3\n", "line 1: after the value of foo comes the end of the line")
	f("foo 1 2 \n", "line 1: after the value of foo comes the end of the line")
	f("foo 1 NaN\n", `line 1: the timestamp of foo is "NaN", which is no time`)
	f("foo 1 -Inf\n", `line 1: the timestamp of foo is "-Inf", which is no time`)
	f("foo 1 1e309\n", `line 1: the timestamp of foo is "1e309", which is no time`)
	f("foo 1 now\n", `line 1: the timestamp of foo is "now", which is no time`)

	// Labels.
	f("foo{a=\"b\",} 1\n", "line 1: a label name comes here, without spaces, and no comma after the last label")
	f("foo{,a=\"b\"} 1\n", "line 1: a label name comes here")
	f("foo{a=\"b\",,c=\"d\"} 1\n", "line 1: a label name comes here")
	f("foo{a=\"b\", c=\"d\"} 1\n", `line 1: a label name comes here, without spaces, and no comma after the last label: " c=\"d\"} 1"`)
	f("foo{1=\"b\"} 1\n", "line 1: a label name comes here")
	f("foo{a:b=\"c\"} 1\n", `line 1: "a:b" is not a valid label name`)
	f("foo{a b=\"c\"} 1\n", `line 1: "a b" is not a valid label name`)
	f("foo{a} 1\n", `line 1: after the label name "a" come = and a value in double quotes`)
	f("foo{a= \"b\"} 1\n", `line 1: after the label name "a" come = and a value in double quotes`)
	f("foo{a='b'} 1\n", `line 1: after the label name "a" come = and a value in double quotes`)
	f("foo{a=b} 1\n", `line 1: after the label name "a" come = and a value in double quotes`)
	f("foo{a=\"b\"c=\"d\"} 1\n", `line 1: after "a" comes a comma or a closing brace`)
	f("foo{a=\"b\" 1\n", `line 1: '}' is missing after "a": " 1"`)
	f("foo{a=\"b\", 1\n", `line 1: '}' is missing after "a": ", 1"`)
	f("foo{a=\"b} 1\n", `line 1: the value of label "a" is not closed`)
	f("foo{a=\"b\\\"} 1\n", `line 1: the value of label "a" is not closed`)
	f("foo{a=\"\nb\"} 1\n", `line 1: the value of label "a" is not closed`)
	f("foo{a=\"\xff\"} 1\n", `line 1: the value of label "a" is not valid UTF-8`)
	f("foo{a=\"x\",b=\"\",a=\"y\"} 1\n", `line 1: the label "a" comes twice`)
	f("foo{__name__=\"x\"} 1\n", `line 1: "__name__" is not a valid label name`)

	// Quoted names.
	f("foo{\"bar\"} 1\n", `line 1: the sample has two metric names, "foo" and "bar"`)
	f("{\"foo\",\"bar\"} 1\n", `line 1: the sample has two metric names, "foo" and "bar"`)
	f("{\"\"} 1\n", `line 1: "" is not a valid metric name`)
	f("{\"a\xff\"} 1\n", `line 1: "a\xff" is not a valid metric name`)
	f("foo{\"\"=\"x\"} 1\n", `line 1: "" is not a valid label name`)
	f("{\"foo\",} 1\n", "line 1: a label name comes here")
	f("{\"foo} 1\n", "line 1: the quoted name is not closed")
	f("{\"foo\"} 1\nfoo 2\nbar 1\n{\"foo\"} 1\n", `line 4: "foo" belongs to the metric family "foo", which begins in line 1`)
	f("# TYPE \"foo gauge\n", "line 1: the quoted name is not closed")
	f("# TYPE \"\" gauge\n", `line 1: "" is not a valid metric name`)
	check("{\"a.b\"} 1\n# EOF\n", metric.LegacyValidation, `line 1: "a.b" is not a valid metric name`)
	check("a{\"b.c\"=\"d\"} 1\n# EOF\n", metric.LegacyValidation, `line 1: "b.c" is not a valid label name`)
	check("# TYPE \"a.b\" gauge\n# EOF\n", metric.LegacyValidation, `line 1: "a.b" is not a valid metric name`)
	check("# TYPE a counter\na_total 1 # {\"b.c\"=\"d\"} 1\n# EOF\n", metric.LegacyValidation, `line 2: "b.c" is not a valid label name`)

	// Metadata.
	f("# TYPE \n", "line 1: TYPE needs a metric name")
	f("# TYPE  foo gauge\n", "line 1: TYPE needs a metric name")
	f("# HELP foo\n", "line 1: after HELP foo come one space and a text")
	f("# TYPE foo-bar gauge\n", `line 1: "foo-bar" is not a valid metric name`)
	f("# TYPE foo\tgauge\n", "line 1: after TYPE foo come one space and a text")
	f("# TYPE foo untyped\n", `line 1: "foo" has the unknown type "untyped"`)
	f("# TYPE foo gauge \n", `line 1: "foo" has the unknown type "gauge "`)
	f("# TYPE foo Gauge\n", `line 1: "foo" has the unknown type "Gauge"`)
	f("# TYPE foo gauge\n# TYPE foo gauge\n", `line 2: second TYPE of "foo"`)
	f("# HELP foo a\n# HELP foo a\n", `line 2: second HELP of "foo"`)
	f("# UNIT foo_s s\n# UNIT foo_s s\n", `line 2: second UNIT of "foo_s"`)
	f("# TYPE foo gauge\nfoo 1\n# HELP foo Help.\n", `line 3: HELP of "foo" comes after its samples`)
	f("foo 1\n# TYPE foo gauge\n", `line 2: TYPE of "foo" comes after its samples`)
	f("# HELP foo \xff\n", `line 1: the HELP of "foo" is not valid UTF-8`)
	f("# UNIT foo s\n", `line 1: "foo" has the unit "s" but does not end in "_s"`)
	f("# UNIT foos s\n", `line 1: "foos" has the unit "s" but does not end in "_s"`)
	f("# UNIT s s\n", `line 1: "s" has the unit "s" but does not end in "_s"`)
	f("# UNIT foo_s s \n", `line 1: "foo_s" has the unit "s " but does not end in "_s "`)
	f("# TYPE a_s info\n# UNIT a_s s\na_s_info 1\n", `line 1: "a_s" is of type info, which has no unit`)
	f("# TYPE a_s stateset\n# UNIT a_s s\n", `line 1: "a_s" is of type stateset, which has no unit`)

	// Families stand together and have names of their own.
	f("foo 1\nbar 1\nfoo 2\n", `line 3: "foo" belongs to the metric family "foo", which begins in line 1`)
	f("# TYPE foo counter\nfoo_total 1\nbar 1\nfoo_total 2\n",
		`line 4: "foo_total" belongs to the metric family "foo", which begins in line 1`)
	f("# TYPE foo gauge\n# TYPE bar gauge\n# HELP foo a\n", `line 3: "foo" belongs to the metric family "foo", which begins in line 1`)
	f("# TYPE foo counter\nfoo_total 1\n# TYPE foo_created gauge\nfoo_created 1\n",
		`line 3: "foo_created" belongs to the metric family "foo", which begins in line 1`)
	f("foo_sum 1\n# HELP foo a\n# TYPE foo histogram\nfoo_bucket{le=\"+Inf\"} 1\n",
		`line 2: the histogram "foo" could have a sample "foo_sum", but that name belongs to the metric family "foo_sum", which begins in line 1`)

	// Samples that do not fit their type.
	f("# TYPE foo counter\nfoo 1\n", `line 2: the counter "foo" has no sample of that name in OpenMetrics, only foo_total, foo_created`)
	f("# TYPE foo_total counter\nfoo_total 1\n",
		`line 2: OpenMetrics calls the counter with the sample "foo_total" "foo": write "# TYPE foo counter"`)
	f("# TYPE foo info\nfoo 1\n", `line 2: the info "foo" has no sample of that name in OpenMetrics, only foo_info`)
	f("# TYPE foo_total histogram\nfoo_total 1\n", `line 2: the histogram "foo_total" has no sample of that name`)
	f("# TYPE foo counter\nfoo_total -1\n", "line 2: the counter foo_total is -1, but a counter is at least 0")
	f("# TYPE foo counter\nfoo_total NaN\n", "line 2: the counter foo_total is NaN, but a counter is at least 0")
	f("# TYPE foo counter\nfoo_created{a=\"b\"} 1\nbar 1\n", `line 1: the counter "foo" has foo_created{a="b"}, but no foo_total`)
	f("# TYPE foo counter\nfoo_total 1\nfoo_created 2\nfoo_created 2\n", "line 4: foo_created{} comes twice")
	f("# TYPE foo counter\nfoo_total 1\nfoo_created NaN\n", "line 3: foo_created is NaN, which is no time")
	f("# TYPE foo info\nfoo_info 2\n", "line 2: foo_info is 2, but the value of an info is 1")
	f("# TYPE foo stateset\nfoo{foo=\"a\"} 2\n", "line 2: foo is 2, but a state is 1 (true) or 0 (false)")
	f("# TYPE foo stateset\nfoo{bar=\"a\"} 1\n", `line 2: the stateset "foo" needs a label of the same name`)
	f("# TYPE foo summary\nfoo 1\n", `line 2: foo lacks the label "quantile"`)
	f("# TYPE foo summary\nfoo{quantile=\"1.1\"} 1\n", `line 2: foo has the quantile "1.1", which is no number from 0 to 1`)
	f("# TYPE foo summary\nfoo{quantile=\"NaN\"} 1\n", `line 2: foo has the quantile "NaN", which is no number from 0 to 1`)
	f("# TYPE foo summary\nfoo_count 1.5\n", "line 2: the count foo_count is 1.5, but the count of a summary is an integer")
	f("# TYPE foo summary\nfoo_count -1\n", "line 2: the count foo_count is -1, but a count is at least 0")
	f("# TYPE foo summary\nfoo_sum{a=\"b\"} 1\nfoo_sum{a=\"b\"} 1\n", `line 3: foo_sum{a="b"} comes twice`)
	f("# TYPE foo histogram\nfoo_bucket 1\n", `line 2: the bucket foo_bucket lacks the label "le"`)
	f("# TYPE foo histogram\nfoo_bucket{le=\"x\"} 1\n", `line 2: the bucket foo_bucket has the upper bound "x", which is no number`)
	f("# TYPE foo histogram\nfoo_bucket{le=\"NaN\"} 1\n", `line 2: the bucket foo_bucket has the upper bound "NaN", which is no number`)
	f("# TYPE foo histogram\nfoo_bucket{le=\"1\"} -1\n", "line 2: the count foo_bucket is -1, but a count is at least 0")
	f("# TYPE foo histogram\nfoo_count NaN\n", "line 2: the count foo_count is NaN, but a count is at least 0")
	f("# TYPE foo histogram\nfoo_bucket{a=\"b\",le=\"1\"} 1\nfoo_count{a=\"b\"} 1\n",
		`line 1: the histogram foo{a="b"} has no bucket le="+Inf"`)
	f("# TYPE foo histogram\nfoo_count 1\nfoo_count 1\n", "line 3: foo_count{} comes twice")
	f("# TYPE foo gaugehistogram\nfoo_gcount 1\nfoo_count 1\n", "line 3: foo_count{} comes twice")

	// Exemplars.
	f("foo 1 # {} 1\n", "line 1: foo has an exemplar, which only the _total of a counter and the buckets of a histogram may have")
	f("# TYPE foo counter\nfoo_created 1 # {} 1\n", "line 2: foo_created has an exemplar")
	f("# TYPE foo histogram\nfoo_count 1 # {} 1\n", "line 2: foo_count has an exemplar")
	f("# TYPE foo counter\nfoo_total 1 #\n", "line 2: after the value of foo_total comes the end of the line or an exemplar")
	f("# TYPE foo counter\nfoo_total 1 #{} 1\n", "line 2: after the value of foo_total comes the end of the line or an exemplar")
	f("# TYPE foo counter\nfoo_total 1 # a comment\n", "line 2: after the value of foo_total comes the end of the line or an exemplar")
	f("# TYPE foo counter\nfoo_total 1 # {}\n", "line 2: after the labels of the exemplar of foo_total come one space and its value")
	f("# TYPE foo counter\nfoo_total 1 # {} x\n", `line 2: the value of the exemplar of foo_total is "x", which is no number`)
	f("# TYPE foo counter\nfoo_total 1 # {} 1 x\n", `line 2: the timestamp of the exemplar of foo_total is "x", which is no time`)
	f("# TYPE foo counter\nfoo_total 1 # {} 1 2 3\n", "line 2: the line goes on after the exemplar of foo_total")
	f("# TYPE foo counter\nfoo_total 1 # {} 1 \n", "line 2: the line goes on after the exemplar of foo_total")
	f("# TYPE foo counter\nfoo_total 1 # {\"a\"} 1\n", `line 2: after the label name "a" come = and a value`)
	f("# TYPE foo counter\nfoo_total 1 # {a=\"b\",a=\"c\"} 1\n", `line 2: the label "a" comes twice`)
	f("# TYPE foo counter\nfoo_total 1 # {a=\""+strings.Repeat("é", 128)+"\"} 1\n",
		"line 2: the labels of the exemplar of foo_total are 129 characters long: shorten them to 128")
}

// TestOpenMetricsWithoutEnd parses bodies that lack the line # EOF, as client_golang's
// push package writes them.
func TestOpenMetricsWithoutEnd(t *testing.T) {
	for src, want := range map[string]string{
		"": "", "foo 1": "untyped foo 1", "foo 1\n": "untyped foo 1", "# TYPE foo gauge\nfoo 1\n": "gauge foo 1",
		"# HELP foo a\\": "", "# HELP foo a\\\nfoo 1": `untyped foo help="a\\" 1`,
	} {
		families, err := ParseOpenMetrics(src, metric.LegacyValidation)
		if got := sketchFamilies(families); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", src, got, err, want)
		}
	}
}

// TestOpenMetricsSameFamilyName parses a gauge and a counter whose family names, but not
// their samples, are the same, as client_golang's default registry has them.
func TestOpenMetricsSameFamilyName(t *testing.T) {
	const gauge, counter = "# HELP a_bytes In use.\n# TYPE a_bytes gauge\na_bytes 1.0\n", "# HELP a_bytes Total.\n# TYPE a_bytes " +
		"counter\na_bytes_total 2.0\n"
	for src, want := range map[string]string{
		gauge + counter: "gauge a_bytes help=\"In use.\" 1 | counter a_bytes_total help=\"Total.\" 2",
		counter + gauge: "counter a_bytes_total help=\"Total.\" 2 | gauge a_bytes help=\"In use.\" 1",
	} {
		families, err := ParseOpenMetrics(src+"# EOF\n", metric.LegacyValidation)
		if got := sketchFamilies(families); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	for _, src := range []string{gauge + counter + gauge, counter + "b 1\n" + counter, gauge + "b 1\n" + gauge} {
		if families, err := ParseOpenMetrics(src, metric.LegacyValidation); err == nil {
			t.Errorf("%s: accepted as %s", src, sketchFamilies(families))
		}
	}
}

func TestOpenMetricsLineEnds(t *testing.T) {
	f := func(src string) {
		t.Helper()
		families, err := ParseOpenMetrics(src, metric.LegacyValidation)
		if got := sketchFamilies(families); err != nil || got != `gauge foo help="a" 1` {
			t.Errorf("%q: %s, %v", src, got, err)
		}
	}
	f("# TYPE foo gauge\n# HELP foo a\nfoo 1\n# EOF\n")
	f("# TYPE foo gauge\n# HELP foo a\nfoo 1\n# EOF")
	f("# TYPE foo gauge\r\n# HELP foo a\r\nfoo 1\r\n# EOF\r\n")
	f("# TYPE foo gauge\r\n# HELP foo a\r\nfoo 1\r\n# EOF\r")
	f("# TYPE foo gauge\n# HELP foo a\r\nfoo 1\n# EOF")
}

func TestParseSeconds(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		got := "none"
		if at, ok := parseSeconds(s); ok {
			got = sketchTime(at)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", s, got, want)
		}
	}
	f("0", "0+0ns")
	f("-0", "0+0ns")
	f("+1", "1+0ns")
	f("007.", "7+0ns")
	f(".5", "0+500000000ns")
	f("-.5", "-1+500000000ns")
	f("-1.25", "-2+750000000ns")
	f("1604676851.123456789", "1604676851+123456789ns") // more than a float64 holds
	f("1604676851.1234567899", "1604676851+123456789ns")
	f("1.604676851125e+09", "1604676851+125000000ns")
	f("1e-9", "0+1ns")
	f("1e-300", "0+0ns")
	f("-62135596800", "-62135596800+0ns") // year 1
	f("-62135596800.000000001", "none")
	f("253402300799.999999999", "none") // as a float64 it is in the year 10000
	f("253402300799.5", "253402300799+500000000ns")
	f("253402300800", "none")
	f("1e300", "none")
	f("Inf", "none")
	f("NaN", "none")
	f("", "none")
	f("12:30", "none")
}

// The examples of the specification, in its order.
func TestOpenMetricsSpecificationExamples(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		families, err := ParseOpenMetrics(strings.TrimPrefix(body, "\n")+"# EOF\n", metric.LegacyValidation)
		got := sketchFamilies(families)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", body, got, want)
		}
	}
	f(`
# TYPE acme_http_router_request_seconds summary
# UNIT acme_http_router_request_seconds seconds
# HELP acme_http_router_request_seconds Latency though all of ACME's HTTP request router.
acme_http_router_request_seconds_sum{path="/api/v1",method="GET"} 9036.32
acme_http_router_request_seconds_count{path="/api/v1",method="GET"} 807283.0
acme_http_router_request_seconds_created{path="/api/v1",method="GET"} 1605281325.0
acme_http_router_request_seconds_sum{path="/api/v2",method="POST"} 479.3
acme_http_router_request_seconds_count{path="/api/v2",method="POST"} 34.0
acme_http_router_request_seconds_created{path="/api/v2",method="POST"} 1605281325.0
# TYPE go_goroutines gauge
# HELP go_goroutines Number of goroutines that currently exist.
go_goroutines 69
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
# HELP process_cpu_seconds Total user and system CPU time spent in seconds.
process_cpu_seconds_total 4.20072246e+06
`, `summary acme_http_router_request_seconds help="Latency though all of ACME's HTTP request router." unit=seconds`+
		` {method="GET",path="/api/v1"} count=807283 sum=9036.32 created=1605281325+0ns;`+
		` {method="POST",path="/api/v2"} count=34 sum=479.3 created=1605281325+0ns`+
		` | gauge go_goroutines help="Number of goroutines that currently exist." 69`+
		` | counter process_cpu_seconds_total help="Total user and system CPU time spent in seconds." unit=seconds 4.20072246e+06`)
	f(`
# TYPE foo_seconds counter
# UNIT foo_seconds seconds
`, "")
	f(`
# TYPE foo counter
# UNIT foo seconds
`, `line 2: "foo" has the unit "seconds" but does not end in "_seconds": rename it or remove the UNIT`)
	f(`
# TYPE foo_seconds counter
# UNIT foo_seconds seconds
# HELP foo_seconds Some text and \n some \" escaping
`, "")
	f("bar_seconds_count 0\n", "untyped bar_seconds_count 0")
	f("bar_seconds_count{} 0\n", "untyped bar_seconds_count 0")
	f(`bar_seconds_count{a="x",b="escaping\" example \n "} 0
`, `untyped bar_seconds_count {a="x",b="escaping\" example \n "} 0`)
	f(`
# TYPE foo_seconds summary
# UNIT foo_seconds seconds
foo_seconds_count{a="bb"} 0 123
foo_seconds_sum{a="bb"} 0 123
foo_seconds_count{a="bb"} 0 456
foo_seconds_sum{a="bb"} 0 456
foo_seconds_count{a="ccc"} 0 123
foo_seconds_sum{a="ccc"} 0 123
foo_seconds_count{a="ccc"} 0 456
foo_seconds_sum{a="ccc"} 0 456
`, `summary foo_seconds unit=seconds {a="bb"} count=0 sum=0 @456000ms; {a="ccc"} count=0 sum=0 @456000ms`)
	f("# TYPE foo gauge\nfoo 17.0\n", "gauge foo 17")
	f("# TYPE foo gauge\nfoo{a=\"bb\"} 17.0\nfoo{a=\"ccc\"} 17.0\n", `gauge foo {a="bb"} 17; {a="ccc"} 17`)
	f("# TYPE foo gauge\n", "")
	f("# TYPE foo gauge\nfoo{a=\"b\"} 17.0 1520879607.789\n", `gauge foo {a="b"} 17 @1520879607789ms`)
	f("# TYPE foo gauge\nfoo 17.0 1520879607.789\n", "gauge foo 17 @1520879607789ms")
	f("# TYPE foo gauge\nfoo 17.0 123\nfoo 18.0 456\n", "gauge foo 17 @123000ms; 18 @456000ms")
	f("# TYPE foo counter\nfoo_total 17.0\n", "counter foo_total 17")
	f("# TYPE foo counter\nfoo_total 17.0 1520879607.789\n", "counter foo_total 17 @1520879607789ms")
	f("# TYPE foo counter\nfoo_total 17.0\nfoo_created 1520430000.123\n", "counter foo_total 17 created=1520430000+123000000ns")
	f("# TYPE foo counter\nfoo_total 17.0 1520879607.789\nfoo_created 1520430000.123 1520879607.789\n",
		"counter foo_total 17 created=1520430000+123000000ns @1520879607789ms")
	f(`
# TYPE foo stateset
foo{foo="a"} 0
foo{foo="bb"} 1
foo{foo="ccc"} 0
`, `gauge foo {foo="a"} 0; {foo="bb"} 1; {foo="ccc"} 0`)
	f(`
# TYPE foo stateset
foo{entity="controller",foo="a"} 1.0
foo{entity="replica",foo="a"} 0.0
`, `gauge foo {entity="controller",foo="a"} 1; {entity="replica",foo="a"} 0`)
	f("# TYPE foo info\nfoo_info{name=\"pretty name\",version=\"8.2.7\"} 1\n", `gauge foo_info {name="pretty name",version="8.2.7"} 1`)
	f(`
# TYPE foo info
foo_info{entity="controller",name="pretty name",version="8.2.7"} 1.0
foo_info{entity="replica",name="prettier name",version="8.1.9"} 1.0
`, `gauge foo_info {entity="controller",name="pretty name",version="8.2.7"} 1; {entity="replica",name="prettier name",version="8.1.9"} 1`)
	f("# TYPE foo summary\nfoo_count 17.0\nfoo_sum 324789.3\nfoo_created 1520430000.123\n",
		"summary foo count=17 sum=324789.3 created=1520430000+123000000ns")
	f("# TYPE foo summary\nfoo{quantile=\"0.95\"} 123.7\nfoo{quantile=\"0.99\"} 150.0\n", "summary foo q0.95:123.7 q0.99:150 count=0 sum=0")
	f(`
# TYPE foo histogram
foo_bucket{le="0.0"} 0
foo_bucket{le="1e-05"} 0
foo_bucket{le="0.0001"} 5
foo_bucket{le="0.1"} 8
foo_bucket{le="1.0"} 10
foo_bucket{le="10.0"} 11
foo_bucket{le="100000.0"} 11
foo_bucket{le="1e+06"} 15
foo_bucket{le="1e+23"} 16
foo_bucket{le="1.1e+23"} 17
foo_bucket{le="+Inf"} 17
foo_count 17
foo_sum 324789.3
foo_created 1520430000.123
`, "histogram foo le0:0 le1e-05:0 le0.0001:5 le0.1:8 le1:10 le10:11 le100000:11 le1e+06:15 le1e+23:16 le1.1e+23:17 le+Inf:17"+
		" count=17 sum=324789.3 created=1520430000+123000000ns")
	// The specification has two spaces before the last value here, which its own
	// grammar forbids.
	f(`
# TYPE foo histogram
foo_bucket{le="0.01"} 0
foo_bucket{le="0.1"} 8 # {} 0.054
foo_bucket{le="1"} 11 # {trace_id="KOO5S4vxi0o"} 0.67
foo_bucket{le="10"} 17 # {trace_id="oHg5SJYRHA0"} 9.8 1520879607.789
foo_bucket{le="+Inf"} 17
foo_count 17
foo_sum 324789.3
foo_created 1520430000.123
`, `histogram foo le0.01:0 le0.1:8 #{} 0.054 le1:11 #{trace_id="KOO5S4vxi0o"} 0.67`+
		` le10:17 #{trace_id="oHg5SJYRHA0"} 9.8@1520879607+789000000ns le+Inf:17 count=17 sum=324789.3 created=1520430000+123000000ns`)
	f(`
# TYPE foo gaugehistogram
foo_bucket{le="0.01"} 20.0
foo_bucket{le="0.1"} 25.0
foo_bucket{le="1"} 34.0
foo_bucket{le="10"} 34.0
foo_bucket{le="+Inf"} 42.0
foo_gcount 42.0
foo_gsum 3289.3
`, "gauge histogram foo le0.01:20 le0.1:25 le1:34 le10:34 le+Inf:42 count=42 sum=3289.3")
	f("# TYPE foo unknown\nfoo 42.23\n", "untyped foo 42.23")
}

// judgement is what Prometheus' own parser reads from a body. Of samples it
// knows no more than the series.
type judgement struct {
	series map[string]map[string]int // sample by name and labels: how often it has which value
	help   texts
	units  texts
}

// texts are the help texts or units of families, by name. A gauge and a counter may have
// the same family name.
type texts map[string][]string

func (t texts) add(name, text string) { t[name] = append(t[name], text) }

// has reports whether text is what the family called name has, empty if it has none.
func (t texts) has(name, text string) bool {
	return slices.Contains(t[name], text) || text == "" && len(t[name]) != 1
}

// judge parses src as Prometheus does when it scrapes.
func judge(src string) (judgement, error) {
	j := judgement{map[string]map[string]int{}, texts{}, texts{}}
	p := textparse.NewOpenMetricsParser([]byte(src), labels.NewSymbolTable())
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return j, nil
		}
		if err != nil {
			return judgement{}, err
		}
		switch entry {
		case textparse.EntryHelp:
			name, text := p.Help()
			j.help.add(omReplacer.Replace(string(name)), string(text))
		case textparse.EntryUnit:
			name, text := p.Unit()
			j.units.add(omReplacer.Replace(string(name)), omReplacer.Replace(string(text)))
		case textparse.EntrySeries:
			var ls labels.Labels
			p.Labels(&ls)
			var own []metric.Label
			ls.Range(func(l labels.Label) {
				if l.Name != metric.NameLabel {
					own = append(own, metric.Label{Name: l.Name, Value: l.Value})
				}
			})
			_, _, value := p.Series()
			var e exemplar.Exemplar
			text := sampleText(value, nil)
			if p.Exemplar(&e) {
				var own []metric.Label
				e.Labels.Range(func(l labels.Label) { // which the judge leaves escaped
					own = append(own, metric.Label{Name: omReplacer.Replace(l.Name), Value: omReplacer.Replace(l.Value)})
				})
				text = sampleText(value, &metric.Exemplar{Labels: own, Value: e.Value})
			}
			key := seriesText(ls.Get(metric.NameLabel), own)
			if j.series[key] == nil {
				j.series[key] = map[string]int{}
			}
			j.series[key][text]++
		}
	}
}

var omReplacer = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// take removes a sample from j and reports whether it was there.
func (j judgement) take(name string, ls []metric.Label, value float64, e *metric.Exemplar) bool {
	key, text := seriesText(name, ls), sampleText(value, e)
	if j.series[key][text] == 0 {
		return false
	}
	if j.series[key][text]--; j.series[key][text] == 0 {
		delete(j.series[key], text)
	}
	if len(j.series[key]) == 0 {
		delete(j.series, key)
	}
	return true
}

// takeTime removes a sample that is about the given time.
func (j judgement) takeTime(name string, ls []metric.Label, at metric.Timestamp) bool {
	want := float64(at.Seconds) + float64(at.Nanos)/1e9
	for text := range j.series[seriesText(name, ls)] {
		if got, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(got-want) <= 1e-8+1e-15*math.Abs(got) {
			return j.take(name, ls, got, nil)
		}
	}
	return false
}

// seriesText writes a series; numbers in le and quantile it writes one way, -0 as 0.
func seriesText(name string, ls []metric.Label) string {
	ls = slices.Clone(ls)
	for i, l := range ls {
		if l.Name != metric.BucketLabel && l.Name != metric.QuantileLabel {
			continue
		}
		if v, ok := parseFloat(l.Value); ok {
			ls[i].Value = strconv.FormatFloat(v+0, 'g', -1, 64)
		}
	}
	sortLabels(ls)
	return fmt.Sprintf("%q%s", name, metric.FormatLabels(ls))
}

func sampleText(value float64, e *metric.Exemplar) string {
	text := strconv.FormatFloat(value+0, 'g', -1, 64) // a count of -0 is 0
	if e == nil {
		return text
	}
	ls := slices.Clone(e.Labels)
	sortLabels(ls)
	return fmt.Sprintf("%s # %s %v", text, metric.FormatLabels(ls), e.Value)
}

// omStricter are the rejections of bodies that the judge accepts, each by a part of
// its message, with the reason. Where none is given, the specification says so in
// a MUST NOT that the judge, who sees one line at a time, does not check.
var omStricter = []struct{ rejection, reason string }{
	{"comes after its samples", ""},
	{": second ", ""},
	{"belongs to the metric family", ""}, // interleaved families and clashing names
	{"could have a sample", ""},
	{"has no unit", ""},
	{"has no sample of that name", ""},
	{"OpenMetrics calls the counter", ""},
	{"but a counter is at least 0", ""},
	{"but no ", "the specification: a counter has a total"},
	{"but the value of an info is 1", ""},
	{"but a state is 1", ""},
	{"needs a label of the same name", ""},
	{"lacks the label", ""},
	{"which is no number from 0 to 1", ""},
	{"has the upper bound", ""},
	{"but a count is at least 0", ""},
	{"but the count of a summary is an integer", ""},
	{"has no bucket le", ""},
	{"has an exemplar", ""},
	{"the labels of the exemplar", ""},
	{"and no comma after the last label", "the grammar; the judge allows one"},
	{"comes twice", "label names are unique in a label set, and samples in a metric"},
	{"is not a valid metric name", "of the quoted ones: empty or not UTF-8"},
	{"is not a valid label name", "as above, and __name__, which the judge takes for the metric's name"},
	{"which is no time in seconds", "beyond the years that a protobuf timestamp can hold"},
	{"has the unit", "where escapes differ; the judge compares them unresolved"},
	{"is not closed", "a line end in a quoted name, which no other string may hold"},
}

// checkAgainstJudge parses src and compares with the judge: the verdict, but for
// the known differences, and the samples, help texts and units.
func checkAgainstJudge(t *testing.T, src string) {
	families, err := ParseOpenMetrics(src, metric.UTF8Validation)
	var rejection *metric.RejectionError
	if err != nil && (!errors.As(err, &rejection) || rejection.Reason != metric.Malformed || !strings.HasPrefix(rejection.Message,
		"line ")) {
		t.Fatalf("not a rejection of a line: %v", err)
	}
	if strings.Contains(src, "\x00") {
		return // the judge skips NUL where none may stand, and ends at others
	}
	// The judge knows no CRLF, and the last line must not be missing.
	judged := strings.TrimSuffix(strings.ReplaceAll(src, "\r\n", "\n"), "\r")
	if err == nil && !strings.HasSuffix("\n"+strings.TrimSuffix(judged, "\n"), "\n# EOF") {
		judged = strings.TrimSuffix(judged, "\n") + "\n# EOF\n"
		judged = strings.TrimPrefix(judged, "\n")
	}
	j, judgeErr := judge(judged)
	switch {
	case err != nil && judgeErr != nil:
		return
	case err != nil:
		for _, known := range omStricter {
			if strings.Contains(rejection.Message, known.rejection) {
				return
			}
		}
		t.Fatalf("the judge accepts what is rejected here: %v\n%s", err, src)
	case judgeErr != nil:
		if strings.Contains(src, "# UNIT ") && strings.Contains(src, `\`) {
			return // the judge compares units and names with their escapes unresolved
		}
		t.Fatalf("the judge rejects what is accepted here: %v\n%s", judgeErr, src)
	}
	for _, f := range families {
		for _, m := range f.Metrics {
			if m.HasTimestamp {
				return // a later stage rejects it; several points of one metric are one here
			}
		}
	}
	compareWithJudge(t, families, j)
	if t.Failed() {
		t.Logf("%q\n%s", src, sketchFamilies(families))
	}
}

func compareWithJudge(t *testing.T, families []metric.Family, j judgement) {
	for _, f := range families {
		if !slices.ContainsFunc(omNames(&f), func(name string) bool { return j.help.has(name, f.Help) && j.units.has(name, f.Unit) }) {
			t.Errorf("help or unit of %s differ: %q %q", f.Name, j.help, j.units)
		}
		for _, m := range f.Metrics {
			sum, count := []string{f.Name + "_sum"}, []string{f.Name + "_count"}
			if f.Type == metric.GaugeHistogram {
				sum, count = append(sum, f.Name+"_gsum"), append(count, f.Name+"_gcount")
			}
			// A sum or count that was not pushed shows as 0 or as the +Inf bucket.
			part := func(names []string, value float64, absent bool) {
				if !slices.ContainsFunc(names, func(name string) bool { return j.take(name, m.Labels, value, nil) }) && !absent {
					t.Errorf("%s%s %v is not with the judge", names, metric.FormatLabels(m.Labels), value)
				}
			}
			bound := func(name, label string, bound, value float64, e *metric.Exemplar) {
				ls := append(slices.Clone(m.Labels), metric.Label{Name: label, Value: strconv.FormatFloat(bound, 'g', -1, 64)})
				if !j.take(name, ls, value, e) {
					t.Errorf("%s%s %v is not with the judge", name, metric.FormatLabels(ls), value)
				}
			}
			switch {
			case m.Summary != nil:
				for _, q := range m.Summary.Quantiles {
					bound(f.Name, metric.QuantileLabel, q.Quantile, q.Value, nil)
				}
				part(sum, m.Summary.Sum, m.Summary.Sum == 0)
				part(count, float64(m.Summary.Count), m.Summary.Count == 0)
			case m.Histogram != nil:
				all, hasInf := 0.0, false // of the first +Inf bucket
				for _, b := range m.Histogram.Buckets {
					bound(f.Name+"_bucket", metric.BucketLabel, b.UpperBound, b.Observations(), b.Exemplar)
					if math.IsInf(b.UpperBound, 1) && !hasInf {
						all, hasInf = b.Observations(), true
					}
				}
				part(sum, m.Histogram.Sum, m.Histogram.Sum == 0)
				part(count, m.Histogram.Observations(), m.Histogram.Observations() == all)
			default:
				if !m.HasValue || !j.take(f.Name, m.Labels, m.Value, m.Exemplar) {
					t.Errorf("%s%s %v is not with the judge", f.Name, metric.FormatLabels(m.Labels), m.Value)
				}
			}
			created := strings.TrimSuffix(f.Name, "_total") + "_created"
			if f.Type != metric.Counter {
				created = f.Name + "_created"
			}
			if m.Created.Set && !j.takeTime(created, m.Labels, m.Created) {
				t.Errorf("%s%s is not with the judge", created, metric.FormatLabels(m.Labels))
			}
		}
	}
	if len(j.series) > 0 {
		t.Errorf("only with the judge: %v", j.series)
	}
}

// omNames returns what OpenMetrics might call f.
func omNames(f *metric.Family) []string {
	names := []string{f.Name}
	switch f.Type {
	case metric.Counter:
		names[0] = strings.TrimSuffix(f.Name, "_total")
	case metric.Gauge:
		names = append(names, strings.TrimSuffix(f.Name, "_info"))
	}
	return names
}

func FuzzOpenMetrics(f *testing.F) {
	for _, body := range []string{
		"",
		"foo 1\nbar{a=\"b\"} 2 # {} 3\n",
		"# TYPE foo_s counter\n# UNIT foo_s s\n# HELP foo_s a\\n\\\\\\\"b\nfoo_s_total{a=\"b\"} 1 # {c=\"d\\\\\"} 2 " +
			"3.5\nfoo_s_created{a=\"b\"} 1.5e9\n",
		"# TYPE foo histogram\nfoo_bucket{le=\"1\"} 1 # {c=\"d\"} 2\nfoo_bucket{le=\"+Inf\"} 2.5\nfoo_sum -1\nfoo_count " +
			"2\nfoo_created -1\n",
		"# TYPE foo histogram\nfoo_bucket{a=\"x\",le=\"+Inf\"} 1\nfoo_bucket{le=\"+Inf\",a=\"y\"} 2\nfoo_sum{a=\"x\"} " +
			"3\nfoo_count{a=\"y\"} 4\n",
		"# TYPE foo gaugehistogram\nfoo_bucket{le=\"+Inf\"} 1\nfoo_gsum 2\nfoo_gcount 1\n# TYPE bar " +
			"gaugehistogram\nbar_bucket{le=\"+Inf\"} 1\nbar_sum 2\nbar_count 1\n",
		"# TYPE foo summary\nfoo{quantile=\"0.5\"} 1\nfoo{quantile=\"1\",a=\"b\"} NaN\nfoo_sum 2\nfoo_count 1\nfoo_created .5\n",
		"# TYPE foo info\nfoo_info{a=\"b\"} 1\n# TYPE bar stateset\nbar{bar=\"a\"} 0\nbar{bar=\"b\"} 1\n# TYPE baz unknown\nbaz +Inf\n",
		"# TYPE \"a.b\" counter\n{\"a.b_total\",l=\"v\",\"m.n\"=\"w\"} 1 2\n{l=\"v\",\"c.d\"} 1\n",
		"# TYPE \"a_\\\"b\" gauge\n# UNIT \"a_\\\"b\" \\\"b\n{\"a_\\\"b\"} 1\n",
		"foo 1\r\n",
		"foo{a=\"\x00\"} 1\n",
		"foo{a=\"\"\x00} 1\n",
		"foo{\"a\nb\"=\"c\"} 1\n",
	} {
		f.Add(body + "# EOF\n")
		f.Add(body + "# EOF")
	}
	f.Fuzz(func(t *testing.T, src string) { checkAgainstJudge(t, src) })
}

// TestOpenMetricsSoup compares with the judge on bodies of almost the right form,
// which random bytes seldom have.
func TestOpenMetricsSoup(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	// odd returns s, or now and then something else in its place.
	odd := func(s string) string {
		if rng.IntN(40) > 0 {
			return s
		}
		return pick("", " ", "  ", ",", `"`, `\`, "{", "}", "=", "#", "\n", "\r", "\t", "é", "\xff", "x", "1", s+s)
	}
	number := func() string {
		return odd(pick("1", "0", "-1", "2.5", "+Inf", "NaN", "1e3", "1e400", ".5", "007", "18446744073709551615", "0x1p1", "1_0",
			"-0", "1520430000.123"))
	}
	text := func() string {
		return `"` + odd(pick("", "a", "1", "+Inf", "0.5", `\n`, `\\`, `\"`, `\x`, "é")) + odd(`"`)
	}
	labelSet := func(names ...string) string {
		var set strings.Builder
		for i := range rng.IntN(4) {
			if i > 0 {
				set.WriteString(odd(","))
			}
			set.WriteString(odd(pick(names...)) + odd("=") + text())
		}
		return odd("{") + set.String() + odd("}")
	}
	for range 20000 {
		var body strings.Builder
		base := pick("foo", "foo_s", "foo_total", "bar")
		for range rng.IntN(8) {
			if rng.IntN(8) == 0 {
				base = pick("foo", "foo_s", "bar", "baz")
			}
			switch rng.IntN(8) {
			case 0, 1:
				body.WriteString(odd("# TYPE ") + base + odd(" ") + odd(pick("counter", "gauge", "histogram", "gaugehistogram",
					"summary", "info", "stateset", "unknown", "untyped")))
			case 2:
				body.WriteString(odd("# HELP ") + pick(base, `"`+base+`"`) + odd(" ") + odd(pick("", "a", `\n`, `\`, `"`)))
			case 3:
				body.WriteString(odd("# UNIT ") + base + odd(" ") + odd(pick("", "s", "o")))
			default:
				body.WriteString(odd(base + pick("", "", "_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info")))
				if rng.IntN(4) > 0 {
					body.WriteString(labelSet("a", "b", "le", "le", "quantile", "foo", `"c.d"`))
				}
				body.WriteString(odd(" ") + number())
				if rng.IntN(16) == 0 {
					body.WriteString(odd(" ") + number())
				}
				if rng.IntN(4) == 0 {
					body.WriteString(odd(" # ") + labelSet("a", "b", `"c.d"`) + odd(" ") + number())
					if rng.IntN(3) == 0 {
						body.WriteString(odd(" ") + number())
					}
				}
			}
			body.WriteString(odd("\n"))
		}
		checkAgainstJudge(t, body.String()+odd("# EOF")+odd("\n"))
	}
}

// TestOpenMetricsRoundTrip reads what Go's client library writes.
func TestOpenMetricsRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var body bytes.Buffer
		var want []string
		for i := range rng.IntN(5) {
			family := randomDTO(rng, i)
			if _, err := expfmt.MetricFamilyToOpenMetrics(&body, family, expfmt.WithCreatedLines()); err != nil {
				t.Fatal(err)
			}
			if len(family.Metric) > 0 {
				want = append(want, sketchDTO(family))
			}
		}
		if _, err := expfmt.FinalizeOpenMetrics(&body); err != nil {
			t.Fatal(err)
		}
		families, err := ParseOpenMetrics(body.String(), metric.UTF8Validation)
		if err != nil {
			t.Fatalf("%v\n%s", err, &body)
		}
		if got := sketchFamilies(families); got != strings.Join(want, " | ") {
			t.Fatalf("got  %s\nwant %s\n%s", got, strings.Join(want, " | "), &body)
		}
		checkAgainstJudge(t, body.String())
	}
}

// randomDTO makes a family whose name no other i gives.
func randomDTO(rng *rand.Rand, i int) *dto.MetricFamily {
	texts := []string{"", "a", "b c", `\`, `\n`, "\n", `"`, "é", "x\ty", "{},= #"}
	text := func() string { return texts[rng.IntN(len(texts))] + texts[rng.IntN(len(texts))] }
	float := func() float64 {
		return []float64{0, 1, -1, 0.1, 1e300, math.Pi, math.Inf(1), math.Inf(-1), math.NaN(), rng.NormFloat64()}[rng.IntN(10)]
	}
	moment := func() *timestamppb.Timestamp {
		if rng.IntN(2) == 0 {
			return nil
		}
		// Halves survive the writer's way through a float64 of nanoseconds.
		return &timestamppb.Timestamp{Seconds: rng.Int64N(3e9) - 1e9, Nanos: int32(rng.IntN(2)) * 5e8}
	}
	pairs := func() (ls []*dto.LabelPair) {
		for _, name := range []string{"a", "b.c", "d\"e"}[:rng.IntN(4)] {
			ls = append(ls, &dto.LabelPair{Name: proto.String(name), Value: proto.String(text())})
		}
		return ls
	}
	sample := func() *dto.Exemplar {
		if rng.IntN(2) == 0 {
			return nil
		}
		return &dto.Exemplar{Label: pairs(), Value: proto.Float64(float()), Timestamp: moment()}
	}

	types := []dto.MetricType{
		dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_SUMMARY,
		dto.MetricType_UNTYPED, dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM,
	}
	typ := types[rng.IntN(len(types))]
	name := []string{"foo", "foo.bar", "é\"\\"}[rng.IntN(3)] + strconv.Itoa(i)
	f := &dto.MetricFamily{Type: typ.Enum()}
	if rng.IntN(2) == 0 {
		f.Help = proto.String(text())
	}
	if rng.IntN(2) == 0 {
		unit := []string{"seconds", "°C", "a\"b"}[rng.IntN(3)]
		f.Unit, name = proto.String(unit), name+"_"+unit
	}
	if typ == dto.MetricType_COUNTER && (f.Unit != nil || rng.IntN(4) > 0) {
		name += "_total"
	}
	f.Name = proto.String(name)
	for k := range rng.IntN(4) {
		m := &dto.Metric{Label: append(pairs(), &dto.LabelPair{Name: proto.String("k"), Value: proto.String(strconv.Itoa(k))})}
		switch typ {
		case dto.MetricType_COUNTER:
			m.Counter = &dto.Counter{Value: proto.Float64(rng.ExpFloat64())}
			if strings.HasSuffix(name, "_total") { // the writer makes others unknown, which have neither
				m.Counter.Exemplar, m.Counter.CreatedTimestamp = sample(), moment()
			}
		case dto.MetricType_GAUGE:
			m.Gauge = &dto.Gauge{Value: proto.Float64(float())}
		case dto.MetricType_UNTYPED:
			m.Untyped = &dto.Untyped{Value: proto.Float64(float())}
		case dto.MetricType_SUMMARY:
			m.Summary = &dto.Summary{SampleCount: proto.Uint64(rng.Uint64()), SampleSum: proto.Float64(float()), CreatedTimestamp: moment()}
			for _, q := range []float64{0, 0.5, 0.999, 1}[:rng.IntN(5)] {
				m.Summary.Quantile = append(m.Summary.Quantile, &dto.Quantile{Quantile: proto.Float64(q), Value: proto.Float64(float())})
			}
		default:
			m.Histogram = &dto.Histogram{SampleCount: proto.Uint64(rng.Uint64()), SampleSum: proto.Float64(float()),
				CreatedTimestamp: moment()}
			for _, le := range []float64{-1, 0, 1e-5, 0.1, 1e23}[:rng.IntN(6)] {
				m.Histogram.Bucket = append(m.Histogram.Bucket,
					&dto.Bucket{UpperBound: proto.Float64(le), CumulativeCount: proto.Uint64(rng.Uint64()), Exemplar: sample()})
			}
		}
		f.Metric = append(f.Metric, m)
	}
	return f
}

// sketchDTO writes f as sketchFamilies writes what OpenMetrics can tell of it.
func sketchDTO(f *dto.MetricFamily) string {
	out := metric.Family{Name: f.GetName(), Help: f.GetHelp(), Unit: f.GetUnit(), Type: metric.Type(f.GetType())}
	plainCounter := out.Type == metric.Counter && !strings.HasSuffix(out.Name, "_total")
	if plainCounter {
		out.Type = metric.Untyped
	}
	pairs := func(ps []*dto.LabelPair) (ls []metric.Label) {
		for _, p := range ps {
			ls = append(ls, metric.Label{Name: p.GetName(), Value: p.GetValue()})
		}
		return ls
	}
	moment := func(at *timestamppb.Timestamp) metric.Timestamp {
		if at == nil {
			return metric.Timestamp{}
		}
		return metric.Timestamp{Seconds: at.Seconds, Nanos: at.Nanos, Set: true}
	}
	sample := func(e *dto.Exemplar) *metric.Exemplar {
		if len(e.GetLabel()) == 0 { // which the writer leaves out
			return nil
		}
		return &metric.Exemplar{Labels: pairs(e.Label), Value: e.GetValue(), Timestamp: moment(e.Timestamp)}
	}
	for _, m := range f.Metric {
		got := metric.Metric{Labels: pairs(m.Label), HasValue: m.Summary == nil && m.Histogram == nil}
		got.Value = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		if m.Counter != nil {
			got.Exemplar, got.Created = sample(m.Counter.Exemplar), moment(m.Counter.CreatedTimestamp)
		}
		if s := m.Summary; s != nil {
			got.Summary, got.Created = &metric.SummaryValue{Count: s.GetSampleCount(), Sum: s.GetSampleSum()}, moment(s.CreatedTimestamp)
			for _, q := range s.Quantile {
				got.Summary.Quantiles = append(got.Summary.Quantiles, metric.Quantile{Quantile: q.GetQuantile(), Value: q.GetValue()})
			}
		}
		if h := m.Histogram; h != nil {
			got.Histogram, got.Created = &metric.HistogramValue{Count: h.GetSampleCount(),
				Sum: h.GetSampleSum()}, moment(h.CreatedTimestamp)
			for _, b := range h.Bucket {
				got.Histogram.Buckets = append(got.Histogram.Buckets,
					metric.Bucket{UpperBound: b.GetUpperBound(), CumulativeCount: b.GetCumulativeCount(), Exemplar: sample(b.Exemplar)})
			}
			got.Histogram.Buckets = append(got.Histogram.Buckets, metric.Bucket{UpperBound: math.Inf(1),
				CumulativeCount: h.GetSampleCount()})
		}
		out.Metrics = append(out.Metrics, got)
	}
	return sketchFamilies([]metric.Family{out})
}

func BenchmarkOpenMetrics(b *testing.B) {
	histogram := func(name string, label int) string {
		var s strings.Builder
		for i := range 10 {
			fmt.Fprintf(&s, "%s_bucket{code=\"%d\",method=\"get\",le=\"%d.0\"} %d\n", name, label, i, i)
		}
		fmt.Fprintf(&s, "%[1]s_bucket{code=\"%[2]d\",method=\"get\",le=\"+Inf\"} 10\n%[1]s_sum{code=\"%[2]d\",method=\"get\"} "+
			"12.5\n%[1]s_count{code=\"%[2]d\",method=\"get\"} 10\n", name, label)
		return s.String()
	}
	for _, n := range []int{1e2, 1e4, 1e5} {
		var apart, interleaved, gauges strings.Builder
		apart.WriteString("# TYPE foo histogram\n")
		interleaved.WriteString("# TYPE foo histogram\n")
		gauges.WriteString("# TYPE foo gauge\n")
		var lines [][]string
		for i := range n {
			lines = append(lines, strings.SplitAfter(histogram("foo", i), "\n"))
			apart.WriteString(strings.Join(lines[i], ""))
			fmt.Fprintf(&gauges, "foo{code=\"%d\",method=\"get\"} %d.5\n", i, i)
		}
		for l := range lines[0] {
			for i := range n {
				interleaved.WriteString(lines[i][l])
			}
		}
		for name, body := range map[string]string{"gauges": gauges.String(), "histograms": apart.String(),
			"interleaved": interleaved.String()} {
			body += "# EOF\n"
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ParseOpenMetrics(body, metric.LegacyValidation); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
