package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// scripted is a journal that records what it is given and fails when told to.
type scripted struct {
	store.Memory
	groups  []*store.Group // that it loads
	commits []store.Changes
	err     error         // of Commit
	started chan struct{} // not nil: closed by the first Commit
	hold    chan struct{} // not nil: Commit waits for it to be closed
}

func (j *scripted) Load(context.Context, func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	return j.groups, nil
}

func (j *scripted) Commit(c store.Changes) error {
	if c.Empty() {
		return nil
	}
	if j.started != nil {
		close(j.started)
		j.started = nil
	}
	if j.hold != nil {
		<-j.hold
	}
	j.commits = append(j.commits, c)
	return j.err
}

var errFull = &store.UnavailableError{Reason: errors.New("disk full"), RetryAfter: time.Second}

func jobKey(name string) metric.GroupingKey {
	return metric.NewGroupingKey([]metric.Label{{Name: "job", Value: name}})
}

// open returns an open store with the journal.
func open(t testing.TB, j store.Journal) *store.Store {
	t.Helper()
	s := store.New(store.Config{Journal: j})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// describeStore describes all that is stored.
func describeStore(s *store.Store) string {
	text := ""
	for g := range s.Snapshot().Groups() {
		text += describeGroup(g)
	}
	return text
}

// TestFailedCommitChangesNothing: no kind of change is visible, half or whole, when
// the journal rejects it, and all work once it does not.
func TestFailedCommitChangesNothing(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	changes := map[string]func(*store.Store) error{
		"replace": func(s *store.Store) error {
			return pushText(s, jobKey("a"), []string{"n 2\n"}, true, at.Add(time.Second))
		},
		"merge": func(s *store.Store) error {
			return pushText(s, jobKey("a"), []string{"n 2\n"}, false, at.Add(time.Second))
		},
		"new group": func(s *store.Store) error { return pushText(s, jobKey("c"), []string{"o 2\n"}, true, at) },
		"delete": func(s *store.Store) error {
			_, err := s.Delete(jobKey("a"))
			return err
		},
		"wipe": func(s *store.Store) error {
			_, err := s.Wipe()
			return err
		},
		"failure": func(s *store.Store) error { return s.Fail(jobKey("b"), at.Add(time.Second)) },
	}
	for name, change := range changes {
		j := &scripted{}
		s := open(t, j)
		for _, job := range []string{"a", "b"} {
			if err := pushText(s, jobKey(job), []string{"m 1\n"}, true, at); err != nil {
				t.Fatal(err)
			}
		}
		before, view, totals := describeStore(s), s.Snapshot(), s.Totals()
		for range 2 {
			j.err = errFull
			if err := change(s); !errors.Is(err, errFull) {
				t.Errorf("%s: error %v, want that of the journal", name, err)
			}
			if describeStore(s) != before || s.Totals() != totals || s.Snapshot() != view {
				t.Errorf("%s is visible though the journal rejected it:\n%s", name, describeStore(s))
			}
			// The check must not know of it either.
			j.err = nil
			if err := pushText(s, jobKey("d"), []string{"# TYPE n counter\nn 1\n"}, true, at); err != nil {
				t.Errorf("%s was rejected but leaves a trace in the check: %v", name, err)
			}
			if _, err := s.Delete(jobKey("d")); err != nil {
				t.Error(err)
			}
			before, view, totals = describeStore(s), s.Snapshot(), s.Totals()
		}
		if err := change(s); err != nil {
			t.Errorf("%s, when the journal works again: %v", name, err)
		}
		if describeStore(s) == before {
			t.Errorf("%s does nothing", name)
		}
	}
}

// TestRejectionStandsWithoutJournal: a push that the check rejects is rejected for
// that reason, though its failure time cannot be persisted.
func TestRejectionStandsWithoutJournal(t *testing.T) {
	j := &scripted{}
	s := open(t, j)
	if err := pushText(s, jobKey("a"), []string{"# TYPE m counter\nm 1\n"}, true, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	before := describeStore(s)
	j.err = errFull
	err := pushText(s, jobKey("b"), []string{"# TYPE m gauge\nm 1\n"}, true, time.Unix(2, 0))
	if rejection := (*metric.RejectionError)(nil); !errors.As(err, &rejection) {
		t.Errorf("error %v, want a rejection", err)
	}
	if describeStore(s) != before {
		t.Errorf("the rejected push left:\n%s", describeStore(s))
	}
}

// TestNothingToPersist: what changes nothing needs no journal.
func TestNothingToPersist(t *testing.T) {
	j := &scripted{err: errFull}
	s := open(t, j)
	if found, err := s.Delete(jobKey("none")); found || err != nil {
		t.Errorf("delete of a group that is not there: found %v, %v", found, err)
	}
	if len(j.commits) != 0 {
		t.Errorf("the journal got %v", j.commits)
	}
}

// TestBatchIsOneCommit: changes that wait while one is being persisted are persisted
// together, each group once, and all are answered by what became of them.
func TestBatchIsOneCommit(t *testing.T) {
	for _, fails := range []bool{false, true} {
		started := make(chan struct{})
		j := &scripted{started: started, hold: make(chan struct{})}
		s := open(t, j)
		var wait sync.WaitGroup
		var failed atomic.Int32
		do := func(change func() error) {
			wait.Go(func() {
				if err := change(); err != nil {
					failed.Add(1)
					if !errors.Is(err, errFull) {
						t.Error(err)
					}
				}
			})
		}
		queue := func(change func() error) {
			before := s.Waiting()
			do(change)
			for s.Waiting() == before {
				runtime.Gosched()
			}
		}
		push := func(job, body string) func() error {
			return func() error { return pushText(s, jobKey(job), []string{body}, true, time.Unix(1, 0)) }
		}
		do(push("first", "m 1\n"))
		<-started
		for i := range 10 {
			queue(push(fmt.Sprintf("j%d", i%5), fmt.Sprintf("m %d\n", i)))
		}
		queue(func() error { _, err := s.Delete(jobKey("j0")); return err })
		if s.Totals().Groups != 0 {
			t.Error("changes are visible before the journal has them")
		}
		if fails {
			j.err = errFull
		}
		close(j.hold)
		wait.Wait()
		if len(j.commits) != 2 {
			t.Fatalf("%d commits, want one for the first push and one for those that waited", len(j.commits))
		}
		var ids []string
		for _, c := range j.commits[1].Groups {
			ids = append(ids, c.ID)
			if (c.Group == nil) != (c.ID == "j0") {
				t.Errorf("group %s: deleted %v", c.ID, c.Group == nil)
			}
		}
		if want := []string{"j0", "j1", "j2", "j3", "j4"}; !slices.Equal(ids, want) {
			t.Errorf("the batch changes %v, want %v", ids, want)
		}
		wantFailed, wantGroups := 0, 5
		if fails {
			wantFailed, wantGroups = 12, 0
		}
		if int(failed.Load()) != wantFailed || s.Totals().Groups != wantGroups {
			t.Errorf("journal fails %v: %d callers got an error, want %d; %d groups, want %d",
				fails, failed.Load(), wantFailed, s.Totals().Groups, wantGroups)
		}
	}
}

// TestScrapesDoNotWaitForTheJournal: a view is to be had while a commit hangs, and
// shows nothing of it.
func TestScrapesDoNotWaitForTheJournal(t *testing.T) {
	j := &scripted{}
	s := open(t, j)
	if err := pushText(s, jobKey("a"), []string{"m 1\n"}, true, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	before := describeStore(s)
	started := make(chan struct{})
	j.started, j.hold = started, make(chan struct{})
	done := make(chan error)
	go func() { done <- pushText(s, jobKey("a"), []string{"m 2\n"}, true, time.Unix(2, 0)) }()
	<-started
	if describeStore(s) != before || s.Totals().Groups != 1 { // would hang forever, were it to wait
		t.Error("a push is visible before the journal has it")
	}
	close(j.hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if describeStore(s) == before {
		t.Error("the push is not visible once the journal has it")
	}
}
