// Package test runs the built program the way its users do: as a process,
// under real clients and a real Prometheus server, over loopback only.
package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// patience bounds every wait. It only decides how long a failing test takes,
// so it is generous enough for a loaded machine.
const patience = 60 * time.Second

// root is the module's top folder; go test runs in this package's own.
const root = ".."

// workDir holds what a run builds. The process id keeps two runs apart.
var workDir = filepath.Join(os.TempDir(), "pushgateway-test-"+strconv.Itoa(os.Getpid()))

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && runsAllTests() {
		code = reportUnusedBlocks()
	}
	if err := os.RemoveAll(workDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// gatewayBinary is built by the first test that needs it.
func gatewayBinary(t *testing.T) string {
	t.Helper()
	if err := buildOnce(); err != nil {
		t.Fatal(err)
	}
	return builtPath
}

var (
	builtPath = filepath.Join(workDir, "pushgateway")
	buildOnce = sync.OnceValue(buildGateway)
)

func buildGateway() error {
	if err := os.Mkdir(workDir, 0o700); err != nil {
		return err
	}
	// go test reuses a result while the files that its tests looked at are
	// unchanged, and does not see what the go command below reads. Looking at
	// the whole tree makes a changed program run these tests again.
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "dist") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-o", builtPath, "./cmd/pushgateway")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/pushgateway: %w\n%s", err, out)
	}
	return nil
}

// A program is a server that a test started. It is stopped when the test ends, at the
// latest, and must exit with wantCode.
type program struct {
	Addr string // host:port of the first address that it listens on
	URL  string // http:// and Addr

	cmd      *exec.Cmd
	log      *output
	ended    chan struct{} // closed once the process is gone and log is complete
	wantCode int           // the expected exit code; -1 for a signal
	client   *http.Client
}

// start runs the gateway on a free port, in memory, and returns once it listens.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return launch(t, inMemory(t, args...))
}

// startLimited is start with a memory limit, in bytes.
func startLimited(t *testing.T, limit int, args ...string) *program {
	t.Helper()
	cmd := inMemory(t, args...)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT="+strconv.Itoa(limit))
	return launch(t, cmd)
}

// inMemory returns the command that start runs.
func inMemory(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--persistence.file="}, args...)
	return exec.Command(gatewayBinary(t), args...)
}

// launch starts cmd, a gateway or a Prometheus server, and returns once it listens.
// Both log their address, so the system can choose a free port.
func launch(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := begin(t, cmd)
	p.Addr = p.addresses(t, 1)[0]
	p.URL = "http://" + p.Addr
	return p
}

// launchAt starts cmd, a server that was told to listen on addr, and returns once it does.
func launchAt(t *testing.T, addr string, cmd *exec.Cmd) *program {
	t.Helper()
	p := begin(t, cmd)
	p.Addr, p.URL = addr, "http://"+addr
	until(t, cmd.Path+" listens", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s", cmd, cmd.ProcessState, p.log)
		default:
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		_ = conn.Close() // it was a test
		return true
	})
	return p
}

// begin starts cmd, by default in a folder of its own.
func begin(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, log: outputOf(t, cmd), ended: make(chan struct{}), client: newClient(t)}
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		// wait looks at the exit code, in ProcessState.
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// freeAddr returns an address where nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(pgtest.FreePort(t)))
}

var listening = regexp.MustCompile(`msg="Listening on".* address=(\S+)\s`)

// addresses waits until the program listens on n addresses.
func (p *program) addresses(t *testing.T, n int) []string {
	t.Helper()
	var found []string
	until(t, fmt.Sprintf("%s listens on %d addresses", p.cmd.Path, n), func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v", p.cmd, p.cmd.ProcessState)
		default:
		}
		found = nil
		for _, m := range listening.FindAllStringSubmatch(p.log.String(), -1) {
			found = append(found, m[1])
		}
		return len(found) >= n
	})
	return found
}

// terminate sends SIGTERM, as a service manager does.
func (p *program) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// wait waits until the program exits, and checks its exit code.
func (p *program) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("%s does not end", p.cmd)
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.ended
	}
	if code := p.cmd.ProcessState.ExitCode(); code != p.wantCode {
		t.Errorf("%s: exit code %d, want %d", p.cmd, code, p.wantCode)
	}
}

func (p *program) stop(t *testing.T) {
	p.terminate(t)
	p.wait(t)
	if t.Failed() {
		t.Logf("log of %s:\n%s", p.cmd, p.log)
	}
}

// runToEnd runs a program until it exits, and returns all that it prints.
func runToEnd(t *testing.T, cmd *exec.Cmd) (output string, code int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// runSubcommand runs the gateway with these arguments until it exits.
func runSubcommand(t *testing.T, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := command(t, gatewayBinary(t), args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// result runs a tool that must succeed, and returns its standard output.
func result(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, warnings.String())
	}
	return strings.TrimSpace(string(out))
}

// command is exec.Command for a tool, which is killed when the test ends or after five
// minutes.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// until polls a condition of another process until it holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	untilWithin(t, patience, what, holds)
}

// untilWithin is until with a limit of its own.
func untilWithin(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("waited %v in vain until %s", limit, what)
		case <-tick.C:
		}
	}
}

// output is what a process has printed. It is a file, so that all of that can be read at
// once: what comes through a pipe may come later than an answer.
type output struct{ file string }

// outputOf has cmd, which is not started yet, print to a file.
func outputOf(t *testing.T, cmd *exec.Cmd) *output {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // only written to by cmd
	cmd.Stdout, cmd.Stderr = f, f
	return &output{f.Name()}
}

func (o *output) String() string {
	content, err := os.ReadFile(o.file)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// gateway starts the gateway with a persistence file, and returns once it is ready.
func gateway(t *testing.T, file string, args ...string) *program {
	t.Helper()
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--persistence.file=" + file}, args...)
	p := launch(t, exec.Command(gatewayBinary(t), args...))
	p.awaitReady(t)
	return p
}

func (p *program) awaitReady(t *testing.T) {
	t.Helper()
	until(t, "the gateway is ready", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s", p.cmd, p.cmd.ProcessState, p.log)
		default:
		}
		return p.do(t, http.MethodGet, "/-/ready", "").status == http.StatusOK
	})
}

// kill sends SIGKILL and returns once the process is gone.
func (p *program) kill(t *testing.T) {
	t.Helper()
	p.wantCode = -1
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
}

// end terminates the program and waits until it exits.
func (p *program) end(t *testing.T) {
	t.Helper()
	p.terminate(t)
	p.wait(t)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// makeDir makes a folder in dir and returns its path.
func makeDir(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// names lists a directory, without lock files.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".lock") {
			continue
		}
		list = append(list, filepath.Base(e.Name()))
	}
	return list
}

// startFails starts the gateway where it cannot start, and returns what it prints.
func startFails(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--persistence.file="}, args...)
	cmd := command(t, gatewayBinary(t), args...)
	cmd.Dir = t.TempDir()
	out, code := runToEnd(t, cmd)
	if code <= 0 {
		t.Errorf("%s: exit code %d, want a failure\n%s", cmd, code, out)
	}
	return out
}

func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

var levelWarn = regexp.MustCompile(`(?mi)^.*\blevel=warn\b.*$`)

// unquoted makes a text comparable with its quoted form in a log line.
func unquoted(s string) string { return strings.NewReplacer(`\`, ``, `"`, ``).Replace(s) }
