package words

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := Age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	f(-time.Nanosecond, "in the future")
	f(0, "just now")
	f(time.Second, "1 s ago")
	f(time.Minute-1, "59 s ago")
	f(time.Minute, "1 min ago")
	f(time.Hour, "1 h ago")
	f(47*time.Hour, "47 h ago")
	f(48*time.Hour, "2 days ago")
}

func TestAhead(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := Ahead(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	const day = 24 * time.Hour
	f(-time.Hour, "any moment")
	f(time.Second/2-1, "any moment")
	f(time.Second/2, "in 1 s")
	f(20*time.Second-1, "in 20 s")
	f(90*time.Second-1, "in 90 s")
	f(119499*time.Millisecond, "in 119 s")
	f(119500*time.Millisecond, "in 2 min")
	f(90*time.Minute-1, "in 90 min")
	f(2*time.Hour-30*time.Second-1, "in 119 min")
	f(2*time.Hour-30*time.Second, "in 2 h")
	f(36*time.Hour-1, "in 36 h")
	f(2*day-30*time.Minute-1, "in 47 h")
	f(2*day-30*time.Minute, "in 2 days")
	f(2*day-3*time.Second, "in 2 days")
	f(30*day-3*time.Second, "in 30 days")
	f(math.MaxInt64, "in 106751 days")
}

// What counts down is never off by more than half of the unit that it is in, whatever
// unit it goes over to, and so never jumps.
func TestAheadIsNearest(t *testing.T) {
	units := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour, "days": 24 * time.Hour}
	for d := 500 * time.Millisecond; d < 100*time.Hour; d += 250 * time.Millisecond {
		var n time.Duration
		var unit string
		if _, err := fmt.Sscanf(Ahead(d), "in %d %s", &n, &unit); err != nil || units[unit] == 0 {
			t.Fatalf("%v: %q, %v", d, Ahead(d), err)
		}
		if off := (n*units[unit] - d).Abs(); off > units[unit]/2 {
			t.Fatalf("%v: %q is off by %v", d, Ahead(d), off)
		}
	}
}

func TestBytes(t *testing.T) {
	f := func(n int64, want string) {
		t.Helper()
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	f(0, "0 B")
	f(1023, "1023 B")
	f(1024, "1.0 KiB")
	f(1536, "1.5 KiB")
	f(5<<30, "5.0 GiB")
	f(1<<62, "4194304.0 TiB")
}
