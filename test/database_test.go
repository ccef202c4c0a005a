package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pushgateway/internal/pgtest"
)

// databaseGateway starts a gateway on a database and waits until it is ready.
func databaseGateway(t *testing.T, url string, args ...string) *program {
	t.Helper()
	p := start(t, append([]string{"--persistence.url=" + url}, args...)...)
	p.awaitReady(t)
	return p
}

// TestMigrate moves groups from a file to a database and back.
func TestMigrate(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	database := server.NewDatabase()
	dir := t.TempDir()
	before, after := filepath.Join(dir, "before.db"), filepath.Join(dir, "after.db")

	p := gateway(t, before)
	p.push(t, "PUT", "/metrics/job/a/instance/1?ttl=2d", "# TYPE m counter\nm{l=\"ü\"} 1\n")
	p.push(t, "POST", "/metrics/job/b?merge=sum", "# TYPE n counter\nn 2\n")
	p.end(t)
	want, _, _ := runSubcommand(t, "dump", before)

	migrate := func(wantCode int, from, to string) string {
		t.Helper()
		out, errOut, code := runSubcommand(t, "migrate", "--from="+from, "--to="+to)
		if code != wantCode {
			t.Fatalf("from %s to %s: exit code %d, %s%s", from, to, code, out, errOut)
		}
		return out + errOut
	}
	wantText(t, migrate(0, before, database), "2 groups copied")
	wantText(t, migrate(1, before, database), "has 2 groups already")
	replica := databaseGateway(t, database)
	if body := replica.get(t, "/metrics"); !strings.Contains(body, `m{instance="1",job="a",l="ü"} 1`) {
		t.Errorf("the gateway on the database exposes\n%s", body)
	}
	replica.end(t)
	wantText(t, migrate(0, database, after), "2 groups copied")
	wantText(t, migrate(1, database, after), "exists")
	if got, _, _ := runSubcommand(t, "dump", after); got != want || got == "" {
		t.Errorf("migrated there and back, the groups are\n%s\nbut were\n%s", got, want)
	}
	wantText(t, migrate(1, filepath.Join(dir, "none.db"), database), "none.db")
}

// TestDatabasePassword: the password of the database is shown nowhere, wherever it comes
// from.
func TestDatabasePassword(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	const secret = "sesame-7261"
	database := server.NewDatabase()
	withSecret := strings.Replace(database, "@", ":"+secret+"@", 1)
	p := databaseGateway(t, withSecret, "--web.enable-admin-api")
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	shown := p.log.String()
	for _, path := range []string{"/status", "/api/v1/status", "/metrics", "/", "/debug/pprof/cmdline"} {
		shown += p.get(t, path)
	}
	for _, replaced := range [][2]string{{"sslmode=disable", "sslmode=no"}, {"postgres://", "mysql://"}, {"@", "@:x:"}, {"@", "@["}} {
		shown += startFails(t, "--persistence.url="+strings.Replace(withSecret, replaced[0], replaced[1], 1))
	}
	wantText(t, shown, "--persistence.url", "postgres://pushgateway@")
	if at := strings.Index(shown, secret); at >= 0 {
		t.Errorf("the password is shown: …%s…", shown[max(0, at-200):at+40])
	}
	out, code := runToEnd(t, command(t, gatewayBinary(t), "--persistence.url="+withSecret, "--persistence.file=x.db"))
	if code == 0 || strings.Contains(out, secret) {
		t.Errorf("with a file and a database: exit code %d, %s", code, out)
	}
	wantText(t, out, "exclude each other")
	// The file with the password is read, though the server asks for none.
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	databaseGateway(t, database, "--persistence.password-file="+file).end(t)
}

