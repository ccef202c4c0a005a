package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

var noon = time.Unix(1_700_000_000, 0)

// pushAs pushes a text to the group of a job.
func pushAs(s *store.Store, job, text string, at time.Time, m store.PushOptions) (replayed bool, err error) {
	parser := wire.TextParser{Names: metric.LegacyValidation}
	families, err := parser.Parse(text)
	if err != nil {
		return false, err
	}
	p, err := new(store.Encoder).Push(jobKey(job), families, at, m)
	if err != nil {
		return false, err
	}
	return s.Apply(p)
}

func mustPush(t *testing.T, s *store.Store, job, text string, m store.PushOptions) {
	t.Helper()
	if replayed, err := pushAs(s, job, text, noon, m); err != nil || replayed {
		t.Fatalf("push of %q: replayed %v, %v", text, replayed, err)
	}
}

// samples returns the samples of a job's group, without push times and grouping
// labels.
func samples(s *store.Store, job string) string {
	var b strings.Builder
	for _, c := range s.Snapshot().Group(jobKey(job)).Families {
		if c.Name() != store.PushTime && c.Name() != store.FailureTime {
			b.Write(c.AppendText(nil))
		}
	}
	text := strings.ReplaceAll(b.String(), fmt.Sprintf(`instance="",job=%q`, job), "")
	return strings.NewReplacer("{,", "{", ",}", "}", "{}", "", ",,", ",").Replace(text)
}

func wantSamples(t *testing.T, s *store.Store, job, want string) {
	t.Helper()
	if got := samples(s, job); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// rejectedFor reports whether err rejects a push for the reason.
func rejectedFor(err error, reason metric.Reason) bool {
	var rejection *metric.RejectionError
	return errors.As(err, &rejection) && rejection.Reason == reason
}

func TestMergeSeries(t *testing.T) {
	s := store.InMemory()
	series := store.PushOptions{Merge: metric.MergeSeries}
	mustPush(t, s, "a", "# HELP m Help.\n# TYPE m gauge\nm{x=\"1\"} 1\nm{x=\"3\"} 3\nn 7\n", store.PushOptions{})
	mustPush(t, s, "a", "# TYPE m gauge\nm{x=\"0\"} 10\nm{x=\"3\"} 30\nm{x=\"4\"} 40\n", series)
	wantSamples(t, s, "a", "m{x=\"0\"} 10\nm{x=\"1\"} 1\nm{x=\"3\"} 30\nm{x=\"4\"} 40\nn 7\n")
	if help := s.Snapshot().Group(jobKey("a")).Family("m").Help(); help != "Help." {
		t.Errorf("the help text is %q", help)
	}
	if _, err := pushAs(s, "a", "# TYPE m counter\nm{x=\"1\"} 1\n", noon, series); !rejectedFor(err, metric.TypeConflict) {
		t.Errorf("another type: %v", err)
	}
	// What stays of the family counts, too, where others want its names.
	if _, err := pushAs(s, "a", "# TYPE m_x summary\nm_x_sum 1\n# TYPE h histogram\nh_count 1\n", noon, series); err != nil {
		t.Error(err)
	}
	if _, err := pushAs(s, "a", "# TYPE h_sum gauge\nh_sum 1\n", noon, series); !rejectedFor(err, metric.SuffixCollision) {
		t.Errorf("a colliding name: %v", err)
	}
	if g := s.Snapshot().Group(jobKey("a")); g.Failed.IsZero() || g.Summed {
		t.Errorf("failed at %v, summed %v", g.Failed, g.Summed)
	}
}

// TestMergeSeriesAgainstModel merges random series; the group holds the last value
// of each.
func TestMergeSeriesAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(21, 22))
	for range 100 {
		s := store.InMemory()
		model := map[string]int{}
		for range 10 {
			text := ""
			for _, i := range random.Perm(12)[:random.IntN(6)] {
				v := random.IntN(100)
				series := fmt.Sprintf("m%d{x=\"%d\"}", i%3, i/3)
				model[series] = v
				text += fmt.Sprintf("%s %d\n", series, v)
			}
			mustPush(t, s, "a", text, store.PushOptions{Merge: metric.MergeSeries})
		}
		var want []string
		for series, v := range model {
			want = append(want, fmt.Sprintf("%s %d\n", series, v))
		}
		slices.Sort(want)
		wantSamples(t, s, "a", strings.Join(want, ""))
	}
}

