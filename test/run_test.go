package test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// runJob is the gateway's subcommand run with a job.
func runJob(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	return command(t, gatewayBinary(t), append([]string{"run", "--job=j", "--url=" + url}, args...)...)
}

// unreachable is the URL of a port where nobody listens.
func unreachable(t *testing.T) string {
	t.Helper()
	return "http://" + freeAddr(t)
}

// TestRunEndings: the exit code is the command's however it ends, and the gateway shows how.
func TestRunEndings(t *testing.T) {
	t.Parallel()
	p := start(t)
	plain := filepath.Join(t.TempDir(), "plain")
	writeFile(t, plain, []byte("no program"))
	for i, c := range []struct {
		name   string
		args   []string
		code   int
		result string
	}{
		{"success", []string{"--", "true"}, 0, "success"},
		{"failure", []string{"--", "false"}, 1, "failure"},
		{"exit code", []string{"--", "sh", "-c", "exit 42"}, 42, "failure"},
		{"largest exit code", []string{"--", "sh", "-c", "exit 255"}, 255, "failure"},
		{"exit code that is fine", []string{"--ok-exit-codes=3,24", "--", "sh", "-c", "exit 24"}, 24, "success"},
		{"SIGKILL", []string{"--", "sh", "-c", "kill -KILL $$"}, 137, "signal"},
		{"SIGSEGV", []string{"--", "sh", "-c", "kill -SEGV $$"}, 139, "signal"},
		{"not found", []string{"--", "no-such-program"}, 127, "failure"},
		{"not found in its directory", []string{"--", "/nowhere/program"}, 127, "failure"},
		{"not executable", []string{"--", plain}, 126, "failure"},
		{"timeout", []string{"--timeout=100ms", "--", "sleep", "1000"}, 143, "timeout"},
		{"timeout that SIGTERM does not end",
			[]string{"--timeout=3s", "--kill-after=100ms", "--", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"}, 137, "timeout"},
		{"timeout and an exit code of its own",
			[]string{"--timeout=3s", "--", "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"}, 7, "timeout"},
		{"children left behind", []string{"--", "sh", "-c", "sleep 5 & exit 5"}, 5, "failure"},
		{"flags of the command", []string{"sh", "-c", "exit 6"}, 6, "failure"},
		{"quiet", []string{"--quiet-on-success", "--", "sh", "-c", "exit 8"}, 8, "failure"},
		{"no start push", []string{"--no-start-push", "--", "sh", "-c", "exit 9"}, 9, "failure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			label := strconv.Itoa(i)
			_, code := runToEnd(t, runJob(t, p.URL, append([]string{"--label=case=" + label}, c.args...)...))
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			pushed := p.get(t, "/metrics")
			wantText(t, pushed,
				`job_last_exit_code{case="`+label+`",instance="",job="j"} `+strconv.Itoa(c.code)+"\n",
				`job_running{case="`+label+`",instance="",job="j"} 0`+"\n",
				`job_runs_total{case="`+label+`",instance="",job="j",result="`+c.result+`",totals="run"} 1`+"\n",
				`job_duration_seconds_count{case="`+label+`",instance="",job="j",totals="run"} 1`+"\n")
			succeeded := strings.Contains(pushed, `job_last_success_timestamp_seconds{case="`+label+`"`)
			if succeeded != (c.result == "success") {
				t.Errorf("a time of success is pushed: %v", succeeded)
			}
		})
	}
}

// TestRunGateways: whatever the gateway does, the exit code is the command's, and what was
// printed is there.
func TestRunGateways(t *testing.T) {
	t.Parallel()
	handler := func(f http.HandlerFunc) string {
		s := httptest.NewServer(f)
		t.Cleanup(s.Close)
		return s.URL
	}
	quit := make(chan struct{})
	gateways := map[string]struct{ url, says string }{
		"down":      {unreachable(t), "connection refused"},
		"rejecting": {handler(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 400) }), "400: no"},
		"failing": {handler(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "later", http.StatusServiceUnavailable)
		}), "503: later"},
		"hanging": {handler(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-quit:
			}
		}), "no response in time"},
		"no URL": {"http://\x01", "nothing will be pushed"},
	}
	t.Cleanup(func() { close(quit) }) // before the servers wait for their requests
	for name, c := range gateways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := runJob(t, c.url, "--push-timeout=5s", "--", "sh", "-c", "cat; echo err >&2; exit 3")
			cmd.Stdin = strings.NewReader("in\n")
			var out, errOut bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errOut
			_ = cmd.Run() // the exit code is looked at below
			if code := cmd.ProcessState.ExitCode(); code != 3 || out.String() != "in\n" {
				t.Errorf("exit code %d, printed %q", code, out.String())
			}
			wantText(t, errOut.String(), "err\n", "pushgateway run: ", c.says)
		})
	}
}

