package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFileGone deletes, moves and replaces the file of a running gateway. The next push is
// not answered with 200 before the file is there again, with everything in it.
func TestFileGone(t *testing.T) {
	t.Parallel()
	for what, remove := range map[string]func(file string) error{
		"deleted":  os.Remove,
		"moved":    func(file string) error { return os.Rename(file, file+".moved") },
		"replaced": func(file string) error { return os.Rename(file+".other", file) },
		"directory moved": func(file string) error {
			dir := filepath.Dir(file)
			if err := os.Rename(dir, dir+".moved"); err != nil {
				return err
			}
			return os.Mkdir(dir, 0o755)
		},
	} {
		for _, mode := range []string{"push", "interval"} {
			t.Run(what+", sync "+mode, func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "data", "f.db")
				if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				writeFile(t, file+".other", []byte("another file"))
				p := gateway(t, file, "--persistence.sync="+mode)
				p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
				p.push(t, http.MethodPut, "/metrics/job/b", "m 1\n")
				if err := remove(file); err != nil {
					t.Fatal(err)
				}
				// A delete is on disk before it is answered, in both modes. The gateway may
				// have noticed by itself before.
				a := p.do(t, http.MethodDelete, "/metrics/job/b", "")
				if a.status != http.StatusServiceUnavailable {
					if _, err := os.Stat(file); err != nil {
						t.Errorf("status %d, but the file is not there: %v", a.status, err)
					}
				}
				p.awaitReady(t)
				if durable, reason := p.durable(t); !durable {
					t.Errorf("not durable: %s", reason)
				}
				if a := p.do(t, http.MethodDelete, "/metrics/job/b", ""); a.status != http.StatusAccepted {
					t.Errorf("status %d: %s", a.status, a.body)
				}
				p.kill(t)
				got := gateway(t, file).pushed(t)
				if !strings.Contains(got, `m{instance="",job="a"} 1`) || strings.Contains(got, `job="b"`) {
					t.Errorf("after a restart there is\n%s", got)
				}
			})
		}
	}
}

// TestFileGoneIsNoticed: without any push, too, the gateway notices and writes the file
// again.
func TestFileGoneIsNoticed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	p := gateway(t, file)
	for n := range 3 {
		p.push(t, http.MethodPut, fmt.Sprintf("/metrics/job/%d", n), "m 1\n")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	until(t, "the file is there again", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	p.awaitReady(t)
	want := p.pushed(t)
	p.kill(t)
	if got := gateway(t, file).pushed(t); got != want {
		t.Errorf("after a restart there is\n%s\nwant\n%s", got, want)
	}
}
