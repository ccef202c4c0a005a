package test

import (
	"net/http"
	"strings"
	"testing"
)

// TestTimestamps: the push, then a rule, then the flag decides whether timestamps are
// dropped or rejected.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	const body = "# TYPE m gauge\nm{a=\"1\"} 1 1700000000000\nm{a=\"2\"} 2 1700000000000\nm{a=\"3\"} 3\n"
	rules := rulesFile(t,
		`- {match: '{job="drop"}', timestamps: drop}`,
		`- {match: '{job="reject"}', timestamps: reject}`)
	for _, c := range []struct {
		name     string
		flags    []string
		accepted map[string]bool // by job and query
	}{
		{"default", nil, map[string]bool{"a": false, "b?timestamps=drop": true, "c?timestamps=reject": false}},
		{"reject", []string{"--push.timestamps=reject", "--config.file=" + rules}, map[string]bool{
			"a": false, "drop": true, "reject": false, "drop?timestamps=reject": false, "reject?timestamps=drop": true,
		}},
		{"drop", []string{"--push.timestamps=drop", "--config.file=" + rules}, map[string]bool{
			"a": true, "drop": true, "reject": false, "b?timestamps=reject": false, "reject?timestamps=drop": true,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, c.flags...)
			accepted, rejected := 0, 0
			for _, method := range []string{http.MethodPut, http.MethodPost} {
				for target, accept := range c.accepted {
					want := http.StatusBadRequest
					if accept {
						accepted++
						want = http.StatusOK
					} else {
						rejected++
					}
					a := p.do(t, method, "/metrics/job/"+target, body)
					if a.status != want {
						t.Errorf("%s %s: status %d, want %d: %s", method, target, a.status, want, a.body)
					}
					if job, _, _ := strings.Cut(target, "?"); accept {
						p.wantPushed(t, job, `m{a="1"} 1`, `m{a="2"} 2`, `m{a="3"} 3`)
					}
				}
			}
			if got := p.selfMetric(t, "/metrics", "pushgateway_timestamps_dropped_total"); got != 2*float64(accepted) {
				t.Errorf("%v timestamps counted as dropped, want %d", got, 2*accepted)
			}
			if got := p.rejections(t, "timestamp"); got != float64(rejected) {
				t.Errorf("%v pushes counted as rejected, want %d", got, rejected)
			}
		})
	}
}
