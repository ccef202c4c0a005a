package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// request is try with headers, in pairs of name and value, and with those of the
// answer.
func (p *program) request(method, path, body string, headers ...string) (answer, http.Header, error) {
	req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(text)}, resp.Header, err
}

// rejected pushes what must not be taken, and checks that the answer says so.
func (p *program) rejected(t *testing.T, method, path, body string, because ...string) {
	t.Helper()
	a := p.do(t, method, path, body)
	if a.status != http.StatusBadRequest {
		t.Errorf("%s %s %.100q: status %d, want 400: %s", method, path, body, a.status, a.body)
	}
	wantText(t, a.body, because...)
}

// own returns a sample of the gateway's own metrics, by its name with its labels.
func (p *program) own(t *testing.T, path, series string) float64 {
	t.Helper()
	for line := range strings.Lines(p.get(t, path)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("%s has no %s", path, series)
	return 0
}

// rejections returns how many pushes were rejected for a reason.
func (p *program) rejections(t *testing.T, reason string) float64 {
	t.Helper()
	return p.own(t, "/metrics", fmt.Sprintf("pushgateway_pushes_rejected_total{reason=%q}", reason))
}

// groupInfo is what the API says of a group.
type groupInfo struct {
	Labels      map[string]string
	Path        string
	LastPush    *time.Time `json:"last_push"`
	LastFailure *time.Time `json:"last_failure"`
	Summed      bool
	Expired     bool
	ExpiresAt   *time.Time `json:"expires_at"`
}

// info returns what the API says of the group with this path, nil where there is
// none.
func (p *program) info(t *testing.T, path string) *groupInfo {
	t.Helper()
	a := p.do(t, http.MethodGet, "/api/v1/groups"+strings.TrimPrefix(path, "/metrics"), "")
	if a.status == http.StatusNotFound {
		return nil
	}
	var found struct{ Data *groupInfo }
	if err := json.Unmarshal([]byte(a.body), &found); err != nil || found.Data == nil {
		t.Fatalf("%s: %d %s %v", path, a.status, a.body, err)
	}
	return found.Data
}

// ttl says how long after its last push the group ends; "never", or "none" where
// there is no group. Where only rejections are known, it is about.
func (g *groupInfo) ttl() string {
	switch {
	case g == nil:
		return "none"
	case g.ExpiresAt == nil:
		return "never"
	case g.LastPush == nil:
		return g.ExpiresAt.Sub(*g.LastFailure).Round(time.Second).String()
	}
	return g.ExpiresAt.Sub(*g.LastPush).String()
}

// pushedTo returns the samples of the groups whose job this is, without their push
// times.
func (p *program) pushedTo(t *testing.T, job string) []string {
	t.Helper()
	label := fmt.Sprintf("job=%q", job)
	return slices.DeleteFunc(normalExposition(t, p.get(t, "/metrics")), func(line string) bool {
		return line[0] == '#' || !strings.Contains(line, label) || isPushTime(line[:strings.IndexByte(line, '{')])
	})
}

// wantPushed checks the samples of the groups of one job, each without the labels
// job and instance.
func (p *program) wantPushed(t *testing.T, job string, want ...string) {
	t.Helper()
	bare := strings.NewReplacer(
		fmt.Sprintf(`,instance="",job=%q`, job), "",
		fmt.Sprintf(`{instance="",job=%q,`, job), "{",
		fmt.Sprintf(`{instance="",job=%q}`, job), "")
	var got []string
	for _, line := range p.pushedTo(t, job) {
		got = append(got, bare.Replace(line))
	}
	slices.Sort(got)
	slices.Sort(want)
	wantLines(t, "job "+job, got, want)
}

// optionHeaders has the header that says the same as an option.
var optionHeaders = map[string]string{
	"ttl":        "Pushgateway-TTL",
	"ttl_keep":   "Pushgateway-TTL-Keep",
	"merge":      "Pushgateway-Merge",
	"gauges":     "Pushgateway-Gauges",
	"timestamps": "Pushgateway-Timestamps",
}

// optionWays are the ways in which a push can carry options.
var optionWays = []string{"query", "header", "path", "slashes", "mixed"}

// carry gives options, each as name=value, to a push to the path in one of the
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
	if way == "slashes" { // as of a base URL that ends in one
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
		{[]string{"merge=family"}, []string{`m{a="1"} 1`, `m{a="2"} 2`, "n 3"}, []string{`m{a="2"} 2`, "n 3"}, "5h0m0s", false},
		{[]string{"merge=series"}, []string{`m{a="1"} 1`, `m{a="2"} 2`, "n 3"}, []string{`m{a="1"} 1`, `m{a="2"} 2`, "n 3"}, "5h0m0s", false},
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
			job := fmt.Sprintf("%d-%s", i, way)
			for _, body := range c.bodies {
				name := body[:1]
				path, headers := carry(way, "/metrics/job/"+job, c.options)
				p.push(t, http.MethodPost, path, fmt.Sprintf("# TYPE %s gauge\n%s\n", name, body), headers...)
			}
			p.wantPushed(t, job, c.want...)
			info := p.info(t, "/metrics/job/"+job)
			if got := info.ttl(); got != c.ttl {
				t.Errorf("%v in the %s: the group ends after %s, want %s", c.options, way, got, c.ttl)
			}
			if info.Summed != c.summed {
				t.Errorf("%v in the %s: summed is %v, want %v", c.options, way, info.Summed, c.summed)
			}
		}
	}
	if n := p.own(t, "/metrics", "pushgateway_timestamps_dropped_total"); n != 2*float64(len(optionWays)) {
		t.Errorf("%v timestamps dropped, want %d", n, 2*len(optionWays))
	}
}

