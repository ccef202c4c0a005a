package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pushgateway/internal/pgtest"
)

const commandsPage document = "docs/COMMANDS.md"

// managed starts a gateway that allows everything, with groups as the examples name them.
func managed(t *testing.T, dir string) *program {
	t.Helper()
	rules := filepath.Join(dir, "rules.yml")
	writeFile(t, rules, []byte("rules: []\n"))
	p := gateway(t, filepath.Join(dir, "gateway.db"), "--web.enable-admin-api", "--web.enable-lifecycle", "--config.file="+rules)
	for _, path := range []string{"/job/backup/database/orders", "/job/backup/instance/db1", "/job/gone", "/job/review-7"} {
		p.push(t, http.MethodPut, "/metrics"+path, "x 1\n")
	}
	p.rejected(t, http.MethodPut, "/metrics/job/failed", "x 1 1\n")
	return p
}

// TestCommandsPage runs the examples of the page about commands.
func TestCommandsPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := managed(t, dir)
	wantText(t, commandsPage.run(t, "tour", dir, p.Addr), "version ", `{database="orders",job="backup"}`, "x{",
		"0 groups would be deleted", "pushgateway.db: ")
	wantText(t, commandsPage.run(t, "scripts", dir, p.Addr), "durable=yes", "0 groups deleted")
	wantText(t, string(readFile(t, filepath.Join(dir, "failed.json"))), `"reason": "timestamp"`)
	_, code := commandsPage.block(t, "run", "completion")
	shell(t, dir, "bash", "-e", "-c", code+"complete -p pushgateway")
}

// TestHelpExamples runs the examples in the help of all commands.
func TestHelpExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := managed(t, dir)
	readers := readersFiles(t, dir)
	ran := map[string]int{}
	for _, command := range commandsOf(t) {
		for _, line := range helpExamples(t, command...) {
			ran[command[0]]++
			line = readers.Replace(line)
			shell := []string{"bash", "-e", "-c", line}
			switch {
			case strings.Contains(line, "completion zsh"):
				shell = []string{"zsh", "-f", "-e", "-c", "autoload -U compinit; compinit -u -D; " + line}
			case command[0] == "delete" && !strings.Contains(line, "--yes") && !strings.Contains(line, "--dry-run"):
				shell = []string{"script", "-qec", line, "/dev/null"} // on a terminal, since it asks
			}
			cmd := toolCommand(t, dir, "HOME="+dir, append([]string{"PUSHGATEWAY_URL=" + p.URL}, shell...)...)
			cmd.Stdin = strings.NewReader("y\n")
			if out, code := runToEnd(t, cmd); code != 0 {
				t.Errorf("%s: exit code %d\n%s", line, code, out)
			}
		}
		// wipe leaves nothing to look at
		switch command[0] {
		case "push":
			wantText(t, p.pushed(t), `backup_bytes{instance="",job="backup"} 4096`, `x{database="orders",instance="",job="backup"} 2`,
				`rows{instance="",job="import"} 3`, `orders_total{instance="",job="shop"} 3`)
		case "run":
			wantText(t, p.pushed(t), `job_last_exit_code{instance="",job="backup"} 0`,
				`deleted_files{instance="",job="cleanup"} 3`, `job_schedule_interval_seconds{instance="",job="cleanup"} 86400`)
		}
		if len(command) == 1 && ran[command[0]] == 0 {
			t.Errorf("the help of %s has no example", command[0])
		}
	}
}

// readersFiles makes the files in dir, and starts the servers, that the examples in the help take
// from the reader. What it returns names them in an example.
func readersFiles(t *testing.T, dir string) *strings.Replacer {
	t.Helper()
	certificate(t, dir)
	if err := os.Rename(filepath.Join(dir, "server.crt"), filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "web.yml"), []byte("tls_server_config: {cert_file: ca.pem, key_file: server.key}\n"))
	secured := start(t, "--web.config.file="+filepath.Join(dir, "web.yml"), "--web.route-prefix=/prefix")
	if err := os.MkdirAll(filepath.Join(dir, ".config/fish/completions"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "metrics.prom"), []byte("x 2\n"))
	_, auth := security.block(t, "file", "auth.yml")
	writeFile(t, filepath.Join(dir, "auth.yml"), []byte(auth))
	stored := gateway(t, filepath.Join(makeDir(t, dir, "data"), "pushgateway.db"))
	stored.push(t, http.MethodPut, "/metrics/job/stored", "x 1\n")
	stored.end(t)
	job := script(t, filepath.Join(dir, "job"), "exit 0\n")
	return strings.NewReplacer(
		printedAddr, secured.Addr,
		"postgres://pushgateway@db1,db2/pushgateway", "'"+pgtest.Start(t, pgtest.Config{}).URL()+"'",
		"/etc/pushgateway/rules.yml", "rules.yml", "/var/lock/backup", "lock", "/var/spool/pushgateway", makeDir(t, dir, "spool"),
		"/usr/local/bin/backup", job, "pg_dump ", job+" ",
	)
}

var exampleInHelp = regexp.MustCompile(`(?m)^  ((?:[a-z].* )?(?:source <\()?pushgateway .*)$`)

// helpExamples returns the command lines in the help of a command.
func helpExamples(t *testing.T, command ...string) []string {
	t.Helper()
	help := result(t, exec.Command(gatewayBinary(t), append(command, "--help")...))
	var lines []string
	for _, m := range exampleInHelp.FindAllStringSubmatch(help, -1) {
		lines = append(lines, m[1])
	}
	return lines
}
