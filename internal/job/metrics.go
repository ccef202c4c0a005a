package job

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Metrics puts how a job goes into the text format.
type Metrics struct {
	Prefix   string        // of all names, without an underscore at its end
	Interval time.Duration // between two runs, as scheduled; 0 if unknown
}

// DurationBuckets are the upper bounds of the histogram of durations in seconds.
var DurationBuckets = []float64{1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400}

// AtStart returns what is known when the job starts.
func (m Metrics) AtStart(start time.Time) []byte {
	b := builder{prefix: m.Prefix}
	b.gauge("last_start_timestamp_seconds", "When the job last started.", seconds(start))
	b.gauge("running", "Whether the job is running.", 1)
	m.interval(&b)
	return b.Bytes()
}

// AtEnd returns how the job went. The time of the last success is only there if it was one, so
// that a push leaves the previous one alone.
func (m Metrics) AtEnd(o Outcome) []byte {
	b := builder{prefix: m.Prefix}
	b.gauge("last_start_timestamp_seconds", "When the job last started.", seconds(o.Start))
	b.gauge("last_end_timestamp_seconds", "When the job last ended.", seconds(o.End))
	if o.Result == Success {
		b.gauge(lastSuccess, "When the job last ended successfully.", seconds(o.End))
	}
	b.gauge("last_duration_seconds", "How long the job last took.", o.End.Sub(o.Start).Seconds())
	b.gauge("last_exit_code", "Exit code of the job's last run.", float64(o.ExitCode))
	b.gauge("last_cpu_seconds", "CPU time of the job's last run.", o.CPU.Seconds())
	if o.MaxRSS > 0 {
		b.gauge("last_max_rss_bytes", "Maximum resident memory of the largest process of the job's last run.", float64(o.MaxRSS))
	}
	b.gauge("running", "Whether the job is running.", 0)
	m.interval(&b)
	return b.Bytes()
}

const (
	lastSuccess   = "last_success_timestamp_seconds"
	runsTotal     = "runs_total"
	durationTotal = "duration_seconds"
)

func (m Metrics) interval(b *builder) {
	if m.Interval > 0 {
		b.gauge("schedule_interval_seconds", "How often the job is meant to run.", m.Interval.Seconds())
	}
}

// Totals returns what this run adds to the metrics of all runs.
func (m Metrics) Totals(o Outcome) []byte {
	b := builder{prefix: m.Prefix}
	b.header(runsTotal, "Runs of the job by result.", "counter")
	for _, result := range Results() {
		n := 0.0
		if result == o.Result {
			n = 1
		}
		b.sample(runsTotal, fmt.Sprintf(`{result="%s"}`, result), n)
	}
	b.header(durationTotal, "How long runs of the job took.", "histogram")
	took := o.End.Sub(o.Start).Seconds()
	for _, bound := range DurationBuckets {
		n := 0.0
		if took <= bound {
			n = 1
		}
		b.sample(durationTotal+"_bucket", fmt.Sprintf(`{le="%s"}`, format(bound)), n)
	}
	b.sample(durationTotal+"_bucket", `{le="+Inf"}`, 1)
	b.sample(durationTotal+"_sum", "", took)
	b.sample(durationTotal+"_count", "", 1)
	return b.Bytes()
}

// seconds returns a time in seconds, to the millisecond.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func format(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// builder writes the text format.
type builder struct {
	bytes.Buffer
	prefix string
}

func (b *builder) header(name, help, typ string) {
	fmt.Fprintf(b, "# HELP %s_%s %s\n# TYPE %[1]s_%[2]s %[4]s\n", b.prefix, name, help, typ)
}

func (b *builder) sample(name, labels string, value float64) {
	fmt.Fprintf(b, "%s_%s%s %s\n", b.prefix, name, labels, format(value))
}

func (b *builder) gauge(name, help string, value float64) {
	b.header(name, help, "gauge")
	b.sample(name, "", value)
}
