package wire_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// reference returns what the reference parser says of a body without what TextParser
// ignores at its beginning and at line ends.
func reference(body string, names metric.ValidationScheme) (map[string]*dto.MetricFamily, error) {
	body = strings.TrimPrefix(body, "\ufeff")
	body = strings.ReplaceAll(body, "\r\n", "\n")
	if body != "" && !strings.HasSuffix(body, "\n") {
		body = strings.TrimSuffix(body, "\r") + "\n"
	}
	parser := expfmt.NewTextParser(model.ValidationScheme(names))
	return parser.TextToMetricFamilies(strings.NewReader(body))
}

// lenient is reference for a body that TextParser accepts: it changes each line that the
// reference rejects although TextParser is meant to accept it, and tries again.
func lenient(body string, names metric.ValidationScheme) (map[string]*dto.MetricFamily, error) {
	lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(body, "\ufeff"), "\r\n", "\n"), "\n")
	last := len(lines) - 1
	lines[last] = strings.TrimSuffix(lines[last], "\r")
	for {
		families, err := reference(strings.Join(lines, "\n"), names)
		var at expfmt.ParseError
		if !errors.As(err, &at) || at.Line < 1 || at.Line > len(lines) {
			return families, err
		}
		line := &lines[at.Line-1]
		changed := *line
		switch {
		case strings.Contains(at.Msg, "second HELP line"), strings.Contains(at.Msg, "second TYPE line"):
			changed = ""
		case strings.Contains(at.Msg, "invalid escape sequence"):
			changed = escapeLoneBackslashes(changed)
		case strings.Contains(at.Msg, "expected integer as timestamp, got"), strings.Contains(at.Msg, "spurious string after timestamp"),
			strings.Contains(at.Msg, "unknown metric type"):
			changed = strings.TrimRight(changed, " \t")
		}
		if changed == *line {
			return nil, err
		}
		*line = changed
	}
}

// escapeLoneBackslashes doubles backslashes that escape nothing.
func escapeLoneBackslashes(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		b.WriteByte(line[i])
		if line[i] != '\\' {
			continue
		}
		if i+1 < len(line) && strings.IndexByte(`\n"`, line[i+1]) >= 0 {
			i++
			b.WriteByte(line[i])
		} else {
			b.WriteByte('\\')
		}
	}
	return b.String()
}

// asDTO converts parsed families by way of the chunk encoding, which so is under
// test, too.
func asDTO(t *testing.T, families []metric.Family) map[string]*dto.MetricFamily {
	t.Helper()
	out := map[string]*dto.MetricFamily{}
	for i := range families {
		f := &families[i]
		message := wire.AppendProtobufHeader(nil, f.Name, f.Help, f.Unit, f.Type)
		message = wire.AppendProtobufMetrics(message, f)
		decoded := &dto.MetricFamily{}
		if err := proto.Unmarshal(message, decoded); err != nil {
			t.Fatalf("family %s does not decode: %v", f.Name, err)
		}
		// Protobuf carries the timestamps of a push no further.
		for j := range f.Metrics {
			if f.Metrics[j].HasTimestamp {
				decoded.Metric[j].TimestampMs = &f.Metrics[j].TimestampMs
			}
		}
		out[f.Name] = decoded
	}
	return out
}

// textOf writes families as the reference does, which makes equal what differs
// only in fields set or unset.
func textOf(t *testing.T, families map[string]*dto.MetricFamily) string {
	t.Helper()
	var out bytes.Buffer
	names := make([]string, 0, len(families))
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := expfmt.MetricFamilyToText(&out, families[name]); err != nil {
			t.Fatalf("family %s: %v", name, err)
		}
	}
	return out.String()
}

// rejectedOnPurpose reports whether err is about a name that the reference accepts though
// expositions with it cannot be read: one with a zero byte, or a label's with a colon.
func rejectedOnPurpose(body string, err error) bool {
	message := err.Error()
	return strings.Contains(body, "\x00") && strings.Contains(message, "is not a valid") ||
		strings.Contains(body, ":") && strings.Contains(message, "is not a valid label name")
}

