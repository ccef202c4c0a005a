package main

import (
	"context"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"pushgateway/internal/pushbody"
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
	// minPercent is less than Go's default of 100, since what is stored dwarfs the garbage that
	// pushes leave. Garbage between stored objects leaves memory that only later pushes can use.
	minPercent = 40
	// crowdedPercent is what may be allocated at least while pushes fill their budget. With less, the
	// collector would take too much of the processor's time.
	crowdedPercent = 25
	// maxWithout is how long the collector may not run at a start. Most of what is allocated to load a
	// file stays, so a collection meanwhile would cost time and free little.
	maxWithout = 10 * time.Second
)

// paceCollector adjusts the garbage collector to minHeadroom, and the memory limit to what pushes
// may use, until ctx ends, unless the environment sets GOGC. Until the groups are loaded, which
// closes loaded, or maxWithout has passed, the collector does not run. A memory limit still makes
// it run earlier.
func paceCollector(ctx context.Context, loaded <-chan struct{}, budget *pushbody.Budget, stored func() int64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(-1)
	select {
	case <-ctx.Done():
	case <-loaded:
	case <-time.After(maxWithout):
	}
	collected := make(chan struct{}, 1)
	notifyCollected(collected)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var samples []metrics.Sample
	for _, name := range []string{"/gc/heap/live:bytes", "/memory/classes/total:bytes", "/memory/classes/heap/released:bytes",
		"/memory/classes/heap/free:bytes", "/memory/classes/heap/objects:bytes"} {
		samples = append(samples, metrics.Sample{Name: name})
	}
	value := func(n int) int64 { return int64(samples[n].Value.Uint64()) }
	configured := debug.SetMemoryLimit(-1)
	limit, percent := configured, 0
	for second := true; ; {
		metrics.Read(samples)
		live, overhead := max(value(0), minHeap), value(1)-value(2)-value(3)-value(4)
		wanted := min(configured, maxHeap(live, stored(), budget.Reserved(), budget.Size())+overhead)
		// Each change stops all goroutines for a moment.
		if change := wanted - limit; max(change, -change) > limit/32 {
			debug.SetMemoryLimit(wanted)
			limit = wanted
		}
		if wanted := max(minPercent, int(100*minHeadroom/live)); second && wanted != percent {
			debug.SetGCPercent(wanted)
			percent = wanted
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			second = true
		case <-collected:
			second = false
		}
	}
}

// maxHeap returns how large the heap may become, in bytes, if the last collection found live ones, and
// pushes have reserved a part of their budget. They may use all of it, with their garbage. What is
// used otherwise has garbage of its own.
func maxHeap(live, stored, reserved, budget int64) int64 {
	// Pushes may use less than they have reserved, but what is stored is not theirs.
	others := max(live-reserved, stored)
	return max(others+max(others*minPercent/100+budget, minHeadroom), live+live*crowdedPercent/100)
}

// notifyCollected sends to collected after each collection of garbage, unless one is yet to
// be received.
func notifyCollected(collected chan struct{}) {
	garbage := new([64]byte) // smaller ones share their memory with others
	runtime.AddCleanup(garbage, func(collected chan struct{}) {
		notifyCollected(collected)
		select {
		case collected <- struct{}{}:
		default:
		}
	}, collected)
}

const (
	// minSpare is the least spare memory that is worth giving back.
	minSpare = 16 << 20
	// quietChecks is the number of quiet seconds before memory is given back.
	quietChecks = 2
	// quietBytes is the most that may be allocated in a quiet second.
	quietBytes = 2 << 20
)

// giveMemoryBack gives memory back to the system once the gateway is idle, until ctx ends.
// Go's collector would leave it with the process as long as nothing is allocated.
func giveMemoryBack(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for idle := newIdleness(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if idle.check() {
			debug.FreeOSMemory()
		}
	}
}

// idleness watches what is allocated.
type idleness struct {
	samples   []metrics.Sample
	allocated uint64
	quiet     int    // checks in a row
	kept      uint64 // the least spare memory since the last attempt: what could not be given back
}

func newIdleness() *idleness {
	var i idleness
	for _, name := range []string{"/gc/heap/allocs:bytes", "/gc/heap/live:bytes", "/memory/classes/heap/objects:bytes",
		"/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes"} {
		i.samples = append(i.samples, metrics.Sample{Name: name})
	}
	return &i
}

// check reports whether little was allocated for a while, and much memory can be given back.
func (i *idleness) check() bool {
	metrics.Read(i.samples)
	value := func(n int) uint64 { return i.samples[n].Value.Uint64() }
	allocated, live, resident := value(0), value(1), value(2)+value(3)+value(4)
	return i.checkSizes(allocated, live, resident)
}

// checkSizes is check with the given sizes in bytes: what was allocated since the start, what
// still lives, and the memory of the heap.
func (i *idleness) checkSizes(allocated, live, resident uint64) bool {
	before := i.allocated
	i.allocated = allocated
	i.quiet++
	if i.allocated-before > quietBytes {
		i.quiet = 0
	}
	spare := resident - min(live, resident)
	i.kept = min(i.kept, spare)
	if i.quiet < quietChecks || spare < i.kept+max(minSpare, live/16) {
		return false
	}
	i.quiet, i.kept = 0, math.MaxUint64
	return true
}
