package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of this size, which needs root.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); err != nil {
		t.Fatalf("mount a small file system, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill uses up all free space, and returns a function that frees it.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// wantUnavailable sends a request while no change can be stored, and checks the answer.
func (p *program) wantUnavailable(t *testing.T, method, path, body string, because ...string) {
	t.Helper()
	a := p.do(t, method, path, body)
	if a.status != http.StatusServiceUnavailable {
		t.Errorf("%s %s: status %d, want 503: %s", method, path, a.status, a.body)
	}
	wantRetryAfter(t, a.header)
	wantText(t, a.body, because...)
}

// wantRetryAfter checks that the header Retry-After holds seconds.
func wantRetryAfter(t *testing.T, header http.Header) {
	t.Helper()
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err != nil || seconds < 1 {
		t.Errorf("Retry-After %q, want seconds", value)
	}
}

// TestFullDisk fills the disk twice, in both sync modes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"push", "interval"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t, 8<<20)
			args := []string{"--persistence.sync=" + mode, "--persistence.interval=50ms"}
			file := filepath.Join(disk, "f.db")
			p := gateway(t, file, args...)
			p.push(t, http.MethodPut, "/metrics/job/stored", "stored 1\n")
			p.push(t, http.MethodPut, "/metrics/job/other", "other 1\n")
			for round := 1; round <= 2; round++ {
				free := fill(t, disk)
				// The file itself may have free space.
				big := strings.Repeat("x", 200_000)
				full := func() bool { return p.do(t, http.MethodGet, "/-/ready", "").status != http.StatusOK }
				for n := 0; n < 100 && !full(); n++ {
					a := p.do(t, http.MethodPut, fmt.Sprintf("/metrics/job/big%d", n), fmt.Sprintf("big{x=%q} %d\n", big, n))
					if a.status == http.StatusServiceUnavailable {
						wantText(t, a.body, "no space left on device", file)
					}
				}
				until(t, "the gateway notices", full)
				before := p.pushed(t)
				for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodDelete} {
					p.wantUnavailable(t, method, "/metrics/job/stored", "stored 99\n", "no space left on device", file)
				}
				p.wantUnavailable(t, http.MethodPut, "/metrics/job/new", "new 99\n", "no space left on device")
				if after := p.pushed(t); after != before {
					t.Errorf("rejected pushes are visible:\n%s\nbefore:\n%s", after, before)
				}
				if a := p.do(t, http.MethodGet, "/-/healthy", ""); a.status != http.StatusOK {
					t.Errorf("/-/healthy: status %d", a.status)
				}
				if durable, reason := p.durable(t); durable || !strings.Contains(reason, "no space left") {
					t.Errorf("status: durable %v, error %q", durable, reason)
				}
				wantText(t, p.get(t, "/"), "stored")

				free()
				p.awaitReady(t)
				if durable, reason := p.durable(t); !durable || reason != "" {
					t.Errorf("status with space: durable %v, error %q", durable, reason)
				}
				if after := p.pushed(t); after != before {
					t.Errorf("with space, exposed is\n%s\nbefore it was\n%s", after, before)
				}
				p.push(t, http.MethodPut, "/metrics/job/stored", fmt.Sprintf("stored %d\n", 1+round))
				for _, path := range strings.Fields(bigGroups(before)) {
					if a := p.do(t, http.MethodDelete, path, ""); a.status != http.StatusAccepted {
						t.Errorf("DELETE: %d %s", a.status, a.body)
					}
				}
				log := p.log.String()
				for _, line := range []string{"changes cannot be stored: ", "changes can be stored again"} {
					if n := strings.Count(log, line); n != round {
						t.Errorf("after %d times: %d lines %q", round, n, line)
					}
				}
				want := p.pushed(t)
				if round == 1 {
					continue
				}
				p.kill(t)
				p = gateway(t, file, args...)
				got := p.pushed(t)
				if mode == "push" && got != want {
					t.Errorf("after a restart:\n%s\nbefore:\n%s", got, want)
				}
				wantText(t, got, fmt.Sprintf(`stored{instance="",job="stored"} %d`, 1+round), `other{instance="",job="other"} 1`)
			}
			if got := names(t, disk); !slices.Equal(got, []string{"f.db"}) {
				t.Errorf("left on the disk: %v", got)
			}
		})
	}
}

// bigGroups returns the paths of the groups that filled the disk.
func bigGroups(pushed string) string {
	var paths strings.Builder
	for line := range strings.Lines(pushed) {
		if _, rest, ok := strings.Cut(line, `big{`); ok {
			_, rest, _ = strings.Cut(rest, `job="`)
			job, _, _ := strings.Cut(rest, `"`)
			fmt.Fprintln(&paths, "/metrics/job/"+job)
		}
	}
	return paths.String()
}