func TestSum(t *testing.T) {
	s := store.InMemory()
	sum := store.PushOptions{Merge: metric.MergeSum, Gauges: metric.GaugeMax}
	mustPush(t, s, "a", "# TYPE c counter\nc{x=\"1\"} 1\n# TYPE g gauge\ng 5\n# TYPE s summary\ns{quantile=\"0.5\"} "+
		"1\ns_sum 2\ns_count 1\n", sum)
	mustPush(t, s, "a", "# TYPE c counter\nc{x=\"1\"} 2\nc{x=\"2\"} 4\n# TYPE g gauge\ng 3\n", sum)
	mustPush(t, s, "a", "# TYPE s summary\ns_sum 3\ns_count 2\n", sum)
	wantSamples(t, s, "a", "c{x=\"1\"} 3\nc{x=\"2\"} 4\ng 5\ns_sum 5\ns_count 3\n")
	if !s.Snapshot().Group(jobKey("a")).Summed {
		t.Error("the group is not summed")
	}
}

// TestSummedOrReplaced: the two do not mix, but PUT and deletion begin anew.
func TestSummedOrReplaced(t *testing.T) {
	const one = "# TYPE c counter\nc 1\n"
	sum := store.PushOptions{Merge: metric.MergeSum}
	for _, other := range []metric.Merge{metric.MergeFamily, metric.MergeSeries} {
		s := store.InMemory()
		mustPush(t, s, "summed", one, sum)
		if _, err := pushAs(s, "summed", one, noon, store.PushOptions{Merge: other}); !rejectedFor(err, metric.BadMerge) {
			t.Errorf("%s to a summed group: %v", other, err)
		}
		mustPush(t, s, "summed", "", store.PushOptions{Merge: other}) // only touches the time
		mustPush(t, s, "summed", one, sum)
		wantSamples(t, s, "summed", "c 2\n")
		mustPush(t, s, "summed", one, store.PushOptions{Merge: metric.MergeGroup})
		wantSamples(t, s, "summed", "c 1\n")
		if _, err := pushAs(s, "summed", one, noon, sum); !rejectedFor(err, metric.BadMerge) {
			t.Errorf("a sum to a replaced group: %v", err)
		}
		restart := sum
		restart.Reset = true
		mustPush(t, s, "summed", "# TYPE c counter\nc 5\n", restart)
		mustPush(t, s, "summed", one, restart)
		wantSamples(t, s, "summed", "c 6\n")

		mustPush(t, s, "emptied", one, store.PushOptions{Merge: other})
		mustPush(t, s, "emptied", "", store.PushOptions{Merge: metric.MergeGroup})
		mustPush(t, s, "emptied", one, sum)
		wantSamples(t, s, "emptied", "c 1\n")

		// A push without metrics makes no group summed, and none replaced.
		mustPush(t, s, "values", one, store.PushOptions{Merge: other})
		mustPush(t, s, "values", "", sum)
		if _, err := pushAs(s, "values", one, noon, sum); !rejectedFor(err, metric.BadMerge) {
			t.Errorf("a sum to a replaced group, after an empty one: %v", err)
		}
		mustPush(t, s, "nothing", "", sum)
		mustPush(t, s, "nothing", one, store.PushOptions{Merge: other})
		mustPush(t, s, "nothing", one, store.PushOptions{Merge: other})

		if err := s.Fail(jobKey("rejected"), noon); err != nil {
			t.Fatal(err)
		}
		mustPush(t, s, "rejected", one, sum)
		wantSamples(t, s, "rejected", "c 1\n")
	}
}

