package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pushgateway/internal/rules"
)

// exposed returns the exposed samples of the named metrics.
func exposed(s *Server, names ...string) []string {
	var found []string
	for line := range strings.Lines(do(s, "GET", "/metrics", "").Body.String()) {
		name, _, _ := strings.Cut(line, "{")
		if slices.Contains(names, name) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

const twoPods = `# TYPE c counter
c{pod="1",code="200"} 1
c{pod="2",code="200"} 2
c{pod="2",code="500"} 4
# TYPE g gauge
g{pod="1"} 5
g{pod="2"} 3
# TYPE h histogram
h_bucket{pod="1",le="1"} 1
h_bucket{pod="1",le="+Inf"} 2
h_sum{pod="1"} 3
h_count{pod="1"} 2
h_bucket{pod="2",le="1"} 10
h_bucket{pod="2",le="+Inf"} 20
h_sum{pod="2"} 30
h_count{pod="2"} 20
`

// TestDropLabels drops a label of metrics that are then the same series: their sum is pushed,
// and added to the group.
func TestDropLabels(t *testing.T) {
	for _, c := range []struct {
		gauges string
		want   string // the value of the gauge
	}{{"", "3"}, {"&gauges=sum", "8"}, {"&gauges=max", "5"}, {"&gauges=min", "3"}} {
		t.Run("gauges"+c.gauges, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			if w := do(s, "POST", "/metrics/job/x?merge=sum&drop_labels=pod"+c.gauges, twoPods); w.Code != 200 {
				t.Fatal(w.Code, w.Body)
			}
			want := []string{
				`c{code="200",instance="",job="x"} 3`, `c{code="500",instance="",job="x"} 4`, `g{instance="",job="x"} ` + c.want,
				`h_bucket{instance="",job="x",le="1"} 11`, `h_bucket{instance="",job="x",le="+Inf"} 22`,
				`h_sum{instance="",job="x"} 33`, `h_count{instance="",job="x"} 22`,
			}
			if got := exposed(s, "c", "g", "h_bucket", "h_sum", "h_count"); !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			do(s, "POST", "/metrics/job/x?merge=sum&drop_labels=pod", twoPods)
			if got := exposed(s, "c"); got[0] != `c{code="200",instance="",job="x"} 6` {
				t.Errorf("after a second push: %q", got)
			}
		})
	}
}

// TestDropLabelsOfLargePush drops labels of a push that is encoded in several batches.
func TestDropLabelsOfLargePush(t *testing.T) {
	s, _ := newTestServer(t, nil)
	var body strings.Builder
	body.WriteString("# TYPE c counter\n# TYPE g gauge\n")
	const pods = 60_000
	for i := range pods {
		fmt.Fprintf(&body, "c{pod=\"%d\",code=\"%d\",filler=\"%s\"} 1\n", i, i%3, strings.Repeat("x", 40))
	}
	for i := range pods {
		fmt.Fprintf(&body, "g{pod=\"%d\",filler=\"%s\"} %d\n", i, strings.Repeat("x", 40), i)
	}
	if w := do(s, "POST", "/metrics/job/x?merge=sum&drop_labels=pod,filler", body.String()); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	want := []string{
		`c{code="0",instance="",job="x"} 20000`, `c{code="1",instance="",job="x"} 20000`, `c{code="2",instance="",job="x"} 20000`,
		fmt.Sprintf(`g{instance="",job="x"} %d`, pods-1),
	}
	if got := exposed(s, "c", "g"); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if n := s.config.Store.Totals().Series; n != len(want)+2 { // and the push times
		t.Errorf("%d series", n)
	}
	w := do(s, "POST", "/metrics/job/y?drop_labels=pod,filler", body.String())
	if w.Code != 400 || !strings.Contains(w.Body.String(), "push with merge=sum") {
		t.Errorf("without merge=sum: %d %s", w.Code, w.Body)
	}
}

// TestDropLabelsWithoutSum: without merge=sum, dropping labels must leave the series apart.
func TestDropLabelsWithoutSum(t *testing.T) {
	s, _ := newTestServer(t, nil)
	if w := do(s, "PUT", "/metrics/job/x?drop_labels=pod", "m{pod=\"1\",l=\"a\"} 1\nm{pod=\"2\",l=\"b\"} 2\n"); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	if got := exposed(s, "m"); !slices.Equal(got, []string{`m{instance="",job="x",l="a"} 1`, `m{instance="",job="x",l="b"} 2`}) {
		t.Errorf("got %q", got)
	}
	w := do(s, "PUT", "/metrics/job/y?drop_labels=pod", twoPods)
	for _, want := range []string{"without the labels to drop (pod)", "push with merge=sum"} {
		if w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %q", w.Code, w.Body, want)
		}
	}
	if w := do(s, "POST", "/metrics/job/z?drop_labels=pod&merge=sum", twoPods); w.Code != 200 {
		t.Errorf("following the advice: %d %s", w.Code, w.Body)
	}
}

// TestDropLabelsOfGroup: labels of the group stay. A push that asks to drop one is rejected,
// and a rule drops those of the metrics only.
func TestDropLabelsOfGroup(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) {
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) {
			return rules.Parse([]byte("rules: [{match: '{}', drop_labels: [instance, pod]}]"))
		})
	})
	body := "m{instance=\"own\",pod=\"1\"} 1\n"
	w := do(s, "PUT", "/metrics/job/x/instance/i?drop_labels=pod,instance", body)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `label of the group {instance="i",job="x"}`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for path, want := range map[string]string{
		"/metrics/job/a/instance/i":               `m{instance="i",job="a"} 1`,
		"/metrics/job/b":                          `m{instance="",job="b"} 1`,
		"/with/drop_labels=pod/metrics/job/c":     `m{instance="own",job="c"} 1`,
		"/metrics/job/d/pod/1?drop_labels=other,": "",
	} {
		w := do(s, "PUT", path, body)
		if want == "" {
			if w.Code != 400 {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			continue
		}
		if got := exposed(s, "m"); w.Code != 200 || !slices.Contains(got, want) {
			t.Errorf("%s: %d %s, exposed %q", path, w.Code, w.Body, got)
		}
	}
}
