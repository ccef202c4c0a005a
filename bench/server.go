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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server says what to start and which groups it has before it is measured.
type server struct {
	kind     kind
	flags    []string
	rules    string                // the rules file, none if empty
	file     bool                  // persist to a file, each push synced
	replicas int                   // that share a database instead of a file; 0 for none
	slowSync bool                  // each sync takes 1 ms longer; needs strace if it is that of a file
	halved   bool                  // runs on one half of the processors; needs taskset
	limited  bool                  // has a quarter of a processor; needs root
	groups   int                   // groups 0 to groups-1, which pushes replace at random
	fill     func(*instance) error // creates the groups
}

type kind int

const (
	kindFloor kind = iota
	kindUpstream
	kindOurs
)

// floor is a bare HTTP server, or with file one that appends and syncs.
func floor() server { return server{kind: kindFloor, groups: 1, fill: fillNone} }

// ours is this gateway with so many groups of the usual body, in memory.
func ours(groups int, flags ...string) server {
	return server{kind: kindOurs, groups: groups, flags: flags, fill: fillBodies}
}

// upstream is the upstream gateway in memory. Its check takes 0.3 s per push
// at 10,000 groups, so that beyond a few groups it runs unchecked. The flag
// changes neither its scrapes nor its memory.
func upstream(groups int) server {
	s := server{kind: kindUpstream, groups: groups, fill: fillBodies}
	if groups > fewGroups {
		s.flags = []string{"--push.disable-consistency-check"}
	}
	return s
}

func (s server) inFile(flags ...string) server { s.file, s.flags = true, flags; return s }

// inDatabase is so many replicas that share a database. Connections spread over them.
func (s server) inDatabase(replicas int) server { s.replicas = replicas; return s }

func (s server) withSlowSync() server { s.slowSync = true; return s }

// onSmallMachines gives each process a quarter of a processor.
func (s server) onSmallMachines() server { s.limited = true; return s }

func (s server) withRules(rules string) server { s.rules = rules; return s }

func (s server) filled(fill func(*instance) error) server { s.fill = fill; return s }

// A lab knows the programs and starts them. It is used by one goroutine.
type lab struct {
	ctx             context.Context // canceled on Ctrl-C; every process ends with it
	dir             string          // for persistence and rules files
	self            string          // this program, for the roles in roles.go
	oursPath        string
	upstreamPath    string
	upstreamVersion string
	profiles        string // directory, empty for none
	short           bool
	started         int
	database        databaseOwner
	running         []*instance // of the current measure
}

// An instance is a running server.
type instance struct {
	server
	lab       *lab
	addr      string
	replicas  []*instance // all that share its database, itself included; empty if there are none
	args      []string    // how it was started
	storage   string      // its file, if any
	rulesFile string
	group     string        // the directory of its control group, if it is limited
	log       *bytes.Buffer // complete once gone is closed
	cmd       *exec.Cmd
	stdin     io.Closer     // the roles of this program end when it closes
	gone      chan struct{} // closed once the process has ended
	pushers   []*pusher     // see pusher
}

// start starts a server on a free port and fills it.
func (l *lab) start(s server) (*instance, error) {
	l.started++
	name := filepath.Join(l.dir, strconv.Itoa(l.started))
	i := &instance{server: s, lab: l, rulesFile: name + ".yml"}
	l.running = append(l.running, i)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i.addr = listener.Addr().String()
	listener.Close() // another program may take the port before the server does: the start then fails

	if s.file {
		i.storage = name + ".db"
	}
	if s.replicas > 0 {
		url, err := l.newDatabase(s.slowSync)
		if err != nil {
			return nil, err
		}
		s.flags = append(slices.Clone(s.flags), "--persistence.url="+url)
	}
	binary := l.oursPath
	switch s.kind {
	case kindFloor:
		i.args = []string{l.self, roleArgument, roleFloor, i.addr, i.storage}
	case kindUpstream:
		binary = l.upstreamPath
		fallthrough
	case kindOurs:
		i.args = append([]string{binary, "--web.listen-address=" + i.addr, "--persistence.file=" + i.storage}, s.flags...)
	}
	if s.rules != "" {
		if err := os.WriteFile(i.rulesFile, []byte(s.rules), 0o644); err != nil {
			return nil, err
		}
		i.args = append(i.args, "--config.file="+i.rulesFile)
	}
	if s.halved {
		i.args = append(serverHalf(), i.args...)
	}
	if s.limited {
		if i.group, err = limitProcessors(fmt.Sprintf("pushgateway-bench-%d-%d", os.Getpid(), l.started)); err != nil {
			return nil, err
		}
		i.args = append(inGroup(i.group), i.args...)
	}
	if s.slowSync && s.file {
		// With -D the server stays the direct child. With --seccomp-bpf strace
		// stops nothing but the syncs.
		i.args = append([]string{"strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
			"-e", "inject=fsync,fdatasync:delay_exit=1000"}, i.args...)
	}
	if err := i.run(); err != nil {
		return nil, fmt.Errorf("start %q: %w", i.args, err)
	}
	if s.replicas > 0 {
		if err := i.startReplicas(s); err != nil {
			return nil, err
		}
	}
	if s.slowSync && s.file {
		// strace must not wait for a processor. Only root may set this.
		tracer, err := i.status("TracerPid")
		if err != nil {
			return nil, err
		}
		syscall.Setpriority(syscall.PRIO_PROCESS, int(tracer), -20)
	}
	if err := s.fill(i); err != nil {
		return nil, fmt.Errorf("fill %q: %w", i.args, i.failed(err))
	}
	return i, nil
}

