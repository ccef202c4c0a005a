package webui_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/groupview"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

func key(pairs ...string) metric.GroupingKey {
	var labels []metric.Label
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, metric.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return metric.NewGroupingKey(labels)
}

// put pushes a gauge to the group.
func put(t testing.TB, s *store.Store, key metric.GroupingKey) {
	t.Helper()
	gauge := metric.Family{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{{HasValue: true}}}
	p, err := new(store.Encoder).Push(key, []metric.Family{gauge}, time.Now(), store.PushOptions{Validation: metric.UTF8Validation})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

func newPages(t testing.TB, external string) *webui.Pages {
	t.Helper()
	u, err := url.Parse(external)
	if err != nil {
		t.Fatal(err)
	}
	p, err := webui.New(webui.Config{External: *u, MetricsPath: "/metrics"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// groups returns the page of groups as the server at gateway:9091 answers it.
func groups(t testing.TB, p *webui.Pages, query string, s *store.Store) string {
	t.Helper()
	r := httptest.NewRequest("GET", "http://gateway:9091/"+query, nil)
	w := httptest.NewRecorder()
	if err := p.Groups(w, r, sourceOf(s).View(), webui.Rights{}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	return w.Body.String()
}

// sourceOf returns views of a store whose pushes are not in the history.
func sourceOf(s *store.Store) *groupview.Source {
	return &groupview.Source{
		Store: s, Now: time.Now,
		History: history.New(func(keys []metric.GroupingKey) []bool { return make([]bool, len(keys)) }),
		HasRule: func(metric.GroupingKey) bool { return false },
	}
}

// group returns the page of a group, at the depth of its path.
func group(t testing.TB, p *webui.Pages, query string, source *groupview.Source, key metric.GroupingKey) string {
	t.Helper()
	ref := search.Ref(key)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://gateway:9091/groups/"+ref+query, nil)
	if err := p.Group(w, r, 1+strings.Count(ref, "/"), source.View(), key); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	return w.Body.String()
}

func status(t testing.TB, p *webui.Pages, s webui.Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := p.Status(w, httptest.NewRequest("GET", "http://gateway:9091/status", nil), s, sourceOf(store.InMemory()).View(), webui.Rights{}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	return w.Body.String()
}

var (
	tag       = regexp.MustCompile(`<[a-z][^<>]*>`)
	quoted    = regexp.MustCompile(`"[^"]*"`)
	forbidden = regexp.MustCompile(`^<style|\s(style|on\w+)=`)
	script    = regexp.MustCompile(`<script[^>]*>[^<]`)
)

// checkPage expects what holds for all pages.
func checkPage(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Header()
	if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
	policy := h.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
		!strings.Contains(policy, "frame-ancestors 'none'") || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
		t.Errorf("policy %q, headers %v", policy, h)
	}
	body := w.Body.String()
	for _, tag := range tag.FindAllString(body, -1) {
		if forbidden.MatchString(quoted.ReplaceAllString(tag, "")) {
			t.Errorf("the policy forbids %s", tag)
		}
	}
	if script.MatchString(body) {
		t.Errorf("the policy forbids inline scripts: %s", body)
	}
	if !strings.HasSuffix(body, "</html>\n") {
		t.Errorf("the page is incomplete: %s", body)
	}
}

func wantText(t testing.TB, page string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("%q is missing in %s", text, page)
		}
	}
}

// attributes returns the values of the named attribute, in order.
func attributes(page, name string) []string {
	var values []string
	for _, m := range regexp.MustCompile(`\s`+name+`="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		values = append(values, html.UnescapeString(m[1]))
	}
	return values
}

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
	if err := newPages(t, "").Groups(w, r, sourceOf(s).View(), webui.Rights{}); err != nil {
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
		"./?search=job&sort=-labels", "./?page=2&search=job&sort=-labels", "./?page=4&search=job&sort=-labels", "./?page=5&search=job&sort=-labels")
	check(230, "?page=77", "job-0200", "job-0229", "./", "./?page=4")
	for _, query := range []string{"?page=0", "?page=-3", "?page=x", "?page=", "?page=99999999999999999999999"} {
		if page := groups(t, p, query, s); !strings.Contains(page, "Groups 1 to 50 of 230") && !strings.Contains(page, "Groups 201 to 230 of 230") {
			t.Errorf("%s shows neither the first nor the last page", query)
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
			if err := p.Groups(w, r, source.View(), webui.Rights{}); err != nil {
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

func TestHostileLabels(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `" onclick="alert(1)`, `' x='`, `javascript:alert(1)`, `{{.Total}}`, `]]><!--`,
		"\x00\x1b\n\t", "\u202egnp.exe", `\`, "a/b", "..", "%2e%2e", "?#&;+ ", "é",
	} {
		s := store.InMemory()
		group1 := key("job", hostile, "l"+hostile, hostile)
		put(t, s, group1)
		page := groups(t, newPages(t, ""), "", s)
		for _, markup := range []string{"<script>", "<!--"} {
			if strings.Contains(page, markup) {
				t.Errorf("%q is on the page as %s", hostile, markup)
			}
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%d scripts with %q", n, hostile)
		}
		if page := group(t, newPages(t, ""), "", sourceOf(s), group1); strings.Count(page, "<script") != 1 || strings.Contains(page, "<!--") {
			t.Errorf("the page of the group has markup of %q", hostile)
		}
		// A browser resolves the link to the path that names the group.
		for _, base := range []string{"http://h/", "http://h/pg/?page=2"} {
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			_, row, _ := strings.Cut(page, "data-key=")
			link, err := u.Parse(attributes(row, "href")[0])
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimSuffix(u.Path, "/") + strings.Replace(group1.Path(), "/metrics/", "/groups/", 1); link.EscapedPath() != want || link.Host != "h" {
				t.Errorf("the link resolves to %s, want %s", link, want)
			}
		}
	}
}

// Every link stays below the directory that the page is in, whatever that is.
func TestLinksAreRelative(t *testing.T) {
	s := store.InMemory()
	for i := range 300 {
		put(t, s, key("job", fmt.Sprint(i)))
	}
	p := newPages(t, "http://example.org/elsewhere")
	base, _ := url.Parse("https://proxy/some/prefix/?page=2")
	for _, page := range []string{groups(t, p, "?page=2&search=1", s), status(t, p, webui.Status{})} {
		links := slices.Concat(attributes(page, "href"), attributes(page, "src"), attributes(page, "action"))
		if len(links) < 5 {
			t.Errorf("only the links %q", links)
		}
		for _, link := range links {
			u, err := base.Parse(link)
			if err != nil || !strings.HasPrefix(u.String(), "https://proxy/some/prefix/") {
				t.Errorf("%q leads to %v, %v", link, u, err)
			}
		}
	}
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webui.Status{
			Status: api.Status{
				Build:   api.Build{Version: "2.0", Revision: "abc", GoVersion: "go1.26"},
				Flags:   map[string]string{"web.telemetry-path": "/metrics", "log.level": "<b>"},
				Started: time.Now(),
			},
			Totals: store.Totals{Groups: 3, Series: 44, Bytes: 5 << 20},
		}
		time.Sleep(50 * time.Hour)
		page := status(t, newPages(t, ""), s)
		wantText(t, page, ">2.0<", ">abc<", ">go1.26<", ">3<", ">44<", ">5.0 MiB<", "2 days ago",
			"--web.telemetry-path</code></th><td><code>/metrics<", "&lt;b&gt;", "in memory only. A restart loses them.", "None since the gateway started")
		if strings.Index(page, "--log.level") > strings.Index(page, "--web.telemetry-path") {
			t.Error("the flags are not sorted")
		}
		if strings.Contains(page, "Delete everything") {
			t.Error("a wipe is offered without the admin API")
		}
		s.Storage = api.Storage{Durable: true, File: "/var/lib/pushgateway", Sync: "push", SizeBytes: 3 << 20, LastCommit: time.Now()}
		page = status(t, newPages(t, ""), s)
		wantText(t, page, "/var/lib/pushgateway", "is on disk", "3.0 MiB", "just now")
		if strings.Contains(page, "in memory only") {
			t.Error("a durable gateway says that it is not")
		}
		s.Storage.Sync, s.Storage.Pending = "interval", 12
		wantText(t, status(t, newPages(t, ""), s), "A crash loses", "12 groups")
		s.Storage.Error = "no space left <on device>"
		wantText(t, status(t, newPages(t, ""), s), "failing", "no space left &lt;on device&gt;")
	})
}

func TestBiggestJobs(t *testing.T) {
	s := store.InMemory()
	for i := range 30 {
		for n := range i + 1 {
			put(t, s, key("job", fmt.Sprintf("job-%02d", i), "n", fmt.Sprint(n)))
		}
	}
	w := httptest.NewRecorder()
	if err := newPages(t, "").Status(w, httptest.NewRequest("GET", "/status", nil), webui.Status{}, sourceOf(s).View(), webui.Rights{}); err != nil {
		t.Fatal(err)
	}
	page := w.Body.String()
	if n := strings.Count(page, "<bdi>job-"); n != 20 || strings.Index(page, "job-29") > strings.Index(page, "job-28") {
		t.Errorf("%d jobs: %s", n, page)
	}
	wantText(t, page, `width="100.0"`, `width="96.7"`, `href="./?search=%7Bjob%3D%22job-29%22%7D"`, `<td class="number">90</td>`)
}

func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.InMemory()
		a := key("job", "a", "instance", "i")
		push(t, s, a, metric.Family{Name: "started_timestamp_seconds", Help: "When <it> started.", Type: metric.Gauge, Metrics: []metric.Metric{
			{HasValue: true, Value: float64(time.Now().Unix()), Labels: []metric.Label{{Name: "x", Value: "1"}}}}})
		source := sourceOf(s)
		page := group(t, newPages(t, ""), "", source, a)
		wantText(t, page, "started_timestamp_seconds", "When &lt;it&gt; started.", ">gauge<", "9.466848e&#43;08", "2000-01-01 00:00:00 UTC, just now",
			"http://gateway:9091/metrics/job/a/instance/i</code>", "curl -X DELETE http://gateway:9091/metrics/job/a/instance/i</code>",
			"curl --data-binary @- http://gateway:9091/metrics/job/a/instance/i</code>", `{instance=&#34;i&#34;,job=&#34;a&#34;}</code>`,
			"None since the gateway started", `href="../../../../static/page.css"`, `href="../../../../delete?group=job%2Fa%2Finstance%2Fi"`)

		source.History.Record(history.Event{At: time.Now(), Key: a, Method: "PUT", Size: 2000, Source: "10.0.0.1:5", Client: "curl/8"})
		time.Sleep(5 * time.Second)
		source.History.Record(history.Event{At: time.Now(), Key: a, Method: "POST", Size: -1, Source: "10.0.0.2:5", Client: "py<thon>", Reason: metric.TypeConflict,
			Message: "m is held by another (to delete it: curl -X DELETE 'http://gateway:9091/metrics/job/b')"})
		page = group(t, newPages(t, ""), "", source, a)
		wantText(t, page, "The last push was rejected", "last push failed", "10.0.0.2:5", "py&lt;thon&gt;", "type_conflict",
			"curl -X DELETE &#39;http://gateway:9091/metrics/job/b&#39;", "2.0 KiB", "unknown", "accepted", ">rejected<", "5 s ago")
		list := httptest.NewRecorder()
		if err := newPages(t, "").Groups(list, httptest.NewRequest("GET", "/?state=failed", nil), source.View(), webui.Rights{}); err != nil {
			t.Fatal(err)
		}
		wantText(t, list.Body.String(), "last push failed", "m is held by another")
	})
}

