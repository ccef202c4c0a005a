package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rulesFile writes a rules file and returns its path.
func rulesFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yml")
	writeFile(t, path, []byte("rules:\n"+strings.Join(lines, "\n")+"\n"))
	return path
}

// hangup has the program reload its rules file, as administrators do.
func (p *program) hangup(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

const (
	reloadSuccessful = "pushgateway_config_last_reload_successful"
	reloadTime       = "pushgateway_config_last_reload_success_timestamp_seconds"
)

// TestReload: reloaded rules apply to stored groups. A rules file that cannot be used is
// reported, and the current rules stay in force.
func TestReload(t *testing.T) {
	t.Parallel()
	rules := rulesFile(t, `- {match: '{job="a"}', ttl: 1h}`)
	p := start(t, "--config.file="+rules, "--web.enable-lifecycle", "--push.ttl=5h")
	write := func(lines ...string) {
		t.Helper()
		writeFile(t, rules, []byte(strings.Join(lines, "\n")))
	}
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	p.push(t, http.MethodPut, "/metrics/job/b", "m 1\n")
	p.push(t, http.MethodPut, "/metrics/job/own?ttl=9h", "m 1\n")
	ttls := func() string {
		var all []string
		for _, job := range []string{"a", "b", "own"} {
			all = append(all, p.info(t, "/metrics/job/"+job).ttl())
		}
		return strings.Join(all, " ")
	}
	want := func(when, wanted string, successful float64) {
		t.Helper()
		if got := ttls(); got != wanted {
			t.Errorf("%s: the groups have ttl %s, want %s", when, got, wanted)
		}
		if got := p.selfMetric(t, "/metrics", reloadSuccessful); got != successful {
			t.Errorf("%s: %s is %v, want %v", when, reloadSuccessful, got, successful)
		}
	}
	want("at the start", "1h0m0s 5h0m0s 9h0m0s", 1)
	last := p.selfMetric(t, "/metrics", reloadTime)

	write("rules:", `- {match: '{job="b"}', ttl: 2h}`)
	want("before the reload", "1h0m0s 5h0m0s 9h0m0s", 1)
	p.hangup(t)
	until(t, "the rules apply after SIGHUP", func() bool { return ttls() == "5h0m0s 2h0m0s 9h0m0s" })
	for _, c := range []struct{ method, ttl, want string }{
		{http.MethodPut, "3h", "3h0m0s 5h0m0s 9h0m0s"},
		{http.MethodPost, "0", "never 5h0m0s 9h0m0s"},
	} {
		write("rules:", fmt.Sprintf(`- {match: '{job=~"a|own"}', ttl: %s, timestamps: drop}`, c.ttl))
		p.push(t, c.method, "/-/reload", "")
		want(c.method+" /-/reload", c.want, 1)
		now := p.selfMetric(t, "/metrics", reloadTime)
		if now <= last {
			t.Errorf("%s /-/reload: %s is %v, it was %v", c.method, reloadTime, now, last)
		}
		last = now
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if a := p.do(t, method, "/-/reload", ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s /-/reload: status %d, want 405", method, a.status)
		}
	}

	// The answer to a malformed file has the reason, and nothing changes.
	for _, bad := range [][]string{
		{"rules:", `- {match: '{job="a"}', ttl: 1h}`, `- {match: '{job="b"}', ttl: soon}`},
		{"rules: ["},
		{},
		{"rules:", `- {match: '{job="a"}', merge: add}`},
	} {
		write(bad...)
		a := p.do(t, http.MethodPost, "/-/reload", "")
		if a.status != http.StatusInternalServerError {
			t.Errorf("%q: status %d, want 500", bad, a.status)
		}
		wantText(t, a.body, rules, "line ")
		want("with a bad file", "never 5h0m0s 9h0m0s", 0)
		if now := p.selfMetric(t, "/metrics", reloadTime); now != last {
			t.Errorf("with a bad file: %s is %v, it was %v", reloadTime, now, last)
		}
		p.push(t, http.MethodPut, "/metrics/job/a", "m 1 1700000000000\n")
		want("after a push with a bad file", "never 5h0m0s 9h0m0s", 0)
	}
	before := len(p.log.String())
	write("rules:", `- {match: '{job="b"}', ttl: never}`)
	p.hangup(t)
	until(t, "a bad file is logged", func() bool { return strings.Contains(p.log.String()[before:], "event=reload signal=SIGHUP") })
	wantText(t, p.log.String()[before:], "level=error", rules, "the previous rules stay in use", "line 2", "ttl")
	if err := os.Remove(rules); err != nil {
		t.Fatal(err)
	}
	a := p.do(t, http.MethodPost, "/-/reload", "")
	if a.status != http.StatusInternalServerError {
		t.Errorf("without the file: status %d, want 500", a.status)
	}
	wantText(t, a.body, rules)
	want("without the file", "never 5h0m0s 9h0m0s", 0)

	// Groups that the new rules make overdue expire. A file without rules is valid.
	write("rules:", `- {match: '{job=~"a|b"}', ttl: 1ms}`)
	p.push(t, http.MethodPost, "/-/reload", "")
	p.awaitGone(t, "a", "b")
	p.wantJobs(t, "after the reload", "own")
	write("rules: []")
	p.push(t, http.MethodPost, "/-/reload", "")
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	p.push(t, http.MethodPut, "/metrics/job/b", "m 1\n")
	want("without rules", "5h0m0s 5h0m0s 9h0m0s", 1)
}

// TestReloadInTime: a group that was about to expire stays if the rules change in time.
func TestReloadInTime(t *testing.T) {
	t.Parallel()
	rules := rulesFile(t)
	p := start(t, "--config.file="+rules, "--web.enable-lifecycle")
	reload := func(ttl string) {
		t.Helper()
		writeFile(t, rules, []byte("rules: [{match: '{job=\"stays\"}', ttl: "+ttl+"}]"))
		p.push(t, http.MethodPost, "/-/reload", "")
	}
	// The rules must be reloaded before the group expires, however slow the machine is.
	ttl := 300 * time.Millisecond
	for ; ; ttl *= 2 {
		reload(milliseconds(ttl))
		p.push(t, http.MethodPut, "/metrics/job/stays", "m 1\n")
		reload("0")
		if p.info(t, "/metrics/job/stays").ttl() == "never" {
			break
		}
	}
	p.push(t, http.MethodPut, "/metrics/job/expires?ttl="+milliseconds(2*ttl), "m 1\n")
	p.awaitGone(t, "expires")
	p.wantJobs(t, "after the TTLs of both", "stays")
}

// TestReloadOfMerge: pushes merge by the current rules.
func TestReloadOfMerge(t *testing.T) {
	t.Parallel()
	const one = "# TYPE c counter\nc 1\n"
	rules := rulesFile(t)
	p := start(t, "--config.file="+rules)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.wantPushed(t, "a", "c 1")
	writeFile(t, rules, []byte("rules: [{match: '{job=\"a\"}', merge: sum}]"))
	p.hangup(t)
	until(t, "the rules are reloaded", func() bool { return strings.Contains(p.log.String(), "rules reloaded") })
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.wantPushed(t, "a", "c 2")
	if a := p.do(t, http.MethodPost, "/-/reload", ""); a.status != http.StatusForbidden {
		t.Errorf("POST /-/reload, not enabled: status %d, want 403", a.status)
	}
}

// TestNothingToReload: without a rules file there is nothing to reload.
func TestNothingToReload(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.enable-lifecycle")
	a := p.do(t, http.MethodPost, "/-/reload", "")
	if a.status != http.StatusNotFound {
		t.Errorf("status %d, want 404: %s", a.status, a.body)
	}
	wantText(t, a.body, "--config.file")
	if a := start(t).do(t, http.MethodPut, "/-/reload", ""); a.status != http.StatusForbidden {
		t.Errorf("not enabled: status %d, want 403: %s", a.status, a.body)
	}
	if metrics := p.get(t, "/metrics"); strings.Contains(metrics, "pushgateway_config_") {
		t.Errorf("there are metrics about a rules file:\n%s", metrics)
	}
}

// TestBadRulesAtStart: the gateway does not start with a rules file that it cannot use.
func TestBadRulesAtStart(t *testing.T) {
	t.Parallel()
	for text, because := range map[string][]string{
		`- {match: '{job="a"}', ttl: soon}`:          {"line 2", "rule 1", "ttl", "soon"},
		`- {match: 'job=a', ttl: 1h}`:                {"line 2", "match"},
		`- {match: '{job="a"}', mergen: sum}`:        {"mergen"},
		`- {ttl: 1h}`:                                {"match", "missing"},
		`- {match: '{}', merge: group, gauges: max}`: {"gauges", "merge: group"},
		`- [`: {"line"},
	} {
		t.Run(text, func(t *testing.T) {
			file := rulesFile(t, text)
			out := startFails(t, "--config.file="+file)
			wantText(t, unquoted(out), append(because, file, "level=error")...)
		})
	}
	t.Run("empty file", func(t *testing.T) {
		empty := filepath.Join(t.TempDir(), "empty.yml")
		writeFile(t, empty, nil)
		wantText(t, startFails(t, "--config.file="+empty), empty, "rules: []")
	})
	t.Run("missing file", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "none.yml")
		wantText(t, startFails(t, "--config.file="+missing), missing, "no such file")
	})
}

// TestBadPushFlags: the gateway does not start with a flag value that is no option.
func TestBadPushFlags(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--push.ttl=-1h", "--push.ttl=soon", "--push.timestamps=keep"} {
		t.Run(flag, func(t *testing.T) {
			wantFlagNamed(t, startFails(t, flag), flag)
		})
	}
}