// TestSumRejections: what cannot be added leaves the sums as they are.
func TestSumRejections(t *testing.T) {
	s := store.InMemory()
	sum := store.PushOptions{Merge: metric.MergeSum}
	mustPush(t, s, "a", "# TYPE c counter\nc 1\n", sum)
	for text, reason := range map[string]metric.Reason{
		"c 1\n":                    metric.BadMerge,
		"# TYPE c counter\nc -1\n": metric.BadValue,
		"# TYPE c gauge\nc 1\n":    metric.TypeConflict,
	} {
		if _, err := pushAs(s, "a", text, noon, sum); !rejectedFor(err, reason) {
			t.Errorf("%q: %v, want %s", text, err, reason)
		}
	}
	wantSamples(t, s, "a", "c 1\n")
}

// process is what one process has counted: observations and a counter.
type process struct {
	count  int
	bounds []int
	seen   []int
}

func randomProcess(random *rand.Rand) process {
	p := process{count: random.IntN(10)}
	for bound := range 6 {
		if random.IntN(2) == 0 {
			p.bounds = append(p.bounds, bound)
		}
	}
	for range random.IntN(5) {
		p.seen = append(p.seen, random.IntN(8))
	}
	return p
}

func (p process) text() string {
	text := fmt.Sprintf("# TYPE c counter\nc %d\n# TYPE h histogram\n", p.count)
	sum := 0
	for _, v := range p.seen {
		sum += v
	}
	for _, bound := range p.bounds {
		below := 0
		for _, v := range p.seen {
			if v <= bound {
				below++
			}
		}
		text += fmt.Sprintf("h_bucket{le=\"%d\"} %d\n", bound, below)
	}
	return text + fmt.Sprintf("h_bucket{le=\"+Inf\"} %d\nh_sum %d\nh_count %d\n", len(p.seen), sum, len(p.seen))
}

// TestSumsInAnyOrder pushes what processes counted, in another order, and at the
// same time: the group comes to hold the same.
func TestSumsInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(31, 32))
	sum := store.PushOptions{Merge: metric.MergeSum}
	for range 50 {
		processes := make([]process, 2+random.IntN(12))
		total, seen := 0, 0
		for i := range processes {
			processes[i] = randomProcess(random)
			total += processes[i].count
			seen += len(processes[i].seen)
		}
		want := ""
		for range 3 {
			s := store.InMemory()
			var pushes sync.WaitGroup
			for _, i := range random.Perm(len(processes)) {
				pushes.Go(func() { mustPush(t, s, "a", processes[i].text(), sum) })
			}
			pushes.Wait()
			if want == "" {
				want = samples(s, "a")
			}
			wantSamples(t, s, "a", want)
		}
		if !strings.Contains(want, fmt.Sprintf("c %d\n", total)) || !strings.Contains(want, fmt.Sprintf("h_count %d\n", seen)) {
			t.Fatalf("counted %d and seen %d, but the sums are\n%s", total, seen, want)
		}
	}
}

func TestReplayedPush(t *testing.T) {
	s := store.InMemory()
	push := func(key string, at time.Time) bool {
		t.Helper()
		replayed, err := pushAs(s, "a", "# TYPE c counter\nc 1\n", at, store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: key})
		if err != nil {
			t.Fatal(err)
		}
		return replayed
	}
	for i, step := range []struct {
		key      string
		after    time.Duration
		replayed bool
		total    string
	}{
		{"x", 0, false, "1"},
		{"x", 0, true, "1"},
		{"y", time.Hour, false, "2"},
		{"x", store.ReplayWindow - time.Second, true, "2"},
		{"x", -time.Hour, true, "2"}, // the clock was set back
		{"x", store.ReplayWindow, false, "3"},
		{"y", store.ReplayWindow, true, "3"},
		{"", store.ReplayWindow, false, "4"},
		{"", store.ReplayWindow, false, "5"},
	} {
		if got := push(step.key, noon.Add(step.after)); got != step.replayed {
			t.Errorf("step %d: replayed is %v", i, got)
		}
		wantSamples(t, s, "a", "c "+step.total+"\n")
	}
	if _, err := s.Delete(jobKey("a")); err != nil {
		t.Fatal(err)
	}
	if push("x", noon.Add(store.ReplayWindow)) {
		t.Error("a deleted group remembers keys")
	}
}

