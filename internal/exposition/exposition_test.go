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

// write returns an exposition, decompressed.
func write(
	t testing.TB, w *exposition.Writer, v *store.Snapshot, self []*dto.MetricFamily, format expfmt.Format, encoding exposition.Encoding,
) []byte {
	t.Helper()
	var out bytes.Buffer
	n, err := w.Write(&out, v, self, format, encoding)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("%s %s: wrote %d, said %d, %v", format, encoding, out.Len(), n, err)
	}
	return decompress(t, out.Bytes(), encoding)
}

func decompress(t testing.TB, b []byte, encoding exposition.Encoding) []byte {
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