// TestOptionsSaidTwice: the same twice is fine, in other words and other places too.
func TestOptionsSaidTwice(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPost, "/with/ttl=60m/merge=sum/ttl=1h/metrics/job/a?ttl=3600s&merge=sum&ttl=1h&no_option=1",
		"# TYPE m gauge\nm 1\n", "Pushgateway-TTL", "1h", "Pushgateway-Merge", "sum")
	if got := p.info(t, "/metrics/job/a"); got.ttl() != "1h0m0s" || !got.Summed {
		t.Errorf("the group ends after %s, summed %v", got.ttl(), got.Summed)
	}
	p.push(t, http.MethodPut, "/with/ttl=1d/metrics/job@base64/Yi9j/x/y", "n 1\n")
	if got := p.info(t, "/metrics/job@base64/Yi9j/x/y").ttl(); got != "24h0m0s" {
		t.Errorf("a group with base64 in its path ends after %s", got)
	}
}

// TestOptionsBehindRoutePrefix: the options come behind the prefix of all paths.
func TestOptionsBehindRoutePrefix(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.route-prefix=/pg")
	p.push(t, http.MethodPut, "/pg/with/ttl=1h/metrics/job/a", "m 1\n")
	if a := p.do(t, http.MethodPut, "/with/ttl=1h/pg/metrics/job/a", "m 2\n"); a.status != http.StatusNotFound {
		t.Errorf("options before the route prefix: status %d, want 404", a.status)
	}
	wantText(t, p.get(t, "/pg/metrics"), `m{instance="",job="a"} 1`)
	wantText(t, p.get(t, "/pg/api/v1/groups"), `"expires_at":"`)
}

// TestOptionsRejected: a push whose options are wrong changes nothing, not even the
// time of the group's last failure.
func TestOptionsRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/kept", "# TYPE m gauge\nm 1\n")
	before := p.exposedGroup(t, "kept")
	const path = "/metrics/job/kept"
	long := strings.Repeat("k", 129)
	cases := []struct {
		method, path string
		headers      []string
		because      []string
	}{
		// Another value.
		{"POST", path + "?ttl=1h&ttl=2h", nil, []string{"ttl", "1h", "2h"}},
		{"POST", path + "?ttl=1h", []string{"Pushgateway-TTL", "2h"}, []string{"ttl=1h in the query", "ttl=2h in the header"}},
		{"POST", "/with/merge=sum" + path + "?merge=series", nil, []string{"merge=series in the query", "merge=sum in the path"}},
		{"POST", "/with/merge=sum/merge=group" + path, nil, []string{"merge=sum", "merge=group"}},
		{"POST", "/with/merge=sum/gauges=min" + path, []string{"Pushgateway-Gauges", "max"}, []string{"gauges"}},
		{"POST", path + "?timestamps=reject", []string{"Pushgateway-Timestamps", "drop"}, []string{"timestamps"}},
		{"POST", path, []string{"Pushgateway-TTL", "1h", "Pushgateway-TTL", "2h"}, []string{"ttl"}},
		// None that is known.
		{"POST", path, []string{"Pushgateway-Tll", "1h"}, []string{"Pushgateway-Tll", "Pushgateway-TTL"}},
		{"POST", path, []string{"Pushgateway-Ttlkeep", "push_time"}, []string{"Pushgateway-Ttlkeep"}},
		{"POST", "/with/tll=1h" + path, nil, []string{"tll", "ttl"}},
		{"POST", "/with/ttl=1h/x=" + path, nil, []string{"x="}},
		// A value that is none.
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
		// Gauges that are not added up.
		{"POST", path + "?gauges=max", nil, []string{"gauges", "merge=sum"}},
		{"POST", path + "?gauges=last&merge=series", nil, []string{"gauges=last", "merge=series"}},
		{"PUT", path + "?gauges=max&merge=group", nil, []string{"gauges=max", "merge=group"}},
		{"PUT", path, []string{"Pushgateway-Gauges", "sum"}, []string{"gauges"}},
		// What does not fit PUT.
		{"PUT", path + "?merge=sum", nil, []string{"merge=sum", "PUT", "POST"}},
		{"PUT", path, []string{"Pushgateway-Merge", "family"}, []string{"merge=family", "POST"}},
		{"PUT", "/with/merge=series" + path, nil, []string{"merge=series", "POST"}},
		{"PUT", "/with/merge=sum/gauges=sum" + path, nil, []string{"merge=sum", "POST"}},
		// A key that is none.
		{"POST", path, []string{"Idempotency-Key", long}, []string{"Idempotency-Key", "129", "128"}},
		{"POST", path, []string{"Idempotency-Key", ""}, []string{"Idempotency-Key"}},
		{"POST", path, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, []string{"Idempotency-Key"}},
	}
	for i, c := range cases {
		for _, path := range []string{c.path, strings.Replace(c.path, "/job/kept", "/job/new", 1)} {
			a, _, err := p.request(c.method, path, "# TYPE m gauge\nm 2\n", c.headers...)
			if err != nil {
				t.Fatal(err)
			}
			if a.status != http.StatusBadRequest {
				t.Errorf("case %d, %s %s %v: status %d, want 400: %s", i, c.method, path, c.headers, a.status, a.body)
			}
			wantText(t, a.body, c.because...)
		}
	}
	if got := p.rejections(t, "option"); got != 2*float64(len(cases)) {
		t.Errorf("%v pushes counted as rejected for their options, want %d", got, 2*len(cases))
	}
	if after := p.exposedGroup(t, "kept"); after != before {
		t.Errorf("the group is\n%s\nbefore it was\n%s", after, before)
	}
	if p.info(t, "/metrics/job/new") != nil {
		t.Error("a rejected push made a group")
	}
	p.push(t, http.MethodPut, path+"?merge=group", "# TYPE m gauge\nm 3\n", "Idempotency-Key", long[1:])
	p.wantPushed(t, "kept", "m 3")
}

