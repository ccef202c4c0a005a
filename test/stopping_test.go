package test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestTermWhileLoadingHangs: a file that never opens, such as one on a hung mount, does
// not keep the process from stopping. Nothing was accepted, so nothing is lost.
func TestTermWhileLoadingHangs(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, exec.Command(gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file="+file))
	if a := p.do(t, http.MethodGet, "/-/ready", ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("ready: status %d, want 503", a.status)
	}
	p.terminate(t)
	p.wait(t)
	wantText(t, p.log.String(), "stopped before the stored groups were loaded")
}