// TestRunSignals: signals reach the command and what it has started.
func TestRunSignals(t *testing.T) {
	t.Parallel()
	p := start(t)
	// Not a shell: what dash is about to start misses a SIGINT that arrives at that moment.
	const script = `import subprocess; child = subprocess.Popen(["sleep", "1000"]); print("ready", flush=True); child.wait()`
	for _, c := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}, {syscall.SIGHUP, 129}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd := runJob(t, p.URL, "--retries=3", "--", "python3", "-c", script)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(out) // ends when sleep, which has the pipe, has ended, too
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code || len(rest) > 0 {
				t.Errorf("exit code %d, want %d; printed %q", code, c.code, rest)
			}
		})
	}
}

// TestRunStreams: 1 GB of output passes, and a closed standard input is no trouble.
func TestRunStreams(t *testing.T) {
	t.Parallel()
	p := start(t)
	cmd := runJob(t, p.URL, "--", "head", "-c", "1000000000", "/dev/zero")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, out)
	if waited := cmd.Wait(); n != 1_000_000_000 || err != nil || waited != nil {
		t.Errorf("%d bytes: %v, %v", n, err, waited)
	}
	script := `"$0" run --job=closed --url="$1" -- sh -c 'cat; exit 4' <&-`
	if _, code := runToEnd(t, command(t, "sh", "-c", script, gatewayBinary(t), p.URL)); code != 4 {
		t.Errorf("with a closed standard input the exit code is %d", code)
	}
	quiet := func(script string) string {
		out, _ := runToEnd(t, runJob(t, p.URL, "--quiet-on-success", "--", "sh", "-c", script))
		return out
	}
	if out := quiet("echo a; echo b >&2"); out != "" {
		t.Errorf("a success printed %q", out)
	}
	if out := quiet("echo a; echo b >&2; echo c; exit 1"); out != "a\nb\nc\n" {
		t.Errorf("a failure printed %q", out)
	}
}

// TestRunLock: two runs with a lock do not overlap.
func TestRunLock(t *testing.T) {
	t.Parallel()
	p := start(t)
	lock := filepath.Join(t.TempDir(), "lock")
	first := runJob(t, p.URL, "--lock="+lock, "--", "sh", "-c", "echo ready; read line")
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	text, code := runToEnd(t, runJob(t, p.URL, "--lock="+lock, "--", "echo", "ran"))
	if code != 75 || strings.Contains(text, "ran\n") {
		t.Errorf("exit code %d: %s", code, text)
	}
	waiting := runJob(t, p.URL, "--lock="+lock, "--lock-wait=1m", "--", "true")
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	if err := waiting.Wait(); err != nil {
		t.Error(err)
	}
}

// TestRunSpool: what could not be pushed is pushed by the next run, and counted once.
func TestRunSpool(t *testing.T) {
	t.Parallel()
	p := start(t)
	spool := filepath.Join(t.TempDir(), "spool")
	for range 3 {
		_, code := runToEnd(t, runJob(t, unreachable(t), "--spool="+spool, "--push-timeout=300ms", "--", "false"))
		if code != 1 {
			t.Errorf("exit code %d", code)
		}
	}
	if left := names(t, spool); len(left) != 6 {
		t.Errorf("kept: %v", left)
	}
	if out, code := runToEnd(t, runJob(t, p.URL, "--spool="+spool, "--", "true")); code != 0 || out != "" {
		t.Errorf("exit code %d: %s", code, out)
	}
	wantText(t, p.get(t, "/metrics"), `job_runs_total{instance="",job="j",result="failure",totals="run"} 3`+"\n",
		`job_runs_total{instance="",job="j",result="success",totals="run"} 1`+"\n", `job_last_exit_code{instance="",job="j"} 0`+"\n")
	if left := names(t, spool); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	out, code := runToEnd(t, runJob(t, unreachable(t), "--spool=/dev/full", "--push-timeout=300ms", "--", "false"))
	if code != 1 {
		t.Errorf("a spool that cannot be written: exit code %d", code)
	}
	wantText(t, out, "not pushed: ")
}

