package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestBadFlag(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--no.such-flag", "--log.level=loud", "--persistence.interval=soon", "--web.external-url=:"} {
		// The name without dashes: the message may quote the flag either way.
		name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if value == "" {
			value = name
		}
		out := startFails(t, flag)
		if !strings.Contains(out, name) && !strings.Contains(out, value) {
			t.Errorf("%s is not named in:\n%s", flag, out)
		}
	}
}

func TestBadWebConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "missing.yml"), "missing.yml"},
		{write("unknown.yml", "no_such_section: {}\n"), "no_such_section"},
		{write("broken.yml", "tls_server_config: [\n"), "yaml"},
		{write("nocert.yml", "tls_server_config: {cert_file: none.crt, key_file: none.key}\n"), "none.crt"},
	} {
		wantText(t, startFails(t, "--web.config.file="+c.path), c.want)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	out, code := runToEnd(t, command(t, gatewayBinary(t), "--version"))
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantText(t, out, "pushgateway, version ", "go version: ")
}

// The flags of the original v1.11, and ours.
func TestHelpListsEveryFlag(t *testing.T) {
	t.Parallel()
	help, code := runToEnd(t, command(t, gatewayBinary(t), "--help"))
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, flag := range []string{
		"--help", "--version",
		"--web.systemd-socket", "--web.listen-address", "--web.config.file", "--web.telemetry-path",
		"--web.external-url", "--web.route-prefix", "--web.enable-lifecycle", "--web.enable-admin-api",
		"--persistence.file", "--persistence.interval",
		"--push.disable-consistency-check", "--push.enable-utf8-names",
		"--log.level", "--log.format",
		"--web.enable-openmetrics",
	} {
		// kingpin prints --[no-]name for a switch.
		name := strings.TrimPrefix(flag, "--")
		if !regexp.MustCompile(`--(\[no-\])?` + regexp.QuoteMeta(name) + `\b`).MatchString(help) {
			t.Errorf("%s is missing in:\n%s", flag, help)
		}
	}
}
