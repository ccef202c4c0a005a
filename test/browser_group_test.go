package test

import (
	"context"
	"fmt"
	"math"
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
		`"m" is pushed as counter, but stored as gauge`, "# TYPE m gauge", `group {job="a"} holds it`, "Last pushes", "accepted", "rejected")
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
	b.clickTo(".title a.danger")
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
	if got := eval[[]string](b, `[...document.querySelectorAll(".share rect")].map((r) => r.getAttribute("width"))`); len(got) != 3 ||
		got[2] != "100%" {
		t.Errorf("the quantiles are drawn as %q", got)
	}
	// Bounds are written where the bars meet, and counts where they are on the scale.
	edges := eval[[]string](b, `[...document.querySelectorAll(".plot svg[role] text:not(.count)")].map((e) => e.textContent)`)
	if got := strings.Join(edges, " "); got != "0.1 0.5 1 2.5 5 10 +Inf" {
		t.Errorf("bounds %s", got)
	}
	counts := eval[[]string](b, `[...document.querySelectorAll(".plot text.count")].map((e) => e.textContent)`)
	if got := strings.Join(counts, " "); got != "2 7 12 17 4 1 1" {
		t.Errorf("counts above the bars: %s", got)
	}
	b.want("median ≈ 1.088", "p90 ≈ 3.5", "p99 > 10")
	if got := eval[float64](b, `(() => {
		const bars = [...document.querySelectorAll("figure rect.bars")].map((r) => r.getBoundingClientRect());
		const tick = document.querySelector(".tick").getBoundingClientRect();
		return Math.abs((bars[0].right + bars[1].left) / 2 - tick.left);
	})()`); got > 2 {
		t.Errorf("the first bound is %v pixels from where the bars meet", got)
	}
	if got := eval[string](b, `[...document.querySelectorAll(".scale text")].map((e) => e.textContent).join(" ")`); got != "0 5 10 15" {
		t.Errorf("scale %q", got)
	}
	b.want("one bar per bucket")
	b.want("44", "68.4", "Time taken per table.", "Latency of calls.")
	b.click("details > summary")
	b.await("the numbers are there", `document.querySelector(".chart details table").checkVisibility()`)
	b.want("1 – 2.5\t17", "> 10\t1", "0.99\t0.21")
	b.visit("/groups/job/b")
	b.want("native histogram", "count 21")
	if n := eval[int](b, `document.querySelectorAll("figure rect.bars").length`); n < 5 {
		t.Errorf("%d bars of a native histogram", n)
	}
	b.want("logarithmic axis")
	if got := eval[bool](b, `document.querySelector("line.zero") !== null &&
		[...document.querySelectorAll(".plot svg[role] text")].some((e) => e.textContent === "0")`); !got {
		t.Error("zero is not marked on the axis of a histogram on both sides of it")
	}
	for _, dark := range []bool{false, true} {
		b.screen(1280, 900, dark)
		b.axe("charts")
		// Graphics need a contrast of 3 to what is behind them.
		contrast := eval[float64](b, `(() => {
			const luminance = (colour) => {
				const context = document.createElement("canvas").getContext("2d");
				context.fillStyle = colour;
				context.fillRect(0, 0, 1, 1);
				const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((c) => c / 255)
					.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
				return 0.2126 * r + 0.7152 * g + 0.0722 * b;
			};
			const bar = luminance(getComputedStyle(document.querySelector("rect.bars")).fill);
			const ground = luminance(getComputedStyle(document.querySelector(".family")).backgroundColor);
			return (Math.max(bar, ground) + 0.05) / (Math.min(bar, ground) + 0.05);
		})()`)
		if contrast < 3 {
			t.Errorf("dark %v: the bars have a contrast of %v", dark, contrast)
		}
	}
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
	b.want("Metrics 63", "Page 1 of 2", "family_00")
	b.write("large")
	b.await("the search is applied", `document.querySelectorAll("table.values tbody").length === 1`)
	b.want("4,990 more of large")
	b.click(`table.values td a[href*="family=large"]`)
	b.await("the family is there", `document.querySelectorAll("table.values tbody tr").length === 100`)
	b.want("Page 1 of 50")
	b.click(`a[rel="next"]`)
	b.await("its second page is there", `document.querySelector(".paging span").innerText === "Page 2 of 50"`)
	b.visit("/groups/job/a?search=4999")
	b.want("n=4999", "4999")
	if n := eval[int](b, `document.querySelectorAll("table.values tbody tr").length`); n != 1 {
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

// testValues reads the table of metrics with a single value.
func testValues(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a/instance/i",
		"# HELP rows Rows read.\n# TYPE rows gauge\nrows{table=\"x\"} 2190807\nrows{table=\"y\"} 258143\n"+
			"ratio 0.30000000000000004\n# TYPE size_bytes gauge\nsize_bytes 1.5e9\n")
	b := open(t, browser, p.URL, "/groups/job/a/instance/i")
	if got := eval[string](b, "document.title"); got != "a instance=i · Pushgateway" {
		t.Errorf("title %q", got)
	}
	type row struct{ Text, Exact string }
	values := eval[[]row](b,
		`[...document.querySelectorAll("table.values .number .value")].map((e) => ({Text: e.textContent, Exact: e.title}))`)
	for i, want := range []row{{"0.3", "0.30000000000000004"}, {"2,190,807", "2.190807e+06"}, {"258,143", "258143"},
		{"1,500,000,000", "1.5e+09"}} {
		if len(values) <= i || values[i] != want {
			t.Errorf("value %d of %v, want %v", i, values, want)
		}
	}
	b.want("Rows read.", "1.4 GiB", "table=x")
	rights := eval[[]float64](b, `[...document.querySelectorAll("table.values .number .value")].map((e) => e.getBoundingClientRect().right)`)
	for _, right := range rights {
		if math.Abs(right-rights[0]) > 0.5 {
			t.Errorf("the values end at %v", rights)
		}
	}
	// Each sample takes one line.
	heights := eval[[]float64](b,
		`[...document.querySelectorAll("table.values tbody tr")].slice(0, 4).map((e) => e.getBoundingClientRect().height)`)
	for _, height := range heights {
		if height > 32 {
			t.Errorf("rows of %v pixels", heights)
		}
	}
	for _, link := range []string{`a[href="../../../../metrics"]`, `a[href="../../../../help#api"]`, `a[href="../../../../help#docs"]`} {
		if !eval[bool](b, fmt.Sprintf("document.querySelector(%q) !== null", link)) {
			t.Errorf("no link %s", link)
		}
	}
}

