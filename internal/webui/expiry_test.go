package webui_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.InMemory()
		lasting := func(ttl time.Duration, keepTimes bool) store.PushOptions {
			return store.PushOptions{Expiry: metric.Expiry{Set: true, TTL: ttl, KeepPushTimes: keepTimes}}
		}
		pushWith(t, s, key("job", "ruled"), store.PushOptions{})
		pushWith(t, s, key("job", "flagged"), store.PushOptions{})
		pushWith(t, s, key("job", "own"), lasting(90*time.Minute, false))
		pushWith(t, s, key("job", "keeps"), lasting(72*time.Hour, true))
		pushWith(t, s, key("job", "stays"), lasting(0, false))
		p := newPages(t, "")
		list := func(job string) string { return rowOf(t, groups(t, p, "", s), "job/"+job) }
		one := func(job string) string {
			source := sourceOf(s)
			source.HasRule = func(key metric.GroupingKey) bool { return key.Path() == "/metrics/job/ruled" }
			page := group(t, p, "", source, key("job", job))
			_, facts, _ := strings.Cut(page, "<dt>Expires</dt>")
			facts, _, _ = strings.Cut(facts, "</div>")
			return facts
		}
		if row, page := list("ruled"), one("ruled"); !strings.Contains(row, ">never<") || page != `<dd><span class="quiet">never</span></dd>` {
			t.Errorf("a group that stays: %s, %s", row, page)
		}
		s.SetExpiry(after(5 * time.Minute))
		time.Sleep(20 * time.Second)
		const inMinutes = `<time data-ahead datetime="2000-01-01T00:05:00Z" title="2000-01-01 00:05:00 UTC">in 5 min</time>`
		wantText(t, list("ruled"), `data-name="Expires">`+inMinutes)
		wantText(t, one("ruled"), inMinutes, `set by a <a href="../../status#rules">rule</a>`)
		wantText(t, one("flagged"), inMinutes, `set by <a href="../../status#rules"><code>--push.ttl</code></a>`)
		if page := one("flagged"); strings.Contains(page, ">rule<") {
			t.Errorf("no rule says when it ends: %s", page)
		}
		wantText(t, list("own"), `data-name="Expires"><time`, ">in 90 min<")
		wantText(t, one("own"), ">in 90 min<", "set by the last push")
		wantText(t, list("keeps"), `data-name="Expires"><time`, ">in 3 days</time>")
		wantText(t, one("keeps"), ">in 3 days<", "set by the last push", "(push times kept)")
		wantText(t, one("stays"), ">never<", "set by the last push")
		if row := list("stays"); !strings.Contains(row, `data-name="Expires"><span class="quiet none"><span class="unseen">never<`) {
			t.Errorf("a group that stays: %s", row)
		}

		time.Sleep(4*time.Minute + 40*time.Second)
		wantText(t, list("ruled"), ">any moment<")
		wantText(t, one("ruled"), ">any moment<")

		time.Sleep(72 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		expired := 0
		s.RunExpiry(ctx, func(groups []store.ExpiredGroup) { expired += len(groups) })
		if expired != 4 {
			t.Fatalf("%d groups expired", expired)
		}
		const lastPush = `<time datetime="2000-01-01T00:00:00Z" title="2000-01-01 00:00:00 UTC">3 days ago</time>`
		if page := one("keeps"); page != `<dd>expired (push times kept) <span class="quiet">last accepted push `+lastPush+`</span></dd>` {
			t.Errorf("a group whose push times stayed: %s", page)
		}
		wantText(t, list("keeps"), "state old", ">expired<", lastPush,
			`data-name="Expires"><span class="quiet" title="Its push times are kept">times kept<`)
		if row := list("stays"); strings.Contains(row, "expired") {
			t.Errorf("a group that stays: %s", row)
		}
		// A rejected push does not bring it back, an accepted one does.
		if err := s.Fail(key("job", "keeps"), time.Now()); err != nil {
			t.Fatal(err)
		}
		wantText(t, list("keeps"), "state failed", ">times kept<")
		pushWith(t, s, key("job", "keeps"), lasting(72*time.Hour, true))
		wantText(t, list("keeps"), "state ok", `data-name="Expires"><time`)

		w := httptest.NewRecorder()
		ended := key("job", "ruled")
		r := httptest.NewRequest("GET", "/groups/job/ruled", nil)
		if err := p.Group(w, r, 2, sourceOf(s).View(), ended, webui.Visitor{}); err != nil || w.Code != http.StatusNotFound {
			t.Fatalf("a group that is gone: %d, %v", w.Code, err)
		}
		wantText(t, w.Body.String(), "have expired")
	})
}
