package test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// optionHeaders maps options to their headers.
var optionHeaders = map[string]string{
	"ttl":        "Pushgateway-TTL",
	"ttl_keep":   "Pushgateway-TTL-Keep",
	"merge":      "Pushgateway-Merge",
	"gauges":     "Pushgateway-Gauges",
	"timestamps": "Pushgateway-Timestamps",
}

// optionWays are the ways in which a push can carry options.
var optionWays = []string{"query", "header", "path", "slashes", "mixed"}

// carry adds options, each written name=value, to a push to the path, in one of the
// optionWays.
func carry(way, path string, options []string) (target string, headers []string) {
	prefix, query := "", ""
	for i, option := range options {
		by := way
		if way == "mixed" {
			by = optionWays[i%3]
		}
		switch name, value, _ := strings.Cut(option, "="); by {
		case "query":
			query += "&" + option
		case "header":
			headers = append(headers, optionHeaders[name], value)
		default:
			prefix += "/" + option
		}
	}
	if prefix != "" {
		prefix = "/with" + prefix
	}
	if way == "slashes" { // as after a base URL that ends in a slash
		prefix += "/"
	}
	if query != "" {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + query[1:]
	}
	return prefix + path, headers
}

// TestOptionsInEveryWay: an option means the same wherever a push carries it.
func TestOptionsInEveryWay(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.ttl=5h")
	for i, c := range []struct {
		options []string
		bodies  []string
		want    []string
		ttl     string
		summed  bool
	}{
		{nil, []string{"m 1"}, []string{"m 1"}, "5h0m0s", false},
		{[]string{"ttl=90m"}, []string{"m 1"}, []string{"m 1"}, "1h30m0s", false},
		{[]string{"ttl=0"}, []string{"m 1"}, []string{"m 1"}, "never", false},
		{[]string{"ttl_keep=push_time"}, []string{"m 1"}, []string{"m 1"}, "5h0m0s", false},
		{[]string{"merge=group"}, []string{"m 1", "n 2"}, []string{"n 2"}, "5h0m0s", false},
		{
			[]string{"merge=family"}, []string{`m{a="1"} 1`, `m{a="2"} 2`, "n 3"},
			[]string{`m{a="2"} 2`, "n 3"}, "5h0m0s", false,
		},
		{
			[]string{"merge=series"}, []string{`m{a="1"} 1`, `m{a="2"} 2`, "n 3"},
			[]string{`m{a="1"} 1`, `m{a="2"} 2`, "n 3"}, "5h0m0s", false,
		},
		{[]string{"merge=sum"}, []string{"m 5", "m 3"}, []string{"m 3"}, "5h0m0s", true},
		{[]string{"merge=sum", "gauges=last"}, []string{"m 5", "m 3"}, []string{"m 3"}, "5h0m0s", true},
		{[]string{"merge=sum", "gauges=sum"}, []string{"m 5", "m 3"}, []string{"m 8"}, "5h0m0s", true},
		{[]string{"merge=sum", "gauges=min"}, []string{"m 5", "m 3", "m 4"}, []string{"m 3"}, "5h0m0s", true},
		{[]string{"gauges=max", "merge=sum"}, []string{"m 5", "m 3"}, []string{"m 5"}, "5h0m0s", true},
		{[]string{"timestamps=drop"}, []string{"m 1 1700000000000"}, []string{"m 1"}, "5h0m0s", false},
		{
			[]string{"ttl=1w", "ttl_keep=push_time", "merge=sum", "gauges=max", "timestamps=drop"},
			[]string{"m 7 1700000000000", "m 6"}, []string{"m 7"}, "168h0m0s", true,
		},
	} {
		for _, way := range optionWays {
			t.Run(strings.Join(c.options, " ")+" in the "+way, func(t *testing.T) {
				job := fmt.Sprintf("%d-%s", i, way)
				for _, body := range c.bodies {
					name := body[:1]
					path, headers := carry(way, "/metrics/job/"+job, c.options)
					p.push(t, http.MethodPost, path, fmt.Sprintf("# TYPE %s gauge\n%s\n", name, body), headers...)
				}
				p.wantPushed(t, job, c.want...)
				info := p.info(t, "/metrics/job/"+job)
				if got := info.ttl(); got != c.ttl {
					t.Errorf("ttl %s, want %s", got, c.ttl)
				}
				if info.Summed != c.summed {
					t.Errorf("summed is %v, want %v", info.Summed, c.summed)
				}
			})
		}
	}
	if n := p.selfMetric(t, "/metrics", "pushgateway_timestamps_dropped_total"); n != 2*float64(len(optionWays)) {
		t.Errorf("%v timestamps dropped, want %d", n, 2*len(optionWays))
	}
}

