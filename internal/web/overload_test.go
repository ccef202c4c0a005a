package web

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pushgateway/internal/limits"
)

// While many push and delete without pause, what arrives meanwhile waits for a few of them. It
// is not parallel: it runs with one processor.
func TestOthersComeBetweenPushes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const (
		clients  = 100
		requests = 30
		between  = 300 // pushes, from one request to the next
	)
	s, _ := newTestServer(t, nil)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var answered, sentAt atomic.Int64
	var stop atomic.Bool
	var pushes sync.WaitGroup
	for i := range clients {
		path, method, want := fmt.Sprintf("/metrics/job/a/i/%d", i), http.MethodPut, http.StatusOK
		if i%2 == 0 {
			method, want = http.MethodDelete, http.StatusAccepted
		}
		pushes.Go(func() {
			for !stop.Load() {
				if w := do(s, method, path, ""); w.Code != want {
					t.Errorf("%s: %d %s", method, w.Code, w.Body)
					return
				}
				if n := answered.Add(1); n%between == 0 {
					sentAt.Store(n)
					if _, err := out.Write(make([]byte, 1)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	late := 0
	for range requests {
		if _, err := in.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if waited := answered.Load() - sentAt.Load(); waited > 3*limits.PushesPerTurn {
			t.Logf("%d pushes were answered since the request arrived", waited)
			late++
		}
	}
	stop.Store(true)
	pushes.Wait()
	_ = out.Close()
	if late > requests/10 { // the system may interrupt a process between any two steps
		t.Errorf("%d of %d requests waited for more than %d pushes", late, requests, 3*limits.PushesPerTurn)
	}
}
