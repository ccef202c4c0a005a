// Package job runs a command as a job: in a process group of its own, with the signals that
// arrive passed on to it, a time limit, a lock and retries. It also puts how the job went into
// metrics and keeps pushes for later that could not be sent. It sends nothing itself.
package job

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// Exit codes of a command that could not be started, as in shells.
const (
	notExecutable = 126
	notFound      = 127
)

// signalBase is added to the number of the signal that ended a command, as in shells.
const signalBase = 128

// Command is what to run, and how.
type Command struct {
	Args          []string // the program and its arguments
	Env           []string // further environment variables, as name=value
	In, Out, Err  *os.File
	Timeout       time.Duration // after which SIGTERM is sent; 0 for none
	KillAfter     time.Duration // from SIGTERM to SIGKILL
	Retries       int           // how often to run the command again after it failed
	RetryDelay    time.Duration // before each of them
	OKExitCodes   []int         // besides 0
	BeforeAttempt func()        // called before the command is started, each time; may be nil
}

// Result is how a job went.
type Result string

// The results.
const (
	Success  Result = "success"
	Failure  Result = "failure" // by its exit code, or it could not be started
	TimedOut Result = "timeout"
	Signaled Result = "signal" // ended by a signal
)

// Results returns all results.
func Results() []Result { return []Result{Success, Failure, TimedOut, Signaled} }

// Outcome is what became of a command that was run.
type Outcome struct {
	Start, End time.Time     // of the first and the last attempt
	ExitCode   int           // of the last attempt; 128 and the number of the signal that ended it
	Result     Result        // of the last attempt
	CPU        time.Duration // of the last attempt, with all descendants that it waited for
	MaxRSS     int64         // in bytes: the largest of these processes; 0 if unknown
	StartError error         // why the command could not be started
}

// Run runs the command until it succeeds or has no retries left, and returns how that went.
// Signals that arrive meanwhile go to the command's process group, and it is not run again
// after one that asks to stop. Processes that the command leaves behind are not waited for. As
// process 1, Run reaps all processes that end.
func (c *Command) Run() Outcome {
	signals := forwardSignals()
	defer signals.stop()
	outcome := Outcome{Start: time.Now()}
	for attempt := 0; ; attempt++ {
		c.attempt(&outcome, signals)
		outcome.End = time.Now()
		if outcome.Result == Success || attempt >= c.Retries || !signals.pause(c.RetryDelay) {
			return outcome
		}
	}
}

// attempt runs the command once.
func (c *Command) attempt(o *Outcome, signals *forwarder) {
	*o = Outcome{Start: o.Start}
	if c.BeforeAttempt != nil {
		c.BeforeAttempt()
	}
	p, err := start(c)
	if err != nil {
		o.StartError, o.ExitCode, o.Result = err, startCode(err), Failure
		return
	}
	signals.target(p)
	limit := newLimit(p, c.Timeout, c.KillAfter)
	end := p.wait()
	signals.target(nil)
	timedOut := limit.stop()
	o.CPU, o.MaxRSS = end.cpu, end.maxRSS
	o.ExitCode = end.code
	if end.signal != 0 {
		o.ExitCode = signalBase + int(end.signal)
	}
	switch {
	case timedOut:
		o.Result = TimedOut
	case end.signal != 0:
		o.Result = Signaled
	case end.code == 0 || slices.Contains(c.OKExitCodes, end.code):
		o.Result = Success
	default:
		o.Result = Failure
	}
}

// ending is how a process ended.
type ending struct {
	code   int
	signal syscall.Signal // that ended it; 0 if it exited
	cpu    time.Duration
	maxRSS int64
}

// startCode returns the exit code for a program that could not be started.
func startCode(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return notFound
	}
	return notExecutable
}
