package store_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// lines returns n series of one gauge.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m{n=\"%04d\"} 1\n", i)
	}
	return b.String()
}

func TestQuota(t *testing.T) {
	s := store.InMemory()
	replace := store.PushOptions{Merge: metric.MergeGroup}
	push := func(job string, series int) error {
		t.Helper()
		_, err := pushAs(s, job, lines(series), noon, replace)
		return err
	}
	for i, q := range []store.Quota{{Groups: 2}, {Series: 2*2 + 20}, {Bytes: 1}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if _, err := s.Wipe(); err != nil {
				t.Fatal(err)
			}
			s.SetQuota(store.Quota{})
			for _, job := range []string{"a", "b"} {
				if err := push(job, 10); err != nil {
					t.Fatal(err)
				}
			}
			s.SetQuota(q)
			if err := push("c", 1); !rejectedFor(err, metric.QuotaExceeded) {
				t.Errorf("a further group: %v", err)
			}
			if n := s.Totals().Groups; n != 2 {
				t.Errorf("%d groups: the rejected push left one", n)
			}
			if err := push("a", 10); err != nil {
				t.Errorf("replacing: %v", err)
			}
			if err := push("a", 5); err != nil {
				t.Errorf("shrinking: %v", err)
			}
			if q.Groups == 0 {
				if err := push("a", 20); !rejectedFor(err, metric.QuotaExceeded) {
					t.Errorf("growing: %v", err)
				}
				if got := s.Snapshot().Group(jobKey("a")).Failed; got.IsZero() {
					t.Error("the rejection does not show on the group")
				}
			}
			if _, err := s.Delete(jobKey("b")); err != nil {
				t.Fatal(err)
			}
			if err := push("c", 1); q.Bytes == 0 && err != nil {
				t.Errorf("after a deletion: %v", err)
			}
		})
	}
}

func TestALoweredQuotaDeletesNothing(t *testing.T) {
	s := store.InMemory()
	for i := range 10 {
		mustPush(t, s, fmt.Sprint(i), lines(3), store.PushOptions{})
	}
	s.SetQuota(store.Quota{Groups: 1, Series: 1, Bytes: 1})
	if got := s.Totals().Groups; got != 10 {
		t.Errorf("%d groups are left", got)
	}
	mustPush(t, s, "3", lines(2), store.PushOptions{Merge: metric.MergeGroup})
}

func TestLimitsOfAPush(t *testing.T) {
	for _, c := range []struct {
		name, text string
		limits     limits.Limits
		rejected   bool
	}{
		{"series at the limit", lines(10), limits.Limits{}.With(limits.Series, 10), false},
		{"series beyond it", lines(11), limits.Limits{}.With(limits.Series, 10), true},
		{"no limit", lines(11), limits.Limits{}.With(limits.Series, 0), false},
		{"group at the limit", lines(8), limits.Limits{}.With(limits.GroupSeries, 10), false},
		{"group beyond it", lines(9), limits.Limits{}.With(limits.GroupSeries, 10), true},
		// The name, job and n; the empty instance does not count.
		{"labels at the limit", lines(1), limits.Limits{}.With(limits.Labels, 3), false},
		{"labels beyond it", lines(1), limits.Limits{}.With(limits.Labels, 2), true},
		{"label name at the limit", "m{abcde=\"x\"} 1\n", limits.Limits{}.With(limits.LabelNameLength, 5), false},
		{"label name beyond it", "m{abcdef=\"x\"} 1\n", limits.Limits{}.With(limits.LabelNameLength, 5), true},
		{"label value at the limit", "m{a=\"12345\"} 1\n", limits.Limits{}.With(limits.LabelValueLength, 5), false},
		{"label value beyond it", "m{a=\"123456\"} 1\n", limits.Limits{}.With(limits.LabelValueLength, 5), true},
		{"metric name beyond it", "abcdef 1\n", limits.Limits{}.With(limits.LabelValueLength, 5), true},
		{"histogram", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n", limits.Limits{}.With(limits.Labels, 2), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store.InMemory()
			_, err := pushAs(s, "j", c.text, noon, store.PushOptions{Limits: c.limits})
			if got := rejectedFor(err, metric.LimitExceeded); got != c.rejected || err != nil && !got {
				t.Errorf("got %v, want rejected: %v", err, c.rejected)
			}
		})
	}
}

func TestAGroupThatGrewBeforeTheLimitCanBeReplaced(t *testing.T) {
	s := store.InMemory()
	mustPush(t, s, "j", lines(20), store.PushOptions{Merge: metric.MergeGroup})
	o := store.PushOptions{Merge: metric.MergeGroup, Limits: limits.Limits{}.With(limits.GroupSeries, 10)}
	mustPush(t, s, "j", lines(20), o)
	mustPush(t, s, "j", lines(15), o)
	if _, err := pushAs(s, "j", lines(16), noon, o); !rejectedFor(err, metric.LimitExceeded) {
		t.Errorf("growing: %v", err)
	}
	mustPush(t, s, "j", lines(8), o)
	o.Merge = metric.MergeFamily
	if _, err := pushAs(s, "j", "other 1\n", noon, o); !rejectedFor(err, metric.LimitExceeded) {
		t.Errorf("growing by another family: %v", err)
	}
}

