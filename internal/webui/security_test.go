package webui_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

func TestHostileLabels(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `" onclick="alert(1)`, `' x='`, `javascript:alert(1)`, `{{.Total}}`, `]]><!--`,
		"\x00\x1b\n\t", "\u202egnp.exe", `\`, "a/b", "..", "%2e%2e", "?#&;+ ", "é",
	} {
		s := store.InMemory()
		group1 := key("job", hostile, "l"+hostile, hostile)
		put(t, s, group1)
		page := groups(t, newPages(t, ""), "", s)
		for _, markup := range []string{"<script>", "<!--"} {
			if strings.Contains(page, markup) {
				t.Errorf("%q is on the page as %s", hostile, markup)
			}
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%d scripts with %q", n, hostile)
		}
		if page := group(t, newPages(t, ""), "", sourceOf(s), group1); strings.Count(page, "<script") != 1 || strings.Contains(page, "<!--") {
			t.Errorf("the page of the group has markup of %q", hostile)
		}
		// A browser resolves the link to the path that names the group.
		for _, base := range []string{"http://h/", "http://h/pg/?page=2"} {
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			_, row, _ := strings.Cut(page, "data-key=")
			link, err := u.Parse(attributes(row, "href")[0])
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSuffix(u.Path, "/") + strings.Replace(group1.Path(), "/metrics/", "/groups/", 1)
			if link.EscapedPath() != want || link.Host != "h" {
				t.Errorf("the link resolves to %s, want %s", link, want)
			}
		}
	}
}

// Every link stays below the directory that the page is in, whatever that is.
func TestLinksAreRelative(t *testing.T) {
	s := store.InMemory()
	for i := range 300 {
		put(t, s, key("job", fmt.Sprint(i)))
	}
	p := newPages(t, "http://example.org/elsewhere")
	base, _ := url.Parse("https://proxy/some/prefix/?page=2")
	for _, page := range []string{groups(t, p, "?page=2&search=1", s), status(t, p, webui.Status{})} {
		links := slices.Concat(attributes(page, "href"), attributes(page, "src"), attributes(page, "action"))
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
