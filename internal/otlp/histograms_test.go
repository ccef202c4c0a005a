package otlp

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"pushgateway/internal/metric"
)

// TestNativeBuckets: each bucket of an exponential histogram counts in the native bucket that has its
// bounds, or at a scale above 8 in the wider one around it.
func TestNativeBuckets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		scale, offset := random.IntN(25)-4, random.IntN(4000)-2000
		counts := make([]uint64, random.IntN(60))
		want, total := map[int32]int64{}, uint64(0)
		for i := range counts {
			if random.IntN(3) > 0 {
				continue
			}
			counts[i] = random.Uint64N(100)
			// Bucket i of OTLP ends at base^(i+1), that of Prometheus at base^i.
			index := int32(math.Floor(float64(offset+i)/math.Ldexp(1, max(scale-8, 0)))) + 1
			if total += counts[i]; counts[i] > 0 {
				want[index] += int64(counts[i])
			}
		}
		text, err := json.Marshal(counts)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`[{"name":"h","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"count":%d,"scale":%d,`+
			`"positive":{"offset":%d,"bucketCounts":%s}}]}}]`, total, scale, offset, text)
		r := decodeJSON(t, Config{}, inRequest(body))
		if r.Groups[0].Rejected.First != nil {
			t.Fatalf("%s: %v", body, r.Groups[0].Rejected.First)
		}
		h := r.Groups[0].Families[0].Metrics[0].Histogram
		if got := indexes(h.Positive); h.Schema != int32(min(scale, 8)) || !maps.Equal(got, want) {
			t.Fatalf("%s\ngot  %d %v\nwant %v", body, h.Schema, got, want)
		}
	}
}

// indexes returns the counts of native buckets that are not empty, by index.
func indexes(b metric.NativeBuckets) map[int32]int64 {
	counts := map[int32]int64{}
	index, count, deltas := int32(0), int64(0), b.Deltas
	for _, s := range b.Spans {
		index += s.Offset
		for range s.Length {
			count += deltas[0]
			deltas = deltas[1:]
			if count != 0 {
				counts[index] = count
			}
			index++
		}
	}
	return counts
}

// TestExemplars: a counter has its newest exemplar, a classic bucket likewise, and a native histogram all.
func TestExemplars(t *testing.T) {
	const exemplars = `"exemplars":[
		{"asDouble":0.7,"timeUnixNano":"2500000000","traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708",
			"filteredAttributes":[{"key":"a.b","value":{"intValue":"1"}}]},
		{"asInt":"9","timeUnixNano":"1000000000","traceId":"00000000000000000000000000000000"}]`
	const newest = `{a_b="1",span_id="0102030405060708",trace_id="0102030405060708090a0b0c0d0e0f10"} 0.7 @2.500000000`
	r := decodeJSON(t, Config{}, inRequest(`[
		{"name":"c","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{"asInt":"1",`+exemplars+`}]}},
		{"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
			{"count":"2","bucketCounts":["1","1"],"explicitBounds":[1],`+exemplars+`}]}},
		{"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{`+exemplars+`}]}}]`))
	write := func(e *metric.Exemplar) string {
		if e == nil {
			return "none"
		}
		return fmt.Sprintf("%s %v @%d.%09d", metric.FormatLabels(e.Labels), e.Value, e.Timestamp.Seconds, e.Timestamp.Nanos)
	}
	families := r.Groups[0].Families
	if got := write(families[0].Metrics[0].Exemplar); got != newest {
		t.Errorf("counter: %s", got)
	}
	buckets, native := families[1].Metrics[0].Histogram.Buckets, families[2].Metrics[0].Histogram.Exemplars
	for i, want := range []string{newest, "{} 9 @1.000000000"} {
		if got := write(buckets[i].Exemplar); got != want {
			t.Errorf("bucket %d: %s", i, got)
		}
		if got := write(&native[i]); got != want {
			t.Errorf("native %d: %s", i, got)
		}
	}
}

// TestLongExemplars: attributes are left out if the labels would be too long together, and an exemplar without a
// value rejects its data point, as in Prometheus.
func TestLongExemplars(t *testing.T) {
	for runes, want := range map[int]int{127: 1, 128: 0} {
		r := decodeJSON(t, Config{}, inRequest(fmt.Sprintf(`[{"name":"c","sum":{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[`+
			`{"exemplars":[{"asInt":"1","filteredAttributes":[{"key":"a","value":{"stringValue":%q}}]}]},`+
			`{"exemplars":[{}]}]}}]`, fmt.Sprintf("%0*d", runes, 1))))
		g := r.Groups[0]
		if got := len(g.Families[0].Metrics[0].Exemplar.Labels); got != want || g.Points != 1 || g.Rejected.Points != 1 {
			t.Errorf("%d runes: %d labels, want %d; %v", runes, got, want, g.Rejected)
		}
	}
}
