//go:build unix

package job

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/term"
)

// forwarded are the signals that are passed on to the command.
var forwarded = append(slices.Clone(stopping),
	syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGCONT, syscall.SIGWINCH)

// stopping are the signals that ask to stop.
var stopping = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}

// process is a command that runs, the first process of its own process group.
type process struct {
	pid      int
	terminal int // whose foreground process group the command is; -1 if it is none
}

// start starts the command. It has the terminal if this process has it.
func start(c *Command) (*process, error) {
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return nil, err
	}
	p := &process{terminal: -1}
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if fd := int(c.In.Fd()); term.IsTerminal(fd) && foreground(fd) {
		p.terminal = fd
		attributes.Foreground, attributes.Ctty = true, fd
	}
	p.pid, err = syscall.ForkExec(path, c.Args, &syscall.ProcAttr{ // #nosec G204 -- to run what the user asks for is the purpose
		Env:   append(os.Environ(), c.Env...),
		Files: []uintptr{c.In.Fd(), c.Out.Fd(), c.Err.Fd()},
		Sys:   attributes,
	})
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: c.Args[0], Err: err}
	}
	return p, nil
}

// signal sends a signal to the process group.
func (p *process) signal(s os.Signal) {
	// The group may be gone, or belong to another user.
	_ = syscall.Kill(-p.pid, s.(syscall.Signal))
}

// terminate asks the process group to end. Stopped processes are continued, so that they can.
func (p *process) terminate() {
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT)
}

func (p *process) kill() { p.signal(syscall.SIGKILL) }

// wait returns once the command has ended. Meanwhile it reaps other children: process 1 gets
// those whose parents are gone.
func (p *process) wait() ending {
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		pid, err := syscall.Wait4(-1, &status, 0, &usage)
		if err == syscall.EINTR || err == nil && pid != p.pid {
			continue
		}
		if err != nil { // there is no child, which cannot be
			return ending{code: notExecutable}
		}
		break
	}
	if p.terminal >= 0 {
		takeTerminal(p.terminal)
	}
	end := ending{cpu: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), maxRSS: int64(usage.Maxrss) * rssUnit}
	if status.Signaled() {
		end.signal = status.Signal()
	} else {
		end.code = status.ExitStatus()
	}
	return end
}

// takeTerminal makes this process' group the foreground one again. The system would stop a
// process of the background for that.
func takeTerminal(fd int) {
	signal.Ignore(syscall.SIGTTOU)
	_ = setForeground(fd, syscall.Getpgrp()) // the terminal may be gone
	signal.Reset(syscall.SIGTTOU)
}
