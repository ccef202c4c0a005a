package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestIdleness: memory is worth giving back once nothing has been allocated for a while, and
// only as long as there is much of it.
func TestIdleness(t *testing.T) {
	debug.FreeOSMemory()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	idle := newIdleness()
	quiet := func() (worth bool) {
		for range quietChecks {
			worth = idle.check() || worth
		}
		return worth
	}
	if quiet() {
		t.Error("little memory is given back")
	}
	garbage := make([]byte, 2*minSpare)
	runtime.KeepAlive(garbage)
	for range quietChecks - 1 {
		if idle.check() {
			t.Error("memory is given back too early")
		}
	}
	if !quiet() {
		t.Error("much memory is not given back")
	}
	debug.FreeOSMemory()
	if quiet() {
		t.Error("memory is given back twice")
	}
}

// TestIdlenessKeptMemory: memory that cannot be given back, because garbage lies among what lives, is
// no reason to try again.
func TestIdlenessKeptMemory(t *testing.T) {
	var idle idleness
	quiet := func(live, resident uint64) (worth bool) {
		for range quietChecks {
			worth = idle.checkSizes(0, live, resident) || worth
		}
		return worth
	}
	const live, kept = 100 << 20, 50 << 20
	for _, step := range []struct {
		live, resident uint64
		worth          bool
	}{
		{live, live + kept + minSpare, true},
		{live, live + kept, false},
		{live, live + kept, false},
		{live, live + kept + minSpare, true},
		{live, live + kept, false},
		{live / 2, live + kept, true}, // half of the groups have been deleted
	} {
		if worth := quiet(step.live, step.resident); worth != step.worth {
			t.Errorf("%d MiB for %d MiB that live: worth giving back is %v", step.resident>>20, step.live>>20, worth)
		}
	}
}

// TestMaxHeap: pushes and their garbage take no more than their budget. What is used otherwise has garbage
// of 40 %, or 32 MiB if that is more than it and the budget.
func TestMaxHeap(t *testing.T) {
	for _, c := range []struct {
		name                                 string
		live, stored, reserved, budget, want int64 // MiB
	}{
		{"no push", 100, 60, 0, 100, 240},
		{"no push, a tiny budget", 8, 4, 0, 1, 40},
		{"small pushes", 1000, 600, 10, 16, 1402},
		{"much stored, the budget filled", 1032, 600, 32, 32, 1432},
		{"little stored, half of the budget filled", 60, 20, 50, 100, 128},
		{"little stored, the budget filled", 90, 20, 100, 100, 128},
		{"more than the budget in use", 160, 20, 100, 50, 200},
	} {
		if got := maxHeap(c.live<<20, c.stored<<20, c.reserved<<20, c.budget<<20) >> 20; got != c.want {
			t.Errorf("%s: %d MiB, want %d MiB", c.name, got, c.want)
		}
	}
}

// TestNotifyCollected: each collection is noticed, not only the first.
func TestNotifyCollected(t *testing.T) {
	collected := make(chan struct{}, 1)
	notifyCollected(collected)
	for range 3 {
		runtime.GC()
		<-collected
	}
}
