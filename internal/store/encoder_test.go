package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// gauges returns a family of gauges with the labels l, one for each value.
func gauges(name string, values ...int) metric.Family {
	f := metric.Family{Name: name, Type: metric.Gauge}
	for _, v := range values {
		f.Metrics = append(f.Metrics, metric.Metric{HasValue: true, Value: float64(v),
			Labels: []metric.Label{{Name: "l", Value: fmt.Sprintf("%06d", v)}}})
	}
	return f
}

// TestEncoderBatches pushes the same metrics in one batch and in several, in order and
// shuffled, and expects the same group.
func TestEncoderBatches(t *testing.T) {
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "j"}})
	at := time.Unix(1_700_000_000, 0)
	var all []int
	for v := range 1000 {
		all = append(all, v)
	}
	shuffled := slices.Clone(all)
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, c := range []struct {
		name    string
		batches [][]metric.Family
	}{
		{"in order", [][]metric.Family{{gauges("a", all[:300]...)}, {gauges("a", all[300:700]...), gauges("b", all[:5]...)},
			{gauges("a", all[700:]...)}}},
		{"shuffled", [][]metric.Family{{gauges("a", shuffled[:300]...)}, {gauges("b", all[:5]...), gauges("a", shuffled[300:700]...)},
			{gauges("a", shuffled[700:]...)}}},
		{"help first", [][]metric.Family{{{Name: "a", Help: "h"}}, {gauges("a", all...), gauges("b", all[:5]...)}}},
		{"nothing last", [][]metric.Family{{gauges("a", all...), gauges("b", all[:5]...)}, {}}},
		{"one by one", func() (batches [][]metric.Family) {
			for _, v := range shuffled {
				batches = append(batches, []metric.Family{gauges("a", v)})
			}
			return append(batches, []metric.Family{gauges("b", all[:5]...)})
		}()},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, merge := range []metric.Merge{metric.MergeGroup, metric.MergeFamily, metric.MergeSeries, metric.MergeSum} {
				groups := [2]*store.Group{}
				for i, batches := range [][][]metric.Family{{{gauges("a", all...), gauges("b", all[:5]...)}}, c.batches} {
					s := store.New(store.Config{})
					if err := s.Open(t.Context()); err != nil {
						t.Fatal(err)
					}
					var encoder store.Encoder
					for range 2 { // the second one merges
						encoder.Begin(key, store.PushOptions{Merge: merge})
						for j, families := range batches {
							add := encoder.Add
							if j == len(batches)-1 {
								add = encoder.Done
							}
							if err := add(cloneFamilies(families)); err != nil {
								t.Fatal(err)
							}
						}
						if _, err := s.Apply(encoder.Finish(at)); err != nil {
							t.Fatal(err)
						}
					}
					groups[i] = s.Snapshot().Group(key)
				}
				for i, f := range groups[0].Families {
					if g := groups[1].Families[i]; !bytes.Equal(f.Protobuf(), g.Protobuf()) || f.Series() != g.Series() ||
						f.Name() != g.Name() {
						t.Errorf("merge=%s: family %s differs: %d series, in one batch %d", merge, f.Name(), g.Series(), f.Series())
					}
				}
			}
		})
	}
}

func cloneFamilies(families []metric.Family) []metric.Family {
	out := slices.Clone(families)
	for i := range out {
		out[i].Metrics = slices.Clone(out[i].Metrics)
		for j := range out[i].Metrics {
			out[i].Metrics[j].Labels = slices.Clone(out[i].Metrics[j].Labels)
		}
	}
	return out
}

// TestEncoderRejectsAcrossBatches has what is only wrong in two batches together.
func TestEncoderRejectsAcrossBatches(t *testing.T) {
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "j"}})
	counter := gauges("a", 9)
	counter.Type = metric.Counter
	for _, c := range []struct {
		name    string
		batches [2][]metric.Family
		reason  metric.Reason
	}{
		{"series twice, in order", [2][]metric.Family{{gauges("a", 1, 2)}, {gauges("a", 2, 3)}}, metric.DuplicateSeries},
		{"series twice, not in order", [2][]metric.Family{{gauges("a", 3, 2)}, {gauges("a", 1, 2)}}, metric.DuplicateSeries},
		{"two types", [2][]metric.Family{{gauges("a", 1)}, {counter}}, metric.Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var encoder store.Encoder
			encoder.Begin(key, store.PushOptions{})
			if err := encoder.Add(c.batches[0]); err != nil {
				t.Fatal(err)
			}
			err, _ := encoder.Done(c.batches[1]).(*metric.RejectionError)
			if err == nil || err.Reason != c.reason || encoder.Rejected() != error(err) {
				t.Errorf("got %v, want the reason %s", err, c.reason)
			}
			if encoder.Reset(); encoder.Rejected() != nil {
				t.Error("rejected after Reset")
			}
		})
	}
}
