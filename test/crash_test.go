package test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	kills   = 8
	clients = 8
)

// TestKilledWithSyncOfEachPush kills the gateway under load, again and again. Whatever
// it answered with 200 or 202 is there after the next start.
func TestKilledWithSyncOfEachPush(t *testing.T) {
	t.Parallel()
	killAgainAndAgain(t, 5, func(*testing.T, *program) (floor func() time.Time) {
		return time.Now
	}, "--persistence.sync=push")
}

// TestKilledWithSyncInIntervals does the same with pushes that are synced in intervals.
// Each sync covers all that came before it, so what was answered before the last but
// one sync began is there.
func TestKilledWithSyncInIntervals(t *testing.T) {
	t.Parallel()
	// Deletes are rare, as each of them syncs everything.
	killAgainAndAgain(t, 1000, func(t *testing.T, p *program) func() time.Time {
		// The last two times at which a commit was complete.
		var mu sync.Mutex // guards last, before, gap
		var last, before time.Time
		var gap time.Duration
		go func() {
			for pace := time.NewTicker(20 * time.Millisecond); ; <-pace.C {
				a, err := p.try(http.MethodGet, "/api/v1/status", "")
				if err != nil {
					return // killed
				}
				var status struct {
					Data struct {
						Storage struct {
							LastCommit time.Time `json:"last_commit"`
						} `json:"storage"`
					} `json:"data"`
				}
				if err := json.Unmarshal([]byte(a.body), &status); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if at := status.Data.Storage.LastCommit; at.After(last) {
					if !last.IsZero() {
						gap = max(gap, at.Sub(last))
					}
					before, last = last, at
				}
				mu.Unlock()
			}
		}()
		return func() time.Time {
			until(t, "the status has had the times of two commits", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return !before.IsZero()
			})
			mu.Lock()
			defer mu.Unlock()
			t.Logf("commits were up to %v apart", gap)
			return before
		}
	}, "--persistence.sync=interval", "--persistence.interval=200ms")
}

// killAgainAndAgain runs the gateway under load and kills it. What was answered
// before the floor must be there afterwards.
func killAgainAndAgain(t *testing.T, deletes int, watch func(*testing.T, *program) (floor func() time.Time), args ...string) {
	file := filepath.Join(t.TempDir(), "f.db")
	ledgers := newLedgers(clients)
	for _, l := range ledgers {
		l.deletes = deletes
	}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	answered := 0
	for range kills {
		p := gateway(t, file, args...)
		found := states(t, p.get(t, "/metrics"))
		for _, l := range ledgers {
			l.settle(found)
			answered -= l.value
		}
		floor := watch(t, p)
		running := load(p, ledgers, nil)
		// The duration is arbitrary, so that the kill hits another moment each time.
		<-time.After(time.Duration(400+random.IntN(500)) * time.Millisecond)
		mustKeep := floor()
		p.kill(t)
		killed := time.Now()
		running.Wait()

		p = gateway(t, file, args...)
		lost, oldest := audit(t, ledgers, states(t, p.get(t, "/metrics")), mustKeep)
		if lost > 0 {
			t.Logf("%d groups lost their latest state, the oldest of them %v before the kill", lost, killed.Sub(oldest))
		}
		p.kill(t) // right after the start is a moment too
		for _, l := range ledgers {
			answered += l.value
		}
		if t.Failed() {
			return
		}
	}
	if answered < 50*kills {
		t.Errorf("only %d requests in all", answered)
	}
	t.Logf("%d requests, %d kills", answered, 2*kills)

	// An orderly end loses nothing in either mode.
	p := gateway(t, file, args...)
	found := states(t, p.get(t, "/metrics"))
	for _, l := range ledgers {
		l.settle(found)
	}
	stop := make(chan struct{})
	running := load(p, ledgers, stop)
	<-time.After(200 * time.Millisecond)
	close(stop)
	running.Wait()
	p.end(t)
	p = gateway(t, file, args...)
	if lost, _ := audit(t, ledgers, states(t, p.get(t, "/metrics")), time.Now()); lost > 0 {
		t.Errorf("%d groups lost their latest state though the gateway ended in order", lost)
	}
}
