package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// bulkPath takes bulk pushes: one request pushes to many groups.
const bulkPath = "/api/v1/push?group_by=job,instance"

// bulkAnswer is the answer to a bulk push.
type bulkAnswer struct {
	Status    string
	ErrorType string
	Error     string
	Data      *struct {
		Applied, Rejected int
		Groups            []struct {
			Labels                       map[string]string
			Path, State, Reason, Message string
		}
	}

	code   int
	header http.Header
}

// pushBulk sends a bulk push.
func (p *program) pushBulk(t *testing.T, path, body string, headers ...string) bulkAnswer {
	t.Helper()
	a := p.do(t, http.MethodPost, path, body, headers...)
	out := bulkAnswer{code: a.status, header: a.header}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("POST %s: %d %q: %v", path, a.status, a.body, err)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("POST %s: Content-Type %q", path, got)
	}
	return out
}

// want checks the state of each group, in order: its state, the reason if it was
// rejected, and its path.
func (a bulkAnswer) want(t *testing.T, code int, groups ...string) {
	t.Helper()
	if a.code != code {
		t.Errorf("status %d, want %d: %s", a.code, code, a.Error)
	}
	var got []string
	applied := 0
	for _, g := range a.Data.Groups {
		line := g.State + " " + g.Path
		if g.Reason != "" {
			line = g.State + " for " + g.Reason + " " + g.Path
		}
		got = append(got, line)
		if g.State == "applied" || g.State == "replayed" {
			applied++
		} else if g.Message == "" {
			t.Errorf("%s without a message", line)
		}
	}
	wantLines(t, "the answer", got, groups)
	if a.Data.Applied != applied || a.Data.Rejected != len(groups)-applied {
		t.Errorf("%d applied and %d rejected, but the list has %d and %d", a.Data.Applied, a.Data.Rejected, applied, len(groups)-applied)
	}
	success := applied > 0 || len(groups) == 0
	if success != (a.Status == "success") {
		t.Errorf("status %q", a.Status)
	}
	if success != (a.Error == "" && a.ErrorType == "") {
		t.Errorf("errorType %q, error %q", a.ErrorType, a.Error)
	}
}

// TestBulkGroups: each metric goes to the group that its labels name; the answer
// lists the groups in the order of their first metrics.
func TestBulkGroups(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/b/instance/1", "stays 1\n")
	a := p.pushBulk(t, bulkPath, `
# TYPE m gauge
m{job="b",instance="1",x="y"} 1
m{job="a",instance="2"} 2
m{instance="1",job="b",x="z"} 3
# TYPE n gauge
n{job="a"} 4
n{job="c",instance=""} 5
# TYPE o gauge
o{job="a",instance="d/e",other="f"} 6
o{job="a",instance="2"} 7
`)
	a.want(t, http.StatusOK, "applied /metrics/job/b/instance/1", "applied /metrics/job/a/instance/2",
		"applied /metrics/job/a", "applied /metrics/job/c", "applied /metrics/job/a/instance@base64/ZC9l")
	for i, labels := range []map[string]string{
		{"job": "b", "instance": "1"}, {"job": "a", "instance": "2"}, {"job": "a"}, {"job": "c"}, {"job": "a", "instance": "d/e"},
	} {
		if g := a.Data.Groups[i]; toJSON(t, g.Labels) != toJSON(t, labels) {
			t.Errorf("group %d has the labels %v, want %v", i, g.Labels, labels)
		}
		if p.info(t, a.Data.Groups[i].Path) == nil {
			t.Errorf("there is no group %s", a.Data.Groups[i].Path)
		}
	}
	wantLines(t, "/metrics", withoutTimes(normalExposition(t, p.get(t, "/metrics"))), []string{
		`# TYPE m gauge`, `# TYPE n gauge`, `# TYPE o gauge`, `# TYPE stays untyped`,
		`m{instance="1",job="b",x="y"} 1`, `m{instance="1",job="b",x="z"} 3`, `m{instance="2",job="a"} 2`,
		`n{instance="",job="a"} 4`, `n{instance="",job="c"} 5`,
		`o{instance="2",job="a"} 7`, `o{instance="d/e",job="a",other="f"} 6`,
		`stays{instance="1",job="b"} 1`,
	})

	// group_by can be repeated, and name labels that no metric has.
	p.pushBulk(t, "/api/v1/push?group_by=job&group_by=zone,job&group_by=nobody", "p{job=\"a\",zone=\"n\",instance=\"i\"} 1\n").
		want(t, http.StatusOK, "applied /metrics/job/a/zone/n")
	wantText(t, p.pushed(t), `p{instance="i",job="a",zone="n"} 1`)
	p.pushBulk(t, bulkPath, "").want(t, http.StatusOK)
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		if a := p.do(t, method, bulkPath, ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d, want 405", method, a.status)
		}
	}
}

