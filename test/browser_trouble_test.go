package test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// testUnreachable stops the gateway while its list is open.
func testUnreachable(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	b := open(t, browser, p.URL, "/")
	b.awaitRows(1)
	const seen = `document.getElementById("stale").checkVisibility()`
	if eval[bool](b, seen) {
		t.Error("a gateway that answers is said not to")
	}
	p.stop(t)
	b.await("the page says so", seen)
	text := eval[string](b, `document.getElementById("stale").innerText`)
	if !strings.Contains(text, "Not updated since ") || !strings.Contains(text, "cannot be reached") {
		t.Errorf("it says %q", text)
	}
	b.awaitRows(1)
	b.write("x")
	b.await("it says so of a search, too", `location.search === "?search=x" && `+seen)
}

// testStorageWarnings looks at the list of gateways that persist nothing.
func testStorageWarnings(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	b := open(t, browser, p.URL, "/")
	b.awaitRows(1)
	b.want("Not durable: groups are in memory only.")
	b.clickTo(".notice.warn a")
	b.want("not durable")
	if got := eval[string](b, `document.querySelector("#storage ~ p .state").className`); got != "state old" {
		t.Errorf("memory that was asked for has the class %q", got)
	}

	durable := gateway(t, filepath.Join(t.TempDir(), "metrics"))
	durable.push(t, "PUT", "/metrics/job/a", "m 1\n")
	b = open(t, browser, durable.URL, "/")
	b.awaitRows(1)
	if eval[bool](b, `document.querySelector("main .notice") !== null`) {
		t.Errorf("a durable gateway warns: %s", b.text())
	}
}

// testZoomedKeyboard presses Tab through the pages at 200 % zoom: each stop can be seen.
func testZoomedKeyboard(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	pushExamples(t, p)
	p.push(t, "PUT", "/metrics/job/a?ttl=2d", exampleHistogram+exampleSummary+"m{x=\"1\"} 1\n")
	p.rejected(t, "PUT", "/metrics/job/a", "m 1 1\n")
	b := open(t, browser, p.URL, "/")
	b.screen(640, 400, false)
	for _, path := range []string{"/", "/?search=a", "/groups/job/a", "/status", "/help", "/delete?search=host"} {
		b.visit(path)
		for stop := range 70 {
			b.key(kb.Tab)
			// Waits for the browser to have scrolled to the element.
			wrong := eval[string](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
				const e = document.activeElement, r = e.getBoundingClientRect();
				if (e === document.body) return done("end");
				const visible = e.checkVisibility() && r.width > 4 && r.height > 4 &&
					r.left < innerWidth && r.right > 0 && r.top < innerHeight && r.bottom > 0;
				const x = Math.min(Math.max(r.left + 3, 0), innerWidth - 1), y = Math.min(Math.max(r.top + r.height / 2, 0), innerHeight - 1);
				const over = document.elementFromPoint(x, y);
				const clipped = [...(function* () { for (let n = e; n; n = n.parentElement) yield n; })()]
					.some((n) => getComputedStyle(n).clipPath !== "none");
				done(visible && !clipped && over ? "" : e.outerHTML.slice(0, 200));
			})))`)
			if wrong == "end" {
				break
			} else if wrong != "" {
				t.Errorf("%s: stop %d cannot be seen: %s", path, stop, wrong)
			}
		}
	}
}

// testPagingByKeyboard follows the focus and what is announced.
func testPagingByKeyboard(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/")
	b.awaitRows(50)
	for _, want := range []string{"Page 2 of 3", "Page 3 of 3"} {
		eval[bool](b, `(() => { document.querySelector("a[rel=next]").focus(); return true; })()`)
		b.key(kb.Enter)
		b.await("the next page is announced", fmt.Sprintf(`document.getElementById("page").innerText === %q`, want))
		if eval[string](b, `document.getElementById("page").getAttribute("role")`) != "status" {
			t.Error("the page is not announced")
		}
		b.await("the list has the focus", `document.activeElement.id === "list" && scrollY === 0`)
	}
	b.key(kb.Tab)
	if !eval[bool](b, `document.activeElement.closest("#list") !== null`) {
		t.Error("the next stop is not in the list")
	}

	// The help on searching opens and closes by keys.
	b.visit("/")
	eval[bool](b, `(() => { document.querySelector("#search-help summary").focus(); return true; })()`)
	b.key(kb.Enter)
	b.await("the help is open", `document.querySelector("#search-help").open`)
	b.key(kb.Escape)
	b.await("the help is closed", `!document.querySelector("#search-help").open && document.activeElement.localName === "summary"`)
	b.click("#search-help summary")
	b.await("the help is open", `document.querySelector("#search-help").open`)
	b.click("header nav")
	b.await("a click elsewhere closes it", `!document.querySelector("#search-help").open`)
}

// testSearchHistory goes back from a search that was typed.
func testSearchHistory(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/")
	b.awaitRows(50)
	entries := eval[int](b, "history.length")
	b.write("clea")
	b.await("the search is applied", `document.getElementById("search-result").innerText === "40 of 120 groups"`)
	b.key("ner")
	b.await("the rest is applied", `location.search === "?search=cleaner"`)
	if got := eval[int](b, "history.length"); got != entries+1 {
		t.Errorf("a search that was typed has %d entries in the history, want 1", got-entries)
	}
	eval[bool](b, `(() => { history.back(); return true; })()`)
	b.await("the list before is back", `document.getElementById("search-result").innerText === "120 groups"
		&& document.getElementById("search-text").value === "" && location.search === ""`)
}

// testDensity counts the groups that a usual window shows.
func testDensity(t *testing.T, browser context.Context) {
	p := gateway(t, filepath.Join(t.TempDir(), "metrics"), "--push.ttl=30d")
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/")
	b.screen(1280, 800, false)
	b.awaitRows(50)
	shown := eval[int](b,
		`[...document.querySelectorAll("table.list tbody tr")].filter((r) => r.getBoundingClientRect().bottom <= innerHeight).length`)
	if shown < 17 {
		t.Errorf("%d groups are shown on 1280 × 800, want 17", shown)
	}
	widths := func() string {
		return eval[string](b,
			`[...document.querySelectorAll("table.list thead th")].map((h) => Math.round(h.getBoundingClientRect().width)).join()`)
	}
	before := widths()
	b.write("cleaner host-00")
	b.awaitRows(3)
	if after := widths(); after != before {
		t.Errorf("a search changes the widths of the columns from %s to %s", before, after)
	}
}
