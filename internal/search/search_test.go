package search_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

var noon = time.Unix(1_700_000_000, 0)

var key = metrictest.Key

func put(t testing.TB, s *store.Store, key metric.GroupingKey, at time.Time, names ...string) {
	t.Helper()
	var families []metric.Family
	for _, name := range names {
		families = append(families, metric.Family{Name: name, Type: metric.Gauge, Metrics: []metric.Metric{{HasValue: true}}})
	}
	p, err := new(store.Encoder).Push(key, families, at, store.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

func fail(t testing.TB, s *store.Store, key metric.GroupingKey, at time.Time) {
	t.Helper()
	if err := s.Fail(key, at); err != nil {
		t.Fatal(err)
	}
}

// examples returns a store with a group of each kind, named by its job.
func examples(t testing.TB) *store.Store {
	s := store.InMemory()
	put(t, s, key("job", "backup-db", "instance", "db1", "env", "Prod"), noon.Add(-time.Minute), "backup_bytes", "backup_seconds")
	put(t, s, key("job", "backup-files", "instance", "nas"), noon.Add(-30*time.Hour), "backup_bytes", "a", "b")
	put(t, s, key("job", "cleaner", "path", "/var/tmp"), noon.Add(-2*time.Hour), "Removed_Total")
	put(t, s, key("job", "import äÖ"), noon.Add(-3*time.Hour), "rows")
	fail(t, s, key("job", "import äÖ"), noon.Add(-time.Hour))
	fail(t, s, key("job", "never"), noon)
	return s
}

func find(t testing.TB, s *store.Store, p search.Params) (jobs string, counts map[search.State]int) {
	t.Helper()
	q, err := search.NewQuery(p)
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	found := new(search.Index).List(s.Snapshot(), nil).Find(q, noon, func(g *store.Group) time.Time {
		if job, _ := g.Key.Value("job"); job == "cleaner" || job == "backup-files" {
			return g.Pushed.Add(48 * time.Hour)
		}
		return time.Time{}
	})
	var names []string
	for _, row := range found.Rows {
		job, _ := row.Group.Key.Value("job")
		names = append(names, job)
	}
	return strings.Join(names, " "), found.Counts
}

func TestSearch(t *testing.T) {
	s := examples(t)
	const all = "backup-db backup-files cleaner import äÖ never"
	for _, c := range []struct{ search, want string }{
		{"", all},
		{"   ", all},
		{"backup", "backup-db backup-files"},
		{"BACKUP db", "backup-db"},
		{"db1", "backup-db"},
		{"prod", "backup-db"},
		{"instance", "backup-db backup-files"},
		{"instance=nas", "backup-files"},
		{`instance="n`, "backup-files"},
		{`instance="nas"`, "backup-files"},
		{`instance="na"`, ""},
		{"job=import", ""},
		{"job=import*", "import äÖ"},
		{`job="import ä`, "import äÖ"},
		{`job="import ä"`, ""},
		{`job="IMPORT äÖ"`, "import äÖ"},
		{`"job=import äÖ"`, ""},
		{"instance=na", ""},
		{"instance=na*", "backup-files"},
		{"stance=nas", ""},
		{`instance="" job=never`, "never"},
		{"instance=*", "backup-db backup-files"},
		{"ÄÖ", "import äÖ"},
		{`"import ä"`, "import äÖ"},
		{`"import ä`, "import äÖ"},
		{`"port b"`, ""},
		{"/var", "cleaner"},
		{"backup_bytes", "backup-db backup-files"},
		{"removed_total", "cleaner"},
		{"removed path=", "cleaner"},
		{"push_time_seconds", ""},
		{"nothing", ""},
		{`{job="cleaner"}`, "cleaner"},
		{`{job=~"backup.*"}`, "backup-db backup-files"},
		{`{job=~"backup.*",instance!="db1"}`, "backup-files"},
		{`{job=~"backup"}`, ""},
		{`{instance=""}`, "cleaner import äÖ never"},
		{`{env!=""}`, "backup-db"},
		{`backup_bytes{}`, "backup-db backup-files"},
		{`backup_bytes{instance="nas"}`, "backup-files"},
		{`{__name__=~"rows|a"}`, "backup-files import äÖ"},
		{`{__name__=~"backup.*",__name__!="backup_bytes"}`, "backup-db"},
		{`{}`, all},
	} {
		if got, _ := find(t, s, search.Params{Search: c.search}); got != c.want {
			t.Errorf("%q finds %q, want %q", c.search, got, c.want)
		}
	}
}

func TestMatch(t *testing.T) {
	s := examples(t)
	for _, c := range []struct {
		params search.Params
		want   string
	}{
		{search.Params{Match: []string{`{job="cleaner"}`, `rows`}}, "cleaner import äÖ"},
		{search.Params{Match: []string{`{job=~".*b.*"}`}, Search: "nas"}, "backup-files"},
		{search.Params{Match: []string{`{job=~".*b.*"}`}, Search: "cleaner"}, ""},
	} {
		if got, _ := find(t, s, c.params); got != c.want {
			t.Errorf("%+v finds %q, want %q", c.params, got, c.want)
		}
	}
}

func TestStates(t *testing.T) {
	s := examples(t)
	for _, c := range []struct{ state, age, want string }{
		{"ok", "", "backup-db cleaner"},
		{"failed", "", "import äÖ never"},
		{"old", "", "backup-files"},
		{"old", "90m", "backup-files cleaner"},
		{"ok", "2d", "backup-db backup-files cleaner"},
	} {
		got, _ := find(t, s, search.Params{State: c.state, Age: c.age})
		if got != c.want {
			t.Errorf("%s by %q: %q, want %q", c.state, c.age, got, c.want)
		}
	}
	_, counts := find(t, s, search.Params{State: "old"})
	if counts[search.OK] != 2 || counts[search.Failed] != 2 || counts[search.Old] != 1 {
		t.Errorf("counts %v do not depend on the state asked for", counts)
	}
}

// A body that could not be read leaves no trace in the store.
func TestRejectedBesideTheStore(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "a"), noon, "m")
	put(t, s, key("job", "b"), noon, "m")
	put(t, s, key("job", "c"), noon, "m")
	log := history.New(func(keys []metric.GroupingKey) []bool { return make([]bool, len(keys)) })
	reject(log, key("job", "b"), noon.Add(time.Second))
	reject(log, key("job", "c"), noon.Add(-time.Second))
	q, _ := search.NewQuery(search.Params{State: "failed", Sort: "failed"})
	listing := new(search.Index).List(s.Snapshot(), log.Rejected())
	found := listing.Find(q, noon, nil)
	if len(found.Rows) != 1 || found.Rows[0].Group.Key.ID() != "b" {
		t.Errorf("failed: %v", found.Rows)
	}
	q, _ = search.NewQuery(search.Params{Sort: "-failed"})
	found = listing.Find(q, noon, nil)
	if found.Rows[0].Group.Key.ID() != "b" || found.Rows[1].Group.Key.ID() != "c" {
		t.Errorf("sorted: %v", found.Rows)
	}
}

