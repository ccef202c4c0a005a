package web

import (
	"net/http"
	"strings"
	"testing"
)

// TestPanic: a panic in a handler is logged with its stack, and answered.
func TestPanic(t *testing.T) {
	s, log := newTestServer(t, nil)
	rows := []route{
		{"GET", "/before", free, 0, textForm, "", func(http.ResponseWriter, *request) error { panic("boom") }},
		{"GET", "/after", free, 0, textForm, "", func(w http.ResponseWriter, _ *request) error { w.WriteHeader(200); panic("late") }},
	}
	s.routes = newRouteTable(rows, s.serve)
	if w := do(s, "GET", "/before", ""); w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, want := range []string{"level=ERROR", "panic=boom", "path=/before", "panic_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is missing in %s", want, log)
		}
	}
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("a response that has started ends with %v", cause)
		}
	}()
	do(s, "GET", "/after", "")
}