// TestOptionsGivenTwice: an option may be given more than once if the values agree.
func TestOptionsGivenTwice(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPost, "/with/ttl=60m/merge=sum/ttl=1h/metrics/job/a?ttl=3600s&merge=sum&ttl=1h&no_option=1",
		"# TYPE m gauge\nm 1\n", "Pushgateway-TTL", "1h", "Pushgateway-Merge", "sum")
	got := p.info(t, "/metrics/job/a")
	if got.ttl() != "1h0m0s" {
		t.Errorf("ttl %s, want 1h0m0s", got.ttl())
	}
	if !got.Summed {
		t.Error("the group is not summed")
	}
	p.push(t, http.MethodPut, "/with/ttl=1d/metrics/job@base64/Yi9j/x/y", "n 1\n")
	if got := p.info(t, "/metrics/job@base64/Yi9j/x/y").ttl(); got != "24h0m0s" {
		t.Errorf("a group with base64 in its path has ttl %s, want 24h0m0s", got)
	}
}

// TestOptionsAfterRoutePrefix: options in the path come after the route prefix.
func TestOptionsAfterRoutePrefix(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.route-prefix=/pg")
	p.push(t, http.MethodPut, "/pg/with/ttl=1h/metrics/job/a", "m 1\n")
	if a := p.do(t, http.MethodPut, "/with/ttl=1h/pg/metrics/job/a", "m 2\n"); a.status != http.StatusNotFound {
		t.Errorf("options before the route prefix: status %d, want 404", a.status)
	}
	wantText(t, p.get(t, "/pg/metrics"), `m{instance="",job="a"} 1`)
	wantText(t, p.get(t, "/pg/api/v1/groups"), `"expires_at":"`)
}

// TestOptionsRejected: a push with invalid options changes nothing, not even the time
// of the group's last failure.
func TestOptionsRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/stored", "# TYPE m gauge\nm 1\n")
	before := p.exposedGroup(t, "stored")
	const path = "/metrics/job/stored"
	long := strings.Repeat("k", 129)
	cases := []struct {
		method, path string
		headers      []string
		because      []string
	}{
		// Values that disagree.
		{"POST", path + "?ttl=1h&ttl=2h", nil, []string{"ttl", "1h", "2h"}},
		{"POST", path + "?ttl=1h", []string{"Pushgateway-TTL", "2h"}, []string{"ttl=1h in the query", "ttl=2h in the header"}},
		{"POST", "/with/merge=sum" + path + "?merge=series", nil, []string{"merge=series in the query", "merge=sum in the path"}},
		{"POST", "/with/merge=sum/merge=group" + path, nil, []string{"merge=sum", "merge=group"}},
		{"POST", "/with/merge=sum/gauges=min" + path, []string{"Pushgateway-Gauges", "max"}, []string{"gauges"}},
		{"POST", path + "?timestamps=reject", []string{"Pushgateway-Timestamps", "drop"}, []string{"timestamps"}},
		{"POST", path, []string{"Pushgateway-TTL", "1h", "Pushgateway-TTL", "2h"}, []string{"ttl"}},
		// Unknown options.
		{"POST", path, []string{"Pushgateway-Tll", "1h"}, []string{"Pushgateway-Tll", "Pushgateway-TTL"}},
		{"POST", path, []string{"Pushgateway-Ttlkeep", "push_time"}, []string{"Pushgateway-Ttlkeep"}},
		{"POST", "/with/tll=1h" + path, nil, []string{"tll", "ttl"}},
		{"POST", "/with/ttl=1h/x=" + path, nil, []string{"x="}},
		// Invalid values.
		{"POST", path + "?ttl=-1h", nil, []string{"ttl"}},
		{"POST", path + "?ttl=90", nil, []string{"ttl", "90s"}},
		{"POST", path + "?ttl=1.5h", nil, []string{"ttl"}},
		{"POST", path + "?ttl=", nil, []string{"ttl"}},
		{"POST", path + "?ttl=%zz", nil, []string{"ttl"}},
		{"POST", path + "?ttl=293y", nil, []string{"ttl"}},
		{"POST", path + "?ttl=for+ever", nil, []string{"ttl"}},
		{"POST", path + "?ttl_keep=all", nil, []string{"ttl_keep", "push_time"}},
		{"POST", path + "?merge=add", nil, []string{"merge", "group, family, series, sum"}},
		{"POST", path + "?merge=SUM", nil, []string{"merge"}},
		{"POST", path + "?merge=sum&gauges=avg", nil, []string{"gauges", "last, sum, min, max"}},
		{"POST", path + "?timestamps=keep", nil, []string{"timestamps", "reject, drop"}},
		{"POST", "/with/ttl=soon" + path, nil, []string{"ttl=soon in the path"}},
		{"POST", path, []string{"Pushgateway-Merge", ""}, []string{"merge"}},
		// gauges without merge=sum.
		{"POST", path + "?gauges=max", nil, []string{"gauges", "merge=sum"}},
		{"POST", path + "?gauges=last&merge=series", nil, []string{"gauges=last", "merge=series"}},
		{"PUT", path + "?gauges=max&merge=group", nil, []string{"gauges=max", "merge=group"}},
		{"PUT", path, []string{"Pushgateway-Gauges", "sum"}, []string{"gauges"}},
		// Options that PUT does not take.
		{"PUT", path + "?merge=sum", nil, []string{"merge=sum", "PUT", "POST"}},
		{"PUT", path, []string{"Pushgateway-Merge", "family"}, []string{"merge=family", "POST"}},
		{"PUT", "/with/merge=series" + path, nil, []string{"merge=series", "POST"}},
		{"PUT", "/with/merge=sum/gauges=sum" + path, nil, []string{"merge=sum", "POST"}},
		// Invalid keys.
		{"POST", path, []string{"Idempotency-Key", long}, []string{"Idempotency-Key", "129", "128"}},
		{"POST", path, []string{"Idempotency-Key", ""}, []string{"Idempotency-Key"}},
		{"POST", path, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, []string{"Idempotency-Key"}},
	}
	for _, c := range cases {
		for _, path := range []string{c.path, strings.Replace(c.path, "/job/stored", "/job/new", 1)} {
			t.Run(fmt.Sprintf("%s %s %.40v", c.method, path, c.headers), func(t *testing.T) {
				a := p.do(t, c.method, path, "# TYPE m gauge\nm 2\n", c.headers...)
				if a.status != http.StatusBadRequest {
					t.Errorf("status %d, want 400: %s", a.status, a.body)
				}
				wantText(t, a.body, c.because...)
			})
		}
	}
	if got := p.rejections(t, "option"); got != 2*float64(len(cases)) {
		t.Errorf("%v pushes counted as rejected for their options, want %d", got, 2*len(cases))
	}
	if after := p.exposedGroup(t, "stored"); after != before {
		t.Errorf("the group is\n%s\nbefore it was\n%s", after, before)
	}
	if got := p.exposedGroup(t, "new"); got != "" {
		t.Errorf("a rejected push created the group\n%s", got)
	}
	p.push(t, http.MethodPut, path+"?merge=group", "# TYPE m gauge\nm 3\n", "Idempotency-Key", long[1:])
	p.wantPushed(t, "stored", "m 3")
}

