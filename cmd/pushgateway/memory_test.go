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
