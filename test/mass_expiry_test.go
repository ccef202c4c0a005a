package test

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestMassExpiry has 100,000 groups end together while a client pushes: none of its
// pushes waits for more than a small part of them.
func TestMassExpiry(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "file"} {
		t.Run(where, func(t *testing.T) {
			// A machine that is busy with something else lets a push wait, too, but
			// hardly three times in a row.
			const rounds = 3
			for round := 1; ; round++ {
				if massExpiry(t, where == "file") || t.Failed() {
					return
				}
				if round == rounds {
					t.Fatalf("in each of %d rounds a push waited too long", rounds)
				}
			}
		})
	}
}

// massExpiry returns whether no push waited for long. How long any push waits on this
// machine, at this moment, tells a second gateway, of which no group ends.
func massExpiry(t *testing.T, inFile bool) bool {
	const groups, chunk = 100_000, 10_000
	rules := rulesFile(t)
	begin := func() *program {
		args := []string{"--config.file=" + rules, "--web.enable-lifecycle", "--web.own-metrics-path=/own"}
		if inFile {
			return gateway(t, filepath.Join(t.TempDir(), "f.db"), args...)
		}
		return start(t, args...)
	}
	p, idle := begin(), begin()
	defer p.end(t)
	defer idle.end(t)
	began := time.Now()
	for first := 0; first < groups; first += chunk {
		p.pushGroups(t, "mass", first, chunk)
	}
	filled := time.Since(began)

	w, reference := newWaiter(t, p), newWaiter(t, idle)
	quiet := time.Now()
	until(t, "it is known how long a push waits before", func() bool { return time.Since(quiet) > time.Second })
	writeFile(t, rules, []byte("rules: [{match: '{job=\"mass\"}', ttl: 1ms}]"))
	reloading := time.Now()
	p.push(t, http.MethodPost, "/-/reload", "")
	ending := time.Now()
	until(t, "the groups are gone", func() bool { return p.selfMetric(t, "/own", "pushgateway_groups") == 1 })
	ended := time.Now()
	w.end(t)
	reference.end(t)

	if got := p.selfMetric(t, "/own", "pushgateway_groups_expired_total"); got != groups {
		t.Errorf("%v groups counted as expired, want %d", got, groups)
	}
	p.wantJobs(t, "in the end", "waiter")
	_, before := w.within(quiet, reloading)
	_, reload := w.within(reloading, ending)
	n, worst := w.within(ending, ended)
	_, elsewhere := reference.within(quiet, ended)
	took := ended.Sub(ending)
	t.Logf("%d groups, made in %v, were gone within %v; meanwhile %d pushes waited for %v at the most, before for %v, while rules were read for %v, at another gateway for %v",
		groups, filled.Round(time.Millisecond), took.Round(time.Millisecond), n, worst, before, reload, elsewhere)
	return worst <= max(4*max(before, elsewhere), took/25)
}
