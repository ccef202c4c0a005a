package postgres

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgateway/internal/metric"
	"pushgateway/internal/pgtest"
	"pushgateway/internal/store"
)

// TestReplicas: what one replica commits, another has soon, and decides on. Behind a pooler
// it polls, since no notification comes, and prepares no statements.
func TestReplicas(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	for name, option := range map[string]string{"directly": "", "as behind a pooler": "&default_query_exec_mode=cache_describe"} {
		t.Run(name, func(t *testing.T) {
			url := server.NewDatabase() + option
			a, b := newReplica(t, url, named("a")), newReplica(t, url, named("b"))
			a.mustPush(t, "x", "# TYPE m counter\nm 1\n")
			agree(t, "x=1 ", a, b)
			var rejection *metric.RejectionError
			_, err := b.push(t, "y", "# TYPE m gauge\nm 1\n", store.PushOptions{})
			if !errors.As(err, &rejection) || rejection.Reason != metric.TypeConflict {
				t.Errorf("a push that conflicts with one to another replica: %v", err)
			}
			agree(t, "x=1 y ", a, b) // it leaves its failure time
			sum := store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: "once", Expiry: metric.Expiry{Set: true, TTL: time.Hour}}
			for i, r := range []replica{a, b, a} {
				if replayed, err := r.push(t, "z", "# TYPE m counter\nm 5\n", sum); err != nil || replayed != (i > 0) {
					t.Errorf("push %d with the same key: replayed %v, %v", i, replayed, err)
				}
			}
			sum.IdempotencyKey = "twice"
			if _, err := b.push(t, "z", "# TYPE m counter\nm 5\n", sum); err != nil {
				t.Error(err)
			}
			agree(t, "x=1 y z=10 ", a, b)
			if n, err := b.Wipe(); n != 3 || err != nil {
				t.Errorf("wiped %d, %v", n, err)
			}
			a.mustPush(t, "y", "# TYPE m gauge\nm 2\n")
			agree(t, "y=2 ", a, b)
			if found, err := b.Delete(key("y")); !found || err != nil {
				t.Errorf("deleted: %v, %v", found, err)
			}
			agree(t, "", a, b)
		})
	}
}

// TestConcurrentReplicas: pushes to all replicas at once add up exactly.
func TestConcurrentReplicas(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	var replicas []replica
	for i := range 3 {
		replicas = append(replicas, newReplica(t, url, named(fmt.Sprint("r", i))))
	}
	const clients, pushes = 4, 10
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			for n := range pushes {
				options := store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: fmt.Sprint(c, "-", n)}
				for range 2 { // each twice, to different replicas
					if _, err := replicas[(c+n)%3].push(t, "sum", "# TYPE m counter\nm 1\n", options); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
	agree(t, fmt.Sprintf("sum=%d ", clients*pushes), replicas...)
}

// TestUnansweredCommit: while a replica waits until what it has committed is durable, others decide
// on it, but are not answered before either.
func TestUnansweredCommit(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t, pgtest.Config{})
	standby := primary.StartStandby("standby", primary.Addr())
	url := primary.NewDatabase()
	a, b := newReplica(t, url, named("a")), newReplica(t, url, named("b"))
	a.mustPush(t, "first", "m 1\n") // the first turn also notes the server's timeline, which waits for a standby
	primary.RequireStandby("standby")
	standby.Freeze()
	type answer struct {
		replayed bool
		err      error
	}
	push := func(r replica) <-chan answer {
		answered := make(chan answer, 1)
		go func() {
			replayed, err := r.push(t, "x", "# TYPE m counter\nm 1\n", store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: "once"})
			answered <- answer{replayed, err}
		}()
		return answered
	}
	waiting := func() int {
		return number(t, url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%pg_logical_emit_message%'")
	}
	first := push(a)
	eventually(t, "the push waits for the standby", func() bool { return waiting() == 1 })
	again := push(b)
	eventually(t, "its replay does, too", func() bool { return waiting() == 2 })
	standby.Thaw()
	if got := <-first; got.replayed || got.err != nil {
		t.Errorf("the push: %+v", got)
	}
	if got := <-again; !got.replayed || got.err != nil {
		t.Errorf("its replay: %+v", got)
	}
	agree(t, "first=1 x=1 ", a, b)
}

