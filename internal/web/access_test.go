package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/access"
	"pushgateway/internal/httpserver"
)

// newGuard returns the guard of an auth file's text, in which TOKEN(name) stands for the
// hash of the token called name.
func newGuard(t testing.TB, text string) *access.Guard {
	t.Helper()
	guard, err := access.NewGuard(access.Config{
		Load: func() (*access.Policy, error) { return access.Parse([]byte(withTokens(text))) },
		Now:  time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func withTokens(text string) string {
	for {
		before, rest, found := strings.Cut(text, "TOKEN(")
		if !found {
			return text
		}
		name, after, _ := strings.Cut(rest, ")")
		hash := sha256.Sum256([]byte(name))
		text = before + hex.EncodeToString(hash[:]) + after
	}
}

// as sends a request with a token; an empty one is none.
func as(s http.Handler, token, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	if token != "" {
		headers = append(headers, "Authorization", "Bearer "+token)
	}
	return do(s, method, target, body, headers...)
}

// needed lists the rights that a row needs.
func (n need) needed() []access.Right {
	switch n {
	case pushGroup, pushEach:
		return []access.Right{access.Push}
	case deleteGroup, deleteEach:
		return []access.Right{access.Delete}
	case scrape:
		return []access.Right{access.Scrape}
	case read:
		return []access.Right{access.Read}
	case readDeleteEach:
		return []access.Right{access.Read, access.Delete}
	case admin:
		return []access.Right{access.Admin}
	}
	return nil
}

// TestRightsOfEveryRoute walks the route table with every set of rights, for own groups,
// those of others, and without a selector. A row that says nothing of rights fails.
func TestRightsOfEveryRoute(t *testing.T) {
	type sender struct {
		token  string
		rights []access.Right
		match  string // a selector of groups; empty for none
	}
	var senders []sender
	var file strings.Builder
	file.WriteString("users:\n")
	for set := range 1 << len(access.Rights()) {
		var rights []access.Right
		var names []string
		for i, right := range access.Rights() {
			if set&(1<<i) != 0 {
				rights, names = append(rights, right), append(names, right.String())
			}
		}
		for kind, match := range map[string]string{"unlimited": "", "own": `{job="a"}`, "other": `{job="other"}`} {
			token := fmt.Sprintf("%s-%d", kind, set)
			fmt.Fprintf(&file, "- name: %s\n  bearer_token_sha256: TOKEN(%s)\n  allow: [%s]\n", token, token, strings.Join(names, ", "))
			if match != "" {
				fmt.Fprintf(&file, "  match: '%s'\n", match)
			}
			senders = append(senders, sender{token, rights, match})
		}
	}
	s, _ := newTestServer(t, func(c *Config) {
		c.AdminAPI, c.Quit, c.SelfMetricsPath = true, func() {}, "/self"
		c.Guard = newGuard(t, file.String())
	})
	rows, err := s.table()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		t.Run(row.method+" "+row.path, func(t *testing.T) {
			if row.needs == undecided || row.needs != free && row.needs.needed() == nil {
				t.Fatal("the row does not say which right it needs")
			}
			if row.method == http.MethodPost && row.path == signInPath {
				return // answers 401 to a wrong credential, whoever sends it
			}
			path := row.example()
			switch {
			case row.path == "/debug/pprof/*":
				path = "/debug/pprof/cmdline"
			case row.path == apiPushPath:
				path += "?group_by=job"
			}
			if w := do(s, row.method, path, ""); row.needs == free && deniedForRights(w.Code) || row.needs != free && w.Code != 401 {
				t.Errorf("anonymous: %d", w.Code)
			}
			if w := as(s, "nonsense", row.method, path, ""); row.needs == free && deniedForRights(w.Code) || row.needs != free && w.Code != 401 {
				t.Errorf("with a wrong token: %d", w.Code)
			}
			for _, who := range senders {
				allowed := true
				for _, right := range row.needs.needed() {
					allowed = allowed && slices.Contains(who.rights, right)
				}
				if onGroup := row.needs == pushGroup || row.needs == deleteGroup; onGroup && who.match == `{job="other"}` {
					allowed = false
				}
				body := ""
				if row.path == apiPushPath {
					body = "m{job=\"a\"} 1\n"
				}
				w := as(s, who.token, row.method, path, body)
				if row.path == apiPushPath && who.match == `{job="other"}` {
					allowed = false // of the groups in its body
				}
				if got := !deniedForRights(w.Code); got != allowed {
					t.Errorf("with %v for %q: %d %s, want allowed: %v", who.rights, who.match, w.Code, w.Body, allowed)
				}
			}
		})
	}
}

func deniedForRights(status int) bool { return status == 401 || status == 403 }

func TestARowWithoutADecisionServesNobody(t *testing.T) {
	s, _ := newTestServer(t, nil)
	serve := s.serve(route{http.MethodGet, "/new", undecided, 0, textForm, "", answerOK})
	w := httptest.NewRecorder()
	response, r := httpserver.NewResponse(w, httptest.NewRequest("GET", "/new", nil), 0)
	serve(response, &request{Request: r, path: "/new"})
	if w.Code != 403 {
		t.Errorf("got %d", w.Code)
	}
}

const threeTeams = `
users:
  - {name: checkout, bearer_token_sha256: TOKEN(c), allow: [push, delete, read], match: '{team="checkout"}'}
  - {name: billing, bearer_token_sha256: TOKEN(b), allow: [push, read], match: '{team="billing"}'}
  - {name: prometheus, bearer_token_sha256: TOKEN(p), allow: [scrape]}
  - {name: operator, bearer_token_sha256: TOKEN(o), allow: [push, delete, scrape, read, admin]}
`

func newTeams(t testing.TB, change func(*Config)) (*Server, fmt.Stringer) {
	t.Helper()
	return newTestServer(t, func(c *Config) {
		c.Guard, c.AdminAPI = newGuard(t, threeTeams), true
		if change != nil {
			change(c)
		}
	})
}

func TestTeamsSeeOnlyTheirOwn(t *testing.T) {
	s, _ := newTeams(t, nil)
	for _, path := range []string{"/metrics/job/a/team/checkout", "/metrics/job/b/team/billing", "/metrics/job/secretjob"} {
		if w := as(s, "o", "PUT", path, "secret_metric 1\n"); w.Code != 200 {
			t.Fatalf("%s: %d", path, w.Code)
		}
	}
	as(s, "o", "PUT", "/metrics/job/rejectedjob/team/billing", "x 1 1\n")
	as(s, "o", "PUT", "/metrics/jobs", "x 1 1\n")
	as(s, "o", "PUT", "/metrics/job/x/wrongpath", "x 1\n")
	for _, path := range []string{
		"/", "/?search=billing", "/?search=job", "/?search=secret_metric", "/?state=failed", "/status",
		"/groups/job/b/team/billing", "/groups/job/secretjob",
		"/groups/job/rejectedjob/team/billing", "/delete?search=job", "/delete?group=job/secretjob",
		"/api/v1/groups", "/api/v1/groups?search=billing", "/api/v1/groups?sort=-series", "/api/v1/metrics", "/api/v1/groups/job/b/team/billing",
	} {
		w := as(s, "c", "GET", path, "")
		for _, secret := range []string{
			"secretjob", "rejectedjob", `"b"`, ">b<", "wrongpath", "2 groups", "3 groups", "4 groups", `"total":2`, `"total":3`,
		} {
			// What was asked for may be repeated.
			if strings.Contains(w.Body.String(), secret) && !strings.Contains(path, strings.Trim(secret, `"><`)) {
				t.Errorf("%s shows %s: %s", path, secret, w.Body)
			}
		}
	}
	// A group of others looks the same whether it exists or not.
	for _, path := range []string{"/api/v1/groups/job/%s/team/billing", "/groups/job/%s/team/billing", "/delete?group=job/%s/team/billing"} {
		there, absent := as(s, "c", "GET", fmt.Sprintf(path, "b"), ""), as(s, "c", "GET", fmt.Sprintf(path, "n"), "")
		normal := func(w *httptest.ResponseRecorder) string {
			return strings.NewReplacer("job/b", "job/n", `job=&#34;b&#34;`, `job=&#34;n&#34;`,
				`job="b"`, `job="n"`, `job=\"b\"`, `job=\"n\"`,
				"job%3D%22b%22", "job%3D%22n%22").Replace(w.Body.String())
		}
		if there.Code != absent.Code || normal(there) != normal(absent) {
			t.Errorf("%s: %d %s\nbut %d %s", path, there.Code, there.Body, absent.Code, absent.Body)
		}
	}
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		there, absent := as(s, "c", method, "/metrics/job/b/team/billing", ""), as(s, "c", method, "/metrics/job/n/team/billing", "")
		if there.Code != 403 || strings.ReplaceAll(there.Body.String(), `"b"`, `"n"`) != absent.Body.String() {
			t.Errorf("%s: %d %s, but %s", method, there.Code, there.Body, absent.Body)
		}
	}
	if w := as(s, "c", "GET", "/status", ""); !strings.Contains(w.Body.String(), "<dt>Groups</dt><dd>1</dd>") {
		t.Errorf("the status page counts more than the own group: %s", w.Body)
	}
	status := as(s, "o", "GET", "/status", "").Body.String()
	if !strings.Contains(status, "wrongpath") || !strings.Contains(status, "rejectedjob") {
		t.Errorf("the operator sees less than all: %s", status)
	}
	// The same page as another user has another version.
	first := as(s, "c", "GET", "/", "").Header().Get("ETag")
	if w := as(s, "b", "GET", "/", "", "If-None-Match", first); w.Code != 200 {
		t.Errorf("the page of another user: %d", w.Code)
	}
	if w := as(s, "c", "GET", "/", "", "If-None-Match", first); w.Code != 304 {
		t.Errorf("the same page again: %d", w.Code)
	}
}

func TestButtonsFollowRights(t *testing.T) {
	s, _ := newTeams(t, nil)
	as(s, "o", "PUT", "/metrics/job/a/team/checkout", "m 1\n")
	as(s, "o", "PUT", "/metrics/job/b/team/billing", "m 1\n")
	for _, path := range []string{"/", "/groups/job/%s", "/status"} {
		for token, job := range map[string]string{"c": "a/team/checkout", "b": "b/team/billing", "o": "a/team/checkout"} {
			page := as(s, token, "GET", strings.ReplaceAll(path, "%s", job), "").Body.String()
			offers := strings.Contains(page, "delete?")
			if want := token == "o" || token == "c" && path != "/status"; offers != want {
				t.Errorf("%s as %s offers to delete: %v, want %v", path, token, offers, want)
			}
		}
	}
	if w := as(s, "b", "POST", "/delete", "group=job/b/team/billing", "Content-Type", "application/x-www-form-urlencoded"); w.Code != 403 {
		t.Errorf("deleting without the right: %d", w.Code)
	}
	if w := as(s, "c", "GET", "/delete?all=yes", ""); w.Code != 403 || !strings.Contains(w.Body.String(), "lacks the right admin") {
		t.Errorf("deleting all without the right: %d %s", w.Code, w.Body)
	}
}

func TestDeletingBySelectorIsLimited(t *testing.T) {
	s, log := newTeams(t, nil)
	for _, path := range []string{"/metrics/job/a/team/checkout", "/metrics/job/b/team/checkout", "/metrics/job/b/team/billing"} {
		as(s, "o", "PUT", path, "m 1\n")
	}
	w := as(s, "c", "DELETE", "/api/v1/groups?match[]="+url.QueryEscape(`{job=~".+"}`), "")
	var answer struct {
		Data struct {
			Count     int
			LimitedTo string `json:"limited_to"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Data.Count != 2 || answer.Data.LimitedTo != `{team="checkout"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := s.config.Store.Totals().Groups; n != 1 {
		t.Errorf("%d groups are left, want 1", n)
	}
	if !strings.Contains(log.String(), "msg=audit event=delete client=192.0.2.1:1234 user=checkout groups=2") {
		t.Errorf("log: %s", log)
	}
}

func TestBulkPushChecksEachGroup(t *testing.T) {
	s, log := newTeams(t, nil)
	const target = "/api/v1/push?group_by=job,team"
	w := as(s, "c", "POST", target, "m{job=\"a\",team=\"checkout\"} 1\nm{job=\"b\",team=\"billing\"} 1\nm{job=\"c\"} 1\n")
	var answer struct {
		Data struct {
			Applied, Rejected int
			Groups            []struct{ Path, State, Reason, Message string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 207 || answer.Data.Applied != 1 || answer.Data.Rejected != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, g := range answer.Data.Groups {
		denied := g.State == "rejected" && g.Reason == "right" && strings.Contains(g.Message, "lacks the right push")
		if denied == strings.Contains(g.Path, "checkout") {
			t.Errorf("%+v", g)
		}
	}
	if n := s.config.Store.Totals().Groups; n != 1 {
		t.Errorf("%d groups, want 1", n)
	}
	if !strings.Contains(log.String(), "event=denied client=192.0.2.1:1234 user=checkout right=push method=POST path=/api/v1/push groups=2") {
		t.Errorf("log: %s", log)
	}
	if rejections := s.history.Rejections(); len(rejections) != 0 {
		t.Errorf("the history of the groups says %v", rejections)
	}
	if w := as(s, "c", "POST", target, "m{job=\"b\",team=\"billing\"} 1\n"); w.Code != 403 {
		t.Errorf("without any own group: %d %s", w.Code, w.Body)
	}
	if w := as(s, "p", "POST", target, "m{job=\"b\",team=\"billing\"} 1\n"); w.Code != 403 {
		t.Errorf("without the right: %d %s", w.Code, w.Body)
	}
}

func TestDeniedPushesLeaveNoTrace(t *testing.T) {
	s, _ := newTeams(t, nil)
	for range 10 {
		as(s, "c", "PUT", "/metrics/job/b/team/billing", "m 1\n")
		as(s, "c", "PUT", "/metrics/job/b/team/billing", "m 1 1\n")
	}
	if n := s.config.Store.Totals().Groups; n != 0 {
		t.Errorf("%d groups", n)
	}
	if rejections := s.history.Rejections(); len(rejections) != 0 {
		t.Errorf("the history says %v", rejections)
	}
	metrics := as(s, "p", "GET", "/metrics", "").Body.String()
	if !strings.Contains(metrics, `pushgateway_auth_denied_total{right="push"} 20`) {
		t.Errorf("metrics: %s", metrics)
	}
}

func TestChallenges(t *testing.T) {
	s, _ := newTeams(t, nil)
	for _, c := range []struct {
		method, path, accept string
		want                 []string
		form                 bool
	}{
		{"PUT", "/metrics/job/a", "", []string{`Basic realm="Pushgateway", charset="UTF-8"`, `Bearer realm="Pushgateway"`}, false},
		{"GET", "/metrics", "text/plain", []string{`Basic realm="Pushgateway", charset="UTF-8"`, `Bearer realm="Pushgateway"`}, false},
		{"GET", "/?search=x", "text/html,*/*;q=0.8", []string{`Bearer realm="Pushgateway"`}, true},
	} {
		w := do(s, c.method, c.path, "", "Accept", c.accept)
		if w.Code != 401 || !slices.Equal(w.Header()["Www-Authenticate"], c.want) {
			t.Errorf("%s %s: %d %v", c.method, c.path, w.Code, w.Header())
		}
		if got := strings.Contains(w.Body.String(), `<form class="signin"`); got != c.form {
			t.Errorf("%s %s has a form: %v", c.method, c.path, got)
		}
		if c.form && !strings.Contains(w.Body.String(), `name="next" value="/?search=x"`) {
			t.Errorf("the form does not lead back: %s", w.Body)
		}
	}
}

// signIn posts the sign-in form.
func signIn(s http.Handler, fields url.Values, headers ...string) *httptest.ResponseRecorder {
	return do(s, "POST", "/sign-in", fields.Encode(), append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
}

func TestSigningInAndOut(t *testing.T) {
	s, log := newTeams(t, nil)
	as(s, "o", "PUT", "/metrics/job/a/team/checkout", "m 1\n")
	if w := do(s, "GET", "/sign-in", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `<form class="signin"`) {
		t.Errorf("the form: %d", w.Code)
	}
	if w := signIn(s, url.Values{"token": {"wrong"}, "next": {"/x"}}); w.Code != 401 || w.Header().Get("Set-Cookie") != "" ||
		!strings.Contains(w.Body.String(), "the token is not valid") || !strings.Contains(w.Body.String(), `value="/x"`) {
		t.Errorf("a wrong token: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := signIn(s, url.Values{"token": {"c"}}, "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("from another site: %d", w.Code)
	}
	w := signIn(s, url.Values{"token": {"c"}, "next": {"/?search=a"}})
	if w.Code != 303 || w.Header().Get("Location") != "./?search=a" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	set := w.Header().Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Expires="} {
		if !strings.Contains(set, want) {
			t.Errorf("the cookie lacks %s: %s", want, set)
		}
	}
	if strings.Contains(set, "Secure") {
		t.Errorf("without TLS the cookie would not come back: %s", set)
	}
	cookie, _, _ := strings.Cut(set, ";")
	page := do(s, "GET", "/", "", "Cookie", cookie).Body.String()
	for _, want := range []string{"Signed in as", "checkout", "Sign out", "job/a"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if w := do(s, "DELETE", "/metrics/job/a/team/checkout", "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("a request of another site with the cookie: %d", w.Code)
	}
	w = do(s, "POST", "/sign-out", "", "Cookie", cookie)
	if w.Code != 303 || !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := do(s, "GET", "/", "", "Cookie", cookie); w.Code != 401 {
		t.Errorf("after signing out: %d", w.Code)
	}
	for _, want := range []string{
		"event=sign-in client=192.0.2.1:1234 user=checkout", `event="sign-in failed"`,
		"event=sign-out client=192.0.2.1:1234 user=checkout",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
	if strings.Contains(log.String(), "wrong") {
		t.Error("a token that was tried is in the log")
	}
}

func TestSigningInLeadsToNoOtherSite(t *testing.T) {
	s, _ := newTeams(t, nil)
	for _, next := range []string{
		"https://evil.example/", "//evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)",
		"/a\r\nSet-Cookie: x=y", "///evil.example", "%2f%2fevil.example",
	} {
		w := signIn(s, url.Values{"token": {"c"}, "next": {next}})
		location := w.Header().Get("Location")
		target, err := url.Parse("http://gateway.example/sign-in")
		if err == nil {
			target, err = target.Parse(location)
		}
		if err != nil || w.Code != 303 || !strings.HasPrefix(location, "./") || target.Host != "gateway.example" ||
			len(w.Header()["Set-Cookie"]) != 1 {
			t.Errorf("%q leads to %q", next, location)
		}
	}
}

func TestCookiesAreSecureUnderTLS(t *testing.T) {
	s, _ := newTeams(t, func(c *Config) { c.RoutePrefix = "" })
	r := httptest.NewRequest("POST", "https://gateway.example/sign-in", strings.NewReader("token=c"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if set := w.Header().Get("Set-Cookie"); !strings.Contains(set, "Secure") {
		t.Errorf("cookie %s", set)
	}
}

func TestReloadTakesAwayRights(t *testing.T) {
	text := threeTeams
	var mu sync.Mutex
	load := func() (*access.Policy, error) {
		mu.Lock()
		defer mu.Unlock()
		return access.Parse([]byte(withTokens(text)))
	}
	guard, err := access.NewGuard(access.Config{Load: load, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s, log := newTeams(t, func(c *Config) { c.Guard, c.Quit = guard, func() {} })
	cookie, _, _ := strings.Cut(signIn(s, url.Values{"token": {"c"}}).Header().Get("Set-Cookie"), ";")
	if w := do(s, "GET", "/", "", "Cookie", cookie); w.Code != 200 {
		t.Fatalf("signed in: %d", w.Code)
	}
	change := func(to string) {
		mu.Lock()
		defer mu.Unlock()
		text = to
	}
	change("nonsense: 1")
	if w := as(s, "o", "PUT", "/-/reload", ""); w.Code != 500 || !strings.Contains(w.Body.String(), "unknown key nonsense") {
		t.Errorf("a wrong file: %d %s", w.Code, w.Body)
	}
	if w := do(s, "GET", "/", "", "Cookie", cookie); w.Code != 200 {
		t.Errorf("after a failed reload: %d", w.Code)
	}
	change(strings.Replace(threeTeams, "TOKEN(c)", "TOKEN(new)", 1))
	if w := as(s, "o", "PUT", "/-/reload", ""); w.Code != 200 {
		t.Fatalf("reload: %d %s", w.Code, w.Body)
	}
	if w := do(s, "GET", "/", "", "Cookie", cookie); w.Code != 401 {
		t.Errorf("the session of a token that is gone: %d", w.Code)
	}
	if w := as(s, "c", "PUT", "/metrics/job/a/team/checkout", "m 1\n"); w.Code != 401 {
		t.Errorf("the token that is gone: %d", w.Code)
	}
	if w := as(s, "new", "PUT", "/metrics/job/a/team/checkout", "m 1\n"); w.Code != 200 {
		t.Errorf("the new token: %d", w.Code)
	}
	if !strings.Contains(log.String(), "event=reload client=192.0.2.1:1234 user=operator succeeded=true") {
		t.Errorf("log: %s", log)
	}
}

func TestWithoutAnAuthFileNobodySignsIn(t *testing.T) {
	s, _ := newTestServer(t, nil)
	for _, path := range []string{"/sign-in", "/sign-out"} {
		if w := do(s, "POST", path, ""); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := do(s, "PUT", "/metrics/job/a", "m 1\n", "Authorization", "Bearer anything"); w.Code != 200 {
		t.Errorf("push with a header for some proxy: %d", w.Code)
	}
	if page := do(s, "GET", "/", "").Body.String(); strings.Contains(page, "visitor") {
		t.Errorf("the page speaks of users: %s", page)
	}
	if metrics := do(s, "GET", "/metrics", "").Body.String(); strings.Contains(metrics, "pushgateway_auth") {
		t.Error("there are metrics about rights")
	}
}

// A push that does not fit beside a group of others is told so, but not which.
func TestConflictsDoNotNameTheGroupsOfOthers(t *testing.T) {
	s, log := newTeams(t, nil)
	as(s, "o", "PUT", "/metrics/job/secretjob/team/billing",
		"# TYPE m counter\nm 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 1\n")
	for _, body := range []string{"# TYPE m gauge\nm 1\n", "h_count 1\n"} {
		w := as(s, "c", "PUT", "/metrics/job/a/team/checkout", body)
		if w.Code != 400 || strings.Contains(w.Body.String(), "secretjob") || !strings.Contains(w.Body.String(), "another group") {
			t.Errorf("PUT %q: %d %s", body, w.Code, w.Body)
		}
		bulk := strings.NewReplacer("m 1", `m{job="a",team="checkout"} 1`, "h_count 1", `h_count{job="a",team="checkout"} 1`).Replace(body)
		w = as(s, "c", "POST", "/api/v1/push?group_by=job,team", bulk)
		if w.Code != 400 || strings.Contains(w.Body.String(), "secretjob") {
			t.Errorf("bulk push of %q: %d %s", body, w.Code, w.Body)
		}
		if w := as(s, "o", "PUT", "/metrics/job/a/team/checkout", body); !strings.Contains(w.Body.String(), "secretjob") {
			t.Errorf("the operator: %s", w.Body)
		}
	}
	for _, path := range []string{"/groups/job/a/team/checkout", "/api/v1/groups/job/a/team/checkout", "/status", "/"} {
		if w := as(s, "c", "GET", path, ""); w.Code != 200 || strings.Contains(w.Body.String(), "secretjob") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if !strings.Contains(log.String(), "secretjob") {
		t.Error("the log does not name the group")
	}
}
