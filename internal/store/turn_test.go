package store_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// replicas is what several stores share: the records of all commits, in order.
type replicas struct{ commits []map[string][]byte }

// replica is one store's journal.
type replica struct {
	store.Memory
	shared *replicas
	seen   int // commits
}

func (r *replica) Begin(context.Context) (store.Changes, error) {
	var foreign store.Changes
	for ; r.seen < len(r.shared.commits); r.seen++ {
		for id, record := range r.shared.commits[r.seen] {
			change := store.Change{ID: id}
			switch {
			case id == "":
				foreign = store.Changes{Wiped: true}
				continue
			case record != nil:
				g, err := store.DecodeRecord(record)
				if err != nil {
					return store.Changes{}, err
				}
				change.Group = g
			}
			foreign.Groups = append(foreign.Groups, change)
		}
	}
	return foreign, nil
}

func (r *replica) Commit(c store.Changes) error {
	if c.Empty() {
		return nil
	}
	records := map[string][]byte{}
	if c.Wiped {
		records[""] = nil
	}
	for _, change := range c.Groups {
		records[change.ID] = nil
		if change.Group != nil {
			records[change.ID] = store.AppendRecord(nil, change.Group)
		}
	}
	r.shared.commits = append(r.shared.commits, records)
	r.seen++
	return nil
}

// TestForeignChanges: what others committed is there before a store decides, and
// counts in its decisions.
func TestForeignChanges(t *testing.T) {
	shared := &replicas{}
	a, b := open(t, &replica{shared: shared}), open(t, &replica{shared: shared})
	at := time.Unix(1_700_000_000, 0)
	push := func(s *store.Store, job, body string) error {
		return pushText(s, jobKey(job), []string{body}, false, at)
	}
	if err := push(a, "x", "# TYPE m counter\nm 1\n"); err != nil {
		t.Fatal(err)
	}
	var rejection *metric.RejectionError
	if err := push(b, "y", "# TYPE m gauge\nm 1\n"); !errors.As(err, &rejection) || rejection.Reason != metric.TypeConflict {
		t.Errorf("a push that conflicts with one of another replica: %v", err)
	}
	if err := push(b, "x", "n 2\n"); err != nil {
		t.Fatal(err)
	}
	if found, err := a.Delete(jobKey("none")); err != nil || found {
		t.Errorf("found %v, %v", found, err)
	}
	if got, want := describeStore(a), describeStore(b); got != want || !strings.Contains(got, "n") {
		t.Errorf("one replica has\n%s\nthe other\n%s", got, want)
	}
	if found, err := a.Delete(jobKey("x")); err != nil || !found {
		t.Errorf("found %v, %v", found, err)
	}
	if n, err := b.Wipe(); err != nil || n != 1 { // y, which has failed
		t.Errorf("%d groups wiped, %v", n, err)
	}
	if err := push(a, "y", "# TYPE m gauge\nm 1\n"); err != nil {
		t.Errorf("after a wipe by another replica: %v", err)
	}
	if n := a.Totals().Groups; n != 1 {
		t.Errorf("%d groups, want 1", n)
	}
}

