package web

import (
	"fmt"
	"strings"
	"testing"
)

// TestBulkInBatches sends a bulk push that is too large for one batch, family by family, so
// that each batch has metrics of all groups.
func TestBulkInBatches(t *testing.T) {
	const groups, families, series = 50, 20, 20
	body := func(extra string) string {
		var b strings.Builder
		for f := range families {
			fmt.Fprintf(&b, "# HELP m%d Help.\n# TYPE m%d gauge\n", f, f)
			for s := range series {
				for g := range groups {
					fmt.Fprintf(&b, "m%d{job=\"j%d\",l=\"%d\"} %d\n", f, g, series-s, s)
				}
			}
		}
		b.WriteString("# TYPE h histogram\n")
		for g := range groups {
			fmt.Fprintf(&b, "h_bucket{job=\"j%d\",le=\"+Inf\"} 1\nh_sum{job=\"j%d\"} 2\nh_count{job=\"j%d\"} 1\n", g, g, g)
		}
		return b.String() + extra
	}
	const path = "/api/v1/push?group_by=job"
	t.Run("all applied", func(t *testing.T) {
		s, _ := newTestServer(t, nil)
		if w := do(s, "POST", path, body("")); w.Code != 200 || !strings.Contains(w.Body.String(), `"applied":50`) {
			t.Fatalf("%d %.300s", w.Code, w.Body)
		}
		one, _ := newTestServer(t, nil)
		for g := range groups {
			var b strings.Builder
			for f := range families {
				fmt.Fprintf(&b, "# HELP m%d Help.\n# TYPE m%d gauge\n", f, f)
				for s := range series {
					fmt.Fprintf(&b, "m%d{l=\"%d\"} %d\n", f, series-s, s)
				}
			}
			b.WriteString("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n")
			if w := do(one, "POST", fmt.Sprintf("/metrics/job/j%d", g), b.String()); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		samples := func(s *Server) string {
			var b strings.Builder
			for line := range strings.Lines(do(s, "GET", "/metrics", "").Body.String()) {
				if name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "); name[0] == 'm' ||
					strings.HasPrefix(name, "h_") {
					b.WriteString(line)
				}
			}
			return b.String()
		}
		if got, want := samples(s), samples(one); got != want || len(got) < groups*families*series*10 {
			t.Errorf("got %d bytes of samples, want %d", len(got), len(want))
		}
	})
	for _, c := range []struct{ name, extra, says string }{
		{"a series twice, in different batches", "m0{job=\"j7\",l=\"1\"} 1\n", "twice"},
		{"a reserved label in the last batch", "h_count{job=\"j7\",__x=\"1\"} 1\n", "reserved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			w := do(s, "POST", path, body(c.extra))
			if w.Code != 207 || !strings.Contains(w.Body.String(), `"applied":49`) || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%d %.300s", w.Code, w.Body)
			}
		})
	}
	t.Run("a metric without a job in the last batch", func(t *testing.T) {
		s, _ := newTestServer(t, nil)
		if w := do(s, "POST", path, body("z 1\n")); w.Code != 400 || s.config.Store.Totals().Groups != 0 {
			t.Errorf("%d %.300s", w.Code, w.Body)
		}
	})
	t.Run("lines of a histogram apart", func(t *testing.T) {
		s, _ := newTestServer(t, nil)
		if w := do(s, "POST", path, body("h_bucket{job=\"j0\",le=\"1\"} 1\n")); w.Code != 200 {
			t.Errorf("%d %.300s", w.Code, w.Body)
		}
		if scrape := do(s, "GET", "/metrics", "").Body.String(); !strings.Contains(scrape, `h_bucket{instance="",job="j0",le="1"} 1`) {
			t.Error("the bucket is missing")
		}
	})
}