// exposedGroup returns the samples of one job as they are exposed, push times
// included.
func (p *program) exposedGroup(t *testing.T, job string) string {
	t.Helper()
	var group strings.Builder
	for line := range strings.Lines(p.get(t, "/metrics")) {
		if strings.Contains(line, fmt.Sprintf("job=%q", job)) {
			group.WriteString(line)
		}
	}
	return group.String()
}

// TestNoOptionsInPath: what follows /with/ and is no option gets a hint.
func TestNoOptionsInPath(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, path := range []string{
		"/with/nonsense/metrics/job/a", "/with/ttl=1h/nonsense/metrics/job/a", "/with/ttl=1h", "/with/ttl=1h/", "/with/ttl=1h/status",
	} {
		a := p.do(t, http.MethodPut, path, "m 1\n")
		if a.status != http.StatusNotFound {
			t.Errorf("%s: status %d, want 404", path, a.status)
		}
		wantText(t, a.body, "name=value", "/metrics/job/", "/api/v1/push")
	}
	if got := p.pushed(t); got != "" {
		t.Errorf("pushed is\n%s", got)
	}
}

// TestDeleteAndOptions: options in the query of a DELETE are a mistake; those that a
// client has for all its requests mean nothing.
func TestDeleteAndOptions(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a"
	again := func() { p.push(t, http.MethodPut, path, "m 1\n") }
	again()
	for _, query := range []string{"ttl=1h", "ttl_keep=push_time", "merge=sum", "merge=group", "timestamps=drop", "ttl=nonsense"} {
		a := p.do(t, http.MethodDelete, path+"?"+query, "")
		if a.status != http.StatusBadRequest {
			t.Errorf("DELETE with %s: status %d, want 400: %s", query, a.status, a.body)
		}
		p.wantPushed(t, "a", "m 1")
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
		again()
		if a := p.do(t, http.MethodDelete, c.path, "", c.headers...); a.status != http.StatusAccepted {
			t.Errorf("DELETE %s %v: status %d, want 202: %s", c.path, c.headers, a.status, a.body)
		}
		p.wantPushed(t, "a")
	}
}

// rulesFile writes a file of rules and returns its path.
func rulesFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yml")
	writeFile(t, path, []byte("rules:\n"+strings.Join(lines, "\n")+"\n"))
	return path
}

// TestTimestamps: dropped where the push, a rule or the flag says so, in this order,
// and rejected otherwise.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	const body = "# TYPE m gauge\nm{a=\"1\"} 1 1700000000000\nm{a=\"2\"} 2 1700000000000\nm{a=\"3\"} 3\n"
	rules := rulesFile(t,
		`- {match: '{job="drop"}', timestamps: drop}`,
		`- {match: '{job="reject"}', timestamps: reject}`)
	for _, c := range []struct {
		flags []string
		taken map[string]bool // by job and query
	}{
		{nil, map[string]bool{"a": false, "b?timestamps=drop": true, "c?timestamps=reject": false}},
		{[]string{"--push.timestamps=reject", "--config.file=" + rules}, map[string]bool{
			"a": false, "drop": true, "reject": false, "drop?timestamps=reject": false, "reject?timestamps=drop": true,
		}},
		{[]string{"--push.timestamps=drop", "--config.file=" + rules}, map[string]bool{
			"a": true, "drop": true, "reject": false, "b?timestamps=reject": false, "reject?timestamps=drop": true,
		}},
	} {
		p := start(t, c.flags...)
		taken, rejected := 0, 0
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			for target, take := range c.taken {
				want := http.StatusBadRequest
				if take {
					taken++
					want = http.StatusOK
				} else {
					rejected++
				}
				if a := p.do(t, method, "/metrics/job/"+target, body); a.status != want {
					t.Errorf("%v %s %s: status %d, want %d: %s", c.flags, method, target, a.status, want, a.body)
				}
				if job, _, _ := strings.Cut(target, "?"); take {
					p.wantPushed(t, job, `m{a="1"} 1`, `m{a="2"} 2`, `m{a="3"} 3`)
				}
			}
		}
		if got := p.own(t, "/metrics", "pushgateway_timestamps_dropped_total"); got != 2*float64(taken) {
			t.Errorf("%v: %v timestamps counted as dropped, want %d", c.flags, got, 2*taken)
		}
		if got := p.rejections(t, "timestamp"); got != float64(rejected) {
			t.Errorf("%v: %v pushes counted as rejected, want %d", c.flags, got, rejected)
		}
	}
}

