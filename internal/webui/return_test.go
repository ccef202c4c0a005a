package webui_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// The pages behind the list know how to return to it.
func TestReturningToTheList(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "a"))
	put(t, s, key("job", "b"))
	p, source := newPages(t, ""), sourceOf(s)
	const list = "search=b&sort=-pushed&state=ok"
	page := groups(t, p, "?"+list, s)
	row := rowOf(t, page, "job/b")
	from := url.Values{"from": {list}}.Encode()
	wantText(t, row, `href="groups/job/b?`+from+`"`, `href="delete?`+strings.ReplaceAll(from+"&group=job%2Fb", "&", "&amp;")+`"`)

	group := group(t, p, "?search=m&"+from, source, key("job", "b"))
	back := strings.ReplaceAll(list, "&", "&amp;")
	wantText(t, group, `<p class="crumbs"><a href="../../?`+back+`">Groups</a></p>`,
		`name="from" value="`+back+`"`, `href="../../delete?`+strings.ReplaceAll(from+"&group=job%2Fb", "&", "&amp;")+`"`)

	for _, c := range []struct {
		what   string
		fields url.Values
		list   string
	}{
		{"a group of a list", url.Values{"group": {"job/b"}, "from": {list}}, "?" + list},
		{"a group by itself", url.Values{"group": {"job/b"}}, ""},
		{"the groups of a search", url.Values{"search": {"b"}, "state": {"ok"}}, "?search=b&state=ok"},
		{"from elsewhere", url.Values{"group": {"job/b"}, "from": {"//evil.example/?x=y"}}, ""},
		{"from a long search", url.Values{"group": {"job/b"}, "from": {"search=" + strings.Repeat("x", 500)}}, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := webui.Deletion{Fields: c.fields, Groups: []*store.Group{s.Snapshot().Group(key("job", "b"))}}
			w := httptest.NewRecorder()
			if err := p.Confirm(w, httptest.NewRequest("GET", "/delete", nil), d, webui.Visitor{}); err != nil {
				t.Fatal(err)
			}
			checkPage(t, w)
			wantText(t, w.Body.String(), `href="./`+strings.ReplaceAll(c.list, "&", "&amp;")+`">Cancel`)
			w = httptest.NewRecorder()
			p.Deleted(w, d, 1)
			to, err := url.Parse(w.Header().Get("Location"))
			if err != nil || to.Host != "" || to.Query().Get("deleted") != "1" {
				t.Fatalf("%v, %v", to, err)
			}
			query := to.Query()
			query.Del("deleted")
			if got := query.Encode(); got != strings.TrimPrefix(c.list, "?") {
				t.Errorf("to %s", to)
			}
		})
	}
}

// A group is old on its page if it is old in the list.
func TestOldAfterOfTheList(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "a"))
	source := sourceOf(s)
	source.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	p := newPages(t, "")
	wantText(t, group(t, p, "", source, key("job", "a")), "state ok")
	wantText(t, group(t, p, "?from=age%3D1h", source, key("job", "a")), "state old")
}

// Series count label sets; a scrape has more samples.
func TestSamples(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "scalars"))
	push(t, s, key("job", "composite"),
		metric.Family{Name: "h", Type: metric.Histogram, Metrics: []metric.Metric{
			{Histogram: &metric.HistogramValue{Count: 2, Buckets: []metric.Bucket{{UpperBound: 1}, {UpperBound: 2}}}},
		}},
		metric.Family{Name: "s", Type: metric.Summary, Metrics: []metric.Metric{
			{Summary: &metric.SummaryValue{Quantiles: []metric.Quantile{{Quantile: 0.5}}}},
		}})
	source := sourceOf(s)
	wantText(t, group(t, newPages(t, ""), "", source, key("job", "scalars")), "<dt>Series</dt><dd>3</dd>")
	wantText(t, group(t, newPages(t, ""), "", source, key("job", "composite")),
		`<dt>Series</dt><dd>4 <span class="quiet">(10 samples)</span></dd>`)
}