// push is put for families of any kind.
func push(t testing.TB, s *store.Store, key metric.GroupingKey, families ...metric.Family) {
	t.Helper()
	p, err := new(store.Encoder).Push(key, families, time.Now(), store.PushOptions{Validation: metric.UTF8Validation})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

// after has groups expire after the TTL, unless their last push said otherwise.
func after(ttl time.Duration) store.ExpiryPolicy {
	return func(metric.GroupingKey) metric.Expiry { return metric.Expiry{Set: true, TTL: ttl} }
}

// pushWith pushes a counter to the group in the given manner.
func pushWith(t testing.TB, s *store.Store, key metric.GroupingKey, m store.PushOptions) {
	t.Helper()
	m.Validation = metric.LegacyValidation
	counter := metric.Family{Name: "c_total", Type: metric.Counter, Metrics: []metric.Metric{{HasValue: true, Value: 1}}}
	p, err := new(store.Encoder).Push(key, []metric.Family{counter}, time.Now(), m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

// rowOf returns the row of the list that has the key.
func rowOf(t testing.TB, page, key string) string {
	t.Helper()
	_, row, found := strings.Cut(page, `data-key="`+key+`"`)
	if !found {
		t.Fatalf("no row of %s in %s", key, page)
	}
	row, _, _ = strings.Cut(row, "</tr>")
	return row
}

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
		if row, page := list("ruled"), one("ruled"); strings.Contains(row, "expires") || page != `<dd><span class="quiet">never</span></dd>` {
			t.Errorf("a group that stays: %s, %s", row, page)
		}
		s.SetExpiry(after(5 * time.Minute))
		time.Sleep(20 * time.Second)
		const inMinutes = `<time data-ahead datetime="2000-01-01T00:05:00Z" title="2000-01-01 00:05:00 UTC">in 5 min</time>`
		wantText(t, list("ruled"), "expires "+inMinutes)
		wantText(t, one("ruled"), inMinutes, `set by a <a href="../../status#rules">rule</a>`)
		wantText(t, one("flagged"), inMinutes, `set by <a href="../../status#rules"><code>--push.ttl</code></a>`)
		if page := one("flagged"); strings.Contains(page, ">rule<") {
			t.Errorf("no rule says when it ends: %s", page)
		}
		wantText(t, list("own"), "expires <time", ">in 90 min<")
		wantText(t, one("own"), ">in 90 min<", "set by the last push")
		wantText(t, list("keeps"), "expires <time", ">in 3 days</time> (push times kept)")
		wantText(t, one("keeps"), ">in 3 days<", "set by the last push", "(push times kept)")
		wantText(t, one("stays"), ">never<", "set by the last push")
		if row := list("stays"); strings.Contains(row, "expires") {
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
		if page := one("keeps"); page != `<dd>expired (push times kept) <span class="quiet">last push `+lastPush+`</span></dd>` {
			t.Errorf("a group whose push times stayed: %s", page)
		}
		wantText(t, list("keeps"), "state old", lastPush+` <span class="why expiry">expired (push times kept)</span>`)
		if row := list("stays"); strings.Contains(row, "expired") {
			t.Errorf("a group that stays: %s", row)
		}
		// A rejected push does not bring it back, an accepted one does.
		if err := s.Fail(key("job", "keeps"), time.Now()); err != nil {
			t.Fatal(err)
		}
		wantText(t, list("keeps"), "state failed", ">expired (push times kept)<")
		pushWith(t, s, key("job", "keeps"), lasting(72*time.Hour, true))
		wantText(t, list("keeps"), "state ok", "expires <time")

		w := httptest.NewRecorder()
		ended := key("job", "ruled")
		if err := p.Group(w, httptest.NewRequest("GET", "/groups/job/ruled", nil), 2, sourceOf(s).View(), ended); err != nil || w.Code != http.StatusNotFound {
			t.Fatalf("a group that is gone: %d, %v", w.Code, err)
		}
		wantText(t, w.Body.String(), "have expired")
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
		`printf &#39;# TYPE my_total counter\nmy_total 1\n&#39; | curl --data-binary @- &#39;http://gateway:9091/metrics/job/b%20c?merge=sum&#39;</code>`,
		`curl -X DELETE http://gateway:9091/metrics/job/b%20c</code>`)
	if page := group(t, newPages(t, ""), "", sourceOf(s), a); strings.Contains(page, "sum") {
		t.Errorf("a group that is replaced: %s", page)
	}
}

func TestRulesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		section := func(r webui.Rules) string {
			t.Helper()
			page := status(t, newPages(t, ""), webui.Status{Rules: r})
			_, page, _ = strings.Cut(page, `<h2 id="rules">`)
			page, _, _ = strings.Cut(page, "</section>")
			return page
		}
		r := webui.Rules{Defaults: []string{"ttl=0", "timestamps=reject"}}
		page := section(r)
		wantText(t, page, ">ttl=0<", ">timestamps=reject<", "No rules file")
		if strings.Contains(page, "Loaded") || strings.Count(page, "<tr") != 2 {
			t.Errorf("without a file: %s", page)
		}

		r.File, r.Loaded = "/etc/rules<.yml", time.Now()
		time.Sleep(time.Minute)
		for i := range 250 {
			r.All = append(r.All, webui.Rule{Match: fmt.Sprintf(`{job="<%d>"}`, i), Options: []string{"ttl=2d", "merge=sum"}})
		}
		r.All[1].Options = nil
		page = section(r)
		wantText(t, page, "/etc/rules&lt;.yml", ">1 min ago<", "<dt>Rules</dt><dd>250</dd>", ">ttl=2d<", ">merge=sum<", ">none<",
			`>1</td>`, `{job=&#34;&lt;0&gt;&#34;}`, `>100</td>`, `{job=&#34;&lt;99&gt;&#34;}`, "and 150 more", ">timestamps=reject<")
		if strings.Contains(page, "No rules file") || strings.Contains(page, "not reloaded") || strings.Contains(page, "&lt;100&gt;") {
			t.Errorf("with a file: %s", page)
		}
		r.Failed = "line 3: rule <2>: unknown"
		wantText(t, section(r), "not reloaded", "line 3: rule &lt;2&gt;: unknown", "{job=")
	})
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

