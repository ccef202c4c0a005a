package store

import (
	"testing"
	"time"

	"pushgateway/internal/metric"
)

// TestPushTimesShareMemory: the push times of a group share their memory with what was pushed
// only as long as the group has all of that. Otherwise they would keep it.
func TestPushTimesShareMemory(t *testing.T) {
	s := InMemory()
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "a"}})
	at := time.Unix(1_700_000_000, 0)
	push := func(m metric.Merge) *Push {
		t.Helper()
		families := []metric.Family{{Name: "c_total", Type: metric.Counter, Metrics: []metric.Metric{{HasValue: true, Value: 1}}}}
		p, err := new(Encoder).Push(key, families, at, PushOptions{Merge: m, Expiry: metric.Expiry{Set: true, TTL: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(p); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second)
		return p
	}
	shared := func(g *Group, p *Push) [2]bool {
		return [2]bool{g.Family(FailureTime) == &p.times[0], g.Family(PushTime) == &p.times[1]}
	}
	group := func() *Group { return s.groups[key.ID()] }

	first := push(metric.MergeSum)
	if got := shared(group(), first); got != [2]bool{true, true} {
		t.Errorf("after the first push, the times share its memory: %v", got)
	}
	summed := push(metric.MergeSum)
	if got := shared(group(), summed); got != [2]bool{} {
		t.Errorf("the times keep the memory of a push that was added up: %v", got)
	}
	replacing := push(metric.MergeGroup)
	if got := shared(group(), replacing); got != [2]bool{true, true} {
		t.Errorf("after a push that replaces the group, the times share its memory: %v", got)
	}
	if got, want := group().Family(FailureTime).Time(), first.at; !got.Equal(want) {
		t.Errorf("the failure time is of %v, want that of the first push: %v", got, want)
	}
	if got := shared(group().onlyPushTimes(), replacing); got != [2]bool{} {
		t.Errorf("the times keep the memory of what has expired: %v", got)
	}
	if err := s.Fail(key, at); err != nil {
		t.Fatal(err)
	}
	failed := group().Family(FailureTime)
	push(metric.MergeGroup)
	if got := group().Family(FailureTime); got != failed {
		t.Error("a push has changed the time of a rejected one")
	}
}
