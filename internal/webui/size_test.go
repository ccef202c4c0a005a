package webui_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// Whatever is pushed, no page grows beyond bounds.
func TestPagesStaySmall(t *testing.T) {
	s := store.InMemory()
	long := strings.Repeat("<\"&>", 2500) // 10 KB, five times that when escaped
	s.SetExpiry(after(time.Hour))
	source, visitor := sourceOf(s), webui.Visitor{DeleteMany: true, DeleteAll: true}
	var many []metric.Label
	for i := range 100 {
		many = append(many, metric.Label{Name: fmt.Sprintf("l%03d", i), Value: long})
	}
	one := func(i int) metric.GroupingKey {
		return metric.NewGroupingKey(append(slices.Clone(many[:i%10]), metric.Label{Name: "job", Value: fmt.Sprint(i) + long}))
	}
	for i := range 100 {
		put(t, s, one(i))
		source.History.Record(rejection(one(i), time.Now().Add(time.Second), long))
	}
	big := key("job", "big")
	var families []metric.Family
	for i := range 100 {
		var buckets []metric.Bucket
		for n := range 500 {
			buckets = append(buckets, metric.Bucket{UpperBound: float64(n), CumulativeCount: uint64(n)})
		}
		h := metric.Family{Name: fmt.Sprintf("h%02d", i), Help: long, Type: metric.Histogram}
		g := metric.Family{Name: fmt.Sprintf("g%02d", i), Help: long, Type: metric.Gauge}
		for n := range 20 {
			labels := append(slices.Clone(many[:5]), metric.Label{Name: "n", Value: fmt.Sprint(n)})
			h.Metrics = append(h.Metrics, metric.Metric{Labels: labels, Histogram: &metric.HistogramValue{Count: 500, Buckets: buckets}})
			g.Metrics = append(g.Metrics, metric.Metric{Labels: labels, HasValue: true})
		}
		families = append(families, h, g)
	}
	push(t, s, big, families...)
	for range 30 {
		source.History.Record(rejection(big, time.Now(), long))
	}
	p := newPages(t, "")
	sizes := map[string]int{}
	sizes["big"] = len(group(t, p, "", source, big))
	sizes["page of big"] = len(group(t, p, "?page=3&search=h", source, big))
	sizes["family of big"] = len(group(t, p, "?family=h00", source, big))
	sizes["gauges of big"] = len(group(t, p, "?family=g00", source, big))
	sizes["long labels"] = len(group(t, p, "", source, one(3)))
	sizes["long label"] = len(group(t, p, "", source, one(1)))
	for _, query := range []string{"", "?page=2", "?sort=-labels", "?search=l000", "?search=" + strings.Repeat("%22", 1300)} {
		w := httptest.NewRecorder()
		if err := p.Groups(w, httptest.NewRequest("GET", "/"+query, nil), source.View(), durable, visitor); err != nil {
			t.Fatal(err)
		}
		sizes["list"+query[:min(len(query), 20)]] = w.Body.Len()
	}
	rules := webui.Rules{Loaded: time.Now(), Failed: long}
	for i := range 10_000 {
		rules.All = append(rules.All, webui.Rule{
			Match:   fmt.Sprintf(`{job="%d"}%s`, i, long[:i%1000]),
			Options: []string{"ttl=1w", "ttl_keep=push_time", "merge=sum", "gauges=last", "timestamps=reject"},
		})
	}
	w := httptest.NewRecorder()
	if err := p.Status(w, httptest.NewRequest("GET", "/status", nil), webui.Status{Rules: rules}, source.View(), visitor); err != nil {
		t.Fatal(err)
	}
	sizes["status"] = w.Body.Len()
	for what, size := range sizes {
		if size > 200<<10 {
			t.Errorf("%s: %d KiB", what, size>>10)
		}
	}
}

// rejection returns a rejected push whose texts are all the same.
func rejection(key metric.GroupingKey, at time.Time, text string) history.Event {
	return history.Event{At: at, Key: key, Method: "PUT", Source: text, Client: text, Reason: metric.Malformed, Message: text}
}