// TestNotificationsPause: a replica gets no notifications while it takes one turn after the other,
// and gets them again afterwards.
func TestNotificationsPause(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	a, b := newReplica(t, url, named("a")), newReplica(t, url, named("b"))
	notified := func() bool {
		before := testutil.ToFloat64(a.journal.metrics.notifications)
		for range 10 {
			b.mustPush(t, "b", "m 1\n")
		}
		return testutil.ToFloat64(a.journal.metrics.notifications) != before
	}
	stop := make(chan struct{})
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				a.mustPush(t, "a", "m 1\n")
			}
		}
	})
	eventually(t, "the busy replica gets no notifications", func() bool { return !notified() })
	close(stop)
	pushing.Wait()
	eventually(t, "the idle replica gets notifications", notified)
	eventually(t, "both have the same", func() bool { return a.records() == b.records() })
}

// TestMigrationRace: replicas that start at once with an empty database make its tables
// once.
func TestMigrationRace(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	replicas := make([]replica, 6)
	var wait sync.WaitGroup
	for i := range replicas {
		wait.Go(func() { replicas[i] = newReplica(t, url, named(fmt.Sprint("r", i))) })
	}
	wait.Wait()
	replicas[0].mustPush(t, "x", "m 1\n")
	agree(t, "x=1 ", replicas...)
	eventually(t, "each replica sees all", func() bool {
		for _, r := range replicas {
			if seen, _ := r.Replicas(); len(seen.All) != len(replicas) {
				return false
			}
		}
		return true
	})
	execute(t, url, "UPDATE pushgateway_schema SET version = 1000")
	_, err := newJournal(t, url).Load(t.Context(), nil)
	if newer := (*NewerError)(nil); !errors.As(err, &newer) {
		t.Errorf("with tables of a newer release: %v", err)
	}
}

// TestTombstones: a deletion is remembered until all live replicas have it. A replica that comes
// back later reads all again.
func TestTombstones(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	proxy := pgtest.StartProxy(t, server.Addr())
	a, b := newReplica(t, url, named("a")), newAloofReplica(t, through(t, url, proxy), named("b"))
	a.mustPush(t, "x", "m 1\n")
	b.mustPush(t, "y", "m 1\n")
	if _, err := a.Delete(key("x")); err != nil {
		t.Fatal(err)
	}
	keepHouse := func() (tombstones int) {
		t.Helper()
		c, err := a.journal.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := a.journal.heartbeat(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := a.journal.keepHouse(c); err != nil {
			t.Fatal(err)
		}
		return number(t, url, "SELECT count(*) FROM pushgateway_groups WHERE record IS NULL")
	}
	if n := keepHouse(); n != 1 {
		t.Errorf("%d tombstones while a replica lacks the deletion", n)
	}
	if got := b.jobs(); got != "x=1 y=1 " {
		t.Errorf("b has %s", got)
	}
	proxy.Down()
	execute(t, url, "UPDATE pushgateway_replicas SET heartbeat = heartbeat - interval '1 hour' WHERE name = 'b'")
	if n := keepHouse(); n != 0 {
		t.Errorf("%d tombstones though no live replica lacks the deletion", n)
	}
	proxy.Up()
	eventually(t, "b is ready", func() bool { return b.Ready() == nil })
	b.mustPush(t, "z", "m 1\n")
	agree(t, "y=1 z=1 ", a, b)
}

// TestCommitOutcome: whatever happens to the connection during a commit, a push is
// answered by what has become of it, and counts once.
func TestCommitOutcome(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	proxy := pgtest.StartProxy(t, server.Addr())
	a, b := newReplica(t, through(t, url, proxy), named("a"), patient), newReplica(t, url, named("b"))
	a.mustPush(t, "first", "n 1\n") // from here on, only pushes commit
	want := 0
	for i, moment := range []pgtest.Moment{pgtest.BeforeCommit, pgtest.DuringCommit, pgtest.AfterCommit} {
		eventually(t, "it is ready", func() bool { return a.Ready() == nil })
		options := store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: fmt.Sprint(i)}
		cut := proxy.CutCommit(moment)
		_, err := a.push(t, "x", "# TYPE m counter\nm 1\n", options)
		<-cut
		if moment == pgtest.AfterCommit && err != nil {
			t.Errorf("%v: the change was committed, but the answer is %v", moment, err)
		}
		var unavailable *store.UnavailableError
		if err != nil && !errors.As(err, &unavailable) {
			t.Errorf("%v: %v", moment, err)
		}
		if moment == pgtest.BeforeCommit && err == nil {
			t.Errorf("%v: the change was not committed, but the answer is 200", moment)
		}
		eventually(t, "it is ready again", func() bool { return a.Ready() == nil })
		if _, err := b.push(t, "x", "# TYPE m counter\nm 1\n", options); err != nil { // the client tries again
			t.Error(err)
		}
		want++
		agree(t, fmt.Sprintf("first x=%d ", want), a, b)
	}
}

