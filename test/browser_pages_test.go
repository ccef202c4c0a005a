package test

import (
	"context"
	"fmt"
	"testing"
)

// TestPagesInBrowser looks at the pages as people do, in one browser.
func TestPagesInBrowser(t *testing.T) {
	browser := startBrowser(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, context.Context)
	}{
		{"first push appears without reload", testFirstPush},
		{"search, sort, filter, page, share", testList},
		{"refreshing keeps scroll, selection and typing", testRefresh},
		{"a page left open asks seldom", testPolling},
		{"the reason of a rejection is readable", testRejection},
		{"histograms and summaries are drawn", testCharts},
		{"a large group is paged and searched", testLargeGroup},
		{"values in one table", testValues},
		{"why a group is missing in Prometheus", testMissing},
		{"copy buttons", testCopy},
		{"delete after a confirmation", testDelete},
		{"delete what a search shows", testBulkDelete},
		{"delete over plain HTTP", testDeletePlain},
		{"wipe", testWipe},
		{"an unreachable gateway", testUnreachable},
		{"warnings about the storage", testStorageWarnings},
		{"many groups in one window", testDensity},
		{"back from a search", testSearchHistory},
		{"paging by keyboard", testPagingByKeyboard},
		{"keyboard at 200 %", testZoomedKeyboard},
		{"dark", testDark},
		{"narrow", testNarrow},
		{"printed", testPrint},
		{"keyboard only", testKeyboard},
		{"hostile texts", testHostile},
		{"prefix and external URL", testPrefix},
		{"without script", testWithoutScript},
		{"accessible", testAccessible},
		{"sign in and out", testSignIn},
		{"100,000 groups", testHundredThousand},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, browser) })
	}
}

// pushExamples pushes 120 groups of three jobs.
func pushExamples(t *testing.T, p *program) {
	t.Helper()
	pushGroups(t, p, 120, func(i int) string {
		return fmt.Sprintf("/metrics/job/%s/instance/host-%03d", []string{"backup-db", "backup-files", "cleaner"}[i%3], i)
	}, "last_success 1\n")
}

func testPrefix(t *testing.T, browser context.Context) {
	for _, c := range []struct {
		args            []string
		served, address string
	}{
		{[]string{"--web.route-prefix=/pg/x"}, "/pg/x", ""},
		{[]string{"--web.external-url=https://example.org/push/"}, "/push", "https://example.org/push"},
		{[]string{"--web.external-url=https://example.org/push/", "--web.route-prefix=/"}, "", "https://example.org/push"},
	} {
		p := start(t, c.args...)
		b := open(t, browser, p.URL, c.served+"/")
		b.want("Nothing has been pushed yet")
		if c.address == "" {
			c.address = p.URL + c.served
			b.want("metrics_path: " + c.served + "/metrics")
		} else {
			b.want("metrics_path: /push/metrics", "scheme: https", "example.org")
		}
		b.want(c.address + "/metrics/job/my_job")
		p.push(t, "PUT", c.served+"/metrics/job/a/path@base64/L2E", "m 1\n")
		p.push(t, "PUT", c.served+"/metrics/job/b", "m 1\n")
		b.awaitRows(2)
		b.clickTo("table.list tbody th a")
		b.want("job=a", "path=/a", c.address+"/metrics/job/a/path@base64/L2E")
		b.write("m")
		b.await("the search is applied", `location.search === "?search=m"`)
		b.clickTo(`header a[href$="status"]`)
		b.want("Largest jobs")
		b.clickTo(".ranking a")
		b.awaitRows(1)
		b.visit(c.served + "/groups/job/b")
		b.clickTo(".title a.danger")
		b.clickTo(".confirm button")
		b.want("1 group deleted.", "1 group")
		if got := b.address(); got != c.served+"/" {
			t.Errorf("at %q", got)
		}
	}
}
