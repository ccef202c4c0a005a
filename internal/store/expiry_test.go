package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// fakeClock is a clock that moves only when told to.
type fakeClock struct {
	now     time.Time
	elapsed time.Duration
}

func (c *fakeClock) pass(d time.Duration) { c.now, c.elapsed = c.now.Add(d), c.elapsed+d }

// set sets the time of day, which nothing else notices.
func (c *fakeClock) set(t time.Time) { c.now = t }

func (c *fakeClock) clock() store.Clock {
	return store.Clock{Now: func() time.Time { return c.now }, Elapsed: func() time.Duration { return c.elapsed }}
}

// expiring is a store on a fake clock.
type expiring struct {
	*store.Store
	*fakeClock
	t *testing.T
}

// newExpiring returns a store whose groups follow rule where their pushes say
// nothing.
func newExpiring(t *testing.T, rule metric.Expiry) *expiring {
	return newExpiringIn(t, store.Memory{}, &fakeClock{now: time.Unix(1_700_000_000, 0)}, rule)
}

func newExpiringIn(t *testing.T, j store.Journal, clock *fakeClock, rule metric.Expiry) *expiring {
	t.Helper()
	s := store.New(store.Config{Journal: j, Clock: clock.clock()})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.SetExpiry(func(metric.GroupingKey) metric.Expiry { return rule })
	return &expiring{s, clock, t}
}

