package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// TestReplicasOnBadNetwork cuts, delays, freezes and halves the connections to the database
// under load, and freezes the database. All goes on by itself afterwards, and no acknowledged
// change is lost.
func TestReplicasOnBadNetwork(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	var proxies []*pgtest.Proxy
	var urls []string
	for range replicaCount {
		proxy := pgtest.StartProxy(t, server.Addr())
		proxies = append(proxies, proxy)
		urls = append(urls, pgtest.URL(pgtest.User, proxy.Addr()))
	}
	r := startReplicas(t, urls)
	load := r.startLoad(t)

	cutCommit := func(moment pgtest.Moment) func(i int) {
		return func(i int) { <-proxies[i].CutCommit(moment) }
	}
	faults := map[string]func(i int){
		"cut before COMMIT": cutCommit(pgtest.BeforeCommit),
		"cut during COMMIT": cutCommit(pgtest.DuringCommit),
		"cut after COMMIT":  cutCommit(pgtest.AfterCommit),
		"delayed": func(i int) {
			proxies[i].Delay(20 * time.Millisecond)
			load.awaitPushes(t)
			r.accepts(t, i)
			proxies[i].Delay(0)
		},
		"half-open": func(i int) { proxies[i].HalfOpen() },
		"no network": func(i int) {
			proxies[i].Down()
			r.rejects(t, i)
			proxies[i].Up()
		},
		"frozen network": func(i int) {
			proxies[i].Freeze()
			r.rejects(t, i)
			proxies[i].Thaw()
		},
		"frozen database": func(i int) {
			server.Freeze()
			r.rejects(t, i)
			server.Thaw()
		},
	}
	deadline := time.Now().Add(*replicasFor)
	for first := true; first || time.Now().Before(deadline); first = false {
		for what, fault := range faults {
			i := rand.IntN(replicaCount)
			fault(i)
			over := time.Now()
			r.accepts(t, i)
			load.awaitPushes(t)
			t.Logf("%s: replica %d accepts pushes %v later", what, i, time.Since(over))
		}
	}
	for _, outcome := range []string{"committed", "not committed"} {
		if r.total(t, fmt.Sprintf("pushgateway_persistence_lookups_total{outcome=%q}", outcome)) == 0 {
			t.Errorf("no commit of unknown outcome was found to be %s", outcome)
		}
	}
	load.finish(t)
}

// accepts waits until a replica accepts a push.
func (r *replicas) accepts(t *testing.T, i int) {
	t.Helper()
	until(t, fmt.Sprintf("replica %d accepts pushes", i), func() bool {
		a, err := r.each[i].try(http.MethodPut, fmt.Sprint("/metrics/job/probe-", i), "probe 1\n")
		return err == nil && a.status == http.StatusOK
	})
}

// rejects waits until a replica rejects a push, and a delete, because the database is away.
// Scrapes and pages go on meanwhile.
func (r *replicas) rejects(t *testing.T, i int) {
	t.Helper()
	p := r.each[i]
	path := fmt.Sprint("/metrics/job/probe-", i)
	var a answer
	until(t, fmt.Sprintf("replica %d rejects pushes", i), func() bool {
		a = p.do(t, http.MethodPut, path, "probe 1\n")
		return a.status != http.StatusOK
	})
	for _, a := range []answer{a, p.do(t, http.MethodDelete, path, "")} {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("without the database, a change is answered with %d %v %s", a.status, a.header, a.body)
		}
		wantText(t, a.body, "database")
	}
	states(t, p.get(t, "/metrics"))
	for _, page := range []string{"/", "/status", "/api/v1/metrics", "/-/ready", "/-/healthy"} {
		p.get(t, page)
	}
}
