package limits_test

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"pushgateway/internal/limits"
)

// A push that arrives while many others begin waits for a few of them. It is not parallel: it
// runs with one processor, on which everything depends on the order.
func TestPacerLetsOthersThrough(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const (
		perTurn, pushers = 4, 100
		requests         = 50
		between          = 1000 // pushes, from one request to the next
	)
	p := limits.NewPacer(perTurn)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var begun, sentAt atomic.Int64
	var stop atomic.Bool
	var pushes sync.WaitGroup
	for range pushers {
		pushes.Go(func() {
			for !stop.Load() {
				p.WaitToBegin()
				if n := begun.Add(1); n%between == 0 {
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
		// Those of this turn, and of the next if they are woken first.
		if waited := begun.Load() - sentAt.Load(); waited > 2*perTurn {
			t.Logf("%d pushes have begun since the request arrived", waited)
			late++
		}
	}
	stop.Store(true)
	pushes.Wait()
	_ = out.Close()
	if late > requests/10 { // the system may interrupt a process between any two steps
		t.Errorf("%d of %d requests waited for more than %d pushes", late, requests, 2*perTurn)
	}
}

// Every push gets its turn, whatever others do, and a pacer without a pipe keeps nobody waiting.
func TestPacerForgetsNobody(t *testing.T) {
	t.Parallel()
	for _, p := range []*limits.Pacer{limits.NewPacer(1), limits.NewPacer(3), new(limits.Pacer)} {
		var pushes sync.WaitGroup
		for range 50 {
			pushes.Go(func() {
				for range 200 {
					p.WaitToBegin()
				}
			})
		}
		pushes.Wait()
	}
}
