package test

import (
	"net/http"
	"strings"
	"testing"
)

// firstSummand and secondSummand are pushes of two processes.
const (
	firstSummand = `# HELP c_total Counted.
# TYPE c_total counter
c_total{code="200"} 9007199254740000
c_total{code="404"} 2
# TYPE g gauge
g 5
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="2"} 3
h_bucket{le="+Inf"} 4
h_sum 10.5
h_count 4
# TYPE s summary
s{quantile="0.5"} 4
s_sum 12
s_count 3
`
	secondSummand = `# TYPE c_total counter
c_total{code="200"} 991
c_total{code="500"} 1
# TYPE g gauge
g 3
# TYPE h histogram
h_bucket{le="1"} 4
h_bucket{le="3"} 5
h_bucket{le="+Inf"} 5
h_sum 4.5
h_count 5
# TYPE s summary
s{quantile="0.5"} 1
s{quantile="0.9"} 2
s_sum 8
s_count 2
# TYPE only gauge
only 1
`
)

// TestSumOfTypes sums all types of the text format.
func TestSumOfTypes(t *testing.T) {
	t.Parallel()
	p := start(t)
	for gauges, g := range map[string]string{"last": "3", "sum": "8", "min": "3", "max": "5", "": "3"} {
		t.Run("gauges="+gauges, func(t *testing.T) {
			path := "/metrics/job/" + gauges + "-gauges?merge=sum"
			if gauges != "" {
				path += "&gauges=" + gauges
			}
			p.push(t, http.MethodPost, path, firstSummand)
			p.wantPushed(t, gauges+"-gauges", `c_total{code="200"} 9.00719925474e+15`, `c_total{code="404"} 2`, "g 5",
				`h_bucket{le="1"} 1`, `h_bucket{le="2"} 3`, `h_bucket{le="+Inf"} 4`, "h_sum 10.5", "h_count 4", "s_sum 12", "s_count 3")
			p.push(t, http.MethodPost, path, secondSummand)
			p.wantPushed(t, gauges+"-gauges",
				`c_total{code="200"} 9.007199254740991e+15`, `c_total{code="404"} 2`, `c_total{code="500"} 1`, "g "+g,
				`h_bucket{le="1"} 5`, `h_bucket{le="2"} 7`, `h_bucket{le="3"} 8`, `h_bucket{le="+Inf"} 9`, "h_sum 15", "h_count 9",
				"s_sum 20", "s_count 5", "only 1")
		})
	}
	wantText(t, p.get(t, "/metrics"), "# HELP c_total Counted.\n")
}

// TestSumRejected: a push with a family that cannot be summed is rejected as a whole.
func TestSumRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a?merge=sum"
	p.push(t, http.MethodPost, path, firstSummand)
	before := p.pushedTo(t, "a")
	histogram := func(samples ...string) string { return "# TYPE h histogram\n" + strings.Join(samples, "\n") + "\n" }
	cases := []struct {
		reason, family string
		because        []string
	}{
		{"merge", "u 1\n", []string{"u", "untyped", "TYPE"}},
		{"merge", "# TYPE u untyped\nu 1\n", []string{"u", "untyped"}},
		{"value", "# TYPE bad counter\nbad -1\n", []string{"bad", "-1"}},
		{"value", "# TYPE bad counter\nbad NaN\n", []string{"bad", "NaN"}},
		{"type_conflict", "# TYPE g counter\ng 1\n", []string{"g", "counter", "gauge"}},
		{
			"value", histogram(`h_bucket{le="1"} 3`, `h_bucket{le="2"} 2`, `h_bucket{le="+Inf"} 3`, "h_sum 1", "h_count 3"),
			[]string{"h", `le="2"`},
		},
		{"value", histogram(`h_bucket{le="1"} 3`, `h_bucket{le="+Inf"} 4`, "h_sum 1", "h_count 3"), []string{"h", "count"}},
	}
	want := map[string]float64{}
	for _, c := range cases {
		want[c.reason]++
		t.Run(c.family, func(t *testing.T) {
			p.rejected(t, http.MethodPost, path, "# TYPE c_total counter\nc_total{code=\"200\"} 1\n"+c.family, c.because...)
			wantLines(t, "the group", p.pushedTo(t, "a"), before)
		})
	}
	for reason, n := range want {
		if got := p.rejections(t, reason); got != n {
			t.Errorf("%v pushes counted as rejected for %s, want %v", got, reason, n)
		}
	}
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected pushes did not set the group's failure time")
	}
}