// withoutTimes removes push times.
func withoutTimes(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "push_") || strings.HasPrefix(line, "# TYPE push_")
	})
}

// TestBulkEqualsOneByOne: a bulk push has the same result as a push to each group.
func TestBulkEqualsOneByOne(t *testing.T) {
	t.Parallel()
	heads := [4]string{"# TYPE c counter\n", "# HELP g Help.\n# TYPE g gauge\n", "# TYPE h histogram\n", "# TYPE s summary\n"}
	atOnce, oneByOne := start(t), start(t)
	for round, merge := range []string{"", "&merge=series", "&merge=group", "&merge=sum"} {
		job := "job"
		if merge == "&merge=sum" {
			job = "summed"
		}
		whole := heads
		for group := range 40 {
			v := group + round
			families := [4]string{
				fmt.Sprintf("c{LABELS} %d\n", v),
				fmt.Sprintf("g{LABELS,x=\"%d\"} %d\ng{x=\"b\",LABELS} 1\n", round, v),
				fmt.Sprintf("h_bucket{LABELS,le=\"1\"} %d\nh_bucket{LABELS,le=\"+Inf\"} %d\n", v, 2*v) +
					fmt.Sprintf("h_sum{LABELS} %d\nh_count{LABELS} %d\n", v, 2*v),
				fmt.Sprintf("s{LABELS,quantile=\"0.5\"} %d\ns_sum{LABELS} %d\ns_count{LABELS} %d\n", v, v, v),
			}
			labels := fmt.Sprintf("job=\"%s%d\",instance=\"%d\"", job, group%7, group)
			own := ""
			for i, family := range families {
				if (group+i)%3 > 0 {
					own += heads[i] + strings.NewReplacer("LABELS,", "", ",LABELS", "", "LABELS", "").Replace(family)
					whole[i] += strings.ReplaceAll(family, "LABELS", labels)
				}
			}
			oneByOne.push(t, http.MethodPost, fmt.Sprintf("/metrics/job/%s%d/instance/%d?%s", job, group%7, group, merge), own)
		}
		a := atOnce.pushBulk(t, bulkPath+merge, strings.Join(whole[:], ""))
		if a.code != http.StatusOK || a.Data.Applied != 40 {
			t.Fatalf("%q: status %d, want 200 and 40 groups applied: %s", merge, a.code, toJSON(t, a.Data))
		}
		wantLines(t, "/metrics after "+merge, normalExposition(t, atOnce.get(t, "/metrics")), normalExposition(t, oneByOne.get(t, "/metrics")))
	}
}

