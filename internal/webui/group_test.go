package webui_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.InMemory()
		a := key("job", "a", "instance", "i")
		push(t, s, a, metric.Family{Name: "started_timestamp_seconds", Help: "When <it> started.", Type: metric.Gauge, Metrics: []metric.Metric{
			{HasValue: true, Value: float64(time.Now().Unix()), Labels: []metric.Label{{Name: "x", Value: "1"}}}}})
		source := sourceOf(s)
		page := group(t, newPages(t, ""), "", source, a)
		wantText(t, page, "started_timestamp_seconds", "When &lt;it&gt; started.", ">gauge<", `title="9.466848e&#43;08">946,684,800<`,
			"2000-01-01 00:00:00 UTC, just now",
			"http://gateway:9091/metrics/job/a/instance/i</code>", "curl -X DELETE http://gateway:9091/metrics/job/a/instance/i</code>",
			"curl --data-binary @- http://gateway:9091/metrics/job/a/instance/i</code>", `{instance=&#34;i&#34;,job=&#34;a&#34;}</code>`,
			"None since the gateway started", `href="../../../../static/page.css"`, `href="../../../../delete?group=job%2Fa%2Finstance%2Fi"`)

		source.History.Record(history.Event{At: time.Now(), Key: a, Method: "PUT", Size: 2000, Source: "10.0.0.1:5", Client: "curl/8"})
		time.Sleep(5 * time.Second)
		source.History.Record(history.Event{
			At: time.Now(), Key: a, Method: "POST", Size: -1, Source: "10.0.0.2:5", Client: "py<thon>", Reason: metric.TypeConflict,
			Message: "m is held by another (to delete it: curl -X DELETE 'http://gateway:9091/metrics/job/b')",
		})
		page = group(t, newPages(t, ""), "", source, a)
		wantText(t, page, "The last push was rejected", "last push failed", "10.0.0.2:5", "py&lt;thon&gt;", "type_conflict",
			"curl -X DELETE &#39;http://gateway:9091/metrics/job/b&#39;", "2.0 KiB", "unknown", "accepted", ">rejected<", "5 s ago")
		list := httptest.NewRecorder()
		if err := newPages(t, "").Groups(list, httptest.NewRequest("GET", "/?state=failed", nil), source.View(), durable,
			webui.Visitor{}); err != nil {
			t.Fatal(err)
		}
		wantText(t, list.Body.String(), "last push failed", "m is held by another")
	})
}

func TestSummedGroups(t *testing.T) {
	s := store.InMemory()
	a, b := key("job", "a"), key("job", "b c")
	pushWith(t, s, a, store.PushOptions{})
	pushWith(t, s, b, store.PushOptions{Merge: metric.MergeSum})
	page := groups(t, newPages(t, ""), "", s)
	wantText(t, rowOf(t, page, "job/b%20c"), ">summed<")
	if row := rowOf(t, page, "job/a"); strings.Contains(row, "summed") {
		t.Errorf("a group that is replaced: %s", row)
	}
	wantText(t, group(t, newPages(t, ""), "", sourceOf(s), b), ">summed<",
		`printf &#39;# TYPE my_total counter\nmy_total 1\n&#39; | curl --data-binary @- `+
			`&#39;http://gateway:9091/metrics/job/b%20c?merge=sum&#39;</code>`,
		`curl -X DELETE http://gateway:9091/metrics/job/b%20c</code>`)
	if page := group(t, newPages(t, ""), "", sourceOf(s), a); strings.Contains(page, "sum") {
		t.Errorf("a group that is replaced: %s", page)
	}
}

// The last rejection may be known to the store alone, as after a restart.
func TestForgottenRejection(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "a"))
	if err := s.Fail(key("job", "a"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	wantText(t, group(t, newPages(t, ""), "", sourceOf(s), key("job", "a")), "The last push was rejected", "in the gateway's log")
}
