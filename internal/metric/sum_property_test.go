package metric_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/histogram"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// pick returns one of its arguments.
func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// exact returns a number. Thousands of these can be added without rounding.
func exact(r *rand.Rand) float64 { return float64(r.IntN(1<<16)-1<<15) / 64 }

// randomBounds returns sorted upper bounds, at times with that of +Inf.
func randomBounds(r *rand.Rand) []float64 {
	bounds := map[float64]bool{}
	for range r.IntN(8) {
		bounds[float64(r.IntN(24)-8)] = true
	}
	if r.IntN(3) == 0 {
		bounds[math.Inf(+1)] = true
	}
	return slices.Sorted(maps.Keys(bounds))
}

// randomClassic returns a histogram that counts in integers, or in fractions of
// powers of two.
func randomClassic(r *rand.Rand, unit float64) *metric.HistogramValue {
	h := &metric.HistogramValue{Sum: exact(r)}
	total := 0
	count := func(n *uint64, float *float64) {
		if unit == 1 {
			*n = uint64(total)
		} else {
			*float = float64(total) * unit
		}
	}
	for _, bound := range randomBounds(r) {
		total += r.IntN(5)
		b := metric.Bucket{UpperBound: bound, Exemplar: randomExemplar(r)}
		count(&b.CumulativeCount, &b.CumulativeCountFloat)
		h.Buckets = append(h.Buckets, b)
	}
	if n := len(h.Buckets); n == 0 || !math.IsInf(h.Buckets[n-1].UpperBound, +1) {
		total += r.IntN(3)
	}
	count(&h.Count, &h.CountFloat)
	return h
}

// randomNative returns a native histogram that Prometheus could have scraped: none
// of its buckets lies within its zero bucket.
func randomNative(r *rand.Rand, schema int32, threshold, unit float64) *metric.HistogramValue {
	h := &metric.HistogramValue{Sum: exact(r), Schema: schema, ZeroThreshold: threshold}
	total := r.IntN(3)
	if unit == 1 {
		h.ZeroCount = uint64(total)
	} else {
		h.ZeroCountFloat = float64(total) * unit
	}
	bound := func(index int32) float64 { return math.Exp2(float64(index) * math.Exp2(-float64(schema))) }
	for _, side := range []*metric.NativeBuckets{&h.Positive, &h.Negative} {
		next, last := r.Int32N(8)-4, int64(0)
		for next--; bound(next) <= threshold*1.001; next++ {
		}
		for range r.IntN(4) {
			s := metric.Span{Offset: next, Length: r.Uint32N(5)}
			for range s.Length {
				n := int64(r.IntN(4))
				total += int(n)
				if unit == 1 {
					side.Deltas = append(side.Deltas, n-last)
				} else {
					side.Counts = append(side.Counts, float64(n)*unit)
				}
				last = n
			}
			side.Spans = append(side.Spans, s)
			next = r.Int32N(4)
		}
	}
	if unit == 1 || total == 0 {
		h.Count = uint64(total)
	} else {
		h.CountFloat = float64(total) * unit
	}
	if unit != 1 && total == 0 {
		h.Positive, h.Negative = metric.NativeBuckets{}, metric.NativeBuckets{} // which only floats would fit
	}
	if !h.Native() {
		h.Positive = integers(0)
	}
	return h
}

// randomExemplar returns no exemplar or one whose time no other has.
func randomExemplar(r *rand.Rand) *metric.Exemplar {
	if r.IntN(2) == 0 {
		return nil
	}
	return &metric.Exemplar{Value: exact(r), Timestamp: metric.Timestamp{Seconds: r.Int64N(1 << 37), Nanos: r.Int32N(1e9), Set: true}}
}

