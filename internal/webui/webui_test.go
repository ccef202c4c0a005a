package webui_test

import (
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/groupview"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// durable is the status of a storage that has nothing to warn of.
var durable = api.Storage{Durable: true}

var key = metrictest.Key

// put pushes a gauge to the group.
func put(t testing.TB, s *store.Store, key metric.GroupingKey) {
	t.Helper()
	gauge := metric.Family{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{{HasValue: true}}}
	p, err := new(store.Encoder).Push(key, []metric.Family{gauge}, time.Now(), store.PushOptions{})
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
	if err := p.Groups(w, r, sourceOf(s).View(), durable, webui.Visitor{}); err != nil {
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
	if err := p.Group(w, r, 1+strings.Count(ref, "/"), source.View(), key, webui.Visitor{}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	return w.Body.String()
}

func status(t testing.TB, p *webui.Pages, s webui.Status) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "http://gateway:9091/status", nil)
	if err := p.Status(w, r, s, sourceOf(store.InMemory()).View(), webui.Visitor{}); err != nil {
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

// checkPage checks what is true of all pages.
func checkPage(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Header()
	if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
	policy := h.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") ||
		!strings.Contains(policy, "frame-ancestors 'none'") || h.Get("Referrer-Policy") != "same-origin" || h.Get("X-Frame-Options") != "DENY" {
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

// push is put for families of any kind.
func push(t testing.TB, s *store.Store, key metric.GroupingKey, families ...metric.Family) {
	t.Helper()
	p, err := new(store.Encoder).Push(key, families, time.Now(), store.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(p); err != nil {
		t.Fatal(err)
	}
}

// after has groups expire after the TTL, unless their last push set another.
func after(ttl time.Duration) func(metric.GroupingKey) metric.Expiry {
	return func(metric.GroupingKey) metric.Expiry { return metric.Expiry{Set: true, TTL: ttl} }
}

// pushWith pushes a counter to the group with the given options.
func pushWith(t testing.TB, s *store.Store, key metric.GroupingKey, options store.PushOptions) {
	t.Helper()
	counter := metric.Family{Name: "c_total", Type: metric.Counter, Metrics: []metric.Metric{{HasValue: true, Value: 1}}}
	p, err := new(store.Encoder).Push(key, []metric.Family{counter}, time.Now(), options)
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
