package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"

	"pushgateway/internal/job"
	"pushgateway/internal/metric"
)

// exitLocked is the exit status of run if another process has the lock: EX_TEMPFAIL.
const exitLocked = 75

// maxTextfile is the maximum size of what a command writes to $PUSHGATEWAY_TEXTFILE.
const maxTextfile = 64 << 20

const runHelp = `Run a command and push how it went.

Input, output and signals reach the command as they are, and the exit status is the command's: 128 and the number of the signal if one ended it, 127 if it was not found, 126 if it could not be started. Only if the command line is wrong is it 2, and 75 if another process has the lock; then the command does not run. A gateway that is away delays the end by up to --push-timeout, and nothing else.

What the command writes to the file that $PUSHGATEWAY_TEXTFILE names, in the text format, is pushed, too.

Examples:

  pushgateway run --job=backup -- pg_dump -f /backup/orders.sql orders
  pushgateway run --job=backup --timeout=2h --lock=/var/lock/backup --spool=/var/spool/pushgateway -- /usr/local/bin/backup
  pushgateway run --job=cleanup --quiet-on-success --schedule-hint=1d -- sh -c 'echo deleted_files 3 > $PUSHGATEWAY_TEXTFILE'

Metrics, in the group of --job and --label:

  job_last_start_timestamp_seconds, job_last_end_timestamp_seconds
  job_last_success_timestamp_seconds (a failure leaves it as it is)
  job_last_duration_seconds, job_last_exit_code, job_running
  job_last_cpu_seconds, job_last_max_rss_bytes
  job_schedule_interval_seconds (with --schedule-hint)

Metrics that add up, in a second group that also has the label totals="run", since a group is either replaced or added up. Only this Pushgateway gets them:

  job_runs_total{result="success|failure|timeout|signal"}
  job_duration_seconds (a histogram)
`

func runCommand() command { return command{"run", runHelp, declareRun} }

// runFlags are the flags and arguments of run.
type runFlags struct {
	client  *clientFlags
	group   *groupFlags
	options *metric.Options

	command     []string
	timeout     longDuration
	killAfter   time.Duration
	lock        string
	lockWait    time.Duration
	retries     int
	retryDelay  time.Duration
	okExitCodes exitCodes
	quiet       bool

	prefix        string
	interval      longDuration
	push          bool
	startPush     bool
	spool         string
	textfile      string
	textfileMerge string
}

func declareRun(app *kingpin.Application) action {
	app.Interspersed(false)
	f := &runFlags{
		client:  addClientFlags(app, "push-timeout", defaultPushTimeout),
		group:   addGroupFlags(app),
		options: addOptionFlags(app, "ttl", "ttl_keep"),
	}
	app.Flag("timeout", "How long the command may take. Then it gets SIGTERM and, after --kill-after, SIGKILL. 0 means no limit.").
		Default("0").SetValue(&f.timeout)
	app.Flag("kill-after", "Time from SIGTERM to SIGKILL.").Default("10s").DurationVar(&f.killAfter)
	app.Flag("lock", "File to lock, so that the command does not run twice at the same time.").PlaceHolder("FILE").StringVar(&f.lock)
	app.Flag("lock-wait", "How long to wait for the lock.").Default("0s").DurationVar(&f.lockWait)
	app.Flag("retries", "How often to run the command again after a failure.").Default("0").IntVar(&f.retries)
	app.Flag("retry-delay", "Time before each retry.").Default("1s").DurationVar(&f.retryDelay)
	app.Flag("ok-exit-codes", "Exit codes besides 0 that count as success, separated by commas.").
		PlaceHolder("CODES").SetValue(&f.okExitCodes)
	app.Flag("quiet-on-success", "Print what the command prints only if it fails, when it has ended.").BoolVar(&f.quiet)
	app.Flag("prefix", "Prefix of the names of the metrics.").Default("job").StringVar(&f.prefix)
	app.Flag("schedule-hint", "How often the job is meant to run, such as 1d, for alerts on jobs that did not run.").
		Default("0").SetValue(&f.interval)
	app.Flag("push", "Push; --no-push only makes sense with --textfile.").Default("true").BoolVar(&f.push)
	app.Flag("start-push", "Also push when the command starts, without waiting for it.").Default("true").BoolVar(&f.startPush)
	app.Flag("spool", "Directory for what could not be pushed. The next run with the same directory pushes it first, in order.").
		PlaceHolder("DIR").StringVar(&f.spool)
	app.Flag("textfile", "Also write the metrics to this file, for the textfile collector of node_exporter.").
		PlaceHolder("FILE").StringVar(&f.textfile)
	app.Flag("textfile-merge", "What becomes of the metrics in $PUSHGATEWAY_TEXTFILE: replace those of the same names, or sum (add up).").
		Default("replace").EnumVar(&f.textfileMerge, "replace", "sum")
	app.Arg("command", "The command and its arguments.").Required().StringsVar(&f.command)
	return f.run
}

