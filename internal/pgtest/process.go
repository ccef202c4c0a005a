package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unprivileged returns the user as whom servers run if the test runs as root, which
// PostgreSQL does not accept. It returns nil if the test runs as another user.
func unprivileged(t TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("there is neither a user postgres nor nobody; PostgreSQL does not run as root")
	return nil
}

// program returns the command of one of PostgreSQL's programs.
func (s *Server) program(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	// Debian keeps the programs of each version in a folder of its own.
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(found) == 0 {
		path, err := exec.LookPath(name)
		if err != nil {
			s.t.Fatalf("PostgreSQL is not installed; run scripts/setup: %v", err)
		}
		found = []string{path}
	}
	cmd := exec.Command(found[len(found)-1], args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: unprivileged(s.t)}
	return cmd
}

// run runs one of PostgreSQL's programs, which must succeed.
func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	if out, err := s.program(name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// launch starts the server's process.
func (s *Server) launch() {
	s.t.Helper()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = s.program("postgres", "-D", s.data())
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// A test that is killed leaves no server behind.
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	if err := errors.Join(s.cmd.Start(), log.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan<- struct{}) {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}(s.cmd, s.ended)
}

// Running reports whether the server's process exists.
func (s *Server) Running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal to the server's main process.
func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
}

// Stop ends the server in order: connections are closed, and all commits are written.
func (s *Server) Stop() {
	s.t.Helper()
	s.signal(syscall.SIGINT)
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Errorf("PostgreSQL does not stop")
		s.Kill()
	}
}

// Kill ends the server as if its machine had died: no process has time to do anything.
func (s *Server) Kill() {
	s.t.Helper()
	s.Freeze()
	children := s.children()
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // it cannot end by itself, as it is stopped
	}
	s.await("the server's processes have ended", func() bool { return !slices.ContainsFunc(children, runs) })
	s.signal(syscall.SIGKILL)
	<-s.ended
	s.removeSharedMemory()
}

// Restart starts a server again that Stop or Kill has ended, and returns once it accepts
// connections.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
	s.await("the server accepts connections again", func() bool { return s.try("SELECT 1") == nil })
}

// Freeze stops all processes of the server. Connections stay open, and new ones are
// made, but nobody answers.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP) // first, so that it makes no more children
	for _, child := range s.children() {
		_ = syscall.Kill(child, syscall.SIGSTOP) // it may have ended just now
	}
}

// Thaw undoes Freeze.
func (s *Server) Thaw() {
	s.t.Helper()
	for _, child := range s.children() {
		_ = syscall.Kill(child, syscall.SIGCONT)
	}
	s.signal(syscall.SIGCONT)
}

// children returns the IDs of the processes that the main process has started.
func (s *Server) children() []int {
	s.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		s.t.Fatal(err)
	}
	parent := strconv.Itoa(s.cmd.Process.Pid)
	var children []int
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			s.t.Fatal(err)
		}
		if fields := stateAndParent(child); len(fields) == 2 && string(fields[1]) == parent {
			children = append(children, child)
		}
	}
	return children
}

// stateAndParent returns two fields of /proc/PID/stat, or none once the process is gone.
func stateAndParent(pid int) [][]byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name in parentheses may contain anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return fields[:min(2, len(fields))]
}

// runs reports whether a process still has memory: it is neither gone nor a zombie.
func runs(pid int) bool {
	fields := stateAndParent(pid)
	return len(fields) > 0 && string(fields[0]) != "Z"
}

// removeSharedMemory removes what a killed server leaves in the kernel.
func (s *Server) removeSharedMemory() {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return // it was killed before it had any
	}
	lines := strings.Split(string(text), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return len(strings.Fields(line)) == 2 }) // key and ID
	if i < 0 {
		return
	}
	id, err := strconv.Atoi(strings.Fields(lines[i])[1])
	if err != nil {
		s.t.Errorf("postmaster.pid: %v", err)
		return
	}
	const remove = 0 // IPC_RMID
	_, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), remove, 0)
	if errno != 0 && errno != syscall.EINVAL { // EINVAL: there is none
		s.t.Errorf("remove shared memory %d: %v", id, errno)
	}
}

// cleanUp ends the server and removes its folder. If the test failed, it shows the log.
func (s *Server) cleanUp() {
	s.t.Helper()
	if s.Running() {
		s.Thaw()
		s.signal(syscall.SIGQUIT)
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second):
			s.Kill()
		}
	}
	if s.t.Failed() {
		s.t.Logf("log of PostgreSQL at %s:\n%s", s.Addr(), s.log())
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Error(err)
	}
}

// log returns the end of what the server has logged.
func (s *Server) log() string {
	const enough = 8 << 10
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text[max(0, len(text)-enough):])
}
