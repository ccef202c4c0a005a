package exposition_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// TestEscapedNamesStayApart pushes names that become the same when escaped.
func TestEscapedNamesStayApart(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", "# TYPE a_b gauge\na_b 1\n# TYPE \"a.b\" counter\n{\"a.b\"} 2\n# TYPE \"a b\" gauge\n{\"a b\"} 3\n"+
		"m{\"l.m\"=\"1\",l_m=\"2\"} 4\nn{\"l.m\"=\"1\"} 5\nn{\"l m\"=\"1\"} 6\n")
	w := newWriter(t)
	eachForm(func(format expfmt.Format) {
		body := write(t, w, s.Snapshot(), nil, format, exposition.Gzip)
		if got := readBy(t, body, format); len(got) != 6+2 {
			t.Errorf("%s:\n%s", format, body)
		}
		if types := strings.Count(string(body), "# TYPE a_b "); types > 1 {
			t.Errorf("%s: %d types of a_b", format, types)
		}
	})
	underscores := expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.UnderscoreEscaping)
	escaped := write(t, w, s.Snapshot(), nil, underscores, exposition.Identity)
	if !strings.Contains(string(escaped), "U__l_20_m=\"1\"") {
		t.Errorf("no name was kept apart:\n%s", escaped)
	}
}

// TestOpenMetrics pushes counters that OpenMetrics gives the same name.
func TestOpenMetrics(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", allTypes+"# TYPE x counter\nx 1\n# TYPE x_total counter\nx_total 2\n# TYPE y_total counter\ny_total 3\n"+
		"# TYPE gh gaugehistogram\ngh_bucket{le=\"1\"} 1\ngh_count 2\n")
	format := expfmt.NewFormat(expfmt.TypeOpenMetrics)
	body := write(t, newWriter(t), s.Snapshot(), selfMetrics(t), format, exposition.Zstd)
	if !bytes.HasSuffix(body, []byte("# EOF\n")) {
		t.Errorf("no end:\n%s", body)
	}
	readBy(t, body, format)
	for _, line := range []string{
		"# TYPE x unknown\n", "# TYPE x_total unknown\n", "# TYPE y counter\n", "\ny_total{instance=\"\",job=\"a\"} 3.0\n",
		"# TYPE c unknown\n",
	} {
		if strings.Count(string(body), line) != 1 {
			t.Errorf("not once: %q in\n%s", line, body)
		}
	}
}

// TestCollidingNames pushes names that collide only when they are escaped or written in
// OpenMetrics. Every exposition must be valid and complete.
func TestCollidingNames(t *testing.T) {
	for _, body := range []string{
		"a__b 1\n{\"a b\"} 2\n{\"a.b\"} 3\na_dot_b 4\n{\"a..b\"} 5\n",
		"# TYPE \"a b\" gauge\n{\"a b\"} 1\n# TYPE a__b counter\na__b 2\n",
		"m{\"l-m\"=\"1\"} 1\nm{l_m=\"1\"} 2\nm{\"l.m\"=\"1\"} 3\n",
		"m{\"..name..\"=\"x\"} 1\nm{\"--name--\"=\"x\"} 2\n",
		"m{\"1a\"=\"1\",_a=\"1\"} 1\nm{\"é\"=\"1\",_=\"1\"} 1\n",
		"# TYPE h histogram\nh_bucket{\"l.e\"=\"1\",l_e=\"2\",le=\"+Inf\"} 1\n" +
			"h_sum{\"l.e\"=\"1\",l_e=\"2\"} 1\nh_count{\"l.e\"=\"1\",l_e=\"2\"} 1\n",
		"# TYPE \"h.h\" histogram\n{\"h.h_bucket\",le=\"+Inf\"} 1\n{\"h.h_sum\"} 1\n{\"h.h_count\"} 1\n" +
			"h_h_count 5\n{\"h-h\"} 2\nU__h_2e_h_sum 3\n",
		"# TYPE c_total counter\nc_total 1\n# TYPE c_created gauge\nc_created 2\n",
		"# TYPE c_total counter\nc_total 1\n# TYPE c_total_total counter\nc_total_total 2\n# TYPE c gauge\nc 3\n",
		"# TYPE s summary\ns_sum -1\ns_count 1\ns_created 3\n",
		"# TYPE foo summary\nfoo_count 1\n{\"foo.count\"} 3\n",
		"# TYPE foo histogram\nfoo_count 1\n{\"foo.bucket\"} 3\n",
		"# TYPE \"f.o\" histogram\n{\"f.o_count\"} 1\nf_o_count 2\n",
		"{\"a.b\"} 1\na_b 3\nU__a_2e_b 2\n",
		"x{\"a.b\"=\"1\",\"a-b\"=\"1\",U__a_2e_b=\"2\"} 1\ny 1\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 0.5\nh_count 1.5\nh_sum 2\n",
		"{\"shared.x\"} 1\n",
	} {
		s := store.InMemory()
		push(t, s, "a", body)
		var want int
		eachForm(func(format expfmt.Format) {
			exposed := write(t, newWriter(t), s.Snapshot(), selfMetrics(t), format, exposition.Identity)
			got := readBy(t, exposed, format)
			if want == 0 {
				want = len(got)
			}
			// Of a summary without quantiles, the parser of protobuf makes one more series.
			if len(got) != want && format.FormatType() != expfmt.TypeProtoDelim {
				t.Errorf("%q as %s has %d series, want %d:\n%q", body, format, len(got), want, exposed)
			}
		})
	}
}

