package pushoptions_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// value is a value of an option, in its canonical form.
type value struct {
	option, value string
	sets          metric.Options
}

func ttl(d time.Duration) metric.Options {
	return metric.Options{Expiry: metric.Expiry{Set: true, TTL: d}}
}

var values = []value{
	{"ttl", "2d", ttl(48 * time.Hour)},
	{"ttl", "1h30m", ttl(90 * time.Minute)},
	{"ttl", "5ms", ttl(5 * time.Millisecond)},
	{"ttl", "0", ttl(0)},
	{"ttl_keep", "push_time", metric.Options{Expiry: metric.Expiry{KeepPushTimes: true}}},
	{"merge", "group", metric.Options{Merge: metric.MergeGroup}},
	{"merge", "family", metric.Options{Merge: metric.MergeFamily}},
	{"merge", "series", metric.Options{Merge: metric.MergeSeries}},
	{"merge", "sum", metric.Options{Merge: metric.MergeSum}},
	{"gauges", "last", metric.Options{Gauges: metric.GaugeLast}},
	{"gauges", "sum", metric.Options{Gauges: metric.GaugeSum}},
	{"gauges", "min", metric.Options{Gauges: metric.GaugeMin}},
	{"gauges", "max", metric.Options{Gauges: metric.GaugeMax}},
	{"timestamps", "reject", metric.Options{Timestamps: metric.TimestampsReject}},
	{"timestamps", "drop", metric.Options{Timestamps: metric.TimestampsDrop}},
	{"drop_labels", "pod", metric.Options{DropLabels: "pod"}},
	{"drop_labels", "a.b,instance,pod", metric.Options{DropLabels: "a.b,instance,pod"}},
}

var headerOf = map[string]string{
	"ttl": "Pushgateway-TTL", "ttl_keep": "Pushgateway-TTL-Keep", "merge": "Pushgateway-Merge",
	"gauges": "Pushgateway-Gauges", "timestamps": "Pushgateway-Timestamps", "drop_labels": "Pushgateway-Drop-Labels",
}

// header returns options, as name=value, in the headers that a server would receive.
func header(options ...string) http.Header {
	h := http.Header{"Content-Type": {"text/plain"}, "User-Agent": {"test"}}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		h.Add(headerOf[name], value)
	}
	return h
}

// query returns options, as name=value, as a query with every byte percent-encoded.
func query(options ...string) string {
	var encoded []string
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		encoded = append(encoded, fmt.Sprintf("%s=%s", everyByte(name), everyByte(value)))
	}
	return strings.Join(encoded, "&")
}

func everyByte(s string) (encoded string) {
	for i := range len(s) {
		encoded += fmt.Sprintf("%%%02x", s[i])
	}
	return encoded
}

// everyWay checks that all ways to give options have the same result.
func everyWay(t *testing.T, want metric.Options, options ...string) {
	t.Helper()
	prefix, rest, found := pushoptions.CutPrefix("/with/" + strings.Join(options, "/") + "/metrics/job/x")
	if !found || rest != "/metrics/job/x" {
		t.Errorf("%v: the prefix leaves %q", options, rest)
	}
	for _, way := range []struct {
		name   string
		query  string
		header http.Header
		prefix []string
	}{
		{"query", strings.Join(options, "&"), header(), nil},
		{"encoded query", query(options...), header(), nil},
		{"query of others", "x=1&%zz=1&" + strings.Join(options, "&y&") + "&=", nil, nil},
		{"headers", "", header(options...), nil},
		{"path", "", nil, prefix},
		{"all three", query(options...), header(options...), prefix},
	} {
		if got, err := pushoptions.FromRequest(way.query, way.header, way.prefix); err != nil || got != want {
			t.Errorf("%v by %s: got %+v, %v, want %+v", options, way.name, got, err, want)
		}
	}
}

func TestEveryValueInEveryWay(t *testing.T) {
	for _, v := range values {
		text := v.option + "=" + v.value
		t.Run(text, func(t *testing.T) {
			everyWay(t, v.sets, text)
			if got := pushoptions.Format(v.sets); !slices.Equal(got, []string{text}) {
				t.Errorf("is formatted %q", got)
			}
		})
	}
}

