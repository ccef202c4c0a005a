package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab knows the programs to measure and starts them. It is used by one
// goroutine.
type lab struct {
	ctx          context.Context // ends on Ctrl-C, and every process with it
	dir          string          // for the build and for logs
	self         string          // this program, for the roles in roles.go
	originalPath string
	oursPath     string
	oursFrom     string // where it comes from, in words
	through      transportKind
	short        bool
	profileDir   string
	bodies       [][]byte
	started      int
	notes        []string // shown under the table
}

// note adds a remark to be shown under the table, once.
func (l *lab) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, have := range l.notes {
		if have == text {
			return
		}
	}
	l.notes = append(l.notes, text)
}

// process is a running server.
type process struct {
	name       string
	addr       string
	pushStatus int  // its answer to a push that it takes
	gateway    bool // it holds what is pushed
	cmd        *exec.Cmd
	stdin      io.Closer // held open: the roles of this program end when it closes
	log        string    // file with what it wrote
	cancel     context.CancelFunc
	gone       chan struct{} // closed when it has ended
}

// floor starts the bare server.
func (l *lab) floor() (*process, error) {
	return l.start("floor", http.StatusOK, l.self, func(addr string) []string {
		return []string{roleArgument, roleFloor, addr}
	})
}

// ours starts the gateway of this project, in memory.
func (l *lab) ours() (*process, error) {
	return l.start("ours", http.StatusOK, l.oursPath, func(addr string) []string {
		return []string{"--web.listen-address=" + addr, "--persistence.file="}
	})
}

// original starts the original, in memory.
func (l *lab) original() (*process, error) {
	return l.start("original", http.StatusOK, l.originalPath, func(addr string) []string {
		return []string{"--web.listen-address=" + addr, "--persistence.file="}
	})
}

// originalUnchecked starts the original without its check of pushes, which
// takes 0.3 s at 10,000 groups, so that filling it would take most of an hour.
// Its scrapes and its memory do not depend on that flag.
func (l *lab) originalUnchecked() (*process, error) {
	l.note("For scrapes and memory the original is filled with --push.disable-consistency-check: its check takes 0.3 s per push at 10,000 groups. The flag does not change how it scrapes or what it holds. Ours always checks.")
	return l.start("original", http.StatusAccepted, l.originalPath, func(addr string) []string {
		return []string{"--web.listen-address=" + addr, "--persistence.file=", "--push.disable-consistency-check"}
	})
}

// start runs a server on a free port of the loopback interface and waits
// until it answers.
func (l *lab) start(name string, pushStatus int, binary string, args func(addr string) []string) (*process, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	l.started++
	logName := filepath.Join(l.dir, fmt.Sprintf("%d-%s.log", l.started, name))
	log, err := os.Create(logName)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor

	ctx, cancel := context.WithCancel(l.ctx)
	cmd := command(ctx, binary, args(addr)...)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{
		name: name, addr: addr, pushStatus: pushStatus, gateway: binary != l.self, cmd: cmd, stdin: stdin,
		log: logName, cancel: cancel, gone: make(chan struct{}),
	}
	go func() {
		cmd.Wait() // its exit code says nothing: we end it ourselves
		close(p.gone)
	}()
	if err := p.awaitReady(l.ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w%s", name, err, p.lastWords())
	}
	return p, nil
}

// command makes a command that ends with ctx: it is asked to stop and, five
// seconds later, killed.
func command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// freeAddress returns an address that nobody listens on. Another program may
// take it before ours does; the start then fails in words.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func (p *process) awaitReady(ctx context.Context) error {
	end := time.Now().Add(20 * time.Second)
	for time.Now().Before(end) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.gone:
			return errors.New("it ended at once")
		case <-time.After(20 * time.Millisecond):
		}
		resp, err := http.Get("http://" + p.addr + "/-/ready")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return errors.New("not ready after 20 s")
}

// lastWords returns the end of what the process wrote, for error messages.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; it wrote:\n" + string(text[max(0, len(text)-1000):])
}

// stop ends the process and returns once it is gone. It may be called on nil
// and more than once.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.cancel()
	p.stdin.Close()
	<-p.gone
}

// resident returns the resident memory in bytes.
func (p *process) resident() (float64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			if err != nil {
				return 0, fmt.Errorf("memory of %s: %w", p.name, err)
			}
			return kib * 1024, nil
		}
	}
	return 0, fmt.Errorf("memory of %s: no VmRSS", p.name)
}

// cpu returns the processor time that the process has used, in seconds. The
// kernel counts it in hundredths.
func (p *process) cpu() (float64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", p.name, err)
	}
	// The second field is the name in brackets, which may hold anything; the
	// 14th and 15th are the time in user and in system mode.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time of %s: not understood: %q", p.name, text)
	}
	user, errUser := strconv.ParseFloat(fields[11], 64)
	system, errSystem := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, errors.Join(errUser, errSystem)
}

// profile writes a CPU profile of p while load runs, if profiles were asked
// for. It runs after a measure with the measure's load, as a running profiler
// would slow down what is measured.
func (l *lab) profile(measure string, p *process, load func(d time.Duration) error) error {
	if l.profileDir == "" {
		return nil
	}
	const seconds = 10
	fetched := make(chan error, 1)
	name := filepath.Join(l.profileDir, measure+".pprof")
	go func() {
		fetched <- fetch(l.ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.addr, seconds), name)
	}()
	loadErr := load((seconds + 1) * time.Second)
	if err := errors.Join(loadErr, <-fetched); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

func fetch(ctx context.Context, url, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return os.WriteFile(name, body, 0o644)
}

// build builds ours as it is released.
func build(ctx context.Context, target string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, "pushgateway/cmd/pushgateway")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build ours: %w\n%s", err, out.Bytes())
	}
	return nil
}

// version returns the first line of what a gateway says of itself.
func version(ctx context.Context, binary string) string {
	out, err := exec.CommandContext(ctx, binary, "--version").CombinedOutput()
	if err != nil {
		return "unknown version: " + err.Error()
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
