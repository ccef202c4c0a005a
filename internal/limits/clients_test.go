package limits

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestClientsEachHaveTheirOwnRate(t *testing.T) {
	c := NewClients(2, 3, 100)
	for i := range 3 {
		if _, wait := c.Take("a", noon); wait != 0 {
			t.Fatalf("request %d of the burst has to wait %v", i+1, wait)
		}
	}
	if _, wait := c.Take("a", noon); wait != 500*time.Millisecond {
		t.Errorf("beyond the burst: wait %v, want 500ms", wait)
	}
	if _, wait := c.Take("b", noon); wait != 0 {
		t.Errorf("another client has to wait %v", wait)
	}
	if _, wait := c.Take("a", noon.Add(500*time.Millisecond)); wait != 0 {
		t.Errorf("after the wait: wait %v", wait)
	}
}

func TestGivenBackRequestsDoNotCount(t *testing.T) {
	c := NewClients(1, 1, 100)
	for i := range 10 {
		giveBack, wait := c.Take("a", noon)
		if wait != 0 {
			t.Fatalf("request %d has to wait %v", i+1, wait)
		}
		giveBack()
	}
}

func TestClientsAreBounded(t *testing.T) {
	c := NewClients(1, 1, 100)
	for i := range 10_000 {
		c.Take(fmt.Sprint(i), noon)
		if _, wait := c.Take("busy", noon); i > 0 && wait == 0 {
			t.Fatalf("a client that keeps asking was forgotten after %d others", i)
		}
		if n := len(c.recent) + len(c.older); n > 100 {
			t.Fatalf("%d clients are remembered, want at most 100", n)
		}
	}
}

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":           "192.0.2.7",
		"::ffff:192.0.2.7":    "192.0.2.7",
		"2001:db8:1:2:3::4":   "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::": "2001:db8:1:2::/64",
		"fe80::1%eth0":        "fe80::/64",
	} {
		if got := Source(netip.MustParseAddr(address)); got != want {
			t.Errorf("Source(%s) = %s, want %s", address, got, want)
		}
	}
}
