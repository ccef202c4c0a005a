package exposition_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

func newWriter(t *testing.T) *exposition.Writer {
	t.Helper()
	w, err := exposition.NewWriter(func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func push(t *testing.T, s *store.Store, job, body string) {
	t.Helper()
	parser := wire.TextParser{Names: metric.UTF8Validation}
	families, err := parser.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: job}})
	p, err := new(store.Encoder).Push(key, families, time.Unix(1_700_000_000, 0), store.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

func ownMetrics(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewRegistry()
	for _, name := range []string{"a_own", "shared", "zz_own"} {
		r.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "Own " + name}))
	}
	own, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func write(t *testing.T, w *exposition.Writer, v *store.Snapshot, own []*dto.MetricFamily, format expfmt.Format, encoding exposition.Encoding) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := w.Write(&out, v, own, format, encoding)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("%s %s: wrote %d, said %d, %v", format, encoding, out.Len(), n, err)
	}
	return decompress(t, out.Bytes(), encoding)
}

func decompress(t *testing.T, b []byte, encoding exposition.Encoding) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	switch encoding {
	case exposition.Gzip:
		z, err := stdgzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false) // one member is all that some readers read
		r = z
	case exposition.Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", encoding, err)
	}
	return plain
}

const allTypes = `# HELP c A "counter" \\ with\nlines.
# TYPE c counter
c{l="1"} 3
# TYPE g gauge
g -2.5
# TYPE h histogram
h_bucket{le="0.1"} 1
h_bucket{le="+Inf"} 4
h_sum 2.5
h_count 4
# TYPE s summary
s{quantile="0.5"} 1
s_sum 3
s_count 2
# TYPE shared gauge
shared 7
u NaN
`

// TestTextParsesBack has the reference parser read what is written, in every
// compression, where the families are small and where they have many blocks.
func TestTextParsesBack(t *testing.T) {
	for _, groups := range []int{0, 1, 3000} {
		s := store.InMemory()
		for i := range groups {
			push(t, s, fmt.Sprint("job", i), allTypes)
		}
		w, own := newWriter(t), ownMetrics(t)
		plain := write(t, w, s.Snapshot(), own, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Identity)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		wantFamilies := 3
		if groups > 0 {
			wantFamilies += 5 + 2
		}
		if len(families) != wantFamilies {
			t.Errorf("%d groups: %d families, want %d", groups, len(families), wantFamilies)
		}
		if n := len(families["shared"].Metric); n != groups+1 {
			t.Errorf("%d groups: the family shared has %d metrics", groups, n)
		}
		for _, encoding := range []exposition.Encoding{exposition.Gzip, exposition.Zstd} {
			for range 2 { // the second time from what was kept
				if got := write(t, w, s.Snapshot(), own, expfmt.NewFormat(expfmt.TypeTextPlain), encoding); !bytes.Equal(got, plain) {
					t.Fatalf("%d groups: %s differs from plain", groups, encoding)
				}
			}
		}
		var names []string
		for line := range strings.Lines(string(plain)) {
			if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
				names = append(names, name)
			}
		}
		if !slices.IsSorted(names) {
			t.Errorf("families are not sorted: %q", names)
		}
	}
}

