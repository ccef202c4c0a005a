package test

import (
	"fmt"
	"net/http"
	"testing"
)

// TestIdempotencyKey: a replayed push is answered like the first one and adds
// nothing.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	p := start(t)
	const one = "# TYPE c counter\nc 1\n"
	replays := 0
	push := func(method, path, body, key string, want int, replayed bool) {
		t.Helper()
		a := p.do(t, method, path, body, "Idempotency-Key", key)
		if a.status != want {
			t.Errorf("%s %s with key %s: status %d, want %d: %s", method, path, key, a.status, want, a.body)
		}
		if got := a.header.Get("Idempotency-Replayed") == "true"; got != replayed {
			t.Errorf("%s %s with key %s: replayed is %v, want %v", method, path, key, got, replayed)
		}
		if replayed {
			replays++
		}
	}
	const a, b = "/metrics/job/a?merge=sum", "/metrics/job/b?merge=sum"
	push("POST", a, one, "k1", 200, false)
	before := p.exposedGroup(t, "a")
	push("POST", a, one, "k1", 200, true)
	push("POST", a, "# TYPE other counter\nother 1\n", "k1", 200, true) // the body is ignored
	if after := p.exposedGroup(t, "a"); after != before {
		t.Errorf("after a replay the group is\n%s\nbefore it was\n%s", after, before)
	}
	push("POST", b, one, "k1", 200, false) // another group
	push("POST", a, one, "k2", 200, false)
	push("POST", a, one, "k1", 200, true)
	p.wantPushed(t, "a", "c 2")
	p.wantPushed(t, "b", "c 1")

	// The key of a rejected push is not remembered.
	push("POST", a, "# TYPE c counter\nc -1\n", "k3", 400, false)
	push("POST", a, "# TYPE c counter\nc -1\n", "k3", 400, false)
	push("POST", a, one, "k3", 200, false)
	push("POST", a, one, "k3", 200, true)
	p.wantPushed(t, "a", "c 3")

	// Replacing a group keeps its keys, deleting it does not.
	push("PUT", "/metrics/job/a", "# TYPE c counter\nc 9\n", "k4", 200, false)
	p.push(t, http.MethodPut, "/metrics/job/a", "# TYPE c counter\nc 10\n")
	push("PUT", "/metrics/job/a", "# TYPE c counter\nc 9\n", "k4", 200, true)
	push("POST", a, one, "k1", 200, true)
	p.wantPushed(t, "a", "c 10")
	p.do(t, http.MethodDelete, "/metrics/job/a", "")
	push("POST", a, one, "k1", 200, false)
	p.wantPushed(t, "a", "c 1")

	// A group remembers its last 1,000 keys.
	for i := range 999 {
		push("POST", a, one, fmt.Sprintf("n%d", i), 200, false)
	}
	push("POST", a, one, "k1", 200, true)
	push("POST", a, one, "n999", 200, false)
	push("POST", a, one, "n0", 200, true)
	p.wantPushed(t, "a", "c 1001")
	push("POST", a, one, "k1", 200, false)
	p.wantPushed(t, "a", "c 1002")

	if got := p.selfMetric(t, "/metrics", "pushgateway_pushes_replayed_total"); got != float64(replays) {
		t.Errorf("%v pushes counted as replayed, want %d", got, replays)
	}
}