// TestSummedOrReplaced: a group is either summed or replaced. The message of a push
// that does not fit names the way from one to the other.
func TestSummedOrReplaced(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n"
	sum := func(job string) string { return "/metrics/job/" + job + "?merge=sum" }
	p := start(t)
	wantSummed := func(job string, want bool) {
		t.Helper()
		if got := p.info(t, "/metrics/job/"+job).Summed; got != want {
			t.Errorf("group %s: summed is %v, want %v", job, got, want)
		}
	}

	// From replaced to summed, after a DELETE.
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	wantSummed("a", false)
	p.rejected(t, http.MethodPost, sum("a"), one, "merge=sum", "DELETE", "/metrics/job/a")
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected push did not set the group's failure time")
	}
	p.wantPushed(t, "a", "c 1")
	if a := p.do(t, http.MethodDelete, "/metrics/job/a", ""); a.status != http.StatusAccepted {
		t.Fatalf("DELETE: %d %s", a.status, a.body)
	}
	p.push(t, http.MethodPost, sum("a"), one)
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 2")
	wantSummed("a", true)

	// A push cannot replace a part of sums.
	for _, merge := range []string{"", "?merge=family", "?merge=series"} {
		p.rejected(t, http.MethodPost, "/metrics/job/a"+merge, one, "merge=sum", "PUT", "merge=group")
		p.rejected(t, http.MethodPost, "/metrics/job/a"+merge, "# TYPE other counter\nother 1\n", "merge=sum")
	}
	p.wantPushed(t, "a", "c 2")
	if got := p.rejections(t, "merge"); got != 7 {
		t.Errorf("%v pushes counted as rejected for merge, want 7", got)
	}

	// An empty push changes nothing but the push time.
	for _, merge := range []string{"", "?merge=family", "?merge=series", "?merge=sum"} {
		before := *p.info(t, "/metrics/job/a").LastPush
		p.push(t, http.MethodPost, "/metrics/job/a"+merge, "")
		if after := *p.info(t, "/metrics/job/a").LastPush; !after.After(before) {
			t.Errorf("an empty push %s left the push time at %v", merge, after)
		}
		wantSummed("a", true)
		p.wantPushed(t, "a", "c 2")
	}
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 3")

	// From summed to replaced, with PUT or with merge=group.
	p.push(t, http.MethodPut, "/metrics/job/a", "# TYPE c counter\nc 7\n")
	p.wantPushed(t, "a", "c 7")
	wantSummed("a", false)
	p.rejected(t, http.MethodPost, sum("a"), one, "merge=sum")
	p.push(t, http.MethodPost, "/metrics/job/a", one)
	p.push(t, http.MethodPost, "/metrics/job/b?merge=sum", one)
	p.push(t, http.MethodPost, "/metrics/job/b?merge=group", one)
	wantSummed("b", false)

	// And to summed again, after an empty PUT.
	p.push(t, http.MethodPut, "/metrics/job/a", "")
	p.push(t, http.MethodPost, sum("a"), one)
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 2")

	// A group whose first push was rejected can become either.
	p.rejected(t, http.MethodPut, "/metrics/job/new", "new 1 1700000000000\n")
	p.push(t, http.MethodPost, sum("new"), one)
	p.wantPushed(t, "new", "c 1")
}

// TestEmptySumToReplacedGroup: an empty push with merge=sum does not make a replaced
// group a summed one.
func TestEmptySumToReplacedGroup(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n"
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.push(t, http.MethodPost, "/metrics/job/a?merge=sum", "")
	if p.info(t, "/metrics/job/a").Summed {
		t.Error("the group is summed after an empty push")
	}
	p.push(t, http.MethodPost, "/metrics/job/a", one)
	p.rejected(t, http.MethodPost, "/metrics/job/a?merge=sum", one, "merge=sum")
	p.wantPushed(t, "a", "c 1")
}

// TestRuleSumsPUT: a rule with merge: sum applies to every push, whatever its method.
func TestRuleSumsPUT(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 1\n"
	const two = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 0\n"
	p := start(t, "--config.file="+rulesFile(t,
		`- {match: '{job=~"sum.*"}', merge: sum, gauges: max}`,
		`- {match: '{job="series"}', merge: series}`,
		`- {match: '{job=~"s.*"}', merge: group}`, // comes after a rule that matches
		`- {match: '{job="gone"}', merge: group}`,
	))
	p.push(t, http.MethodPut, "/metrics/job/sum", one)
	p.push(t, http.MethodPut, "/metrics/job/sum", two)
	p.push(t, http.MethodPost, "/metrics/job/sum", two)
	p.wantPushed(t, "sum", "c 3", "g 1")
	p.push(t, http.MethodPut, "/metrics/job/sum?gauges=last", two) // together with the merge of the rule
	p.wantPushed(t, "sum", "c 4", "g 0")
	p.push(t, http.MethodPut, "/metrics/job/sum", "")
	p.wantPushed(t, "sum", "c 4", "g 0")

	// An option of the push overrides the rule. PUT then resets the sum.
	p.push(t, http.MethodPut, "/metrics/job/sum?merge=group", one)
	p.wantPushed(t, "sum", "c 1", "g 1")
	p.push(t, http.MethodPost, "/metrics/job/sum?merge=family", "# TYPE c counter\nc 5\n")
	p.wantPushed(t, "sum", "c 5", "g 1")
	p.rejected(t, http.MethodPost, "/metrics/job/sum", one, "merge=sum", "PUT")
	p.push(t, http.MethodPut, "/metrics/job/sum", "# TYPE c counter\nc 10\n")
	p.wantPushed(t, "sum", "c 10")
	p.push(t, http.MethodPut, "/metrics/job/sum", one)
	p.wantPushed(t, "sum", "c 11", "g 1")

	p.rejected(t, http.MethodPut, "/metrics/job/series?gauges=max", "x 1\n", "gauges")
	p.push(t, http.MethodPost, "/metrics/job/gone", "x 1\n")
	p.push(t, http.MethodPost, "/metrics/job/gone", "y 1\n")
	p.wantPushed(t, "gone", "y 1")
}