// startReplicas starts what shares the database with the instance, whose flags s has.
func (i *instance) startReplicas(s server) error {
	other := s
	other.replicas, other.fill = 0, fillNone
	all := []*instance{i}
	for len(all) < s.replicas {
		replica, err := i.lab.start(other)
		if err != nil {
			return err
		}
		all = append(all, replica)
	}
	i.replicas = all
	return nil
}

// run starts the process, again after stop, and returns once it is ready.
func (i *instance) run() error {
	cmd, log, gone := exec.Command(i.args[0], i.args[1:]...), new(bytes.Buffer), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	i.cmd, i.log, i.stdin, i.gone = cmd, log, stdin, gone
	go func() {
		cmd.Wait() // its exit code says nothing: stop ends it
		close(gone)
	}()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		select {
		case <-i.lab.ctx.Done():
			return i.lab.ctx.Err()
		case <-i.gone:
			return i.failed(errors.New("exited at once"))
		case <-time.After(2 * time.Millisecond):
		}
		if resp, err := http.Get("http://" + i.addr + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return i.failed(errors.New("not ready after a minute"))
}

// failed stops the instance and adds the end of its log to err.
func (i *instance) failed(err error) error {
	i.stop()
	if i.log == nil {
		return err
	}
	return fmt.Errorf("%w; the log ends:\n%s", err, i.log.Bytes()[max(0, i.log.Len()-1000):])
}

// stop ends the process and returns once it is gone. run may follow.
func (i *instance) stop() {
	for _, p := range i.pushers {
		p.pool.CloseIdleConnections()
	}
	i.pushers = nil
	if i.gone == nil {
		return
	}
	i.cmd.Process.Signal(syscall.SIGTERM)
	i.stdin.Close()
	select {
	case <-i.gone:
	case <-time.After(30 * time.Second):
		i.cmd.Process.Kill()
		<-i.gone
	}
}

func (l *lab) stopAll() {
	for _, i := range l.running {
		i.stop()
		os.Remove(i.storage)
		if i.group != "" {
			os.Remove(i.group)
		}
	}
	l.running = nil
}

// status returns a figure of /proc/PID/status.
func (i *instance) status(figure string) (v float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\n"+figure+":")
	if _, err := fmt.Sscan(rest, &v); err != nil {
		return 0, fmt.Errorf("%s in /proc/PID/status: %w", figure, err)
	}
	return v, nil
}

// memory returns VmRSS, the resident memory, or VmHWM, its peak, in bytes.
func (i *instance) memory(figure string) (float64, error) {
	kib, err := i.status(figure)
	return kib * 1024, err
}

// settledMemory returns the resident memory once it stops falling: Go gives
// memory back slowly, in the background.
func (i *instance) settledMemory() (settled float64, err error) {
	for quiet, tries := 0, 0; quiet < 4 && tries < 30; tries++ {
		if err := sleep(i.lab.ctx, time.Second); err != nil {
			return 0, err
		}
		now, err := i.memory("VmRSS")
		if err != nil {
			return 0, err
		}
		if quiet++; tries == 0 || now < 0.99*settled {
			settled, quiet = now, 0
		}
	}
	return settled, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// selfMetric returns one of the gateway's own metrics, from the path in
// --web.own-metrics-path.
func (i *instance) selfMetric(name string) (float64, error) {
	_, text, err := i.request(http.MethodGet, "/self", nil)
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	if !found {
		return 0, fmt.Errorf("no %s at /self; start the gateway with %s", name, selfMetrics)
	}
	return strconv.ParseFloat(value, 64)
}

const selfMetrics = "--web.own-metrics-path=/self"

// request sends one request and returns the status and the body.
func (i *instance) request(method, path string, body io.Reader, headers ...string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(i.lab.ctx, method, "http://"+i.addr+path, body)
	if err != nil {
		return 0, nil, err
	}
	for h := 0; h < len(headers); h += 2 {
		r.Header.Set(headers[h], headers[h+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// profile writes a CPU profile of the instance while load runs.
func (i *instance) profile(name string, load func() error) error {
	const seconds = 10
	fetched := make(chan error, 1)
	go func() {
		status, profile, err := i.request(http.MethodGet, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		fetched <- errors.Join(err, os.WriteFile(filepath.Join(i.lab.profiles, name+".pprof"), profile, 0o644))
	}()
	var err error
	for end := time.Now().Add((seconds + 1) * time.Second); err == nil && time.Now().Before(end); {
		err = load()
	}
	return errors.Join(err, <-fetched)
}
