package otlp

import (
	"os"
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// inRequest returns a request in JSON, of a single resource with the job "j" and the metrics.
func inRequest(metrics string) string {
	return `{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"j"}}]},` +
		`"scopeMetrics":[{"metrics":` + metrics + `}]}]}`
}

// plenty reserves any memory.
func plenty(int64) error { return nil }

func decodeJSON(t *testing.T, c Config, body string, groupBy ...string) *Request {
	t.Helper()
	r, err := New(c).Decode([]byte(body), JSON, func(metric.GroupingKey) []string { return groupBy }, plenty)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// format writes families in the text format, with how they are merged if their values are deltas, and the
// reasons of rejections.
func format(r *Request) string {
	var b strings.Builder
	rejected := func(r Rejected) {
		if r.First != nil {
			b.WriteString("rejected " + string(r.First.Reason) + ": " + r.First.Message + "\n")
		}
	}
	for _, g := range r.Groups {
		if len(r.Groups) > 1 || len(g.Key.Labels()) > 1 {
			b.WriteString(g.Key.String() + "\n")
		}
		for i := range g.Families {
			f := &g.Families[i]
			if f.Merge == metric.MergeSum {
				b.WriteString("delta ")
			}
			b.WriteString(f.Type.String() + " " + f.Name)
			if f.Unit != "" {
				b.WriteString(" in " + f.Unit)
			}
			b.WriteString("\n")
			for j := range f.Metrics {
				f.Metrics[j].HasTimestamp = false
			}
			b.Write(wire.AppendText(nil, f))
		}
		rejected(g.Rejected)
	}
	rejected(r.Rejected)
	return b.String()
}

// mappings are the cases in testdata/mapping.txt: metrics in JSON and what becomes of them.
var mappings = func() (all []struct{ name, metrics, want string }) {
	text, err := os.ReadFile("testdata/mapping.txt")
	if err != nil {
		panic(err)
	}
	for _, c := range strings.Split("\n"+string(text), "\n# ")[1:] { // after an introduction
		name, rest, _ := strings.Cut(c, "\n")
		metrics, want, _ := strings.Cut(rest, "\n--\n")
		all = append(all, struct{ name, metrics, want string }{name, metrics, strings.TrimSuffix(want, "\n")})
	}
	return all
}()

// TestMapping: each kind of metric becomes the family that Prometheus makes of it.
func TestMapping(t *testing.T) {
	if len(mappings) < 30 {
		t.Errorf("only %d cases", len(mappings))
	}
	for _, c := range mappings {
		t.Run(c.name, func(t *testing.T) {
			got := strings.TrimSuffix(format(decodeJSON(t, Config{}, inRequest(c.metrics))), "\n")
			if got != strings.TrimSuffix(c.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
