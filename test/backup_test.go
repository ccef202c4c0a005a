package test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackup takes backups while pushes go on. The gateway starts with each of them, and
// each shows one moment: clients push to two groups in turn, so that the first is never
// behind the second, nor more than one push ahead.
func TestBackup(t *testing.T) {
	t.Parallel()
	p := gateway(t, filepath.Join(t.TempDir(), "f.db"), "--web.enable-admin-api")
	push := func(group string, value int) error {
		a, err := p.try(http.MethodPut, "/metrics/job/"+group, groupBody("mn", value))
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	}
	stop := make(chan struct{})
	failed := make(chan error)
	const clients = 4
	for c := range clients {
		go func() {
			for value := 1; ; value++ {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				for _, group := range []string{"first", "second"} {
					if err := push(fmt.Sprintf("%s-%d", group, c), value); err != nil {
						failed <- err
						return
					}
				}
			}
		}()
	}
	valueOf := func(found map[string]string, group string) int {
		var m, n int
		if state := found[group]; state != "" {
			if _, err := fmt.Sscanf(state, "m=%d n=%d", &m, &n); err != nil || m != n {
				t.Errorf("group %s is %q", group, state)
			}
		}
		return m
	}
	for range 3 {
		before := states(t, p.get(t, "/metrics"))
		a := p.do(t, http.MethodGet, "/api/v1/admin/backup", "")
		if a.status != http.StatusOK {
			t.Fatalf("backup: %d %s", a.status, a.body)
		}
		after := states(t, p.get(t, "/metrics"))
		file := filepath.Join(t.TempDir(), "copy.db")
		writeFile(t, file, []byte(a.body))
		for range 2 { // a second start must work, too
			copied := gateway(t, file)
			found := states(t, copied.get(t, "/metrics"))
			for c := range clients {
				first, second := valueOf(found, fmt.Sprintf("first-%d", c)), valueOf(found, fmt.Sprintf("second-%d", c))
				if first < second || first > second+1 {
					t.Errorf("client %d: the backup is not of one moment: %d and %d", c, first, second)
				}
				// A push is in the file before it shows, so the copy may have the one
				// that its client still waits for.
				if low, high := valueOf(before, fmt.Sprintf("first-%d", c)), valueOf(after, fmt.Sprintf("first-%d", c)); first < low || first > high+1 {
					t.Errorf("client %d: the copy has %d, but it was %d before and %d after", c, first, low, high)
				}
			}
			copied.kill(t)
		}
	}
	close(stop)
	for range clients {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if a := start(t, "--web.enable-admin-api").do(t, http.MethodGet, "/api/v1/admin/backup", ""); a.status != http.StatusNotImplemented {
		t.Errorf("backup without a file: %d %s, want 501", a.status, a.body)
	}
}

// TestBackupOfFullDisk: a backup works while nothing can be written, and has all that was
// accepted.
func TestBackupOfFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 8<<20)
	p := gateway(t, filepath.Join(disk, "f.db"), "--web.enable-admin-api")
	p.push(t, http.MethodPut, "/metrics/job/stored", "stored 1\n")
	fill(t, disk)
	big := strings.Repeat("x", 200_000)
	until(t, "the disk is full", func() bool {
		return p.do(t, http.MethodPut, "/metrics/job/big", fmt.Sprintf("big{x=%q} 1\n", big)).status == http.StatusServiceUnavailable
	})
	want := p.pushed(t)
	a := p.do(t, http.MethodGet, "/api/v1/admin/backup", "")
	if a.status != http.StatusOK {
		t.Fatalf("backup: %d %s", a.status, a.body)
	}
	file := filepath.Join(t.TempDir(), "copy.db")
	writeFile(t, file, []byte(a.body))
	if got := gateway(t, file).pushed(t); got != want {
		t.Errorf("the backup has\n%s\nwant\n%s", got, want)
	}
}

// TestStalledBackup: a client that does not read its backup holds nobody up.
func TestStalledBackup(t *testing.T) {
	t.Parallel()
	p := gateway(t, filepath.Join(t.TempDir(), "f.db"), "--web.enable-admin-api")
	big := strings.Repeat("x", 1<<20)
	push := func(n int) {
		p.push(t, http.MethodPut, fmt.Sprintf("/metrics/job/big%d", n%16), fmt.Sprintf("big{x=%q} %d\n", big, n))
	}
	for n := range 16 {
		push(n)
	}
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /api/v1/admin/backup HTTP/1.1\r\nHost: %s\r\n\r\n", p.Addr); err != nil {
		t.Fatal(err)
	}
	// The first byte is there, and the rest does not fit into any buffer.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for n := range 64 { // enough for the file to be replaced
		push(n)
	}
	if a := p.do(t, http.MethodDelete, "/metrics/job/big0", ""); a.status != http.StatusAccepted {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
}
