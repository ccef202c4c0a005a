package conntest

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// WantTurns keeps goroutines busy with steps of a server, on one processor, on which everything
// depends on the order. Each time that there were so many steps, a byte arrives, unless the one
// before it has not been read. The test fails if more than a tenth of the bytes are read only after
// more than maxSteps further steps, in each of three rounds: the system may interrupt a process
// between any two steps, and a busy one does so for a while. No other test may run meanwhile.
func WantTurns(t *testing.T, goroutines, bytes, steps, maxSteps int, step func(goroutine int)) {
	t.Helper()
	for range 3 {
		n := late(t, goroutines, bytes, steps, maxSteps, step)
		if n <= bytes/10 || t.Failed() {
			return
		}
		t.Logf("%d of %d bytes were read after more than %d steps", n, bytes, maxSteps)
	}
	t.Error("what arrives waits for too many steps of others")
}

// late returns how many bytes were read late.
func late(t *testing.T, goroutines, bytes, steps, maxSteps int, step func(goroutine int)) (n int) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var done, arrived atomic.Int64
	var unread, stop atomic.Bool
	var busy sync.WaitGroup
	for i := range goroutines {
		busy.Go(func() {
			for !stop.Load() && !t.Failed() {
				step(i)
				total := done.Add(1)
				if total%int64(steps) != 0 || !unread.CompareAndSwap(false, true) {
					continue
				}
				arrived.Store(total)
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
		if done.Load()-arrived.Load() > int64(maxSteps) {
			n++
		}
		unread.Store(false)
	}
	stop.Store(true)
	busy.Wait()
	return n
}