// TestEscapedForms compares the escaped forms of each compression, first encoded and then
// from the cache, while pushes come and go.
func TestEscapedForms(t *testing.T) {
	s, w := store.InMemory(), newWriter(t)
	for i := range 500 {
		push(t, s, fmt.Sprint("job", i), allTypes+"{\"a.b\"} 1\nm{\"l.m\"=\"1\"} 2\n")
	}
	check := func() {
		t.Helper()
		eachForm(func(format expfmt.Format) {
			plain := write(t, w, s.Snapshot(), selfMetrics(t), format, exposition.Identity)
			fresh := write(t, newWriter(t), s.Snapshot(), selfMetrics(t), format, exposition.Identity)
			if !bytes.Equal(plain, fresh) {
				t.Fatalf("%s: two writers differ", format)
			}
			for _, encoding := range []exposition.Encoding{exposition.Gzip, exposition.Zstd} {
				for range 2 {
					if got := write(t, w, s.Snapshot(), selfMetrics(t), format, encoding); !bytes.Equal(got, plain) {
						t.Fatalf("%s: %s differs from plain", format, encoding)
					}
				}
			}
			readBy(t, plain, format)
		})
	}
	check()
	push(t, s, "job7", "# TYPE a_b gauge\na_b 1\n# TYPE c counter\nc 2\n") // a.b needs another name
	check()
	body := string(write(t, w, s.Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Gzip))
	if strings.Count(body, "\nU__a_2e_b{") != 499 || strings.Count(body, "\na_b{") != 1 {
		t.Errorf("a.b and a_b:\n%.2000s", body)
	}
	if _, err := s.Delete(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "job7"}})); err != nil {
		t.Fatal(err)
	}
	check()
	body = string(write(t, w, s.Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Gzip))
	if strings.Count(body, "\na_b{") != 499 {
		t.Errorf("a.b keeps another name:\n%.2000s", body)
	}
}