// TestOwnMetricsPath: the gateway's own metrics go to a path of their own, and their
// names are free for pushes.
func TestOwnMetricsPath(t *testing.T) {
	t.Parallel()
	const body = "# TYPE go_goroutines counter\ngo_goroutines 7\n" +
		"# TYPE pushgateway_groups gauge\npushgateway_groups 42\n" +
		"# TYPE pushgateway_pushes_rejected_total histogram\npushgateway_pushes_rejected_total_bucket{le=\"+Inf\"} 1\npushgateway_pushes_rejected_total_sum 1\npushgateway_pushes_rejected_total_count 1\n"
	start(t).rejected(t, http.MethodPut, "/metrics/job/a", body, "go_goroutines", "own metrics")

	p := start(t, "--web.own-metrics-path=/own", "--web.route-prefix=/pg", "--config.file="+rulesFile(t))
	p.push(t, http.MethodPut, "/pg/metrics/job/a", body)
	pushed, own := p.get(t, "/pg/metrics"), p.get(t, "/pg/own")
	wantText(t, pushed, "# TYPE go_goroutines counter\n", `go_goroutines{instance="",job="a"} 7`, `pushgateway_groups{instance="",job="a"} 42`)
	for line := range strings.Lines(pushed) {
		if line[0] != '#' && !strings.Contains(line, `job="a"`) {
			t.Errorf("not pushed, but beside what was: %s", line)
		}
	}
	wantText(t, own, "# TYPE go_goroutines gauge\n", "\npushgateway_groups 1\n", "\nprocess_start_time_seconds ", "\npushgateway_build_info{",
		"\npushgateway_pushes_rejected_total{reason=\"option\"} 0\n", "\npushgateway_groups_expired_total 0\n", "\npushgateway_pushes_replayed_total 0\n",
		"\npushgateway_timestamps_dropped_total 0\n", "\npushgateway_config_last_reload_successful 1\n", "\npushgateway_config_last_reload_success_timestamp_seconds ")
	if strings.Contains(own, `job="a"`) {
		t.Errorf("pushed metrics are among the own ones:\n%s", own)
	}
	if a := p.do(t, http.MethodGet, "/own", ""); a.status != http.StatusNotFound {
		t.Errorf("own metrics without the route prefix: status %d, want 404", a.status)
	}
	if a := p.do(t, http.MethodPut, "/pg/own", ""); a.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT to the own metrics: status %d, want 405", a.status)
	}

	for _, path := range []string{"/metrics", "metrics/", "/", "/-/ready", "/status", "/api/v1/metrics", "/api/v1/push", "/metrics/job/a", "/groups/x", "/static/own", "/debug/pprof/own"} {
		wantText(t, rejects(t, "--web.listen-address=127.0.0.1:0", "--web.own-metrics-path="+path), strings.Trim(path, "/"), "own metrics", "taken")
	}
	wantText(t, rejects(t, "--web.listen-address=127.0.0.1:0", "--web.own-metrics-path=/x", "--web.telemetry-path=/x"), "/x", "taken")
	elsewhere := start(t, "--web.own-metrics-path=/metrics", "--web.telemetry-path=/pushed")
	wantText(t, elsewhere.get(t, "/metrics"), "pushgateway_groups 0\n")
	if got := elsewhere.get(t, "/pushed"); got != "" {
		t.Errorf("exposed though nothing was pushed:\n%s", got)
	}
}

// TestMergeSeries: series with the same labels are replaced, the others stay.
func TestMergeSeries(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a?merge=series"
	p.push(t, http.MethodPut, "/metrics/job/a", "# HELP m Much.\n# TYPE m gauge\nm{a=\"1\"} 1\nm{a=\"2\"} 2\nm{a=\"3\",b=\"x\"} 3\n# TYPE n counter\nn 1\n")
	p.push(t, http.MethodPost, path, "# TYPE m gauge\nm{a=\"2\"} 20\nm{a=\"4\"} 40\nm 50\n# TYPE s summary\ns_sum 1\ns_count 1\n")
	p.wantPushed(t, "a", "m 50", `m{a="1"} 1`, `m{a="2"} 20`, `m{a="3",b="x"} 3`, `m{a="4"} 40`, "n 1", "s_count 1", "s_sum 1")
	wantText(t, p.get(t, "/metrics"), "# HELP m Much.\n")

	// Of a family only one type can be exposed.
	p.rejected(t, http.MethodPost, path, "# TYPE m counter\nm{a=\"9\"} 9\n# TYPE n counter\nn 2\n", "m", "counter", "gauge")
	if got := p.rejections(t, "type_conflict"); got != 1 {
		t.Errorf("%v conflicts of types counted, want 1", got)
	}
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected push left no trace in the group's failure time")
	}
	p.wantPushed(t, "a", "m 50", `m{a="1"} 1`, `m{a="2"} 20`, `m{a="3",b="x"} 3`, `m{a="4"} 40`, "n 1", "s_count 1", "s_sum 1")

	// Where nothing of it stays, the type can be another.
	p.push(t, http.MethodPost, "/metrics/job/a", "# TYPE m counter\nm{a=\"1\"} 9\n")
	p.wantPushed(t, "a", `m{a="1"} 9`, "n 1", "s_count 1", "s_sum 1")
	// Other groups have series of their own.
	p.push(t, http.MethodPost, "/metrics/job/b?merge=series", "# TYPE m counter\nm{a=\"1\"} 100\n")
	p.wantPushed(t, "b", `m{a="1"} 100`)
	p.wantPushed(t, "a", `m{a="1"} 9`, "n 1", "s_count 1", "s_sum 1")
}

