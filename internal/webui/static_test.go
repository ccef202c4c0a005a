package webui_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pushgateway/internal/webui"
)

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
	for _, path := range []string{
		"/static/", "/static/groups.html", "/static/nothing.js", "/static/..", "/static/../webui.go", "/static/assets",
	} {
		if w := get(path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
}
