package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// naive is the gateway as naive as can be: it stores families and, to check a
// push, gathers everything with client_golang.
type naive struct {
	groups map[string]naiveGroup
	own    prometheus.Gatherer
}

type naiveGroup struct {
	key            metric.GroupingKey
	families       map[string]*dto.MetricFamily
	pushed, failed float64
}

func (m *naive) push(key metric.GroupingKey, families map[string]*dto.MetricFamily, replace bool, at float64) error {
	old, existed := m.groups[key.ID()]
	next := naiveGroup{key: key, families: map[string]*dto.MetricFamily{}, pushed: at, failed: old.failed}
	if !replace {
		for name, f := range old.families {
			next.families[name] = f
		}
	}
	for name, f := range families {
		next.families[name] = f
	}
	m.groups[key.ID()] = next
	_, err := m.gather()
	if err == nil {
		return nil
	}
	failed := naiveGroup{key: key, families: old.families, pushed: old.pushed, failed: at}
	m.groups[key.ID()] = failed
	if _, err := m.gather(); err != nil && !existed {
		delete(m.groups, key.ID()) // not even the failure can be exposed
	}
	return err
}

func (m *naive) gather() ([]*dto.MetricFamily, error) {
	types := map[string]dto.MetricType{} // that untyped gives way to
	for _, g := range m.groups {
		for name, f := range g.families {
			if typ := f.GetType(); typ == dto.MetricType_COUNTER || typ == dto.MetricType_GAUGE {
				types[name] = typ
			}
		}
	}
	gatherers := prometheus.Gatherers{m.own}
	for _, g := range m.groups {
		gatherers = append(gatherers, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			all := []*dto.MetricFamily{
				timeFamily(store.PushTime, g.key, g.pushed),
				timeFamily(store.FailureTime, g.key, g.failed),
			}
			for name, f := range g.families {
				if typ, ok := types[name]; ok {
					f = withType(f, typ)
				}
				all = append(all, f)
			}
			return all, nil
		}))
	}
	return gatherers.Gather()
}

// withType returns an untyped family as of the type, which is counter or gauge, and others
// as they are.
func withType(f *dto.MetricFamily, typ dto.MetricType) *dto.MetricFamily {
	if f.GetType() != dto.MetricType_UNTYPED {
		return f
	}
	f = proto.Clone(f).(*dto.MetricFamily)
	f.Type = typ.Enum()
	for _, m := range f.Metric {
		if typ == dto.MetricType_COUNTER {
			m.Counter = &dto.Counter{Value: m.Untyped.Value}
		} else {
			m.Gauge = &dto.Gauge{Value: m.Untyped.Value}
		}
		m.Untyped = nil
	}
	return f
}

func timeFamily(name string, key metric.GroupingKey, value float64) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: &name, Type: dto.MetricType_GAUGE.Enum(),
		Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &value}}}}
	giveLabels(f, key)
	return f
}

// giveLabels gives the labels of a grouping key to all metrics of the family.
func giveLabels(f *dto.MetricFamily, key metric.GroupingKey) {
	for _, m := range f.Metric {
		labels := map[string]string{"instance": ""}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		for _, l := range key.Labels() {
			labels[l.Name] = l.Value
		}
		m.Label = nil
		for name, value := range labels {
			m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(name), Value: proto.String(value)})
		}
		slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
	}
}

