package web

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// form sends what a browser sends for the confirmation page.
func form(s *Server, fields url.Values, headers ...string) *httptest.ResponseRecorder {
	return do(s, "POST", "/delete", fields.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

var tokenInput = regexp.MustCompile(`name="token" value="(\w+)"`)

// tokenOf returns the token of the confirmation page.
func tokenOf(t *testing.T, s *Server, query url.Values) string {
	t.Helper()
	w := do(s, "GET", "/delete?"+query.Encode(), "")
	m := tokenInput.FindStringSubmatch(w.Body.String())
	if w.Code != 200 || m == nil {
		t.Fatalf("%v: %d %s", query, w.Code, w.Body)
	}
	return m[1]
}

func TestDeletePage(t *testing.T) {
	s, log := newTestServer(t, func(c *Config) { c.AdminAPI = true })
	for _, path := range []string{"a", "b", "c/path@base64/L3g"} {
		do(s, "PUT", "/metrics/job/"+path, "m 1\n")
	}
	groups := func() int { return s.config.Store.Totals().Groups }

	fields := url.Values{"group": {"job/c/path@base64/L3g"}}
	fields.Set("token", tokenOf(t, s, fields))
	if w := form(s, fields); w.Code != 303 || w.Header().Get("Location") != "./?deleted=1" || groups() != 2 {
		t.Errorf("one: %d %v, %d left", w.Code, w.Header(), groups())
	}
	if w := form(s, fields); w.Code != 409 || !strings.Contains(w.Body.String(), "nothing to delete") {
		t.Errorf("again: %d %s", w.Code, w.Body)
	}
	for _, wrong := range []url.Values{
		{"group": {"job/a"}},
		{"group": {"job/a"}, "token": {"x"}},
		{"group": {"job/a"}, "token": {tokenOf(t, s, url.Values{"group": {"job/b"}})}},
		{"search": {"job"}},
		{"state": {"ok"}, "token": {""}},
	} {
		if w := form(s, wrong); w.Code != 409 || groups() != 2 || !strings.Contains(w.Body.String(), "Nothing was deleted") {
			t.Errorf("%v: %d, %d left: %s", wrong, w.Code, groups(), w.Body)
		}
	}
	for _, c := range []struct {
		fields url.Values
		status int
	}{
		{url.Values{}, 400},
		{url.Values{"search": {"{"}}, 400},
		{url.Values{"sort": {"-bytes"}}, 400},
		{url.Values{"group": {"job"}}, 404},
		{url.Values{"group": {"~/00"}}, 404},
		{url.Values{"group": {"%zz"}}, 404},
		{url.Values{"search": {strings.Repeat("x", 600)}}, 400},
	} {
		if w := do(s, "GET", "/delete?"+c.fields.Encode(), ""); w.Code != c.status {
			t.Errorf("GET %v: %d, want %d", c.fields, w.Code, c.status)
		}
		if w := form(s, c.fields); w.Code != c.status || groups() != 2 {
			t.Errorf("POST %v: %d, want %d", c.fields, w.Code, c.status)
		}
	}
	if w := form(s, url.Values{"group": {strings.Repeat("x", 100_000)}}); w.Code != 400 {
		t.Errorf("a large form: %d", w.Code)
	}
	// What the URL says does not count.
	query := url.Values{"group": {"job/a"}}
	query.Set("token", tokenOf(t, s, query))
	w := do(s, "POST", "/delete?"+query.Encode(), "", "Content-Type", "application/x-www-form-urlencoded")
	if w.Code != 400 || groups() != 2 {
		t.Errorf("fields in the URL: %d", w.Code)
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		if w := do(s, method, "/delete?group=job/a", ""); w.Code != 405 || groups() != 2 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	fields = url.Values{"search": {"{job=~\"a|b\"}"}}
	fields.Set("token", tokenOf(t, s, fields))
	if w := form(s, fields); w.Code != 303 || groups() != 0 {
		t.Errorf("by search: %d, %d left", w.Code, groups())
	}
	if !strings.Contains(log.String(), "event=delete") {
		t.Errorf("log: %s", log)
	}
}

// TestDeletePageNeedsAdminAPI: a search may match all groups, so deleting several at once needs
// the admin API, as DELETE /api/v1/groups does.
func TestDeletePageNeedsAdminAPI(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for _, job := range []string{"a", "b", "c"} {
		do(s, "PUT", "/metrics/job/"+job, "m 1\n")
	}
	groups := func() int { return s.config.Store.Totals().Groups }
	for _, several := range []url.Values{{"all": {"yes"}}, {"search": {"job"}}, {"search": {`{job=~"a|b"}`}}, {"state": {"ok"}}} {
		w := do(s, "GET", "/delete?"+several.Encode(), "")
		if w.Code != 403 || !strings.Contains(w.Body.String(), "--web.enable-admin-api") {
			t.Errorf("GET %v: %d", several, w.Code)
		}
		if w := form(s, several); w.Code != 403 || groups() != 3 {
			t.Errorf("POST %v: %d, %d groups left", several, w.Code, groups())
		}
	}
	if page := do(s, "GET", "/?search=job", "").Body.String(); strings.Contains(page, "Delete these") {
		t.Error("the page offers to delete several groups")
	}
	for i, one := range []url.Values{{"group": {"job/a"}}, {"search": {"job=b"}}} {
		one.Set("token", tokenOf(t, s, one))
		if w := form(s, one); w.Code != 303 || groups() != 2-i {
			t.Errorf("%v: %d, %d groups left", one, w.Code, groups())
		}
	}
}

// TestDeleteFromForeignSite: no GET changes anything, and no other site can delete, with whatever
// token.
func TestDeleteFromForeignSite(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true })
	do(s, "PUT", "/metrics/job/a", "m 1\n")
	for _, path := range []string{
		"/", "/groups/job/a", "/delete?group=job/a", "/delete?all=yes", "/delete?search=a", "/status", "/help",
		"/api/v1/groups", "/api/v1/groups/job/a",
	} {
		if w := do(s, "GET", path, ""); w.Code != 200 || s.config.Store.Totals().Groups != 1 {
			t.Errorf("GET %s: %d, %d groups", path, w.Code, s.config.Store.Totals().Groups)
		}
	}
	fields := url.Values{"group": {"job/a"}}
	token := tokenOf(t, s, fields)
	for _, c := range []struct {
		token   string
		headers []string
		status  int
	}{
		{token, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{token, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{token, []string{"Origin", "https://evil.example"}, 403},
		{token, []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, 403},
		{token, []string{"Sec-Fetch-Site", "same-site", "Origin", "null"}, 403},
		{"", []string{"Origin", "null"}, 409}, // a sandboxed frame on plain HTTP: asked again
		{"", []string{"Sec-Fetch-Site", "same-origin"}, 409},
		{"", nil, 409},
	} {
		fields.Set("token", c.token)
		if w := form(s, fields, c.headers...); w.Code != c.status || s.config.Store.Totals().Groups != 1 {
			t.Errorf("%v: %d, want %d; %d groups", c.headers, w.Code, c.status, s.config.Store.Totals().Groups)
		}
	}
	// DELETE needs a preflight, which is not granted.
	w := do(s, "OPTIONS", "/metrics/job/a", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "DELETE")
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight: %v", w.Header())
	}
	// Other sites can neither read nor frame the confirmation, which has the token.
	w = do(s, "GET", "/delete?group=job/a", "", "Origin", "https://evil.example")
	if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("X-Frame-Options") != "DENY" {
		t.Errorf("confirmation: %v", w.Header())
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "same-origin", "Origin", "http://example.com"}, {"Origin", "http://example.com"}, {"Origin", "null"},
	} {
		do(s, "PUT", "/metrics/job/a", "m 1\n")
		fields.Set("token", tokenOf(t, s, url.Values{"group": {"job/a"}}))
		if w := form(s, fields, headers...); w.Code != 303 || s.config.Store.Totals().Groups != 0 {
			t.Errorf("%v: %d", headers, w.Code)
		}
	}
}

func TestWipePage(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true })
	for i := range 30 {
		do(s, "PUT", fmt.Sprint("/metrics/job/", i), "m 1\n")
	}
	fields := url.Values{"all": {"yes"}}
	fields.Set("token", tokenOf(t, s, fields))
	if w := form(s, fields); w.Code != 303 || w.Header().Get("Location") != "./?deleted=30" || s.config.Store.Totals().Groups != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if pushes, _ := s.history.Group(metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "1"}})); pushes != nil {
		t.Errorf("still known: %v", pushes)
	}
}