// TestBulkPartlyRejected: a group is applied as a whole or not at all, whatever happens to
// the others.
func TestBulkPartlyRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/stored", "# TYPE used gauge\nused 1\n")
	p.push(t, http.MethodPut, "/metrics/job/old", "# TYPE m gauge\nm 1\n")
	before := p.exposedGroup(t, "stored")
	const fine = `# TYPE m gauge
m{job="first"} 1
m{job="conflict"} 1
m{job="old"} 2
m{job="stamped"} 1
m{job="twice"} 1
m{job="last"} 1
# TYPE n gauge
n{job="stamped"} 1 1700000000000
n{job="twice",a="b"} 1
n{job="twice",a="b"} 2
n{job="old"} 2
n{job="last"} 1
`
	p.pushBulk(t, bulkPath, fine+"# TYPE used counter\nused{job=\"conflict\"} 1\n").want(t, http.StatusMultiStatus,
		"applied /metrics/job/first", "rejected for type_conflict /metrics/job/conflict", "applied /metrics/job/old",
		"rejected for timestamp /metrics/job/stamped", "rejected for duplicate_series /metrics/job/twice", "applied /metrics/job/last")
	p.wantPushed(t, "first", "m 1")
	p.wantPushed(t, "old", "m 2", "n 2")
	p.wantPushed(t, "last", "m 1", "n 1")
	for _, job := range []string{"conflict", "stamped", "twice"} {
		p.wantPushed(t, job)
		if g := p.info(t, "/metrics/job/"+job); g == nil || g.LastFailure == nil || g.LastPush != nil {
			t.Errorf("the rejected group %s is %v, want only its failure time", job, g)
		}
	}
	if after := p.exposedGroup(t, "stored"); after != before {
		t.Errorf("a group that was not pushed to is\n%s\nbefore it was\n%s", after, before)
	}
	for reason, want := range map[string]float64{"type_conflict": 1, "timestamp": 1, "duplicate_series": 1} {
		if got := p.rejections(t, reason); got != want {
			t.Errorf("%v groups counted as rejected for %s, want %v", got, reason, want)
		}
	}

	// All groups are rejected.
	a := p.pushBulk(t, bulkPath, "# TYPE used counter\nused{job=\"x\"} 1\nused{job=\"y\"} 1 1700000000000\n")
	a.want(t, http.StatusBadRequest, "rejected for type_conflict /metrics/job/x", "rejected for timestamp /metrics/job/y")
	if a.ErrorType != "bad_data" {
		t.Errorf("errorType %q, want bad_data", a.ErrorType)
	}
	wantText(t, a.Error, "used", "counter", "gauge")

	// The log has a few of many rejections.
	var b strings.Builder
	b.WriteString("# TYPE used counter\n")
	for i := range 200 {
		fmt.Fprintf(&b, "used{job=\"%d\"} 1\n", i)
	}
	warnings := len(levelWarn.FindAllString(p.log.String(), -1))
	a = p.pushBulk(t, bulkPath, b.String())
	if a.code != http.StatusBadRequest {
		t.Errorf("status %d, want 400", a.code)
	}
	if len(a.Data.Groups) != 200 || a.Data.Rejected != 200 {
		t.Errorf("%d groups listed, %d rejected, want 200", len(a.Data.Groups), a.Data.Rejected)
	}
	if got := p.rejections(t, "type_conflict"); got != 2+200 {
		t.Errorf("%v groups counted as rejected, want 202", got)
	}
	until(t, "a rejection is logged", func() bool { return len(levelWarn.FindAllString(p.log.String(), -1)) > warnings })
	if n := len(levelWarn.FindAllString(p.log.String(), -1)) - warnings; n > 20 {
		t.Errorf("%d warnings for one request", n)
	}
}

// TestBulkRejected: a fault of the request itself rejects all of it.
func TestBulkRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	const fine = "m{job=\"a\",instance=\"1\"} 1\n"
	for _, c := range []struct {
		path, body string
		headers    []string
		because    []string
	}{
		{"/api/v1/push", fine, nil, []string{"group_by=job,instance"}},
		{"/api/v1/push?group_by=", fine, nil, []string{"group_by"}},
		{"/api/v1/push?group_by=instance", fine, nil, []string{"job", "group_by=job,instance"}},
		{"/api/v1/push?group_by=job,", fine, nil, []string{"group_by=job,"}},
		{"/api/v1/push?group_by=job,1st", fine, nil, []string{"1st"}},
		{"/api/v1/push?group_by=job,a-b", fine, nil, []string{"a-b"}},
		{"/api/v1/push?group_by=job,__name__", fine, nil, []string{"__name__"}},
		{bulkPath, fine + "n 1\n", nil, []string{"n", "job"}},
		{bulkPath, fine + "n{instance=\"1\"} 1\n", nil, []string{`n{instance="1"}`, "job"}},
		{bulkPath, fine + "n{job=\"\"} 1\n", nil, []string{"n", "job"}},
		{bulkPath, fine + "not a metric\n", nil, []string{"line 2"}},
		{bulkPath + "&ttl=soon", fine, nil, []string{"ttl=soon"}},
		{bulkPath + "&merge=sum", fine, []string{"Pushgateway-Merge", "group"}, []string{"merge=sum", "merge=group"}},
		{bulkPath, fine, []string{"Pushgateway-Nothing", "1"}, []string{"Pushgateway-Nothing"}},
		{"/with/tll=1h" + bulkPath, fine, nil, []string{"tll"}},
		{bulkPath, fine, []string{"Idempotency-Key", strings.Repeat("k", 129)}, []string{"Idempotency-Key", "128"}},
	} {
		t.Run(fmt.Sprintf("%s %.40v %q", c.path, c.headers, c.body), func(t *testing.T) {
			a := p.pushBulk(t, c.path, c.body, c.headers...)
			if a.code != http.StatusBadRequest {
				t.Errorf("status %d, want 400", a.code)
			}
			if a.Status != "error" || a.ErrorType != "bad_data" || a.Data != nil {
				t.Errorf("status %q, errorType %q, data %v; want error, bad_data, none", a.Status, a.ErrorType, a.Data)
			}
			wantText(t, a.Error, c.because...)
		})
	}
	if got := p.pushed(t); got != "" {
		t.Errorf("after rejected pushes there is\n%s", got)
	}
	if options, malformed := p.rejections(t, "option"), p.rejections(t, "malformed"); options != 15 || malformed != 1 {
		t.Errorf("%v counted as rejected for their options and %v as malformed, want 15 and 1", options, malformed)
	}
}