// TestDatabasePasswordSources: the password comes from the environment, or from a file that is read
// again when it was changed. Without the right one, the gateway does not start.
func TestDatabasePasswordSources(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	data, err := server.Query("SELECT current_setting('data_directory')")
	if err != nil {
		t.Fatal(err)
	}
	server.Exec("ALTER ROLE " + pgtest.User + " PASSWORD 'first'")
	server.Exec("COPY (VALUES ('host all postgres 127.0.0.1/32 trust'), " +
		"('host all all 127.0.0.1/32 scram-sha-256')) TO '" + data + "/pg_hba.conf'")
	server.Exec("SELECT pg_reload_conf()")
	dir := t.TempDir()
	password, passfile := filepath.Join(dir, "password"), filepath.Join(dir, "pgpass")
	writeFile(t, password, []byte("first\n"))
	writeFile(t, passfile, []byte("*:*:*:"+pgtest.User+":first\n"))

	run := func(env string, args ...string) *program {
		t.Helper()
		cmd := exec.Command(gatewayBinary(t), append(args, "--web.listen-address=127.0.0.1:0", "--persistence.url="+server.URL())...)
		cmd.Env = append(cmd.Environ(), env)
		p := launch(t, cmd)
		p.awaitReady(t)
		return p
	}
	until(t, "the server asks for passwords", func() bool {
		out, code := runToEnd(t, command(t, gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.url="+server.URL()))
		return code != 0 && strings.Contains(out, "password authentication failed")
	})
	run("PGPASSWORD=first").end(t)
	run("PGPASSFILE=" + passfile).end(t)
	p := run("PGPASSWORD=wrong", "--persistence.password-file="+password)
	server.Exec("ALTER ROLE " + pgtest.User + " PASSWORD 'second'")
	writeFile(t, password, []byte("second\n"))
	server.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + pgtest.User + "'")
	until(t, "the gateway has read the new password", func() bool {
		return p.do(t, http.MethodPut, "/metrics/job/a", "m 1\n").status == http.StatusOK
	})
}

// TestDatabaseAway: pushes are rejected while the database is away, and scrapes go on.
// Readiness follows the flag.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	database := server.NewDatabase()
	p, strict := databaseGateway(t, database), databaseGateway(t, database, "--web.ready-needs-database")
	p.push(t, "PUT", "/metrics/job/a", "m 1\n")
	until(t, "the other replica has the push", func() bool {
		return strings.Contains(strict.get(t, "/metrics"), `m{instance="",job="a"} 1`)
	})
	server.Kill()
	a := p.do(t, "PUT", "/metrics/job/a", "m 2\n")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("a push gets %d, %v, %s", a.status, a.header, a.body)
	}
	p.get(t, "/-/ready")
	until(t, "the replica that needs the database is not ready", func() bool {
		return strict.do(t, "GET", "/-/ready", "").status == http.StatusServiceUnavailable
	})
	wantText(t, p.get(t, "/metrics"), `m{instance="",job="a"} 1`)
	wantText(t, p.get(t, "/"), "The database cannot be used")
	server.Restart()
	until(t, "pushes are accepted again", func() bool {
		return p.do(t, "PUT", "/metrics/job/a", "m 2\n").status == http.StatusOK
	})
	strict.awaitReady(t)
}

// TestDatabaseAtRisk: the log, the status page and the API warn about a server that a crash can
// make lose acknowledged changes.
func TestDatabaseAtRisk(t *testing.T) {
	t.Parallel()
	safe, unsafe := pgtest.Start(t, pgtest.Config{Sync: true}), pgtest.Start(t, pgtest.Config{})
	shown := func(server *pgtest.Server) string {
		t.Helper()
		p := databaseGateway(t, server.NewDatabase())
		out, errOut, _ := runSubcommand(t, "status", "--url="+p.URL)
		return p.log.String() + p.get(t, "/status") + p.get(t, "/api/v1/status") + out + errOut
	}
	count := func(server *pgtest.Server, warning string, want int) {
		t.Helper()
		if got := strings.Count(shown(server), warning); got != want {
			t.Errorf("%q is shown %d times, want %d", warning, got, want)
		}
	}
	count(unsafe, "fsync is off", 4)
	count(safe, "is off in the database", 0)
	safe.Exec("ALTER ROLE " + pgtest.User + " SET synchronous_commit = off")
	count(safe, "synchronous_commit is off", 4)
}
