package web

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgateway/internal/metric"
)

// TestRejectionsName: a rejection says what is wrong with which object, and what to do. It is
// logged, counted, and recorded with the group.
func TestRejectionsName(t *testing.T) {
	const histogram = "# TYPE h histogram\n"
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "b"}, {Name: "instance", Value: "i"}})
	for _, c := range []struct {
		name   string
		stored string // pushed to another group before
		body   string
		reason metric.Reason
		want   []string
	}{
		{"timestamp", "", "m 1\nn{l=\"x\"} 2 1700000000000\n", metric.BadTimestamp,
			[]string{"timestamps", `"n"`, "1700000000000"}},
		{"type elsewhere", "# TYPE m gauge\nm 1\n", "# TYPE m counter\nm 1\n", metric.TypeConflict,
			[]string{`"m"`, "counter", "gauge", `{job="a"}`, "# TYPE m gauge", "another name"}},
		{"untyped", "# TYPE m summary\nm_count 1\n", "m 1\n", metric.TypeConflict,
			[]string{"without a TYPE line is untyped"}},
		{"self metric", "", "# TYPE go_goroutines counter\ngo_goroutines 1\n", metric.TypeConflict,
			[]string{"go_goroutines", "gateway's own", "gauge"}},
		{"self metric with labels", "", "pushgateway_http_requests_total 1\n", metric.TypeConflict,
			[]string{"gateway's own", "counter"}},
		{"suffix of a self metric", "", "pushgateway_http_push_size_bytes_count 1\n", metric.SuffixCollision,
			[]string{"pushgateway_http_push_size_bytes", "gateway's own"}},
		{"twice in a push", "", "m{l=\"1\"} 1\nm{l=\"1\"} 2\n", metric.DuplicateSeries,
			[]string{`m{instance="i",job="b",l="1"}`, "twice"}},
		{"suffix of a stored family", histogram + "h_sum 1\nh_count 1\n", "# TYPE h_count counter\nh_count 1\n", metric.SuffixCollision,
			[]string{`"h_count"`, `histogram "h"`, `{job="a"}`}},
		{"a stored family has the suffix", "s_sum 1\n", "# TYPE s summary\ns_count 1\n", metric.SuffixCollision,
			[]string{`"s_sum"`, `summary "s"`, `{job="a"}`}},
		{"suffix in the same push", "", "h_count 1\n" + histogram + "h_bucket{le=\"1\"} 1\n", metric.SuffixCollision,
			[]string{"the same push"}},
		{"suffix of a gauge histogram", "# TYPE h gaugehistogram\nh_count 1\n", "# TYPE h_bucket counter\nh_bucket 1\n", metric.SuffixCollision,
			[]string{`gauge histogram "h"`}},
		{"help", "", "# HELP m \xff\nm 1\n", metric.BadUTF8,
			[]string{"help", `"m"`, "UTF-8"}},
		{"bucket twice", "", histogram + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"1\"} 1\n", metric.DuplicateSeries,
			[]string{`le="1"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, log := newTestServer(t, nil)
			if c.stored != "" {
				if w := do(s, "PUT", "/metrics/job/a", c.stored); w.Code != 200 {
					t.Fatal(w.Code, w.Body)
				}
			}
			w := do(s, "PUT", "/metrics/job/b/instance/i", c.body)
			if w.Code != 400 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			for _, want := range c.want {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("%q does not say %q", w.Body, want)
				}
			}
			if n := testutil.ToFloat64(s.metrics.rejected.WithLabelValues(string(c.reason))); n != 1 {
				t.Errorf("%v rejected for %s", n, c.reason)
			}
			line := log.String()
			inLine := func(text string) bool { return strings.Contains(line, text) }
			attributes := []string{"level=WARN", `{instance=\"i\",job=\"b\"}`, "remote_addr=192.0.2.1:1234", "reason=" + string(c.reason)}
			if strings.Count(line, "\n") != 1 || slices.ContainsFunc(attributes, func(a string) bool { return !inLine(a) }) {
				t.Errorf("logged %q", line)
			}
			if g := s.config.Store.Snapshot().Group(key); g == nil || g.Failed.IsZero() || !g.Pushed.IsZero() {
				t.Errorf("the failure is not recorded: %+v", g)
			}
		})
	}
}

// TestSameSeriesInBodies: labels in a body that the URL overwrites do not make it the series
// of another group.
func TestSameSeriesInBodies(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a", "m{instance=\"i\",job=\"x\"} 1\n")
	if w := do(s, "PUT", "/metrics/job/b/instance/i", "m 1\n"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestSeriesInTwoGroups has labels in the body that make a series that of another
// group.
func TestSeriesInTwoGroups(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a/instance/i", "m 1\n")
	w := do(s, "PUT", "/metrics/job/a", "m{instance=\"i\"} 2\n")
	for _, want := range []string{
		`m{instance="i",job="a"}`, `to group {job="a"}`, `group {instance="i",job="a"} holds it`, "a label that differs",
	} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %q", w.Code, w.Body, want)
		}
	}
	// Two groups that differ in an empty instance label only.
	if w := do(s, "PUT", "/metrics/job/b", "m 1\n"); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	if w := do(s, "PUT", "/metrics/job/b/instance@base64/=", "n 1\n"); w.Code != 400 || !strings.Contains(w.Body.String(), "empty one") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := s.config.Store.Totals().Groups; n != 3 {
		t.Errorf("%d groups, want 3", n)
	}
}

func TestReservedLabels(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for _, c := range []struct{ path, body, label string }{
		{"/metrics/job/a/le/1", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", `"le"`},
		{"/metrics/job/a/quantile/1", "# TYPE s summary\ns_count 1\n", `"quantile"`},
	} {
		t.Run(c.path, func(t *testing.T) {
			w := do(s, "PUT", c.path, c.body)
			if w.Code != 400 || !strings.Contains(w.Body.String(), c.label) || !strings.Contains(w.Body.String(), "URL") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w := do(s, "PUT", c.path, "# TYPE m gauge\nm 1\n"); w.Code != 200 {
				t.Errorf("with a gauge: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestUncheckedAnswers202(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.Unchecked = true })
	if w := do(s, "PUT", "/metrics/job/a", "# TYPE m gauge\nm 1\n"); w.Code != 202 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(s, "PUT", "/metrics/job/b", "# TYPE m counter\nm 1\n"); w.Code != 400 {
		t.Errorf("inconsistent: %d %s", w.Code, w.Body)
	}
}

// A push that conflicts with many groups is told to change, not to delete one of them, in the
// answer as on the pages.
func TestTypeConflictNamesTheSendersFix(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for i := range 90 {
		if w := do(s, "PUT", fmt.Sprintf("/metrics/job/other/instance/i%d", i), "# TYPE x gauge\nx 1\n"); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
	}
	answer := do(s, "PUT", "/metrics/job/mine", "# TYPE x counter\nx 1\n")
	_, section, _ := strings.Cut(do(s, "GET", "/groups/job/mine", "").Body.String(), `<h2 id="rejection">`)
	section, _, _ = strings.Cut(section, "</section>")
	for where, text := range map[string]string{"answer": answer.Body.String(), "page": html.UnescapeString(section)} {
		for _, want := range []string{"90 groups hold it", "as gauge", "pushed as counter", "# TYPE x gauge"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s does not say %q: %s", where, want, text)
			}
		}
		if strings.Contains(text, "DELETE") || strings.Contains(text, "delete") {
			t.Errorf("the %s offers to delete: %s", where, text)
		}
	}
}