func TestCharts(t *testing.T) {
	histogram := func(h metric.HistogramValue) metric.Family {
		return metric.Family{Name: "h", Type: metric.Histogram, Metrics: []metric.Metric{{Histogram: &h}}}
	}
	for name, c := range map[string]struct {
		family metric.Family
		want   []string
	}{
		"classic": {histogram(metric.HistogramValue{Count: 10, Sum: 20, Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCount: 2}, {UpperBound: 2, CumulativeCount: 9}}}),
			[]string{`<title>≤ 1: 2</title>`, `<title>1 – 2: 7</title>`, `<title>&gt; 2: 1</title>`, "mean <b>2</b>", "10 observations in 3 buckets, most of them, 7, in 1 – 2"}},
		"no buckets":   {histogram(metric.HistogramValue{Count: 10, Sum: 20}), []string{"all: 10"}},
		"nothing":      {histogram(metric.HistogramValue{}), []string{"all: 0"}},
		"not a number": {histogram(metric.HistogramValue{Count: 1, Sum: math.NaN()}), []string{"sum <b>NaN</b>"}},
		"float":        {histogram(metric.HistogramValue{CountFloat: 1.5, Buckets: []metric.Bucket{{UpperBound: 1, CumulativeCountFloat: 0.5}}}), []string{"≤ 1: 0.5", "&gt; 1: 1"}},
		"native": {histogram(metric.HistogramValue{Count: 6, Schema: 0, ZeroThreshold: 0.001, ZeroCount: 1,
			Positive: metric.NativeBuckets{Spans: []metric.Span{{Offset: 0, Length: 2}, {Offset: 3, Length: 1}}, Deltas: []int64{1, 1, -1}},
			Negative: metric.NativeBuckets{Spans: []metric.Span{{Offset: 1, Length: 1}}, Deltas: []int64{1}}}),
			[]string{"native histogram", "-2 – -1: 1", "near 0: 1", "0.5 – 1: 1", "1 – 2: 2", "16 – 32: 1"}},
		"summary": {metric.Family{Name: "s", Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{Count: 4, Sum: 8,
			Quantiles: []metric.Quantile{{Quantile: 0.9, Value: 3}, {Quantile: 0.5, Value: 1}}}}}},
			[]string{`class="line" d="M300 64L533.6 8"`, "from 1 at 0.5 to 3 at 0.9", "mean <b>2</b>"}},
		"summary of nothing": {metric.Family{Name: "s", Type: metric.Summary, Metrics: []metric.Metric{{Summary: &metric.SummaryValue{
			Quantiles: []metric.Quantile{{Quantile: 0.5, Value: math.NaN()}}}}}}, []string{"NaN"}},
	} {
		k := key("job", name)
		s := store.InMemory()
		push(t, s, k, c.family)
		page := group(t, newPages(t, ""), "", sourceOf(s), k)
		for _, text := range c.want {
			if !strings.Contains(page, text) {
				t.Errorf("%s: %q is missing in %s", name, text, page)
			}
		}
	}
}

