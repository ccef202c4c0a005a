package web

import (
	"fmt"
	"strings"
	"testing"

	"pushgateway/internal/rules"
)

const oneCounted = "# TYPE c counter\nc 1\n"

// TestRejectionsNameTheRule: a rejection says that a rule sums pushes to the group, unless the
// push asks for that itself.
func TestRejectionsNameTheRule(t *testing.T) {
	text := "rules: []"
	s, _ := newTestServer(t, func(c *Config) {
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) { return rules.Parse([]byte(text)) })
	})
	if w := do(s, "POST", "/metrics/job/a", oneCounted); w.Code != 200 {
		t.Fatal(w.Code)
	}
	text = "rules: [{match: '{}', merge: sum}]"
	if err := s.config.Rules.Reload(); err != nil {
		t.Fatal(err)
	}
	const named = "the gateway's rules file says merge: sum for this group"
	for _, body := range []string{oneCounted, "x 1\n"} {
		w := do(s, "POST", "/metrics/job/a", body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), named) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
		w = do(s, "POST", "/metrics/job/a?merge=sum", body)
		if w.Code != 400 || strings.Contains(w.Body.String(), named) {
			t.Errorf("%q, summed as asked for: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestRuleOverMethod: by a rule, PUT and POST merge alike, and PUT resets a group that was not
// summed before. The push's own options override the rule.
func TestRuleOverMethod(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) {
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) {
			return rules.Parse([]byte("rules:\n- match: '{job=\"sum\"}'\n  merge: sum\n- match: '{job=\"put\"}'\n  merge: group\n"))
		})
	})
	for i, step := range []struct {
		method, path string
		status       int
		want         string // the group's counter; empty if it has none
	}{
		{"PUT", "/metrics/job/sum", 200, "1"},
		{"PUT", "/metrics/job/sum", 200, "2"},
		{"POST", "/metrics/job/sum", 200, "3"},
		{"POST", "/metrics/job/sum?merge=family", 400, "3"},
		{"PUT", "/metrics/job/sum?merge=group", 200, "1"},
		{"POST", "/metrics/job/sum", 400, "1"},
		{"PUT", "/metrics/job/sum", 200, "1"},
		{"PUT", "/metrics/job/sum", 200, "2"},
		{"POST", "/metrics/job/sum?gauges=max", 200, "3"},
		{"POST", "/metrics/job/put?gauges=max", 400, ""},
		{"PUT", "/metrics/job/put", 200, "1"},
		{"PUT", "/metrics/job/put?merge=sum", 400, "1"},
	} {
		t.Run(fmt.Sprint(i, " ", step.method, " ", step.path), func(t *testing.T) {
			if w := do(s, step.method, step.path, oneCounted); w.Code != step.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			job, _, _ := strings.Cut(strings.TrimPrefix(step.path, "/metrics/job/"), "?")
			sample := fmt.Sprintf("c{instance=\"\",job=%q} ", job)
			_, got, found := strings.Cut(do(s, "GET", "/metrics", "").Body.String(), sample)
			got, _, _ = strings.Cut(got, "\n")
			if found != (step.want != "") || got != step.want && found {
				t.Errorf("the counter is %q, want %q", got, step.want)
			}
		})
	}
	if g := do(s, "POST", "/metrics/job/put", "other 1\n"); g.Code != 200 {
		t.Fatal(g.Code)
	}
	if strings.Contains(do(s, "GET", "/metrics", "").Body.String(), `c{instance="",job="put"}`) {
		t.Error("POST under the rule merge: group left another family")
	}
}