// A group that is known from rejected pushes alone is found like any other.
func TestOnlyRejected(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "b"), noon.Add(-time.Minute), "m")
	log := history.New(func(keys []metric.GroupingKey) []bool { return make([]bool, len(keys)) })
	for _, job := range []string{"a", "b", "c"} {
		reject(log, key("job", job, "x", job), noon)
	}
	var x search.Index
	listing := x.List(s.Snapshot(), log.Rejected())
	find := func(p search.Params) (jobs string, counts map[search.State]int) {
		q, err := search.NewQuery(p)
		if err != nil {
			t.Fatal(err)
		}
		found := listing.Find(q, noon, nil)
		for _, row := range found.Rows {
			jobs += row.Group.Key.ID() + ";"
			if row.Stored != (row.Group.Key.ID() == "b") {
				t.Errorf("%s is stored: %t", row.Group.Key, row.Stored)
			}
		}
		return jobs, found.Counts
	}
	all, counts := find(search.Params{})
	if ids := strings.Count(all, ";"); ids != 4 || counts[search.Failed] != 3 || counts[search.OK] != 1 {
		t.Errorf("found %q, %v", all, counts)
	}
	if got, _ := find(search.Params{Search: `{x="c"}`}); strings.Count(got, ";") != 1 {
		t.Errorf("found %q", got)
	}
	if got, _ := find(search.Params{Search: "m{}"}); got != "b;" {
		t.Errorf("found %q", got)
	}
	if row := listing.Row(key("job", "a", "x", "a")); row == nil || row.Stored || !row.Failed.Equal(noon) {
		t.Errorf("row %+v", row)
	}
	if row := listing.Row(key("job", "x")); row != nil {
		t.Errorf("row %+v", row)
	}
	if jobs := listing.Jobs(); len(jobs) != 1 || jobs[0].Name != "b" {
		t.Errorf("jobs %v", jobs)
	}
	if again := x.List(s.Snapshot(), log.Rejected()); again != listing {
		t.Error("two listings of the same groups")
	}
	log.Forget(key("job", "a", "x", "a"))
	if listing = x.List(s.Snapshot(), log.Rejected()); len(listing.Rows) != 3 {
		t.Errorf("rows %v", listing.Rows)
	}
	put(t, s, key("job", "c", "x", "c"), noon, "m")
	if listing = x.List(s.Snapshot(), log.Rejected()); len(listing.Rows) != 3 || !listing.Row(key("job", "c", "x", "c")).Stored {
		t.Errorf("rows %v", listing.Rows)
	}
}

