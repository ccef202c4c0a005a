package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// randomGroup returns a group as some pushes leave it: of every type, with names
// and values of every kind.
func randomGroup(t testing.TB, random *rand.Rand) *store.Group {
	t.Helper()
	labels := []metric.Label{{Name: "job", Value: randomText(random) + "j"}}
	for i := range random.IntN(4) {
		labels = append(labels, metric.Label{Name: fmt.Sprintf("l%d%s", i, pick(random, "", "ä", "_x")), Value: randomText(random)})
	}
	key := metric.NewGroupingKey(labels)
	s := store.InMemory()
	at := time.Unix(0, random.Int64N(1<<62)+1)
	for n := range 1 + random.IntN(3) {
		at = at.Add(time.Duration(random.Int64N(1e12)))
		if n > 0 && random.IntN(3) == 0 || random.IntN(12) == 0 {
			if err := s.Fail(key, at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		options := store.PushOptions{Merge: metric.MergeFamily}
		if random.IntN(3) == 0 {
			options.Merge = metric.MergeEach
		}
		if random.IntN(3) == 0 {
			options.IdempotencyKey = fmt.Sprint(random.Uint64())
		}
		if random.IntN(3) == 0 {
			options.Expiry = metric.Expiry{Set: true, TTL: time.Duration(random.Int64N(1e15)), KeepPushTimes: random.IntN(2) == 0}
		}
		families := randomFamilies(random)
		for i := range families {
			families[i].Merge = metric.MergeFamily // as the push, or each by itself
		}
		p, err := new(store.Encoder).Push(key, families, at, options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(p); err != nil {
			t.Fatal(err)
		}
	}
	for g := range s.Snapshot().Groups() {
		one := *g
		one.Summed, one.Expired = random.IntN(3) == 0, random.IntN(9) == 0
		return &one
	}
	t.Fatal("no group")
	return nil
}

func randomText(random *rand.Rand) string {
	return pick(random, "", "a", "north", "Προ", "a/b\nc\"d\\", strings.Repeat("x", 1+random.IntN(700)))
}

func randomValue(random *rand.Rand) float64 {
	switch random.IntN(8) {
	case 0:
		return math.NaN()
	case 1:
		return math.Inf(1 - 2*random.IntN(2))
	case 2:
		return 0
	}
	return random.NormFloat64() * math.Pow(10, float64(random.IntN(40)-20))
}

func randomFamilies(random *rand.Rand) []metric.Family {
	var families []metric.Family
	for i := range random.IntN(5) {
		typ := metric.Type(random.IntN(int(metric.GaugeHistogram) + 1))
		f := metric.Family{
			Name: fmt.Sprintf("f%d_%s", i, pick(random, "x", "ä.b", strings.Repeat("n", 200))),
			Help: randomText(random),
			Type: typ,
		}
		for n := range random.IntN(4) {
			m := metric.Metric{Labels: []metric.Label{{Name: "n", Value: fmt.Sprint(n)}}}
			if random.IntN(2) == 0 {
				m.Labels = append(m.Labels, metric.Label{Name: pick(random, "x", "ü"), Value: randomText(random)})
			}
			switch {
			case typ == metric.Summary:
				m.Summary = &metric.SummaryValue{Count: random.Uint64(), Sum: randomValue(random),
					Quantiles: []metric.Quantile{{Quantile: 0.5, Value: randomValue(random)}}}
			case typ.HasBuckets():
				m.Histogram = &metric.HistogramValue{Count: 9, Sum: randomValue(random),
					Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCount: 4}, {UpperBound: math.Inf(1), CumulativeCount: 9}}}
				if random.IntN(2) == 0 {
					h := m.Histogram
					h.Schema, h.ZeroThreshold, h.ZeroCount = 3, 1e-9, 2
					h.Positive = metric.NativeBuckets{Spans: []metric.Span{{Offset: -2, Length: 2}}, Deltas: []int64{3, 1}}
				}
			default:
				m.HasValue, m.Value = true, randomValue(random)
			}
			f.Metrics = append(f.Metrics, m)
		}
		families = append(families, f)
	}
	return families
}

// TestRecordRoundTrip decodes the records of random groups to what they were made
// of.
func TestRecordRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 500 {
		g := randomGroup(t, random)
		before := []byte("before")
		record := store.AppendRecord(slices.Clone(before), g)
		if !bytes.HasPrefix(record, before) {
			t.Fatal("AppendRecord changed what it appends to")
		}
		record = record[len(before):]
		given := slices.Clone(record)
		got, err := store.DecodeRecord(given)
		if err != nil {
			t.Fatalf("group %d %s: %v", n, g.Key, err)
		}
		clear(given) // the result must not alias it
		if !bytes.Equal(store.AppendRecord(nil, got), record) {
			t.Fatalf("group %d %s encodes to other bytes once decoded", n, g.Key)
		}
		if got, want := describeGroup(got), describeGroup(g); got != want {
			t.Fatalf("group %d: got\n%s\nwant\n%s", n, got, want)
		}
	}
}