// testMissing follows a group on its way to Prometheus.
func testMissing(t *testing.T, browser context.Context) {
	p := start(t, "--web.prometheus-url=https://prometheus.example.org/p/")
	p.push(t, "PUT", "/metrics/job/a/instance/i", "m 1\n")
	b := open(t, browser, p.URL, "/groups/job/a/instance/i")
	b.want("The last push was accepted", "Nobody has scraped the gateway since it started.",
		`push_time_seconds{instance="i",job="a"}`, `push_time_seconds{exported_instance="i",exported_job="a"}`, "honor_labels: true")
	want := "https://prometheus.example.org/p/graph?g0.expr=push_time_seconds%7Binstance%3D%22i%22%2Cjob%3D%22a%22%7D&g0.tab=1"
	if got := eval[string](b, `document.querySelector("a[rel=noreferrer]").href`); got != want {
		t.Errorf("the query is at %s", got)
	}
	p.get(t, "/metrics", "Accept", "text/html", "User-Agent", "Mozilla/5.0") // a person
	p.get(t, "/metrics", "User-Agent", "curl/8.0")                           // another one
	p.get(t, "/metrics", "User-Agent", "Prometheus/3.1.0")
	b.await("the scrape is there", `document.body.innerText.includes("after the last accepted push.")`)
	b.want("Scraped by 127.0.0.1 Prometheus/3.1.0")
	if strings.Contains(b.text(), "Mozilla") || strings.Contains(b.text(), "curl/8.0") {
		t.Error("a person counts as a scraper")
	}
	p.push(t, "PUT", "/metrics/job/a/instance/i", "m 2\n")
	b.await("the push is newer than the scrape",
		`document.body.innerText.includes("before the last accepted push. Wait for the next scrape.")`)
	p.rejected(t, "PUT", "/metrics/job/a/instance/i", "m 1 1\n")
	b.await("the rejection is there", `document.body.innerText.includes("The last push was rejected. What Prometheus gets was pushed")`)
}
