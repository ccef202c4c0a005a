package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapHeadroom is how much may be allocated, at the least, before the garbage
// collector runs again. By Go's default a gateway that holds little would collect
// after every 4 MB, which is a few hundred pushes. Large heaps have more headroom
// than this anyway.
const heapHeadroom = 32 << 20

// minHeap is the least that the collector reckons with, whatever lives: its
// percentage is of no less than this.
const minHeap = 4 << 20

// keepCollectionsRare adjusts the collector to heapHeadroom until ctx ends, unless
// the environment says how it should run.
func keepCollectionsRare(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	const usual = 100
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for set := usual; ; {
		metrics.Read(live)
		percent := usual
		if bytes := live[0].Value.Uint64(); bytes < heapHeadroom {
			percent = int(usual * heapHeadroom / max(bytes, minHeap))
		}
		if percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
