package test

import (
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
