package store

import (
	"fmt"
	"sync"
	"testing"
)

func TestCache(t *testing.T) {
	var c cache
	derived := 0
	get := func(kind uint8, variant string) any {
		return c.Cached(Form{kind, variant}, func() any {
			derived++
			return fmt.Sprint(kind, variant)
		})
	}
	for _, step := range []struct {
		kind    uint8
		variant string
		derived int // so far
	}{
		{1, "a", 1}, {1, "a", 1}, {2, "a", 2}, {3, "x", 3}, {1, "a", 3}, {2, "a", 3},
		{2, "b", 4}, // replaces 2a
		{2, "b", 4}, {1, "a", 4}, {3, "x", 4}, {2, "a", 5}, {1, "a", 5},
	} {
		if got, want := get(step.kind, step.variant), fmt.Sprint(step.kind, step.variant); got != want || derived != step.derived {
			t.Errorf("%d%s: %v after %d calls, want %d", step.kind, step.variant, got, derived, step.derived)
		}
	}
	entries := 0
	for e := c.first.Load(); e != nil; e = e.next {
		entries++
	}
	if entries != 3 {
		t.Errorf("%d entries of 3 kinds", entries)
	}
}

func TestCacheIsSafeForConcurrentUse(t *testing.T) {
	var c cache
	var readers sync.WaitGroup
	for n := range 8 {
		readers.Go(func() {
			for i := range 500 {
				kind, variant := uint8(i%4), fmt.Sprint(i%3*n%2)
				if got := c.Cached(Form{kind, variant}, func() any { return variant }); got != variant {
					t.Errorf("%d%s: %v", kind, variant, got)
				}
			}
		})
	}
	readers.Wait()
}
