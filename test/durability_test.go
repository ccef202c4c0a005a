package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of this size, which takes root.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); err != nil {
		t.Fatalf("mount a file system to fill up, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all space that is left, and returns what gives it back.
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

// rejectedPush pushes and checks that the answer is the one for when nothing can be
// stored.
func (p *program) rejectedPush(t *testing.T, method, path, body string, because ...string) {
	t.Helper()
	req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s %s: status %d, want 503: %s", method, path, resp.StatusCode, text)
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("%s %s: Retry-After %q, want seconds", method, path, resp.Header.Get("Retry-After"))
	}
	wantText(t, string(text), because...)
}

// durable returns what the gateway says of its storage.
func (p *program) durable(t *testing.T) (durable bool, reason string) {
	t.Helper()
	var status struct {
		Data struct {
			Storage struct {
				Durable bool   `json:"durable"`
				Error   string `json:"error"`
			} `json:"storage"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(p.get(t, "/api/v1/status")), &status); err != nil {
		t.Fatal(err)
	}
	metric := "pushgateway_persistence_durable 0\n"
	if status.Data.Storage.Durable {
		metric = "pushgateway_persistence_durable 1\n"
	}
	wantText(t, p.get(t, "/metrics"), metric)
	return status.Data.Storage.Durable, status.Data.Storage.Error
}

// TestFullDisk fills the disk twice, in both modes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"push", "interval"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t, 8<<20)
			args := []string{"--persistence.sync=" + mode, "--persistence.interval=50ms"}
			file := filepath.Join(disk, "f.db")
			p := gateway(t, file, args...)
			p.push(t, http.MethodPut, "/metrics/job/kept", "kept 1\n")
			p.push(t, http.MethodPut, "/metrics/job/other", "other 1\n")
			for round := 1; round <= 2; round++ {
				free := fill(t, disk)
				// There may be room in the file itself.
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
					p.rejectedPush(t, method, "/metrics/job/kept", "kept 99\n", "no space left on device", file)
				}
				p.rejectedPush(t, http.MethodPut, "/metrics/job/new", "new 99\n", "no space left on device")
				if after := p.pushed(t); after != before {
					t.Errorf("rejected pushes are visible:\n%s\nbefore:\n%s", after, before)
				}
				if a := p.do(t, http.MethodGet, "/-/healthy", ""); a.status != http.StatusOK {
					t.Errorf("/-/healthy: status %d", a.status)
				}
				if durable, reason := p.durable(t); durable || !strings.Contains(reason, "no space left") {
					t.Errorf("status: durable %v, error %q", durable, reason)
				}
				wantText(t, p.get(t, "/"), "kept")

				free()
				p.awaitReady(t)
				if durable, reason := p.durable(t); !durable || reason != "" {
					t.Errorf("status with space: durable %v, error %q", durable, reason)
				}
				if after := p.pushed(t); after != before {
					t.Errorf("with space, exposed is\n%s\nbefore it was\n%s", after, before)
				}
				p.push(t, http.MethodPut, "/metrics/job/kept", fmt.Sprintf("kept %d\n", 1+round))
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
				wantText(t, got, fmt.Sprintf(`kept{instance="",job="kept"} %d`, 1+round), `other{instance="",job="other"} 1`)
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

// nobody is a user without rights, as root has them all.
const nobody = 65534

// asNobody returns a command that runs the gateway as nobody, in a directory that
// nobody may enter.
func asNobody(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test takes root, to run the gateway as another user")
	}
	place := openDir(t)
	binary := filepath.Join(place, "pushgateway")
	// A link, since a copy cannot be run while another test forks, which keeps it
	// open for writing for a moment.
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

// TestNamedFileWithoutRights: a file that the command line names and that cannot be
// used stops the start, with the reason.
func TestNamedFileWithoutRights(t *testing.T) {
	t.Parallel()
	ours := sampleFile(t)
	for what, mode := range map[string]os.FileMode{"none": 0, "no rights": 0o600, "read only": 0o644} {
		dir := openDir(t)
		file := filepath.Join(dir, "f.db")
		if what != "none" {
			if err := os.WriteFile(file, ours, mode); err != nil {
				t.Fatal(err)
			}
		}
		out, code := runToEnd(t, asNobody(t, dir, "--persistence.file="+file))
		if code != 1 {
			t.Errorf("%s: exit code %d, want 1", what, code)
		}
		wantText(t, out, "permission denied", file, "directory "+dir)
		if what != "none" && !bytes.Equal(readFile(t, file), ours) {
			t.Errorf("%s: the file was changed", what)
		}
		if what == "none" && len(names(t, dir)) > 0 {
			t.Errorf("%s: left behind: %v", what, names(t, dir))
		}
	}
	missing := filepath.Join(t.TempDir(), "no", "such", "f.db")
	out, code := runToEnd(t, command(t, gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file="+missing))
	if code != 1 {
		t.Errorf("missing directory: exit code %d, want 1", code)
	}
	wantText(t, out, missing, "directory "+filepath.Dir(missing))
}

// TestDefaultFile: without the flag a plain start keeps its metrics.
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

	// A second one finds it held, and goes on without.
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
		t.Error("what the second process took in memory is in the file")
	}
}

// TestDefaultFileWithoutRights: where the default file cannot be, metrics are kept
// in memory, and everyone is told.
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

// TestHeldFile: a file that is named and that another gateway has stops the start.
func TestHeldFile(t *testing.T) {
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

// TestOriginalFile starts with the files of real gateways.
func TestOriginalFile(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1.11.3", "v1.5.1"} {
		recorded := "../internal/journal/testdata/" + version
		file := filepath.Join(t.TempDir(), "metrics.store")
		original := readFile(t, recorded+".store")
		writeFile(t, file, original)
		for start := range 2 {
			p := gateway(t, file)
			wantLines(t, version+" metadata", normalExposition(t, p.get(t, "/metrics")), normalExposition(t, string(readFile(t, recorded+".metrics"))))
			wantLines(t, version+" exposed", withTimes(t, p.get(t, "/metrics")), withTimes(t, string(readFile(t, recorded+".metrics"))))
			wantLines(t, version+" /api/v1/metrics", apiGroups(t, []byte(p.get(t, "/api/v1/metrics"))), apiGroups(t, readFile(t, recorded+".api.json")))
			if start == 0 {
				wantText(t, p.log.String(), "took over the file of the original", "level=INFO", "groups=")
			}
			p.end(t)
		}
		if !bytes.Equal(readFile(t, file+".original"), original) {
			t.Errorf("%s: the file that was kept is another", version)
		}
	}
}

// withTimes returns the samples that were pushed, and the push times as they are.
func withTimes(t *testing.T, exposition string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(exposition) {
		if line[0] == '#' {
			continue
		}
		s, err := parseSample(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if !isOwn(s.name) {
			lines = append(lines, s.String())
		}
	}
	slices.Sort(lines)
	return lines
}

func apiGroups(t *testing.T, answer []byte) []string {
	t.Helper()
	var body struct {
		Data []map[string]any `json:"data"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		t.Fatal(err)
	}
	// Groups and the series of a family come in another order than there.
	for _, group := range body.Data {
		for _, field := range group {
			if family, ok := field.(map[string]any); ok {
				if metrics, ok := family["metrics"].([]any); ok {
					slices.SortFunc(metrics, func(a, b any) int { return strings.Compare(toJSON(t, a), toJSON(t, b)) })
				}
			}
		}
	}
	slices.SortFunc(body.Data, func(a, b map[string]any) int { return strings.Compare(toJSON(t, a), toJSON(t, b)) })
	return strings.Split(toJSON(t, body.Data), "\n")
}

// TestBackup takes copies while pushes go on. Each starts, and holds a state of one
// moment: clients push to two groups in turn, so that the first is never behind the
// second, nor more than one push ahead.
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
		for range 2 { // what starts once must start again
			copied := gateway(t, file)
			found := states(t, copied.get(t, "/metrics"))
			for c := range clients {
				first, second := valueOf(found, fmt.Sprintf("first-%d", c)), valueOf(found, fmt.Sprintf("second-%d", c))
				if first < second || first > second+1 {
					t.Errorf("client %d: the copy is of no one moment: %d and %d", c, first, second)
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
