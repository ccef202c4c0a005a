//go:build !unix

package job

import (
	"os"
	"os/exec"
	"time"
)

// This system has no process groups and only one signal, an interrupt, which the console sends
// to all its processes. So signals are not passed on, and only the command itself is ended.

var (
	forwarded = stopping
	stopping  = []os.Signal{os.Interrupt}
)

// process is a command that runs.
type process struct{ cmd *exec.Cmd }

func start(c *Command) (*process, error) {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.In, c.Out, c.Err
	return &process{cmd}, cmd.Start()
}

func (p *process) signal(os.Signal) {}

func (p *process) terminate() { p.kill() }

func (p *process) kill() { _ = p.cmd.Process.Kill() } // it may have ended

func (p *process) wait() ending {
	if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState == nil {
		return ending{code: notExecutable}
	}
	state := p.cmd.ProcessState
	return ending{code: state.ExitCode(), cpu: time.Duration(state.UserTime() + state.SystemTime())}
}
