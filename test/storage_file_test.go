package test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without permissions; root has them all.
const nobody = 65534

// asNobody returns a command that runs the gateway as nobody, in dir.
func asNobody(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root, to run the gateway as another user")
	}
	place := openDir(t)
	binary := filepath.Join(place, "pushgateway")
	// A link, as a copy cannot be run while another test forks: the child has it open
	// for writing for a moment.
	if err := os.Link(gatewayBinary(t), binary); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"--web.listen-address=127.0.0.1:0"}, args...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// openDir returns a directory that every user can enter and read.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestNamedFileWithoutRights: the gateway does not start if it may not use the file that
// the command line names.
func TestNamedFileWithoutRights(t *testing.T) {
	t.Parallel()
	ours := sampleFile(t)
	for what, mode := range map[string]os.FileMode{"none": 0, "no rights": 0o600, "read only": 0o644} {
		t.Run(what, func(t *testing.T) {
			dir := openDir(t)
			file := filepath.Join(dir, "f.db")
			if what != "none" {
				if err := os.WriteFile(file, ours, mode); err != nil {
					t.Fatal(err)
				}
			}
			out, code := runToEnd(t, asNobody(t, dir, "--persistence.file="+file))
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			wantText(t, out, "permission denied", file, "directory "+dir)
			if what != "none" && !bytes.Equal(readFile(t, file), ours) {
				t.Error("the file was changed")
			}
			if what == "none" && len(names(t, dir)) > 0 {
				t.Errorf("left behind: %v", names(t, dir))
			}
		})
	}
	t.Run("missing directory", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "no", "such", "f.db")
		out, code := runToEnd(t, command(t, gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file="+missing))
		if code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		wantText(t, out, missing, "directory "+filepath.Dir(missing))
	})
}

// TestDefaultFile: without the flag, metrics are persisted in the default file.
func TestDefaultFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	again := func() *program {
		cmd := exec.Command(gatewayBinary(t), "--web.listen-address=127.0.0.1:0")
		cmd.Dir = dir
		p := launch(t, cmd)
		p.awaitReady(t)
		return p
	}
	p := again()
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	if durable, reason := p.durable(t); !durable {
		t.Errorf("not durable: %s", reason)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "pushgateway.db")); err != nil {
		t.Error(err)
	}

	// A second process finds the file in use, and goes on in memory.
	second := again()
	if durable, reason := second.durable(t); durable || !strings.Contains(reason, "another process") {
		t.Errorf("second process: durable %v, %q", durable, reason)
	}
	if n := len(levelWarn.FindAllString(second.log.String(), -1)); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, second.log)
	}
	second.push(t, http.MethodPut, "/metrics/job/b", "m 2\n")

	p.kill(t)
	p = again()
	wantText(t, p.pushed(t), `m{instance="",job="a"} 1`)
	if strings.Contains(p.pushed(t), `job="b"`) {
		t.Error("a push to the second process is in the file")
	}
}

// TestDefaultFileWithoutRights: if the default file cannot be used, the gateway warns and
// goes on in memory.
func TestDefaultFileWithoutRights(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	p := launch(t, asNobody(t, dir))
	p.awaitReady(t)
	if durable, reason := p.durable(t); durable || !strings.Contains(reason, "permission denied") {
		t.Errorf("durable %v, %q", durable, reason)
	}
	warnings := levelWarn.FindAllString(p.log.String(), -1)
	if len(warnings) != 1 {
		t.Fatalf("%d warnings, want 1:\n%s", len(warnings), p.log)
	}
	wantText(t, warnings[0], "memory", "data/pushgateway.db", "permission denied")
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	wantText(t, p.pushed(t), `m{instance="",job="a"} 1`)
	if len(names(t, dir)) > 0 {
		t.Errorf("left behind: %v", names(t, dir))
	}
}

// TestFileInUse: the gateway does not start with a file that another gateway uses.
func TestFileInUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	p := gateway(t, file)
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	out, code := runToEnd(t, command(t, gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file="+file))
	if code != 1 {
		t.Errorf("second process: exit code %d, want 1", code)
	}
	wantText(t, out, file, "another process holds it")
	p.push(t, http.MethodPut, "/metrics/job/a", "m 2\n")
	p.kill(t)
	wantText(t, gateway(t, file).pushed(t), `m{instance="",job="a"} 2`)
}