// randomFamily returns a family m with some of four series. Its histograms are what
// kind says: classic, native, or both. At most one of schemas and zero thresholds
// differs.
func randomFamily(r *rand.Rand, typ metric.Type, kind int) *metric.Family {
	f := &metric.Family{Name: "m", Type: typ}
	for series := range 4 {
		if r.IntN(4) == 0 {
			continue
		}
		m := metric.Metric{Labels: []metric.Label{{Name: "series", Value: fmt.Sprint(series)}}}
		if r.IntN(2) == 0 && typ != metric.Gauge {
			m.Created = metric.Timestamp{Seconds: r.Int64N(1 << 37), Nanos: r.Int32N(1e9), Set: true}
		}
		unit := pick(r, 1, 1, 0.25)
		schema, threshold := pick[int32](r, -4, 0, 0, 3, 8), pick(r, 0, 0x1p-128, 0.7, 1, 1.3, 2, 3, 9)
		if kind%2 == 0 {
			schema = 0
		} else {
			threshold = 0x1p-128
		}
		switch {
		case typ == metric.Counter:
			m.Value, m.HasValue, m.Exemplar = math.Abs(exact(r)), true, randomExemplar(r)
		case typ == metric.Gauge:
			m.Value, m.HasValue = pick(r, exact(r), exact(r), math.NaN()), true
		case typ == metric.Summary:
			m.Summary = &metric.SummaryValue{Count: r.Uint64N(100), Sum: exact(r)}
		case kind < 2:
			m.Histogram = randomClassic(r, unit)
		default:
			m.Histogram = randomNative(r, schema, threshold, unit)
			for range r.IntN(7) {
				if e := randomExemplar(r); e != nil {
					m.Histogram.Exemplars = append(m.Histogram.Exemplars, *e)
				}
			}
			if kind >= 4 {
				n := m.Histogram.Observations()
				m.Histogram.Buckets = []metric.Bucket{{UpperBound: pick[float64](r, 1, 2), CumulativeCountFloat: min(n, pick(r, 0, 0.5))}}
			}
		}
		f.Metrics = append(f.Metrics, m)
	}
	return f
}

// TestSumsInAnyOrderAndGrouping adds up pushes one by one, shuffled, and in pieces
// that are added up by themselves before.
func TestSumsInAnyOrderAndGrouping(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	types := []metric.Type{metric.Counter, metric.Gauge, metric.Summary, metric.Histogram, metric.Histogram, metric.GaugeHistogram}
	for round := range 600 {
		typ, kind := pick(r, types...), r.IntN(6)
		gauges := metric.GaugeSum
		if typ == metric.Gauge {
			gauges = pick(r, metric.GaugeSum, metric.GaugeMin, metric.GaugeMax)
		}
		pushes := make([]*metric.Family, 2+r.IntN(5))
		for i := range pushes {
			pushes[i] = randomFamily(r, typ, kind)
		}
		add := func(pushes ...*metric.Family) *metric.Family {
			sum, err := sumOf(t, gauges, pushes...)
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			return sum
		}
		want := add(pushes...)
		r.Shuffle(len(pushes), func(i, j int) { pushes[i], pushes[j] = pushes[j], pushes[i] })
		got := add(pushes...)
		if !bytes.Equal(encoded(got), encoded(want)) {
			t.Fatalf("round %d: %s %d: in one order\n%sin the other\n%s", round, typ, kind, text(want), text(got))
		}
		for len(pushes) > 1 {
			i := r.IntN(len(pushes) - 1)
			pushes[i] = add(pushes[i], pushes[i+1])
			pushes = slices.Delete(pushes, i+1, i+2)
		}
		if !bytes.Equal(encoded(pushes[0]), encoded(want)) {
			t.Fatalf("round %d: %s %d: one by one\n%sin pieces\n%s", round, typ, kind, text(want), text(pushes[0]))
		}
	}
}

// asPushed returns what a client's histogram is once it has been pushed.
func asPushed(t *testing.T, h prometheus.Histogram) *metric.Family {
	t.Helper()
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	chunk, err := proto.Marshal(&dto.MetricFamily{Metric: []*dto.Metric{&m}})
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := wire.DecodeMetrics(metric.Histogram, chunk, 1)
	if err != nil {
		t.Fatal(err)
	}
	metrics[0].Created = metric.Timestamp{}
	return &metric.Family{Name: "m", Type: metric.Histogram, Metrics: metrics}
}

