package history_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
)

func key(job string) metric.GroupingKey {
	return metric.NewGroupingKey([]metric.Label{{Name: "job", Value: job}})
}

func accepted(job string, at int64) history.Event {
	return history.Event{At: time.Unix(at, 0), Method: "PUT", Size: at, Source: "10.0.0.1:1", Client: "curl/8", Key: key(job)}
}

func rejected(job string, at int64, message string) history.Event {
	e := accepted(job, at)
	e.Reason, e.Message = metric.Malformed, message
	return e
}

// stored reports that all groups exist.
func stored(keys []metric.GroupingKey) []bool {
	all := make([]bool, len(keys))
	for i := range all {
		all[i] = true
	}
	return all
}

func TestTimelineIsLatestFirstAndBounded(t *testing.T) {
	l := history.New(stored)
	for i := range int64(100) {
		l.Record(accepted("a", i))
		l.Record(accepted("b", 1000+i))
	}
	pushes, last := l.Group(key("a"))
	if len(pushes) != 20 || last != nil {
		t.Fatalf("%d pushes, last rejection %v", len(pushes), last)
	}
	for i, e := range pushes {
		at := int64(99 - i)
		if e.At.Unix() != at || e.Size != at || e.Method != "PUT" || e.Client != "curl/8" || e.Key.ID() != "a" || !e.Accepted() {
			t.Errorf("push %d is %+v", i, e)
		}
	}
	if pushes, _ := l.Group(key("nobody")); pushes != nil {
		t.Errorf("pushes of a group that had none: %v", pushes)
	}
}

func TestLastRejectionStaysWhenPushesFollow(t *testing.T) {
	l := history.New(stored)
	l.Record(rejected("a", 1, "first"))
	l.Record(rejected("a", 2, "second"))
	for i := range int64(50) {
		l.Record(accepted("a", 3+i))
	}
	pushes, last := l.Group(key("a"))
	if last == nil || last.Message != "second" || last.Source != "10.0.0.1:1" || last.Reason != metric.Malformed {
		t.Errorf("the last rejection is %+v", last)
	}
	for _, e := range pushes {
		if !e.Accepted() {
			t.Errorf("%+v is still in the timeline", e)
		}
	}
	if last := l.LastRejected(key("a")); last == nil || last.Message != "second" {
		t.Errorf("LastRejected: %v", last)
	}
	if last := l.LastRejected(key("b")); last != nil {
		t.Errorf("LastRejected of another group: %v", last)
	}
}

func TestRejected(t *testing.T) {
	l := history.New(stored)
	l.Record(accepted("a", 1))
	l.Record(rejected("b", 2, "x"))
	first := l.Rejected()
	l.Record(accepted("a", 2))
	if l.Rejected() != first {
		t.Error("an accepted push made another snapshot")
	}
	l.Record(rejected("b", 3, "x"))
	l.Record(rejected("c", 4, "x"))
	l.Forget(key("c"))
	all := slices.Collect(l.Rejected().All())
	if len(all) != 1 || all[0].Key.ID() != "b" || l.Rejected().At("b").Unix() != 3 {
		t.Errorf("rejected: %v", all)
	}
	if first.At("b").Unix() != 2 {
		t.Errorf("the first snapshot has changed: %v", first)
	}
	l.ForgetAll()
	if all := slices.Collect(l.Rejected().All()); len(all) != 0 {
		t.Errorf("rejected: %v", all)
	}
}

