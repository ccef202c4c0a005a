package test

import (
	"net/http"
	"testing"
)

// sumOfTypes is what one process pushes, and sumOfOthers what another does.
const (
	sumOfTypes = `# HELP c_total Counted.
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
	sumOfOthers = `# TYPE c_total counter
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

// TestSumOfTypes adds up all types of the text format.
func TestSumOfTypes(t *testing.T) {
	t.Parallel()
	p := start(t)
	for gauges, g := range map[string]string{"last": "3", "sum": "8", "min": "3", "max": "5", "": "3"} {
		path := "/metrics/job/" + gauges + "-gauges?merge=sum"
		if gauges != "" {
			path += "&gauges=" + gauges
		}
		p.push(t, http.MethodPost, path, sumOfTypes)
		p.wantPushed(t, gauges+"-gauges", `c_total{code="200"} 9.00719925474e+15`, `c_total{code="404"} 2`, "g 5",
			`h_bucket{le="1"} 1`, `h_bucket{le="2"} 3`, `h_bucket{le="+Inf"} 4`, "h_sum 10.5", "h_count 4", "s_sum 12", "s_count 3")
		p.push(t, http.MethodPost, path, sumOfOthers)
		p.wantPushed(t, gauges+"-gauges",
			`c_total{code="200"} 9.007199254740991e+15`, `c_total{code="404"} 2`, `c_total{code="500"} 1`, "g "+g,
			`h_bucket{le="1"} 5`, `h_bucket{le="2"} 7`, `h_bucket{le="3"} 8`, `h_bucket{le="+Inf"} 9`, "h_sum 15", "h_count 9",
			"s_sum 20", "s_count 5", "only 1")
	}
	wantText(t, p.get(t, "/metrics"), "# HELP c_total Counted.\n")
}

// TestSumRejected: what cannot be added up is rejected with what came with it.
func TestSumRejected(t *testing.T) {
	t.Parallel()
	p := start(t)
	const path = "/metrics/job/a?merge=sum"
	p.push(t, http.MethodPost, path, sumOfTypes)
	before := p.pushedTo(t, "a")
	cases := []struct {
		reason, family string
		because        []string
	}{
		{"merge", "u 1\n", []string{"u", "untyped", "TYPE"}},
		{"merge", "# TYPE u untyped\nu 1\n", []string{"u", "untyped"}},
		{"value", "# TYPE bad counter\nbad -1\n", []string{"bad", "-1"}},
		{"value", "# TYPE bad counter\nbad NaN\n", []string{"bad", "NaN"}},
		{"type_conflict", "# TYPE g counter\ng 1\n", []string{"g", "counter", "gauge"}},
		{"value", "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 1\nh_count 3\n", []string{"h", `le="2"`}},
		{"value", "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 3\n", []string{"h", "count"}},
	}
	want := map[string]float64{}
	for _, c := range cases {
		p.rejected(t, http.MethodPost, path, "# TYPE c_total counter\nc_total{code=\"200\"} 1\n"+c.family, c.because...)
		want[c.reason]++
		wantLines(t, "the group after "+c.family, p.pushedTo(t, "a"), before)
	}
	for reason, n := range want {
		if got := p.rejections(t, reason); got != n {
			t.Errorf("%v pushes counted as rejected for the reason %s, want %v", got, reason, n)
		}
	}
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected pushes left no trace in the group's failure time")
	}
}

