package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
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
	served := map[string]route{
		"/metrics/job/{job}":       s.group,
		"/api/v1/groups/job/{job}": s.apiGroup,
	}
	pages := []string{"/", "/status", "/help", "/delete"}
	for path, route := range s.routes {
		if !slices.Contains(pages, path) {
			served[path] = route
		}
	}
	d := document(t)
	paths := d["paths"].(map[string]any)
	for path, route := range served {
		for method := range route {
			if path == "/-/quit" && method == http.MethodGet {
				continue // it only says that it is none
			}
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
			if served[path][strings.ToUpper(method)] == nil {
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

// TestOpenAPIDescribesTheAnswers holds the answers against their schemas, as far
// as types, names and what must be there go.
func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	s, _ := newTestServer(t, nil)
	do(s, "PUT", "/metrics/job/a/instance/b", "m 1\n")
	do(s, "PUT", "/metrics/job/a/instance/b", "m{\n")
	do(s, "PUT", "/metrics/job/c", "m 1\n")
	never, err := parseGroupPath("/metrics/job/never", s.Names)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Store.Fail(never, s.Now()); err != nil {
		t.Fatal(err)
	}
	d := document(t)
	check := func(url, path string, status int) {
		t.Helper()
		w := do(s, "GET", url, "")
		if w.Code != status || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d, want %d; %v", url, w.Code, status, w.Header())
		}
		var body any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v: %s", url, err, w.Body)
		}
		schema := at(t, d, d, "paths", path, "get", "responses", fmt.Sprint(status), "content", "application/json", "schema")
		conforms(t, d, url, schema, body)
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
	var names []string
	for _, parameter := range at(t, d, d, "paths", list, "get", "parameters").([]any) {
		names = append(names, parameter.(map[string]any)["name"].(string))
	}
	slices.Sort(names)
	if want := []string{"age", "limit", "match[]", "offset", "search", "sort", "state"}; !slices.Equal(names, want) {
		t.Errorf("parameters %q, want %q", names, want)
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