// run runs the command. Its error has the exit status of the command.
func (f *runFlags) run(call *invocation) error {
	reporter, err := f.reporter(call)
	if err != nil {
		return err
	}
	if f.lock != "" {
		unlock, got, err := job.Lock(f.lock, f.lockWait)
		if err != nil {
			return usageError("--lock: %w", err)
		}
		if !got {
			return &exitError{exitLocked, fmt.Errorf("pushgateway run: another process has the lock %s: the command was not run", f.lock)}
		}
		defer unlock()
	}
	c := &job.Command{
		Args: f.command, In: call.in, Out: call.out, Err: call.errOut,
		Timeout: time.Duration(f.timeout), KillAfter: f.killAfter,
		Retries: f.retries, RetryDelay: f.retryDelay, OKExitCodes: f.okExitCodes,
	}
	written, remove := f.prepareTextfile(c, reporter)
	defer remove()
	var quiet *job.Quiet
	if f.quiet {
		if quiet, err = job.NewQuiet(call.out, call.errOut); err != nil {
			reporter.warn(fmt.Errorf("--quiet-on-success: %w", err)) // better noisy than not run
		} else {
			c.Out, c.Err = quiet.Files()
			defer quiet.Close()
		}
	}
	reporter.started()
	outcome := c.Run()
	if outcome.StartError != nil {
		reporter.warn(outcome.StartError)
	}
	if quiet != nil && outcome.Result != job.Success {
		if err := quiet.Print(); err != nil {
			reporter.warn(err)
		}
	}
	reporter.ended(outcome, written())
	return &exitError{status: outcome.ExitCode}
}

// prepareTextfile makes the file for $PUSHGATEWAY_TEXTFILE. written returns what the last
// attempt of the command has written to it, nil for nothing.
func (f *runFlags) prepareTextfile(c *job.Command, r *reporter) (written func() []byte, remove func()) {
	dir, err := os.MkdirTemp("", "pushgateway-run-*")
	if err != nil {
		r.warn(fmt.Errorf("$PUSHGATEWAY_TEXTFILE: %w", err)) // the command matters more
		return func() []byte { return nil }, func() {}
	}
	path := filepath.Join(dir, "metrics.prom")
	c.Env = append(c.Env, "PUSHGATEWAY_TEXTFILE="+path)
	c.BeforeAttempt = func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			r.warn(err)
		}
	}
	written = func() []byte {
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil
		}
		if err == nil && (info.Size() > maxTextfile || !info.Mode().IsRegular()) {
			err = fmt.Errorf("%s is no file of up to %d MiB", path, maxTextfile>>20)
		}
		var content []byte
		if err == nil {
			content, err = os.ReadFile(path)
		}
		if err != nil {
			r.warn(fmt.Errorf("metrics of the command not read: %w", err))
		}
		return content
	}
	return written, func() { _ = os.RemoveAll(dir) } // in the directory for temporary files
}

// metricPrefix is what --prefix may be.
var metricPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// reporter returns what pushes how the command went.
func (f *runFlags) reporter(call *invocation) (*reporter, error) {
	switch {
	case !metricPrefix.MatchString(f.prefix):
		return nil, usageError("--prefix=%s: it cannot begin the name of a metric", f.prefix)
	case f.retries < 0:
		return nil, usageError("--retries=%d: it must not be negative", f.retries)
	case !f.push && f.textfile == "":
		return nil, usageError("--no-push needs --textfile: otherwise nobody learns how the command went")
	}
	for _, l := range f.group.labels {
		if l.Name == totalsLabel {
			return nil, usageError("--label=%s=…: run gives this label to the group of the metrics that add up", totalsLabel)
		}
	}
	group, err := f.group.group()
	if err != nil {
		return nil, err
	}
	totals, err := f.group.group(metric.Label{Name: totalsLabel, Value: "run"})
	if err != nil {
		return nil, err
	}
	r := &reporter{
		errOut: call.errOut, group: group, totals: totals, options: *f.options, timeout: f.client.timeout,
		metrics:  job.Metrics{Prefix: f.prefix, Interval: time.Duration(f.interval)},
		textfile: f.textfile, sumTextfile: f.textfileMerge == "sum", startPush: f.startPush,
	}
	if f.spool != "" {
		r.spool = &job.Spool{Dir: f.spool}
	}
	if f.push {
		// A secret that cannot be read must not stop the job.
		if r.gateway, err = f.client.client(nil); err != nil {
			r.warn(fmt.Errorf("nothing will be pushed: %w", err))
		}
	}
	return r, nil
}

// exitCodes is the value of --ok-exit-codes.
type exitCodes []int

// Set parses the value. Its errors name the flag, since those of kingpin do not.
func (c *exitCodes) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		code, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || code < 0 || code > 255 {
			return fmt.Errorf("--ok-exit-codes=%s: use numbers from 0 to 255, separated by commas", text)
		}
		*c = append(*c, code)
	}
	return nil
}

func (c *exitCodes) String() string { return strings.Trim(fmt.Sprint([]int(*c)), "[]") }

// longDuration is the value of a flag for a duration that may be days.
type longDuration time.Duration

// Set parses the value, which is written as in PromQL.
func (d *longDuration) Set(text string) error {
	parsed, err := model.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration, such as 90m or 1d", text)
	}
	*d = longDuration(parsed)
	return nil
}

func (d *longDuration) String() string { return model.Duration(*d).String() }