// TestForeignChangesStayAfterFailedCommit: they are visible whatever becomes of the
// turn.
func TestForeignChangesStayAfterFailedCommit(t *testing.T) {
	shared := &replicas{}
	a, failing := open(t, &replica{shared: shared}), &failingReplica{replica: replica{shared: shared}}
	b := open(t, failing)
	if err := pushText(a, jobKey("x"), []string{"m 1\n"}, true, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := pushText(b, jobKey("y"), []string{"m 1\n"}, true, time.Unix(2, 0)); err != errFull {
		t.Errorf("error %v", err)
	}
	if got, want := describeStore(b), describeStore(a); got != want {
		t.Errorf("there is\n%s\nwant\n%s", got, want)
	}
}

type failingReplica struct{ replica }

func (*failingReplica) Commit(store.Changes) error { return errFull }

// TestNoTurn: while the journal gives no turn, every change is answered with its error.
func TestNoTurn(t *testing.T) {
	s := open(t, noTurn{})
	if err := pushText(s, jobKey("a"), []string{"m 1\n"}, true, time.Unix(1, 0)); err != errFull {
		t.Errorf("push: %v", err)
	}
	if _, err := s.Delete(jobKey("a")); err != errFull {
		t.Errorf("delete: %v", err)
	}
}

type noTurn struct{ store.Memory }

func (noTurn) Begin(context.Context) (store.Changes, error) { return store.Changes{}, errFull }

func (noTurn) Commit(store.Changes) error { panic("there was no turn") }

// TestDecideTwice: the same decision, made again, has the same result and changes
// nothing that the first one made.
func TestDecideTwice(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, merge := range []metric.Merge{metric.MergeGroup, metric.MergeFamily, metric.MergeSeries, metric.MergeSum} {
		s := store.InMemory()
		push := func(key, body string, at time.Time) *store.Push {
			return newPush(t, jobKey("a"), body, at, store.PushOptions{Merge: merge, IdempotencyKey: key})
		}
		const body = "# TYPE c counter\nc 1\n# TYPE g gauge\ng{l=\"1\"} 2\n"
		if _, err := s.Apply(push("first", body, at)); err != nil {
			t.Fatal(err)
		}
		again := push("second", "# TYPE c counter\nc 1\n# TYPE g gauge\ng{l=\"2\"} 2\n", at.Add(time.Second))
		first, second, before := s.DecideTwice(again, describeGroup)
		if first != second {
			t.Errorf("%v: decided\n%s\nand then\n%s", merge, first, second)
		}
		if before == first {
			t.Errorf("%v: the push changed nothing", merge)
		}
		if now := describeStore(s); now != before {
			t.Errorf("%v: the group was\n%s\nand is\n%s", merge, before, now)
		}
		if replayed, err := s.Apply(again); err != nil || replayed {
			t.Errorf("%v: replayed %v, %v", merge, replayed, err)
		}
		if now := describeStore(s); now != first {
			t.Errorf("%v: decided\n%s\nbut there is\n%s", merge, first, now)
		}
	}
}

// TestLifecycle: no order of calls makes a store lose or show what it should not.
func TestLifecycle(t *testing.T) {
	j := &scripted{}
	s := store.New(store.Config{Journal: j})
	var unavailable *store.UnavailableError
	push := func() error { return pushText(s, jobKey("a"), []string{"m 1\n"}, true, time.Unix(1, 0)) }
	if err := push(); !errors.As(err, &unavailable) || !errors.As(s.Ready(), &unavailable) || !s.Status().Loading || s.Status().Durable {
		t.Errorf("before Open: %v, ready %v, %+v", err, s.Ready(), s.Status())
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close before Open: %v", err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := push(); err != nil || s.Ready() != nil || s.Status().Loading {
		t.Errorf("after Open: %v, ready %v, %+v", err, s.Ready(), s.Status())
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := push(); !errors.As(err, &unavailable) || s.Ready() == nil || s.Status().Loading {
		t.Errorf("after Close: %v, ready %v, %+v", err, s.Ready(), s.Status())
	}
	if len(j.commits) != 1 || s.Totals().Groups != 1 {
		t.Errorf("%d commits, %d groups", len(j.commits), s.Totals().Groups)
	}
}

// hanging is a journal that does not return where it is told to.
type hanging struct {
	store.Memory
	in      string
	free    chan struct{}
	reached chan struct{} // closed when it hangs
}

func (h *hanging) wait(in string) {
	if h.in == in {
		close(h.reached)
		<-h.free
	}
}

func (h *hanging) Load(context.Context, func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	h.wait("load")
	return nil, nil
}

func (h *hanging) Commit(store.Changes) error {
	h.wait("commit")
	return nil
}

func (h *hanging) Close(context.Context) error {
	h.wait("close")
	return nil
}

// TestStoppingIsBounded: whatever hangs, opening and closing end once their contexts
// do, and say what was not done. Nothing else of the store waits.
func TestStoppingIsBounded(t *testing.T) {
	for _, in := range []string{"load", "commit", "close"} {
		t.Run(in, func(t *testing.T) {
			j := &hanging{in: in, free: make(chan struct{}), reached: make(chan struct{})}
			defer close(j.free)
			s := store.New(store.Config{Journal: j})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opened := make(chan error)
			go func() { opened <- s.Open(ctx) }()
			if in == "load" {
				<-j.reached
				cancel()
			}
			if err := <-opened; (err != nil) != (in == "load") {
				t.Errorf("open: %v", err)
			}
			if in == "commit" {
				go func() { _ = pushText(s, jobKey("a"), []string{"m 1\n"}, true, time.Now()) }()
				<-j.reached
			}
			s.SetExpiry(nil)
			_, _, _ = s.Snapshot(), s.Status(), s.Ready()
			closed := make(chan error)
			go func() { closed <- s.Close(ctx) }()
			if in == "close" {
				<-j.reached
			}
			cancel()
			if err := <-closed; (err != nil) != (in != "load") {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func newPush(t testing.TB, key metric.GroupingKey, body string, at time.Time, o store.PushOptions) *store.Push {
	t.Helper()
	parser := wire.TextParser{Names: metric.UTF8Validation}
	families, err := parser.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(store.Encoder).Push(key, families, at, o)
	if err != nil {
		t.Fatalf("push %q: %v", body, err)
	}
	return p
}
