package conntest

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Late keeps goroutines busy with steps of a server, on one processor, on which everything depends
// on the order. Each time that there were so many steps, a byte arrives. Late returns how many of
// the bytes that arrive were read after more than maxSteps further steps. No other test may run
// meanwhile.
func Late(t *testing.T, goroutines, bytes, steps, maxSteps int, step func(goroutine int)) (late int) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var done, arrived atomic.Int64
	var stop atomic.Bool
	var busy sync.WaitGroup
	for i := range goroutines {
		busy.Go(func() {
			for !stop.Load() && !t.Failed() {
				step(i)
				n := done.Add(1)
				if n%int64(steps) != 0 {
					continue
				}
				arrived.Store(n)
				if _, err := out.Write(make([]byte, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() {
		busy.Wait()
		_ = out.Close() // nobody writes any more
	}()
	for range bytes {
		if _, err := in.Read(make([]byte, 1)); err != nil {
			t.Error(err)
			break
		}
		if n := done.Load() - arrived.Load(); n > int64(maxSteps) {
			t.Logf("%d steps since a byte arrived", n)
			late++
		}
	}
	stop.Store(true)
	busy.Wait()
	return late
}