// TestProtobufHoldsTheSame compares protobuf with text by way of the reference.
func TestProtobufHoldsTheSame(t *testing.T) {
	s := store.InMemory()
	for i := range 300 {
		push(t, s, fmt.Sprint("job", i), allTypes)
	}
	w, own := newWriter(t), ownMetrics(t)
	text := write(t, w, s.Snapshot(), own, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Identity)
	for _, encoding := range []exposition.Encoding{exposition.Identity, exposition.Gzip, exposition.Zstd} {
		format := expfmt.NewFormat(expfmt.TypeProtoDelim)
		decoder := expfmt.NewDecoder(bytes.NewReader(write(t, w, s.Snapshot(), own, format, encoding)), format)
		var out bytes.Buffer
		for {
			var f dto.MetricFamily
			if err := decoder.Decode(&f); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if _, err := expfmt.MetricFamilyToText(&out, &f); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != string(text) {
			t.Fatalf("%s: protobuf holds something else than text", encoding)
		}
	}
}

// TestHelpIsStable pushes different help texts for one name: the first by group
// is shown, whatever was pushed last.
func TestHelpIsStable(t *testing.T) {
	s, w := store.InMemory(), newWriter(t)
	push(t, s, "a", "m 1\n")
	for _, job := range []string{"c", "b", "c"} {
		push(t, s, job, "# HELP m of "+job+"\nm 1\n")
	}
	body := string(write(t, w, s.Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Gzip))
	if strings.Count(body, "# HELP m ") != 1 || !strings.Contains(body, "# HELP m of b\n") {
		t.Error(body)
	}
}

// series returns all series of an exposition, as Prometheus reads them.
func series(t *testing.T, body []byte, contentType string) []string {
	t.Helper()
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: contentType})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", contentType, err, body)
		}
		if entry == textparse.EntrySeries {
			var l labels.Labels
			p.Labels(&l)
			if name, twice := l.HasDuplicateLabelNames(); twice {
				t.Errorf("%s has %s twice", l, name)
			}
			out = append(out, l.String())
		}
	}
}

// TestEscapedNamesStayApart pushes names that become the same when escaped.
func TestEscapedNamesStayApart(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", "# TYPE a_b gauge\na_b 1\n# TYPE \"a.b\" counter\n{\"a.b\"} 2\n# TYPE \"a b\" gauge\n{\"a b\"} 3\n"+
		"m{\"l.m\"=\"1\",l_m=\"2\"} 4\nn{\"l.m\"=\"1\"} 5\nn{\"l m\"=\"1\"} 6\n")
	w := newWriter(t)
	for _, scheme := range []model.EscapingScheme{model.NoEscaping, model.UnderscoreEscaping, model.DotsEscaping, model.ValueEncodingEscaping} {
		for _, typ := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeOpenMetrics} {
			format := expfmt.NewFormat(typ).WithEscapingScheme(scheme)
			body := write(t, w, s.Snapshot(), nil, format, exposition.Gzip)
			got := series(t, body, string(format))
			slices.Sort(got)
			if len(got) != 6+2 || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("%s:\n%s", format, body)
			}
			if types := strings.Count(string(body), "# TYPE a_b "); types > 1 {
				t.Errorf("%s: %d types of a_b", format, types)
			}
		}
	}
	escaped := write(t, w, s.Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.UnderscoreEscaping), exposition.Identity)
	if !strings.Contains(string(escaped), "U__l_20_m=\"1\"") {
		t.Errorf("no name was kept apart:\n%s", escaped)
	}
}

// TestOpenMetrics pushes counters that OpenMetrics gives the same name.
func TestOpenMetrics(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", allTypes+"# TYPE x counter\nx 1\n# TYPE x_total counter\nx_total 2\n# TYPE y_total counter\ny_total 3\n# TYPE gh gaugehistogram\ngh_bucket{le=\"1\"} 1\ngh_count 2\n")
	format := expfmt.NewFormat(expfmt.TypeOpenMetrics)
	body := write(t, newWriter(t), s.Snapshot(), ownMetrics(t), format, exposition.Zstd)
	if !bytes.HasSuffix(body, []byte("# EOF\n")) {
		t.Errorf("no end:\n%s", body)
	}
	series(t, body, string(format))
	for _, line := range []string{"# TYPE x unknown\n", "# TYPE x_total unknown\n", "# TYPE y counter\n", "\ny_total{instance=\"\",job=\"a\"} 3.0\n", "# TYPE c unknown\n"} {
		if strings.Count(string(body), line) != 1 {
			t.Errorf("not once: %q in\n%s", line, body)
		}
	}
}

