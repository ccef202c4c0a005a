package test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestBadFlag(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{
		"--no.such-flag", "--log.level=loud", "--persistence.interval=soon", "--web.external-url=:", "--otlp.translation-strategy=NoTranslation",
	} {
		t.Run(flag, func(t *testing.T) {
			wantFlagNamed(t, startFails(t, flag), flag)
		})
	}
}

// wantFlagNamed checks that a message names the flag, or quotes its value.
func wantFlagNamed(t *testing.T, message, flag string) {
	t.Helper()
	name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	if !strings.Contains(message, name) && (value == "" || !strings.Contains(message, value)) {
		t.Errorf("%s is not named in:\n%s", flag, message)
	}
}

func TestBadWebConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ name, text, want string }{
		{"missing.yml", "", "missing.yml"},
		{"unknown.yml", "no_such_section: {}\n", "no_such_section"},
		{"malformed.yml", "tls_server_config: [\n", "yaml"},
		{"nocert.yml", "tls_server_config: {cert_file: none.crt, key_file: none.key}\n", "none.crt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, c.name)
			if c.text != "" {
				writeFile(t, path, []byte(c.text))
			}
			wantText(t, startFails(t, "--web.config.file="+path), c.want)
		})
	}
}

// TestVersion runs a binary that go build made without any flags for the linker.
func TestVersion(t *testing.T) {
	t.Parallel()
	out, code := runToEnd(t, command(t, gatewayBinary(t), "--version"))
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wantText(t, out, "pushgateway, version "+strings.TrimSpace(string(readFile(t, filepath.Join(root, "VERSION")))), "go version: ")
}

// TestFlags: --help and the status in the API list the same flags, upstream's flags
// among them, and docs/FLAGS.md describes each.
func TestFlags(t *testing.T) {
	t.Parallel()
	help, code := runToEnd(t, command(t, gatewayBinary(t), "--help"))
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	var flags []string
	// kingpin prints --[no-]name for a switch.
	for _, m := range regexp.MustCompile(`(?m)^  (?:    |-\w, )--(?:\[no-\])?([\w.-]+)`).FindAllStringSubmatch(help, -1) {
		flags = append(flags, m[1])
	}
	upstream := []string{
		"help", "version",
		"web.systemd-socket", "web.listen-address", "web.config.file", "web.telemetry-path",
		"web.external-url", "web.route-prefix", "web.enable-lifecycle", "web.enable-admin-api",
		"persistence.file", "persistence.interval",
		"push.disable-consistency-check", "push.enable-utf8-names",
		"log.level", "log.format",
	}
	if missing := without(upstream, flags); len(missing) > 0 {
		t.Errorf("--help lacks flags of upstream: %v", missing)
	}

	var status struct {
		Data struct{ Flags map[string]string }
	}
	if err := json.Unmarshal([]byte(start(t).get(t, "/api/v1/status")), &status); err != nil {
		t.Fatal(err)
	}
	slices.Sort(flags)
	wantLines(t, "the flags in /api/v1/status, and help and version", slices.Sorted(maps.Keys(status.Data.Flags)),
		without(flags, []string{"help", "version"}))

	page := pages(t)["docs/FLAGS.md"]
	for _, flag := range slices.Sorted(maps.Keys(status.Data.Flags)) {
		if !strings.Contains(page, "`--"+flag+"`") {
			t.Errorf("docs/FLAGS.md does not describe --%s", flag)
		}
	}
}