// TestClassicSumIsThatOfObservations counts observations in the buckets of the push
// they came with, and compares where all pushes have the same buckets with one
// histogram that observes all.
func TestClassicSumIsThatOfObservations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 200 {
		bounds, same := randomBounds(r), r.IntN(2) == 0
		all := prometheus.NewHistogram(prometheus.HistogramOpts{Buckets: append([]float64{-100}, bounds...)})
		var pushes []*metric.Family
		within := map[float64]uint64{}
		count, sum := uint64(0), 0.0
		for range 1 + r.IntN(5) {
			if !same {
				bounds = randomBounds(r)
			}
			layout := append([]float64{-100}, bounds...) // as none means the default
			h := prometheus.NewHistogram(prometheus.HistogramOpts{Buckets: layout})
			for _, bound := range layout {
				if !math.IsInf(bound, +1) {
					within[bound] += 0
				}
			}
			for range r.IntN(30) {
				v := float64(r.IntN(80)-30) / 4
				h.Observe(v)
				all.Observe(v)
				count++
				sum += v
				if i, _ := slices.BinarySearch(layout, v); i < len(layout) {
					within[layout[i]]++
				}
			}
			pushes = append(pushes, asPushed(t, h))
		}
		f, err := sumOf(t, metric.GaugeLast, pushes...)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if same && !bytes.Equal(encoded(f), encoded(asPushed(t, all))) {
			t.Fatalf("round %d: got\n%swant\n%s", round, text(f), text(asPushed(t, all)))
		}
		want := metric.HistogramValue{Count: count, Sum: sum}
		total := uint64(0)
		delete(within, math.Inf(+1))
		for _, bound := range slices.Sorted(maps.Keys(within)) {
			total += within[bound]
			want.Buckets = append(want.Buckets, metric.Bucket{UpperBound: bound, CumulativeCount: total})
		}
		if got := *f.Metrics[0].Histogram; show(got) != show(want) {
			t.Fatalf("round %d: got\n%s, want\n%s", round, show(got), show(want))
		}
	}
}

// TestNativeSumIsThatOfObservations compares with one histogram of the highest
// resolution that observes all, reduced to the lowest resolution pushed.
func TestNativeSumIsThatOfObservations(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 200 {
		options := func(factor float64) prometheus.HistogramOpts {
			o := prometheus.HistogramOpts{NativeHistogramBucketFactor: factor, NativeHistogramZeroThreshold: 0.25}
			if round%2 == 0 {
				o.NativeHistogramZeroThreshold = prometheus.NativeHistogramZeroThresholdZero
			}
			if round%3 == 0 {
				o.Buckets = []float64{-1, 1}
			}
			return o
		}
		all := prometheus.NewHistogram(options(1.0001))
		var pushes []*metric.Family
		lowest := int32(8)
		for range 2 + r.IntN(4) {
			h := prometheus.NewHistogram(options(pick(r, 1.0001, 1.01, 1.1, 1.5, 2, 5, 70000)))
			for range r.IntN(30) {
				v := exact(r) / pick[float64](r, 1, 64)
				if r.IntN(50) == 0 {
					v = math.Inf(+1)
				}
				h.Observe(v)
				all.Observe(v)
			}
			f := asPushed(t, h)
			lowest = min(lowest, f.Metrics[0].Histogram.Schema)
			pushes = append(pushes, f)
		}
		f, err := sumOf(t, metric.GaugeLast, pushes...)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		sum, single := f.Metrics[0].Histogram, asPushed(t, all).Metrics[0].Histogram
		want := single.NativeInteger().ToFloat(nil).CopyToSchema(lowest).Compact(0)
		if got := sum.NativeInteger().ToFloat(nil); !got.Equals(want) {
			t.Fatalf("round %d: got %s, want %s", round, got, want)
		}
		if fmt.Sprint(sum.Buckets) != fmt.Sprint(single.Buckets) || !sum.Native() {
			t.Fatalf("round %d: got %s, want %s", round, show(*sum), show(*single))
		}
	}
}