// push pushes a gauge to the group of the job, with an expiry of its own.
func (e *expiring) push(job string, own metric.Expiry) {
	e.t.Helper()
	families := []metric.Family{{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{{HasValue: true}}}}
	p, err := new(store.Encoder).Push(jobKey(job), families, e.now, store.PushOptions{Expiry: own})
	if err == nil {
		_, err = e.Apply(p)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// want deletes what has expired, and wants these jobs to be left: those with a star
// without any pushed family.
func (e *expiring) want(jobs ...string) {
	e.t.Helper()
	for {
		expired, err := e.Expire(e.Due(2))
		if err != nil {
			e.t.Fatal(err)
		}
		if len(expired) == 0 {
			break
		}
	}
	if left, any := e.NextExpiry(); any && left <= 0 {
		e.t.Errorf("a group is to expire in %v, but did not", left)
	}
	got := []string{}
	for g := range e.Snapshot().Groups() {
		job, _ := g.Key.Value(metric.JobLabel)
		if len(g.Families) == 2 {
			job += "*"
		}
		got = append(got, job)
	}
	if !slices.Equal(got, jobs) {
		e.t.Errorf("after %v there are %q, want %q", e.elapsed, got, jobs)
	}
}

func ttl(ttl time.Duration) metric.Expiry { return metric.Expiry{Set: true, TTL: ttl} }

func TestGroupsExpire(t *testing.T) {
	e := newExpiring(t, ttl(time.Hour))
	e.push("a-rule", metric.Expiry{})
	e.push("b-own", ttl(2*time.Hour))
	e.push("c-never", ttl(0))
	e.push("d-keep", metric.Expiry{KeepPushTimes: true})
	e.push("e-again", metric.Expiry{})
	e.push("f-rejected", metric.Expiry{})
	if err := e.Fail(jobKey("g-only-rejected"), e.now); err != nil {
		t.Fatal(err)
	}
	e.pass(time.Hour - 1)
	for _, job := range []string{"f-rejected", "g-only-rejected"} {
		if err := e.Fail(jobKey(job), e.now); err != nil {
			t.Fatal(err)
		}
	}
	e.push("e-again", metric.Expiry{})
	e.want("a-rule", "b-own", "c-never", "d-keep", "e-again", "f-rejected", "g-only-rejected*")
	e.pass(1)
	e.want("b-own", "c-never", "d-keep*", "e-again")
	e.pass(time.Hour)
	e.want("c-never", "d-keep*")
	e.pass(1000 * time.Hour)
	e.want("c-never", "d-keep*")
	e.push("d-keep", metric.Expiry{})
	e.push("c-never", metric.Expiry{}) // follows the rule from here on
	e.pass(time.Hour)
	e.want()
}

func TestNothingExpiresByDefault(t *testing.T) {
	e := newExpiring(t, metric.Expiry{})
	e.push("a", metric.Expiry{})
	e.pass(100 * 365 * 24 * time.Hour)
	e.want("a")
	if at, _ := e.ExpiresAt(e.Snapshot().Group(jobKey("a"))); !at.IsZero() {
		t.Errorf("expires at %v", at)
	}
}

// TestPolicyAppliesToStoredGroups: a change of the rules counts from the last push.
func TestPolicyAppliesToStoredGroups(t *testing.T) {
	e := newExpiring(t, metric.Expiry{})
	e.push("a", metric.Expiry{})
	e.push("b", ttl(3*time.Hour))
	e.pass(2 * time.Hour)
	e.SetExpiry(func(metric.GroupingKey) metric.Expiry { return ttl(time.Hour) })
	if at, _ := e.ExpiresAt(e.Snapshot().Group(jobKey("a"))); !at.Equal(e.now.Add(-time.Hour)) {
		t.Errorf("expires at %v, an hour before %v", at, e.now)
	}
	e.want("b")
	e.SetExpiry(func(metric.GroupingKey) metric.Expiry { return metric.Expiry{KeepPushTimes: true} })
	e.pass(2 * time.Hour)
	e.want("b*")

	// What is left of it is there for an alert, which no other rule may silence.
	e.SetExpiry(func(metric.GroupingKey) metric.Expiry { return ttl(time.Minute) })
	e.pass(2 * time.Hour)
	e.want("b*")
	if !e.Snapshot().Group(jobKey("b")).Expired {
		t.Error("b is not said to have expired")
	}
	e = e.restarted(ttl(time.Minute))
	e.pass(2 * time.Hour)
	e.want("b*")
	e.push("b", metric.Expiry{})
	if e.Snapshot().Group(jobKey("b")).Expired {
		t.Error("b is said to have expired, but was pushed again")
	}
	if due := e.Due(9); len(due) != 0 {
		t.Errorf("%q are due", due)
	}
	e.pass(time.Minute)
	if due := e.Due(9); len(due) != 1 {
		t.Errorf("%q are due, not 1", due)
	}
	e.want()
}

// TestClockIsSet: in a running process only the time that passes counts.
func TestClockIsSet(t *testing.T) {
	e := newExpiring(t, ttl(time.Hour))
	e.push("a", metric.Expiry{})
	e.set(e.now.AddDate(10, 0, 0))
	e.want("a")
	e.push("b", metric.Expiry{})
	e.set(e.now.AddDate(-20, 0, 0))
	e.want("a", "b")
	e.SetExpiry(func(metric.GroupingKey) metric.Expiry { return ttl(time.Hour) })
	if err := e.Fail(jobKey("a"), e.now); err != nil {
		t.Fatal(err)
	}
	e.pass(time.Hour - 1)
	e.want("a", "b")
	e.pass(1)
	e.want()
}

// restarted returns the store as another process finds it.
func (e *expiring) restarted(rule metric.Expiry) *expiring {
	e.t.Helper()
	var groups []*store.Group
	for g := range e.Snapshot().Groups() {
		loaded, err := store.DecodeRecord(store.AppendRecord(nil, g))
		if err != nil {
			e.t.Fatal(err)
		}
		groups = append(groups, loaded)
	}
	return newExpiringIn(e.t, &scripted{groups: groups}, &fakeClock{now: e.now}, rule)
}

// TestTTLOverRestarts: time spent down counts, TTLs of pushes are persisted, and a
// push from the future is as one of now.
func TestTTLOverRestarts(t *testing.T) {
	e := newExpiring(t, ttl(time.Hour))
	e.push("a", metric.Expiry{})
	e.push("b", metric.Expiry{Set: true, TTL: 3 * time.Hour, KeepPushTimes: true})
	e.push("c", ttl(0))
	e.pass(30 * time.Minute)
	e = e.restarted(ttl(time.Hour))
	e.want("a", "b", "c")
	e.pass(30*time.Minute - 1)
	e.want("a", "b", "c")
	e.pass(1)
	e.want("b", "c")

	e.set(e.now.Add(time.Hour)) // while it was down
	e = e.restarted(ttl(time.Hour))
	e.want("b", "c")
	e.set(e.now.Add(2 * time.Hour))
	e = e.restarted(ttl(time.Hour))
	e.want("b*", "c")

	e.push("d", metric.Expiry{})
	e.set(e.now.AddDate(-3, 0, 0))
	e = e.restarted(ttl(time.Hour))
	e.pass(time.Hour - 1)
	e.want("b*", "c", "d")
	e.pass(1)
	e.want("b*", "c")
}

// TestExpiryIsPersisted: groups end only once the journal has it, and are asked for
// again where it has not.
func TestExpiryIsPersisted(t *testing.T) {
	j := &scripted{}
	e := newExpiringIn(t, j, &fakeClock{now: time.Unix(1_700_000_000, 0)}, ttl(time.Hour))
	e.push("a", metric.Expiry{})
	e.pass(time.Hour)
	j.err = errFull
	if expired, err := e.Expire(e.Due(10)); err != errFull || len(expired) != 0 {
		t.Fatalf("ended %v, %v", expired, err)
	}
	if e.Snapshot().Totals.Groups != 1 {
		t.Fatal("the group is gone, but the journal has it")
	}
	j.err = nil
	e.want()
	last := j.commits[len(j.commits)-1]
	if len(last.Groups) != 1 || last.Groups[0].Group != nil {
		t.Fatalf("the journal got %+v", last)
	}
}

// TestExpiryAgainstModel pushes, deletes, sets rules and lets time pass at random; a
// group is there just as long as a model says that looks at all of them each time.
func TestExpiryAgainstModel(t *testing.T) {
	type modelled struct {
		pushed time.Duration // elapsed then
		own    metric.Expiry
		empty  bool
	}
	random := rand.New(rand.NewPCG(11, 12))
	rule := metric.Expiry{}
	e := newExpiring(t, rule)
	model := map[string]*modelled{}
	total := 0
	begin := e.now
	for range 5000 {
		e.set(begin.Add(e.elapsed)) // pushes from the future are another test's
		job := fmt.Sprint("j", random.IntN(40))
		switch random.IntN(12) {
		case 0:
			delete(model, job)
			if _, err := e.Delete(jobKey(job)); err != nil {
				t.Fatal(err)
			}
		case 1:
			if random.IntN(10) == 0 {
				rule = metric.Expiry{Set: true, TTL: time.Duration(random.IntN(200)) * time.Second}
				e.SetExpiry(func(metric.GroupingKey) metric.Expiry { return rule })
			}
		case 2, 3, 4:
			e.pass(time.Duration(random.IntN(20)) * time.Second)
		default:
			own := metric.Expiry{Set: random.IntN(2) == 0, TTL: time.Duration(random.IntN(150)) * time.Second, KeepPushTimes: random.IntN(8) == 0}
			if !own.Set {
				own.TTL = 0
			}
			e.push(job, own)
			model[job] = &modelled{pushed: e.elapsed, own: own}
		}
		e.set(begin.Add(time.Duration(random.IntN(2000)-1000) * time.Second))
		var want []string
		for job, g := range model {
			l := g.own.Or(rule)
			if l.TTL > 0 && e.elapsed-g.pushed >= l.TTL && !g.empty {
				total++
				if !l.KeepPushTimes {
					delete(model, job)
					continue
				}
				g.empty = true
			}
		}
		for _, job := range slices.Sorted(maps.Keys(model)) {
			if model[job].empty {
				job += "*"
			}
			want = append(want, job)
		}
		if want == nil {
			want = []string{}
		}
		e.want(want...)
		if t.Failed() {
			return
		}
	}
	if total < 300 {
		t.Fatalf("only %d groups expired", total)
	}
}