// TestHostileNames pushes what only meets once it is escaped or in OpenMetrics: all
// of it must stay readable, without a series twice.
func TestHostileNames(t *testing.T) {
	for _, body := range []string{
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
		for _, scheme := range []model.EscapingScheme{model.NoEscaping, model.UnderscoreEscaping, model.DotsEscaping, model.ValueEncodingEscaping} {
			for _, typ := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeOpenMetrics} {
				format := expfmt.NewFormat(typ).WithEscapingScheme(scheme)
				exposed := write(t, newWriter(t), s.Snapshot(), ownMetrics(t), format, exposition.Identity)
				got := series(t, exposed, string(format))
				slices.Sort(got)
				if len(slices.Compact(slices.Clone(got))) != len(got) {
					t.Errorf("%q as %s has a series twice:\n%s", body, format, exposed)
				}
			}
		}
	}
}

// TestScrapesDuringPushes pushes whole groups of one value each and expects every
// scrape to parse and to show no group in two values. It is for the race
// detector, too.
func TestScrapesDuringPushes(t *testing.T) {
	s, w := store.InMemory(), newWriter(t)
	body := func(value int) string {
		var b strings.Builder
		for i := range 8 {
			fmt.Fprintf(&b, "# TYPE m%d gauge\nm%d{l=\"x\"} %d\nm%d{l=\"y\"} %d\n", i, i, value, i, value)
		}
		return b.String()
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for n := range 4 {
		writers.Go(func() {
			for value := 0; ; value++ {
				select {
				case <-stop:
					return
				default:
				}
				job := fmt.Sprint("job", n, value%40)
				switch {
				case value%97 == 96:
					if _, err := s.Wipe(); err != nil {
						t.Error(err)
					}
				case value%5 == 4:
					if _, err := s.Delete(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: job}})); err != nil {
						t.Error(err)
					}
				default:
					push(t, s, job, body(value))
				}
			}
		})
	}
	for i := range 150 {
		encoding := []exposition.Encoding{exposition.Identity, exposition.Gzip, exposition.Zstd}[i%3]
		plain := write(t, w, s.Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain), encoding)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		values, counts := map[string]float64{}, map[string]int{}
		for name, f := range families {
			if !strings.HasPrefix(name, "m") {
				continue
			}
			for _, m := range f.Metric {
				job := m.Label[1].GetValue()
				if counts[job]++; counts[job] > 1 && values[job] != m.Gauge.GetValue() {
					t.Fatalf("%s shows %v and %v", job, values[job], m.Gauge.GetValue())
				}
				values[job] = m.Gauge.GetValue()
			}
		}
		for job, n := range counts {
			if n != 16 {
				t.Fatalf("%s shows %d of 16 series", job, n)
			}
		}
	}
	close(stop)
	writers.Wait()
}

// TestOwnTypeWins leaves out what was kept under the name of an own metric of another
// type: with it, readers of protobuf would see values that nobody pushed.
func TestOwnTypeWins(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", "# TYPE shared counter\nshared 5\n# TYPE zz_own gauge\nzz_own 6\n")
	s.Reserve(map[string]metric.Type{"shared": metric.Gauge, "zz_own": metric.Gauge})
	if hidden := s.HiddenFamilies(); len(hidden) != 1 || hidden[0] != "shared" {
		t.Errorf("hidden are %q", hidden)
	}
	w := newWriter(t)
	for _, format := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeProtoDelim, expfmt.TypeOpenMetrics} {
		f := expfmt.NewFormat(format)
		body := string(write(t, w, s.Snapshot(), ownMetrics(t), f, exposition.Identity))
		if strings.Count(body, "shared") == 0 || strings.Contains(body, "shared{") || !strings.Contains(body, "zz_own") {
			t.Errorf("%s:\n%s", f, body)
		}
		if format == expfmt.TypeProtoDelim && strings.Count(body, "\x00\x00\x14@") > 0 { // 5 as a double
			t.Errorf("the kept counter is exposed:\n%q", body)
		}
	}
}