func TestRejectionsOfAll(t *testing.T) {
	l := history.New(stored)
	noGroup := history.Event{At: time.Unix(1, 0), Path: "/metrics/job/", Reason: metric.BadPath, Message: "the job name is missing"}
	l.Record(noGroup)
	if r := l.Rejections(); len(r) != 1 || r[0].Path != "/metrics/job/" {
		t.Errorf("rejections %v", r)
	}
	for i := range int64(300) {
		l.Record(rejected(fmt.Sprint("job", i), i, fmt.Sprint("message ", i)))
	}
	r := l.Rejections()
	if len(r) != 100 || r[0].Message != "message 299" || r[99].Message != "message 200" {
		t.Errorf("%d rejections from %q", len(r), r[0].Message)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	l := history.New(stored)
	e := rejected("a", 1, strings.Repeat("é", 5000))
	e.Source, e.Client, e.Path = strings.Repeat("s", 5000), strings.Repeat("c", 5000), strings.Repeat("p", 5000)
	l.Record(e)
	pushes, last := l.Group(key("a"))
	for _, e := range append(pushes, *last, l.Rejections()[0]) {
		if len(e.Message) > 2010 || len(e.Source) > 210 || len(e.Client) > 210 || len(e.Path) > 210 || !utf8.ValidString(e.Message) {
			t.Errorf("%d, %d, %d and %d bytes", len(e.Message), len(e.Source), len(e.Client), len(e.Path))
		}
	}
}

func TestForget(t *testing.T) {
	l := history.New(stored)
	l.Record(rejected("a", 1, "x"))
	l.Record(accepted("b", 1))
	l.Forget(key("a"))
	l.Forget(key("nobody"))
	if pushes, last := l.Group(key("a")); pushes != nil || last != nil {
		t.Errorf("forgotten, but there: %v %v", pushes, last)
	}
	if pushes, _ := l.Group(key("b")); len(pushes) != 1 {
		t.Errorf("another group has %v", pushes)
	}
	if len(l.Rejections()) != 1 {
		t.Error("the rejections of all are gone, too")
	}
	l.ForgetAll()
	if pushes, _ := l.Group(key("b")); pushes != nil {
		t.Errorf("all forgotten, but there: %v", pushes)
	}
}

// Groups that go without a word, as by expiry, do not stay.
func TestGroupsThatAreGoneDoNotLeak(t *testing.T) {
	l := history.New(func(keys []metric.GroupingKey) []bool {
		there := make([]bool, len(keys))
		for i, key := range keys {
			there[i] = strings.HasPrefix(key.ID(), "stays")
		}
		return there
	})
	for i := range 100 {
		l.Record(accepted(fmt.Sprint("stays", i), 1))
	}
	for i := range 20_000 {
		l.Record(accepted(fmt.Sprint("goes", i), 1))
	}
	left := 0
	for i := range 20_000 {
		if pushes, _ := l.Group(key(fmt.Sprint("goes", i))); pushes != nil {
			left++
		}
	}
	if left > 1024 {
		t.Errorf("%d groups that are gone are remembered", left)
	}
	for i := range 100 {
		if pushes, _ := l.Group(key(fmt.Sprint("stays", i))); pushes == nil {
			t.Errorf("group %d is forgotten", i)
		}
	}
}

// Whatever is pushed, the memory stays bounded.
func TestMemoryIsBounded(t *testing.T) {
	l := history.New(stored)
	long := strings.Repeat("m", 3000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for round := range int64(3) {
		for i := range int64(50_000) {
			e := rejected(fmt.Sprint("job", i), round, fmt.Sprint(i, long))
			e.Client = fmt.Sprint(round, i, long)
			l.Record(e)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Errorf("the log takes %d MiB", grown>>20)
	}
	if pushes, _ := l.Group(key("job49999")); len(pushes) == 0 {
		t.Error("the latest group is forgotten")
	}
}

// Where not all fits, each group has less, rather than some nothing.
func TestManyGroupsShare(t *testing.T) {
	l := history.New(stored)
	const groups = 10_000
	for round := range int64(25) {
		for i := range groups {
			l.Record(accepted(fmt.Sprint("job", i), round))
		}
	}
	for i := range groups {
		pushes, _ := l.Group(key(fmt.Sprint("job", i)))
		if len(pushes) == 0 || len(pushes) > 19 || pushes[0].At.Unix() != 24 {
			t.Fatalf("group %d has %d pushes", i, len(pushes))
		}
	}
	l.ForgetAll()
	for i := range int64(30) {
		l.Record(accepted("a", i))
	}
	if pushes, _ := l.Group(key("a")); len(pushes) != 20 {
		t.Errorf("alone again, a group has %d pushes", len(pushes))
	}
}

func BenchmarkRecord(b *testing.B) {
	l := history.New(stored)
	events := make([]history.Event, 10_000)
	for i := range events {
		events[i] = accepted(fmt.Sprint("job", i), 1)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Record(events[i%len(events)])
	}
}