// TestCombinations parses all combinations of values that go together, given in every way.
func TestCombinations(t *testing.T) {
	var byOption [][]value
	for _, v := range values {
		if last := len(byOption) - 1; last >= 0 && byOption[last][0].option == v.option {
			byOption[last] = append(byOption[last], v)
		} else {
			byOption = append(byOption, []value{v})
		}
	}
	var combine func(left [][]value, texts []string, sets metric.Options)
	combine = func(left [][]value, texts []string, sets metric.Options) {
		if len(left) == 0 {
			everyWay(t, sets, texts...)
			if got := pushoptions.Format(sets); !slices.Equal(got, texts) {
				t.Errorf("%q is formatted %q", texts, got)
			}
			return
		}
		combine(left[1:], texts, sets)
		for _, v := range left[0] {
			if v.option != "gauges" || sets.Merge == metric.MergeDefault || sets.Merge == metric.MergeSum {
				combine(left[1:], append(slices.Clip(texts), v.option+"="+v.value), sets.Or(v.sets))
			}
		}
	}
	combine(byOption, nil, metric.Options{})
}

// TestDroppedLabels: the order of the names does not matter, nor blanks around them.
func TestDroppedLabels(t *testing.T) {
	want := metric.Options{DropLabels: "instance,pod"}
	for _, text := range []string{"instance,pod", "pod,instance", "pod,instance,pod", "pod, instance"} {
		everyWay(t, want, "drop_labels="+text)
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"90m", 90 * time.Minute},
		{"1h30m", 90 * time.Minute},
		{"2d", 48 * time.Hour},
		{"1y2w3d4h5m6s7ms", (365+14+3)*24*time.Hour + 4*time.Hour + 5*time.Minute + 6*time.Second + 7*time.Millisecond},
		{"0", 0},
		{"0s", 0},
	} {
		everyWay(t, ttl(c.want), "ttl="+c.text)
	}
}

func TestCutPrefix(t *testing.T) {
	for _, c := range []struct {
		path    string
		options string
		rest    string
	}{
		{"/with/ttl=1h/merge=sum/metrics/job/x", "ttl=1h merge=sum", "/metrics/job/x"},
		{"/with/ttl=1h/metrics/job/x/y/a=b", "ttl=1h", "/metrics/job/x/y/a=b"},
		{"/with/ttl=1h//metrics/job/x//", "ttl=1h", "/metrics/job/x//"},
		{"/with/ttl=1h///metrics", "ttl=1h", "/metrics"},
		{"/with/ttl=1h/ttl/metrics", "ttl=1h", "/ttl/metrics"},
		{"/with/=/a=b=c/", "= a=b=c", "/"},
		{"/with/ttl=1h", "ttl=1h", "/"},
		{"/with/metrics", "", "/metrics"},
		{"/with/", "", "/"},
	} {
		t.Run(c.path, func(t *testing.T) {
			options, rest, found := pushoptions.CutPrefix(c.path)
			if got := strings.Join(options, " "); !found || got != c.options || rest != c.rest {
				t.Errorf("got %q and %q, %v, want %q and %q", got, rest, found, c.options, c.rest)
			}
		})
	}
	for _, path := range []string{"", "/", "/with", "/without/ttl=1h/metrics", "/metrics/job/x/with/ttl=1h", "with/ttl=1h/metrics"} {
		if options, rest, found := pushoptions.CutPrefix(path); found || options != nil || rest != path {
			t.Errorf("%q: got %q and %q, %v, want none", path, options, rest, found)
		}
	}
}