// TestRunTextfiles: what the command writes is pushed, and node_exporter's file continues.
func TestRunTextfiles(t *testing.T) {
	t.Parallel()
	p := start(t)
	file := filepath.Join(t.TempDir(), "j.prom")
	script := func(script string) string {
		out, code := runToEnd(t, runJob(t, p.URL, "--textfile="+file, "--schedule-hint=1d", "--", "sh", "-c", script))
		if code != 0 && !strings.Contains(script, "exit") {
			t.Errorf("exit code %d", code)
		}
		return out
	}
	script(`echo 'rows{table="a"} 5' > $PUSHGATEWAY_TEXTFILE`)
	wantText(t, p.get(t, "/metrics"), `rows{instance="",job="j",table="a"} 5`+"\n",
		`job_schedule_interval_seconds{instance="",job="j"} 86400`+"\n")
	wantText(t, string(readFile(t, file)), `rows{job="j",table="a"} 5`+"\n")
	if out := script("exit 1"); out != "" {
		t.Errorf("printed %s", out)
	}
	wantText(t, string(readFile(t, file)), `job_runs_total{job="j",result="success"} 1`+"\n",
		`job_runs_total{job="j",result="failure"} 1`+"\n",
		`job_last_success_timestamp_seconds{job="j"} `, `job_duration_seconds_count{job="j"} 2`+"\n")
	wantText(t, script(`printf 'ok 1\nrows{ 5\n' > $PUSHGATEWAY_TEXTFILE`), "$PUSHGATEWAY_TEXTFILE: line 2: ")
	wantText(t, p.get(t, "/metrics"), `job_runs_total{instance="",job="j",result="success",totals="run"} 2`+"\n")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestRunAsInit: as process 1, run reaps the orphans of its command.
func TestRunAsInit(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("only root may make a PID namespace")
	}
	p := start(t)
	const script = `sh -c 'sh -c "exit 0" & exit 0'; for i in $(seq 600); do sleep 0.05; ` +
		`z=$(for s in /proc/[0-9]*/stat; do cut -d' ' -f3 $s; done | grep -c Z); [ $z != 0 ] || break; done; echo $z; exit 11`
	cmd := command(t, "unshare", "--pid", "--fork", "--mount-proc", gatewayBinary(t), "run", "--job=init", "--url="+p.URL, "--", "sh", "-c",
		script)
	if out, code := runToEnd(t, cmd); code != 11 || out != "0\n" {
		t.Errorf("exit code %d, zombies: %s", code, out)
	}
}

// TestPushCommand: what push sends, how it fails, and its exit statuses.
func TestPushCommand(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, c := range []struct {
		name, in string
		args     []string
		code     int
		says     string
	}{
		{"one-liners", "", []string{"--metric=a=1", `--metric=b{x="y=z"}=2`}, 0, ""},
		{"standard input", "c 3\n", nil, 0, ""},
		{"sum", "# TYPE d counter\nd 4\n", []string{"--merge=sum", "--label=sum=yes"}, 0, ""},
		{"OpenMetrics", "# TYPE e gauge\ne 5\n# EOF\n", nil, 0, ""},
		{"dry run", "not_pushed 1\n", []string{"--dry-run"}, 0, "standard input: ok\n"},
		{"malformed", "x 1\ny{ 1\n", nil, 1, "standard input: line 2: "},
		{"timestamp", "x 1 1\n", nil, 1, "--timestamps=drop"},
		{"rejected by the gateway", "# TYPE go_goroutines counter\ngo_goroutines 1\n", nil, 1, ": 400: "},
		{"empty", "", nil, 1, "standard input is empty"},
		{"label", "x 1\n", []string{"--label=job=x"}, 2, "use --job"},
		{"option", "x 1\n", []string{"--ttl=soon"}, 2, "--ttl=soon"},
		{"away", "x 1\n", []string{"--url=" + unreachable(t), "--push-timeout=5s"}, 3, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := command(t, gatewayBinary(t), append([]string{"push", "--job=p"}, c.args...)...)
			cmd.Env = append(os.Environ(), "PUSHGATEWAY_URL="+p.URL)
			cmd.Stdin = strings.NewReader(c.in)
			out, code := runToEnd(t, cmd)
			if code != c.code || c.says == "" && out != "" {
				t.Errorf("exit code %d, want %d: %s", code, c.code, out)
			}
			wantText(t, out, c.says)
		})
	}
	metrics := p.get(t, "/metrics")
	wantText(t, metrics, `a{instance="",job="p"} 1`, `b{instance="",job="p",x="y=z"} 2`, `c{instance="",job="p"} 3`,
		`d{instance="",job="p",sum="yes"} 4`, `e{instance="",job="p"} 5`)
	if strings.Contains(metrics, "not_pushed") {
		t.Error("a dry run was pushed")
	}
}

// TestRunAndPushToUpstream: the Prometheus Pushgateway gets no sums and no options, and push
// says so.
func TestRunAndPushToUpstream(t *testing.T) {
	t.Parallel()
	upstream := launch(t, exec.Command("prometheus-pushgateway", "--web.listen-address=127.0.0.1:0"))
	if out, code := runToEnd(t, runJob(t, upstream.URL, "--", "sh", "-c", "exit 3")); code != 3 || out != "" {
		t.Errorf("exit code %d: %s", code, out)
	}
	cmd := command(t, gatewayBinary(t), "push", "--job=j", "--url="+upstream.URL, "--ttl=1h", "--metric=not_pushed=1")
	out, code := runToEnd(t, cmd)
	if code != 1 {
		t.Errorf("a push with an option: exit code %d", code)
	}
	wantText(t, out, "the Prometheus Pushgateway, which does not know ttl: nothing was pushed")
	metrics := upstream.get(t, "/metrics")
	wantText(t, metrics, `job_last_exit_code{instance="",job="j"} 3`)
	for _, name := range []string{"job_runs_total", "job_duration_seconds", "not_pushed"} {
		if strings.Contains(metrics, name) {
			t.Errorf("%s was pushed", name)
		}
	}
}
