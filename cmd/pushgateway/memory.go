package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory sets GOMEMLIMIT to the ratio of what the container or, outside of one, the
// machine may use, unless the environment sets it.
func limitMemory(ratio float64, logger *slog.Logger) {
	_, err := memlimit.SetGoMemLimitWithOpts(
		memlimit.WithRatio(ratio),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
		memlimit.WithLogger(logger),
	)
	if err != nil {
		logger.Warn("GOMEMLIMIT not set from the container's or the machine's memory", "err", err)
	}
}

const (
	// minHeadroom is how much may be allocated before the garbage collector runs
	// again. With Go's default, a gateway with few groups would collect after every
	// 4 MB, which is a few hundred pushes. Large heaps have more headroom anyway.
	minHeadroom = 32 << 20
	// minHeap is the smallest heap size that the collector paces itself by.
	minHeap = 4 << 20
	// defaultPercent is Go's GOGC.
	defaultPercent = 100
)

// paceCollector adjusts the garbage collector to minHeadroom until ctx ends, unless the
// environment sets GOGC. A memory limit still makes it run earlier.
func paceCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for current := defaultPercent; ; {
		metrics.Read(live)
		percent := defaultPercent
		if bytes := live[0].Value.Uint64(); bytes < minHeadroom {
			percent = int(defaultPercent * minHeadroom / max(bytes, minHeap))
		}
		if percent != current {
			debug.SetGCPercent(percent)
			current = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
