package test

import (
	"net/http"
	"testing"
)

// TestMergeSeries: series with the same labels are replaced, the others stay.
func TestMergeSeries(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a?merge=series"
	p.push(t, http.MethodPut, "/metrics/job/a", `# HELP m Much.
# TYPE m gauge
m{a="1"} 1
m{a="2"} 2
m{a="3",b="x"} 3
# TYPE n counter
n 1
`)
	p.push(t, http.MethodPost, path, "# TYPE m gauge\nm{a=\"2\"} 20\nm{a=\"4\"} 40\nm 50\n# TYPE s summary\ns_sum 1\ns_count 1\n")
	p.wantPushed(t, "a", "m 50", `m{a="1"} 1`, `m{a="2"} 20`, `m{a="3",b="x"} 3`, `m{a="4"} 40`, "n 1", "s_count 1", "s_sum 1")
	wantText(t, p.get(t, "/metrics"), "# HELP m Much.\n")

	// All series of a family in a group have one type.
	p.rejected(t, http.MethodPost, path, "# TYPE m counter\nm{a=\"9\"} 9\n# TYPE n counter\nn 2\n", "m", "counter", "gauge")
	if got := p.rejections(t, "type_conflict"); got != 1 {
		t.Errorf("%v type conflicts counted, want 1", got)
	}
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected push did not set the group's failure time")
	}
	p.wantPushed(t, "a", "m 50", `m{a="1"} 1`, `m{a="2"} 20`, `m{a="3",b="x"} 3`, `m{a="4"} 40`, "n 1", "s_count 1", "s_sum 1")

	// A push that replaces the whole family may change its type.
	p.push(t, http.MethodPost, "/metrics/job/a", "# TYPE m counter\nm{a=\"1\"} 9\n")
	p.wantPushed(t, "a", `m{a="1"} 9`, "n 1", "s_count 1", "s_sum 1")
	// Other groups are left alone.
	p.push(t, http.MethodPost, "/metrics/job/b?merge=series", "# TYPE m counter\nm{a=\"1\"} 100\n")
	p.wantPushed(t, "b", `m{a="1"} 100`)
	p.wantPushed(t, "a", `m{a="1"} 9`, "n 1", "s_count 1", "s_sum 1")
}

// TestRuleMergesPUT: a rule with merge: series or family applies to PUT as well.
func TestRuleMergesPUT(t *testing.T) {
	t.Parallel()
	p := start(t, "--config.file="+rulesFile(t,
		`- {match: '{job="series"}', merge: series}`,
		`- {match: '{job="family"}', merge: family}`))
	for _, line := range []string{`m{a="1"} 1`, `m{a="2"} 2`, `n 3`} {
		p.push(t, http.MethodPut, "/metrics/job/series", line+"\n")
		p.push(t, http.MethodPut, "/metrics/job/family", line+"\n")
	}
	p.wantPushed(t, "series", `m{a="1"} 1`, `m{a="2"} 2`, `n 3`)
	p.wantPushed(t, "family", `m{a="2"} 2`, `n 3`)
}
