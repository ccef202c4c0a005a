package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pushgateway/internal/metric"
	"pushgateway/internal/pgtest"
	"pushgateway/internal/store"
)

// setBack returns what sets the database back to how it is now, as a failover does that
// loses commits.
func setBack(t *testing.T, url string) (back func()) {
	t.Helper()
	save, restore := "", "BEGIN; LOCK TABLE pushgateway_head; "
	for _, name := range []string{"head", "commits", "groups"} {
		save += "CREATE TABLE saved_" + name + " AS TABLE pushgateway_" + name + "; "
		restore += "DELETE FROM pushgateway_" + name + "; INSERT INTO pushgateway_" + name + " TABLE saved_" + name + "; "
	}
	execute(t, url, save)
	return func() { execute(t, url, restore+"COMMIT") }
}

func TestRepair(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	for name, test := range map[string]func(t *testing.T, url string, a, b replica){
		"changes and deletions": func(t *testing.T, url string, a, b replica) {
			a.mustPush(t, "x", "m 1\n")
			b.mustPush(t, "y", "m 1\n")
			back := setBack(t, url)
			a.mustPush(t, "x", "m 2\n")
			a.mustPush(t, "z", "m 1\n")
			if _, err := a.Delete(key("y")); err != nil {
				t.Fatal(err)
			}
			back()
			b.mustPush(t, "z", "m 9\n") // is newer than what was lost
			a.mustPush(t, "last", "m 1\n")
			b.mustPush(t, "last", "m 2\n")
			a.mustPush(t, "more", "m 1\n")
			agree(t, "last=2 more=1 x=2 z=9 ", a, newReplica(t, url, named("c")))
			if n := testutil.ToFloat64(a.journal.metrics.repaired); n != 2 {
				t.Errorf("%v groups repaired, want x and y", n)
			}
		},
		"a replica that knows less repairs first": func(t *testing.T, url string, a, b replica) {
			a.mustPush(t, "x", "m 1\n")
			back := setBack(t, url)
			a.mustPush(t, "x", "m 2\n")
			b.mustPush(t, "b", "m 1\n") // b learns of x=2
			a.mustPush(t, "x", "m 3\n")
			back()
			b.mustPush(t, "c", "m 1\n")
			agree(t, "b=1 c=1 x=2 ", newReplica(t, url, named("c")))
			a.mustPush(t, "d", "m 1\n")
			agree(t, "b=1 c=1 d=1 x=3 ", a, newReplica(t, url, named("d")))
			if n := testutil.ToFloat64(b.journal.metrics.repaired); n != 2 {
				t.Errorf("%v groups repaired by the first, want x and b", n)
			}
		},
		"a lost wipe": func(t *testing.T, url string, a, b replica) {
			a.mustPush(t, "x", "m 1\n")
			a.mustPush(t, "y", "m 1\n")
			back := setBack(t, url)
			if n, err := a.Wipe(); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			a.mustPush(t, "y", "m 2\n")
			back()
			b.mustPush(t, "z", "m 1\n")
			a.mustPush(t, "last", "m 1\n")
			agree(t, "last=1 y=2 z=1 ", a, newReplica(t, url, named("c")))
		},
		"a wipe since": func(t *testing.T, url string, a, b replica) {
			a.mustPush(t, "x", "m 1\n")
			back := setBack(t, url)
			a.mustPush(t, "x", "m 2\n")
			a.mustPush(t, "y", "m 1\n")
			back()
			if _, err := b.Wipe(); err != nil {
				t.Fatal(err)
			}
			a.mustPush(t, "last", "m 1\n")
			agree(t, "last=1 ", a, newReplica(t, url, named("c")))
		},
		"twice": func(t *testing.T, url string, a, b replica) {
			a.mustPush(t, "x", "m 1\n")
			back := setBack(t, url)
			a.mustPush(t, "x", "m 2\n")
			for range 2 {
				back()
				b.mustPush(t, "other", "m 1\n")
				a.mustPush(t, "last", "m 1\n")
			}
			agree(t, "last=1 other=1 x=2 ", a, newReplica(t, url, named("c")))
		},
		"nothing in common": func(t *testing.T, url string, a, b replica) {
			a.mustPush(t, "x", "m 1\n")
			execute(t, url, "UPDATE pushgateway_commits SET token = gen_random_uuid(); "+
				"UPDATE pushgateway_head SET token = (SELECT token FROM pushgateway_commits WHERE sequence = 1)")
			execute(t, url, "DELETE FROM pushgateway_groups")
			a.mustPush(t, "last", "m 1\n")
			agree(t, "last=1 ", a, newReplica(t, url, named("c")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := server.NewDatabase()
			test(t, url, newAloofReplica(t, url, named("a")), newAloofReplica(t, url, named("b")))
		})
	}
}

// TestRepairWithoutPushes: replicas repair also if nobody pushes.
func TestRepairWithoutPushes(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	url := server.NewDatabase()
	a, b := newReplica(t, url, named("a")), newReplica(t, url, named("b"))
	a.mustPush(t, "x", "m 1\n")
	agree(t, "x=1 ", a, b)
	back := setBack(t, url)
	a.mustPush(t, "x", "m 2\n")
	agree(t, "x=2 ", a, b)
	back()
	eventually(t, "the database has what it lost", func() bool {
		return number(t, url, "SELECT count(*) FROM pushgateway_groups WHERE origin_sequence IS NOT NULL") == 1
	})
	agree(t, "x=2 ", a, b, newReplica(t, url, named("c")))
}

// TestFailover: a standby is promoted that lacks the last commits. A replica that lacks
// them, too, waits with its next push for one that does not, so that sums stay exact.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t, pgtest.Config{})
	config, err := pgx.ParseConfig(primary.NewDatabase())
	if err != nil {
		t.Fatal(err)
	}
	slow := pgtest.StartProxy(t, primary.Addr())
	standby := primary.StartStandby("late", slow.Addr())
	url := pgtest.URL(config.Database, primary.Addr(), standby.Addr())

	a, b := newReplica(t, url, named("a"), patient), newAloofReplica(t, url, named("b"), patient)
	sum := func(r replica, k string) {
		t.Helper()
		options := store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: k}
		if _, err := r.push(t, "sum", "# TYPE m counter\nm 1\n", options); err != nil {
			t.Fatal(err)
		}
	}
	sum(a, "1")
	sum(b, "2")
	agree(t, "sum=2 ", a, b)
	direct := pgtest.URL(config.Database, standby.Addr())
	eventually(t, "the standby has both", func() bool { return number(t, direct, "SELECT sequence FROM pushgateway_head") == 2 })
	slow.Delay(time.Hour)
	sum(a, "3")
	primary.Kill()
	slow.Cut()
	standby.Promote()
	eventually(t, "b is ready", func() bool { return b.Ready() == nil })
	sum(b, "4")
	agree(t, "sum=4 ", a, b, newReplica(t, url, named("c")))
	if n := testutil.ToFloat64(a.journal.metrics.repairs); n != 1 {
		t.Errorf("%v repairs", n)
	}
}