// reject records a rejected push.
func reject(log *history.Log, key metric.GroupingKey, at time.Time) {
	log.Record(history.Event{At: at, Key: key, Method: "PUT", Reason: metric.Malformed, Message: "rejected"})
}

// A long key has a short name in links, which leads back to it.
func TestRefs(t *testing.T) {
	s := store.InMemory()
	short, long := key("job", "a", "path", "/x"), key("job", "a", "path", strings.Repeat("/é", 2000))
	put(t, s, short, noon, "m")
	put(t, s, long, noon, "n")
	l := new(search.Index).List(s.Snapshot(), nil)
	if ref := search.Ref(short); ref != "job/a/path@base64/L3g" {
		t.Errorf("ref %q", ref)
	}
	ref := search.Ref(long)
	if key, isHash := l.ByHash(ref); !isHash || key.ID() != long.ID() || len(ref) > 50 {
		t.Errorf("%q leads to %v, %v", ref, key, isHash)
	}
	if _, isHash := l.ByHash("job/a"); isHash {
		t.Error("a path is taken for a hash")
	}
	if key, isHash := l.ByHash("~/00"); !isHash || key.ID() != "" {
		t.Errorf("a hash of no group leads to %v", key)
	}
}

func TestSort(t *testing.T) {
	s := examples(t)
	for _, c := range []struct{ sort, want string }{
		{"labels", "backup-db backup-files cleaner import äÖ never"},
		{"-labels", "never import äÖ cleaner backup-files backup-db"},
		{"pushed", "never backup-files import äÖ cleaner backup-db"},
		{"-pushed", "backup-db cleaner import äÖ backup-files never"},
		{"-failed", "never import äÖ backup-db backup-files cleaner"},
		{"series", "never cleaner import äÖ backup-db backup-files"},
		{"-series", "backup-files backup-db cleaner import äÖ never"},
		{"state", "backup-db cleaner import äÖ never backup-files"},
		{"expires", "backup-files cleaner backup-db import äÖ never"},
		{"-expires", "backup-db import äÖ never cleaner backup-files"},
	} {
		if got, _ := find(t, s, search.Params{Sort: c.sort}); got != c.want {
			t.Errorf("by %s: %q, want %q", c.sort, got, c.want)
		}
	}
	biggest, _ := find(t, s, search.Params{Sort: "-bytes"})
	smallest, _ := find(t, s, search.Params{Sort: "bytes"})
	if !strings.HasPrefix(biggest, "backup-") || !strings.HasPrefix(smallest, "never") {
		t.Errorf("by bytes: %q and %q", biggest, smallest)
	}
}

func TestWrongParams(t *testing.T) {
	for _, c := range []struct {
		params search.Params
		param  string
		want   string
	}{
		{search.Params{Search: "{"}, "search", "not a PromQL selector"},
		{search.Params{Search: `{job=~"("}`}, "search", "missing closing )"},
		{search.Params{Search: `rate({job="x"}[5m])`}, "search", "not a PromQL selector"},
		{search.Params{Match: []string{`{job="x"}`, ""}}, "match[]", ""},
		{search.Params{State: "bad"}, "state", "ok, failed or old"},
		{search.Params{Age: "1 day"}, "age", "duration"},
		{search.Params{Age: "0s"}, "age", "longer"},
		{search.Params{Sort: "name"}, "sort", "series"},
		{search.Params{Sort: "--series"}, "sort", "series"},
	} {
		_, err := search.NewQuery(c.params)
		var param *search.ParamError
		if !errors.As(err, &param) || param.Param != c.param || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.params, err)
		}
	}
}

func TestAll(t *testing.T) {
	for params, want := range map[*search.Params]bool{
		{}: true, {Sort: "-bytes", Age: "5m"}: true, {Search: " "}: true, {Search: "x"}: false, {State: "old"}: false,
		{Search: `{job=~".+"}`}: false, {Match: []string{"x"}}: false,
	} {
		if q, err := search.NewQuery(*params); err != nil || q.All() != want {
			t.Errorf("%+v: %v, %v, want %v", params, q.All(), err, want)
		}
	}
}