// TestReplayOfAFailedPush: only what the journal has is replayed.
func TestReplayOfAFailedPush(t *testing.T) {
	j := &scripted{err: errFull}
	s := open(t, j)
	m := store.PushOptions{Merge: metric.MergeSum, IdempotencyKey: "x"}
	if _, err := pushAs(s, "a", "# TYPE c counter\nc 1\n", noon, m); err != errFull {
		t.Fatal(err)
	}
	j.err = nil
	mustPush(t, s, "a", "# TYPE c counter\nc 1\n", m)
	wantSamples(t, s, "a", "c 1\n")
}

// TestKeysArePersisted: the keys of a group are in its record, the last 1,000 of them.
func TestKeysArePersisted(t *testing.T) {
	s := store.InMemory()
	m := store.PushOptions{Merge: metric.MergeSum}
	const pushes = 1500
	for i := range pushes {
		m.IdempotencyKey = fmt.Sprint(i)
		mustPush(t, s, "a", "# TYPE c counter\nc 1\n", m)
	}
	loaded, err := store.DecodeRecord(store.AppendRecord(nil, s.Snapshot().Group(jobKey("a"))))
	if err != nil {
		t.Fatal(err)
	}
	s = store.InMemory(loaded)
	for i := pushes - 1; i >= 0; i-- {
		m.IdempotencyKey = fmt.Sprint(i)
		replayed, err := pushAs(s, "a", "", noon, m)
		if err != nil {
			t.Fatal(err)
		}
		if !replayed {
			if i != pushes-1001 {
				t.Errorf("key %d is forgotten", i)
			}
			break
		}
	}
}

// TestOptionsOfThePush: timestamps are dropped where that is asked for, and counted.
func TestOptionsOfThePush(t *testing.T) {
	parser := wire.TextParser{Names: metric.LegacyValidation}
	for _, drop := range []bool{false, true} {
		families, err := parser.Parse("m{x=\"1\"} 1 1234\nm{x=\"2\"} 2\nn 3 1\n")
		if err != nil {
			t.Fatal(err)
		}
		p, err := new(store.Encoder).Push(jobKey("a"), families, noon, store.PushOptions{DropTimestamps: drop})
		if !drop {
			if !rejectedFor(err, metric.BadTimestamp) {
				t.Errorf("with timestamps: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := p.DroppedTimestamps(); n != 2 {
			t.Errorf("%d timestamps dropped, not 2", n)
		}
		s := store.InMemory()
		if _, err := s.Apply(p); err != nil {
			t.Fatal(err)
		}
		wantSamples(t, s, "a", "m{x=\"1\"} 1\nm{x=\"2\"} 2\nn 3\n")
	}
}

// TestEmptyLabelsMerge: a label that is empty is none, to Prometheus as to sums.
func TestEmptyLabelsMerge(t *testing.T) {
	for merge, want := range map[metric.Merge]string{metric.MergeSum: "c 7\n", metric.MergeSeries: "c 4\n"} {
		s := store.InMemory()
		m := store.PushOptions{Merge: merge}
		mustPush(t, s, "a", "# TYPE c counter\nc{x=\"\",instance=\"\"} 1\n", m)
		mustPush(t, s, "a", "# TYPE c counter\nc 2\n", m)
		mustPush(t, s, "a", "# TYPE c counter\nc{x=\"\"} 4\n", m)
		wantSamples(t, s, "a", want)
		if _, err := pushAs(s, "a", "# TYPE c counter\nc 1\nc{x=\"\"} 1\n", noon, m); !rejectedFor(err, metric.DuplicateSeries) {
			t.Errorf("merge=%s: twice in a push: %v", merge, err)
		}
	}
}
