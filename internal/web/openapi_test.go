package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"pushgateway/internal/store"
)

// document is docs/openapi.yaml.
func document(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows keys and references into the document.
func at(t *testing.T, d map[string]any, from any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		object, ok := from.(map[string]any)
		if !ok {
			t.Fatalf("no %q in %v", key, from)
		}
		from = resolved(t, d, object[key])
	}
	return from
}

func resolved(t *testing.T, d map[string]any, value any) any {
	if object, ok := value.(map[string]any); ok {
		if ref, ok := object["$ref"].(string); ok {
			return at(t, d, d, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return value
}

// TestOpenAPINamesAllRoutes holds the document against the routes, both ways. The
// pages for people are no part of the API.
func TestOpenAPINamesAllRoutes(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI, c.Quit = true, func() {} })
	rows, err := s.table()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]map[string]bool{}
	for _, row := range rows {
		path, isPrefix := strings.CutSuffix(row.path, "/*")
		switch {
		case row.form == pageForm, row.method == http.MethodOptions:
			continue
		case strings.HasPrefix(path, "/debug/pprof"), path == "/static", path == "/docs", path == "/metrics/job@base64":
			continue
		case row.method == http.MethodGet && (path == "/-/quit" || path == "/-/reload"):
			continue // it only says which methods there are
		case path == "/metrics/job":
			path += "/{job}"
		case isPrefix:
			path += "/job/{job}"
		}
		if served[path] == nil {
			served[path] = map[string]bool{}
		}
		served[path][row.method] = true
	}
	d := document(t)
	paths := d["paths"].(map[string]any)
	for path, methods := range served {
		for method := range methods {
			operation, _ := paths[path].(map[string]any)
			if operation[strings.ToLower(method)] == nil {
				t.Errorf("%s %s is not in the document", method, path)
			}
		}
	}
	ids := map[any]bool{}
	for path, item := range paths {
		for method, operation := range item.(map[string]any) {
			if method == "parameters" || method == "description" {
				continue
			}
			if !served[path][strings.ToUpper(method)] {
				t.Errorf("%s %s of the document is not served", method, path)
			}
			id := operation.(map[string]any)["operationId"]
			if id == nil || ids[id] {
				t.Errorf("%s %s: operationId %v is missing or taken", method, path, id)
			}
			ids[id] = true
		}
	}
}

// TestAPIPageNamesAllRoutes: docs/API.md names every route, including those of the pages.
func TestAPIPageNamesAllRoutes(t *testing.T) {
	s, _ := newTestServer(t, nil)
	rows, err := s.table()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Endpoints")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range rows {
		if path := strings.TrimSuffix(row.path, "*"); !strings.Contains(table, path) {
			t.Errorf("the table of endpoints in docs/API.md does not name %s", path)
		}
	}
}

// TestOpenAPIDescribesTheAnswers holds the answers against their schemas, as far
// as types, names and what must be there go.
func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a/instance/b", "m 1\n")
	do(s, "PUT", "/metrics/job/a/instance/b", "m{\n")
	do(s, "PUT", "/metrics/job/c", "m 1\n")
	never, err := keyOf("/metrics/job/never", s.config.Validation)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.config.Store.Fail(never, s.config.Clock.Now()); err != nil {
		t.Fatal(err)
	}
	d := document(t)
	check := func(url, path string, status int) {
		t.Helper()
		w := do(s, "GET", url, "")
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", url, w.Header())
		}
		isAsDescribed(t, d, "get", path, w, status)
	}
	const list, one = "/api/v1/groups", "/api/v1/groups/job/{job}"
	check("/api/v1/groups", list, 200)
	check("/api/v1/groups?match[]=%7Bjob%3D%22a%22%7D&match[]=m&search=b&state=failed&age=1h&sort=-bytes&limit=1&offset=0", list, 200)
	check("/api/v1/groups?limit=0", list, 200)
	check("/api/v1/groups?offset=99", list, 200)
	check("/api/v1/groups/job/a/instance/b", one, 200)
	check("/api/v1/groups/job/never", one, 200)
	for _, query := range []string{"match[]=", "search=%7B", "state=x", "age=x", "sort=x", "limit=x", "limit=-1", "limit=10001", "offset=-1"} {
		check("/api/v1/groups?"+query, list, 400)
	}
	check("/api/v1/groups/job/nobody", one, 404)
	check("/api/v1/groups/job/a/instance", one, 400)
	check("/api/v1/groups/x", one, 400)

	// Every parameter that is read is described, and the other way round.
	want := []string{"age", "limit", "match[]", "offset", "search", "sort", "state"}
	if got := names(parameters(t, d, list, "get")); !slices.Equal(got, want) {
		t.Errorf("parameters %q, want %q", got, want)
	}
}

