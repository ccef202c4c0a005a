package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/metric"
)

// checkIndex recomputes from the groups alone what the store has gathered step
// by step.
func checkIndex(t *testing.T, s *Store) {
	t.Helper()
	type known struct {
		types
		encoded []*EncodedFamily
		shapes  map[string]int
	}
	want := map[string]*known{}
	var totals Totals
	ids := slices.Sorted(maps.Keys(s.groups))
	for _, id := range ids {
		g := s.groups[id]
		totals.Groups++
		if g.Key.ID() != id || g.shape != shapeOf(g.Key) {
			t.Fatalf("group %s is stored as %q with shape %+v", g.Key, id, g.shape)
		}
		for _, c := range g.Families {
			totals = totals.plus(c.count())
			k := want[c.Name()]
			if k == nil {
				k = &known{shapes: map[string]int{}}
				want[c.Name()] = k
			}
			if !k.fits(c.Type()) {
				t.Fatalf("%s is of two types", c.Name())
			}
			k.add(c.Type())
			k.encoded = append(k.encoded, c)
			k.shapes[string(g.shape)]++
		}
	}
	if s.totals != totals {
		t.Fatalf("totals %+v, want %+v", s.totals, totals)
	}
	if len(s.families) != len(want) || s.unsettled.Load() != nil || s.preparing != nil {
		t.Fatalf("%d families, want %d; unsettled: %v, preparing: %v", len(s.families), len(want), s.unsettled.Load(), s.preparing)
	}
	checkList(t, s)
	checkRun(t, "groups", &s.groupRun, func(yield func(*Group) bool) {
		for _, id := range ids {
			if !yield(s.groups[id]) {
				return
			}
		}
	})
	checkExpiries(t, s)
	for name := range want {
		f, k := s.families[name], want[name]
		if f.name != name || f.groups != k.groups || f.typed != k.typed || f.typeOf() != k.typeOf() {
			t.Fatalf("family %s is wrong: %+v", name, f)
		}
		checkRun(t, name, &f.run, slices.Values(k.encoded))
		got := map[string]int{}
		counts := []shapeCount{f.shapes.first}
		for _, more := range f.shapes.more {
			counts = append(counts, more...)
		}
		for _, c := range counts {
			if c.groups > 0 {
				got[string(c.shape)] = c.groups
				if found, _ := f.shapes.find(c.shape); found == nil || *found != c {
					t.Fatalf("family %s: shape %q is not found", name, c.shape)
				}
			}
		}
		if !maps.Equal(got, k.shapes) {
			t.Fatalf("family %s: shapes %v, want %v", name, got, k.shapes)
		}
	}
}

// checkList compares the list of families with the index.
func checkList(t *testing.T, s *Store) {
	t.Helper()
	stale := 0
	var listed []*Family
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		f := s.families[name]
		if f.stale {
			stale++
			if !slices.Contains(s.stale, f) {
				t.Fatalf("the stale family %s is not among those to refresh", name)
			}
		} else if f.view == nil || f.view.Type != f.typeOf() || !slices.Equal(f.view.Segments, f.run.snapshot()) && !f.mixed() {
			t.Fatalf("family %s is not stale, but listed as %+v", name, f.view)
		}
		if f.view != nil {
			listed = append(listed, f.view)
		}
	}
	checkRun(t, "list", &s.list, slices.Values(listed))
}

// checkExpiries compares the queue of expiries with the groups.
func checkExpiries(t *testing.T, s *Store) {
	t.Helper()
	queued := 0
	for id, g := range s.groups {
		_, expires := s.expiryPolicy.Load().expiryOf(g)
		if expires != (g.expiry != nil) {
			t.Fatalf("group %s expires: %v, but its place in the queue is %+v", g.Key, expires, g.expiry)
		}
		if g.expiry == nil {
			continue
		}
		queued++
		if g.expiry.id != id || g.expiry.index >= len(s.expiries) || s.expiries[g.expiry.index] != g.expiry {
			t.Fatalf("group %s is not where %+v says in the queue", g.Key, *g.expiry)
		}
		if parent := s.expiries[(g.expiry.index-1)/2]; g.expiry.index > 0 && parent.at > g.expiry.at {
			t.Fatalf("group %s expires before its parent in the queue", g.Key)
		}
	}
	if queued != len(s.expiries) {
		t.Fatalf("the queue has %d groups, not %d", len(s.expiries), queued)
	}
}

