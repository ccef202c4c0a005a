package test

import (
	"fmt"
	"net/http"
	"testing"
)

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