// isAsDescribed expects an answer of the given status, in JSON and as its schema
// says.
func isAsDescribed(t *testing.T, d map[string]any, method, path string, w *httptest.ResponseRecorder, status int) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: %d, want %d; %v %s", method, path, w.Code, status, w.Header(), w.Body)
	}
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	schema := at(t, d, d, "paths", path, method, "responses", fmt.Sprint(status), "content", "application/json", "schema")
	conforms(t, d, fmt.Sprintf("%s %s: %d", method, path, status), schema, body)
}

// parameters returns what an operation takes beside its body and its path.
func parameters(t *testing.T, d map[string]any, path, method string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, parameter := range at(t, d, d, "paths", path, method, "parameters").([]any) {
		all = append(all, resolved(t, d, parameter).(map[string]any))
	}
	return all
}

// names returns the sorted names of parameters.
func names(parameters []map[string]any) []string {
	var all []string
	for _, parameter := range parameters {
		all = append(all, parameter["name"].(string))
	}
	slices.Sort(all)
	return all
}

func TestOpenAPIDescribesBulkPushes(t *testing.T) {
	d := document(t)
	s, _ := newTestServer(t, nil)
	const path = "/api/v1/push"
	push := func(s *Server, status int, query, body string, headers ...string) {
		t.Helper()
		isAsDescribed(t, d, "post", path, do(s, "POST", path+query, body, headers...), status)
	}
	const by, a, b = "?group_by=job,instance", "m{job=\"a\",instance=\"i\"} 1\n", "m{job=\"b\"} 1\n"
	push(s, 200, by, a+b)
	push(s, 200, by, a, "Idempotency-Key", "x")
	push(s, 200, by, a, "Idempotency-Key", "x")
	push(s, 200, by, "")
	do(s, "POST", "/metrics/job/summed?merge=sum", "# TYPE c_total counter\nc_total 1\n")
	push(s, 207, by, a+"m{job=\"summed\"} 1\n")
	push(s, 400, by, "m{job=\"summed\"} 1\n")
	push(s, 400, by, "m{")
	push(s, 400, by, "m 1\n")
	push(s, 400, "", a)
	push(s, 400, by+"&ttl=x", a)
	push(s, 415, by, "x", "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "0.1.0")
	full, _ := newTestServer(t, func(c *Config) { c.Store = withJournal(t, diskFull{}) })
	push(full, 503, by, a)
}

// diskFull is a journal that accepts no changes at the moment.
type diskFull struct{ store.Memory }

func (j diskFull) Begin(context.Context) (store.Changes, error) { return store.Changes{}, j.Ready() }

func (diskFull) Ready() error {
	return &store.UnavailableError{Reason: errors.New("disk full"), RetryAfter: time.Second}
}

func TestOpenAPIDescribesDeletions(t *testing.T) {
	d := document(t)
	s, _ := newTestServer(t, func(c *Config) { c.AdminAPI = true })
	const path = "/api/v1/groups"
	remove := func(s *Server, status int, query string, headers ...string) {
		t.Helper()
		isAsDescribed(t, d, "delete", path, do(s, "DELETE", path+query, "", headers...), status)
	}
	do(s, "PUT", "/metrics/job/a", "m 1\n")
	do(s, "PUT", "/metrics/job/rejected", "m 1 1\n")
	const all = "?match[]=%7Bjob%3D~%22a%7Crejected%22%7D"
	remove(s, 200, all+"&dry_run=true")
	remove(s, 200, all+"&older_than=1h")
	remove(s, 200, all)
	remove(s, 200, all)
	for _, query := range []string{"", "?match[]=%7B%7D", all + "&older_than=x", all + "&dry_run=x", all + "&limit=1"} {
		remove(s, 400, query)
	}
	remove(s, 403, all, "Sec-Fetch-Site", "cross-site")
	closed, _ := newTestServer(t, nil)
	remove(closed, 404, all)
	if got, want := names(parameters(t, d, path, "delete")), []string{"dry_run", "match[]", "older_than"}; !slices.Equal(got, want) {
		t.Errorf("parameters %q, want %q", got, want)
	}
}

// TestOpenAPIDescribesOptions holds the options of pushes against those that are
// taken, with all their values.
func TestOpenAPIDescribesOptions(t *testing.T) {
	d := document(t)
	s, _ := newTestServer(t, nil)
	described := map[string][]string{}
	for i, p := range parameters(t, d, "/metrics/job/{job}", "post") {
		name, in := p["name"].(string), p["in"].(string)
		values, _ := at(t, d, p, "schema").(map[string]any)["enum"].([]any)
		if values == nil {
			values = []any{p["example"]}
		}
		for n, value := range values {
			url, headers := fmt.Sprintf("/metrics/job/%d/n/%d", i, n), []string(nil)
			if strings.HasSuffix(strings.ToLower(name), "gauges") {
				url = "/with/merge=sum" + url
			}
			if in == "query" {
				url += "?" + name + "=" + value.(string)
			} else {
				headers = []string{name, value.(string)}
			}
			if w := do(s, "POST", url, "# TYPE m gauge\nm 1\n", headers...); w.Code != 200 {
				t.Errorf("%s %v: %d %s", url, headers, w.Code, w.Body)
			}
		}
		described[in] = append(described[in], name)
	}
	// Who asks for an unknown option is told which there are.
	listed := func(behind string, w *httptest.ResponseRecorder) []string {
		_, list, _ := strings.Cut(strings.TrimSpace(w.Body.String()), behind)
		return slices.Sorted(strings.SplitSeq(list, ", "))
	}
	manyGroups := []string{"group_by", "Pushgateway-Group-By"} // not for pushes to one group
	described["query"], described["header"] = append(described["query"], manyGroups[0]), append(described["header"], manyGroups[1])
	slices.Sort(described["query"])
	if known := listed("the options are ", do(s, "POST", "/with/x=y/metrics/job/a", "")); !slices.Equal(described["query"], known) {
		t.Errorf("in the query %q, want %q", described["query"], known)
	}
	slices.Sort(described["header"])
	known := append(listed("the headers are ", do(s, "POST", "/metrics/job/a", "", "Pushgateway-X", "y")), idempotencyHeader)
	slices.Sort(known)
	if !slices.Equal(described["header"], known) {
		t.Errorf("headers %q, want %q", described["header"], known)
	}
	of := names(parameters(t, d, "/metrics/job/{job}", "post"))
	if got := names(parameters(t, d, "/metrics/job/{job}", "put")); !slices.Equal(got, of) {
		t.Errorf("PUT has %q, POST %q", got, of)
	}
	of = append(of, manyGroups...)
	slices.Sort(of)
	for _, path := range []string{apiPushPath, otlpPath} {
		if got := names(parameters(t, d, path, "post")); !slices.Equal(got, of) {
			t.Errorf("pushes to %s have %q, want %q", path, got, of)
		}
	}
}

// conforms checks the parts of JSON Schema that the document uses.
func conforms(t *testing.T, d map[string]any, where string, schema, value any) {
	t.Helper()
	rules, _ := resolved(t, d, schema).(map[string]any)
	if all, ok := rules["allOf"].([]any); ok {
		known := map[string]any{}
		for _, one := range all {
			one := resolved(t, d, one).(map[string]any)
			maps.Copy(known, one["properties"].(map[string]any))
			for _, name := range one["required"].([]any) {
				if _, ok := value.(map[string]any)[name.(string)]; !ok {
					t.Errorf("%s: no %v", where, name)
				}
			}
		}
		rules = map[string]any{"type": "object", "properties": known}
	}
	if some, ok := rules["oneOf"].([]any); ok {
		for _, one := range some {
			if isNull := one.(map[string]any)["type"] == "null"; isNull == (value == nil) {
				conforms(t, d, where, one, value)
			}
		}
		return
	}
	if constant, ok := rules["const"]; ok && constant != value {
		t.Errorf("%s: %v, want %v", where, value, constant)
	}
	if allowed, ok := rules["enum"].([]any); ok && !slices.Contains(allowed, value) {
		t.Errorf("%s: %v is none of %v", where, value, allowed)
	}
	types, ok := rules["type"].([]any)
	if !ok && rules["type"] != nil {
		types = []any{rules["type"]}
	}
	if got := typeOf(value); len(types) > 0 && !slices.Contains(types, any(got)) {
		t.Errorf("%s: %v is a %s, want %v", where, value, got, types)
	}
	switch value := value.(type) {
	case map[string]any:
		properties, _ := rules["properties"].(map[string]any)
		for name, content := range value {
			inner, known := properties[name]
			if !known {
				if inner, known = rules["additionalProperties"]; !known && properties != nil {
					t.Errorf("%s: %q is not described", where, name)
				}
			}
			conforms(t, d, where+"."+name, inner, content)
		}
		required, _ := rules["required"].([]any)
		for _, name := range required {
			if _, ok := value[name.(string)]; !ok {
				t.Errorf("%s: no %v", where, name)
			}
		}
	case []any:
		for i, content := range value {
			conforms(t, d, fmt.Sprintf("%s[%d]", where, i), rules["items"], content)
		}
	}
}

func typeOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if value == float64(int64(value)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