func checkRun[T item[T]](t *testing.T, name string, r *run[T], want func(func(T) bool)) {
	t.Helper()
	var got []T
	for i, l := range r.leaves {
		weight := 0
		for _, x := range l.segment.Items {
			weight += x.weight()
			got = append(got, x)
			if x.leaf() != l {
				t.Fatalf("%s: %q has another leaf", name, x.order())
			}
		}
		if len(l.segment.Items) == 0 || l.first != l.segment.Items[0].order() || l.weight != weight ||
			weight > maxSegmentWeight && len(l.segment.Items) > 1 && weight-l.segment.Items[len(l.segment.Items)-1].weight() > maxSegmentWeight {
			t.Fatalf("%s: segment %d of %d items begins at %q, weighs %d, is said to weigh %d",
				name, i, len(l.segment.Items), l.first, weight, l.weight)
		}
	}
	if !slices.Equal(got, slices.Collect(want)) || int(r.count) != len(got) {
		t.Fatalf("%s: the run holds %d items, counts %d", name, len(got), r.count)
	}
}

// TestIndexAfterRandomChanges also makes families large and shapes many, and settles
// changes in slices.
func TestIndexAfterRandomChanges(t *testing.T) {
	t.Run("small", func(t *testing.T) { changeRandomly(t, minLarge) })
	t.Run("large", func(t *testing.T) { changeRandomly(t, 7) })
}

func changeRandomly(t *testing.T, minLarge int) {
	random := rand.New(rand.NewPCG(5, 6))
	at := time.Unix(1_700_000_000, 0)
	started, expired := at, 0
	s := New(Config{Clock: Clock{Now: func() time.Time { return at }, Elapsed: func() time.Duration { return at.Sub(started) }}})
	s.minLarge = minLarge
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.SetExpiry(func(key metric.GroupingKey) metric.Expiry {
		instance, _ := key.Value(metric.InstanceLabel)
		return metric.Expiry{Set: true, TTL: 400 * time.Second, KeepPushTimes: instance == "i1"}
	})
	key := func() metric.GroupingKey {
		labels := []metric.Label{{Name: "job", Value: fmt.Sprint("j", random.IntN(30))}}
		if random.IntN(2) == 0 {
			labels = append(labels, metric.Label{Name: "instance", Value: fmt.Sprint("i", random.IntN(20))})
		}
		if random.IntN(3) == 0 {
			labels = append(labels, metric.Label{Name: fmt.Sprint("l", random.IntN(20)), Value: "x"})
		}
		return metric.NewGroupingKey(labels)
	}
	families := func() []metric.Family {
		var out []metric.Family
		for _, n := range random.Perm(6)[:random.IntN(4)] {
			f := metric.Family{Name: fmt.Sprint("m", n), Type: metric.Gauge, Help: fmt.Sprint("help ", random.IntN(2))}
			for i := range 1 + random.IntN(5) {
				f.Metrics = append(f.Metrics, metric.Metric{HasValue: true, Value: float64(i),
					Labels: []metric.Label{{Name: "v", Value: strings.Repeat("x", i*random.IntN(300))}, {Name: "n", Value: fmt.Sprint(i)}}})
			}
			out = append(out, f)
		}
		return out
	}
	for step := range 6000 {
		at = at.Add(time.Second)
		switch k := key(); random.IntN(10) {
		case 0, 1:
			if _, err := s.Delete(k); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := s.Fail(k, at); err != nil {
				t.Fatal(err)
			}
		case 3:
			s.Snapshot() // from here on its segments are shared
			deleted, err := s.Expire(s.Due(1 + random.IntN(20)))
			if err != nil {
				t.Fatal(err)
			}
			expired += len(deleted)
		default:
			p, err := new(Encoder).Push(k, families(), at, PushOptions{
				Merge: metric.Merge(random.IntN(int(metric.MergeSum) + 1)),
				Expiry: metric.Expiry{
					Set: random.IntN(3) == 0, TTL: time.Duration(random.IntN(1000)) * time.Second, KeepPushTimes: random.IntN(9) == 0,
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Apply(p) // may be rejected
		}
		if step%50 == 0 || step > 5900 {
			checkIndex(t, s)
		}
		if step == 3000 {
			if n, err := s.Wipe(); err != nil || n == 0 {
				t.Fatal(n, err)
			}
			checkIndex(t, s)
		}
	}
	for _, g := range slices.Collect(s.Snapshot().Groups()) {
		if _, err := s.Delete(g.Key); err != nil {
			t.Fatal(err)
		}
	}
	checkIndex(t, s)
	if expired < 50 {
		t.Fatalf("only %d groups expired", expired)
	}
	if s.totals != (Totals{}) || len(s.families) != 0 {
		t.Fatalf("still stored: %+v", s.totals)
	}
}
