package store

import (
	"context"
	"fmt"
	"slices"
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

// TestLargePushes: pushes of very many families, and what replaces, rejects and deletes
// them, leave the index as the groups say, and no entry of a family that is gone.
func TestLargePushes(t *testing.T) {
	s := InMemory()
	const n = 2*minAnnounced + 17
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
		largePush(t, "first", "f", 1), largePush(t, "small-1", "f", 1), largePush(t, "large", "g", minAnnounced),
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