// Whatever is pushed, no page grows beyond bounds.
func TestPagesStaySmall(t *testing.T) {
	s := store.InMemory()
	long := strings.Repeat("<\"&>", 2500) // 10 KB, five times that when escaped
	s.SetExpiry(after(time.Hour))
	source, rights := sourceOf(s), webui.Rights{DeleteAll: true}
	var many []metric.Label
	for i := range 100 {
		many = append(many, metric.Label{Name: fmt.Sprintf("l%03d", i), Value: long})
	}
	one := func(i int) metric.GroupingKey {
		return metric.NewGroupingKey(append(slices.Clone(many[:i%10]), metric.Label{Name: "job", Value: fmt.Sprint(i) + long}))
	}
	for i := range 100 {
		put(t, s, one(i))
		source.History.Record(history.Event{At: time.Now().Add(time.Second), Key: one(i), Method: "PUT", Source: long, Client: long, Reason: metric.Malformed, Message: long})
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
		source.History.Record(history.Event{At: time.Now(), Key: big, Method: "PUT", Source: long, Client: long, Reason: metric.Malformed, Message: long})
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
		if err := p.Groups(w, httptest.NewRequest("GET", "/"+query, nil), source.View(), rights); err != nil {
			t.Fatal(err)
		}
		sizes["list"+query[:min(len(query), 20)]] = w.Body.Len()
	}
	rules := webui.Rules{Loaded: time.Now(), Failed: long}
	for i := range 10_000 {
		rules.All = append(rules.All, webui.Rule{Match: fmt.Sprintf(`{job="%d"}%s`, i, long[:i%1000]), Options: []string{"ttl=1w", "ttl_keep=push_time", "merge=sum", "gauges=last", "timestamps=reject"}})
	}
	w := httptest.NewRecorder()
	if err := p.Status(w, httptest.NewRequest("GET", "/status", nil), webui.Status{Rules: rules}, source.View(), rights); err != nil {
		t.Fatal(err)
	}
	sizes["status"] = w.Body.Len()
	for what, size := range sizes {
		if size > 200<<10 {
			t.Errorf("%s: %d KiB", what, size>>10)
		}
	}
}

