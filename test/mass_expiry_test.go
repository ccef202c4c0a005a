package test

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestMassExpiry: 100,000 groups expire at once while a client pushes. None of its pushes
// waits for more than a small part of them.
func TestMassExpiry(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "file"} {
		t.Run(where, func(t *testing.T) {
			// A busy machine delays pushes, too, but hardly three times in a row.
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

// massExpiry reports whether no push waited for long. A second gateway, whose groups do
// not expire, shows how long pushes wait on this machine anyway.
func massExpiry(t *testing.T, inFile bool) bool {
	const groups, perPush = 100_000, 10_000
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
	for first := 0; first < groups; first += perPush {
		p.pushGroups(t, "mass", first, perPush)
	}
	filled := time.Since(began)

	w, reference := newWaiter(t, p), newWaiter(t, idle)
	quiet := time.Now()
	until(t, "some pushes were measured", func() bool { return time.Since(quiet) > time.Second })
	writeFile(t, rules, []byte("rules: [{match: '{job=\"mass\"}', ttl: 1ms}]"))
	reloading := time.Now()
	p.push(t, http.MethodPost, "/-/reload", "")
	ending := time.Now()
	until(t, "the groups are gone", func() bool { return p.selfMetric(t, "/own", "pushgateway_groups") == 1 })
	ended := time.Now()
	w.end(t)
	reference.end(t)

	until(t, "all groups are counted", func() bool { return p.selfMetric(t, "/own", expiredTotal) >= groups })
	if got := p.selfMetric(t, "/own", expiredTotal); got != groups {
		t.Errorf("%v groups counted as expired, want %d", got, groups)
	}
	p.wantJobs(t, "at last", "waiter")
	_, before := w.within(quiet, reloading)
	_, reload := w.within(reloading, ending)
	n, worst := w.within(ending, ended)
	_, elsewhere := reference.within(quiet, ended)
	took := ended.Sub(ending)
	t.Logf("%d groups, created in %v, expired within %v", groups, filled.Round(time.Millisecond), took.Round(time.Millisecond))
	t.Logf("longest wait of %d pushes: %v; before %v, during the reload %v, at another gateway %v", n, worst, before, reload, elsewhere)
	return worst <= max(4*max(before, elsewhere), took/25)
}