// sumOfTypes is what one process pushes, and sumOfOthers what another does.
const (
	sumOfTypes = `# HELP c_total Counted.
# TYPE c_total counter
c_total{code="200"} 9007199254740000
c_total{code="404"} 2
# TYPE g gauge
g 5
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="2"} 3
h_bucket{le="+Inf"} 4
h_sum 10.5
h_count 4
# TYPE s summary
s{quantile="0.5"} 4
s_sum 12
s_count 3
`
	sumOfOthers = `# TYPE c_total counter
c_total{code="200"} 991
c_total{code="500"} 1
# TYPE g gauge
g 3
# TYPE h histogram
h_bucket{le="1"} 4
h_bucket{le="3"} 5
h_bucket{le="+Inf"} 5
h_sum 4.5
h_count 5
# TYPE s summary
s{quantile="0.5"} 1
s{quantile="0.9"} 2
s_sum 8
s_count 2
# TYPE only gauge
only 1
`
)

// TestSumOfTypes adds up all types of the text format.
func TestSumOfTypes(t *testing.T) {
	t.Parallel()
	p := start(t)
	for gauges, g := range map[string]string{"last": "3", "sum": "8", "min": "3", "max": "5", "": "3"} {
		path := "/metrics/job/" + gauges + "-gauges?merge=sum"
		if gauges != "" {
			path += "&gauges=" + gauges
		}
		p.push(t, http.MethodPost, path, sumOfTypes)
		p.wantPushed(t, gauges+"-gauges", `c_total{code="200"} 9.00719925474e+15`, `c_total{code="404"} 2`, "g 5",
			`h_bucket{le="1"} 1`, `h_bucket{le="2"} 3`, `h_bucket{le="+Inf"} 4`, "h_sum 10.5", "h_count 4", "s_sum 12", "s_count 3")
		p.push(t, http.MethodPost, path, sumOfOthers)
		p.wantPushed(t, gauges+"-gauges",
			`c_total{code="200"} 9.007199254740991e+15`, `c_total{code="404"} 2`, `c_total{code="500"} 1`, "g "+g,
			`h_bucket{le="1"} 5`, `h_bucket{le="2"} 7`, `h_bucket{le="3"} 8`, `h_bucket{le="+Inf"} 9`, "h_sum 15", "h_count 9",
			"s_sum 20", "s_count 5", "only 1")
	}
	wantText(t, p.get(t, "/metrics"), "# HELP c_total Counted.\n")
}

// TestSumRejected: what cannot be added up is rejected with what came with it.
func TestSumRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a?merge=sum"
	p.push(t, http.MethodPost, path, sumOfTypes)
	before := p.pushedTo(t, "a")
	cases := []struct {
		reason, family string
		because        []string
	}{
		{"merge", "u 1\n", []string{"u", "untyped", "TYPE"}},
		{"merge", "# TYPE u untyped\nu 1\n", []string{"u", "untyped"}},
		{"value", "# TYPE bad counter\nbad -1\n", []string{"bad", "-1"}},
		{"value", "# TYPE bad counter\nbad NaN\n", []string{"bad", "NaN"}},
		{"type_conflict", "# TYPE g counter\ng 1\n", []string{"g", "counter", "gauge"}},
		{"value", "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n", []string{"h", `le="2"`}},
		{"value", "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 3\n", []string{"h", "count"}},
	}
	want := map[string]float64{}
	for _, c := range cases {
		p.rejected(t, http.MethodPost, path, "# TYPE c_total counter\nc_total{code=\"200\"} 1\n"+c.family, c.because...)
		want[c.reason]++
		wantLines(t, "the group after "+c.family, p.pushedTo(t, "a"), before)
	}
	for reason, n := range want {
		if got := p.rejections(t, reason); got != n {
			t.Errorf("%v pushes counted as rejected for the reason %s, want %v", got, reason, n)
		}
	}
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected pushes left no trace in the group's failure time")
	}
}

