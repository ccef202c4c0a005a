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

// sampleFile returns a file of the gateway with some groups in it.
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

// TestDamagedFile: a file that cannot be trusted stops the start, is not touched,
// and the message names it, whether or not the command line does.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	file := sampleFile(t)
	flipped := func(at int) []byte {
		bad := slices.Clone(file)
		bad[at] ^= 4
		return bad
	}
	// The first of them may stand in a page that is free by now.
	record := bytes.LastIndex(file, []byte(strings.Repeat("x", 30)))
	for what, content := range map[string][]byte{
		"cut in the first page":  file[:700],
		"cut in the middle":      file[:8*4096+5],
		"root page damaged":      flipped(4096 + 20),
		"record damaged":         flipped(record),
		"garbage":                []byte("no such thing\n"),
		"original, cut":          readFile(t, "../internal/journal/testdata/v1.11.3.store")[:2000],
		"original, one bit less": flippedOriginal(t),
	} {
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
				t.Errorf("%s %v: exit code %d, want 1", what, args, code)
			}
			wantText(t, out, "data/pushgateway.db", "damaged", "move it away")
			if !bytes.Equal(readFile(t, path), content) {
				t.Errorf("%s %v: the file was changed", what, args)
			}
			if got := names(t, filepath.Dir(path)); len(got) != 1 {
				t.Errorf("%s %v: left behind: %v", what, args, got)
			}
		}
	}
}

func flippedOriginal(t *testing.T) []byte {
	t.Helper()
	bad := readFile(t, "../internal/journal/testdata/v1.11.3.store")
	bad[40] ^= 1
	return bad
}

// TestCheckAndDump: what the subcommands say of good files, damaged ones, and none.
func TestCheckAndDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	content := sampleFile(t)
	writeFile(t, good, content)
	bad := slices.Clone(content)
	bad[bytes.LastIndex(bad, []byte(strings.Repeat("x", 30)))] ^= 1
	damaged := filepath.Join(dir, "damaged.db")
	writeFile(t, damaged, bad)
	cut := filepath.Join(dir, "cut.db")
	writeFile(t, cut, content[:6*4096])
	original := filepath.Join(dir, "original.store")
	writeFile(t, original, readFile(t, "../internal/journal/testdata/v1.5.1.store"))
	before := map[string][]byte{}
	for _, name := range names(t, dir) {
		before[name] = readFile(t, filepath.Join(dir, name))
	}

	run := func(verb, path string) (out, errOut string, code int) {
		cmd := command(t, gatewayBinary(t), verb, path)
		var text, problems strings.Builder
		cmd.Stdout, cmd.Stderr = &text, &problems
		_ = cmd.Run() // the code tells
		return text.String(), problems.String(), cmd.ProcessState.ExitCode()
	}
	for _, c := range []struct {
		verb, path string
		code       int
		out, err   []string
	}{
		{"check", good, 0, []string{good, "12"}, nil},
		{"check", damaged, 1, nil, []string{damaged, "damaged"}},
		{"check", cut, 1, nil, []string{cut, "damaged"}},
		{"check", original, 0, []string{original, "original"}, nil},
		{"check", filepath.Join(dir, "none"), 1, nil, []string{"none", "no such file"}},
		{"dump", good, 0, []string{`m{i="3",instance="",job="7-0",`, `push_time_seconds{instance="",job="7-0"} `}, nil},
		{"dump", damaged, 1, []string{"# TYPE m gauge"}, []string{damaged, "damaged"}},
		{"dump", cut, 1, nil, []string{cut, "damaged"}},
		{"dump", original, 0, []string{`jobs_total{instance="",job="backup",result="ok"} 3`}, nil},
	} {
		out, errOut, code := run(c.verb, c.path)
		if code != c.code {
			t.Errorf("%s %s: exit code %d, want %d\n%s", c.verb, c.path, code, c.code, errOut)
		}
		wantText(t, out, c.out...)
		wantText(t, errOut, c.err...)
	}
	out, _, _ := run("dump", good)
	whole := states(t, out)
	if len(whole) != 12 {
		t.Errorf("dump prints %d groups, want 12", len(whole))
	}
	// Of a damaged file nothing is made up.
	out, _, _ = run("dump", damaged)
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

	// Of a file in use, check says that it is.
	p := gateway(t, filepath.Join(dir, "good.db"))
	if _, errOut, code := run("check", good); code != 1 || !strings.Contains(errOut, "another process") {
		t.Errorf("check of a file in use: exit code %d\n%s", code, errOut)
	}
	p.push(t, http.MethodPut, "/metrics/job/a", "other 1\n")
}