// compareWithReference parses a body and compares verdict and result with the reference.
func compareWithReference(t *testing.T, body string, names metric.ValidationScheme) {
	t.Helper()
	parser := wire.TextParser{Names: names}
	got, err := parser.Parse(body)
	want, wantErr := reference(body, names)
	if err == nil && wantErr != nil {
		want, wantErr = lenient(body, names)
	}
	if err != nil && rejectedOnPurpose(body, err) {
		return
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: got error %v, the reference says %v", body, err, wantErr)
	}
	if err != nil {
		return
	}
	gotText, wantText := textOf(t, asDTO(t, got)), textOf(t, want)
	// The reference keeps an empty help text apart from none.
	if gotText != wantText && gotText != strings.ReplaceAll(wantText, "# HELP  \n", "") {
		t.Fatalf("%q:\ngot\n%s\nthe reference says\n%s", body, gotText, wantText)
	}
	// The samples as they are exposed.
	for i := range got {
		f := &got[i]
		if slices.ContainsFunc(f.Metrics, func(m metric.Metric) bool { return m.HasTimestamp }) {
			return
		}
		text := wire.AppendText(wire.AppendTextHeader(nil, f.Name, f.Help, f.Type), f)
		if single := textOf(t, map[string]*dto.MetricFamily{f.Name: want[f.Name]}); string(text) != single {
			t.Fatalf("%q: exposed as\n%s\nthe reference says\n%s", body, text, single)
		}
	}
}

var textBodies = []string{
	"",
	"m 1",
	"m 1\n",
	"\ufeffm 1\n",
	"m 1\r\nn{l=\"v\"} 2\r\n",
	"# HELP m a \\\\ b \\n c \\\" d\n# TYPE m gauge\nm 1\n",
	"# TYPE m gauge\r\nm 1\r\n",
	"m{l=\"q\\\"b\\\\n\\nx\",} 1e9\n",
	" \t m { l = \"v\" , k = \"w\" } \t 1 \n",
	"m{} 1\n",
	"m 1 1700000000000\n",
	"m 1 1700000000000 \n",
	"m 1 \n",
	"m 0x10\n", "m 1_0\n", "m NaN\n", "m +Inf\n", "m -inf\n", "m 1e999\n", "m 0x1p3\n", "m infinity\n", "m\n", "m -0\n", "m 000123\n",
	"1m 1\n", "m-x 1\n", "{l=\"v\"} 1\n", "m{l=\"v\" 1\n", "m{l=\"v} 1\n", "m{l=v} 1\n", "m{=\"v\"} 1\n", "m{l} 1\n",
	"m{l=\"\\x\"} 1\n", "m{l=\"\xff\"} 1\n", "m{__name__=\"x\"} 1\n", "m{l=\"1\",l=\"2\"} 1\n", "m{1l=\"v\"} 1\n",
	"# TYPE m\n# HELP m\n#\n# \n#comment\n# TYPE\nm 1\n",
	"# TYPE \"\" 0", "# TYPE m nonsense\n", "# TYPE m gauge\n# TYPE m gauge\n",
	"m 1\n# TYPE m gauge\n", "# HELP m x\n# HELP m x\n", "# HELP m x\\\nm 1\n",
	"# TYPE m Counter\nm 1\n", "# TYPE m gaugehistogram\nm_bucket{le=\"1\"} 1\n",
	"# TYPE m GAUGE_HISTOGRAM\nm_count 1\n", "# TYPE m gau\\ge\nm 1\n",
	"# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 4\nh_sum 2.5\nh_count 4\n",
	"# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{a=\"2\",le=\"1\"} 2\nh_bucket{le=\"2\",a=\"1\"} 3\nh_sum{a=\"1\"} " +
		"2.5\nh_count{a=\"2\"} 4\n",
	"# TYPE h histogram\nh_bucket{b=\"x\",a=\"1\",le=\"1\"} 1\nh_bucket{a=\"1\",le=\"2\",b=\"x\"} 3\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} 1.5\nh_bucket{le=\"+Inf\"} 4\nh_count 4\n",
	"# TYPE h histogram\nh_bucket{le=\"1\"} -1\n", "# TYPE h histogram\nh_count -1\n", "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
	"# TYPE h histogram\nh_bucket 3\nh 4\nh{le=\"2\"} 5\nh_sum NaN\nh_count NaN\n",
	"# TYPE h histogram\nh_bucket{le=\"1\",le=\"2\"} 5\n",
	"# TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"NaN\"} 2\ns_sum 3\ns_count 2\ns 7\n",
	"# TYPE s summary\ns_bucket{le=\"1\"} 3\ns_sum{quantile=\"x\"} 3\n",
	"s_count 1\n# TYPE s summary\ns_count 2\ns_sum 3\n",
	"# TYPE s summary\n# HELP s_sum the sum\ns_sum 1\n",
	"# HELP s_sum the sum\n# TYPE s summary\ns_sum 1\n",
	"# TYPE m_count counter\nm_count 5\n",
	"# TYPE _count summary\n_count 5\n",
	"a 1\nb 2\na 3\n",
	"a\"b\" 1\n", "\"a\" 1\n", "a{\"l\"=\"v\"} 1\n", "\"a b\" 1\n",
	"a{\"l m\"=\"v\"} 1\n", "\"a\\nb\" 1\n", "# TYPE \"a.b\" gauge\n", "\"a 1\n",
	"\"a b\" 1\na b 1\n", "m{\"l m\"=\"v\"} 1\nm{l m=\"v\"} 1\n", "m{a=\"1\",b=\"2\"} 1\nm{b=\"2\",a=\"1\"} 2\nm{a=\"3\"} " +
		"1\nm{ab=\"3\",b=\"4\"} 1\n",
	"m 0.1\nm{l=\"\"} .5\nm{l=\"x\"} 5.\nm{l=\"y\"} .\n", "m 123456789012345.6\nn 0.000000000000001\no 999999999999999.9\np " +
		"1.7976931348623157\n", "m{l=\"\\\xff\"} 1\n",
	"m{l=\"v\"}1\n", "m{l=\"v\"} 1{\n", "m:n:o 1\n", "m{l:x=\"v\"} 1\n",
}

