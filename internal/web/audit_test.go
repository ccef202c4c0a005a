package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"golang.org/x/crypto/bcrypt"

	"pushgateway/internal/access"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

// fields are those of a log line.
type fields map[string]any

// audited is a server whose audit lines are read in both formats of the log.
type audited struct {
	*Server
	logfmt, json bytes.Buffer
	auth, rules  string // the text of the files that a reload reads
}

const auditedTeams = `
users:
  - {name: all, bearer_token_sha256: TOKEN(all), allow: [push, delete, scrape, read, admin]}
  - {name: none, bearer_token_sha256: TOKEN(none), allow: []}
  - {name: own, bearer_token_sha256: TOKEN(own), allow: [push, delete, read], match: '{team="own"}'}
  - {name: alice, username: al, password_bcrypt: "PASSWORD", allow: [read]}
`

func newAudited(t *testing.T) *audited {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now() // at which time stops, so that what is throttled stays so
	a := &audited{auth: strings.Replace(auditedTeams, "PASSWORD", string(hash), 1), rules: "rules: []"}
	format := func(name string, to *bytes.Buffer) slog.Handler {
		format := promslog.NewFormat()
		if err := format.Set(name); err != nil {
			t.Fatal(err)
		}
		return promslog.New(&promslog.Config{Format: format, Writer: to}).Handler()
	}
	a.Server, _ = newTestServer(t, func(c *Config) {
		c.Logger = slog.New(slog.NewMultiHandler(format("logfmt", &a.logfmt), format("json", &a.json)))
		c.AdminAPI, c.Quit, c.SelfMetricsPath = true, func() {}, "/self"
		c.Guard, err = access.NewGuard(access.Config{
			Load: func() (*access.Policy, error) { return access.Parse([]byte(withTokens(a.auth))) },
			Now:  func() time.Time { return now }, Logger: c.Logger,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) { return rules.Parse([]byte(a.rules)) })
	})
	return a
}

