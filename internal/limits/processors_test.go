package limits_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pushgateway/internal/limits"
)

func TestProcessors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		processors, waiting int
		busy                []int // after each release
	}{
		{1, 2, []int{1, 1, 0}},
		{2, 2, []int{2, 2, 1, 0}},
		// Many wait, so one processor is left to others until none does.
		{2, 10, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := limits.NewProcessors(c.processors)
			var mu sync.Mutex // guards order and busy
			var order []int
			busy := 0
			done := make(chan struct{})
			for i := range c.processors + c.waiting {
				go func() {
					p.Take()
					mu.Lock()
					busy++
					order = append(order, i)
					mu.Unlock()
					<-done
					mu.Lock()
					busy--
					mu.Unlock()
					p.Release()
				}()
				synctest.Wait()
			}
			var seen []int
			for range c.processors + c.waiting {
				if busy > c.processors {
					t.Fatalf("%d pushes have one of %d processors", busy, c.processors)
				}
				done <- struct{}{}
				synctest.Wait()
				seen = append(seen, busy)
			}
			if !slices.Equal(seen, c.busy) {
				t.Errorf("%d processors, %d waiting: %v busy, want %v", c.processors, c.waiting, seen, c.busy)
			}
			for i, push := range order {
				if push < i-1 || push > i+1 { // two may get a processor at the same moment
					t.Errorf("served in the order %v", order)
					break
				}
			}
		})
	}
}