// TestSummedOrReplaced: a group is one or the other, and whoever wants the other is
// told how to get there.
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

	// From replaced to summed, by a delete.
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	wantSummed("a", false)
	p.rejected(t, http.MethodPost, sum("a"), one, "merge=sum", "DELETE", "/metrics/job/a", "PUT")
	if p.info(t, "/metrics/job/a").LastFailure == nil {
		t.Error("the rejected push left no trace in the group's failure time")
	}
	p.wantPushed(t, "a", "c 1")
	if a := p.do(t, http.MethodDelete, "/metrics/job/a", ""); a.status != http.StatusAccepted {
		t.Fatalf("DELETE: %d %s", a.status, a.body)
	}
	p.push(t, http.MethodPost, sum("a"), one)
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 2")
	wantSummed("a", true)

	// Nothing is to replace a part of sums.
	for _, merge := range []string{"", "?merge=family", "?merge=series"} {
		p.rejected(t, http.MethodPost, "/metrics/job/a"+merge, one, "merge=sum", "PUT", "delete")
		p.rejected(t, http.MethodPost, "/metrics/job/a"+merge, "# TYPE other counter\nother 1\n", "merge=sum")
	}
	p.wantPushed(t, "a", "c 2")
	if got := p.rejections(t, "merge"); got != 7 {
		t.Errorf("%v pushes counted as rejected for the reason merge, want 7", got)
	}

	// A push of nothing touches the time, and nothing else.
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

	// From summed to replaced, by PUT, or by POST that means the same.
	p.push(t, http.MethodPut, "/metrics/job/a", "# TYPE c counter\nc 7\n")
	p.wantPushed(t, "a", "c 7")
	wantSummed("a", false)
	p.rejected(t, http.MethodPost, sum("a"), one, "merge=sum")
	p.push(t, http.MethodPost, "/metrics/job/a", one)
	p.push(t, http.MethodPost, "/metrics/job/b?merge=sum", one)
	p.push(t, http.MethodPost, "/metrics/job/b?merge=group", one)
	wantSummed("b", false)

	// And to summed again, by an empty PUT.
	p.push(t, http.MethodPut, "/metrics/job/a", "")
	p.push(t, http.MethodPost, sum("a"), one)
	p.push(t, http.MethodPost, sum("a"), one)
	p.wantPushed(t, "a", "c 2")

	// A group whose first push was rejected is neither.
	p.rejected(t, http.MethodPut, "/metrics/job/new", "new 1 1700000000000\n")
	p.push(t, http.MethodPost, sum("new"), one)
	p.wantPushed(t, "new", "c 1")
}

// TestEmptySumToReplacedGroup: a push of nothing cannot make sums of values that were
// pushed otherwise.
func TestEmptySumToReplacedGroup(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n"
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.push(t, http.MethodPost, "/metrics/job/a?merge=sum", "")
	if p.info(t, "/metrics/job/a").Summed {
		t.Error("the group counts as summed since a push of nothing")
	}
	p.push(t, http.MethodPost, "/metrics/job/a", one)
	p.rejected(t, http.MethodPost, "/metrics/job/a?merge=sum", one, "merge=sum")
	p.wantPushed(t, "a", "c 1")
}

// TestRuleSumsPUT: by a rule clients that know nothing of it add up, whatever
// their method.
func TestRuleSumsPUT(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 1\n"
	const two = "# TYPE c counter\nc 1\n# TYPE g gauge\ng 0\n"
	p := start(t, "--config.file="+rulesFile(t,
		`- {match: '{job=~"sum.*"}', merge: sum, gauges: max}`,
		`- {match: '{job="series"}', merge: series}`,
		`- {match: '{job=~"s.*"}', merge: group}`, // comes too late
		`- {match: '{job="gone"}', merge: group}`,
	))
	p.push(t, http.MethodPut, "/metrics/job/sum", one)
	p.push(t, http.MethodPut, "/metrics/job/sum", two)
	p.push(t, http.MethodPost, "/metrics/job/sum", two)
	p.wantPushed(t, "sum", "c 3", "g 1")
	p.push(t, http.MethodPut, "/metrics/job/sum?gauges=last", two) // goes with the rule's merge
	p.wantPushed(t, "sum", "c 4", "g 0")
	p.push(t, http.MethodPut, "/metrics/job/sum", "")
	p.wantPushed(t, "sum", "c 4", "g 0")

	// What it says itself stands above. Then PUT begins the sum anew.
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
