package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

const oneCounted = "# TYPE c counter\nc 1\n"

// TestRepeatsAreTold: who pushes again learns that it had no effect, from the answer,
// from the metric, and from the group's timeline.
func TestRepeatsAreTold(t *testing.T) {
	s, _ := newTestServer(t, nil)
	push := func(method, path string) string {
		t.Helper()
		w := do(s, method, path, "# TYPE c counter\nc{job=\"a\"} 1\n", "Idempotency-Key", "k")
		if w.Code != 200 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Header().Get(replayedHeader) + w.Body.String()
	}
	if got := push("POST", "/metrics/job/a?merge=sum"); got != "" {
		t.Errorf("the first push answers %q", got)
	}
	if got := push("PUT", "/metrics/job/a"); got != "true" {
		t.Errorf("the second push answers %q", got)
	}
	if got := push("POST", "/api/v1/push?group_by=job"); !strings.Contains(got, `"state":"replayed"`) {
		t.Errorf("the third push answers %q", got)
	}
	timeline := do(s, "GET", "/api/v1/groups/job/a", "").Body.String()
	if n := strings.Count(timeline, `"replayed":true`); n != 2 {
		t.Errorf("%d repeated pushes in %s", n, timeline)
	}
	if page := do(s, "GET", "/groups/job/a", "").Body.String(); strings.Count(page, "duplicate, ignored") != 2 {
		t.Errorf("the page does not show two replays:\n%s", page)
	}
	metrics := do(s, "GET", "/metrics", "").Body.String()
	for _, want := range []string{"\npushgateway_pushes_replayed_total 2\n", "\nc{instance=\"\",job=\"a\"} 1\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// TestIdempotencyKeyBound takes keys of 128 bytes and no longer ones.
func TestIdempotencyKeyBound(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for length, want := range map[int]int{0: 400, 1: 200, maxIdempotencyKey: 200, maxIdempotencyKey + 1: 400} {
		if w := do(s, "PUT", "/metrics/job/a", "m 1\n", "Idempotency-Key", strings.Repeat("k", length)); w.Code != want {
			t.Errorf("a key of %d bytes: %d %s", length, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("PUT", "/metrics/job/a", strings.NewReader("m 1\n"))
	r.Header[idempotencyHeader] = []string{"x", "y"}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("two keys: %d %s", w.Code, w.Body)
	}
}

// TestRejectionsNameTheRule: who pushes as ever learns that a rule has it added up.
func TestRejectionsNameTheRule(t *testing.T) {
	text := "rules: []"
	s, _ := newTestServer(t, func(c *Config) {
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) { return rules.Parse([]byte(text)) })
	})
	if w := do(s, "POST", "/metrics/job/a", oneCounted); w.Code != 200 {
		t.Fatal(w.Code)
	}
	text = "rules: [{match: '{}', merge: sum}]"
	if err := s.config.Rules.Reload(); err != nil {
		t.Fatal(err)
	}
	const named = "the gateway's rules file says merge: sum for this group"
	for _, body := range []string{oneCounted, "x 1\n"} {
		w := do(s, "POST", "/metrics/job/a", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), named) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		w = do(s, "POST", "/metrics/job/a?merge=sum", body)
		if w.Code != 400 || strings.Contains(w.Body.String(), named) {
			t.Errorf("%q, summed as asked for: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestUnknownParametersOfManyGroups are rejected: unlike those of a push to one group,
// they cannot be meant for another gateway.
func TestUnknownParametersOfManyGroups(t *testing.T) {
	for query, want := range map[string]int{
		"group_by=job": 200, "group_by=job,n&ttl=1h": 200, "group_by=job&group_by=n": 200,
		"group_by=job&tll=1h": 400, "group_by=job&ttl=%zz": 400, "group_by=job;ttl=1h": 400, "": 400, "group_by=n": 400, "group_by=job,__x": 400,
	} {
		s, _ := newTestServer(t, nil)
		w := do(s, "POST", "/api/v1/push?"+query, "m{job=\"a\",n=\"1\"} 1\n")
		if w.Code != want {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// TestRuleOverMethod: a rule has PUT and POST merge alike, and PUT begin a sum anew
// where a value stands; what a push says itself stands above the rule.
func TestRuleOverMethod(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) {
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) {
			return rules.Parse([]byte("rules:\n- match: '{job=\"sum\"}'\n  merge: sum\n- match: '{job=\"put\"}'\n  merge: group\n"))
		})
	})
	for i, step := range []struct {
		method, path string
		status       int
		want         string // the counter of the group; empty where it has none
	}{
		{"PUT", "/metrics/job/sum", 200, "1"},
		{"PUT", "/metrics/job/sum", 200, "2"},
		{"POST", "/metrics/job/sum", 200, "3"},
		{"POST", "/metrics/job/sum?merge=family", 400, "3"},
		{"PUT", "/metrics/job/sum?merge=group", 200, "1"},
		{"POST", "/metrics/job/sum", 400, "1"},
		{"PUT", "/metrics/job/sum", 200, "1"},
		{"PUT", "/metrics/job/sum", 200, "2"},
		{"POST", "/metrics/job/sum?gauges=max", 200, "3"},
		{"POST", "/metrics/job/put?gauges=max", 400, ""},
		{"PUT", "/metrics/job/put", 200, "1"},
		{"PUT", "/metrics/job/put?merge=sum", 400, "1"},
	} {
		if w := do(s, step.method, step.path, oneCounted); w.Code != step.status {
			t.Errorf("step %d: %d %s", i, w.Code, w.Body)
		}
		job, _, _ := strings.Cut(strings.TrimPrefix(step.path, "/metrics/job/"), "?")
		sample := fmt.Sprintf("c{instance=\"\",job=%q} ", job)
		_, got, found := strings.Cut(do(s, "GET", "/metrics", "").Body.String(), sample)
		got, _, _ = strings.Cut(got, "\n")
		if found != (step.want != "") || got != step.want && found {
			t.Errorf("step %d: the counter is %q, want %q", i, got, step.want)
		}
	}
	if g := do(s, "POST", "/metrics/job/put", "other 1\n"); g.Code != 200 {
		t.Fatal(g.Code)
	}
	if strings.Contains(do(s, "GET", "/metrics", "").Body.String(), `c{instance="",job="put"}`) {
		t.Error("POST under the rule merge: group left another family")
	}
}

// failingFor is a journal that cannot keep changes of one group.
type failingFor struct {
	store.Memory
	group string
}

func (f failingFor) Commit(c store.Changes) error {
	for _, g := range c.Groups {
		if g.ID == f.group {
			return &store.UnavailableError{Reason: errors.New("disk full"), RetryAfter: 2 * time.Second}
		}
	}
	return nil
}

// TestFailuresStandBeforeRejections: where one group was rejected and another could not
// be kept, a client is to try again.
func TestFailuresStandBeforeRejections(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.Store = withJournal(t, failingFor{group: "b"}) })
	for body, want := range map[string]int{
		"m{job=\"a\"} 1 5\nm{job=\"b\"} 1\n":                   503,
		"m{job=\"b\"} 1\nm{job=\"a\"} 1 5\n":                   503,
		"m{job=\"a\"} 1 5\n":                                   400,
		"m{job=\"c\"} 1\nm{job=\"d\"} 1\n":                     200,
		"m{job=\"d\"} 1\nm{job=\"a\"} 1 5\nm{job=\"c\"} 1 5\n": 207,
	} {
		w := do(s, "POST", "/api/v1/push?group_by=job", body)
		if w.Code != want {
			t.Errorf("%q: %d, want %d: %s", body, w.Code, want, w.Body)
		}
		if later := w.Header().Get("Retry-After") != ""; later != strings.Contains(body, `job="b"`) {
			t.Errorf("%q: Retry-After is there: %v", body, later)
		}
	}
}

// TestPartialBulkPush answers 207 if some groups were applied, and says when to retry if
// one of the others failed for now.
func TestPartialBulkPush(t *testing.T) {
	failed := &store.UnavailableError{Reason: errors.New("disk full"), RetryAfter: 2 * time.Second}
	rejected := metric.Reject(metric.BadTimestamp, "has a timestamp")
	w := httptest.NewRecorder()
	if err := answerBulk(w, []api.Pushed{{Err: rejected}, {Err: failed}, {}}); err != nil {
		t.Fatal(err)
	}
	if w.Code != 207 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

// TestBrokenKeysOfManyGroups: what cannot be a group's label leaves nothing behind.
func TestBrokenKeysOfManyGroups(t *testing.T) {
	s, _ := newTestServer(t, nil)
	job := "a__"
	family := &dto.MetricFamily{Name: proto.String("m"), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{
		Label: []*dto.LabelPair{{Name: proto.String("job"), Value: &job}}, Gauge: &dto.Gauge{Value: proto.Float64(1)},
	}}}
	message, err := proto.Marshal(family)
	if err != nil {
		t.Fatal(err)
	}
	// protobuf's own encoder rejects to write this.
	message = bytes.Replace(message, []byte("a__"), []byte("a\xff\xfe"), 1)
	body := string(protowire.AppendVarint(nil, uint64(len(message)))) + string(message)
	w := do(s, "POST", "/api/v1/push?group_by=job", body, "Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "UTF-8") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := s.config.Store.Totals().Groups; n != 0 {
		t.Errorf("%d groups are left behind", n)
	}
}
