package webui

import (
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
	f(-time.Hour, "any moment")
	f(time.Second-1, "any moment")
	f(time.Second, "in 1 s")
	f(time.Minute-1, "in 59 s")
	f(time.Minute, "in 1 min")
	f(time.Hour, "in 1 h")
	f(48*time.Hour-1, "in 47 h")
	f(48*time.Hour, "in 2 days")
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
