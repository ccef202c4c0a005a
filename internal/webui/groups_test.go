package webui_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/history"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

func TestGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock starts at midnight, 2000-01-01
		s := store.InMemory()
		put(t, s, key("job", "a", "instance", "i"))
		time.Sleep(90 * time.Second)
		if err := s.Fail(key("job", "b"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.Fail(key("job", "c"), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		put(t, s, key("job", "c"))
		page := groups(t, newPages(t, ""), "", s)
		rows := strings.Split(page, "<tr")[1:]
		rows = rows[len(rows)-3:]
		wantText(t, page, "3 groups", `OK <span>2</span>`, `Failed <span>1</span>`, `Old <span>0</span>`)
		wantText(t, rows[0],
			`<span class="chip job"><bdi>job</bdi>=<b><bdi>a</bdi></b></span> <span class="chip"><bdi>instance</bdi>=<b><bdi>i</bdi></b></span>`,
			`<time datetime="2000-01-01T00:00:00Z" title="2000-01-01 00:00:00 UTC">1 min ago</time>`,
			`>never<`, `class="number">3</td>`, ` B</td>`, `state ok`)
		wantText(t, rows[1], `state failed`, `never accepted`, `>never<`, `>3 s ago<`)
		wantText(t, rows[2], `state ok`, `>just now<`, `>3 s ago<`)
		time.Sleep(25 * time.Hour)
		page = groups(t, newPages(t, ""), "?state=old", s)
		wantText(t, page, "2 of 3 groups", `state old`, `Old <span>2</span>`)
	})
}

func TestEmpty(t *testing.T) {
	s := store.InMemory()
	wantText(t, groups(t, newPages(t, ""), "", s),
		"curl --data-binary @- http://gateway:9091/metrics/job/my_job", "honor_labels: true",
		"targets: ['gateway:9091']", "metrics_path: /metrics\n", "scheme: http\n")
	wantText(t, groups(t, newPages(t, "/a b/"), "", s),
		"http://gateway:9091/a%20b/metrics/job/my_job", "metrics_path: /a%20b/metrics\n")
	wantText(t, groups(t, newPages(t, "https://user@example.org/pg/?x#y"), "", s),
		" https://example.org/pg/metrics/job/my_job", "targets: ['example.org']",
		"metrics_path: /pg/metrics\n", "scheme: https\n")

	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.TLS = "[::1]:9091", &tls.ConnectionState{}
	w := httptest.NewRecorder()
	if err := newPages(t, "").Groups(w, r, sourceOf(s).View(), durable, webui.Visitor{}); err != nil {
		t.Fatal(err)
	}
	wantText(t, w.Body.String(), " https://[::1]:9091/metrics/job/my_job")
}

func TestPaging(t *testing.T) {
	s := store.InMemory()
	p := newPages(t, "")
	held := 0
	check := func(total int, query, first, last string, links ...string) {
		t.Helper()
		for ; held < total; held++ {
			put(t, s, key("job", fmt.Sprintf("job-%04d", held)))
		}
		page := groups(t, p, query, s)
		rows := attributes(page, "data-key")
		if rows[0] != "job/"+first || rows[len(rows)-1] != "job/"+last || len(rows) > 50 {
			t.Errorf("%d rows from %s to %s", len(rows), rows[0], rows[len(rows)-1])
		}
		var got []string
		if _, paging, ok := strings.Cut(page, `class="paging"`); ok {
			got = attributes(paging, "href")
		}
		if !slices.Equal(got, links) {
			t.Errorf("%s of %d links to %q, want %q", query, total, got, links)
		}
	}
	check(1, "", "job-0000", "job-0000")
	check(50, "", "job-0000", "job-0049")
	check(51, "", "job-0000", "job-0049", "./?page=2", "./?page=2")
	check(51, "?page=2", "job-0050", "job-0050", "./", "./")
	check(230, "?page=3", "job-0100", "job-0149", "./", "./?page=2", "./?page=4", "./?page=5")
	check(230, "?page=3&search=job&sort=-labels", "job-0129", "job-0080",
		"./?search=job&sort=-labels", "./?page=2&search=job&sort=-labels",
		"./?page=4&search=job&sort=-labels", "./?page=5&search=job&sort=-labels")
	check(230, "?page=77", "job-0200", "job-0229", "./", "./?page=4")
	for _, query := range []string{"?page=0", "?page=-3", "?page=x", "?page=", "?page=99999999999999999999999"} {
		page := groups(t, p, query, s)
		if !strings.Contains(page, "Groups 1 to 50 of 230") && !strings.Contains(page, "Groups 201 to 230 of 230") {
			t.Errorf("%s shows neither the first nor the last page", query)
		}
	}
}