// asFloat returns a native histogram as Prometheus adds it up.
func asFloat(h *metric.HistogramValue) *histogram.FloatHistogram {
	if h.Float() {
		return h.NativeFloat().Copy()
	}
	return h.NativeInteger().ToFloat(nil)
}

// TestNativeSumIsPrometheus compares with Prometheus' own sum, with the higher
// resolution first: of the second histogram it counts buckets twice that become part
// of the zero bucket but share one of a lower resolution with others that do not.
// Without Compact it panics at spans without buckets.
func TestNativeSumIsPrometheus(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for round := range 1500 {
		random := func() *metric.HistogramValue {
			return randomNative(r, pick[int32](r, -4, -1, 0, 1, 2, 5), pick(r, 0, 0x1p-128, 0.3, 0.5, 0.7, 1, 1.1, 1.3, 2, 3, 9),
				pick(r, 1, 0.125))
		}
		a, b := random(), random()
		f, err := sumOf(t, metric.GaugeLast, native(*a), native(*b))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if a.Schema < b.Schema {
			a, b = b, a
		}
		want, _, _, err := asFloat(a).Compact(0).Add(asFloat(b).Compact(0))
		if err != nil {
			t.Fatal(err)
		}
		sum := f.Metrics[0].Histogram
		if got := asFloat(sum); !got.Equals(want.Compact(0)) {
			t.Fatalf("round %d: %s\n+ %s: got\n%s, threshold %v, Prometheus has\n%s, %v", round, asFloat(a), asFloat(b), got,
				got.ZeroThreshold, want, want.ZeroThreshold)
		}
		if sum.Float() != (a.Float() || b.Float()) {
			t.Fatalf("round %d: %s counts in floats: %v", round, asFloat(sum), sum.Float())
		}
	}
}

// source makes values of the bytes of a fuzzer, and zeros behind their end.
type source []byte

func (s *source) next() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

// oneOf returns one of its arguments, the first where no bytes are left.
func oneOf[T any](s *source, from ...T) T { return from[int(s.next())%len(from)] }

// count returns a number of observations, small unless the bytes say otherwise.
func (s *source) count() uint64 {
	b := s.next()
	return oneOf(s, uint64(b), uint64(b), uint64(b), uint64(b), uint64(b), 1<<53, 1<<53+1, 1<<62, 1<<63-1, math.MaxUint64-uint64(b))
}

func (s *source) float() float64 {
	var bits [8]byte
	for i := range bits {
		bits[i] = s.next()
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(bits[:]))
}

// What histograms a source makes.
const (
	withClassic byte = 1 << iota
	withNative
	withFloats
	withAnyCount // rather than that of the buckets
	withAnyFloat // in any place
)

