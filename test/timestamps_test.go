package test

import (
	"net/http"
	"strings"
	"testing"
)

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