// lines returns the audit lines since the last call, without what every line of the log has. It
// checks that they say the same in both formats.
func (a *audited) lines(t *testing.T) []fields {
	t.Helper()
	var found []fields
	for text := range strings.Lines(a.json.String()) {
		line := fields{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if line["msg"] == "audit" {
			found = append(found, line)
		}
	}
	var written []string
	for text := range strings.Lines(a.logfmt.String()) {
		if strings.Contains(text, " msg=audit ") {
			written = append(written, text)
		}
	}
	if len(written) != len(found) {
		t.Fatalf("%d lines in logfmt, %d in JSON", len(written), len(found))
	}
	for i, line := range found {
		for _, key := range []string{"time", "level", "source", "msg"} {
			delete(line, key)
		}
		for key, value := range line {
			text := fmt.Sprint(value)
			if !strings.Contains(written[i], " "+key+"="+text) && !strings.Contains(written[i], " "+key+"="+strconv.Quote(text)) {
				t.Errorf("logfmt lacks %s=%s: %s", key, text, written[i])
			}
		}
	}
	a.logfmt.Reset()
	a.json.Reset()
	return found
}

// want checks that there are exactly these audit lines since the last call.
func (a *audited) want(t *testing.T, what string, want ...fields) {
	t.Helper()
	if got := a.lines(t); !slices.EqualFunc(got, want, maps.Equal) {
		t.Errorf("%s: the audit log has\n%v, want\n%v", what, got, want)
	}
}

// prepare stores three groups, and nothing else.
func (a *audited) prepare(t *testing.T) {
	t.Helper()
	if _, err := a.config.Store.Wipe(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/metrics/job/a", "/metrics/job/b/team/own", "/metrics/job/c/team/own"} {
		if w := as(a, "all", "PUT", path, "m 1\n"); w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// deletePage confirms the deletion that the fields select.
func (a *audited) deletePage(t *testing.T, token, fields string) *httptest.ResponseRecorder {
	t.Helper()
	page := as(a, token, "GET", "/delete?"+fields, "").Body.String()
	found := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("the page has no token: %s", page)
	}
	return as(a, token, "POST", "/delete", fields+"&token="+found[1], "Content-Type", "application/x-www-form-urlencoded")
}

// session returns the cookie of a new session.
func (a *audited) session(t *testing.T) string {
	t.Helper()
	cookie, _, _ := strings.Cut(signIn(a, url.Values{"token": {"all"}}).Header().Get("Set-Cookie"), ";")
	a.lines(t)
	return cookie
}

const auditClient = "192.0.2.1:1234"

// auditedRoutes has the rows of the route table that write a line when their request is allowed.
var auditedRoutes = map[string]struct {
	send func(t *testing.T, a *audited, row route) // nil for a request without body
	want fields
}{
	"DELETE " + jobPath + "*":       {nil, fields{"event": "delete", "groups": 1.0, "names": `{job="a"}`}},
	"DELETE " + jobBase64Path + "*": {nil, fields{"event": "delete", "groups": 1.0, "names": `{job="a"}`}},
	"DELETE /api/v1/groups": {
		func(_ *testing.T, a *audited, row route) {
			as(a, "all", row.method, row.path+"?match[]="+url.QueryEscape(`{team="own"}`), "")
		},
		fields{"event": "delete", "groups": 2.0, "names": `{job="b",team="own"} {job="c",team="own"}`, "match": `{team="own"}`},
	},
	"POST /delete": {
		func(t *testing.T, a *audited, _ route) { a.deletePage(t, "all", "group=job/a") },
		fields{"event": "delete", "groups": 1.0, "names": `{job="a"}`, "page": "group=job%2Fa"},
	},
	"PUT /api/v1/admin/wipe":   {nil, fields{"event": "wipe", "groups": 3.0}},
	"GET /api/v1/admin/backup": {nil, fields{"event": "backup"}},
	"PUT /-/quit":              {nil, fields{"event": "quit"}},
	"POST /-/quit":             {nil, fields{"event": "quit"}},
	"PUT /-/reload":            {nil, fields{"event": "reload", "succeeded": true}},
	"POST /-/reload":           {nil, fields{"event": "reload", "succeeded": true}},
	"POST " + signInPath: {
		func(_ *testing.T, a *audited, _ route) { signIn(a, url.Values{"token": {"all"}}) },
		fields{"event": "sign-in"},
	},
	"POST " + signOutPath: {
		func(t *testing.T, a *audited, row route) { do(a, row.method, row.path, "", "Cookie", a.session(t)) },
		fields{"event": "sign-out"},
	},
}

// TestAuditOfEveryRoute walks the route table: each request that is rejected for its sender's
// rights or credential writes one line, and each that is allowed writes the line of
// auditedRoutes, or none if it is not there.
func TestAuditOfEveryRoute(t *testing.T) {
	a := newAudited(t)
	rows, err := a.table()
	if err != nil {
		t.Fatal(err)
	}
	unseen := maps.Clone(auditedRoutes)
	for _, row := range rows {
		name := row.method + " " + row.path
		t.Run(name, func(t *testing.T) {
			a.prepare(t)
			path := row.example()
			if row.path == "/debug/pprof/*" {
				path = "/debug/pprof/cmdline" // others take seconds
			}
			a.lines(t)
			if row.needs != free {
				denied := fields{
					"event": "denied", "client": auditClient, "right": row.needs.needed()[0].String(), "method": row.method, "path": path,
				}
				for token, user := range map[string]string{"": access.Anonymous, "none": "none"} {
					as(a, token, row.method, path, "")
					denied["user"] = user
					a.want(t, user, denied)
				}
				as(a, "wrong", row.method, path, "")
				a.want(t, "a wrong token", fields{
					"event": "authentication failed", "client": auditClient, "user": access.Anonymous,
					"reason": "the bearer token is not valid", "method": row.method, "path": path,
				})
			} else if row.path != signInPath {
				as(a, "wrong", row.method, path, "")
				a.want(t, "a wrong token where none is needed")
			}
			allowed, isAudited := auditedRoutes[name]
			delete(unseen, name)
			if allowed.send != nil {
				allowed.send(t, a, row)
			} else {
				as(a, "all", row.method, path, "")
			}
			if !isAudited {
				a.want(t, "allowed")
				return
			}
			want := maps.Clone(allowed.want)
			want["client"], want["user"] = auditClient, "all"
			a.want(t, "allowed", want)
		})
	}
	if len(unseen) > 0 {
		t.Errorf("the route table lacks %v", slices.Sorted(maps.Keys(unseen)))
	}
}

// TestAuditLines: one line for each event, with who, what, from where, and what became of it.
// Every kind of line that the package writes has a case.
func TestAuditLines(t *testing.T) {
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	own := url.QueryEscape(`{job=~".+"}`)
	by := func(user string, f fields) fields {
		f["client"], f["user"] = auditClient, user
		return f
	}
	type action = func(t *testing.T, a *audited)
	request := func(token, method, path, body string, headers ...string) action {
		return func(_ *testing.T, a *audited) { as(a, token, method, path, body, headers...) }
	}
	signingIn := func(form url.Values) action {
		return func(_ *testing.T, a *audited) { signIn(a, form) }
	}
	withPassword := func(path, user, password string) action {
		return func(_ *testing.T, a *audited) { basic(a, path, user, password) }
	}
	seen := map[string]bool{}
	for _, c := range []struct {
		name string
		do   action
		want []fields
	}{
		{"a sign-in by token", signingIn(url.Values{"token": {"own"}}), []fields{by("own", fields{"event": "sign-in"})}},
		{
			"a sign-in by password", signingIn(url.Values{"username": {"al"}, "password": {"open sesame"}}),
			[]fields{by("alice", fields{"event": "sign-in"})},
		},
		{"a sign-in with a wrong token", signingIn(url.Values{"token": {"secret"}}), []fields{
			by("anonymous", fields{"event": "sign-in failed", "reason": "the token is not valid"}),
		}},
		{"a sign-in with a wrong password", signingIn(url.Values{"username": {"al"}, "password": {"secret"}}), []fields{
			by("anonymous", fields{"event": "sign-in failed", "reason": "the user name or password is not valid", "tried": "alice"}),
		}},
		{"a sign-in by nobody", signingIn(url.Values{"username": {"secret"}, "password": {"secret"}}), []fields{
			by("anonymous", fields{"event": "sign-in failed", "reason": "the user name or password is not valid"}),
		}},
		{"too many sign-ins", func(t *testing.T, a *audited) {
			for i := range 20 {
				signIn(a, url.Values{"username": {"al"}, "password": {fmt.Sprint("secret", i)}})
			}
			a.json.Reset()
			a.logfmt.Reset()
			signIn(a, url.Values{"username": {"al"}, "password": {"secret"}})
		}, []fields{by("anonymous", fields{
			"event": "sign-in failed", "tried": "alice",
			"reason": "too many passwords were tried, and this one was not looked at: try again later",
		})}},
		{"a sign-out", func(t *testing.T, a *audited) { do(a, "POST", signOutPath, "", "Cookie", a.session(t)) }, []fields{
			by("all", fields{"event": "sign-out"}),
		}},
		{"a sign-out without a session", func(t *testing.T, a *audited) { do(a, "POST", signOutPath, "") }, nil},
		{"basic auth", withPassword("/", "al", "open sesame"), nil},
		{"basic auth with a wrong password", withPassword("/", "al", "secret"), []fields{by("anonymous", fields{
			"event": "authentication failed", "reason": "the user name or password is not valid", "tried": "alice", "method": "GET", "path": "/",
		})}},
		{"basic auth with a wrong password where nothing is served", withPassword("/none", "al", "secret"),
			[]fields{by("anonymous", fields{
				"event": "authentication failed", "reason": "the user name or password is not valid", "tried": "alice",
				"method": "GET", "path": "/none",
			})}},
		{"a push with a wrong token to a path that is none", request("secret", "PUT", "/metrics/jobs/a", ""),
			[]fields{by("anonymous", fields{
				"event": "authentication failed", "reason": "the bearer token is not valid", "method": "PUT", "path": "/metrics/jobs/a",
			})}},
		{"a push to a group of others", request("own", "PUT", "/metrics/job/a", "m 1\n"), []fields{
			by("own", fields{"event": "denied", "right": "push", "method": "PUT", "path": "/metrics/job/a"}),
		}},
		{"a bulk push to groups of others", func(t *testing.T, a *audited) {
			as(a, "own", "POST", apiPushPath+"?group_by=job,team", "m{job=\"b\",team=\"own\"} 1\nm{job=\"a\"} 1\nm{job=\"d\"} 1\n")
		}, []fields{by("own", fields{
			"event": "denied", "right": "push", "method": "POST", "path": apiPushPath, "groups": 2.0, "first": `{job="a"}`,
		})}},
		{"an export to a group of others", func(t *testing.T, a *audited) {
			as(a, "own", "POST", otlpPath, `{"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value":
				{"stringValue": "a"}}]}, "scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{"asDouble": 1}]}}]}]}]}`,
				"Content-Type", "application/json")
		}, []fields{by("own", fields{
			"event": "denied", "right": "push", "method": "POST", "path": otlpPath, "groups": 1.0, "first": `{job="a"}`,
		})}},
		{"a delete of no group", request("all", "DELETE", "/metrics/job/none", ""), []fields{
			by("all", fields{"event": "delete", "groups": 0.0, "names": `{job="none"}`}),
		}},
		{"a bulk delete, as far as its sender may", request("own", "DELETE", "/api/v1/groups?match[]="+own, ""),
			[]fields{by("own", fields{
				"event": "delete", "groups": 2.0, "names": `{job="b",team="own"} {job="c",team="own"}`, "match": `{job=~".+"}`,
			})}},
		{"a dry run", request("all", "DELETE", "/api/v1/groups?dry_run=true&match[]="+own, ""), nil},
		{"a delete of one group by page", func(t *testing.T, a *audited) { a.deletePage(t, "own", "group=job/b/team/own") }, []fields{
			by("own", fields{"event": "delete", "groups": 1.0, "names": `{job="b",team="own"}`, "page": "group=job%2Fb%2Fteam%2Fown"}),
		}},
		{"a delete of several groups by page", func(t *testing.T, a *audited) { a.deletePage(t, "own", "search=job") }, []fields{by("own", fields{
			"event": "delete", "groups": 2.0, "names": `{job="b",team="own"} {job="c",team="own"}`, "page": "search=job",
		})}},
		{"a delete of a group of others by page", request("own", "POST", "/delete", "group=job/a", form...), []fields{
			by("own", fields{"event": "denied", "right": "delete", "method": "POST", "path": "/delete"}),
		}},
		{"a delete that is not confirmed", request("all", "POST", "/delete", "group=job/a", form...), nil},
		{"a wipe by page", func(t *testing.T, a *audited) { a.deletePage(t, "all", "all=yes") }, []fields{
			by("all", fields{"event": "wipe", "groups": 3.0}),
		}},
		{"a wipe by page without the right", request("own", "POST", "/delete", "all=yes", form...), []fields{
			by("own", fields{"event": "denied", "right": "admin", "method": "POST", "path": "/delete"}),
		}},
		{"a wipe by the API", request("all", "PUT", "/api/v1/admin/wipe", ""), []fields{
			by("all", fields{"event": "wipe", "groups": 3.0}),
		}},
		{"a backup", request("all", "GET", "/api/v1/admin/backup", ""), []fields{by("all", fields{"event": "backup"})}},
		{"a quit", request("all", "PUT", "/-/quit", ""), []fields{by("all", fields{"event": "quit"})}},
		{"a reload", request("all", "PUT", "/-/reload", ""), []fields{
			by("all", fields{"event": "reload", "succeeded": true}),
		}},
		{"a reload of a wrong auth file", func(_ *testing.T, a *audited) {
			a.auth += "nonsense: 1"
			as(a, "all", "PUT", "/-/reload", "")
		}, []fields{
			by("all", fields{"event": "reload", "succeeded": false}),
		}},
		{"a reload of a wrong rules file", func(_ *testing.T, a *audited) {
			a.rules = "nonsense: 1"
			as(a, "all", "PUT", "/-/reload", "")
		}, []fields{
			by("all", fields{"event": "reload", "succeeded": false}),
		}},
		{"a reload at a signal", func(t *testing.T, a *audited) { a.ReloadAtSignal("SIGHUP") }, []fields{
			{"event": "reload", "signal": "SIGHUP", "succeeded": true},
		}},
		{"a failed reload at a signal", func(_ *testing.T, a *audited) {
			a.rules = "nonsense: 1"
			a.ReloadAtSignal("SIGHUP")
		}, []fields{
			{"event": "reload", "signal": "SIGHUP", "succeeded": false},
		}},
		{"expiry", func(t *testing.T, a *audited) {
			as(a, "all", "PUT", "/metrics/job/short?ttl=1ms", "m 1\n")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a.config.Store.RunExpiry(ctx, func(groups []store.ExpiredGroup) {
				a.Expired(groups)
				cancel()
			})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAudited(t)
			a.prepare(t)
			a.lines(t)
			c.do(t, a)
			if log := a.logfmt.String(); strings.Contains(log, "secret") || strings.Contains(log, "sesame") {
				t.Errorf("the log has a credential: %s", log)
			}
			a.want(t, c.name, c.want...)
		})
		for _, line := range c.want {
			seen[line["event"].(string)] = true
		}
	}
	if written := auditEvents(t); !slices.Equal(slices.Sorted(maps.Keys(seen)), written) {
		t.Errorf("there are cases for %v, but the package writes %v", slices.Sorted(maps.Keys(seen)), written)
	}
}

// basic sends a GET request with a user name and password.
func basic(s http.Handler, path, user, password string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.SetBasicAuth(user, password)
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// auditEvents returns the events in the calls of the auditor's methods in this package.
func auditEvents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	events := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"log", "logSignal", "failed"}, method.Sel.Name) {
				return true
			}
			switch event := call.Args[1].(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(event.Value); err == nil {
					events[text] = true
				}
			default:
				if name != "audit.go" {
					t.Errorf("%s: the event of an audit line is no literal", name)
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(events))
}