func TestTextAgreesWithReference(t *testing.T) {
	for _, body := range textBodies {
		compareWithReference(t, body, metric.LegacyValidation)
		compareWithReference(t, body, metric.UTF8Validation)
	}
}

// TestBracedNames has cases of its own: where the name comes first in the braces
// the reference agrees, elsewhere it mixes lines up.
func TestBracedNames(t *testing.T) {
	compareWithReference(t, "{\"a.b\"} 1\n{\"a.b\",l=\"v\"} 2\n{\"c d\",\"l m\"=\"v\",} 3\n", metric.UTF8Validation)
	compareWithReference(t, "{\"a.b\"} 1\n", metric.LegacyValidation)
	compareWithReference(t, "{\"ab\"} 1\n", metric.LegacyValidation)
	compareWithReference(t, "{\"a.b\" 1\n", metric.UTF8Validation)
	parser := wire.TextParser{Names: metric.UTF8Validation}
	families, err := parser.Parse("g 1\n# TYPE \"h.x\" histogram\n{\"h.x_bucket\",le=\"1\",l=\"v\"} 1\n{l=\"v\",\"h.x_count\"} 2\n")
	if err != nil || len(families) != 2 || len(families[1].Metrics) != 1 || families[1].Metrics[0].Histogram.Count != 2 {
		t.Fatalf("got %+v, %v", families, err)
	}
	for _, body := range []string{"{} 1\n", "{l=\"v\"} 1\n", "m 1\n{l=\"v\"} 1\n", "{\"a\",\"b\"} 1\n", "m{\"a\"} 1\n"} {
		if families, err := parser.Parse(body); err == nil {
			t.Errorf("%q: accepted as %+v", body, families)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, body := range textBodies {
		f.Add(body, false)
	}
	f.Fuzz(func(t *testing.T, body string, utf8Names bool) {
		names := metric.LegacyValidation
		if utf8Names {
			names = metric.UTF8Validation
		}
		for line := range strings.Lines(body) {
			if strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(line, "\ufeff"), " \t"), "{") {
				// No panic is all there is to compare, see TestBracedNames.
				parser := wire.TextParser{Names: names}
				_, _ = parser.Parse(body)
				return
			}
		}
		compareWithReference(t, body, names)
	})
}

// TestParserReuse parses bodies in random order with one parser, whose memory
// must not leak from one into the next.
func TestParserReuse(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	reused := wire.TextParser{Names: metric.UTF8Validation}
	for range 2000 {
		body := textBodies[random.IntN(len(textBodies))] + textBodies[random.IntN(len(textBodies))]
		fresh := wire.TextParser{Names: metric.UTF8Validation}
		want, wantErr := fresh.Parse(body)
		got, err := reused.Parse(body)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, fresh %v", body, err, wantErr)
		}
		if g, w := textOf(t, asDTO(t, got)), textOf(t, asDTO(t, want)); g != w {
			t.Fatalf("%q:\n%s\nfresh\n%s", body, g, w)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1, 12, 999999, 1e6, 1000001, -999999, -1e6, 0.5, 1e21, 1e-7, 123456789,
		math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1), 1 << 53, 1 << 63, -1 << 63} {
		f := metric.Family{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{{Value: v, HasValue: true}}}
		want := textOf(t, map[string]*dto.MetricFamily{"m": {
			Name: proto.String("m"), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &v}}}}})
		if got := string(wire.AppendText(wire.AppendTextHeader(nil, "m", "", metric.Gauge), &f)); got != want {
			t.Errorf("%v: got %q, want %q", v, got, want)
		}
	}
}
