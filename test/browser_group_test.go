package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func testRejection(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a", "# TYPE m gauge\nm 1\n")
	p.push(t, "PUT", "/metrics/job/b", "n 1\n")
	if a := p.do(t, "PUT", "/metrics/job/b", "# TYPE m counter\nm 1\n", "User-Agent", "nightly/1.0"); a.status != 400 {
		t.Fatal(a)
	}
	if a := p.do(t, "PUT", "/metrics/job/c", "m{ 1\n"); a.status != 400 {
		t.Fatal(a)
	}
	if a := p.do(t, "PUT", "/metrics/job/d/path/x/y", "m 1\n"); a.status != 400 {
		t.Fatal(a)
	}
	b := open(t, browser, p.URL, "/?state=failed")
	b.awaitRows(2) // also the group that no push was accepted to
	b.want("2 of 3 groups", "last push failed", "\"m\" is pushed as counter", "job=c", "never accepted")
	b.clickTo("table.list tbody th a")
	b.want("The last push was rejected", "type_conflict", "nightly/1.0", "127.0.0.1:",
		`"m" is pushed as counter, but group {job="a"} holds it as gauge`, "# TYPE m gauge", "Last pushes", "accepted", "rejected")
	b.clickTo(`.rejection a[href*="help#"]`)
	if got := b.address(); got != "/help#type_conflict" {
		t.Errorf("the explanation is at %s", got)
	}
	// A body that could not be read leaves no group, but its page says why.
	b.visit("/groups/job/c")
	b.want("no push to it was accepted", "never accepted", "malformed", "Last pushes")
	rejected := eval[string](b, `document.querySelectorAll(".facts dd")[2].innerText`)
	if !strings.HasSuffix(rejected, "ago") && rejected != "just now" {
		t.Errorf("last rejected: %q", rejected)
	}
	b.clickTo(".facts a.danger")
	b.want("Delete 1 group?")
	b.clickTo(".confirm button")
	b.want("1 group deleted.", "2 groups")
	b.visit("/status")
	b.want("Recent rejections", "type_conflict", "malformed", "/metrics/job/d/path/x/y", "odd number of components", "job=c", "nightly/1.0")
	b.visit("/groups/job/nobody")
	b.want("No such group", `{job="nobody"}`)
}

func testCharts(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a", exampleHistogram+exampleSummary)
	p.push(t, "PUT", "/metrics/job/b", nativeHistogram(t), "Content-Type", protobufType)
	b := open(t, browser, p.URL, "/groups/job/a")
	heights := eval[[]float64](b, `[...document.querySelectorAll("figure rect.bars")].map((r) => r.getBoundingClientRect().height)`)
	if len(heights) != 7 || heights[3] <= heights[2] || heights[2] <= heights[1] || heights[6] < 1 {
		t.Errorf("bars %v for 2, 7, 12, 17, 4, 1 and 1 observations", heights)
	}
	if got := eval[string](b, `document.querySelectorAll("figure rect.bars title")[3].textContent`); got != "1 – 2.5: 17" {
		t.Errorf("the text of a bar is %q", got)
	}
	if got := eval[int](b, `document.querySelector("path.dots").getAttribute("d").split("M").length - 1`); got != 3 {
		t.Errorf("%d quantiles are drawn", got)
	}
	b.want("44", "68.4", "Time taken per table.", "Latency of calls.")
	b.click("details > summary")
	b.await("the numbers are there", `document.querySelector(".chart details table").checkVisibility()`)
	b.want("1 – 2.5\t17", "> 10\t1")
	b.visit("/groups/job/b")
	b.want("native histogram", "count 21")
	if n := eval[int](b, `document.querySelectorAll("figure rect.bars").length`); n < 5 {
		t.Errorf("%d bars of a native histogram", n)
	}
	b.axe("charts")
}

func testLargeGroup(t *testing.T, browser context.Context) {
	p := start(t)
	var body strings.Builder
	for i := range 60 {
		fmt.Fprintf(&body, "family_%02d %d\n", i, i)
	}
	for i := range 5000 {
		fmt.Fprintf(&body, "large{n=\"%d\"} %d\n", i, i)
	}
	p.push(t, "PUT", "/metrics/job/a", body.String())
	b := open(t, browser, p.URL, "/groups/job/a")
	b.want("Metrics 63", "Page 1 of 4", "family_00")
	b.write("large")
	b.await("the search is applied", `document.querySelectorAll("article").length === 1`)
	b.want("4,990 more of large")
	b.click(`article p a[href*="family=large"]`)
	b.await("the family is there", `document.querySelectorAll("article table.samples tbody tr").length === 100`)
	b.want("Page 1 of 50")
	b.click(`a[rel="next"]`)
	b.await("its second page is there", `document.querySelector(".paging span").innerText === "Page 2 of 50"`)
	b.visit("/groups/job/a?search=4999")
	b.want("n=4999", "4999")
	if n := eval[int](b, `document.querySelectorAll("table.samples tbody tr").length`); n != 1 {
		t.Errorf("%d samples match", n)
	}
}

func testCopy(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a$b/path@base64/L3Zhci90bXA", "m 1\n")
	b := open(t, browser, p.URL, "/")
	b.clickTo("table.list tbody th a")
	copied := func(id string) string {
		t.Helper()
		b.run(chromedp.Evaluate(`navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }`, nil))
		b.click(fmt.Sprintf("button[data-copies=%q]", id))
		b.await("copied", fmt.Sprintf(`document.querySelector('button[data-copies=%q]').innerText === "Copied"`, id))
		return eval[string](b, "window.copied")
	}
	target := p.URL + "/metrics/job/a$b/path@base64/L3Zhci90bXA"
	if got := copied("copy-url"); got != target {
		t.Errorf("copied %q, want %q", got, target)
	}
	if got := copied("copy-selector"); got != `{job="a$b",path="/var/tmp"}` {
		t.Errorf("copied %q", got)
	}
	for _, c := range []struct{ id, status string }{{"copy-push", "200"}, {"copy-delete", "202"}} {
		out := result(t, command(t, "sh", "-c", copied(c.id)+" -sS -w '%{http_code}'"))
		if !strings.HasSuffix(out, c.status) {
			t.Errorf("%s: printed %s, want status %s", c.id, out, c.status)
		}
	}
	if text := p.get(t, "/api/v1/groups"); !strings.Contains(text, `"total":0`) {
		t.Errorf("the copied command did not delete the group: %s", text)
	}
	// Over plain HTTP there is no navigator.clipboard.
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	plain := strings.Replace(p.URL, "127.0.0.1", foreignHost, 1)
	b = open(t, browser, plain, "/groups/job/a")
	eval[bool](b, `(() => { document.execCommand = (what) => { window.copied = what + " " + getSelection(); return true; }; return true; })()`)
	b.click(`button[data-copies="copy-url"]`)
	b.await("copied", `window.copied !== undefined`)
	if got := eval[string](b, "window.copied"); got != "copy "+plain+"/metrics/job/a" {
		t.Errorf("copied %q", got)
	}
}
