package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const security document = "docs/SECURITY.md"

// TestSecuritySetUp runs the set-up of the page on security: its auth file, its pushes,
// and a Prometheus with its configuration.
func TestSecuritySetUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, file := security.block(t, "file", "auth.yml")
	writeFile(t, filepath.Join(dir, "auth.yml"), []byte(file))
	_, check := security.block(t, "shell", "check")
	wantText(t, shell(t, dir, "sh", "-e", "-c", check), "auth.yml: 5 users",
		`search: may push for {team="search",job=~"index.*"}`, "allowed: checkout may push, delete, read for")

	_, line := security.block(t, "start", "teams")
	args := append([]string{"--web.listen-address=127.0.0.1:0", "--persistence.file="}, strings.Fields(line)[1:]...)
	cmd := exec.Command(gatewayBinary(t), args...)
	cmd.Dir = dir
	p := launch(t, cmd)
	as := func(user string) []string { return []string{"Authorization", "Bearer pgw_example_" + user} }

	security.run(t, "push", dir, p.Addr)
	_, denied := security.block(t, "answer", "denied")
	if got := security.run(t, "denied", dir, p.Addr); strings.TrimSpace(got) != strings.TrimSpace(denied) {
		t.Errorf("the answer is %s, the page says %s", got, denied)
	}
	for _, c := range []struct {
		user, method, path string
		want               int
	}{
		{"search", "PUT", "/metrics/job/indexer/team/search", 200},
		{"search", "PUT", "/metrics/job/other/team/search", 403},
		{"search", "DELETE", "/metrics/job/indexer/team/search", 403},
		{"search", "GET", "/api/v1/groups", 403},
		{"billing", "GET", "/api/v1/groups/job/nightly/team/checkout", 404},
		{"billing", "GET", "/metrics", 403},
		{"prometheus", "PUT", "/metrics/job/x", 403},
		{"nobody", "GET", "/metrics", 401},
	} {
		if a := p.do(t, c.method, c.path, "", as(c.user)...); a.status != c.want {
			t.Errorf("%s %s as %s: %d %s, want %d", c.method, c.path, c.user, a.status, a.body, c.want)
		}
	}
	wantText(t, p.get(t, "/api/v1/groups", as("checkout")...), `"total":1`, "nightly")
	wantText(t, p.get(t, "/api/v1/groups", as("operator")...), `"total":2`)

	_, config := security.block(t, "file", "prometheus.yml")
	config = "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n" + strings.ReplaceAll(config, "localhost:9091", p.Addr)
	writeFile(t, filepath.Join(dir, "prometheus.yml"), []byte(config))
	writeFile(t, filepath.Join(dir, "prometheus.token"), []byte("pgw_example_prometheus"))
	prom := launch(t, exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0"))
	prom.wantQuery(t, "orders_exported", `orders_exported{job="nightly",team="checkout"} 1234`)
}

// TestSecurityExamples: the other commands and files of the page.
func TestSecurityExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wantText(t, security.runWith(t, "token", dir), "token: pgw_", "bearer_token_sha256: ")
	_, hash := security.block(t, "run", "hash")
	wantText(t, shell(t, dir, "sh", "-e", "-c", "echo secret | "+hash), "$2a$10$")

	_, users := security.block(t, "file", "auth.yml")
	_, more := security.block(t, "file", "more.yml")
	auth := filepath.Join(dir, "auth.yml")
	writeFile(t, auth, []byte(users+more))
	p := start(t, "--auth.file="+auth)
	p.get(t, "/metrics") // anybody may scrape now

	_, config := security.block(t, "file", "web.yml")
	web := filepath.Join(dir, "web.yml")
	writeFile(t, web, []byte(security.replaced(t, config, "pushgateway.crt", "server.crt", "pushgateway.key", "server.key")))
	certificate(t, dir)
	secured := start(t, "--web.config.file="+web)
	shell(t, dir, "pushgateway", "healthcheck", "--url=https://"+secured.Addr, "--tls.ca-file=server.crt")
}
