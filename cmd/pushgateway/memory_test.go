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
