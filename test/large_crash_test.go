package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestKilledWhileWritingLargeGroup kills the gateway while it is pushed very many metric families
// again and again, which it writes in parts. A push is there as a whole or not at all, and once
// it was answered, it is there.
func TestKilledWhileWritingLargeGroup(t *testing.T) {
	t.Parallel()
	const families, path = 60_000, "/metrics/job/large"
	body := func(value int64) string {
		var b strings.Builder
		for i := range families {
			fmt.Fprintf(&b, "large_%d %d\n", i, value)
		}
		return b.String()
	}
	file := filepath.Join(t.TempDir(), "f.db")
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var sent, answered atomic.Int64
	for range 6 {
		p := gateway(t, file)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			for {
				value := sent.Add(1)
				if a, err := p.try(http.MethodPut, path, body(value)); err != nil || a.status != http.StatusOK {
					return
				}
				answered.Store(value)
			}
		}()
		until(t, "a push was answered", func() bool { return answered.Load() > 0 })
		// The duration is arbitrary, so that the kill hits another moment each time.
		<-time.After(time.Duration(200+random.IntN(1500)) * time.Millisecond)
		p.kill(t)
		<-killed

		p = gateway(t, file)
		values := map[string]int{}
		for line := range strings.Lines(p.get(t, "/metrics")) {
			if strings.HasPrefix(line, "large_") {
				_, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				values[value]++
			}
		}
		p.kill(t)
		found, low, high := int64(0), answered.Load(), sent.Load()
		for value, n := range values {
			if _, err := fmt.Sscan(value, &found); err != nil || n != families {
				t.Errorf("%d families have the value %s", n, value)
			}
		}
		if len(values) > 1 || found < low || found > high {
			t.Fatalf("push %d is found, of %d that were sent, of which %d was the last one to be answered; values: %v", found, high, low, values)
		}
	}
	t.Logf("push %d was the last one of %d to be answered", answered.Load(), sent.Load())
}
