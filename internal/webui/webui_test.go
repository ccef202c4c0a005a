package webui_test

import (
	"crypto/tls"
	"fmt"
	"html"
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
	"pushgateway/internal/metric"
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
	p, err := new(store.Encoder).Push(key, []metric.Family{gauge}, metric.UTF8Names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replace(p); err != nil {
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
	if err := p.Groups(w, r, s.View()); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	return w.Body.String()
}

func status(t testing.TB, p *webui.Pages, s webui.Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	if err := p.Status(w, httptest.NewRequest("GET", "http://gateway:9091/status", nil), s); err != nil {
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
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
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
		s := store.New(store.Memory{})
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
		rows := strings.Split(page, "<tr")[2:]
		if len(rows) != 3 {
			t.Fatalf("%d rows, want 3: %s", len(rows), page)
		}
		wantText(t, page, "1–3 of 3 groups")
		wantText(t, rows[0],
			`<bdi>instance</bdi>="<bdi>i</bdi>"`, `<bdi>job</bdi>="<bdi>a</bdi>"`,
			`<time datetime="2000-01-01T00:00:00Z">1 min ago<br><small>2000-01-01 00:00:00 UTC</small></time>`,
			`>never<`, `<td class="number">3</td>`, ` B</td>`)
		wantText(t, rows[1], `class="refused"`, `>never<`, `>3 s ago<`, "after the last push")
		wantText(t, rows[2], `>just now<`, `>3 s ago<`)
		for _, row := range []string{rows[0], rows[2]} {
			if strings.Contains(row, "refused") {
				t.Errorf("the last push was not refused: %s", row)
			}
		}
	})
}

func TestEmpty(t *testing.T) {
	s := store.New(store.Memory{})
	wantText(t, groups(t, newPages(t, ""), "", s),
		"} 1' http://gateway:9091/metrics/job/my_job", "honor_labels: true",
		"targets: ['gateway:9091']", "metrics_path: /metrics\n", "scheme: http\n")
	wantText(t, groups(t, newPages(t, "/a b/"), "", s),
		"http://gateway:9091/a%20b/metrics/job/my_job", "metrics_path: /a%20b/metrics\n")
	wantText(t, groups(t, newPages(t, "https://user@example.org/pg/?x#y"), "", s),
		" https://example.org/pg/metrics/job/my_job", "targets: ['example.org']",
		"metrics_path: /pg/metrics\n", "scheme: https\n")

	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.TLS = "[::1]:9091", &tls.ConnectionState{}
	w := httptest.NewRecorder()
	if err := newPages(t, "").Groups(w, r, s.View()); err != nil {
		t.Fatal(err)
	}
	wantText(t, w.Body.String(), " https://[::1]:9091/metrics/job/my_job")
}

func TestPaging(t *testing.T) {
	s := store.New(store.Memory{})
	p := newPages(t, "")
	held := 0
	check := func(total int, query, shown, first, last string, links ...string) {
		t.Helper()
		for ; held < total; held++ {
			put(t, s, key("job", fmt.Sprintf("job-%04d", held)))
		}
		page := groups(t, p, query, s)
		wantText(t, page, shown+fmt.Sprintf(" of %d groups", total))
		rows := attributes(page, "data-delete")
		if rows[0] != "metrics/job/"+first || rows[len(rows)-1] != "metrics/job/"+last || len(rows) > 100 {
			t.Errorf("%d rows from %s to %s", len(rows), rows[0], rows[len(rows)-1])
		}
		got := slices.DeleteFunc(attributes(page, "href"), func(href string) bool { return href[0] != '?' })
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, links) {
			t.Errorf("%s of %d links to %q, want %q", query, total, got, links)
		}
	}
	check(1, "", "1–1", "job-0000", "job-0000")
	check(100, "", "1–100", "job-0000", "job-0099")
	check(101, "", "1–100", "job-0000", "job-0099", "?page=2")
	check(101, "?page=2", "101–101", "job-0100", "job-0100", "?page=1")
	check(250, "?page=2", "101–200", "job-0100", "job-0199", "?page=1", "?page=3")
	check(250, "?page=3", "201–250", "job-0200", "job-0249", "?page=1", "?page=2")
	check(450, "?page=3", "201–300", "job-0200", "job-0299", "?page=1", "?page=2", "?page=4", "?page=5")
	for _, query := range []string{"?page=0", "?page=-3", "?page=x", "?page=", "?page=99999999999999999999999"} {
		page := groups(t, p, query, s)
		if !strings.Contains(page, "1–100 of") && !strings.Contains(page, "401–450 of") {
			t.Errorf("%s shows neither the first nor the last page", query)
		}
	}
	check(450, "?page=77", "401–450", "job-0400", "job-0449", "?page=1", "?page=4")
}

