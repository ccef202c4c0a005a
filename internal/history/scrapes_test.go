package history

import (
	"fmt"
	"testing"
	"time"
)

func TestScrapes(t *testing.T) {
	l := New(nil)
	at := time.Unix(1000, 0)
	record := func(source, client string) {
		at = at.Add(time.Second)
		l.RecordScrape(at, source, client)
	}
	check := func(want ...string) {
		t.Helper()
		got := l.Scrapes()
		if len(got) != len(want) {
			t.Fatalf("%v, want %q", got, want)
		}
		for i, s := range got {
			if s.Source+" "+s.Client != want[i] {
				t.Errorf("%d: %v, want %q", i, s, want[i])
			}
		}
		if len(got) > 0 && !got[0].At.Equal(at) {
			t.Errorf("the last scrape was at %v, not %v", got[0].At, at)
		}
	}
	check()
	record("10.0.0.1:1234", "Prometheus/3")
	record("[::1]:5", "vmagent")
	check("::1 vmagent", "10.0.0.1 Prometheus/3")
	record("10.0.0.1:9999", "Prometheus/3") // on another connection
	check("10.0.0.1 Prometheus/3", "::1 vmagent")
	for i := range 20 {
		record(fmt.Sprintf("10.0.1.%d:1", i), "")
	}
	if got := l.Scrapes(); len(got) != maxScrapers || got[0].Source != "10.0.1.19" || got[maxScrapers-1].Source != "10.0.1.12" {
		t.Errorf("%v", got)
	}
}
