package metric_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pushgateway/internal/metric"
)

func gaugeWith(labels ...metric.Label) metric.Metric {
	return metric.Metric{Labels: labels, HasValue: true}
}

// TestSplit divides random pushes: every metric is in the part of its labels, once,
// in its family.
func TestSplit(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 1))
	for range 500 {
		var families []metric.Family
		total := 0
		for i := range random.IntN(4) {
			f := metric.Family{Name: fmt.Sprint("f", i), Help: "Help.", Type: metric.Gauge}
			for n := range random.IntN(8) {
				labels := []metric.Label{{Name: "job", Value: fmt.Sprint("j", random.IntN(3))}, {Name: "n", Value: fmt.Sprint(n)}}
				if random.IntN(2) == 0 {
					labels = append(labels, metric.Label{Name: "instance", Value: []string{"", "a", "b"}[random.IntN(3)]})
				}
				f.Metrics = append(f.Metrics, gaugeWith(labels...))
				total++
			}
			families = append(families, f)
		}
		parts, err := metric.SplitByGroup(families, []string{"instance", "job"})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, p := range parts {
			if seen[p.Key.ID()] {
				t.Fatalf("two parts for %s", p.Key)
			}
			seen[p.Key.ID()] = true
			names := map[string]bool{}
			for _, f := range p.Families {
				if names[f.Name] || f.Help != "Help." || len(f.Metrics) == 0 {
					t.Fatalf("part %s has the family %+v twice, or not as pushed", p.Key, f)
				}
				names[f.Name] = true
				for _, m := range f.Metrics {
					total--
					for _, name := range []string{"job", "instance"} {
						want := ""
						for _, l := range m.Labels {
							if l.Name == name {
								want = l.Value
							}
						}
						if got, ok := p.Key.Value(name); got != want || ok != (want != "") {
							t.Fatalf("%s is in the part %s", metric.FormatLabels(m.Labels), p.Key)
						}
					}
				}
			}
		}
		if total != 0 {
			t.Fatalf("%d metrics are missing", total)
		}
	}
}

func TestSplitNeedsJobs(t *testing.T) {
	families := []metric.Family{{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{
		gaugeWith(metric.Label{Name: "job", Value: "a"}), gaugeWith(metric.Label{Name: "instance", Value: "a"}),
	}}}
	_, err := metric.SplitByGroup(families, []string{"job"})
	if rejection := (*metric.RejectionError)(nil); !errors.As(err, &rejection) || rejection.Reason != metric.BadOption {
		t.Fatal(err)
	}
}

// TestSplitRejectsInvalidKeys: what would be a key of another group, or of none that can
// be exposed, is rejected before any group is touched.
func TestSplitRejectsInvalidKeys(t *testing.T) {
	for _, job := range []string{"a\xff\xfe", "a\xffi\xffb", "\xc3"} {
		families := []metric.Family{{Name: "m", Type: metric.Gauge,
			Metrics: []metric.Metric{gaugeWith(metric.Label{Name: "job", Value: job})}}}
		_, err := metric.SplitByGroup(families, []string{"job"})
		if rejection := (*metric.RejectionError)(nil); !errors.As(err, &rejection) || rejection.Reason != metric.BadUTF8 {
			t.Errorf("%q: %v", job, err)
		}
	}
}

// TestSplitBound rejects a push to too many groups, and takes one to nearly as many
// in many families, each of which could cost a look at all groups.
func TestSplitBound(t *testing.T) {
	spread := func(groups, families int) []metric.Family {
		out := make([]metric.Family, families)
		for i := range groups {
			f := &out[i%families]
			f.Name = fmt.Sprint("f", i%families)
			f.Metrics = append(f.Metrics, gaugeWith(metric.Label{Name: "job", Value: fmt.Sprint("j", i)}))
		}
		return out
	}
	parts, err := metric.SplitByGroup(spread(100_000, 50_000), []string{"job"})
	if err != nil || len(parts) != 100_000 {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	_, err = metric.SplitByGroup(spread(100_001, 1), []string{"job"})
	if rejection := (*metric.RejectionError)(nil); !errors.As(err, &rejection) || rejection.Reason != metric.TooLarge {
		t.Error(err)
	}
}