// TestBulkWithMalformedQuery: a label of group_by that got lost must not send metrics to
// groups that were not meant.
func TestBulkWithMalformedQuery(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, query := range []string{"group_by=job&group_by=%zz", "group_by=job&group_by=instance;zone", "group_by=job&group_by%zz=instance"} {
		t.Run(query, func(t *testing.T) {
			a := p.pushBulk(t, "/api/v1/push?"+query, "m{job=\"a\",instance=\"1\"} 1\n")
			if a.code != http.StatusBadRequest {
				t.Errorf("status %d, want 400: %s", a.code, toJSON(t, a.Data))
			}
		})
	}
	p.wantPushed(t, "a")
}

// TestBulkWithOptions: options and rules apply to each group.
func TestBulkWithOptions(t *testing.T) {
	t.Parallel()
	const body = `# TYPE c counter
c{job="plain",instance="1"} 1
c{job="summed",instance="1"} 1
c{job="lasting",instance="1"} 1
# TYPE g gauge
g{job="plain",instance="1"} 5
g{job="summed",instance="1"} 5
`
	lower := strings.Replace(body, "5", "3", 2)
	p := start(t, "--push.ttl=5h", "--config.file="+rulesFile(t,
		`- {match: '{job="summed",instance=~".+"}', merge: sum}`,
		`- {match: '{job="lasting"}', ttl: 0}`))
	for range 2 {
		p.pushBulk(t, bulkPath, body).want(t, http.StatusOK,
			"applied /metrics/job/plain/instance/1", "applied /metrics/job/summed/instance/1", "applied /metrics/job/lasting/instance/1")
	}
	want := func(series ...string) {
		t.Helper()
		wantText(t, p.pushed(t), series...)
	}
	want(`c{instance="1",job="plain"} 1`, `c{instance="1",job="summed"} 2`, `c{instance="1",job="lasting"} 1`)
	for job, ttl := range map[string]string{"plain": "5h0m0s", "summed": "5h0m0s", "lasting": "never"} {
		got := p.info(t, "/metrics/job/"+job+"/instance/1")
		if got.ttl() != ttl {
			t.Errorf("group %s has ttl %s, want %s", job, got.ttl(), ttl)
		}
		if got.Summed != (job == "summed") {
			t.Errorf("group %s: summed is %v", job, got.Summed)
		}
	}
	// An option that fits one group only is rejected by the others.
	a := p.pushBulk(t, bulkPath+"&gauges=max", lower)
	a.want(t, http.StatusMultiStatus, "rejected for option /metrics/job/plain/instance/1",
		"applied /metrics/job/summed/instance/1", "rejected for option /metrics/job/lasting/instance/1")
	want(`c{instance="1",job="plain"} 1`, `c{instance="1",job="summed"} 3`, `g{instance="1",job="summed"} 5`)

	for i, way := range optionWays {
		t.Run("options in the "+way, func(t *testing.T) {
			job := fmt.Sprintf("job=\"w%d\"", i)
			for _, text := range []string{body, lower} {
				path, headers := carry(way, bulkPath, []string{"ttl=1h", "merge=sum", "gauges=min"})
				p.pushBulk(t, path, strings.ReplaceAll(text, `job="plain"`, job), headers...)
			}
			want(fmt.Sprintf(`c{instance="1",%s} 2`, job), fmt.Sprintf(`g{instance="1",%s} 3`, job))
			got := p.info(t, fmt.Sprintf("/metrics/job/w%d/instance/1", i))
			if got.ttl() != "1h0m0s" {
				t.Errorf("ttl %s, want 1h0m0s", got.ttl())
			}
			if !got.Summed {
				t.Error("the group is not summed")
			}
		})
	}
	p.pushBulk(t, bulkPath+"&timestamps=drop&merge=group", "x{job=\"plain\",instance=\"1\"} 1 1700000000000\n").
		want(t, http.StatusOK, "applied /metrics/job/plain/instance/1")
	wantLines(t, "job plain", p.pushedTo(t, "plain"), []string{`x{instance="1",job="plain"} 1`})
}