// TestQuotaAgainstModel makes random changes, several at a time, under quotas that change
// as well. The store never grows beyond a quota, and counts by rule what is there.
func TestQuotaAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ruleOf := func(key metric.GroupingKey) int {
		job, _ := key.Value("job")
		return int(job[0]-'a') - 1 // no rule for jobs that begin with a
	}
	newQuota := func() store.Quota {
		rules := make([]limits.Limits, 2)
		for i := range rules {
			rules[i] = limits.Limits{}.With(limits.Groups, random.Int64N(6)).With(limits.TotalSeries, random.Int64N(40))
		}
		return store.Quota{Groups: random.Int64N(12), Series: random.Int64N(90), Bytes: random.Int64N(4000), Rules: rules, RuleOf: ruleOf}
	}
	s := store.InMemory()
	var q store.Quota
	for step := range 400 {
		if step%20 == 0 {
			q = newQuota()
			s.SetQuota(q)
		}
		before := usageOf(s, ruleOf)
		var done sync.WaitGroup
		for range 4 {
			job := fmt.Sprintf("%c%d", 'a'+rune(random.IntN(3)), random.IntN(5))
			text, kind, merge := lines(random.IntN(12)), random.IntN(10), metric.MergeGroup
			if kind == 1 {
				text = "m 1 1\n" // rejected
			}
			if kind > 5 {
				merge = metric.MergeFamily
			}
			done.Go(func() {
				if kind == 0 {
					_, _ = s.Delete(jobKey(job))
					return
				}
				_, _ = pushAs(s, job, text, noon.Add(time.Duration(step)*time.Second), store.PushOptions{Merge: merge})
			})
		}
		done.Wait()
		if random.IntN(100) == 0 {
			if _, err := s.Wipe(); err != nil {
				t.Fatal(err)
			}
		}
		after := usageOf(s, ruleOf)
		check := func(what string, was, is, max int64) {
			if max > 0 && is > max && is > was {
				t.Fatalf("step %d: %s grew from %d to %d, beyond %d", step, what, was, is, max)
			}
		}
		check("groups", before[-2].groups, after[-2].groups, q.Groups)
		check("series", before[-2].series, after[-2].series, q.Series)
		check("bytes", before[-2].bytes, after[-2].bytes, q.Bytes)
		for i := range q.Rules {
			check(fmt.Sprintf("groups of rule %d", i), before[i].groups, after[i].groups, q.Rules[i].Max(limits.Groups))
			check(fmt.Sprintf("series of rule %d", i), before[i].series, after[i].series, q.Rules[i].Max(limits.TotalSeries))
			if got, want := s.RuleUsage(i), [2]int64{after[i].groups, after[i].series}; q.CountsRules() && got != want {
				t.Fatalf("step %d: rule %d is counted as %v, but is %v", step, i, got, want)
			}
		}
		checkIndexInvariant(t, s)
	}
}

type used struct{ groups, series, bytes int64 }

// usageOf counts what is stored, by rule; -2 stands for all.
func usageOf(s *store.Store, ruleOf func(metric.GroupingKey) int) map[int]used {
	all := map[int]used{}
	for g := range s.Groups() {
		for _, i := range []int{-2, ruleOf(g.Key)} {
			u := all[i]
			u.groups++
			for _, f := range g.Families {
				u.series += int64(f.Series())
				u.bytes += int64(f.Size())
			}
			all[i] = u
		}
	}
	return all
}

func checkIndexInvariant(t *testing.T, s *store.Store) {
	t.Helper()
	u, totals := usageOf(s, func(metric.GroupingKey) int { return -1 })[-2], s.Totals()
	if int64(totals.Groups) != u.groups || int64(totals.Series) != u.series || totals.Bytes != u.bytes {
		t.Fatalf("totals %+v, but %+v are stored", totals, u)
	}
}

// The cost of a push under a quota does not grow with what is stored.
func BenchmarkPushUnderQuota(b *testing.B) {
	for _, stored := range []int{100, 10_000} {
		b.Run(fmt.Sprint(stored), func(b *testing.B) {
			s := store.InMemory()
			for i := range stored {
				if _, err := pushAs(s, fmt.Sprint(i), lines(3), noon, store.PushOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			s.SetQuota(store.Quota{
				Groups: 1 << 30,
				Rules:  []limits.Limits{limits.Limits{}.With(limits.Groups, 1<<30)},
				RuleOf: func(metric.GroupingKey) int { return 0 },
			})
			for b.Loop() {
				if _, err := pushAs(s, "1", lines(3), noon, store.PushOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
