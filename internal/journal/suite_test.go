package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// This is the suite for every implementation of store.Journal. It carries out a
// script of changes, once for each fault at each point of it.

// A subject is an implementation under test and what can be done to it.
type subject interface {
	store.Journal
	// fail has the next write fail in this way.
	fail(t *testing.T, f fault)
	// flush has all accepted changes written.
	flush() error
	// mend has writing work again.
	mend(t *testing.T)
	// crashed returns what a process would find that starts now.
	crashed(t *testing.T) []*store.Group
	// keeps reports whether a process would find anything at all.
	keeps() bool
}

// fault is a way in which a write fails.
type fault int

const (
	rejected      fault = iota // nothing is written
	reported                   // all is written, but reported as failed
	noSpace                    // nothing is written, for want of space
	noSpaceAtSync              // all is written, then the sync says that there is no space
	faults
)

func (f fault) String() string {
	return []string{"rejected", "done but reported failed", "no space", "no space at sync"}[f]
}

// done reports whether the write reaches the file all the same.
func (f fault) done() bool { return f == reported || f == noSpaceAtSync }

// A step changes the store by exactly one commit.
type step struct {
	name string
	do   func(*store.Store, time.Time) error
}

func script() []step {
	push := func(name string, key metric.GroupingKey, body string, merge metric.Merge) step {
		return step{name, func(s *store.Store, at time.Time) error { return pushText(s, key, body, at, merge) }}
	}
	del := func(key metric.GroupingKey) step {
		return step{"delete " + key.String(), func(s *store.Store, _ time.Time) error {
			_, err := s.Delete(key)
			return err
		}}
	}
	wipe := step{"wipe", func(s *store.Store, _ time.Time) error {
		_, err := s.Wipe()
		return err
	}}
	a, b := groupKey("job", "a"), groupKey("job", "b", "instance", "x")
	long := groupKey("job", strings.Repeat("long/", 300))
	put, post := metric.MergeGroup, metric.MergeFamily
	return []step{
		push("first push", a, "# TYPE m counter\nm 1\n", put),
		push("push of another group", b, "m2{l=\"ü\"} NaN\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n", put),
		push("merge", a, "n 2\n", post),
		push("group with a long key", long, "m2 1\n", put),
		{"failure", func(s *store.Store, at time.Time) error { return s.Fail(a, at) }},
		{"failure of a new group", func(s *store.Store, at time.Time) error { return s.Fail(groupKey("job", "failed"), at) }},
		push("rejected push", b, "# TYPE m gauge\nm 1\n", put),
		push("large push", a, "# TYPE m counter\n"+largeBody(400), put),
		del(b),
		push("push after the delete", b, "m2 4\n", post),
		push("smaller push", a, "# TYPE m counter\nm 5\n", put),
		wipe,
		push("push after the wipe", b, "# TYPE m gauge\nm 6\n", put),
		del(b),
		push("last push", long, "m2 7\n", put),
	}
}

func largeBody(series int) string {
	var b strings.Builder
	for i := range series {
		fmt.Fprintf(&b, "m{i=\"%d\"} %d\n", i, i)
	}
	return b.String()
}

// run is one run of the script.
type run struct {
	t       *testing.T
	subject subject
	store   *store.Store
	model   *store.Store // has what was acknowledged, and nothing else
	commits int          // that the journal acknowledged
}

// counted tells of what was acknowledged, which an error of the step does not: the
// check may have rejected a push whose failure time is kept.
type counted struct {
	store.Journal
	acknowledged *int
}

func (c counted) Commit(changes store.Changes) error {
	err := c.Journal.Commit(changes)
	if err == nil && !changes.Empty() {
		*c.acknowledged++
	}
	return err
}

func stepTime(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 5) }

// take carries out step i and, where it was acknowledged, does so for the model.
func (r *run) take(i int, s step) (acknowledged bool) {
	r.t.Helper()
	before := r.commits
	err := s.do(r.store, stepTime(i))
	acknowledged = r.commits > before
	var unavailable *store.UnavailableError
	if acknowledged && errors.As(err, &unavailable) {
		r.t.Errorf("%s: the journal has it, but the answer is %v", s.name, err)
	}
	if acknowledged {
		_ = s.do(r.model, stepTime(i)) // a rejection is one here too
		return true
	}
	var rejection *metric.RejectionError
	switch {
	case errors.As(err, &unavailable):
		if unavailable.RetryAfter <= 0 {
			r.t.Errorf("%s: no word on when to try again: %v", s.name, err)
		}
	case !errors.As(err, &rejection):
		r.t.Errorf("%s: the journal rejected it, but the answer is %v", s.name, err)
	}
	return false
}

// shows checks that what was acknowledged is shown, and nothing else.
func (r *run) shows(when string) {
	r.t.Helper()
	if got, want := recordsOf(r.store.Groups()), recordsOf(r.model.Groups()); !got.equal(want) {
		r.t.Fatalf("%s: the store shows other than was acknowledged\n%s", when, difference(got, want))
	}
	if got, want := exposed(r.t, r.store), exposed(r.t, r.model); got != want {
		r.t.Fatalf("%s: exposed\n%s\nbut acknowledged was\n%s", when, got, want)
	}
}