// describeGroup writes all that a group shows to its readers.
func describeGroup(g *store.Group) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q pushed %d failed %d, summed %v, expired %v, %+v\n",
		g.Key, g.Key.ID(), unixNano(g.Pushed), unixNano(g.Failed), g.Summed, g.Expired, g.Expiry)
	for _, c := range g.Families {
		fmt.Fprintf(&b, "%q %q %q %s at %d, %d series, plain %v, replaced %v\n%s%x\n",
			c.Name(), c.Help(), c.Unit(), c.Type(), c.Time().UnixNano(), c.Series(), c.Plain(), g.Summed && c.Replaced(),
			c.AppendText(nil), c.Protobuf())
	}
	return b.String()
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// TestRecordDamage rejects each record with a bit flipped, cut, or with more
// behind it.
func TestRecordDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		record := store.AppendRecord(nil, randomGroup(t, random))
		for range 100 {
			bad := slices.Clone(record)
			bad[random.IntN(len(bad))] ^= 1 << random.IntN(8)
			if _, err := store.DecodeRecord(bad); err == nil {
				t.Fatal("a record with a flipped bit is accepted")
			}
		}
		for range 20 {
			if _, err := store.DecodeRecord(record[:random.IntN(len(record))]); err == nil {
				t.Fatal("a record that is cut short is accepted")
			}
		}
		if _, err := store.DecodeRecord(append(slices.Clone(record), 0)); err == nil {
			t.Fatal("a record with a byte more is accepted")
		}
	}
}

// sealed returns a record of this content, whatever that is, with its checksum.
func sealed(content []byte) []byte {
	sum := crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli))
	return append(binary.LittleEndian.AppendUint32(nil, sum), content...)
}

// TestRecordOtherSpellings rejects records with a right checksum that AppendRecord
// does not write: there is one way to write a group.
func TestRecordOtherSpellings(t *testing.T) {
	job := "\x01\x03job\x01a" // one label
	for name, content := range map[string]string{
		"a length in two bytes":  "\x81\x00\x03job\x01a\x00\x00\x00",
		"a time in two bytes":    job + "\x80\x00\x00\x00",
		"labels out of order":    "\x02\x03zzz\x01a\x03job\x01a\x00\x00\x00",
		"a label twice":          "\x02\x03job\x01a\x03job\x01a\x00\x00\x00",
		"an unknown type":        job + "\x00\x00\x01" + "\x01f\x00\x00\x09\x00\x00\x01\x00",
		"two ways to say plain":  job + "\x00\x00\x01" + "\x01f\x00\x00\x01\x00\x00\x02\x00",
		"terms that say nothing": job + "\x00\x00\x00" + "\x00\x00\x00",
		"an unknown bit":         job + "\x00\x00\x00" + "\x11\x00\x00",
		"a TTL not given":        job + "\x00\x00\x00" + "\x01\x02\x00",
		"a negative TTL":         job + "\x00\x00\x00" + "\x02\x01\x00",
		"families out of order":  job + "\x00\x00\x02" + "\x01g\x00\x00\x01\x00\x00\x01\x00" + "\x01f\x00\x00\x01\x00\x00\x01\x00",
		"a family twice":         job + "\x00\x00\x02" + "\x01f\x00\x00\x01\x00\x00\x01\x00" + "\x01f\x00\x00\x01\x00\x00\x01\x00",
	} {
		if g, err := store.DecodeRecord(sealed([]byte(content))); err == nil {
			t.Errorf("%s: accepted as %s", name, g.Key)
		}
	}
	if _, err := store.DecodeRecord(sealed([]byte(job + "\x00\x00\x01" + "\x01f\x00\x00\x01\x00\x00\x01\x00"))); err != nil {
		t.Errorf("the record that the others are made from is itself rejected: %v", err)
	}
}

// FuzzDecodeRecord: no panic, memory in proportion, and what decodes encodes to
// the same bytes. Without a right checksum nothing would get far, so the input
// gets one.
func FuzzDecodeRecord(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for seeds := 0; seeds < 20; {
		// Small ones, since go test tries to make each seed smaller that does
		// something new.
		if record := store.AppendRecord(nil, randomGroup(f, random)); len(record) < 400 {
			f.Add(record[4:])
			seeds++
		}
	}
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\x00\x00\x00\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, content []byte) {
		record := sealed(content)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g, err := store.DecodeRecord(record)
		runtime.ReadMemStats(&after)
		// A family of seven bytes becomes an EncodedFamily.
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+200*uint64(len(content)) {
			t.Errorf("%d bytes take %d to decode", len(content), used)
		}
		if err != nil {
			return
		}
		if again := store.AppendRecord(nil, g); !bytes.Equal(again, record) {
			t.Errorf("decoded, it encodes to\n%x\nnot\n%x", again, record)
		}
	})
}
