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

func newWriter(t testing.TB) *exposition.Writer {
	t.Helper()
	w, err := exposition.NewWriter(func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func push(t testing.TB, s *store.Store, job, body string) {
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

func selfMetrics(t testing.TB) []*dto.MetricFamily {
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

// TestTextParsesBack has the reference parser read the text format, in every compression,
// with few groups and with families of many segments.
func TestTextParsesBack(t *testing.T) {
	for _, groups := range []int{0, 1, 3000} {
		s := store.InMemory()
		for i := range groups {
			push(t, s, fmt.Sprint("job", i), allTypes)
		}
		w, own := newWriter(t), selfMetrics(t)
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
			for range 2 { // the second time from the cache
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

// TestProtobufHoldsTheSame has expfmt convert protobuf to text and compares.
func TestProtobufHoldsTheSame(t *testing.T) {
	s := store.InMemory()
	for i := range 300 {
		push(t, s, fmt.Sprint("job", i), allTypes)
	}
	w, own := newWriter(t), selfMetrics(t)
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
			t.Fatalf("%s: protobuf and text differ", encoding)
		}
	}
}

// TestHelpIsStable pushes different help texts for one name: the first by group is
// exposed, whatever was pushed last.
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

// readBy returns all series of an exposition as Prometheus reads them, sorted. It fails if
// the exposition is invalid, or has a name or a series twice.
func readBy(t testing.TB, body []byte, format expfmt.Format) []string {
	t.Helper()
	contentType := string(format)
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: contentType})
	if err != nil {
		t.Fatal(err)
	}
	legacy := format.ToEscapingScheme() != model.NoEscaping
	types, last, kinds := map[string]bool{}, "", map[string]bool{}
	var out []string
	for {
		entry, err := p.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v\n%q", contentType, err, body)
		}
		switch entry {
		case textparse.EntryType:
			name, _ := p.Type()
			// A family of native histograms and others comes in two messages in a row.
			again := format.FormatType() == expfmt.TypeProtoDelim && string(name) == last
			if types[string(name)] && !again {
				t.Errorf("%s: two families %q\n%q", contentType, name, body)
			}
			last = string(name)
			types[last] = true
		case textparse.EntrySeries, textparse.EntryHistogram:
			var l labels.Labels
			p.Labels(&l)
			if name, twice := l.HasDuplicateLabelNames(); twice {
				t.Errorf("%s: %s has %q twice\n%q", contentType, l, name, body)
			}
			l.Range(func(l labels.Label) {
				if legacy && (!metric.LegacyLabelName(l.Name) || l.Name == "__name__" && !metric.LegacyMetricName(l.Value)) {
					t.Errorf("%s: %s is not escaped\n%q", contentType, l, body)
				}
			})
			id := fmt.Sprint(entry == textparse.EntryHistogram, l)
			if kinds[id] {
				t.Errorf("%s: two series %s\n%q", contentType, l, body)
			}
			kinds[id] = true
			out = append(out, l.String())
		}
	}
	slices.Sort(out)
	return out
}

var schemes = []model.EscapingScheme{
	model.NoEscaping, model.UnderscoreEscaping, model.DotsEscaping, model.ValueEncodingEscaping,
}

// eachForm calls visit with every combination of a format and an escaping scheme.
func eachForm(visit func(format expfmt.Format)) {
	for _, typ := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeOpenMetrics, expfmt.TypeProtoDelim} {
		for _, scheme := range schemes {
			visit(expfmt.NewFormat(typ).WithEscapingScheme(scheme))
		}
	}
}

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
	body := write(t, newWriter(t), s.Snapshot(), selfMetrics(t), format, exposition.Zstd)
	if !bytes.HasSuffix(body, []byte("# EOF\n")) {
		t.Errorf("no end:\n%s", body)
	}
	readBy(t, body, format)
	for _, line := range []string{"# TYPE x unknown\n", "# TYPE x_total unknown\n", "# TYPE y counter\n", "\ny_total{instance=\"\",job=\"a\"} 3.0\n", "# TYPE c unknown\n"} {
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
		"# TYPE h histogram\nh_bucket{\"l.e\"=\"1\",l_e=\"2\",le=\"+Inf\"} 1\nh_sum{\"l.e\"=\"1\",l_e=\"2\"} 1\nh_count{\"l.e\"=\"1\",l_e=\"2\"} 1\n",
		"# TYPE \"h.h\" histogram\n{\"h.h_bucket\",le=\"+Inf\"} 1\n{\"h.h_sum\"} 1\n{\"h.h_count\"} 1\nh_h_count 5\n{\"h-h\"} 2\nU__h_2e_h_sum 3\n",
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

// TestScrapesDuringPushes pushes groups whose metrics all have the same value. Every scrape
// must parse and show no group with two values. It is for the race detector, too.
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

// TestReservedTypeWins leaves out a persisted family that has the name of a reserved self
// metric but another type: readers of protobuf would see values that nobody pushed.
func TestReservedTypeWins(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", "# TYPE shared counter\nshared 5\n# TYPE zz_own gauge\nzz_own 6\n")
	s.Reserve(map[string]metric.Type{"shared": metric.Gauge, "zz_own": metric.Gauge})
	if hidden := s.HiddenFamilies(); len(hidden) != 1 || hidden[0] != "shared" {
		t.Errorf("hidden are %q", hidden)
	}
	w := newWriter(t)
	for _, format := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeProtoDelim, expfmt.TypeOpenMetrics} {
		f := expfmt.NewFormat(format)
		body := string(write(t, w, s.Snapshot(), selfMetrics(t), f, exposition.Identity))
		if strings.Count(body, "shared") == 0 || strings.Contains(body, "shared{") || !strings.Contains(body, "zz_own") {
			t.Errorf("%s:\n%s", f, body)
		}
		if format == expfmt.TypeProtoDelim && strings.Count(body, "\x00\x00\x14@") > 0 { // 5 as a double
			t.Errorf("the persisted counter is exposed:\n%q", body)
		}
	}
}

// TestSelfMetricsGiveWay pushes what collides with self metrics that are not reserved.
func TestSelfMetricsGiveWay(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "same"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "other_type"}),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pushed_sample_seconds", Buckets: []float64{1}}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "pushed_histogram_count"}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "untouched"}),
	)
	self, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s := store.InMemory()
	push(t, s, "a", "# TYPE same gauge\nsame 1\n# TYPE other_type counter\nother_type 2\npushed_sample_seconds_sum 3\n"+
		"# TYPE pushed_histogram summary\npushed_histogram{quantile=\"0.5\"} 1\npushed_histogram_sum 1\npushed_histogram_count 4\n")
	w, err := exposition.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	eachForm(func(format expfmt.Format) {
		got := readBy(t, write(t, w, s.Snapshot(), self, format, exposition.Identity), format)
		want := []string{
			`{__name__="other_type", instance="", job="a"}`,
			`{__name__="push_failure_time_seconds", instance="", job="a"}`,
			`{__name__="push_time_seconds", instance="", job="a"}`,
			`{__name__="pushed_histogram", instance="", job="a", quantile="0.5"}`,
			`{__name__="pushed_histogram_count", instance="", job="a"}`,
			`{__name__="pushed_histogram_sum", instance="", job="a"}`,
			`{__name__="pushed_sample_seconds_sum", instance="", job="a"}`,
			`{__name__="same", instance="", job="a"}`,
			`{__name__="same"}`,
			`{__name__="untouched"}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", format, got)
		}
	})
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

// TestTextFormsOfProtobuf has expfmt write what hardly anybody asks for.
func TestTextFormsOfProtobuf(t *testing.T) {
	s := store.InMemory()
	push(t, s, "a", allTypes+"{\"a.b\"} 1\n")
	for _, typ := range []expfmt.FormatType{expfmt.TypeProtoText, expfmt.TypeProtoCompact} {
		body := string(write(t, newWriter(t), s.Snapshot(), selfMetrics(t), expfmt.NewFormat(typ), exposition.Gzip))
		for _, text := range []string{"a_b", "zz_own", "push_time_seconds", "quantile"} {
			if !strings.Contains(body, text) {
				t.Errorf("%d: %q is missing in %s", typ, text, body)
			}
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