func TestRejectedOptions(t *testing.T) {
	const lists = "ttl, ttl_keep, merge, gauges, timestamps, drop_labels"
	none := http.Header{}
	for _, c := range []struct {
		query  string
		header http.Header
		prefix []string
		want   []string
	}{
		{"merge=add", none, nil, []string{"merge=add in the query: merge is one of group, family, series, sum"}},
		{"", header("merge=Sum"), nil, []string{"merge=Sum in the header Pushgateway-Merge: merge is one of group, family, series, sum"}},
		{"", none, []string{"gauges=mean"}, []string{"gauges=mean in the path: gauges is one of last, sum, min, max"}},
		{"timestamps=keep", none, nil, []string{"timestamps=keep in the query: timestamps is one of reject, drop"}},
		{"", header("ttl_keep=all"), nil, []string{"ttl_keep=all in the header Pushgateway-TTL-Keep: ttl_keep can only be push_time"}},
		{"ttl=1.5h", none, nil, []string{"ttl=1.5h in the query", "whole numbers", "90m, 1h30m or 2d"}},
		{"ttl=30m1h", none, nil, []string{"ttl=30m1h in the query", "the larger unit first"}},
		{"ttl=400y", none, nil, []string{"ttl=400y in the query", "less than 292y"}},
		{"ttl=-1h", none, nil, []string{"ttl=-1h in the query: ttl cannot be negative"}},
		{"ttl=3600", none, nil, []string{"write 3600s"}},
		{"ttl", none, nil, []string{`ttl="" in the query`, "90m, 1h30m or 2d"}},
		{"merge=", none, nil, []string{`merge="" in the query: merge is one of`}},
		{"merge=sum;ttl=1h", none, nil, []string{"merge=sum;ttl=1h in the query: merge is one of"}},
		{"merge=s%0aum", none, nil, []string{`merge="s\num" in the query: merge is one of`}},
		{"merge=%zz", none, nil, []string{"merge=%zz in the query", `invalid URL escape "%zz"`}},
		{"ttl=1h&ttl=2h", none, nil, []string{"ttl=1h in the query, but ttl=2h in the query: give ttl only once"}},
		{"ttl=1h", header("ttl=2h"), nil, []string{"ttl=1h in the query, but ttl=2h in the header Pushgateway-TTL"}},
		{"", header("merge=sum", "merge=group"), nil,
			[]string{"merge=sum in the header Pushgateway-Merge, but merge=group in the header Pushgateway-Merge"}},
		{"ttl=1h", header("ttl=60m"), []string{"ttl=3600s", "ttl=0"}, []string{"ttl=1h in the query, but ttl=0 in the path"}},
		{"gauges=max", header("merge=family"), nil,
			[]string{"gauges=max in the query does not go with merge=family in the header Pushgateway-Merge", "merge=sum"}},
		{"drop_labels=", none, nil, []string{`drop_labels="" in the query`, "such as pod,instance", `"" is not the name of a label`}},
		{"drop_labels=pod,,x", none, nil, []string{`"" is not the name of a label`}},
		{"drop_labels=pod,job", none, nil, []string{"cannot name job"}},
		{"drop_labels=__x", none, nil, []string{"__x is not the name of a label"}},
		{"drop_labels=pod", header("drop_labels=pod,x"), nil, []string{"give drop_labels only once"}},
		{"drop_labels=" + strings.Repeat("x,", 33) + "x", none, nil, []string{"more than 32 labels"}},
		{"", none, []string{"tll=1h"}, []string{"tll=1h in the path: there is no such option; the options are " + lists}},
		{"", none, []string{"=1h"}, []string{"=1h in the path: there is no such option"}},
		{"", none, []string{"merge=sum", "ttl"}, []string{"ttl in the path is not of the form option=value; the options are " + lists}},
		{"", none, []string{""}, []string{`"" in the path is not of the form option=value`}},
		{"", http.Header{"Pushgateway-Ttll": {"1h"}, "Pushgateway-Ttl": {"1h"}}, nil, []string{"the header Pushgateway-Ttll;",
			"Pushgateway-TTL, Pushgateway-TTL-Keep, Pushgateway-Merge, Pushgateway-Gauges, Pushgateway-Timestamps, Pushgateway-Drop-Labels"}},
		{"", http.Header{"Pushgateway-Ttl_keep": {"push_time"}}, nil, []string{"the header Pushgateway-Ttl_keep;"}},
		{"", http.Header{"pushgateway-": nil}, nil, []string{"the header pushgateway-;"}},
	} {
		t.Run(c.want[0], func(t *testing.T) {
			got, err := pushoptions.FromRequest(c.query, c.header, c.prefix)
			rejection, ok := errors.AsType[*metric.RejectionError](err)
			if !ok || rejection.Reason != metric.BadOption || got != (metric.Options{}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			for _, want := range c.want {
				if !strings.Contains(rejection.Message, want) {
					t.Errorf("got %s, want it to say %q", rejection.Message, want)
				}
			}
		})
	}
}

// TestRejectionsAreStable: with two wrong headers, the order of a map decides nothing.
func TestRejectionsAreStable(t *testing.T) {
	h := http.Header{"Pushgateway-A": {"1"}, "Pushgateway-B": {"1"}, "Pushgateway-Ttl": {"x"}}
	_, want := pushoptions.FromRequest("", h, nil)
	for range 20 {
		if _, err := pushoptions.FromRequest("", h, nil); err == nil || err.Error() != want.Error() {
			t.Fatalf("got %v after %v", err, want)
		}
	}
}

func TestWhatIsNoOption(t *testing.T) {
	for _, c := range []struct {
		query  string
		header http.Header
	}{
		{"", nil},
		{"TTL=x&Merge=x&ttl-keep=x&%74tll=x&x[ttl]=1&&=&a=%zz&%=ttl", http.Header{}},
		{"", http.Header{"Ttl": {"x"}, "Pushgateway": {"x"}, "X-Pushgateway-Ttl": {"x"}, "": {"x"}, "P": {"x"}}},
		{"", http.Header{"Pushgateway-Ttl": nil}},
	} {
		if got, err := pushoptions.FromRequest(c.query, c.header, nil); err != nil || got != (metric.Options{}) {
			t.Errorf("%q %v: got %+v, %v, want nothing", c.query, c.header, got, err)
		}
	}
}

func TestNoOptionsNoMemory(t *testing.T) {
	h := http.Header{
		"Accept-Encoding": {"gzip"}, "Content-Length": {"12"}, "Content-Type": {"text/plain"},
		"User-Agent": {"test"}, "Purpose": {"test"}, "X-Forwarded-For": {"::1"}, "Authorization": {"Basic x"},
	}
	for _, query := range []string{"", "debug=1&trace=2"} {
		allocations := testing.AllocsPerRun(100, func() {
			if o, err := pushoptions.FromRequest(query, h, nil); err != nil || o != (metric.Options{}) {
				t.Error(o, err)
			}
		})
		if allocations != 0 {
			t.Errorf("query %q: %v allocations", query, allocations)
		}
	}
	if n := testing.AllocsPerRun(100, func() { pushoptions.CutPrefix("/metrics/job/x/instance/a=b") }); n != 0 {
		t.Errorf("a path without prefix: %v allocations", n)
	}
}

// FuzzFromRequest: options are rejected, or have a canonical form that means the same in every
// way.
func FuzzFromRequest(f *testing.F) {
	f.Add("ttl=1h&merge=sum", "Pushgateway-Gauges", "max", "/with/timestamps=drop/metrics/job/x")
	f.Add("ttl=%31h", "pushgateway-ttl", "60m", "/with/ttl=3600s//metrics")
	f.Add("gauges=min", "Pushgateway-Merge", "group", "/with/x")
	f.Add("ttl=-1&&=", "Pushgateway-", "", "/with/=/ttl")
	f.Fuzz(func(t *testing.T, query, name, value, path string) {
		prefix, rest, found := pushoptions.CutPrefix(path)
		if found {
			joined := "/with"
			for _, component := range prefix {
				joined += "/" + component
			}
			behind, ok := strings.CutPrefix(path, joined)
			if !ok || "/"+strings.TrimLeft(behind, "/") != rest {
				t.Fatalf("%q: got %q and %q", path, prefix, rest)
			}
			if next, _, _ := strings.Cut(rest[1:], "/"); strings.Contains(next, "=") && !strings.HasPrefix(behind, "//") {
				t.Fatalf("%q: got %q and %q", path, prefix, rest)
			}
		} else if rest != path || prefix != nil {
			t.Fatalf("%q: got %q and %q", path, prefix, rest)
		}
		got, err := pushoptions.FromRequest(query, http.Header{name: {value}, "Accept": {"*/*"}}, prefix)
		if err != nil {
			if rejection, ok := errors.AsType[*metric.RejectionError](err); !ok || rejection.Reason != metric.BadOption {
				t.Fatalf("not a rejection: %v", err)
			}
			return
		}
		everyWay(t, got, pushoptions.Format(got)...)
		// What net/url finds in the query is in the options. It leaves out what it
		// cannot read.
		read, _ := url.ParseQuery(query)
		for name, all := range read {
			if headerOf[name] == "" {
				continue
			}
			for _, v := range all {
				if again, err := pushoptions.FromRequest(name+"="+url.QueryEscape(v), nil, nil); err != nil || again.Or(got) != got {
					t.Fatalf("%s=%q of %q is not in %+v: %v", name, v, query, got, err)
				}
			}
		}
	})
}
