package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/metric"
)

func largePush(t *testing.T, job, prefix string, families int) *Push {
	t.Helper()
	all := make([]metric.Family, families)
	for i := range all {
		all[i] = metric.Family{Name: fmt.Sprint(prefix, i), Type: metric.Gauge, Metrics: []metric.Metric{{HasValue: true, Value: 1}}}
	}
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: job}})
	p, err := new(Encoder).Push(key, all, time.Unix(1_700_000_000, 0), PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asHistogram makes the first family of the push a histogram.
func asHistogram(p *Push) *Push {
	p.families[0].Type = metric.Histogram
	p.encoded[0].header = &header{p.families[0].Name, "", "", metric.Histogram}
	return p
}

// TestLargePushes: pushes of very many families, and what replaces, rejects and deletes
// them, leave the index as the groups say, and no entry of a family that is gone.
func TestLargePushes(t *testing.T) {
	s := InMemory()
	const n = 2*minLarge + 17
	apply := func(p *Push, wantRejected bool) {
		t.Helper()
		if _, err := s.Apply(p); (err != nil) != wantRejected {
			t.Fatal(err)
		}
		checkIndex(t, s)
		for name, f := range s.families {
			if f.announced != 0 {
				t.Fatalf("%s is still announced", name)
			}
		}
	}
	apply(largePush(t, "a", "m", n), false)
	apply(largePush(t, "b", "m", n), false)
	apply(largePush(t, "a", "n", n), false)
	apply(largePush(t, "c", "o", 3), false)
	typed := largePush(t, "d", "o", n)
	for i := range typed.families {
		typed.families[i].Type = metric.Histogram // which o0 is not
	}
	apply(typed, true)
	s.Snapshot() // shares all segments
	apply(largePush(t, "b", "n", n), false)
	if _, err := s.Delete(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "a"}})); err != nil {
		t.Fatal(err)
	}
	checkIndex(t, s)
	if _, err := s.Wipe(); err != nil {
		t.Fatal(err)
	}
	checkIndex(t, s)
	if len(s.families) != 0 || len(s.unused) != 0 {
		t.Errorf("%d families are left, %d unused", len(s.families), len(s.unused))
	}
}

// TestListOfFamiliesIsMadeAtOnce: the list of all families never grows, since nothing can
// interrupt the copy of a long list of pointers.
func TestListOfFamiliesIsMadeAtOnce(t *testing.T) {
	s := InMemory()
	if _, err := s.Apply(largePush(t, "a", "m", minLarge)); err != nil {
		t.Fatal(err)
	}
	if all := s.Snapshot().Families(); len(all) != minLarge+pushTimeFamilies || cap(all) != len(all) {
		t.Errorf("the list has %d families and room for %d", len(all), cap(all))
	}
}

// prepared returns the preparation of a push, which the caller continues.
func prepared(s *Store, p *Push) *preparation {
	prepared := &preparation{push: p}
	s.preparing = prepared
	s.announce(p)
	s.prepare(prepared)
	return prepared
}

// TestOthersWhileALargePushSettles: once a large push is published, others take turns, and
// are checked against all of it, before the index has all of its families.
func TestOthersWhileALargePushSettles(t *testing.T) {
	s := InMemory()
	apply := func(p *Push, wantRejected bool) {
		t.Helper()
		if _, err := s.Apply(p); (err != nil) != wantRejected {
			t.Fatalf("rejected: %v", err)
		}
		if s.unsettled.Load() == nil {
			t.Fatal("all has been settled before the push was answered")
		}
	}
	for _, prefix := range []string{"m", "n"} {
		large := largePush(t, "large", prefix, minLarge)
		if _, err := commitAlone(s, prepared(s, large).decide); err != nil {
			t.Fatal(err)
		}
		histogram := largePush(t, "histogram", prefix, 2)
		histogram.families[1].Type = metric.Histogram // which the large push has as a gauge
		apply(histogram, true)
		apply(largePush(t, prefix+"small", prefix, 3), false)
		apply(largePush(t, "small", "other", 3), false)
		if got := s.Snapshot().Family(prefix + "1"); got == nil || len(slices.Collect(got.All())) != 2 {
			t.Fatalf("the snapshot has the family as %+v", got)
		}
		if s.unsettled.Load() != nil {
			t.Fatal("the snapshot is not settled")
		}
		s.forget(large)
		s.preparing = nil
		s.finish()
		checkIndex(t, s)
	}
}

// TestPreparationIsChecked: what others change while a large push is prepared counts in
// its turn.
func TestPreparationIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(s *Store) *Push
		want      string
	}{
		"nothing":        {func(*Store) *Push { return nil }, ""},
		"another family": {func(*Store) *Push { return largePush(t, "small", "other", 3) }, ""},
		"same family":    {func(*Store) *Push { return largePush(t, "small", "m", 3) }, ""},
		"other type": {func(*Store) *Push {
			return asHistogram(largePush(t, "small", "m", 1))
		}, "m0"},
		"same group":   {func(*Store) *Push { return largePush(t, "large", "x", 1) }, errOutdated.Error()},
		"a large wipe": {func(s *Store) *Push { _, _ = s.Wipe(); return nil }, errOutdated.Error()},
		"too many":     {func(*Store) *Push { return largePush(t, "small", "x", maxNoted+1) }, errOutdated.Error()},
	} {
		s := InMemory()
		s.minLarge = 10 * maxNoted // so that the others are not large
		large := largePush(t, "large", "m", minLarge)
		p := prepared(s, large)
		if other := test.meanwhile(s); other != nil {
			if _, err := s.Apply(other); err != nil {
				t.Fatal(err)
			}
		}
		_, err := commitAlone(s, p.decide)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s meanwhile: %v, want %q", name, err, test.want)
		}
		s.finish()
		s.forget(large)
		s.preparing = nil
		checkIndex(t, s)
	}
}