// TestSummedOrReplaced: a group is one or the other, and whoever wants the other is
// told how to get there.
func TestSummedOrReplaced(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n"
	sum := func(job string) string { return "/metrics/job/" + job + "?merge=sum" }
	p := start(t)
	wantSummed := func(job string, want bool) {
		t.Helper()
		if got := p.info(t, "/metrics/job/"+job).Summed; got != want {
			t.Errorf("group %s: summed is %v, want %v", job, got, want)
		}
	}

	// From replaced to summed, by a delete.
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	wantSummed("a", false)
	p.rejected(t, http.MethodPost, sum("a"), one, "merge=sum", "DELETE", "/metrics/job/a", "PUT")
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected push left no trace in the group's failure time")
	}
	p.wantPushed(t, "a", "c 1")
	if a := p.do(t, http.MethodDelete, "/metrics/job/a", ""); a.status != http.StatusAccepted {
		t.Fatalf("DELETE: %d %s", a.status, a.body)
	}
	p.push(t, http.MethodPost, sum("a"), one)
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 2")
	wantSummed("a", true)

	// Nothing is to replace a part of sums.
	for _, merge := range []string{"", "?merge=family", "?merge=series"} {
		p.rejected(t, http.MethodPost, "/metrics/job/a"+merge, one, "merge=sum", "PUT", "delete")
		p.rejected(t, http.MethodPost, "/metrics/job/a"+merge, "# TYPE other counter\nother 1\n", "merge=sum")
	}
	p.wantPushed(t, "a", "c 2")
	if got := p.rejections(t, "merge"); got != 7 {
		t.Errorf("%v pushes counted as rejected for the reason merge, want 7", got)
	}

	// A push of nothing touches the time, and nothing else.
	for _, merge := range []string{"", "?merge=family", "?merge=series", "?merge=sum"} {
		before := *p.info(t, "/metrics/job/a").LastPush
		p.push(t, http.MethodPost, "/metrics/job/a"+merge, "")
		if after := *p.info(t, "/metrics/job/a").LastPush; !after.After(before) {
			t.Errorf("an empty push %s left the push time at %v", merge, after)
		}
		wantSummed("a", true)
		p.wantPushed(t, "a", "c 2")
	}
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 3")

	// From summed to replaced, by PUT, or by POST that means the same.
	p.push(t, http.MethodPut, "/metrics/job/a", "# TYPE c counter\nc 7\n")
	p.wantPushed(t, "a", "c 7")
	wantSummed("a", false)
	p.rejected(t, http.MethodPost, sum("a"), one, "merge=sum")
	p.push(t, http.MethodPost, "/metrics/job/a", one)
	p.push(t, http.MethodPost, "/metrics/job/b?merge=sum", one)
	p.push(t, http.MethodPost, "/metrics/job/b?merge=group", one)
	wantSummed("b", false)

	// And to summed again, by an empty PUT.
	p.push(t, http.MethodPut, "/metrics/job/a", "")
	p.push(t, http.MethodPost, sum("a"), one)
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 2")

	// A group whose first push was rejected is neither.
	p.rejected(t, http.MethodPut, "/metrics/job/new", "new 1 1700000000000\n")
	p.push(t, http.MethodPost, sum("new"), one)
	p.wantPushed(t, "new", "c 1")
}

// TestEmptySumToReplacedGroup: a push of nothing cannot make sums of values that were
// pushed otherwise.
func TestEmptySumToReplacedGroup(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n"
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.push(t, http.MethodPost, "/metrics/job/a?merge=sum", "")
	if p.info(t, "/metrics/job/a").Summed {
		t.Error("the group counts as summed since a push of nothing")
	}
	p.push(t, http.MethodPost, "/metrics/job/a", one)
	p.rejected(t, http.MethodPost, "/metrics/job/a?merge=sum", one, "merge=sum")
	p.wantPushed(t, "a", "c 1")
}

// TestRuleHasPutAddUp: by a rule clients that know nothing of it add up, whatever
// their method.
func TestRuleHasPutAddUp(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 1\n"
	const two = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 0\n"
	p := start(t, "--config.file="+rulesFile(t,
		`- {match: '{job=~"sum.*"}', merge: sum, gauges: max}`,
		`- {match: '{job="series"}', merge: series}`,
		`- {match: '{job=~"s.*"}', merge: group}`, // comes too late
		`- {match: '{job="gone"}', merge: group}`,
	))
	p.push(t, http.MethodPut, "/metrics/job/sum", one)
	p.push(t, http.MethodPut, "/metrics/job/sum", two)
	p.push(t, http.MethodPost, "/metrics/job/sum", two)
	p.wantPushed(t, "sum", "c 3", "g 1")
	p.push(t, http.MethodPut, "/metrics/job/sum?gauges=last", two) // goes with the rule's merge
	p.wantPushed(t, "sum", "c 4", "g 0")
	p.push(t, http.MethodPut, "/metrics/job/sum", "")
	p.wantPushed(t, "sum", "c 4", "g 0")

	// What it says itself stands above. Then PUT begins the sum anew.
	p.push(t, http.MethodPut, "/metrics/job/sum?merge=group", one)
	p.wantPushed(t, "sum", "c 1", "g 1")
	p.push(t, http.MethodPost, "/metrics/job/sum?merge=family", "# TYPE c counter\nc 5\n")
	p.wantPushed(t, "sum", "c 5", "g 1")
	p.rejected(t, http.MethodPost, "/metrics/job/sum", one, "merge=sum", "PUT")
	p.push(t, http.MethodPut, "/metrics/job/sum", "# TYPE c counter\nc 10\n")
	p.wantPushed(t, "sum", "c 10")
	p.push(t, http.MethodPut, "/metrics/job/sum", one)
	p.wantPushed(t, "sum", "c 11", "g 1")

	p.rejected(t, http.MethodPut, "/metrics/job/series?gauges=max", "x 1\n", "gauges")
	p.push(t, http.MethodPost, "/metrics/job/gone", "x 1\n")
	p.push(t, http.MethodPost, "/metrics/job/gone", "y 1\n")
	p.wantPushed(t, "gone", "y 1")
}

