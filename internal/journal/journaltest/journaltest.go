// Package journaltest is the suite that every store.Journal must pass.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// Subject is a journal under test and what can be done to it.
type Subject struct {
	Journal store.Journal // not loaded yet

	// Another returns a journal, not loaded yet, that finds what a new process would
	// find now. If Journal is still open, that is as if its process had died. Another is
	// nil if nothing is persisted.
	Another func(t *testing.T) store.Journal
	// Restored returns a journal, not loaded yet, that finds a backup. It is nil if
	// there are no backups.
	Restored func(t *testing.T, backup []byte) store.Journal
	// Flush persists all accepted changes. It is nil if Commit does that.
	Flush func() error

	// Faults are the ways in which a write can be made to fail.
	Faults []Fault
	// Fail makes all writes fail in this way until Recover is called.
	Fail func(t *testing.T, f Fault)
	// Recover makes writes succeed again, and returns once the journal has noticed.
	Recover func(t *testing.T)
}

// Fault is a way in which a write fails.
type Fault int

const (
	Rejected      Fault = iota // nothing is written
	Reported                   // all is written, but reported as failed
	NoSpace                    // half is written, then there is no space
	NoSpaceAtSync              // all is written, then the sync says that there is no space
)

// String returns the fault's name.
func (f Fault) String() string {
	return [...]string{"rejected", "done but reported failed", "no space", "no space at sync"}[f]
}

// done reports whether the write may be found all the same.
func (f Fault) done() bool { return f == Reported || f == NoSpaceAtSync }

// Run runs the suite. open returns a new, empty journal each time.
func Run(t *testing.T, open func(t *testing.T) *Subject) {
	t.Run("script", func(t *testing.T) { runScript(t, open) })
	t.Run("faults", func(t *testing.T) { runFaults(t, open) })
	t.Run("turns", func(t *testing.T) { testTurns(t, open(t)) })
	t.Run("load ends with its context", func(t *testing.T) { testLoadEnds(t, open(t)) })
	t.Run("close ends with its context", func(t *testing.T) { testCloseEnds(t, open(t)) })
	t.Run("status", func(t *testing.T) { testStatus(t, open) })
	t.Run("close persists", func(t *testing.T) { testClosePersists(t, open(t)) })
	t.Run("keys and expiry survive", func(t *testing.T) { testTermsSurvive(t, open(t)) })
	t.Run("concurrent pushes", func(t *testing.T) { testConcurrent(t, open(t)) })
	t.Run("backup", func(t *testing.T) { testBackup(t, open(t)) })
	t.Run("backup while unavailable", func(t *testing.T) { testBackupWhileUnavailable(t, open) })
}