// Rows reused from the last listing equal those of a new index.
func TestListingsFollowTheStore(t *testing.T) {
	s := store.InMemory()
	var kept search.Index
	version := uint64(0)
	step := func(what string, change func()) {
		t.Helper()
		change()
		v := s.Snapshot()
		got, want := kept.List(v, nil), new(search.Index).List(v, nil)
		if got != kept.List(v, nil) {
			t.Errorf("%s: two listings of one snapshot", what)
		}
		if got.Version <= version {
			t.Errorf("%s: version %d after %d", what, got.Version, version)
		}
		version = got.Version
		same := slices.EqualFunc(got.Rows, want.Rows, func(a, b search.Row) bool {
			return a.Group == b.Group && a.Series == b.Series && a.Bytes == b.Bytes
		})
		if !same || len(got.Rows) != v.Totals.Groups {
			t.Errorf("%s: rows %v, want %v", what, got.Rows, want.Rows)
		}
		for _, name := range []string{"m", "n", "o"} {
			q, _ := search.NewQuery(search.Params{Search: name + "{}"})
			if a, b := got.Find(q, noon, nil), want.Find(q, noon, nil); len(a.Rows) != len(b.Rows) {
				t.Errorf("%s: %d groups have %s, want %d", what, len(a.Rows), name, len(b.Rows))
			}
		}
	}
	step("empty", func() {})
	step("first", func() { put(t, s, key("job", "d"), noon, "m") })
	step("before", func() { put(t, s, key("job", "a"), noon, "n") })
	step("between and after", func() { put(t, s, key("job", "b"), noon, "m", "n"); put(t, s, key("job", "z"), noon) })
	step("other names", func() { put(t, s, key("job", "b"), noon, "o", "m") })
	step("first deleted", func() { _, _ = s.Delete(key("job", "a")) })
	step("last deleted", func() { _, _ = s.Delete(key("job", "z")) })
	step("failed", func() { fail(t, s, key("job", "d"), noon) })
	step("wiped", func() { _, _ = s.Wipe() })
	step("again", func() { put(t, s, key("job", "q"), noon, "o") })
}

// Sets of metric names that no group has any more are dropped.
func TestManyNames(t *testing.T) {
	s := store.InMemory()
	var x search.Index
	for i := range 5000 {
		put(t, s, key("job", "a"), noon, fmt.Sprint("name_", i))
		if i%7 == 0 {
			x.List(s.Snapshot(), nil)
		}
	}
	q, _ := search.NewQuery(search.Params{Search: "name_4999"})
	if found := x.List(s.Snapshot(), nil).Find(q, noon, nil); len(found.Rows) != 1 {
		t.Errorf("found %v", found.Rows)
	}
	q, _ = search.NewQuery(search.Params{Search: "name_4998"})
	if found := x.List(s.Snapshot(), nil).Find(q, noon, nil); len(found.Rows) != 0 {
		t.Errorf("found %v", found.Rows)
	}
}

func TestJobs(t *testing.T) {
	s := store.InMemory()
	// The order of IDs puts "a b" between the groups of "a".
	put(t, s, key("job", "a"), noon, "m")
	put(t, s, key("job", "a", "instance", "x"), noon, "m")
	put(t, s, key("job", "a b"), noon, "m")
	jobs := new(search.Index).List(s.Snapshot(), nil).Jobs()
	if len(jobs) != 2 {
		t.Fatalf("jobs %+v", jobs)
	}
	if a := jobs[0]; a.Name != "a" || a.Groups != 2 || a.Series != 6 || jobs[1].Groups != 1 || a.Bytes <= jobs[1].Bytes {
		t.Errorf("jobs %+v", jobs)
	}
}

func BenchmarkFind(b *testing.B) {
	s := store.InMemory()
	for i := range 100_000 {
		group := key("job", fmt.Sprintf("job-%03d", i%500), "instance", fmt.Sprintf("host-%05d.example.org:9100", i))
		put(b, s, group, noon, "last_success", "duration", "rows")
	}
	var x search.Index
	for _, p := range []search.Params{
		{}, {Search: "host-0123"}, {Search: "Duration rows"}, {Search: `{job=~"job-1.*"}`}, {Sort: "-pushed"},
		{Search: "example", Sort: "-bytes", State: "old"},
	} {
		b.Run(fmt.Sprintf("%q,sort=%s", p.Search, p.Sort), func(b *testing.B) {
			q, err := search.NewQuery(p)
			if err != nil {
				b.Fatal(err)
			}
			l := x.List(s.Snapshot(), nil)
			for b.Loop() {
				l.Find(q, noon, nil)
			}
		})
	}
	b.Run("next snapshot", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			put(b, s, key("job", "new"), noon)
			x.List(s.Snapshot(), nil)
		}
	})
	b.Run("first snapshot", func(b *testing.B) {
		for b.Loop() {
			new(search.Index).List(s.Snapshot(), nil)
		}
	})
}
