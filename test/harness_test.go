// Package test runs the built program the way its users do: as a process,
// under real clients and a real Prometheus server, over loopback only.
package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

// A program is a server that the test started. It is stopped when the test
// ends, at the latest, and must exit with code 0 unless the test says other.
type program struct {
	Addr string // host:port of the first address that it listens on
	URL  string // http:// and Addr

	cmd      *exec.Cmd
	log      *logBuffer
	ended    chan struct{} // closed once the process is gone and log is complete
	wantCode int           // exit code
	client   *http.Client
}

// start runs the gateway on a free port, with nothing kept, and returns once
// it listens.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	args = append([]string{"--web.listen-address=127.0.0.1:0", "--persistence.file="}, args...)
	return launch(t, exec.Command(gatewayBinary(t), args...))
}

// launch starts cmd, a gateway or a Prometheus server, and returns once it
// listens: both log the address, so the system can choose a free port.
func launch(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, log: &logBuffer{}, ended: make(chan struct{}), client: newClient(t)}
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		// wait looks at the exit code, in ProcessState.
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.stop(t) })

	p.Addr = p.addresses(t, 1)[0]
	p.URL = "http://" + p.Addr
	return p
}

var listening = regexp.MustCompile(`msg="Listening on".* address=(\S+)`)

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

// terminate asks the program to end, as a service manager would.
func (p *program) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// wait waits for a program that was asked to end, and checks its exit code.
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

// An answer is what the tests look at in an HTTP response.
type answer struct {
	status int
	body   string
}

// do sends one request; headers come in pairs of name and value.
func (p *program) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
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
	return answer{resp.StatusCode, string(text)}
}

// push is do for the many requests that must be accepted.
func (p *program) push(t *testing.T, method, path, body string, headers ...string) {
	t.Helper()
	if a := p.do(t, method, path, body, headers...); a.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
}

// get is do for the many pages that must be there.
func (p *program) get(t *testing.T, path string, headers ...string) string {
	t.Helper()
	a := p.do(t, http.MethodGet, path, "", headers...)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	return a.body
}

// newClient shows each answer as it was sent: no redirect is followed and
// nothing is decompressed.
func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport,
		Timeout:   patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// runToEnd runs a program that is expected to end by itself, and returns all
// that it prints.
func runToEnd(t *testing.T, cmd *exec.Cmd) (output string, code int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// result runs a tool that must succeed, and returns its standard output
// without what it warns of.
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

// command is exec.Command for a tool that must not outlive the test or hang.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// until polls a condition of another process, which can only be asked.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("waited %v in vain until %s", patience, what)
		case <-tick.C:
		}
	}
}

// logBuffer collects what a process prints while the test reads it.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