// TestLargePushesAmongOthers: whatever others push, read and delete meanwhile, a large push
// is visible as a whole or not at all, and the index is as the groups say.
func TestLargePushesAmongOthers(t *testing.T) {
	s := InMemory()
	s.minLarge = 64
	const families = 1500
	var running sync.WaitGroup
	stop := make(chan struct{})
	loop := func(f func(i int)) {
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		})
	}
	apply := func(p *Push) { _, _ = s.Apply(p) } // may be rejected
	names := []string{"a", "b"}
	loop(func(i int) {
		p := largePush(t, "small", names[i%2], 1+i%5)
		if i%7 == 0 {
			p = asHistogram(p)
		}
		apply(p)
	})
	loop(func(i int) { apply(largePush(t, fmt.Sprint("small", i%10), "x", 3)) })
	loop(func(i int) {
		if _, err := s.Delete(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "small"}})); err != nil {
			t.Error(err)
		}
	})
	loop(func(i int) {
		v := s.Snapshot()
		counts := map[string]int{}
		for _, f := range v.Families() {
			for e := range f.All() {
				if e.key.ID() == "large" {
					counts[f.Name[:1]]++
				}
			}
		}
		if a, b := counts["a"], counts["b"]; a != 0 && a != families || b != 0 && b != families || a+b > families {
			t.Errorf("the snapshot shows %v", counts)
		}
	})
	for i := range 40 {
		apply(largePush(t, "large", names[i%2], families))
	}
	close(stop)
	running.Wait()
	s.finish()
	checkIndex(t, s)
}

// heldJournal is a journal whose commits wait until they are released. It records them.
type heldJournal struct {
	Memory
	started, release chan struct{}
	commits          [][]string // IDs of groups
}

func (j *heldJournal) Commit(c Changes) error {
	j.started <- struct{}{}
	<-j.release
	var ids []string
	for _, g := range c.Groups {
		ids = append(ids, g.ID)
	}
	j.commits = append(j.commits, ids)
	return nil
}

// TestLargePushEndsItsTurn: those who come after a large push are decided on in another
// turn. So the push need not be folded into the batch, which takes as long as the rest.
func TestLargePushEndsItsTurn(t *testing.T) {
	j := &heldJournal{started: make(chan struct{}), release: make(chan struct{})}
	s := New(Config{Journal: j})
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	pushes := []*Push{
		largePush(t, "first", "f", 1), largePush(t, "small-1", "f", 1), largePush(t, "large", "g", minLarge),
		largePush(t, "small-2", "f", 1), largePush(t, "small-3", "g", 1),
	}
	done := make(chan error)
	for i, p := range pushes {
		go func() {
			_, err := commit(s, func(b *batch) (struct{}, error) {
				next, err := b.group(p.key.ID()).afterPush(p)
				b.put(p.key.ID(), next)
				return struct{}{}, err
			})
			done <- err
		}()
		if i == 0 {
			<-j.started
			continue
		}
		for s.Waiting() < i {
			time.Sleep(time.Millisecond)
		}
	}
	go func() {
		for range j.started {
			j.release <- struct{}{}
		}
	}()
	j.release <- struct{}{}
	for range pushes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(j.started)
	want := [][]string{{"first"}, {"small-1", "large"}, {"small-2", "small-3"}}
	if !slices.EqualFunc(j.commits, want, slices.Equal) {
		t.Errorf("commits %q, want %q", j.commits, want)
	}
	checkIndex(t, s)
}

// stagingJournal is a journal whose staging waits until it is released.
type stagingJournal struct {
	Memory
	started, release chan struct{}
	staged           *Group
	done             int
}

func (j *stagingJournal) Stage(g *Group) (done func()) {
	j.staged = g
	j.started <- struct{}{}
	<-j.release
	return func() { j.done++ }
}

// TestOthersWhileALargePushIsStaged: the journal may take its time to write a large push. Others
// are pushed and deleted meanwhile, and the push does not show. If they changed the group, it
// is staged again.
func TestOthersWhileALargePushIsStaged(t *testing.T) {
	j := &stagingJournal{started: make(chan struct{}), release: make(chan struct{})}
	s := New(Config{Journal: j})
	if err := s.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	applied := make(chan error)
	large := largePush(t, "large", "g", minLarge)
	go func() {
		_, err := s.Apply(large)
		applied <- err
	}()
	for i, job := range []string{"small", "large"} {
		<-j.started
		if _, err := s.Apply(largePush(t, job, "f", 1)); err != nil {
			t.Fatal(err)
		}
		if n := len(s.Snapshot().Families()); n != 1+pushTimeFamilies {
			t.Errorf("%d families are seen before the large push is committed", n)
		}
		if i == 0 {
			if found, err := s.Delete(large.key); err != nil || found {
				t.Errorf("the group that is being pushed is deleted: %v, %v", found, err)
			}
			if _, err := s.Apply(largePush(t, "large", "f", 1)); err != nil { // so it is staged again
				t.Fatal(err)
			}
		}
		j.release <- struct{}{}
	}
	<-j.started // since its group was pushed to again
	j.release <- struct{}{}
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if g := s.Snapshot().Group(large.key); g != j.staged || len(g.Families) != minLarge+pushTimeFamilies {
		t.Error("the group is not the one that was staged last")
	}
	if j.done != 3 {
		t.Errorf("%d of 3 stagings are done", j.done)
	}
	checkIndex(t, s)
}