func TestHelpExplainsAllReasons(t *testing.T) {
	w := httptest.NewRecorder()
	if err := newPages(t, "https://example.org/pg").Help(w, httptest.NewRequest("GET", "/help", nil)); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	page := w.Body.String()
	for _, reason := range metric.Reasons() {
		wantText(t, page, fmt.Sprintf(`id="%s"`, reason))
	}
	// What the options of a push are for, and what comes without deleting anything.
	_, options, _ := strings.Cut(page, `id="options"`)
	options, _, _ = strings.Cut(options, "</section>")
	wantText(t, options, "POST /api/v1/push?group_by=", "DELETE /api/v1/groups?match[]=", "--web.enable-admin-api")
	about := func(reason metric.Reason) string {
		_, text, _ := strings.Cut(page, fmt.Sprintf(`id="%s"`, reason))
		text, _, _ = strings.Cut(text, "</div>")
		return text
	}
	wantText(t, about(metric.BadTimestamp), "timestamps=drop")
	wantText(t, about(metric.BadValue), "merge=sum", "below 0")
	merge := about(metric.BadMerge)
	wantText(t, merge, "TYPE line", "merge=sum")
	if strings.Index(merge, "delete") < strings.Index(merge, "TYPE line") {
		t.Errorf("what deletes comes before what loses nothing: %s", merge)
	}
	wantText(t, page, "https://example.org/pg/metrics/job/", "push_to_gateway(\"https://example.org/pg\"", "push.New(\"https://example.org/pg\"",
		"honor_labels: true", "0 3 * * *", "targets: ['example.org']", "metrics_path: /pg/metrics", "scheme: https")
}