// TestRuleHasPutMergeSeries: a rule's merge=series counts for PUT as well.
func TestRuleHasPutMergeSeries(t *testing.T) {
	t.Parallel()
	p := start(t, "--config.file="+rulesFile(t, `- {match: '{job="series"}', merge: series}`, `- {match: '{job="family"}', merge: family}`))
	for _, line := range []string{`m{a="1"} 1`, `m{a="2"} 2`, `n 3`} {
		p.push(t, http.MethodPut, "/metrics/job/series", line+"\n")
		p.push(t, http.MethodPut, "/metrics/job/family", line+"\n")
	}
	p.wantPushed(t, "series", `m{a="1"} 1`, `m{a="2"} 2`, `n 3`)
	p.wantPushed(t, "family", `m{a="2"} 2`, `n 3`)
}

// TestIdempotencyKey: a push that was applied and is sent again is answered as
// before, and adds nothing.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	p := start(t)
	const one = "# TYPE c counter\nc 1\n"
	repeats := 0
	push := func(method, path, body, key string, want int, repeated bool) {
		t.Helper()
		a, header, err := p.request(method, path, body, "Idempotency-Key", key)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != want {
			t.Errorf("%s %s with key %s: status %d, want %d: %s", method, path, key, a.status, want, a.body)
		}
		if got := header.Get("Idempotency-Replayed") == "true"; got != repeated {
			t.Errorf("%s %s with key %s: replayed is %v, want %v", method, path, key, got, repeated)
		}
		if repeated {
			repeats++
		}
	}
	const a, b = "/metrics/job/a?merge=sum", "/metrics/job/b?merge=sum"
	push("POST", a, one, "k1", 200, false)
	before := p.exposedGroup(t, "a")
	push("POST", a, one, "k1", 200, true)
	push("POST", a, "# TYPE other counter\nother 1\n", "k1", 200, true) // the body is not looked at
	if after := p.exposedGroup(t, "a"); after != before {
		t.Errorf("after a repeat the group is\n%s\nbefore it was\n%s", after, before)
	}
	push("POST", b, one, "k1", 200, false) // another group
	push("POST", a, one, "k2", 200, false)
	push("POST", a, one, "k1", 200, true)
	p.wantPushed(t, "a", "c 2")
	p.wantPushed(t, "b", "c 1")

	// A rejected one is not remembered.
	push("POST", a, "# TYPE c counter\nc -1\n", "k3", 400, false)
	push("POST", a, "# TYPE c counter\nc -1\n", "k3", 400, false)
	push("POST", a, one, "k3", 200, false)
	push("POST", a, one, "k3", 200, true)
	p.wantPushed(t, "a", "c 3")

	// Replacing keeps the keys, deleting does not.
	push("PUT", "/metrics/job/a", "# TYPE c counter\nc 9\n", "k4", 200, false)
	p.push(t, http.MethodPut, "/metrics/job/a", "# TYPE c counter\nc 10\n")
	push("PUT", "/metrics/job/a", "# TYPE c counter\nc 9\n", "k4", 200, true)
	push("POST", a, one, "k1", 200, true)
	p.wantPushed(t, "a", "c 10")
	p.do(t, http.MethodDelete, "/metrics/job/a", "")
	push("POST", a, one, "k1", 200, false)
	p.wantPushed(t, "a", "c 1")

	// The last thousand keys of a group are known.
	for i := range 999 {
		push("POST", a, one, fmt.Sprintf("n%d", i), 200, false)
	}
	push("POST", a, one, "k1", 200, true)
	push("POST", a, one, "n999", 200, false)
	push("POST", a, one, "n0", 200, true)
	p.wantPushed(t, "a", "c 1001")
	push("POST", a, one, "k1", 200, false)
	p.wantPushed(t, "a", "c 1002")

	if got := p.own(t, "/metrics", "pushgateway_pushes_replayed_total"); got != float64(repeats) {
		t.Errorf("%v pushes counted as repeated, want %d", got, repeats)
	}
}

// scrapeProtobuf returns the families that a scraper of protobuf gets, by name.
func (p *program) scrapeProtobuf(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	decoder := expfmt.NewDecoder(strings.NewReader(p.get(t, "/metrics", "Accept", string(format))), format)
	families := map[string]*dto.MetricFamily{}
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = &f
	}
}