// TestNoOptionsInPath: the answer to a malformed path after /with/ has a hint.
func TestNoOptionsInPath(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, path := range []string{
		"/with/nonsense/metrics/job/a", "/with/ttl=1h/nonsense/metrics/job/a", "/with/ttl=1h", "/with/ttl=1h/", "/with/ttl=1h/status",
	} {
		t.Run(path, func(t *testing.T) {
			a := p.do(t, http.MethodPut, path, "m 1\n")
			if a.status != http.StatusNotFound {
				t.Errorf("status %d, want 404", a.status)
			}
			wantText(t, a.body, "name=value", "/metrics/job/", "/api/v1/push")
		})
	}
	if got := p.pushed(t); got != "" {
		t.Errorf("pushed is\n%s", got)
	}
}

// TestDeleteAndOptions: options in the query of a DELETE are a mistake. Elsewhere they
// are ignored, as a client may send them with all its requests.
func TestDeleteAndOptions(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a"
	again := func() { p.push(t, http.MethodPut, path, "m 1\n") }
	again()
	for _, query := range []string{"ttl=1h", "ttl_keep=push_time", "merge=sum", "merge=group", "timestamps=drop", "ttl=nonsense"} {
		t.Run(query, func(t *testing.T) {
			a := p.do(t, http.MethodDelete, path+"?"+query, "")
			if a.status != http.StatusBadRequest {
				t.Errorf("status %d, want 400: %s", a.status, a.body)
			}
			p.wantPushed(t, "a", "m 1")
		})
	}
	for _, c := range []struct {
		path    string
		headers []string
	}{
		{path, nil},
		{path + "?no_option=1", nil},
		{path, []string{"Pushgateway-TTL", "1h", "Pushgateway-Merge", "sum", "Idempotency-Key", "k"}},
		{"/with/ttl=1h/merge=sum/gauges=max" + path, nil},
		{"/with/ttl=1h/" + path, []string{"Pushgateway-TTL", "2h"}},
	} {
		t.Run(fmt.Sprint(c.path, c.headers), func(t *testing.T) {
			again()
			a := p.do(t, http.MethodDelete, c.path, "", c.headers...)
			if a.status != http.StatusAccepted {
				t.Errorf("status %d, want 202: %s", a.status, a.body)
			}
			p.wantPushed(t, "a")
		})
	}
}