// openStore returns an open store with the journal.
func openStore(t *testing.T, j store.Journal) *store.Store {
	t.Helper()
	s := store.New(store.Config{Journal: j})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// found returns the groups that a journal finds, and closes it.
func found(t *testing.T, j store.Journal) []*store.Group {
	t.Helper()
	groups, err := j.Load(t.Context(), none)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	return groups
}

func none() iter.Seq[*store.Group] { return func(func(*store.Group) bool) {} }

func (s *Subject) flush(t *testing.T) {
	t.Helper()
	if s.Flush == nil {
		return
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// testTurns: turns without changes change nothing, however many there are.
func testTurns(t *testing.T, subject *Subject) {
	s := openStore(t, subject.Journal)
	push(t, s, key("job", "a"), "m 1\n")
	subject.flush(t)
	before := subject.Journal.Status()
	for range 100 {
		foreign, err := subject.Journal.Begin(t.Context())
		if err != nil || !foreign.Empty() {
			t.Fatalf("Begin returned %v, %v", foreign, err)
		}
		if err := subject.Journal.Commit(store.Changes{}); err != nil {
			t.Fatal(err)
		}
	}
	if after := subject.Journal.Status(); after != before {
		t.Errorf("after turns without changes the status is %+v, before it was %+v", after, before)
	}
	push(t, s, key("job", "a"), "m 2\n")
	subject.flush(t)
	if subject.Another != nil {
		sameGroups(t, "after turns without changes", found(t, subject.Another(t)), s)
	}
}

func testLoadEnds(t *testing.T, subject *Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_, _ = subject.Journal.Load(ctx, none) // it may have been quicker
	}()
	within(t, returned, "Load did not return though its context had ended")
}

func testCloseEnds(t *testing.T, subject *Subject) {
	s := openStore(t, subject.Journal)
	push(t, s, key("job", "a"), "m 1\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		_ = subject.Journal.Close(ctx) // it may have been quicker
	}()
	within(t, returned, "Close did not return though its context had ended")
}

// within fails if done is not closed soon.
func within(t *testing.T, done <-chan struct{}, problem string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(time.Minute): // of a test that fails
		t.Fatal(problem)
	}
}

func testStatus(t *testing.T, open func(t *testing.T) *Subject) {
	subject := open(t)
	j := subject.Journal
	if subject.Another == nil {
		if status := j.Status(); status.Durable || j.Ready() != nil {
			t.Errorf("nothing is persisted, but the status is %+v, and ready: %v", status, j.Ready())
		}
		return
	}
	unavailable := func(when string) {
		t.Helper()
		var err *store.UnavailableError
		if !errors.As(j.Ready(), &err) || err.RetryAfter <= 0 {
			t.Errorf("%s: Ready returned %v", when, j.Ready())
		}
		if _, beginErr := j.Begin(t.Context()); !errors.As(beginErr, &err) {
			t.Errorf("%s: Begin returned %v", when, beginErr)
		}
		if status := j.Status(); status.Durable || status.Err == nil {
			t.Errorf("%s: the status is %+v", when, status)
		}
	}
	unavailable("before Load")
	if !j.Status().Loading {
		t.Error("before Load it does not say that it is loading")
	}
	s := openStore(t, j)
	if status := j.Status(); !status.Durable || status.Err != nil || status.Loading || j.Ready() != nil {
		t.Errorf("once loaded: the status is %+v, and ready: %v", status, j.Ready())
	}
	push(t, s, key("job", "a"), "m 1\n")
	subject.flush(t)
	if status := j.Status(); status.LastCommit.IsZero() || status.PendingGroups != 0 {
		t.Errorf("after a push: the status is %+v", status)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	unavailable("after Close")
}

// testClosePersists: what was accepted is there after Close, whatever the mode.
func testClosePersists(t *testing.T, subject *Subject) {
	s := openStore(t, subject.Journal)
	push(t, s, key("job", "a"), "m 1\n")
	push(t, s, key("job", "b"), "m 1\n")
	push(t, s, key("job", "a"), "m 2\n")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if subject.Another != nil {
		sameGroups(t, "after Close", found(t, subject.Another(t)), s)
	}
}

// testTermsSurvive: what pushes say beside their metrics is persisted with them.
func testTermsSurvive(t *testing.T, subject *Subject) {
	if subject.Another == nil {
		t.Log("nothing is persisted")
		return
	}
	s := openStore(t, subject.Journal)
	replayed := func(s *store.Store) bool {
		t.Helper()
		options := store.PushOptions{
			IdempotencyKey: "once",
			Expiry:         metric.Expiry{Set: true, TTL: time.Hour, KeepPushTimes: true},
		}
		replayed, err := apply(s, key("job", "a"), "# TYPE m counter\nm 1\n", time.Now(), options)
		if err != nil {
			t.Fatal(err)
		}
		return replayed
	}
	if replayed(s) {
		t.Error("the first push was replayed")
	}
	subject.flush(t)
	again := openStore(t, subject.Another(t))
	if !replayed(again) {
		t.Error("the idempotency key was forgotten")
	}
	before, keep := s.ExpiresAt(s.Snapshot().Group(key("job", "a")))
	after, keepAfter := again.ExpiresAt(again.Snapshot().Group(key("job", "a")))
	if !before.Equal(after) || keep != keepAfter || after.IsZero() {
		t.Errorf("the group expires at %v, %v, before it was %v, %v", after, keepAfter, before, keep)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// testBackup: a backup has what was accepted, with what is not persisted yet, and nobody
// waits for who reads it.
func testBackup(t *testing.T, subject *Subject) {
	s := openStore(t, subject.Journal)
	push(t, s, key("job", "a"), "m 1\n")
	push(t, s, key("job", "b"), "m 1\n")
	if _, err := s.Delete(key("job", "b")); err != nil {
		t.Fatal(err)
	}
	push(t, s, key("job", "c"), "m 1\n")
	if subject.Restored == nil {
		err := subject.Journal.Backup(t.Context(), func(int64, io.Reader) error { return nil })
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v, want errors.ErrUnsupported", err)
		}
		return
	}
	var copied bytes.Buffer
	want := RecordsOf(s.Groups())
	err := subject.Journal.Backup(t.Context(), func(size int64, content io.Reader) error {
		push(t, s, key("job", "a"), "m 2\n") // is not in it, and does not wait
		push(t, s, key("job", "d"), "m 2\n")
		n, err := copied.ReadFrom(content)
		if n != size {
			t.Errorf("a backup of %d bytes was said to have %d", n, size)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sameRecords(t, "in the backup", RecordsOf(values(found(t, subject.Restored(t, copied.Bytes())))), want)
}

func testBackupWhileUnavailable(t *testing.T, open func(t *testing.T) *Subject) {
	for _, f := range open(t).Faults {
		subject := open(t)
		s := openStore(t, subject.Journal)
		push(t, s, key("job", "a"), "m 1\n")
		subject.flush(t)
		push(t, s, key("job", "b"), "m 1\n")
		want := RecordsOf(s.Groups())
		subject.Fail(t, f)
		if _, err := s.Delete(key("job", "a")); err == nil {
			t.Fatalf("%s: a delete did not fail", f)
		}
		var copied bytes.Buffer
		err := subject.Journal.Backup(t.Context(), func(_ int64, content io.Reader) error {
			_, err := copied.ReadFrom(content)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		sameRecords(t, f.String(), RecordsOf(values(found(t, subject.Restored(t, copied.Bytes())))), want)
	}
}