// TestUnknownOutcome: if nobody can tell in time whether a change was committed, the
// answer says so, and the change is seen later.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	proxy := pgtest.StartProxy(t, server.Addr())
	a := newReplica(t, through(t, url, proxy), named("a"), func(o *Options) { o.outcomeTimeout = 100 * time.Millisecond })
	b := newReplica(t, url, named("b"))
	a.mustPush(t, "first", "n 1\n") // from here on, only pushes commit
	cut := proxy.CutCommit(pgtest.AfterCommit)
	go func() {
		<-cut
		proxy.Down()
	}()
	_, err := a.push(t, "x", "m 1\n", store.PushOptions{})
	if unavailable := (*store.UnavailableError)(nil); err != nil && !errors.As(err, &unavailable) {
		t.Errorf("the answer is %v", err)
	}
	agree(t, "first x=1 ", b)
	proxy.Up()
	agree(t, "first x=1 ", a, b)
}

// TestFrozenDatabase: pushes are answered though the database is not, nothing is lost or
// applied twice, and all goes on by itself.
func TestFrozenDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	a := newReplica(t, url, named("a"))
	a.mustPush(t, "x", "m 1\n")
	server.Freeze()
	_, err := a.push(t, "x", "m 2\n", store.PushOptions{})
	if unavailable := (*store.UnavailableError)(nil); !errors.As(err, &unavailable) || unavailable.RetryAfter <= 0 {
		t.Errorf("the answer is %v", err)
	}
	if a.Ready() == nil || a.Loaded() != nil {
		t.Errorf("ready %v, loaded %v", a.Ready(), a.Loaded())
	}
	if got := a.jobs(); got != "x=1 " {
		t.Errorf("shown are %s", got)
	}
	server.Thaw()
	eventually(t, "it is ready", func() bool { return a.Ready() == nil })
	a.mustPush(t, "x", "m 3\n")
	agree(t, "x=3 ", a, newReplica(t, url, named("b")))
}

// TestClock: replicas go by the database's clock, and warn if this machine's differs.
func TestClock(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	execute(t, url, "CREATE SCHEMA skewed; CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql "+
		"AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$")
	var log strings.Builder
	a := newReplica(t, url+"&search_path=skewed,pg_catalog,public", named("a"), func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &log), nil))
	})
	if !strings.Contains(log.String(), "this machine's clock and the database's differ") { // logged before Open returns
		t.Errorf("the log is %s", log.String())
	}
	if skew := a.journal.Replicas().ClockSkew; (skew - time.Hour).Abs() > time.Minute {
		t.Errorf("the skew is %v", skew)
	}
	a.mustPush(t, "x", "m 1\n")
	for g := range a.Groups() {
		if ahead := time.Until(g.Pushed); (ahead - time.Hour).Abs() > time.Minute {
			t.Errorf("pushed %v from now", ahead)
		}
	}
}

// TestLargeRecords: groups of many MB come through.
func TestLargeRecords(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	a, b := newReplica(t, url, named("a")), newReplica(t, url, named("b"))
	body := []byte("# TYPE m gauge\n")
	for i := range 200_000 {
		body = fmt.Appendf(body, "m{i=\"%d\",text=\"some text that takes space, since a label is rarely empty\"} 1\n", i)
	}
	if _, err := a.push(t, "large", string(body), store.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other has it", func() bool { return b.records() == a.records() })
}