// histogramText writes down what a histogram has counted, whatever the layout.
func histogramText(t *testing.T, h *dto.Histogram) string {
	t.Helper()
	if h == nil {
		t.Fatal("there is no histogram")
	}
	text := fmt.Sprintf("count=%v sum=%v", float64(h.GetSampleCount())+h.GetSampleCountFloat(), h.GetSampleSum())
	for _, b := range h.GetBucket() {
		text += fmt.Sprintf(" le%v=%v", b.GetUpperBound(), float64(b.GetCumulativeCount())+b.GetCumulativeCountFloat())
	}
	text += fmt.Sprintf(" schema=%d zero(%v)=%v", h.GetSchema(), h.GetZeroThreshold(), float64(h.GetZeroCount())+h.GetZeroCountFloat())
	for _, side := range []struct {
		name   string
		spans  []*dto.BucketSpan
		deltas []int64
		counts []float64
	}{
		{"-", h.GetNegativeSpan(), h.GetNegativeDelta(), h.GetNegativeCount()},
		{"+", h.GetPositiveSpan(), h.GetPositiveDelta(), h.GetPositiveCount()},
	} {
		index, at, count := int32(0), 0, 0.0
		for _, span := range side.spans {
			index += span.GetOffset()
			for range span.GetLength() {
				if len(side.counts) > 0 {
					count = side.counts[at]
				} else {
					count += float64(side.deltas[at])
				}
				if count != 0 {
					text += fmt.Sprintf(" %s%d=%v", side.name, index, count)
				}
				index++
				at++
			}
		}
	}
	return text
}

// TestSumOfClients adds up what the processes of an official client library observed,
// and compares it with one process that observed everything.
func TestSumOfClients(t *testing.T) {
	t.Parallel()
	p := start(t)
	native := func(name string, factor float64, classic ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: "Help.", NativeHistogramBucketFactor: factor, Buckets: classic})
	}
	histograms := func(factor float64) []prometheus.Histogram {
		return []prometheus.Histogram{
			native("native", factor),
			native("both", factor, 1, 4, 16),
			prometheus.NewHistogram(prometheus.HistogramOpts{Name: "classic", Help: "Help.", Buckets: []float64{-1, 0, 8, 64}}),
		}
	}
	newCounter := func() prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "c_total", Help: "Help."})
	}
	newSummary := func() prometheus.Summary {
		return prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Help: "Help.", Objectives: map[float64]float64{0.5: 0.1}})
	}
	whole := histograms(2)

	var firstCreated, lastExemplar time.Time
	for process, factor := range []float64{1.1, 2, 1.01, 1.5} {
		parts := histograms(factor)
		counter, summary := newCounter(), newSummary()
		for i := range 40 {
			v := float64((i*7919+process*31)%113 - 37)
			for k := range parts {
				parts[k].Observe(v)
				whole[k].Observe(v)
			}
			summary.Observe(v)
		}
		counter.(prometheus.ExemplarAdder).AddWithExemplar(float64(process+1), prometheus.Labels{"process": strconv.Itoa(process)})
		pusher := push.New(p.URL+"/with/merge=sum", "clients").Collector(counter).Collector(summary)
		for _, h := range parts {
			pusher.Collector(h)
		}
		if err := pusher.Add(); err != nil {
			t.Fatal(err)
		}
		written := &dto.Metric{}
		if err := counter.Write(written); err != nil {
			t.Fatal(err)
		}
		if process == 0 {
			firstCreated = written.GetCounter().GetCreatedTimestamp().AsTime()
		}
		lastExemplar = written.GetCounter().GetExemplar().GetTimestamp().AsTime()
	}

	got := p.scrapeProtobuf(t)
	one := func(name string) *dto.Metric {
		t.Helper()
		if metrics := got[name].GetMetric(); len(metrics) == 1 {
			return metrics[0]
		}
		t.Fatalf("%s is %v, want one metric", name, got[name])
		return nil
	}
	for i, name := range []string{"native", "both", "classic"} {
		want := &dto.Metric{}
		if err := whole[i].Write(want); err != nil {
			t.Fatal(err)
		}
		wantText := histogramText(t, want.GetHistogram())
		is := histogramText(t, one(name).GetHistogram())
		// A library leaves the bucket that holds everything to the format.
		is = strings.Replace(is, " le+Inf=160", "", 1)
		if is != wantText {
			t.Errorf("%s: the sum is\n%s\nbut all observations are\n%s", name, is, wantText)
		}
	}
	counter := one("c_total").GetCounter()
	if counter.GetValue() != 1+2+3+4 {
		t.Errorf("the counter is %v, want 10", counter.GetValue())
	}
	if e := counter.GetExemplar(); len(e.GetLabel()) != 1 || e.GetLabel()[0].GetValue() != "3" || !e.GetTimestamp().AsTime().Equal(lastExemplar) {
		t.Errorf("the exemplar is %v, want the last one pushed", e)
	}
	if created := counter.GetCreatedTimestamp().AsTime(); !created.Equal(firstCreated) {
		t.Errorf("created at %v, want the earliest time, %v", created, firstCreated)
	}
	summary := one("s").GetSummary()
	if summary.GetSampleCount() != 160 || len(summary.GetQuantile()) != 0 {
		t.Errorf("the summary is %v, want 160 observations and no quantiles", summary)
	}
	if !p.info(t, "/metrics/job/clients").Summed {
		t.Error("the group does not count as summed")
	}

	// Classic and native ones do not mix.
	only := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native", Help: "Help.", Buckets: []float64{1}})
	only.Observe(1)
	err := push.New(p.URL+"/with/merge=sum", "clients").Collector(only).Add()
	if err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "classic") {
		t.Errorf("a classic histogram added to a native one: %v", err)
	}
}
