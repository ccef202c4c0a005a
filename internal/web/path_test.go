package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// keyOf parses a decoded path such as /metrics/job/a.
func keyOf(path string, validation metric.ValidationScheme) (metric.GroupingKey, error) {
	return groupPath(strings.Split(strings.TrimPrefix(path, "/metrics/"), "/")).key(validation)
}

func TestGroupKey(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/metrics/job/a", `{job="a"}`},
		{"/metrics/job/a/", `{job="a"}`},
		{"/metrics/job/a/instance/b", `{instance="b",job="a"}`},
		{"/metrics/job/a/z/1/b/2", `{b="2",job="a",z="1"}`},
		{"/metrics/job/a/l/1/l/2", `{job="a",l="2"}`},
		{"/metrics/job/a/l/1/k/0/l/2/k/3/l/4", `{job="a",k="3",l="4"}`},
		{"/metrics/job/a/job/b", `{job="a"}`},
		{"/metrics/job/a/job/b/job/c/k/1", `{job="a",k="1"}`},
		{"/metrics/job/a/l/", `{job="a",l=""}`},
		{"/metrics/job/a/l@base64/=", `{job="a",l=""}`},
		{"/metrics/job/a/l@base64/", `{job="a",l=""}`},
		{"/metrics/job/a/path@base64/L3Zhci90bXA", `{job="a",path="/var/tmp"}`},
		{"/metrics/job/a/path@base64/L3Zhci90bXA=", `{job="a",path="/var/tmp"}`},
		{"/metrics/job@base64/dGVzdC9qb2I=", `{job="test/job"}`},
		{"/metrics/job/a/name/Προ", `{job="a",name="Προ"}`},
		{"/metrics/job/a/U__foo_2e_bar/x", `{U__foo_2e_bar="x",job="a"}`},
	} {
		t.Run(c.path, func(t *testing.T) {
			if key, err := keyOf(c.path, metric.LegacyValidation); err != nil || key.String() != c.want {
				t.Errorf("got %s, %v, want %s", key, err, c.want)
			}
		})
	}
	t.Run("UTF-8", func(t *testing.T) {
		key, err := keyOf("/metrics/job/a/U__foo_2e_bar@base64/YmF6", metric.UTF8Validation)
		if err != nil || key.String() != `{"foo.bar"="baz",job="a"}` {
			t.Errorf("got %s, %v", key, err)
		}
	})
}

