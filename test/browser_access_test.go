package test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// brightness returns the sum of red, green and blue of a CSS colour.
const brightness = `((colour) => {
	const context = document.createElement("canvas").getContext("2d");
	context.fillStyle = colour;
	context.fillRect(0, 0, 1, 1);
	const d = context.getImageData(0, 0, 1, 1).data;
	return d[0] + d[1] + d[2];
})`

// testDark looks at the computed colours.
func testDark(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a", exampleHistogram)
	for _, path := range []string{"/", "/groups/job/a", "/status", "/help"} {
		b := open(t, browser, p.URL, path)
		colours := func(dark bool) (ground, text float64) {
			b.screen(1280, 900, dark)
			ground = eval[float64](b, brightness+"(getComputedStyle(document.body).backgroundColor)")
			text = eval[float64](b, brightness+"(getComputedStyle(document.body).color)")
			return ground, text
		}
		if ground, text := colours(false); ground < 700 || text > 150 {
			t.Errorf("%s: light: ground %v, text %v", path, ground, text)
		}
		if ground, text := colours(true); ground > 100 || text < 600 {
			t.Errorf("%s: dark: ground %v, text %v", path, ground, text)
		}
	}
}

// testNarrow checks that nothing is wider than a phone.
func testNarrow(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	pushExamples(t, p)
	long := "job/a/" + strings.Repeat("x", 200) + "/" + strings.Repeat("y", 300)
	p.push(t, "PUT", "/metrics/"+long, exampleHistogram+exampleSummary)
	p.rejected(t, "PUT", "/metrics/"+long, strings.Repeat("z", 900)+" 1 1\n")
	for _, path := range []string{"/", "/?search=xxx", "/groups/" + long, "/status", "/help", "/delete?search=host"} {
		b := open(t, browser, p.URL, path)
		b.screen(320, 740, false)
		b.visit(path)
		if wide := eval[float64](b, "document.documentElement.scrollWidth"); wide > 320 {
			elements := eval[[]string](b, `[...document.querySelectorAll("main *")]
				.filter((e) => e.getBoundingClientRect().right > 321).slice(0, 5).map((e) => e.outerHTML.slice(0, 80))`)
			t.Errorf("%.40s is %v pixels wide: %v", path, wide, elements)
		}
		if path == "/" {
			if !eval[bool](b, `document.querySelector("select[name=sort]").checkVisibility()`) {
				t.Error("the list cannot be sorted")
			}
			b.run(chromedp.SetValue("select[name=sort]", "-labels", chromedp.ByQuery))
			eval[bool](b, `document.querySelector("select[name=sort]").dispatchEvent(new Event("change", {bubbles: true}))`)
			b.await("sorted", `document.querySelector("table.list tbody th").innerText.includes("host-119")`)
			b.axe("narrow list")
		}
	}
}