func TestHostileLabels(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `" onclick="alert(1)`, `' x='`, `javascript:alert(1)`, `{{.Total}}`, `]]><!--`,
		"\x00\x1b\n\t", "\u202egnp.exe", `\`, "a/b", "..", "%2e%2e", "?#&;+ ", "é",
	} {
		s := store.New(store.Memory{})
		group := key("job", hostile, "l"+hostile, hostile)
		put(t, s, group)
		page := groups(t, newPages(t, ""), "", s)
		for _, markup := range []string{"<script>", "<!--"} {
			if strings.Contains(page, markup) {
				t.Errorf("%q is on the page as %s", hostile, markup)
			}
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%d scripts with %q", n, hostile)
		}
		// A browser resolves the link to the path that names the group.
		for _, base := range []string{"http://h/", "http://h/pg/?page=2"} {
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			link, err := u.Parse(attributes(page, "data-delete")[0])
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimSuffix(u.Path, "/") + group.Path(); link.EscapedPath() != want || link.Host != "h" {
				t.Errorf("the link resolves to %s, want %s", link, want)
			}
		}
	}
}

// Every link stays below the directory that the page is in, whatever that is.
func TestLinksAreRelative(t *testing.T) {
	s := store.New(store.Memory{})
	for i := range 300 {
		put(t, s, key("job", fmt.Sprint(i)))
	}
	p := newPages(t, "http://example.org/elsewhere")
	base, _ := url.Parse("https://proxy/some/prefix/?page=2")
	for _, page := range []string{groups(t, p, "?page=2", s), status(t, p, webui.Status{})} {
		links := slices.Concat(attributes(page, "href"), attributes(page, "src"), attributes(page, "data-delete"))
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
		wantText(t, page, ">2.0<", ">abc<", ">go1.26<", ">3<", ">44<", ">5.0 MiB<", "2 days ago", "honor_labels: true",
			"--web.telemetry-path</code><td><code>/metrics<", "&lt;b&gt;", "in memory only: nothing survives a restart")
		if strings.Index(page, "--log.level") > strings.Index(page, "--web.telemetry-path") {
			t.Error("the flags are not sorted")
		}
		s.KeptIn = "/var/lib/pushgateway"
		page = status(t, newPages(t, ""), s)
		wantText(t, page, "/var/lib/pushgateway")
		if strings.Contains(page, "in memory only") {
			t.Error("what is kept is said not to be")
		}
	})
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
	if loaded != 3 {
		t.Errorf("the page loads %d files", loaded)
	}
	for _, path := range []string{"/static/", "/static/pages.html", "/static/nothing.js", "/static/..", "/static/../webui.go", "/static/assets"} {
		if w := get(path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}

// A page costs what it shows, but for the steps to find it.
func BenchmarkGroups(b *testing.B) {
	for _, held := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprintf("groups=%d", held), func(b *testing.B) {
			s := store.New(store.Memory{})
			for i := range held {
				put(b, s, key("job", fmt.Sprintf("job-%06d", i)))
			}
			p := newPages(b, "")
			v := s.View()
			r := httptest.NewRequest("GET", "/?page=1000000", nil)
			for b.Loop() {
				if err := p.Groups(httptest.NewRecorder(), r, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
