package test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFileThatNeverOpens: opening a FIFO would block until somebody writes to it. The
// process ends instead, and says why.
func TestFileThatNeverOpens(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := runToEnd(t, command(t, gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file="+file))
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	wantText(t, out, "not a regular file")
}

// TestSyncThatHangs: while a sync hangs, only those who change something wait. The process
// ends within its bounds, says what it waits for, and that it could not.
func TestSyncThatHangs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, config := filepath.Join(dir, "f.db"), filepath.Join(dir, "rules.yml")
	writeFile(t, config, []byte("rules: []\n"))
	gateway(t, file).end(t)
	p := traced(t, file, os.DevNull, []string{"-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=22s"},
		"--config.file="+config, "--web.enable-lifecycle")
	p.wantCode = 1
	p.awaitReady(t)
	go func() { _, _ = p.try(http.MethodPut, "/metrics/job/a", "hanging 1\n") }() // is never answered
	until(t, "the push is written", func() bool { return bytes.Contains(readFile(t, file), []byte("hanging")) })
	for _, path := range []string{"/-/ready", "/-/healthy", "/api/v1/status", "/metrics"} {
		p.get(t, path)
	}
	if a := p.do(t, http.MethodPost, "/-/reload", ""); a.status != http.StatusOK {
		t.Errorf("reload: %d %s", a.status, a.body)
	}
	p.end(t)
	wantText(t, p.log.String(), "waiting until all changes are on disk", file, "may not be persisted")
}