// TestBulkReplayed: an idempotency key counts for each group, so that a partly rejected
// push can be sent again as a whole.
func TestBulkReplayed(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = bulkPath + "&merge=sum"
	const body = "# TYPE c counter\nc{job=\"a\"} 1\nc{job=\"b\"} 1\nc{job=\"c\"} 1\n"
	p.push(t, http.MethodPut, "/metrics/job/b", "# TYPE c counter\nc 9\n")
	p.pushBulk(t, path, body, "Idempotency-Key", "k").want(t, http.StatusMultiStatus,
		"applied /metrics/job/a", "rejected for merge /metrics/job/b", "applied /metrics/job/c")
	p.do(t, http.MethodDelete, "/metrics/job/b", "")
	p.pushBulk(t, path, body, "Idempotency-Key", "k").want(t, http.StatusOK,
		"replayed /metrics/job/a", "applied /metrics/job/b", "replayed /metrics/job/c")
	p.pushBulk(t, path, body, "Idempotency-Key", "k").want(t, http.StatusOK,
		"replayed /metrics/job/a", "replayed /metrics/job/b", "replayed /metrics/job/c")
	p.pushBulk(t, path, body, "Idempotency-Key", "other").want(t, http.StatusOK,
		"applied /metrics/job/a", "applied /metrics/job/b", "applied /metrics/job/c")
	p.pushBulk(t, path, body).want(t, http.StatusOK,
		"applied /metrics/job/a", "applied /metrics/job/b", "applied /metrics/job/c")
	for _, job := range []string{"a", "b", "c"} {
		p.wantPushed(t, job, "c 3")
	}
	if got := p.selfMetric(t, "/metrics", "pushgateway_pushes_replayed_total"); got != 5 {
		t.Errorf("%v pushes counted as replayed, want 5", got)
	}
	// A push to one group knows the key as well.
	a := p.do(t, http.MethodPost, "/metrics/job/a?merge=sum", "# TYPE c counter\nc 1\n", "Idempotency-Key", "k")
	if a.status != http.StatusOK {
		t.Errorf("the same key in a push to one group: status %d, want 200", a.status)
	}
	if got := a.header.Get("Idempotency-Replayed"); got != "true" {
		t.Errorf("the same key in a push to one group: replayed %q, want true", got)
	}
}

// TestBulkInProtobuf pushes the metrics of an official client library, native histograms
// included.
func TestBulkInProtobuf(t *testing.T) {
	t.Parallel()
	p := start(t)
	registry := prometheus.NewRegistry()
	sizes := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "size_bytes", Help: "Size."}, []string{"job", "instance"})
	times := prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: "time_seconds", Help: "Time.", NativeHistogramBucketFactor: 1.1},
		[]string{"job", "instance", "table"})
	registry.MustRegister(sizes, times)
	for i := range 5 {
		sizes.WithLabelValues("dump", strconv.Itoa(i)).Set(float64(i))
		for _, table := range []string{"a", "b"} {
			times.WithLabelValues("dump", strconv.Itoa(i), table).Observe(float64(i))
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	var body bytes.Buffer
	encoder := expfmt.NewEncoder(&body, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		a := p.pushBulk(t, bulkPath+"&merge=sum&gauges=sum", body.String(), "Content-Type", string(format))
		a.want(t, http.StatusOK,
			"applied /metrics/job/dump/instance/0", "applied /metrics/job/dump/instance/1", "applied /metrics/job/dump/instance/2",
			"applied /metrics/job/dump/instance/3", "applied /metrics/job/dump/instance/4")
	}
	got := p.scrapeProtobuf(t)
	if n := len(got["size_bytes"].GetMetric()); n != 5 {
		t.Errorf("%d sizes, want 5", n)
	}
	if n := len(got["time_seconds"].GetMetric()); n != 10 {
		t.Errorf("%d times, want 10", n)
	}
	for _, m := range got["time_seconds"].GetMetric() {
		h := m.GetHistogram()
		if h.GetSampleCount() != 2 || len(h.GetPositiveSpan())+int(h.GetZeroCount()) == 0 {
			t.Errorf("%s, want two observations in a native histogram", m)
		}
	}
	wantText(t, p.pushed(t), `size_bytes{instance="4",job="dump"} 8`)
}

// TestBulkOnFullDisk: groups that cannot be persisted fail with 503, and can be sent
// again.
func TestBulkOnFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 8<<20)
	p := gateway(t, filepath.Join(disk, "f.db"))
	free := fill(t, disk)
	body := fmt.Sprintf("# TYPE c counter\nc{job=\"a\",x=%q} 1\n", strings.Repeat("x", 4<<20))
	check := func(when string, a bulkAnswer) {
		t.Helper()
		if a.code != http.StatusServiceUnavailable || a.Status != "error" || a.ErrorType != "unavailable" {
			t.Errorf("%s: status %d %q, errorType %q, want 503 and unavailable", when, a.code, a.Status, a.ErrorType)
		}
		wantRetryAfter(t, a.header)
		wantText(t, a.Error, "no space left on device")
	}
	a := p.pushBulk(t, bulkPath+"&merge=sum", body, "Idempotency-Key", "k")
	check("when the disk turns out to be full", a)
	if a.Data == nil || len(a.Data.Groups) != 1 || a.Data.Groups[0].State != "failed" || a.Data.Groups[0].Reason != "" {
		t.Errorf("when the disk turns out to be full: %s", toJSON(t, a.Data))
	}
	check("when it is known", p.pushBulk(t, bulkPath+"&merge=sum", body, "Idempotency-Key", "k"))
	p.wantPushed(t, "a")
	free()
	p.awaitReady(t)
	body = strings.Replace(body, strings.Repeat("x", 4<<20), "x", 1)
	p.pushBulk(t, bulkPath+"&merge=sum", body, "Idempotency-Key", "k").want(t, http.StatusOK, "applied /metrics/job/a")
	p.wantPushed(t, "a", `c{x="x"} 1`)
}

