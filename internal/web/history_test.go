package web

import (
	"net/http/httptest"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// TestHistoryOfPushes: the history has each push and its outcome.
func TestHistoryOfPushes(t *testing.T) {
	s, _ := newTestServer(t, nil)
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "a"}})
	do(s, "PUT", "/metrics/job/a", "m 1\n", "User-Agent", "nightly")
	do(s, "POST", "/metrics/job/a", "m{ 1\n", "X-Forwarded-For", "10.1.2.3")
	r := httptest.NewRequest("PUT", "/metrics/job/a", strings.NewReader("m 1 1\n"))
	r.ContentLength = -1 // as sent in chunks
	s.ServeHTTP(httptest.NewRecorder(), r)
	do(s, "PUT", "/metrics/job/", "m 1\n")

	pushes, last := s.history.Group(key)
	if len(pushes) != 3 {
		t.Fatalf("pushes %+v", pushes)
	}
	e := pushes[2]
	if !e.Accepted() || e.Method != "PUT" || e.Size != 4 || e.Client != "nightly" || e.Source != "192.0.2.1:1234" || e.At.IsZero() {
		t.Errorf("first %+v", e)
	}
	e = pushes[1]
	if e.Accepted() || e.Method != "POST" || e.Source != "10.1.2.3 by 192.0.2.1:1234" ||
		e.Reason != metric.Malformed || !strings.Contains(e.Message, "line 1") {
		t.Errorf("second %+v", e)
	}
	if e := pushes[0]; e.Reason != metric.BadTimestamp || e.Size != 6 || last.Message != e.Message {
		t.Errorf("third %+v, last %+v", e, last)
	}
	rejections := s.history.Rejections()
	if len(rejections) != 3 || rejections[0].Path != "/metrics/job/" || rejections[0].Reason != metric.BadPath {
		t.Errorf("rejections %+v", rejections)
	}
	do(s, "DELETE", "/metrics/job/a", "")
	if pushes, last := s.history.Group(key); pushes != nil || last != nil {
		t.Errorf("of a deleted group: %v %v", pushes, last)
	}
}

// TestRejectedOptionsAreSeen: a push whose options are rejected changes no metric. The pages and
// the API show until a restart that it was rejected.
func TestRejectedOptionsAreSeen(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a", "m 1\n")
	before := s.config.Store.Snapshot().Group(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "a"}}))
	for _, job := range []string{"a", "b"} {
		if w := do(s, "PUT", "/metrics/job/"+job+"?ttl=soon", "m 2\n"); w.Code != 400 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if now := s.config.Store.Snapshot().Group(before.Key); now != before || s.config.Store.Totals().Groups != 1 {
		t.Error("the rejected push changed a group")
	}
	for path, want := range map[string]string{
		"/api/v1/groups/job/a": `"state":"failed"`,
		"/groups/job/a":        "last push failed",
		"/groups/job/b":        "no push to it was accepted",
	} {
		if w := do(s, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, %q is missing in %s", path, w.Code, want, w.Body)
		}
	}
	info := do(s, "GET", "/api/v1/groups/job/a", "").Body.String()
	if strings.Contains(info, `"last_failure":null`) || !strings.Contains(info, `"reason":"option"`) {
		t.Errorf("the API says %s", info)
	}
	// A group that is not stored is found as well, until the next restart.
	for path, want := range map[string]string{
		"/api/v1/groups/job/b": `"state":"failed"`, "/api/v1/groups": `"total":2`, "/": "never accepted",
	} {
		if w := do(s, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, %q is missing in %s", path, w.Code, want, w.Body)
		}
	}
	s.history.ForgetAll() // as a restart does
	if w := do(s, "GET", "/api/v1/groups/job/b", ""); w.Code != 404 {
		t.Errorf("after a restart, a group that is not stored: %d", w.Code)
	}
	info = do(s, "GET", "/api/v1/groups/job/a", "").Body.String()
	if !strings.Contains(info, `"state":"ok"`) || !strings.Contains(info, `"last_failure":null`) {
		t.Errorf("after a restart the API says %s", info)
	}
}
