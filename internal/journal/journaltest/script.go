package journaltest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// A step changes the store by exactly one commit.
type step struct {
	name string
	do   func(*store.Store, time.Time) error
}

func script() []step {
	push := func(name string, key metric.GroupingKey, body string, merge metric.Merge) step {
		return step{name, func(s *store.Store, at time.Time) error {
			_, err := apply(s, key, body, at, store.PushOptions{Merge: merge})
			return err
		}}
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
	a, b := key("job", "a"), key("job", "b", "instance", "x")
	long := key("job", strings.Repeat("long/", 300))
	put, post := metric.MergeGroup, metric.MergeFamily
	return []step{
		push("first push", a, "# TYPE m counter\nm 1\n", put),
		push("push of another group", b, "m2{l=\"ü\"} NaN\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n", put),
		push("merge", a, "n 2\n", post),
		push("group with a long key", long, "m2 1\n", put),
		{"failure", func(s *store.Store, at time.Time) error { return s.Fail(a, at) }},
		{"failure of a new group", func(s *store.Store, at time.Time) error { return s.Fail(key("job", "failed"), at) }},
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
	subject *Subject
	store   *store.Store
	model   *store.Store // has what was acknowledged, and nothing else
	commits int          // that the journal acknowledged
}

// counted counts what was acknowledged, which an error of a step does not say: the
// check may have rejected a push whose failure time is stored.
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

func newRun(t *testing.T, subject *Subject) *run {
	t.Helper()
	r := &run{t: t, subject: subject, model: store.InMemory()}
	r.store = openStore(t, counted{subject.Journal, &r.commits})
	return r
}

func stepTime(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 5) }

// take carries out step i and, if it was acknowledged, does so for the model.
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

func (r *run) mustTake(i int, s step) {
	r.t.Helper()
	if !r.take(i, s) {
		r.t.Fatalf("%s was not acknowledged", s.name)
	}
	r.subject.flush(r.t)
}

// shows checks that what was acknowledged is shown, and nothing else.
func (r *run) shows(when string) {
	r.t.Helper()
	sameRecords(r.t, when+": shown", RecordsOf(r.store.Groups()), RecordsOf(r.model.Groups()))
	if got, want := Exposed(r.t, r.store), Exposed(r.t, r.model); got != want {
		r.t.Fatalf("%s: exposed\n%s\nbut acknowledged was\n%s", when, got, want)
	}
}

// crashed returns what a process would find that starts now.
func (r *run) crashed() Records {
	if r.subject.Another == nil {
		return Records{}
	}
	return RecordsOf(values(found(r.t, r.subject.Another(r.t))))
}

// survives checks that a crash now would leave what was acknowledged.
func (r *run) survives(when string) {
	r.t.Helper()
	if r.subject.Another != nil {
		sameRecords(r.t, when+", after a crash", r.crashed(), RecordsOf(r.model.Groups()))
	}
}

func runScript(t *testing.T, open func(t *testing.T) *Subject) {
	r := newRun(t, open(t))
	for i, s := range script() {
		r.mustTake(i, s)
		r.shows(s.name)
		r.survives(s.name)
	}
}

func runFaults(t *testing.T, open func(t *testing.T) *Subject) {
	steps := script()
	for _, f := range open(t).Faults {
		for at := range steps {
			t.Run(fmt.Sprintf("%s at %s", f, steps[at].name), func(t *testing.T) {
				failAt(newRun(t, open(t)), steps, at, f)
			})
		}
	}
}

// failAt runs the script with a fault at one step, twice in a row there.
func failAt(r *run, steps []step, at int, f Fault) {
	t := r.t
	for i, s := range steps[:at] {
		r.mustTake(i, s)
	}
	taken := false
	for round := 0; round < 2 && !taken; round++ {
		before := RecordsOf(r.model.Groups())
		r.subject.Fail(t, f)
		taken = r.take(at, steps[at])
		r.shows("after the fault")
		if taken {
			// Then it is the flush that fails.
			if r.subject.Flush == nil || r.subject.Flush() == nil {
				t.Fatal("the fault did not happen")
			}
			r.shows("after the failed flush")
		}
		// What was not acknowledged may be found after a crash, before anyone could
		// take it back; nothing else may, and nothing is missing.
		after := store.InMemory(Copies(t, r.model.Groups())...)
		_ = steps[at].do(after, stepTime(at))
		if got := r.crashed(); !maps.Equal(got, before) && !(f.done() && maps.Equal(got, RecordsOf(after.Groups()))) {
			t.Fatalf("after the fault and a crash:\n%s", difference(got, before))
		}
		// Until it has recovered nothing is accepted, and nothing is shown.
		if r.take(at, steps[at]) {
			t.Fatal("a change was accepted while the journal is unavailable")
		}
		r.shows("while unavailable")
		r.subject.Recover(t)
		r.shows("recovered")
		r.survives("recovered")
	}
	for i, s := range steps[at:] {
		if i > 0 || !taken {
			r.mustTake(at+i, s)
		}
	}
	r.shows("at the end")
	r.survives("at the end")
}

// testConcurrent: many clients at once; after a crash all is there.
func testConcurrent(t *testing.T, subject *Subject) {
	s := openStore(t, subject.Journal)
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			for n := range 20 {
				k := key("job", fmt.Sprintf("%d-%d", c, n%5))
				var err error
				if n%7 == 6 {
					_, err = s.Delete(k)
				} else {
					_, err = apply(s, k, fmt.Sprintf("m %d\n", n), time.Now(), store.PushOptions{})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	subject.flush(t)
	if subject.Another != nil {
		sameGroups(t, "after a crash", found(t, subject.Another(t)), s)
	}
}

func difference(got, want Records) string {
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