// TestSearchOfALabel: a search for a label finds this label only, so that one deletes what one
// means.
func TestSearchOfALabel(t *testing.T) {
	s := store.InMemory()
	for _, branch := range []string{"feature-1", "feature-10", "feature-11"} {
		put(t, s, key("job", "ci", "branch", branch))
	}
	p := newPages(t, "")
	for query, want := range map[string]int{"branch=feature-1": 1, "branch=feature-1*": 3, "feature-1": 3, "branch=feature": 0} {
		page := groups(t, p, "?search="+url.QueryEscape(query), s)
		if rows := attributes(page, "data-key"); len(rows) != want {
			t.Errorf("%s finds %v", query, rows)
		}
		if hint := strings.Contains(page, "To match a prefix: <code><bdi>branch=feature*<"); hint != (want == 0) {
			t.Errorf("%s: a hint is shown: %v", query, hint)
		}
	}
}

// TestUnknownParameter: nothing is offered to be deleted if it is not clear which groups the
// visitor means.
func TestUnknownParameter(t *testing.T) {
	source, p := sourceOf(store.InMemory()), newPages(t, "")
	for _, job := range []string{"a", "b"} {
		put(t, source.Store, key("job", job))
	}
	all := webui.Visitor{DeleteMany: true, DeleteAll: true}
	for query, unknown := range map[string]bool{"?search=job": false, "?deleted=3": false, "?q=a": true, "?search=job&job=a": true} {
		w := httptest.NewRecorder()
		if err := p.Groups(w, httptest.NewRequest("GET", "/"+query, nil), source.View(), durable, all); err != nil {
			t.Fatal(err)
		}
		page := w.Body.String()
		if offered := strings.Contains(page, ">Delete all 2…<"); offered == unknown {
			t.Errorf("%s: deleting is offered: %v", query, offered)
		}
		if warned := strings.Contains(page, "Unknown parameter"); warned != unknown {
			t.Errorf("%s: a warning is shown: %v", query, warned)
		}
	}
}

// A page that says what it has is answered with nothing where that is the same.
func TestUnchangedPagesAreNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.InMemory()
		put(t, s, key("job", "a"))
		p, source := newPages(t, ""), sourceOf(s)
		ask := func(version string) *httptest.ResponseRecorder {
			t.Helper()
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "http://gateway:9091/", nil)
			r.Header.Set("If-None-Match", version)
			if err := p.Groups(w, r, source.View(), durable, webui.Visitor{}); err != nil {
				t.Fatal(err)
			}
			return w
		}
		first := ask("")
		version := first.Header().Get("ETag")
		if got := attributes(first.Body.String(), "data-version"); got[0] != version || version == "" {
			t.Errorf("the page says %q, its header %q", got, version)
		}
		if w := ask(version); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("unchanged: %d, %d bytes", w.Code, w.Body.Len())
		}
		if w := ask(version + "x"); w.Code != http.StatusOK {
			t.Errorf("another version: %d", w.Code)
		}
		source.History.Record(history.Event{Key: key("job", "b"), Message: "rejected"})
		if w := ask(version); w.Code != http.StatusOK {
			t.Errorf("after a rejection: %d", w.Code)
		}
		version = ask("").Header().Get("ETag")
		time.Sleep(time.Minute) // times on it are relative
		if w := ask(version); w.Code != http.StatusOK {
			t.Errorf("a minute later: %d", w.Code)
		}
		if other := newPages(t, ""); other == p {
			t.Fatal("the same pages")
		} else {
			p = other
		}
		if w := ask(version); w.Code != http.StatusOK {
			t.Errorf("after a restart: %d", w.Code)
		}
	})
}

// A page costs what it shows, and a look at each group.
func BenchmarkGroups(b *testing.B) {
	for _, held := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("groups=%d", held), func(b *testing.B) {
			s := store.InMemory()
			for i := range held {
				put(b, s, key("job", fmt.Sprintf("job-%06d", i)))
			}
			p, source := newPages(b, ""), sourceOf(s)
			r := httptest.NewRequest("GET", "/?page=1000000", nil)
			for b.Loop() {
				if err := p.Groups(httptest.NewRecorder(), r, source.View(), durable, webui.Visitor{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The list warns while groups are not persisted, and says so at once.
func TestStorageWarning(t *testing.T) {
	s := store.InMemory()
	put(t, s, key("job", "a"))
	p, source := newPages(t, ""), sourceOf(s)
	ask := func(storage api.Storage, version string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest("GET", "http://gateway:9091/", nil)
		r.Header.Set("If-None-Match", version)
		w := httptest.NewRecorder()
		if err := p.Groups(w, r, source.View(), storage, webui.Visitor{}); err != nil {
			t.Fatal(err)
		}
		return w
	}
	good := ask(durable, "")
	if strings.Contains(good.Body.String(), "storage") {
		t.Errorf("a durable gateway warns: %s", good.Body)
	}
	memory := ask(api.Storage{}, "")
	wantText(t, memory.Body.String(), `notice warn"><a href="status#storage">Not durable</a>`)
	failing := ask(api.Storage{Durable: false, Error: "no space left on <device>"}, good.Header().Get("ETag"))
	wantText(t, failing.Body.String(), `notice failing" role="alert"><a href="status#storage">Storage is failing</a>`,
		"no space left on &lt;device&gt;")
	if again := ask(durable, failing.Header().Get("ETag")); again.Code != http.StatusOK {
		t.Errorf("after the storage has recovered: %d", again.Code)
	}
}