// testPrint looks at pages as they are printed, in a window as wide as paper.
func testPrint(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	pushExamples(t, p)
	p.push(t, "PUT", "/metrics/job/a?ttl=2d", exampleHistogram+exampleSummary+"m{x=\"1\"} 1\n")
	for _, path := range []string{"/", "/groups/job/a", "/status"} {
		b := open(t, browser, p.URL, path)
		b.run(chromedp.EmulateViewport(794, 1123), emulation.SetEmulatedMedia().WithMedia("print").
			WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
		shown := eval[[]string](b, `[...document.querySelectorAll("header, button, .button, input, select, .paging")]
			.filter((e) => e.checkVisibility()).map((e) => e.outerHTML.slice(0, 80))`)
		if len(shown) > 0 {
			t.Errorf("%s is printed with %q", path, shown)
		}
		if wide := eval[float64](b, "document.documentElement.scrollWidth"); wide > 794 {
			t.Errorf("%s is printed %v pixels wide", path, wide)
		}
		if ground := eval[float64](b, brightness+"(getComputedStyle(document.body).backgroundColor)"); ground < 700 {
			t.Errorf("%s is printed on a dark ground", path)
		}
	}
}

// testKeyboard searches, sorts and deletes by keys alone.
func testKeyboard(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/")
	b.awaitRows(50)
	// focus presses Tab until the element has the focus, and looks whether that can
	// be seen.
	focus := func(selector string) {
		t.Helper()
		for range 80 {
			b.key(kb.Tab)
			if eval[bool](b, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
				if eval[string](b, "getComputedStyle(document.activeElement).outlineStyle") == "none" {
					t.Errorf("the focus on %s cannot be seen", selector)
				}
				return
			}
		}
		t.Fatalf("%s cannot be reached by keys", selector)
	}
	b.await("the page and its script are there", `document.readyState === "complete"`)
	focus(".skip")
	b.key(kb.Enter)
	// The browser moves the focus after a round trip between its processes.
	b.await("the skip link was followed", `location.hash === "#main" && document.activeElement.id === "main"`)
	focus("#search-text")
	b.key("cleaner")
	b.await("the search is applied", `document.getElementById("search-result").innerText === "40 of 120 groups"`)
	focus(`a[href*="sort=-labels"]`)
	b.key(kb.Enter)
	b.await("sorted", `document.querySelector("table.list tbody th").innerText.includes("host-119")`)
	if !eval[bool](b, `document.activeElement.closest("thead") !== null`) {
		t.Error("sorting lost the focus")
	}
	focus("tbody th a")
	b.key(kb.Enter)
	b.await("the group is there", `location.pathname.startsWith("/groups/") && document.readyState === "complete"`)
	focus(".title a.danger")
	b.key(kb.Enter)
	b.await("the question is there", `location.pathname === "/delete" && document.readyState === "complete"`)
	focus(".confirm button")
	b.key(kb.Enter)
	b.await("it is deleted", `document.body.innerText.includes("1 group deleted.")`)
	if text := p.get(t, "/api/v1/groups?search=host-119"); !strings.Contains(text, `"total":0`) {
		t.Errorf("still there: %s", text)
	}
}

// testWithoutScript searches, sorts and deletes where scripts are switched off.
func testWithoutScript(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/help")
	b.run(emulation.SetScriptExecutionDisabled(true))
	b.visit("/")
	b.awaitRows(50)
	if eval[bool](b, "typeof morph !== 'undefined'") {
		t.Fatal("the script runs")
	}
	b.write("cleaner\r")
	b.awaitRows(40)
	b.want("40 of 120 groups")
	b.click(`a[href*="sort=-labels"]`)
	b.await("sorted", `document.querySelector("table.list tbody th").innerText.includes("host-119")`)
	b.click(".bar a.danger")
	b.await("the question is there", `document.querySelector("h1").innerText === "Delete 40 groups?"`)
	b.click(".confirm button")
	b.await("they are deleted", `document.body.innerText.includes("40 groups deleted.")`)
	if eval[bool](b, `[...document.querySelectorAll(".copy")].some((e) => e.checkVisibility())`) {
		t.Error("buttons that do nothing are shown")
	}
}

func testAccessible(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	empty := open(t, browser, p.URL, "/")
	for _, dark := range []bool{false, true} {
		empty.screen(1280, 900, dark)
		empty.axe(fmt.Sprintf("empty, dark %v", dark))
	}
	pushExamples(t, p)
	p.push(t, "PUT", "/metrics/job/a", exampleHistogram+exampleSummary+"m{x=\"1\"} 1\n")
	for range 3 {
		if a := p.do(t, "PUT", "/metrics/job/a", "m 1 1\n"); a.status != http.StatusBadRequest {
			t.Fatal(a)
		}
	}
	if a := p.do(t, "PUT", "/metrics/job/b/x/y/z", "m 1\n"); a.status != http.StatusBadRequest {
		t.Fatal(a)
	}
	for i, path := range []string{
		"/", "/groups/job/a", "/status", "/help", "/delete?search=host", // these in all sizes and colours
		"/?state=failed", "/?search=%7Bjob", "/?search=nothing", "/?age=1s&state=old", "/?deleted=3",
		"/groups/job/a?family=backup_table_duration_seconds", "/groups/job/nobody",
		"/delete?group=job/a", "/delete?all=yes", "/delete",
	} {
		b := open(t, browser, p.URL, path)
		b.axe(path)
		if i < 5 {
			b.screen(1280, 900, true)
			b.axe(path + ", dark")
			b.screen(360, 740, false)
			b.axe(path + ", narrow")
		}
	}
}