// sortedLines writes families as sorted lines, without help.
func sortedLines(t *testing.T, families []*dto.MetricFamily) []string {
	t.Helper()
	var out bytes.Buffer
	for _, f := range families {
		f = proto.Clone(f).(*dto.MetricFamily)
		f.Help = nil
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(out.String(), "\n")
	slices.Sort(lines)
	return lines
}

// TestAgainstModel makes random changes to the store and to the model: the same
// are rejected, and both expose the same.
func TestAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "own_gauge"}),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "own_histogram"}),
	)
	own, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	reserved := map[string]metric.Type{}
	for _, f := range own {
		reserved[f.GetName()] = metric.Type(f.GetType())
	}
	writer, err := exposition.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}

	rejected, applied := 0, 0
	for round := range 25 {
		s := store.InMemory()
		if round%2 == 1 {
			s.SetMinLarge(4)
		}
		s.Reserve(reserved)
		m := &naive{groups: map[string]naiveGroup{}, own: registry}
		for step := range 60 {
			key := randomKey(random)
			at := time.Unix(1_700_000_000+int64(step), 0)
			if random.IntN(8) == 0 {
				found, err := s.Delete(key)
				if _, had := m.groups[key.ID()]; err != nil || found != had {
					t.Fatalf("delete %s: found %v, %v; the model had it: %v", key, found, err, had)
				}
				delete(m.groups, key.ID())
				continue
			}
			bodies := randomBodies(random)
			replace := random.IntN(2) == 0
			got := pushText(s, key, bodies, replace, at)
			want := m.push(key, parseModel(t, bodies, key), replace, float64(at.Unix()))
			if (got == nil) != (want == nil) {
				t.Fatalf("round %d step %d: push to %s (replace %v) of\n%s\ngot %v\nthe model says %v",
					round, step, key, replace, strings.Join(bodies, ""), got, want)
			}
			if got == nil {
				applied++
			} else {
				rejected++
			}

			var text bytes.Buffer
			if _, err := writer.Write(&text, s.Snapshot(), own, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Identity); err != nil {
				t.Fatal(err)
			}
			parser := expfmt.NewTextParser(model.LegacyValidation)
			parsed, err := parser.TextToMetricFamilies(&text)
			if err != nil {
				t.Fatal(err)
			}
			gathered, err := m.gather()
			if err != nil {
				t.Fatal(err)
			}
			var exposed []*dto.MetricFamily
			for _, f := range parsed {
				exposed = append(exposed, f)
			}
			if got, want := sortedLines(t, exposed), sortedLines(t, gathered); !slices.Equal(got, want) {
				t.Fatalf("round %d step %d: exposed\n%s\nthe model\n%s", round, step, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	if rejected < 200 || applied < 200 {
		t.Fatalf("only %d rejected and %d applied: the random pushes try too little", rejected, applied)
	}
}

func randomKey(random *rand.Rand) metric.GroupingKey {
	labels := []metric.Label{{Name: "job", Value: pick(random, "a", "b")}}
	if random.IntN(2) == 0 {
		labels = append(labels, metric.Label{Name: "instance", Value: pick(random, "", "x", "y")})
	}
	if random.IntN(3) == 0 {
		labels = append(labels, metric.Label{Name: "env", Value: pick(random, "p", "q")})
	}
	return metric.NewGroupingKey(labels)
}

func pick(random *rand.Rand, values ...string) string { return values[random.IntN(len(values))] }

// randomBodies returns the text of each pushed family. They cannot stand in one
// text, where a name such as m_count belongs to the family m.
func randomBodies(random *rand.Rand) []string {
	var bodies []string
	names := []string{"m", "m_count", "m_sum", "m_bucket", "n", "own_gauge", "own_histogram", "own_histogram_sum"}
	for _, i := range random.Perm(len(names))[:random.IntN(3)] {
		name := names[i]
		var body strings.Builder
		labels := func(extra string) string {
			var all []string
			if random.IntN(4) == 0 {
				all = append(all, `instance="`+pick(random, "", "x", "y")+`"`)
			}
			if random.IntN(4) == 0 {
				all = append(all, `env="`+pick(random, "p", "q")+`"`)
			}
			if extra != "" {
				all = append(all, extra)
			}
			return "{" + strings.Join(all, ",") + "}"
		}
		switch typ := pick(random, "gauge", "gauge", "counter", "untyped", "histogram", "summary"); typ {
		case "histogram":
			l := strings.TrimSuffix(labels(""), "}")
			separator := ","
			if l == "{" {
				separator = ""
			}
			fmt.Fprintf(&body, "# TYPE %s histogram\n%s_bucket%s%sle=\"1\"} 1\n%s_sum%s} 2\n%s_count%s} 2\n",
				name, name, l, separator, name, l, name, l)
		case "summary":
			l := labels("")
			fmt.Fprintf(&body, "# TYPE %s summary\n%s_sum%s 2\n%s_count%s 2\n", name, name, l, name, l)
		default:
			fmt.Fprintf(&body, "# TYPE %s %s\n", name, typ)
			for n := range 1 + random.IntN(3) {
				fmt.Fprintf(&body, "%s%s %d\n", name, labels(`n="`+fmt.Sprint(random.IntN(3))+`"`), n)
			}
		}
		bodies = append(bodies, body.String())
	}
	return bodies
}

func parseModel(t *testing.T, bodies []string, key metric.GroupingKey) map[string]*dto.MetricFamily {
	t.Helper()
	all := map[string]*dto.MetricFamily{}
	for _, body := range bodies {
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s\n%v", body, err)
		}
		for name, f := range families {
			giveLabels(f, key)
			all[name] = f
		}
	}
	return all
}

func pushText(s *store.Store, key metric.GroupingKey, bodies []string, replace bool, at time.Time) error {
	var families []metric.Family
	for _, body := range bodies {
		parser := wire.TextParser{Names: metric.LegacyValidation}
		parsed, err := parser.Parse(body)
		if err != nil {
			return err
		}
		families = append(families, parsed...)
	}
	merge := metric.MergeFamily
	if replace {
		merge = metric.MergeGroup
	}
	p, err := new(store.Encoder).Push(key, families, at, store.PushOptions{Merge: merge})
	if err != nil {
		if failErr := s.Fail(key, at); failErr != nil {
			return failErr
		}
		return err
	}
	_, err = s.Apply(p)
	return err
}
