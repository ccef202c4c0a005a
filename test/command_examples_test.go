package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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
	wantText(t, pages(t)["docs/COMMANDS.md"], `test: ["CMD", "/bin/pushgateway", "healthcheck"]`) // TestImage runs it
}

// Commands whose examples need more than a gateway: files, programs or a database of their own.
var otherExamples = []string{"push", "run", "migrate"}

// TestHelpExamples runs the examples in the help of all other commands.
func TestHelpExamples(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := managed(t, dir)
	certificate(t, dir)
	if err := os.Rename(filepath.Join(dir, "server.crt"), filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "web.yml"), []byte("tls_server_config: {cert_file: ca.pem, key_file: server.key}\n"))
	secured := start(t, "--web.config.file="+filepath.Join(dir, "web.yml"), "--web.route-prefix=/prefix")
	if err := os.MkdirAll(filepath.Join(dir, ".config/fish/completions"), 0o700); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, command := range commandsOf(t) {
		if slices.Contains(otherExamples, command[0]) {
			continue
		}
		for _, line := range helpExamples(t, command...) {
			ran++
			line = strings.ReplaceAll(line, printedAddr, secured.Addr)
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
	}
	if ran < 15 {
		t.Errorf("there are only %d examples", ran)
	}
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
