package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func testFirstPush(t *testing.T, browser context.Context) {
	p := start(t)
	b := open(t, browser, p.URL, "/")
	b.want("Nothing has been pushed yet", p.URL+"/metrics/job/my_job", "honor_labels: true")
	eval[int](b, "window.mark = 1")
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	b.awaitRows(1)
	b.want("job=a", "1 group")
	if eval[int](b, "window.mark ?? 0") != 1 {
		t.Error("the page was reloaded")
	}
	if !eval[bool](b, `document.getElementById("search").checkVisibility()`) {
		t.Error("the search is not there")
	}
}

func testList(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	p.push(t, "PUT", "/metrics/job/big", "big_metric{a=\"1\"} 1\nbig_metric{a=\"2\"} 1\nbig_metric{a=\"3\"} 1\n")
	if a := p.do(t, "PUT", "/metrics/job/big", "big_metric 1 1\n"); a.status != 400 {
		t.Fatal(a)
	}
	b := open(t, browser, p.URL, "/")
	b.awaitRows(50)
	b.want("121 groups", "Page 1 of 3")

	// Search as one types, over labels and names of metrics.
	b.write("CLEANER host-00")
	b.awaitRows(3)
	b.want("3 of 121 groups")
	if got := b.address(); got != "/?search=CLEANER+host-00" {
		t.Errorf("address %q", got)
	}
	b.write("big_metric")
	b.awaitRows(1)
	b.write(`{job=~"backup.*",instance!~".*1."}`)
	b.await("the selector is applied", `document.getElementById("search-result").innerText === "67 of 121 groups"`)
	// While a selector is typed, the last result stays. An error is shown once it is submitted.
	b.write(`{job=~"(`)
	b.await("the hint is shown", `document.getElementById("search-result").innerText === "Not a complete search yet"`)
	b.awaitRows(50)
	b.key(kb.Enter)
	b.await("the error is shown", `document.querySelector("#search-result .error") !== null`)
	b.want("not a PromQL selector")
	b.awaitRows(0)
	if got := eval[string](b, `document.getElementById("search-text").value`); got != `{job=~"(` {
		t.Errorf("typed %q", got)
	}

	// Sort by a column, there and back, and page; the address says it all.
	b.visit("/?search=host")
	b.awaitRows(50)
	b.click(`a[href*="sort=-labels"]`)
	b.await("sorted", `document.querySelector("table.list tbody th").innerText.includes("host-119")`)
	if got := eval[string](b, `document.querySelector("th[aria-sort]").getAttribute("aria-sort")`); got != "descending" {
		t.Errorf("aria-sort %q", got)
	}
	b.click(`a[rel="next"]`)
	b.await("the second page is there", `document.querySelector(".paging span").innerText === "Page 2 of 3"`)
	if eval[bool](b, `document.querySelector(".fresh") !== null`) {
		t.Error("paging highlights rows as new")
	}
	shared, rows := b.address(), b.rows()
	if len(rows) != 50 {
		t.Errorf("%d rows", len(rows))
	}
	if other := open(t, browser, p.URL, shared).rows(); !slices.Equal(other, rows) {
		t.Errorf("%s shows other groups to others: %q", shared, other)
	}
	b.run(chromedp.NavigateBack())
	b.await("the first page is back", `document.querySelector(".paging span").innerText === "Page 1 of 3"`)

	// Filter by state.
	b.visit("/")
	b.click(".filter.failed")
	b.awaitRows(1)
	b.want("job=big", "last push failed", "timestamp")
	if got := b.address(); got != "/?state=failed" {
		t.Errorf("address %q", got)
	}
	b.click(`a[href*="sort=-series"]`)
	b.await("sorted within the filter", `location.search.includes("state=failed") && location.search.includes("sort=-series")`)
	b.visit("/?age=1s")
	until(t, "the groups are older than a second", func() bool {
		return strings.Contains(p.get(t, "/?age=1s&state=old"), "120 of 121 groups")
	})
	b.visit("/?age=1s&state=old")
	b.await("all but the failed one are old", `document.getElementById("search-result").innerText === "120 of 121 groups"`)
	b.visit("/?sort=-series")
	if got := b.rows()[0]; !strings.Contains(got, "big") {
		t.Errorf("the first by series is %q", got)
	}
}

func testRefresh(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/?search=host")
	b.awaitRows(50)
	eval[bool](b, `(() => {
		const box = document.getElementById("search-text");
		box.focus();
		box.setSelectionRange(1, 3);
		const chip = document.querySelectorAll("table.list tbody tr")[20].querySelector(".chip");
		window.scrollTo(0, 700);
		window.chip = chip;
		return true;
	})()`)
	p.push(t, "PUT", "/metrics/job/a/instance/host-new", "m 1\n")
	b.await("the new group is there", `document.querySelector("table.list tbody th").innerText.includes("host-new")`)
	if got := eval[string](b, `document.querySelector(".fresh")?.dataset.key`); got != "job/a/instance/host-new" {
		t.Errorf("highlighted as new: %q", got)
	}
	got := eval[string](b, `[document.activeElement].map((e) => e.id + " " + e.selectionStart + " " + e.selectionEnd)[0]`)
	if got != "search-text 1 3" {
		t.Errorf("focus and cursor are %q", got)
	}
	if got := eval[float64](b, "window.scrollY"); got < 650 || got > 800 {
		t.Errorf("scrolled to %v", got)
	}

	// Text that is selected stays so, also where its group is pushed again.
	selected := eval[string](b, `(() => { getSelection().selectAllChildren(window.chip); return getSelection().toString(); })()`)
	if selected == "" {
		t.Fatal("nothing selected")
	}
	p.push(t, "PUT", "/metrics/job/a/instance/host-newer", "m 1\n")
	b.await("the newer group is there", `document.querySelector("table.list tbody").innerText.includes("host-newer")`)
	if got := eval[string](b, "getSelection().toString()"); got != selected {
		t.Errorf("selected %q, before %q", got, selected)
	}

	// What is typed while an answer is on its way stays.
	eval[bool](b, `(() => {
		getSelection().removeAllRanges();
		const box = document.getElementById("search-text");
		box.focus();
		box.value = "host-new";
		box.dispatchEvent(new Event("input", {bubbles: true}));
		setTimeout(() => { box.value = "host-newe"; box.dispatchEvent(new Event("input", {bubbles: true})); }, 155);
		return true;
	})()`)
	b.awaitRows(1)
	if got := eval[string](b, `document.getElementById("search-text").value`); got != "host-newe" {
		t.Errorf("typed %q", got)
	}
}