// TestRandomNames pushes families of all types whose names, and whose labels' names, meet in
// every way that escaping can make them.
func TestRandomNames(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for range 300 {
		s := store.InMemory()
		for range 1 + random.IntN(6) {
			base := pick("a", "a.b", "a b", "a_b", "a__b", "a_dot_b", "U__a_2e_b", "U__a_20_b", "c", "shared.x", "zz.own", "zz-own")
			name := base + pick("", "", "", "_total", ".total", "_created", "_sum", ".count", "_bucket")
			families := []metric.Family{{Name: name, Type: metric.Type(random.IntN(6))}}
			f := &families[0]
			for n := range 1 + random.IntN(2) {
				m := metric.Metric{Labels: []metric.Label{
					{Name: pick("l.m", "l_m", "l m", "U__l_2e_m", "..name..", "1", "_"), Value: pick("1", "2")},
					{Name: "n", Value: fmt.Sprint(n)},
				}}
				if random.IntN(2) == 0 {
					m.Labels = append(m.Labels, metric.Label{Name: pick("l-m", "l.e", "x", "x.y", "x_y"), Value: pick("1", "2")})
				}
				switch {
				case f.Type == metric.Summary:
					m.Summary = &metric.SummaryValue{Count: 1, Sum: float64(random.IntN(3) - 1), Quantiles: []metric.Quantile{{Quantile: 0.5}}}
				case f.Type.HasBuckets():
					m.Histogram = &metric.HistogramValue{Count: 1, Sum: 1, Buckets: []metric.Bucket{{UpperBound: float64(random.IntN(3) - 1)}}}
					if random.IntN(2) == 0 {
						m.Histogram.ZeroThreshold, m.Histogram.ZeroCount = 1, 1
					}
				default:
					m.Value, m.HasValue = float64(random.IntN(3)-1), true
				}
				f.Metrics = append(f.Metrics, m)
			}
			group := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: pick("a", "b")}, {Name: pick("g.h", "g_h", "g-h"), Value: "1"}})
			options := store.PushOptions{Merge: metric.MergeFamily}
			if p, err := new(store.Encoder).Push(group, families, time.Unix(1_700_000_000, 0), options); err == nil {
				_, _ = s.Apply(p) // a rejection is fine
			}
		}
		w, self := newWriter(t), selfMetrics(t)
		want := 0
		eachForm(func(format expfmt.Format) {
			body := write(t, w, s.Snapshot(), self, format, exposition.Identity)
			got := readBy(t, body, format)
			if want == 0 {
				want = len(got)
			}
			if len(got) != want && format.FormatType() == expfmt.TypeTextPlain {
				t.Errorf("%s: %d series, want %d", format, len(got), want)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// FuzzExpositions: whatever is pushed, Prometheus' parsers read every form, and no form has a
// name or a series twice.
func FuzzExpositions(f *testing.F) {
	f.Add(allTypes, "a__b 1\n{\"a b\"} 2\n", "l.m", "l_m")
	f.Add("# TYPE \"a.b\" histogram\n{\"a.b_bucket\",le=\"+Inf\"} 1\n{\"a.b_sum\"} 1\n{\"a.b_count\"} 1\n", "a_b_sum 1\n", "..name..", "a:b")
	f.Add("# TYPE c_total counter\nc_total 1\n", "# TYPE c_created gauge\nc_created 1\n# TYPE c gauge\nc 1\n", "1", "_")
	f.Add("# TYPE s summary\ns{quantile=\"0.5\"} -1\ns_sum -3\ns_count 2\n", "s_created 1\nU__a_2e_b 2\n{\"a.b\"} 1\na_b 2\n", "é", "è")
	f.Fuzz(func(t *testing.T, first, second, name1, name2 string) {
		s := store.InMemory()
		for i, body := range []string{first, second} {
			families, err := (&wire.TextParser{Names: metric.UTF8Validation}).Parse(body)
			if err != nil {
				continue
			}
			for n, name := range []string{name1, name2} {
				group := []metric.Label{{Name: "job", Value: "a"}}
				if metric.UTF8Validation.ValidLabel(name) && !metric.Reserved(name) && name != "job" {
					group = append(group, metric.Label{Name: name, Value: fmt.Sprint(i + n)})
				}
				p, err := new(store.Encoder).Push(metric.NewGroupingKey(group), families, time.Unix(1_700_000_000, 0),
					store.PushOptions{Merge: metric.MergeFamily})
				if err == nil {
					_, _ = s.Apply(p) // a rejection is fine
				}
				families, _ = (&wire.TextParser{Names: metric.UTF8Validation}).Parse(body) // the push used them up
			}
		}
		w, self := newWriter(t), selfMetrics(t)
		var want []string
		eachForm(func(format expfmt.Format) {
			body := write(t, w, s.Snapshot(), self, format, exposition.Identity)
			if got := readBy(t, body, format); want == nil {
				want = got
			} else if format.FormatType() == expfmt.TypeTextPlain && len(got) != len(want) {
				t.Errorf("%s: %d series, want %d", format, len(got), len(want))
			}
		})
	})
}
