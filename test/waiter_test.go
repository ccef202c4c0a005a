package test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A waiter pushes to one group again and again, and records how long each push took.
type waiter struct {
	p      *program
	pushes []waited
	stop   atomic.Bool
	done   sync.WaitGroup
}

// waited is one push.
type waited struct{ from, to time.Time }

func newWaiter(t *testing.T, p *program) *waiter {
	w := &waiter{p: p}
	w.done.Go(func() {
		client := *p
		client.client = newClient(t) // with a connection of its own
		for !w.stop.Load() {
			from := time.Now()
			a, err := client.try(http.MethodPut, "/metrics/job/waiter", fmt.Sprintf("waiter %d\n", len(w.pushes)+1))
			if err != nil || a.status != http.StatusOK {
				t.Errorf("push: %d %s %v", a.status, a.body, err)
				return
			}
			w.pushes = append(w.pushes, waited{from, time.Now()})
		}
	})
	return w
}

// end stops the pushes, and checks that the last one was applied.
func (w *waiter) end(t *testing.T) {
	t.Helper()
	w.stop.Store(true)
	w.done.Wait()
	w.p.wantPushed(t, "waiter", fmt.Sprintf("waiter %d", len(w.pushes)))
}

// within returns how many pushes were in flight between two times, and the longest time
// between them that one push waited.
func (w *waiter) within(from, to time.Time) (n int, worst time.Duration) {
	for _, push := range w.pushes {
		if push.from.Before(to) && push.to.After(from) {
			n++
			began, ended := push.from, push.to
			if began.Before(from) {
				began = from
			}
			if ended.After(to) {
				ended = to
			}
			worst = max(worst, ended.Sub(began))
		}
	}
	return n, worst
}
