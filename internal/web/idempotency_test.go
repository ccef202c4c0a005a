package web

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestReplays: that a push was replayed shows in the answer, in the gateway's own metric, and in
// the group's timeline.
func TestReplays(t *testing.T) {
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
		t.Errorf("%d replays in %s", n, timeline)
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

// TestIdempotencyKeyBound accepts keys of up to 128 bytes.
func TestIdempotencyKeyBound(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for length, want := range map[int]int{0: 400, 1: 200, maxIdempotencyKey: 200, maxIdempotencyKey + 1: 400} {
		t.Run(fmt.Sprint(length, " bytes"), func(t *testing.T) {
			if w := do(s, "PUT", "/metrics/job/a", "m 1\n", "Idempotency-Key", strings.Repeat("k", length)); w.Code != want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	r := httptest.NewRequest("PUT", "/metrics/job/a", strings.NewReader("m 1\n"))
	r.Header[idempotencyHeader] = []string{"x", "y"}
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("two keys: %d %s", w.Code, w.Body)
	}
}
