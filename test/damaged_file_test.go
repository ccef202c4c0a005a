package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sampleFile returns the content of a persistence file with twelve groups.
func sampleFile(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.db")
	p := gateway(t, file)
	for i := range 12 {
		p.push(t, http.MethodPut, fmt.Sprintf("/metrics/job/%d-0", i), groupBody("mn", i))
	}
	p.end(t)
	return readFile(t, file)
}

// TestDamagedFile: the gateway does not start with a damaged file. It leaves the file
// untouched and names it, whether or not the command line does.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	file := sampleFile(t)
	flipped := func(content []byte, at int) []byte {
		bad := slices.Clone(content)
		bad[at] ^= 4
		return bad
	}
	upstream := readFile(t, "../internal/journal/testdata/v1.11.3.store")
	// Only the last occurrence is certain to be in use.
	record := bytes.LastIndex(file, []byte(strings.Repeat("x", 30)))
	for what, content := range map[string][]byte{
		"cut in the first batch":   file[:700],
		"cut in the middle":        file[:2*4096+5],
		"header damaged":           flipped(file, 20),
		"batch damaged":            flipped(file, 4096+20),
		"record damaged":           flipped(file, record),
		"garbage":                  []byte("no such thing\n"),
		"upstream file, cut":       upstream[:2000],
		"upstream file, a bit off": flipped(upstream, 40),
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "data", "pushgateway.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, content)
			for _, args := range [][]string{{"--persistence.file=" + path}, nil} {
				cmd := command(t, gatewayBinary(t), append([]string{"--web.listen-address=127.0.0.1:0"}, args...)...)
				cmd.Dir = dir
				out, code := runToEnd(t, cmd)
				if code != 1 {
					t.Errorf("%v: exit code %d, want 1", args, code)
				}
				wantText(t, out, "data/pushgateway.db", "damaged", "move it away")
				if !bytes.Equal(readFile(t, path), content) {
					t.Errorf("%v: the file was changed", args)
				}
				if got := names(t, filepath.Dir(path)); len(got) != 1 {
					t.Errorf("%v: left behind: %v", args, got)
				}
			}
		})
	}
}

// TestCheckAndDump: what the subcommands print of good, damaged and missing files.
func TestCheckAndDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	content := sampleFile(t)
	bad := slices.Clone(content)
	bad[bytes.LastIndex(bad, []byte(strings.Repeat("x", 30)))] ^= 1
	before := map[string][]byte{
		"good.db":        content,
		"damaged.db":     bad,
		"cut.db":         content[:2*4096],
		"upstream.store": readFile(t, "../internal/journal/testdata/v1.5.1.store"),
	}
	for name, content := range before {
		writeFile(t, filepath.Join(dir, name), content)
	}

	for _, c := range []struct {
		verb, name string
		code       int
		out, err   []string
	}{
		{"check", "good.db", 0, []string{"good.db", "12"}, nil},
		{"check", "damaged.db", 1, nil, []string{"damaged.db", "damaged"}},
		{"check", "cut.db", 1, nil, []string{"cut.db", "damaged"}},
		{"check", "upstream.store", 0, []string{"upstream.store", "Prometheus Pushgateway"}, nil},
		{"check", "none", 1, nil, []string{"none", "no such file"}},
		{"dump", "good.db", 0, []string{`m{i="3",instance="",job="7-0",`, `push_time_seconds{instance="",job="7-0"} `}, nil},
		{"dump", "damaged.db", 1, []string{"# TYPE m gauge"}, []string{"damaged.db", "damaged"}},
		{"dump", "cut.db", 1, nil, []string{"cut.db", "damaged"}},
		{"dump", "upstream.store", 0, []string{`jobs_total{instance="",job="backup",result="ok"} 3`}, nil},
	} {
		t.Run(c.verb+" "+c.name, func(t *testing.T) {
			out, errOut, code := runSubcommand(t, c.verb, filepath.Join(dir, c.name))
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, errOut)
			}
			wantText(t, out, c.out...)
			wantText(t, errOut, c.err...)
		})
	}
	out, _, _ := runSubcommand(t, "dump", filepath.Join(dir, "good.db"))
	whole := states(t, out)
	if len(whole) != 12 {
		t.Errorf("dump prints %d groups, want 12", len(whole))
	}
	// The dump of a damaged file has nothing but what was in it.
	out, _, _ = runSubcommand(t, "dump", filepath.Join(dir, "damaged.db"))
	for group, state := range states(t, out) {
		if whole[group] != state {
			t.Errorf("dump of the damaged file has group %s as %q, it is %q", group, state, whole[group])
		}
	}
	for name, content := range before {
		if !bytes.Equal(readFile(t, filepath.Join(dir, name)), content) {
			t.Errorf("%s was changed", name)
		}
	}
	if got := names(t, dir); len(got) != len(before) {
		t.Errorf("left behind: %v", got)
	}

	// check of a file in use.
	p := gateway(t, filepath.Join(dir, "good.db"))
	_, errOut, code := runSubcommand(t, "check", filepath.Join(dir, "good.db"))
	if code != 1 {
		t.Errorf("check of a file in use: exit code %d, want 1", code)
	}
	wantText(t, errOut, "another process")
	p.push(t, http.MethodPut, "/metrics/job/a", "other 1\n")
}
