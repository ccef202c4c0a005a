package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pushgateway/internal/pgtest"
)

const replicasPage document = "docs/REPLICAS.md"

// TestReplicasPage does what docs/REPLICAS.md says, in that order: it makes the database, migrates
// a file, starts a replica, backs up and restores.
func TestReplicasPage(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	server.Exec("DROP DATABASE " + pgtest.User)
	server.Exec("DROP ROLE " + pgtest.User)
	_, statements := replicasPage.block(t, "replicas", "database")
	for statement := range strings.Lines(statements) {
		server.Exec(statement)
	}

	dir := t.TempDir()
	file := filepath.Join(dir, "data", "pushgateway.db")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	p := gateway(t, file)
	p.push(t, "PUT", "/metrics/job/old", "old 1\n")
	p.end(t)

	password := filepath.Join(dir, "password")
	writeFile(t, password, []byte("secret\n"))
	block := func(name string) string {
		_, code := replicasPage.block(t, "replicas", name)
		return strings.NewReplacer("db1,db2", server.Addr(), "db1", server.Addr(), "/etc/pushgateway/password", password).Replace(code)
	}
	run := func(name string) string {
		t.Helper()
		cmd := command(t, "sh", "-e", "-c", block(name))
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "PATH="+filepath.Dir(gatewayBinary(t))+":/usr/bin:/bin", "PGPASSWORD=secret", "PGSSLMODE=disable")
		return result(t, cmd)
	}
	start := func() *program {
		t.Helper()
		args := strings.Fields(strings.ReplaceAll(block("start"), "\\\n", ""))[1:]
		p := launch(t, exec.Command(gatewayBinary(t), append(args, "--web.listen-address=127.0.0.1:0")...))
		p.awaitReady(t)
		return p
	}

	wantText(t, run("migrate"), "1 group")
	p = start()
	p.wantJobs(t, "after migrate", "old")
	wantText(t, replicasPage.run(t, "status", dir, p.Addr), `"replicas":`, `"behind_commits":`)
	run("backup")
	p.push(t, "PUT", "/metrics/job/new", "new 1\n")
	if n := run("connected"); n != "2" {
		t.Errorf("%s connections of a replica", n)
	}
	p.end(t)
	until(t, "no connection is left", func() bool { return run("connected") == "0" })
	run("restore")
	p = start()
	p.wantJobs(t, "after a restore", "old")
}

// TestReplicasExamples: what docs/REPLICAS.md quotes is in the examples, and the gateway accepts
// the flags of the compose file.
func TestReplicasExamples(t *testing.T) {
	t.Parallel()
	_, quoted := replicasPage.block(t, "replicas", "shards")
	wantText(t, string(readFile(t, filepath.Join(root, "examples", "haproxy-shards.cfg"))), quoted)

	var compose struct {
		Services map[string]struct{ Command []string }
	}
	if err := yaml.Unmarshal(readFile(t, filepath.Join(root, "examples", "replicas", "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway-a", "gateway-b", "gateway-c"} {
		flags := compose.Services[name].Command
		if len(flags) == 0 {
			t.Errorf("%s has no flags", name)
		}
		if out, errOut, code := runSubcommand(t, append(flags, "--version")...); code != 0 {
			t.Errorf("%s: %v: %s%s", name, flags, out, errOut)
		}
	}
}
