package webui

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestFormatAge(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := formatAge(d); got != want {
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

func TestFormatAhead(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := formatAhead(d); got != want {
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
func TestFormatAheadIsNearest(t *testing.T) {
	units := map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour, "days": 24 * time.Hour}
	for d := 500 * time.Millisecond; d < 100*time.Hour; d += 250 * time.Millisecond {
		var n time.Duration
		var unit string
		if _, err := fmt.Sscanf(formatAhead(d), "in %d %s", &n, &unit); err != nil || units[unit] == 0 {
			t.Fatalf("%v: %q, %v", d, formatAhead(d), err)
		}
		if off := (n*units[unit] - d).Abs(); off > units[unit]/2 {
			t.Fatalf("%v: %q is off by %v", d, formatAhead(d), off)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	f := func(n int64, want string) {
		t.Helper()
		if got := formatBytes(n); got != want {
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

func TestFormatNumber(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := formatNumber(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(math.Copysign(0, -1), "0")
	f(258143, "258,143")
	f(2.190807e6, "2,190,807")
	f(-1234, "-1,234")
	f(0.1+0.2, "0.3")
	f(-0.25, "-0.25")
	f(68.437281923, "68.4373")
	f(1234.56789, "1,234.57")
	f(99999.97, "100,000")
	f(1795641937.8825, "1,795,641,938")
	f(1e15, "1e+15")
	f(1.23456789e20, "1.23457e+20")
	f(0.0001234567, "0.000123457")
	f(1.5e-7, "1.5e-07")
	f(math.Inf(1), "+Inf")
	f(math.NaN(), "NaN")
}