func TestRejectedGroupPaths(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/metrics/job/", "the job name is missing"},
		{"/metrics/job@base64/=", "the job name is missing"},
		{"/metrics/job@base64/!!", "not base64"},
		{"/metrics/job/a/l", `the label "l" has no value`},
		{"/metrics/job/a/path/var/tmp", `if "var/tmp" is the value of path`},
		{"/metrics/job/a/path//var/tmp", "path@base64"},
		{"/metrics/job/a/l//m/x", "write l@base64/= for an empty value"},
		{"/metrics/job/a/__x/y", "reserved"},
		{"/metrics/job/a/bad-label/y", `"bad-label"`},
		{"/metrics/job/a/l@base64/!!", "not base64"},
		{"/metrics/job/a/l@base64/_w", "not valid UTF-8"},
		{"/metrics/job/\xff", "not valid UTF-8"},
	} {
		t.Run(c.path, func(t *testing.T) {
			_, err := keyOf(c.path, metric.LegacyValidation)
			if err == nil || !strings.Contains(err.Error(), c.want) || reasonOf(err) != metric.BadPath {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

// TestEncodedSlashes pushes to paths in which a slash is percent-encoded: it is part of the
// value, wherever it is and whatever precedes the path.
func TestEncodedSlashes(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/metrics/job/x/path/a%2Fb%2fc", `{job="x",path="a/b/c"}`},
		{"/metrics/job/a%2Fb", `{job="a/b"}`},
		{"/metrics/job/%2F/path/%2F%2F", `{job="/",path="//"}`},
		{"/metrics/job/x/url/https%3A%2F%2Fa.b%3Fc", `{job="x",url="https://a.b?c"}`},
		{"/metrics/job/x/%69nstance/y%2Fz", `{instance="y/z",job="x"}`},
		{"//metrics/job/x/path/a%2Fb", `{job="x",path="a/b"}`},
		{"/metrics%2Fjob/x/path/a%2Fb", `{job="x",path="a/b"}`},
		{"/m%65trics/j%6Fb/x/path/a%2Fb/", ""},
		{"/metrics/job%2Fx", `{job="x"}`},
		{"/metrics/job%2Fx%2Finstance%2Fy", `{instance="y",job="x"}`},
		{"/metrics/job%2Fx/instance/y%2Fz", `{instance="y/z",job="x"}`},
		{"/metrics/job/x/instance%2Fy", `{instance="y",job="x"}`},
		{"/metrics/job%2Fa%252Fb", `{job="a%2Fb"}`},
		{"/with/ttl=1h/metrics/job/x/path/a%2Fb", `{job="x",path="a/b"}`},
		{"/metrics/job@base64/YQ/path/%2F", `{job="a",path="/"}`},
		{"/metrics/job/x/path/a%252Fb", `{job="x",path="a%2Fb"}`},
		{"/metrics/job/x/path/a%2Fb/name/%E0%A4%A8", `{job="x",name="न",path="a/b"}`},
	} {
		for _, prefix := range []string{"", "/pg", "/a%20b"} {
			t.Run(prefix+c.path, func(t *testing.T) {
				routePrefix, err := url.PathUnescape(prefix)
				if err != nil {
					t.Fatal(err)
				}
				s, _ := newTestServer(t, func(config *Config) { config.RoutePrefix = routePrefix })
				w := do(s, "PUT", prefix+c.path, "m 1\n")
				if c.want == "" {
					if w.Code != 400 {
						t.Errorf("%d %s", w.Code, w.Body)
					}
					return
				}
				stored := ""
				for g := range s.config.Store.Snapshot().Groups() {
					stored += g.Key.String()
				}
				if w.Code != 200 || stored != c.want {
					t.Errorf("%d %s: stored %s, want %s", w.Code, w.Body, stored, c.want)
				}
				if w := do(s, "DELETE", prefix+c.path, ""); w.Code != 202 || !strings.Contains(w.Body.String(), "1 group deleted: "+c.want) {
					t.Errorf("delete: %d %s", w.Code, w.Body)
				}
			})
		}
	}
}

// TestEncodedSlashesInPages finds a group by a path with an encoded slash.
func TestEncodedSlashesInPages(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a%2Fb", "m 1\n")
	for _, path := range []string{"/api/v1/groups/job/a%2Fb", "/groups/job/a%2Fb", "/delete?group=job/a%252Fb"} {
		if w := do(s, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), "a/b") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

var suggestedURL = regexp.MustCompile(`use the URL 'http://example\.com(/[^']*)'`)

// TestSuggestedURLs sends pushes to URLs with common mistakes, and again to the URL that
// the answer suggests, which must be accepted.
func TestSuggestedURLs(t *testing.T) {
	for _, c := range []struct {
		path   string
		status int
		cause  string // in the answer
		want   string // the key of the group suggested
	}{
		{"/", 405, "the job is missing from the path (/ accepts only GET, OPTIONS)", `{job="my_job"}`},
		{"/metrics", 405, "the job is missing from the path (/metrics accepts only GET, OPTIONS)", `{job="my_job"}`},
		{"/metrics/", 404, "/metrics/job/<job name>", `{job="my_job"}`},
		{"/metrics/job", 404, "/metrics/job/<job name>", `{job="my_job"}`},
		{"/metrics/jobs/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/Metrics/job/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/metrics/Job/x/instance/y", 404, "/metrics/job/<job name>", `{instance="y",job="x"}`},
		{"/metrics/instance/y/job/x", 404, "/metrics/job/<job name>", `{instance="y",job="x"}`},
		{"/metrics/instance/y/job/a%2Fb", 404, "/metrics/job/<job name>", `{instance="y",job="a/b"}`},
		{"/pushgateway/metrics/job/x/instance/y", 404, "/metrics/job/<job name>", `{instance="y",job="x"}`},
		{"/api/v1/metrics/job/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/metrics/job/https://a.b", 400, `the URL "https://a.b"`, `{job="https://a.b"}`},
		{"/metrics/job/http://a.b/c", 400, `the URL "http://a.b/c"`, `{job="http://a.b/c"}`},
		{"/metrics/instance/y", 404, "/metrics/job/<job name>", `{instance="y",job="my_job"}`},
		{"/metrics/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/metrics/metrics/job/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/metric/job/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/job/x/instance/y", 404, "/metrics/job/<job name>", `{instance="y",job="x"}`},
		{"/metrics//job/x", 404, "/metrics/job/<job name>", `{job="x"}`},
		{"/metrics/job/x/instance/y/", 400, "a slash too many at the end", `{instance="y",job="x"}`},
		{"/metrics/job/x/instance//", 400, "is empty, perhaps from an unset variable", `{instance="",job="x"}`},
		{"/metrics/job/x/instance", 400, `the label "instance" has no value`, `{instance="",job="x"}`},
		{"/metrics/job/x/path/var/tmp", 400, "percent-encode it as %2F", `{job="x",path="var/tmp"}`},
		{"/metrics/job/x/url/https://a.b", 400, `the URL "https://a.b"`, `{job="x",url="https://a.b"}`},
		{"/metrics/job/x/url/https://a.b/c", 400, `the URL "https://a.b/c"`, `{job="x",url="https://a.b/c"}`},
		{"/metrics/job/x/url/https:/a.b/c/d", 400, `the URL "https://a.b/c/d"`, `{job="x",url="https://a.b/c/d"}`},
		{"/metrics/job/x/instance/y/url/amqp://h:1/v/w", 400, `the URL "amqp://h:1/v/w"`, `{instance="y",job="x",url="amqp://h:1/v/w"}`},
		{"/metrics/job/x/app-name/y", 400, `"app-name" in "app-name/y" cannot be the name of a label`, `{app_name="y",job="x"}`},
		{"/metrics/job/x/instance/y/my.zone@base64/YQ/a%20b/c", 400, `"my.zone" in`, `{a_b="c",instance="y",job="x",my_zone="a"}`},
		{"/metrics/job/x//instance/y", 400, `a slash too many before "instance/y"`, `{instance="y",job="x"}`},
		{"/metrics/job/x/instance/y//zone/z", 400, `a slash too many before "zone/z"`, `{instance="y",job="x",zone="z"}`},
		{"/metrics/job/x/path@base64/L3Zhci8/dG1w", 400, "in the URL alphabet", `{job="x",path="/var/?tmp"}`},
		{"/metrics/job/x/path@base64/L3Zhci8/dG1w/instance/y", 400, "in the URL alphabet", `{instance="y",job="x",path="/var/?tmp"}`},
	} {
		t.Run(c.path, func(t *testing.T) {
			s, log := newTestServer(t, nil)
			w := do(s, "POST", c.path, "m 1\n")
			found := suggestedURL.FindStringSubmatch(w.Body.String())
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.cause) || found == nil {
				t.Fatalf("%d %s, want %d %q with a URL", w.Code, w.Body, c.status, c.cause)
			}
			hint := strings.Contains(w.Body.String(), "with your job's name instead of my_job")
			if placeholder := strings.Contains(found[1], "my_job"); hint != placeholder {
				t.Errorf("a placeholder: %t, said: %t: %s", placeholder, hint, w.Body)
			}
			if !strings.Contains(log.String(), "push rejected") || !strings.Contains(log.String(), "reason=path") {
				t.Errorf("log: %s", log)
			}
			if page := do(s, "GET", "/status", "").Body.String(); !strings.Contains(page, "use the URL") {
				t.Error("the page does not show the rejection")
			}
			if w := do(s, "POST", found[1], "m 1\n"); w.Code != 200 {
				t.Errorf("%s: %d %s", found[1], w.Code, w.Body)
			}
			for g := range s.config.Store.Snapshot().Groups() {
				if g.Key.String() != c.want {
					t.Errorf("stored %s, want %s", g.Key, c.want)
				}
			}
		})
	}
}

// TestWrongMethodForGroup reads where groups are pushed to, and is told where to read.
func TestWrongMethodForGroup(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a%2Fb/instance/y", "m 1\n")
	w := do(s, "GET", "/metrics/job/a%2Fb/instance/y", "")
	found := regexp.MustCompile(`pushed to it is at 'http://example\.com(/[^']+)'`).FindStringSubmatch(w.Body.String())
	if w.Code != 405 || found == nil || strings.Contains(w.Body.String(), "use the URL") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := do(s, "GET", found[1], ""); w.Code != 200 || !strings.Contains(w.Body.String(), "a/b") {
		t.Errorf("%s: %d %s", found[1], w.Code, w.Body)
	}
}

// TestNoSuggestion: a request that cannot mean a group gets an answer without a URL.
func TestNoSuggestion(t *testing.T) {
	s, log := newTestServer(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/wp-login.php", 404},
		{"POST", "/api/v1/write", 404},
		{"GET", "/metrics/x", 404},
		{"PATCH", "/metrics/x", 404},
		{"PATCH", "/metrics", 405},
		{"POST", "/status", 405},
		{"PUT", "/-/healthy", 405},
	} {
		if w := do(s, c.method, c.path, ""); w.Code != c.status || strings.Contains(w.Body.String(), "use the URL") {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// TestLabelNamesInURL: the answer about a label name that is not allowed shows one that is,
// and the flag that allows it.
func TestLabelNamesInURL(t *testing.T) {
	for _, c := range []struct{ path, valid string }{
		{"/metrics/job/x/app-name/y", "/metrics/job/x/app_name/y"},
		{"/metrics/job/x/app.name/y", "/metrics/job/x/app_name/y"},
		{"/metrics/job/x/app%20name/y", "/metrics/job/x/app_name/y"},
		{"/metrics/job/x/1st/y", "/metrics/job/x/_st/y"},
		{"/metrics/job/x/instance/y/app-name/z", "/metrics/job/x/instance/y/app_name/z"},
	} {
		t.Run(c.path, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			valid := strings.Split(c.valid, "/")
			w := do(s, "PUT", c.path, "m 1\n")
			if w.Code != 400 || !strings.Contains(suggestedURL.FindString(w.Body.String()), "/"+valid[len(valid)-2]+"/") ||
				!strings.Contains(w.Body.String(), "--push.enable-utf8-names") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w := do(s, "PUT", c.valid, "m 1\n"); w.Code != 200 {
				t.Errorf("%s: %d %s", c.valid, w.Code, w.Body)
			}
			s, _ = newTestServer(t, func(config *Config) { config.Validation = metric.UTF8Validation })
			if w := do(s, "PUT", c.path, "m 1\n"); w.Code != 200 {
				t.Errorf("with the flag: %d %s", w.Code, w.Body)
			}
		})
	}
}

// TestStandardBase64 follows the advice for a value in standard base64 that slashes have
// not split.
func TestStandardBase64(t *testing.T) {
	for _, c := range []struct{ value, meant, want string }{
		{"fn5+", "fn5-", `{job="x",l="~~~"}`},
		{"Pz8%2F", "Pz8_", `{job="x",l="???"}`},
		{"Pz8%2Ffn5+YQ==", "Pz8_fn5-YQ", `{job="x",l="???~~~a"}`},
	} {
		t.Run(c.value, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			w := do(s, "PUT", "/metrics/job/x/l@base64/"+c.value, "m 1\n")
			if w.Code != 400 || !strings.Contains(w.Body.String(), "use the URL alphabet") || !strings.Contains(w.Body.String(), ": "+c.meant) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w := do(s, "PUT", "/metrics/job/x/l@base64/"+c.meant, "m 1\n"); w.Code != 200 {
				t.Errorf("%s: %d %s", c.meant, w.Code, w.Body)
			}
			for g := range s.config.Store.Snapshot().Groups() {
				if g.Key.String() != c.want {
					t.Errorf("stored %s, want %s", g.Key, c.want)
				}
			}
		})
	}
}

// TestLongURL answers 414 before it looks at what the URL says, and within time that grows
// with its length only.
func TestLongURL(t *testing.T) {
	s, log := newTestServer(t, nil)
	long := "/metrics/job/a" + strings.Repeat("/l/v", maxURL/4)
	for _, path := range []string{long, "/metrics/job/a?x=" + strings.Repeat("y", maxURL), "/?match%5B%5D=" + strings.Repeat("y", maxURL)} {
		if w := do(s, "PUT", path, "m 1\n"); w.Code != http.StatusRequestURITooLong || !strings.Contains(w.Body.String(), "the URL has") {
			t.Errorf("%.20s: %d %s", path, w.Code, w.Body)
		}
	}
	if !strings.Contains(log.String(), "push rejected") || log.Len() > 3*4096 {
		t.Errorf("a log of %d bytes", log.Len())
	}
	var path strings.Builder
	path.WriteString("/metrics/job/a")
	for i := 0; path.Len() < maxURL-10; i++ {
		path.WriteString("/l" + strings.Repeat("x", i%7) + "/v")
	}
	if w := do(s, "PUT", path.String(), "m 1\n"); w.Code != 200 {
		t.Errorf("a path of %d bytes: %d %s", path.Len(), w.Code, w.Body)
	}
}

// FuzzGroupPath finds the key of a path again by the path of that key.
func FuzzGroupPath(f *testing.F) {
	for _, path := range []string{
		"a", "a/l/v", "a/l@base64/=", "a/l@base64/L3Zhci90bXA", "a/U__foo_2e_bar/x", "a/l//m/x", "../x/.", "%2e", "a/l/ü+ \x00",
		"a%2Fb/l/%2F", "a/url/https://x/y", "a/l@base64/a+/b", "a/l/", "a/l//", "%zz/l/v",
	} {
		f.Add(path, true, false)
		f.Add(path, false, true)
	}
	f.Fuzz(func(t *testing.T, rest string, encodedJob, utf8Names bool) {
		prefix, validation := jobPath, metric.LegacyValidation
		if encodedJob {
			prefix = jobBase64Path
		}
		if utf8Names {
			validation = metric.UTF8Validation
		}
		key, err := groupPath(splitEscaped(strings.TrimPrefix(prefix, "/metrics/") + rest)).key(validation)
		if err != nil {
			if reasonOf(err) != metric.BadPath {
				t.Fatalf("%q: %v", rest, err)
			}
			explain(err, "")
			return
		}
		again, err := groupPath(splitEscaped(strings.TrimPrefix(key.Path(), "/metrics/"))).key(validation)
		if err != nil || again.ID() != key.ID() {
			t.Fatalf("%q is %s with the path %s, which is %s, %v", rest, key, key.Path(), again, err)
		}
	})
}

// FuzzRequestPath splits a path before it decodes it: the components have the slashes of
// the decoded path that were not encoded.
func FuzzRequestPath(f *testing.F) {
	for _, path := range []string{
		"/metrics/job/a%2Fb", "/with/ttl=1h/metrics/job/a%2Fb", "//%2F/metrics", "/%6Detrics/job/%25", "/with/a%3Db/metrics/job/x",
	} {
		f.Add(path)
	}
	s, _ := newTestServer(f, nil)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/" + strings.TrimLeft(path, "/"))
		if err != nil {
			return
		}
		r := s.newRequest(&http.Request{Method: "PUT", URL: u, Header: http.Header{}})
		if joined := "/" + strings.Join(r.components("/"), "/"); joined != r.path {
			t.Fatalf("%q: components %q of %q", path, r.components("/"), r.path)
		}
		s.ServeHTTP(httptest.NewRecorder(), &http.Request{Method: "PUT", URL: u, Header: http.Header{}, Body: http.NoBody})
	})
}