// TestTenThousandGroups sends one bulk push to 10,000 groups while another client goes on
// pushing.
func TestTenThousandGroups(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "file"} {
		t.Run(where, func(t *testing.T) {
			// A busy machine disturbs a measurement, but hardly three times in a row.
			const rounds = 3
			for round := 1; ; round++ {
				fast, letsOthers := tenThousandGroups(t, where == "file")
				if fast && letsOthers || t.Failed() {
					return
				}
				if round == rounds {
					t.Fatalf("in each of %d rounds the request was too slow or made another push wait too long; in the last: slow %v, wait %v",
						rounds, !fast, !letsOthers)
				}
			}
		})
	}
}

// tenThousandGroups reports whether the bulk push was faster than pushes one by one, and
// whether no other push waited most of that time.
func tenThousandGroups(t *testing.T, inFile bool) (fast, letsOthers bool) {
	const groups, some = 10_000, 200
	begin := func() *program {
		if inFile {
			return gateway(t, filepath.Join(t.TempDir(), "f.db"))
		}
		return start(t)
	}
	p, idle := begin(), begin()
	defer p.end(t)
	defer idle.end(t)

	began := time.Now()
	for i := range some {
		p.push(t, http.MethodPost, fmt.Sprintf("/metrics/job/single/instance/%d", i), fmt.Sprintf("# TYPE m gauge\nm %d\n", i))
	}
	single := time.Since(began)

	body := groupsBody("many", 0, groups)
	w, reference := newWaiter(t, p), newWaiter(t, idle)
	from := time.Now()
	a := p.pushBulk(t, bulkPath, body)
	to := time.Now()
	w.end(t)
	reference.end(t)
	took := to.Sub(from)

	if a.code != http.StatusOK || a.Data.Applied != groups || len(a.Data.Groups) != groups {
		t.Fatalf("status %d, %d of %d groups applied: %s", a.code, a.Data.Applied, groups, a.Error)
	}
	for i, g := range a.Data.Groups {
		if g.State != "applied" || g.Labels["instance"] != strconv.Itoa(i) {
			t.Fatalf("group %d in the answer is %s %v", i, g.State, g.Labels)
		}
	}
	pushed := p.pushedTo(t, "many")
	if want := withoutTimes(normalExposition(t, body)); !slices.Equal(pushed, want[1:]) {
		t.Errorf("%d series are not those that were pushed", len(pushed))
	}
	n, worst := w.within(from, to)
	_, elsewhere := reference.within(from, to)
	oneByOne := single * groups / some
	t.Logf("%d groups in %v, one by one about %v", groups, took.Round(time.Millisecond), oneByOne.Round(time.Millisecond))
	t.Logf("longest wait of %d other pushes: %v, at another gateway %v", n, worst, elsewhere)
	return took <= oneByOne, worst <= max(4*elsewhere, took/3)
}
