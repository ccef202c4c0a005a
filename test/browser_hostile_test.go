package test

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// hostile are texts that pages must show as they are.
var hostile = []string{
	`<script>window.hacked=1</script>`, `"><img src=x onerror=window.hacked=1>`, `' onmouseover='window.hacked=1`,
	`javascript:window.hacked=1`,
	`</title></textarea></style>`, `{{.}}${1}`, "\u202egnp.exe\u2066", "a\nb\tc", `\`, "../..", "%2e%2e%2f", "🙂é",
}

func testHostile(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	const quote = `"\` + "\n"
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace
	long := strings.Repeat(`<b>x</b>"`, 1200) // over 10 KB
	for i, text := range append(hostile, long) {
		path := "/metrics/job@base64/" + encode(text) + "/l@base64/" + encode(text+quote)
		help := strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(text)
		p.push(t, "PUT", path, fmt.Sprintf("# HELP m%d %s\n# TYPE m%[1]d gauge\nm%[1]d{x=\"%[3]s\"} 1\n", i, help, escape(text)))
		// The message of a rejection quotes the push.
		client := strings.NewReplacer("\n", "", "\t", "", "\u202e", "").Replace(text)
		body := fmt.Sprintf("m%d{x=\"%s\"} 1 1\nm%d{y=\"%[2]s\" 1\n", i, escape(text), i)
		if a := p.do(t, "PUT", path, body, "User-Agent", client); a.status != 400 {
			t.Fatalf("%.100q: status %d, want 400: %s", text, a.status, a.body)
		}
	}
	b := open(t, browser, p.URL, "/")
	b.awaitRows(len(hostile) + 1)
	links := eval[[]string](b, `[...document.querySelectorAll("table.list tbody th a")].map((a) => a.href)`)
	deletes := eval[[]string](b, `[...document.querySelectorAll("table.list tbody .act a")].map((a) => a.href)`)
	page := b.text()
	for _, text := range hostile {
		if shown := strings.Join(strings.Fields(text), " "); !strings.Contains(strings.Join(strings.Fields(page), " "), shown) {
			t.Errorf("%q is not shown as it is", text)
		}
	}
	paths := []string{
		"/", "/status", "/delete?search=b", "/?search=%22%3E%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E",
		"/?search=%7B%3Cscript%3E", "/?state=%3Cscript%3E", "/?age=%3Cscript%3E", "/?sort=%22%3E",
		"/groups/job/%3Cscript%3E", "/?deleted=%3Cscript%3E",
	}
	for _, link := range append(links, deletes...) {
		paths = append(paths, strings.TrimPrefix(link, p.URL))
	}
	for _, path := range paths {
		if !strings.HasPrefix(path, "/") {
			t.Errorf("a link leads to %s", path)
			continue
		}
		b.visit(path)
		if eval[bool](b, `window.hacked !== undefined`) {
			t.Errorf("%s runs a script that was pushed", path)
		}
		elements := eval[[]string](b, `[...document.querySelectorAll("script, img, style, b b")].map((e) => e.outerHTML)`)
		if len(elements) != 2 {
			t.Errorf("%s has %d scripts, images and the like, want 2: %s", path, len(elements), strings.Join(elements, " "))
		}
		if wide := eval[float64](b, "document.documentElement.scrollWidth"); wide > 1290 {
			t.Errorf("%.60s is %v pixels wide", path, wide)
		}
		if strings.HasPrefix(path, "/groups/") && path != "/groups/job/%3Cscript%3E" {
			b.want("Last rejected", "Metrics 3")
		}
	}
	// What is shown of them can be deleted.
	b.visit("/")
	for left := len(hostile); left >= 0; left-- {
		b.clickTo("table.list tbody .act a")
		b.want("Delete 1 group?")
		b.clickTo(".confirm button")
		b.want("1 group deleted.")
	}
	b.want("No groups are left")
}
