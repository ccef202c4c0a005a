package test

import (
	"net/http"
	"path/filepath"
	"testing"
)

const apiPage document = "docs/API.md"

// TestAPIPage runs the examples of the page about the API, and compares the answers.
func TestAPIPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yml")
	writeFile(t, rules, []byte("rules: []\n"))
	writeFile(t, filepath.Join(dir, "counts.txt"), []byte("# TYPE orders_total counter\norders_total 3\n"))
	p := start(t, "--web.enable-admin-api", "--web.enable-lifecycle", "--config.file="+rules)
	run := func(name string) string {
		t.Helper()
		return apiPage.run(t, name, dir, p.Addr)
	}
	p.push(t, http.MethodPut, "/metrics/job/gone", "x 1\n")

	run("ttl")
	p.wantTTLs(t, map[string]string{"/metrics/job/backup": "48h0m0s", "/metrics/job/gone": "never"})
	p.do(t, http.MethodDelete, "/metrics/job/backup", "")

	run("idempotency")
	run("idempotency") // changes nothing
	wantText(t, p.pushed(t), `orders_total{instance="",job="shop"} 3`)

	apiPage.wantAnswer(t, "bulk", run("bulk"))
	p.do(t, http.MethodDelete, "/metrics/job/backup/instance/db2", "")
	p.push(t, http.MethodPut, "/metrics/job/backup/instance/db1?ttl=48h", "backup_bytes 4096\n")
	p.rejected(t, http.MethodPut, "/metrics/job/backup/instance/db1", "backup_bytes 4096 1700000000000\n")
	apiPage.wantAnswer(t, "groups", run("groups"))
	apiPage.wantAnswer(t, "error", p.do(t, http.MethodGet, "/api/v1/groups?state=bad", "").body)

	// The group is not as old as the example wants.
	apiPage.wantAnswer(t, "delete", apiPage.runWith(t, "delete", dir, printedAddr, p.Addr, "older_than=24h", "older_than=1ms"))
	run("reload")
}