// histogram makes a histogram, valid as long as the bytes are zeros.
func (s *source) histogram(is byte) *metric.HistogramValue {
	h := &metric.HistogramValue{Sum: oneOf(s, 1, s.float(), math.NaN(), math.Inf(+1), math.Inf(-1))}
	unit := oneOf(s, 0.5, 0.1, 1, 3e300)
	var total uint64
	if is&withNative != 0 {
		h.Schema = oneOf[int32](s, 0, -4, -1, 1, 3, 8, -53, 9)
		h.ZeroThreshold = oneOf(s, 0, 0x1p-128, 0.5, 1, 1.3, math.Sqrt2, 2, 1000, 5e-324, math.MaxFloat64, math.Inf(+1), math.NaN(), -1)
		total = oneOf(s, 0, s.count())
		if h.ZeroCount = total; is&withFloats != 0 {
			h.ZeroCount, h.ZeroCountFloat = 0, float64(total)*unit
		}
		for _, side := range []*metric.NativeBuckets{&h.Positive, &h.Negative} {
			last := uint64(0)
			for range (s.next() + 2) % 4 {
				span := metric.Span{
					Offset: oneOf(s, int32(s.next()%8), int32(s.next()%8), -int32(s.next()), 300<<8, -300<<8, math.MaxInt32, math.MinInt32),
					Length: uint32(s.next()+1) % 6,
				}
				side.Spans = append(side.Spans, span)
				for range span.Length {
					n := s.count()
					total += n
					if is&withFloats != 0 {
						side.Counts = append(side.Counts, oneOf(s, float64(n)*unit, float64(n)*unit, 0, s.float()))
					} else {
						side.Deltas = append(side.Deltas, int64(n-last))
					}
					last = n
				}
			}
		}
	}
	if is&withAnyCount != 0 {
		total = s.count()
	}
	if is&withClassic != 0 {
		n := (s.next() + 4) % 12
		part := total / max(uint64(n), 1)
		for i := range uint64(n) {
			bound := oneOf(s, float64(i), float64(2*i), float64(3*i), float64(4*i), math.Inf(+1), math.Inf(-1), math.NaN(),
				math.Copysign(0, -1), s.float())
			b := metric.Bucket{UpperBound: bound, CumulativeCount: oneOf(s, i*part, 0, total, s.count())}
			if math.IsInf(bound, +1) {
				b.CumulativeCount = oneOf(s, total, total, b.CumulativeCount)
			}
			if is&withFloats != 0 {
				b.CumulativeCount, b.CumulativeCountFloat = 0, float64(b.CumulativeCount)*unit
			}
			if is&withAnyFloat != 0 {
				b.CumulativeCountFloat = oneOf(s, b.CumulativeCountFloat, s.float())
			}
			h.Buckets = append(h.Buckets, b)
		}
	}
	if h.Count = total; is&withFloats != 0 {
		h.Count, h.CountFloat = 0, float64(total)*unit
	}
	if is&withAnyFloat != 0 {
		h.CountFloat, h.ZeroCountFloat = oneOf(s, h.CountFloat, s.float()), oneOf(s, h.ZeroCountFloat, s.float())
	}
	return h
}

// checkSumOf adds up histograms made of the bytes and checks what always holds of a
// sum. It returns nil where they are rejected.
func checkSumOf(t *testing.T, data []byte) *metric.HistogramValue {
	s := source(data)
	is, other := s.next(), s.next()
	stored, pushed := native(*s.histogram(is)), native(*s.histogram(is ^ other&^withNative))
	for _, f := range []*metric.Family{stored, pushed} {
		var n metric.Normalizer
		n.Reset(key("job", "j"))
		if n.Normalize(f) != nil {
			return nil
		}
	}
	if pushed.CheckSummable(metric.GaugeLast) != nil {
		return nil
	}
	before := encoded(stored)
	sums, err := metric.AddMetrics(pushed, stored.Metrics, metric.GaugeLast)
	if !bytes.Equal(encoded(stored), before) {
		t.Fatalf("what the group stored became\n%s", text(stored))
	}
	if err != nil {
		return nil
	}
	h := sums[0].Histogram
	for i, b := range h.Buckets {
		switch {
		case i > 0 && !(b.UpperBound > h.Buckets[i-1].UpperBound):
			t.Errorf("bounds do not increase: %s", show(*h))
		case i > 0 && (b.CumulativeCount < h.Buckets[i-1].CumulativeCount || b.Observations() < h.Buckets[i-1].Observations()):
			t.Errorf("counts decrease: %s", show(*h))
		case b.Observations() > h.Observations():
			t.Errorf("a bucket counts more than the count: %s", show(*h))
		case math.IsInf(b.UpperBound, +1) && (b.CumulativeCount != h.Count || b.CumulativeCountFloat != h.CountFloat):
			t.Errorf("the bucket for +Inf is not the count: %s", show(*h))
		}
	}
	if h.Native() != pushed.Metrics[0].Histogram.Native() {
		t.Errorf("only one of summand and sum is native: %s", show(*h))
	}
	if h.Native() {
		valid, compacted := h.NativeInteger().Validate, func() string { return fmt.Sprint(h.NativeInteger().Copy().Compact(0).PositiveSpans) }
		if h.Float() {
			valid, compacted = h.NativeFloat().Validate, func() string { return fmt.Sprint(h.NativeFloat().Copy().Compact(0).PositiveSpans) }
		}
		if err := valid(); err != nil {
			t.Errorf("the native histogram is not valid: %v: %s", err, show(*h))
		}
		if spans := fmt.Sprint(h.Positive.Spans); spans != compacted() && spans != "[{0 0}]" {
			t.Errorf("the native histogram is not compact: %s", show(*h))
		}
	}
	sum := native(*h)
	if err := sum.CheckSummable(metric.GaugeLast); err != nil {
		t.Errorf("the sum cannot be added up: %v: %s", err, show(*h))
	}
	return h
}