// survives checks that a crash now would leave what was acknowledged.
func (r *run) survives(when string) {
	r.t.Helper()
	want := recordsOf(r.model.Groups())
	if !r.subject.keeps() {
		want = records{}
	}
	if got := recordsOf(slices.Values(r.subject.crashed(r.t))); !got.equal(want) {
		r.t.Fatalf("%s: after a crash there is other than was acknowledged\n%s", when, difference(got, want))
	}
}

func difference(got, want records) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[id]; !ok {
			fmt.Fprintf(&b, "too much: group %.40q\n", id)
		} else if got[id] != want[id] {
			fmt.Fprintf(&b, "other: group %.40q\n", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[id]; !ok {
			fmt.Fprintf(&b, "missing: group %.40q\n", id)
		}
	}
	return b.String()
}

func newRun(t *testing.T, open func(t *testing.T, held func() iter.Seq[*store.Group]) subject) *run {
	t.Helper()
	r := &run{t: t, model: store.InMemory()}
	r.subject = open(t, func() iter.Seq[*store.Group] { return r.store.Groups() })
	r.store = store.New(store.Config{Journal: counted{r.subject, &r.commits}})
	if err := r.store.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryJournal runs the suite. It forbids writes to files for moments, which
// the log of go test does not survive, so it does that in a process of its own.
func TestEveryJournal(t *testing.T) {
	const child = "PUSHGATEWAY_JOURNAL_SUITE"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEveryJournal$", "-test.count=1")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	dir := memoryDir(t)
	files := 0
	file := func(sync Sync) func(*testing.T, func() iter.Seq[*store.Group]) subject {
		return func(t *testing.T, held func() iter.Seq[*store.Group]) subject {
			files++
			return openFileSubject(t, filepath.Join(dir, fmt.Sprintf("%d.db", files)), sync, held)
		}
	}
	for _, implementation := range []struct {
		name   string
		open   func(*testing.T, func() iter.Seq[*store.Group]) subject
		faults []fault
	}{
		{"memory", func(*testing.T, func() iter.Seq[*store.Group]) subject { return memory{} }, nil},
		{"failing", newFailing, []fault{rejected, reported}},
		{"file, sync each push", file(SyncEachPush), []fault{rejected, reported, noSpace, noSpaceAtSync}},
		{"file, sync in intervals", file(SyncInterval), []fault{rejected, reported, noSpace, noSpaceAtSync}},
	} {
		t.Run(implementation.name, func(t *testing.T) {
			steps := script()
			t.Run("no fault", func(t *testing.T) {
				r := newRun(t, implementation.open)
				for i, s := range steps {
					if !r.take(i, s) {
						t.Fatalf("%s was not acknowledged", s.name)
					}
					r.shows(s.name)
					if err := r.subject.flush(); err != nil {
						t.Fatal(err)
					}
					r.survives(s.name)
				}
			})
			for _, f := range implementation.faults {
				for at := range steps {
					t.Run(fmt.Sprintf("%s at %s", f, steps[at].name), func(t *testing.T) {
						failAt(newRun(t, implementation.open), steps, at, f)
					})
				}
			}
		})
	}
}

// failAt runs the script with a fault at one step, twice in a row there.
func failAt(r *run, steps []step, at int, f fault) {
	t := r.t
	for i, s := range steps[:at] {
		if !r.take(i, s) {
			t.Fatalf("%s was not acknowledged before any fault", s.name)
		}
		if err := r.subject.flush(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		before := recordsOf(r.model.Groups())
		r.subject.fail(t, f)
		acknowledged := r.take(at, steps[at])
		r.shows("after the fault")
		if acknowledged {
			// Then it is the flush that fails.
			if r.subject.flush() == nil {
				t.Fatal("the fault did not happen")
			}
			r.shows("after the failed flush")
		}
		// What was not acknowledged may be found after a crash, before anyone could
		// take it back; nothing else may, and nothing is missing.
		after := store.InMemory(copies(t, r.model.Groups())...)
		_ = steps[at].do(after, stepTime(at))
		got := recordsOf(slices.Values(r.subject.crashed(t)))
		if !got.equal(before) && !(f.done() && got.equal(recordsOf(after.Groups()))) {
			t.Fatalf("after the fault and a crash:\n%s", difference(got, before))
		}
		// Until it is mended nothing is taken, and nothing is shown.
		if r.take(at, steps[at]) {
			t.Fatal("a change was taken while the journal is broken")
		}
		r.shows("while broken")
		r.subject.mend(t)
		r.shows("mended")
		r.survives("mended")
		if acknowledged {
			break // the step is done
		}
	}
	for i, s := range steps[at:] {
		if i == 0 && r.commits > at {
			continue
		}
		if !r.take(at+i, s) {
			t.Fatalf("%s was not acknowledged after the fault", s.name)
		}
		if err := r.subject.flush(); err != nil {
			t.Fatal(err)
		}
	}
	r.shows("at the end")
	r.survives("at the end")
}

// memory is store.Memory, which cannot fail.
type memory struct{ store.Memory }

func (memory) fail(*testing.T, fault)              { panic("memory does not fail") }
func (memory) flush() error                        { return nil }
func (memory) mend(*testing.T)                     {}
func (memory) crashed(t *testing.T) []*store.Group { return nil }
func (memory) keeps() bool                         { return false }

// failing keeps records in a map and fails on command.
type failing struct {
	store.Memory
	disk   records
	held   func() iter.Seq[*store.Group]
	next   *fault
	broken error
}

func newFailing(_ *testing.T, held func() iter.Seq[*store.Group]) subject {
	return &failing{disk: records{}, held: held}
}

func (j *failing) Commit(changes store.Changes) error {
	if changes.Empty() {
		return nil
	}
	if j.broken == nil && j.next != nil {
		j.broken = &store.UnavailableError{Reason: errors.New(j.next.String()), RetryAfter: time.Second}
		if !j.next.done() {
			return j.broken
		}
	} else if j.broken != nil {
		return j.broken
	}
	if changes.Wiped {
		clear(j.disk)
	}
	for _, c := range changes.Groups {
		if c.Group == nil {
			delete(j.disk, c.ID)
			continue
		}
		j.disk[c.ID] = string(store.AppendRecord(nil, c.Group))
	}
	return j.broken
}

func (j *failing) fail(_ *testing.T, f fault) { j.next = &f }
func (j *failing) flush() error               { return j.broken }
func (j *failing) keeps() bool                { return true }

func (j *failing) mend(*testing.T) {
	j.disk, j.next, j.broken = recordsOf(j.held()), nil, nil
}

func (j *failing) crashed(t *testing.T) []*store.Group {
	var groups []*store.Group
	for _, record := range j.disk {
		g, err := store.DecodeRecord([]byte(record))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	return groups
}

// fileSubject is a Journal. Writes that are to be rejected fail in the kernel; a
// write that is done but reported as failed is done, and then treated by the
// journal as its transactions treat a failed sync.
type fileSubject struct {
	*Journal // open already
	next     *fault
}

func openFileSubject(t *testing.T, path string, sync Sync, held func() iter.Seq[*store.Group]) subject {
	t.Helper()
	j, _ := open(t, path, sync)
	j.held = held
	return &fileSubject{Journal: j}
}

func (j *fileSubject) Load(context.Context, func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	return nil, nil
}

func (j *fileSubject) Commit(changes store.Changes) error {
	if changes.Empty() {
		return nil
	}
	writes := j.Sync == SyncEachPush || changes.Deletes()
	return j.faulty(writes, func() error { return j.Journal.Commit(changes) })
}

func (j *fileSubject) flush() error {
	return j.faulty(true, j.Flush)
}

// faulty runs f, which writes or does not, under the fault that is due.
func (j *fileSubject) faulty(writes bool, f func() error) error {
	if j.next == nil || !writes {
		return f()
	}
	due := *j.next
	j.next = nil
	if due == rejected {
		restore, err := forbidWrites()
		if err != nil {
			return err
		}
		defer restore()
		return f()
	}
	if due.done() {
		if err := f(); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch due {
	case noSpace:
		j.Journal.fail(&os.PathError{Op: "write", Path: j.Path, Err: syscall.ENOSPC})
	case noSpaceAtSync:
		j.Journal.fail(syscall.ENOSPC) // fdatasync has no path
	default:
		j.Journal.fail(syscall.EIO)
	}
	return j.unavailable()
}

// forbidWrites makes every write to a file fail, in the whole process, which must be
// one where that does no harm.
func forbidWrites() (restore func(), err error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return nil, err
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &none); err != nil {
		return nil, err
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			panic(err)
		}
	}, nil
}

func (j *fileSubject) fail(_ *testing.T, f fault) { j.next = &f }
func (j *fileSubject) keeps() bool                { return true }

func (j *fileSubject) mend(t *testing.T) {
	t.Helper()
	j.next = nil
	// It does not mend while writing fails, and does no harm either.
	restore, err := forbidWrites()
	if err != nil {
		t.Fatal(err)
	}
	before := readFile(t, j.Path)
	j.Journal.mend()
	after := readFile(t, j.Path)
	restore()
	if j.Ready() == nil {
		t.Fatal("the journal says that it can write where it cannot")
	}
	if string(before) != string(after) {
		t.Fatal("the file was changed by an attempt to mend it that failed")
	}
	j.Journal.mend()
	if err := j.Ready(); err != nil {
		t.Fatalf("mended, but not ready: %v", err)
	}
}

func (j *fileSubject) crashed(t *testing.T) []*store.Group {
	t.Helper()
	return afterCrash(t, j.Path)
}