// testPolling counts requests by the gateway's own metrics, with the page's clock
// made faster.
func testPolling(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/help")
	// Times and dates of the page run 60 times as fast.
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`(() => {
			const later = window.setTimeout, now = Date.now, began = Date.now();
			window.setTimeout = (f, ms, ...rest) => later(f, ms / 60, ...rest);
			Date.now = () => began + 60 * (now() - began);
			const ask = window.fetch;
			window.asked = 0;
			window.statuses = {};
			window.fetch = (...a) => {
				window.asked++;
				return ask(...a).then((r) => {
					window.statuses[r.status] = (window.statuses[r.status] ?? 0) + 1;
					return r;
				});
			};
		})()`).Do(ctx)
		return err
	}))
	b.visit("/")
	b.await("an unchanged list is not sent again", "window.statuses[304] >= 2")
	// Ten minutes, in which nobody touches it.
	started := eval[float64](b, "Date.now()")
	b.await("ten minutes have passed", fmt.Sprintf("Date.now() - %f > 600000", started))
	if asked := eval[int](b, "window.asked"); asked > 80 {
		t.Errorf("asked %d times in ten minutes", asked)
	}
	// Hidden, it does not ask at all.
	eval[bool](b, `(() => {
		Object.defineProperty(document, "hidden", {value: true, configurable: true});
		document.dispatchEvent(new Event("visibilitychange"));
		return true;
	})()`)
	eval[bool](b, `new Promise((done) => setTimeout(() => done(true), 30000))`) // requests under way end
	asked := eval[int](b, "window.asked")
	started = eval[float64](b, "Date.now()")
	b.await("three minutes have passed", fmt.Sprintf("Date.now() - %f > 180000", started))
	if again := eval[int](b, "window.asked"); again != asked {
		t.Errorf("asked %d times while hidden", again-asked)
	}
	// Seen again, it is up to date at once.
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	eval[bool](b, `(() => {
		Object.defineProperty(document, "hidden", {value: false, configurable: true});
		document.dispatchEvent(new Event("visibilitychange"));
		return true;
	})()`)
	b.await("the new group is there", `document.querySelector("table.list tbody th").innerText === "job=a"`)
}

// testHundredThousand uses the pages of a gateway that holds as many groups.
func testHundredThousand(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api") // to delete many at once
	const n = 100_000
	pushGroups(t, p, n, func(i int) string {
		return fmt.Sprintf("/metrics/job/job-%03d/instance/host-%05d.example.org:9100", i%500, i)
	}, "last_success_timestamp_seconds 1.7e9\nrows 5\n")
	b := open(t, browser, p.URL, "/")
	b.awaitRows(50)
	b.want("100,000 groups", "Page 1 of 2,000")
	b.write("host-0123")
	b.awaitRows(10)
	b.want("10 of 100,000 groups")
	b.write(`{job=~"job-1.*",instance=~".*7.example.*"}`)
	b.await("the selector is applied", `document.getElementById("search-result").innerText === "2,000 of 100,000 groups"`)
	b.click(`a[href*="sort=-pushed"]`)
	b.await("sorted", `location.search.includes("sort=-pushed") && document.querySelector("th[aria-sort=descending]") !== null`)
	b.click(".paging a:last-child")
	b.await("the last page is there", `document.querySelector(".paging span").innerText === "Page 40 of 40"`)
	b.clickTo(".bar a.danger")
	b.want("Delete 2,000 groups?")
	b.clickTo(".confirm button")
	b.want("2,000 groups deleted.", "No group matches")
	b.visit("/status")
	b.want("98,000", "Largest jobs")

	// Each view has 200 KB at most, and takes no longer than three scrapes of all groups.
	// The fastest of several tries counts, as other programs have their share of this
	// machine.
	for _, path := range []string{
		"/", "/?page=1900", "/?search=host-0123", "/?search=rows&sort=-bytes", "/?state=old", "/status",
		"/groups/job/job-001/instance/host-00001.example.org:9100", "/api/v1/groups?search=rows",
	} {
		fastest, scrape, size := time.Hour, time.Hour, 0
		for try := 0; try < 20 && (try == 0 || fastest > 3*scrape); try++ {
			p.push(t, "PUT", "/metrics/job/other", fmt.Sprintf("m %d\n", try))
			started := time.Now()
			size = len(p.get(t, path))
			fastest = min(fastest, time.Since(started))
			started = time.Now()
			p.get(t, "/metrics")
			scrape = min(scrape, time.Since(started))
		}
		t.Logf("%s: %v, %d bytes; a scrape: %v", path, fastest, size, scrape)
		if fastest > 3*scrape {
			t.Errorf("%s takes %v, and a scrape %v", path, fastest, scrape)
		}
		if size > 200<<10 {
			t.Errorf("%s has %d bytes", path, size)
		}
	}
}