func TestStatic(t *testing.T) {
	static := newPages(t, "").Static()
	get := func(path, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		static.ServeHTTP(w, r)
		return w
	}
	// Everything that the pages load is there, in a type that browsers accept
	// under nosniff.
	page := status(t, newPages(t, ""), webui.Status{})
	loaded := 0
	for _, link := range slices.Concat(attributes(page, "href"), attributes(page, "src")) {
		link = strings.TrimPrefix(link, "./")
		if !strings.HasPrefix(link, "static/") {
			continue
		}
		loaded++
		want := map[string]string{"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[link[strings.LastIndex(link, ".")+1:]]
		w := get("/pg/"+link, "")
		if got, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";"); w.Code != http.StatusOK || got != want || want == "" {
			t.Errorf("%s: %d, type %q, want %q", link, w.Code, got, want)
		}
		if w := get("/"+link, w.Header().Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("%s, known to the browser: %d", link, w.Code)
		}
	}
	if loaded != 4 { // the icon twice
		t.Errorf("the page loads %d files", loaded)
	}
	for _, path := range []string{"/static/", "/static/groups.html", "/static/nothing.js", "/static/..", "/static/../webui.go", "/static/assets"} {
		if w := get(path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
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
				if err := p.Groups(httptest.NewRecorder(), r, source.View(), webui.Rights{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
