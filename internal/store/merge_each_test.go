package store_test

import (
	"slices"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// pushEach pushes a text in which the families of the given names are merged as given, and the others by
// series. The push comes in one batch, or in one for each family.
func pushEach(t *testing.T, s *store.Store, text string, merges map[string]metric.Merge, inBatches bool) error {
	t.Helper()
	parser := wire.TextParser{Names: metric.LegacyValidation}
	families, err := parser.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range families {
		families[i].Merge = metric.MergeSeries
		if merge, ok := merges[families[i].Name]; ok {
			families[i].Merge = merge
		}
	}
	var e store.Encoder
	e.Begin(jobKey("a"), store.PushOptions{Merge: metric.MergeEach, Gauges: metric.GaugeSum})
	if inBatches {
		for family := range slices.Chunk(families, 1) {
			if err := e.Add(family); err != nil {
				return err
			}
		}
		families = nil
	}
	if err := e.Done(families); err != nil {
		return err
	}
	_, err = s.Apply(e.Finish(noon))
	return err
}

// TestMergeEach: the families of one push are merged in different ways, at once.
func TestMergeEach(t *testing.T) {
	merges := map[string]metric.Merge{"sum": metric.MergeSum, "level": metric.MergeSum, "info": metric.MergeFamily}
	const (
		first = "# TYPE sum counter\nsum{k=\"a\"} 1\n# TYPE level gauge\nlevel 5\n# TYPE g gauge\ng 1\n# TYPE info gauge\ninfo{pid=\"1\"} 1\n"
		other = "# TYPE sum counter\nsum{k=\"a\"} 2\nsum{k=\"b\"} 4\n# TYPE level gauge\nlevel -2\n# TYPE g gauge\ng{x=\"1\"} 2\n" +
			"# TYPE info gauge\ninfo{pid=\"2\"} 1\n"
		both = "g 1\ng{x=\"1\"} 2\ninfo{pid=\"2\"} 1\nlevel 3\nsum{k=\"a\"} 3\nsum{k=\"b\"} 4\n"
	)
	for _, inBatches := range []bool{false, true} {
		s := store.InMemory()
		for _, text := range []string{first, other} {
			if err := pushEach(t, s, text, merges, inBatches); err != nil {
				t.Fatal(err)
			}
		}
		wantSamples(t, s, "a", both)
		// A push without anything to add leaves the sums as they are, and they are still sums.
		if err := pushEach(t, s, "# TYPE g gauge\ng 7\n", nil, inBatches); err != nil {
			t.Fatal(err)
		}
		_, err := pushAs(s, "a", "# TYPE sum counter\nsum 1\n", noon, store.PushOptions{Merge: metric.MergeFamily})
		if !rejectedFor(err, metric.BadMerge) {
			t.Errorf("a value in place of a sum: %v", err)
		}
	}
}

// TestMergeEachIntoValues: only what was added before is added to.
func TestMergeEachIntoValues(t *testing.T) {
	sums := map[string]metric.Merge{"sum": metric.MergeSum}
	s := store.InMemory()
	if err := pushEach(t, s, "# TYPE sum counter\nsum 1\n", nil, false); err != nil {
		t.Fatal(err)
	}
	if err := pushEach(t, s, "# TYPE sum counter\nsum 2\n", sums, false); !rejectedFor(err, metric.BadMerge) {
		t.Errorf("a sum that was a value: %v", err)
	}
	if err := pushEach(t, s, "# TYPE other counter\nother 2\n", map[string]metric.Merge{"other": metric.MergeSum}, false); err != nil {
		t.Errorf("a sum beside a value: %v", err)
	}
	const histogram = "# TYPE sum histogram\nsum_count 2\nsum_sum 2\nsum_bucket{le=\"+Inf\"} 2\n"
	if err := pushEach(t, s, histogram, nil, false); !rejectedFor(err, metric.TypeConflict) {
		t.Errorf("another type: %v", err)
	}
	wantSamples(t, s, "a", "other 2\nsum 1\n")
	if err := pushEach(t, s, "# TYPE sum counter\nsum 2\n", sums, false); !rejectedFor(err, metric.BadMerge) {
		t.Errorf("a sum that was a value, in a group that has sums: %v", err)
	}
}

// TestMergeEachKeepsSums: a value does not replace a sum, and nothing is added to a value, also once the group has been
// persisted and loaded.
func TestMergeEachKeepsSums(t *testing.T) {
	sums := map[string]metric.Merge{"sum": metric.MergeSum, "level": metric.MergeSum}
	const (
		sum, value   = "# TYPE sum counter\nsum 1\n", "# TYPE value counter\nvalue 1\n"
		gauge, level = "# TYPE gauge gauge\ngauge 1\n", "# TYPE level gauge\nlevel 1\n"
		text         = "# TYPE text counter\ntext 1\n"
	)
	for _, reload := range []bool{false, true} {
		s := store.InMemory()
		mustPush(t, s, "a", text, store.PushOptions{Merge: metric.MergeFamily}) // before there are sums
		for _, text := range []string{sum + value + gauge + level, value} {
			if err := pushEach(t, s, text, sums, false); err != nil {
				t.Fatal(err)
			}
		}
		if reload {
			loaded, err := store.DecodeRecord(store.AppendRecord(nil, s.Snapshot().Group(jobKey("a"))))
			if err != nil {
				t.Fatal(err)
			}
			s = store.InMemory(loaded)
		}
		for _, c := range []struct {
			name, text string
			merges     map[string]metric.Merge
			accepted   bool
		}{
			{"sum in place of a value", value, map[string]metric.Merge{"value": metric.MergeSum}, false},
			{"sum in place of a value in text", text, map[string]metric.Merge{"text": metric.MergeSum}, false},
			{"sum in place of a gauge", gauge, map[string]metric.Merge{"gauge": metric.MergeSum}, false},
			{"value in place of a sum", sum, nil, false},
			{"all as before", sum + value + gauge + level + text, sums, true},
			{"gauge in place of a sum", level, nil, true},
		} {
			if err := pushEach(t, s, c.text, c.merges, false); (err == nil) != c.accepted || err != nil && !rejectedFor(err, metric.BadMerge) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		for pushed, accepted := range map[string]bool{sum: true, value: false, text: false, gauge: true} {
			if _, err := pushAs(s, "a", pushed, noon, store.PushOptions{Merge: metric.MergeSum}); (err == nil) != accepted {
				t.Errorf("with merge=sum, %q: %v", pushed, err)
			}
		}
		wantSamples(t, s, "a", "gauge 1\nlevel 1\nsum 3\ntext 1\nvalue 1\n")
	}
}