// FuzzAddHistograms makes two histograms of the bytes.
func FuzzAddHistograms(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 30 {
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(r.Uint32N(256))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkSumOf(t, data) })
}

// TestRandomHistograms is what the fuzzer does, with some thousand bytes that are
// always the same, so that sums of all kinds are among them.
func TestRandomHistograms(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	kinds := map[string]int{}
	for range 6000 {
		data := make([]byte, 400)
		zeros := 0.5 + r.Float64()/2
		for i := range data {
			if r.Float64() > zeros {
				data[i] = byte(r.Uint32())
			}
		}
		data[0] = pick(r, data[0], byte(r.IntN(8))) // of a kind that is mostly valid
		if h := checkSumOf(t, data); h != nil {
			kinds[fmt.Sprintf("native %v, floats %v, classic %v", h.Native(), h.CountFloat != 0, len(h.Buckets) > 0)]++
		}
		if t.Failed() {
			return
		}
	}
	for _, native := range []bool{false, true} {
		for _, floats := range []bool{false, true} {
			for _, classic := range []bool{false, true} {
				kind := fmt.Sprintf("native %v, floats %v, classic %v", native, floats, classic)
				if kinds[kind] < 5 {
					t.Errorf("%s: only %d sums", kind, kinds[kind])
				}
			}
		}
	}
}

// BenchmarkAddMetrics adds a push of two counters of five series and a histogram of
// eleven buckets.
func BenchmarkAddMetrics(b *testing.B) {
	var families []*metric.Family
	for _, name := range []string{"requests_total", "errors_total"} {
		f := &metric.Family{Name: name, Type: metric.Counter}
		for i := range 5 {
			f.Metrics = append(f.Metrics, metric.Metric{Value: float64(i), HasValue: true,
				Labels: []metric.Label{{Name: "instance", Value: ""}, {Name: "job", Value: "backup"}, {Name: "path",
					Value: fmt.Sprint("/", i)}}})
		}
		families = append(families, f)
	}
	h := &metric.HistogramValue{Count: 20, Sum: 3}
	for i, bound := range prometheus.DefBuckets {
		h.Buckets = append(h.Buckets, metric.Bucket{UpperBound: bound, CumulativeCount: uint64(i)})
	}
	families = append(families, &metric.Family{Name: "duration_seconds", Type: metric.Histogram, Metrics: []metric.Metric{{
		Histogram: h, Labels: []metric.Label{{Name: "instance", Value: ""}, {Name: "job", Value: "backup"}}}}})
	stored := map[string][]metric.Metric{}
	for _, f := range families {
		stored[f.Name] = slices.Clone(f.Metrics)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range families {
			if err := f.CheckSummable(metric.GaugeLast); err != nil {
				b.Fatal(err)
			}
			if _, err := metric.AddMetrics(f, stored[f.Name], metric.GaugeLast); err != nil {
				b.Fatal(err)
			}
		}
	}
}
