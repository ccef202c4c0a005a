package web

import (
	"fmt"
	"net/http"
	"testing"

	"pushgateway/internal/conntest"
	"pushgateway/internal/limits"
)

// While many push and delete without pause, what arrives meanwhile waits for a few of them.
func TestOthersComeBetweenPushes(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.Pacer = limits.NewPacer(limits.PushesPerTurn) }) // for one processor
	conntest.WantTurns(t, 100, 30, 300, 3*limits.PushesPerTurn, func(i int) {
		path, method, want := fmt.Sprintf("/metrics/job/a/i/%d", i), http.MethodPut, http.StatusOK
		if i%2 == 0 {
			method, want = http.MethodDelete, http.StatusAccepted
		}
		if w := do(s, method, path, ""); w.Code != want {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	})
}
