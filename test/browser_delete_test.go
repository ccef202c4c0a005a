package test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func testDelete(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/?search=host-00")
	b.awaitRows(10)
	b.clickTo(`a[aria-label*="host-003"]`)
	b.want("Delete 1 group?", "host-003", "cannot be undone")
	if text := p.get(t, "/api/v1/groups?search=host-003"); !strings.Contains(text, `"total":1`) {
		t.Errorf("asking alone changed something: %s", text)
	}
	b.clickTo(".confirm a")
	b.visit("/delete?group=job/backup-db/instance/host-003")
	b.clickTo(".confirm button")
	b.want("1 group deleted.", "119 groups")
	if text := p.get(t, "/api/v1/groups?search=host-003"); !strings.Contains(text, `"total":0`) {
		t.Errorf("still there: %s", text)
	}
	if got := b.address(); got != "/" {
		t.Errorf("address %q would tell of the deletion again", got)
	}
}

func testBulkDelete(t *testing.T, browser context.Context) {
	p := start(t)
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/?search=cleaner")
	b.awaitRows(40)
	if text := b.text(); strings.Contains(text, "Delete all") || strings.Contains(text, "Delete these") {
		t.Error("several groups may be deleted at once without the admin API")
	}
	for _, path := range []string{"/delete?all=yes", "/delete?search=cleaner"} {
		b.visit(path)
		b.want("--web.enable-admin-api")
	}

	p = start(t, "--web.enable-admin-api")
	pushExamples(t, p)
	b = open(t, browser, p.URL, "/")
	b.awaitRows(50)
	b.write(`{job="cleaner"}`)
	b.await("the search is applied", `document.getElementById("search-result").innerText === "40 of 120 groups"`)
	b.clickTo(".bar a.danger")
	b.want("Delete 40 groups?", `They match {job="cleaner"}.`, "job=cleaner")
	// Between question and answer another one comes.
	p.push(t, "PUT", "/metrics/job/cleaner/instance/late", "m 1\n")
	b.clickTo(".confirm button")
	b.want("Delete 41 groups?", "Nothing was deleted", "confirm again")
	b.clickTo(".confirm button")
	b.want("41 groups deleted.", "No group matches")
	if got := b.address(); got != "/?search=%7Bjob%3D%22cleaner%22%7D" {
		t.Errorf("after the deletion at %s, not at the search", got)
	}
	if text := p.get(t, "/api/v1/groups?limit=0"); !strings.Contains(text, `"total":80`) {
		t.Errorf("the gateway has %s", text)
	}
	b.visit("/delete")
	b.want("Nothing chosen")
}

// testDeletePlain deletes where browsers send neither Sec-Fetch-Site nor, without
// referrers, an Origin; and not from another site.
func testDeletePlain(t *testing.T, browser context.Context) {
	p := start(t)
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	p.push(t, "PUT", "/metrics/job/b", "m 1\n")
	b := open(t, browser, strings.Replace(p.URL, "127.0.0.1", foreignHost, 1), "/delete?group=job/a")
	b.clickTo(".confirm button")
	b.want("1 group deleted.", "1 group")

	// A page of another origin sends the form.
	other := start(t)
	b = open(t, browser, other.URL, "/help")
	b.run(chromedp.Navigate("data:text/html,<form id=f method=post action=" + p.URL + "/delete><input name=group value=job/b></form>"))
	eval[bool](b, `(document.getElementById("f").submit(), true)`)
	b.await("the answer is there", `location.href.endsWith("/delete") && document.readyState === "complete"`)
	b.want("another site")
	if text := p.get(t, "/api/v1/groups"); !strings.Contains(text, `"total":1`) {
		t.Errorf("the gateway has %s", text)
	}
}

func testWipe(t *testing.T, browser context.Context) {
	p := start(t, "--web.enable-admin-api")
	pushExamples(t, p)
	b := open(t, browser, p.URL, "/status")
	b.want("Delete all 120 groups")
	b.clickTo(`a[href="delete?all=yes"]`)
	b.want("Delete 120 groups?", "These are all groups")
	b.clickTo(".confirm button")
	b.want("120 groups deleted.", "No groups are left")
}
