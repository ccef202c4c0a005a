package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// jobs returns the jobs of which anything is exposed, push times included.
func (p *program) jobs(t *testing.T) []string {
	t.Helper()
	var jobs []string
	for line := range strings.Lines(p.get(t, "/metrics")) {
		if _, rest, ok := strings.Cut(line, `job="`); ok && line[0] != '#' {
			job, _, _ := strings.Cut(rest, `"`)
			jobs = append(jobs, job)
		}
	}
	slices.Sort(jobs)
	return slices.Compact(jobs)
}

// wantJobs checks that just these jobs have groups.
func (p *program) wantJobs(t *testing.T, when string, want ...string) {
	t.Helper()
	slices.Sort(want)
	wantLines(t, "jobs "+when, p.jobs(t), want)
}

// awaitGone waits until nothing of the jobs is left.
func (p *program) awaitGone(t *testing.T, jobs ...string) {
	t.Helper()
	until(t, fmt.Sprintf("the groups of %v are gone", jobs), func() bool {
		left := p.jobs(t)
		return !slices.ContainsFunc(jobs, func(job string) bool { return slices.Contains(left, job) })
	})
}

// expired returns how many groups have ended by what the program logs at debug.
func (p *program) expired() int { return strings.Count(p.log.String(), `msg="group expired"`) }

// TestGroupsEnd: by what the push says in any way, by a rule, or by the flag, and
// though nobody asks for anything meanwhile.
func TestGroupsEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.ttl=100ms", "--log.level=debug", "--config.file="+rulesFile(t,
		`- {match: '{job="by-rule"}', ttl: 200ms}`,
		`- {match: '{job="stays-by-rule"}', ttl: 0}`,
		`- {match: '{job=~"by-.*"}', ttl: 1d}`))
	var ending []string
	for i, way := range optionWays {
		job := "by-" + way
		path, headers := carry(way, "/metrics/job/"+job, []string{"ttl=300ms"})
		p.push(t, []string{http.MethodPut, http.MethodPost}[i%2], path, "m 1\n", headers...)
		ending = append(ending, job)
	}
	p.push(t, http.MethodPut, "/metrics/job/by-rule", "m 1\n")
	p.push(t, http.MethodPut, "/metrics/job/flag", "m 1\n")
	p.rejected(t, http.MethodPut, "/metrics/job/never-pushed", "m 1 1700000000000\n")
	ending = append(ending, "by-rule", "flag", "never-pushed")

	stays := map[string]string{"stays-by-rule": "", "own": "?ttl=0", "later": "?ttl=1h", "by-later-rule": ""}
	for job, query := range stays {
		p.push(t, http.MethodPut, "/metrics/job/"+job+query, "m 1\n")
	}
	p.push(t, http.MethodPut, "/metrics/job/by-rule/x/y?ttl=1h", "m 1\n")

	until(t, "groups end", func() bool { return p.expired() >= len(ending) })
	p.wantJobs(t, "in the end", "stays-by-rule", "own", "later", "by-later-rule", "by-rule")
	p.wantPushed(t, "by-rule", `m{x="y"} 1`)
	if got := p.own(t, "/metrics", "pushgateway_groups_expired_total"); got != float64(len(ending)) || p.expired() != len(ending) {
		t.Errorf("%v groups counted as expired, %d logged, want %d", got, p.expired(), len(ending))
	}
	for _, job := range ending {
		wantText(t, unquoted(p.log.String()), fmt.Sprintf("group={job=%s}", job))
	}
	// The name is free again.
	p.push(t, http.MethodPut, "/metrics/job/flag?ttl=0", "# TYPE of_another_type gauge\nof_another_type 1\n")
}

// TestExpiresAt: counted from the last successful push, which decides. What it leaves
// open follows the rules, and then the flag.
func TestExpiresAt(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.ttl=30m", "--config.file="+rulesFile(t,
		`- {match: '{job="rule"}', ttl: 1h}`,
		`- {match: '{job="keep"}', ttl_keep: push_time}`,
		`- {match: '{job="for-ever"}', ttl: 0s}`,
		`- {match: '{job=~".+"}', timestamps: drop}`))
	for i, c := range []struct{ method, target, body, want string }{
		{"PUT", "a", "m 1", "30m0s"},
		{"PUT", "a?ttl=2h", "m 1", "2h0m0s"},
		{"POST", "a", "m 1", "30m0s"},
		{"POST", "a?ttl=3h", "", "3h0m0s"},
		{"POST", "a?ttl=1d", "not a metric", "3h0m0s"},               // rejected
		{"POST", "a?ttl=1d", "m{x=\"y\"} 1\nm{x=\"y\"} 2", "3h0m0s"}, // rejected
		{"POST", "a?ttl=1h30m", "m 1", "1h30m0s"},
		{"POST", "a?ttl=0", "m 1", "never"},
		{"POST", "a?ttl_keep=push_time", "m 1", "30m0s"},
		{"PUT", "rule", "m 1", "1h0m0s"},
		{"PUT", "rule?ttl=2h", "m 1", "2h0m0s"},
		{"PUT", "rule?ttl=0", "m 1", "never"},
		{"PUT", "rule", "m 1", "1h0m0s"},
		{"PUT", "keep", "m 1", "30m0s"},
		{"PUT", "for-ever", "m 1", "never"},
		{"PUT", "for-ever?ttl=1ms500s", "m 1", "never"}, // rejected
		{"PUT", "new", "not a metric", "none"},
	} {
		job, _, _ := strings.Cut(c.target, "?")
		p.do(t, c.method, "/metrics/job/"+c.target, c.body+"\n")
		if got := p.info(t, "/metrics/job/"+job).ttl(); got != c.want {
			t.Errorf("step %d, %s %s: the group ends after %s, want %s", i, c.method, c.target, got, c.want)
		}
	}
	// A group of which nothing was ever taken ends, too.
	p.rejected(t, http.MethodPut, "/metrics/job/new", "# TYPE m gauge\nm 1\n", "m")
	if got := p.info(t, "/metrics/job/new"); got.ttl() != "30m0s" || got.LastPush != nil {
		t.Errorf("a group that was only rejected ends after %s", got.ttl())
	}
	// The list says the same, by the standard for times.
	var list struct {
		Data struct {
			Groups []struct {
				Path      string
				ExpiresAt *string `json:"expires_at"`
			}
		}
	}
	if err := json.Unmarshal([]byte(p.get(t, "/api/v1/groups")), &list); err != nil {
		t.Fatal(err)
	}
	for _, g := range list.Data.Groups {
		info := p.info(t, g.Path)
		if (g.ExpiresAt == nil) != (info.ExpiresAt == nil) {
			t.Errorf("%s: the list says %v, the group itself %v", g.Path, g.ExpiresAt, info.ExpiresAt)
		} else if g.ExpiresAt != nil && *g.ExpiresAt != info.ExpiresAt.Format(time.RFC3339Nano) {
			t.Errorf("%s: the list says %s, the group itself %v", g.Path, *g.ExpiresAt, info.ExpiresAt)
		}
	}
	if len(list.Data.Groups) != 5 {
		t.Errorf("%d groups are listed, want 5", len(list.Data.Groups))
	}
}

// TestPushTimesKept: where that is wanted, the end of a group leaves its two push
// times, until it is pushed to again or deleted.
func TestPushTimesKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	p := gateway(t, file, "--config.file="+rulesFile(t, `- {match: '{job="by-rule"}', ttl: 500ms, ttl_keep: push_time}`))
	jobs := []string{"by-rule"}
	p.push(t, http.MethodPut, "/metrics/job/by-rule", "m 1\nn 2\n")
	for _, way := range optionWays {
		jobs = append(jobs, way)
		path, headers := carry(way, "/metrics/job/"+way, []string{"ttl=500ms", "ttl_keep=push_time"})
		p.push(t, http.MethodPost, path, "m 1\nn 2\n", headers...)
	}
	p.push(t, http.MethodPost, "/metrics/job/summed?ttl=500ms&ttl_keep=push_time&merge=sum", "# TYPE c counter\nc 1\n")
	p.rejected(t, http.MethodPost, "/metrics/job/summed?merge=sum", "# TYPE c counter\nc -1\n")
	jobs = append(jobs, "summed")
	before := map[string]*groupInfo{}
	for _, job := range jobs {
		before[job] = p.info(t, "/metrics/job/"+job)
		if before[job].Expired {
			t.Errorf("%s has expired already", job)
		}
	}
	until(t, "values are gone", func() bool {
		return !slices.ContainsFunc(jobs, func(job string) bool { return len(p.pushedTo(t, job)) > 0 })
	})
	if got := p.own(t, "/metrics", "pushgateway_groups_expired_total"); got != float64(len(jobs)) {
		t.Errorf("%v groups counted as expired, want %d", got, len(jobs))
	}
	check := func(when string) {
		t.Helper()
		p.wantJobs(t, when, jobs...)
		for _, job := range jobs {
			got := p.info(t, "/metrics/job/"+job)
			if !got.LastPush.Equal(*before[job].LastPush) || got.ttl() != "never" || got.Summed || !got.Expired {
				t.Errorf("%s, %s: pushed at %v, ends after %s, summed %v, expired %v; it was pushed at %v", when, job, got.LastPush, got.ttl(), got.Summed, got.Expired, before[job].LastPush)
			}
			wantText(t, p.exposedGroup(t, job), fmt.Sprintf(`push_time_seconds{instance="",job=%q}`, job), fmt.Sprintf(`push_failure_time_seconds{instance="",job=%q}`, job))
		}
		if p.info(t, "/metrics/job/summed").LastFailure == nil {
			t.Errorf("%s: the failure time is gone", when)
		}
	}
	check("after their end")
	p.kill(t)
	p = gateway(t, file, "--push.ttl=1ms") // without the rule
	jobs = slices.DeleteFunc(jobs, func(job string) bool { return job == "by-rule" })
	p.push(t, http.MethodPut, "/metrics/job/flag", "m 1\n")
	p.awaitGone(t, "flag")
	if p.info(t, "/metrics/job/by-rule").ttl() != "never" {
		t.Error("a group that has ended is to end again")
	}
	if a := p.do(t, http.MethodDelete, "/metrics/job/by-rule", ""); a.status != http.StatusAccepted {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	check("after a restart")

	p.push(t, http.MethodPost, "/metrics/job/summed?ttl=0", "x 3\n") // neither summed nor replaced any more
	p.wantPushed(t, "summed", "x 3")
	if p.info(t, "/metrics/job/summed").Expired {
		t.Error("a group that was pushed to again has expired")
	}
	p.push(t, http.MethodPost, "/metrics/job/query?ttl=200ms", "m 1\n")
	p.awaitGone(t, "query")
}

// TestKeysOfExpiredGroups: with a group go the idempotency keys of its pushes; where
// its push times stay, so do they.
func TestKeysOfExpiredGroups(t *testing.T) {
	t.Parallel()
	p := start(t)
	for keep, second := range map[string]string{"": "", "&ttl_keep=push_time": "true"} {
		path := "/metrics/job/a?merge=sum&ttl=300ms" + keep
		for life := range 2 {
			a, header, err := p.request(http.MethodPost, path, "# TYPE c counter\nc 1\n", "Idempotency-Key", "k")
			if err != nil {
				t.Fatal(err)
			}
			replayed := []string{"", second}[life]
			if got := header.Get("Idempotency-Replayed"); a.status != http.StatusOK || got != replayed {
				t.Errorf("life %d of the group with %q: %d, replayed %q, want 200 and %q", life, keep, a.status, got, replayed)
			}
			until(t, "the group's values are gone", func() bool { return len(p.pushedTo(t, "a")) == 0 })
		}
		p.do(t, http.MethodDelete, "/metrics/job/a", "")
	}
}

// TestScrapesAreNothingToExpiry: scrapes keep no group, end none, and never see a
// part of one.
func TestScrapesAreNothingToExpiry(t *testing.T) {
	t.Parallel()
	const groups = 300
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/stays?ttl=1h", groupBody("mn", 1))
	stays := p.info(t, "/metrics/job/stays").ExpiresAt
	for i := range groups {
		path := fmt.Sprintf("/metrics/job/%d", i)
		p.push(t, http.MethodPut, path, groupBody("m", 1))
		p.push(t, http.MethodPost, path+"?ttl=1s", groupBody("n", 1))
	}
	ends := p.info(t, fmt.Sprintf("/metrics/job/%d", groups-1))
	scrapes, partly := 0, false
	until(t, "all groups but one are gone", func() bool {
		found := states(t, p.get(t, "/metrics"))
		scrapes++
		for job, state := range found {
			if state != "m=1 n=1" {
				t.Errorf("group %s is seen as %q", job, state)
			}
		}
		if now := p.info(t, fmt.Sprintf("/metrics/job/%d", groups-1)); now != nil && !now.ExpiresAt.Equal(*ends.ExpiresAt) {
			t.Errorf("a scrape moved the end of a group from %v to %v", ends.ExpiresAt, now.ExpiresAt)
		}
		partly = partly || len(found) > 1 && len(found) <= groups
		return len(found) == 1 || t.Failed()
	})
	p.wantJobs(t, "after scrapes", "stays")
	if now := p.info(t, "/metrics/job/stays").ExpiresAt; !now.Equal(*stays) {
		t.Errorf("scrapes moved the end of a group from %v to %v", stays, now)
	}
	t.Logf("%d scrapes; some of the groups gone and others not in one of them: %v", scrapes, partly)
}

// hangup has the program read its rules anew, as administrators do.
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

// TestReload: rules apply to groups held from when they are read anew; a file that
// cannot be used is reported, and the rules before stay.
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
			t.Errorf("%s: groups end after %s, want %s", when, got, wanted)
		}
		if got := p.own(t, "/metrics", reloadSuccessful); got != successful {
			t.Errorf("%s: %s is %v, want %v", when, reloadSuccessful, got, successful)
		}
	}
	want("at the start", "1h0m0s 5h0m0s 9h0m0s", 1)
	last := p.own(t, "/metrics", reloadTime)

	write("rules:", `- {match: '{job="b"}', ttl: 2h}`)
	want("before the reload", "1h0m0s 5h0m0s 9h0m0s", 1)
	p.hangup(t)
	until(t, "SIGHUP has the rules apply", func() bool { return ttls() == "5h0m0s 2h0m0s 9h0m0s" })
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		write("rules:", fmt.Sprintf(`- {match: '{job=~"a|own"}', ttl: %s, timestamps: drop}`, map[string]string{"PUT": "3h", "POST": "0"}[method]))
		p.push(t, method, "/-/reload", "")
		want(method+" /-/reload", map[string]string{"PUT": "3h0m0s 5h0m0s 9h0m0s", "POST": "never 5h0m0s 9h0m0s"}[method], 1)
		now := p.own(t, "/metrics", reloadTime)
		if now <= last {
			t.Errorf("%s /-/reload: %s is %v, it was %v", method, reloadTime, now, last)
		}
		last = now
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		if a := p.do(t, method, "/-/reload", ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s /-/reload: status %d, want 405", method, a.status)
		}
	}

	// What is wrong is said, and nothing changes.
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
		if now := p.own(t, "/metrics", reloadTime); now != last {
			t.Errorf("with a bad file: %s is %v, it was %v", reloadTime, now, last)
		}
		p.push(t, http.MethodPut, "/metrics/job/a", "m 1 1700000000000\n")
		want("after a push with a bad file", "never 5h0m0s 9h0m0s", 0)
	}
	complaint := "the rules stay as they were"
	complaints := strings.Count(p.log.String(), complaint)
	write("rules:", `- {match: '{job="b"}', ttl: never}`)
	p.hangup(t)
	until(t, "a bad file is logged", func() bool { return strings.Count(p.log.String(), complaint) > complaints })
	lines := strings.Split(strings.TrimSpace(p.log.String()), "\n")
	wantText(t, lines[len(lines)-1], "level=ERROR", rules, "line 2", "ttl")
	if err := os.Remove(rules); err != nil {
		t.Fatal(err)
	}
	if a := p.do(t, http.MethodPost, "/-/reload", ""); a.status != http.StatusInternalServerError || !strings.Contains(a.body, rules) {
		t.Errorf("without the file: %d %s", a.status, a.body)
	}
	want("without the file", "never 5h0m0s 9h0m0s", 0)

	// Groups go whose time is over by the new rules; no rules are rules as well.
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

// TestReloadInTime: a group that was soon to end stays where rules are read before
// that say so.
func TestReloadInTime(t *testing.T) {
	t.Parallel()
	rules := rulesFile(t)
	p := start(t, "--config.file="+rules, "--web.enable-lifecycle")
	reload := func(ttl string) {
		t.Helper()
		writeFile(t, rules, []byte("rules: [{match: '{job=\"stays\"}', ttl: "+ttl+"}]"))
		p.push(t, http.MethodPost, "/-/reload", "")
	}
	// The rules must be read before the group ends, however slow the machine is.
	ttl := 300 * time.Millisecond
	for ; ; ttl *= 2 {
		reload(milliseconds(ttl))
		p.push(t, http.MethodPut, "/metrics/job/stays", "m 1\n")
		reload("0")
		if p.info(t, "/metrics/job/stays").ttl() == "never" {
			break
		}
	}
	p.push(t, http.MethodPut, "/metrics/job/ends?ttl="+milliseconds(2*ttl), "m 1\n")
	p.awaitGone(t, "ends")
	p.wantJobs(t, "after the time of both", "stays")
}

// TestReloadOfMerge: how groups merge follows the rules as they are, too.
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
	until(t, "the rules are read", func() bool { return strings.Contains(p.log.String(), "rules reloaded") })
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.push(t, http.MethodPut, "/metrics/job/a", one)
	p.wantPushed(t, "a", "c 2")
	if a := p.do(t, http.MethodPost, "/-/reload", ""); a.status != http.StatusForbidden {
		t.Errorf("reload over HTTP, not enabled: status %d, want 403", a.status)
	}
}

// TestNothingToReload: without a file of rules there is none to read.
func TestNothingToReload(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.enable-lifecycle")
	if a := p.do(t, http.MethodPost, "/-/reload", ""); a.status != http.StatusNotFound || !strings.Contains(a.body, "--config.file") {
		t.Errorf("status %d, want 404: %s", a.status, a.body)
	}
	if a := start(t).do(t, http.MethodPut, "/-/reload", ""); a.status != http.StatusForbidden {
		t.Errorf("not enabled: status %d, want 403: %s", a.status, a.body)
	}
	if metrics := p.get(t, "/metrics"); strings.Contains(metrics, "pushgateway_config_") {
		t.Errorf("there are metrics about a file of rules:\n%s", metrics)
	}
}

// TestBadRulesAtStart: a file of rules that cannot be used stops the start, and so
// does a flag that says nothing of time.
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
		file := rulesFile(t, text)
		wantText(t, unquoted(rejects(t, "--web.listen-address=127.0.0.1:0", "--config.file="+file)), append(because, file, "level=ERROR")...)
	}
	empty := filepath.Join(t.TempDir(), "empty.yml")
	writeFile(t, empty, nil)
	wantText(t, rejects(t, "--web.listen-address=127.0.0.1:0", "--config.file="+empty), empty, "rules: []")
	missing := filepath.Join(t.TempDir(), "none.yml")
	wantText(t, rejects(t, "--web.listen-address=127.0.0.1:0", "--config.file="+missing), missing, "no such file")
	for _, flag := range []string{"--push.ttl=-1h", "--push.ttl=soon", "--push.timestamps=keep"} {
		name, _, _ := strings.Cut(flag, "=")
		out := rejects(t, "--web.listen-address=127.0.0.1:0", flag)
		if _, value, _ := strings.Cut(flag, "="); !strings.Contains(out, name[2:]) && !strings.Contains(out, value) {
			t.Errorf("%s is not named in:\n%s", flag, out)
		}
	}
}

// dumpOf returns what a file holds by the program's own account.
func dumpOf(t *testing.T, file string) string {
	t.Helper()
	return result(t, command(t, gatewayBinary(t), "dump", file))
}

// milliseconds writes a duration as options have it.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// TestTimeDownCounts: a group whose time is over while no gateway runs is gone once
// one does; any other stays to its end.
func TestTimeDownCounts(t *testing.T) {
	t.Parallel()
	// The pushes of this file are long ago, so that no time of the test's own counts.
	original := readFile(t, "../internal/journal/testdata/v1.5.1.store")
	file := filepath.Join(t.TempDir(), "f.db")
	writeFile(t, file, original)
	p := gateway(t, file)
	titan := "/metrics/job/titan/name/%CE%A0%CF%81%CE%BF/path@base64/L3Zhci90bXA"
	before := p.info(t, titan)
	if before == nil {
		t.Fatalf("the recorded file has not the groups that are needed here:\n%s", p.pushed(t))
	}
	age := time.Since(*before.LastPush)
	if age < time.Minute {
		t.Fatalf("the clock says that the recorded file is %v old", age)
	}
	p.wantJobs(t, "at first", "backup", "rejected", "titan")
	p.end(t)

	over, notYet := milliseconds(age/2), milliseconds(2*age)
	p = gateway(t, file, "--push.ttl="+notYet, "--log.level=debug", "--config.file="+rulesFile(t, fmt.Sprintf(`- {match: '{job=~"backup|rejected"}', ttl: %s}`, over)))
	p.awaitGone(t, "backup", "rejected")
	p.wantJobs(t, "after a start with ttl", "titan")
	if got := p.info(t, titan); got.ttl() != (2*age).Truncate(time.Millisecond).String() || !got.LastPush.Equal(*before.LastPush) {
		t.Errorf("the group that stays ends %s after %v, want %s after %v", got.ttl(), got.LastPush, 2*age, before.LastPush)
	}
	if n := p.expired(); n != 3 {
		t.Errorf("%d groups logged as expired, want 3", n)
	}
	p.kill(t)
	p = gateway(t, file)
	p.wantJobs(t, "without ttl", "titan")
	p.end(t)
	p = gateway(t, file, "--push.ttl="+over)
	p.awaitGone(t, "titan")
	if got := p.pushed(t); got != "" {
		t.Errorf("left is\n%s", got)
	}
}

// TestOwnLifetimeOverRestart: what a push says itself of its group's end is kept with
// it.
func TestOwnLifetimeOverRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	// The gateway must be gone before the group ends, however slow the machine is.
	var over time.Time
	for ttl := 500 * time.Millisecond; ; ttl *= 2 {
		p := gateway(t, file)
		p.push(t, http.MethodPut, "/metrics/job/stays?ttl=1h", "m 1\n")
		p.push(t, http.MethodPut, "/metrics/job/keeps?ttl_keep=push_time&ttl="+milliseconds(ttl), "m 1\n")
		p.push(t, http.MethodPut, "/metrics/job/ends?ttl="+milliseconds(ttl), "m 1\n")
		p.push(t, http.MethodPut, "/metrics/job/for-ever?ttl=0", "m 1\n")
		over = time.Now().Add(ttl)
		p.kill(t)
		if held := dumpOf(t, file); strings.Contains(held, `m{instance="",job="ends"}`) && strings.Contains(held, `m{instance="",job="keeps"}`) {
			break
		}
	}
	until(t, "the groups' time is over", func() bool { return time.Now().After(over) })
	p := gateway(t, file, "--push.ttl=2h", "--log.level=debug")
	p.awaitGone(t, "ends")
	until(t, "the values of another are gone", func() bool { return len(p.pushedTo(t, "keeps")) == 0 })
	p.wantJobs(t, "after the start", "stays", "for-ever", "keeps")
	for job, want := range map[string]string{"stays": "1h0m0s", "for-ever": "never", "keeps": "never"} {
		if got := p.info(t, "/metrics/job/"+job).ttl(); got != want {
			t.Errorf("after the start the group %s ends after %s, want %s", job, got, want)
		}
	}
	if n := p.expired(); n != 2 {
		t.Errorf("%d groups logged as expired, want 2", n)
	}
	p.kill(t)
	held := dumpOf(t, file)
	for job, want := range map[string]bool{"ends": false, "keeps": false, "stays": true, "for-ever": true} {
		if got := strings.Contains(held, fmt.Sprintf(`m{instance="",job=%q}`, job)); got != want {
			t.Errorf("after a kill the file holds values of %s: %v, want %v", job, got, want)
		}
	}
	wantText(t, held, `push_time_seconds{instance="",job="keeps"}`)
}

// TestExpiryIsDurable: a group that was seen to be gone stays gone, though the gateway
// is killed in the middle of the expiry of many.
func TestExpiryIsDurable(t *testing.T) {
	t.Parallel()
	const groups = 6000
	const maxKills = 10 // of which some may come too late
	for range maxKills {
		file := filepath.Join(t.TempDir(), "f.db")
		rules := rulesFile(t)
		p := gateway(t, file, "--config.file="+rules, "--web.enable-lifecycle")
		p.pushGroups(t, "gone", 0, groups)
		p.push(t, http.MethodPut, "/metrics/job/stays", "other 1\n")
		// Nothing but a rule ends these groups, so that a start without it brings back
		// what is still in the file.
		writeFile(t, rules, []byte("rules: [{match: '{job=\"gone\"}', ttl: 1ms}]"))
		p.push(t, http.MethodPost, "/-/reload", "")
		var seen []string
		until(t, "groups end", func() bool {
			seen = p.pushedTo(t, "gone")
			return len(seen) < groups
		})
		p.kill(t)

		held := strings.Count(dumpOf(t, file), "\nm{")
		p = gateway(t, file)
		back := p.pushedTo(t, "gone")
		if more := without(back, seen); len(more) > 0 {
			t.Errorf("%d groups are back that had been seen to be gone, such as %s", len(more), more[0])
		}
		if len(back) != held {
			t.Errorf("the file held %d groups, the gateway has %d", held, len(back))
		}
		p.wantPushed(t, "stays", "other 1")
		t.Logf("killed when %d of %d groups were seen; %d are left", len(seen), groups, len(back))
		if len(back) > 0 || t.Failed() {
			return
		}
		p.end(t)
	}
	t.Errorf("none of %d kills came before all groups were gone", maxKills)
}

// groupsBody has one gauge for each of n groups of a job, numbered from first on.
func groupsBody(job string, first, n int) string {
	var b strings.Builder
	b.WriteString("# TYPE m gauge\n")
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "m{job=%q,instance=\"%d\"} %d\n", job, i, i)
	}
	return b.String()
}

// pushGroups makes the groups of groupsBody with one request.
func (p *program) pushGroups(t *testing.T, job string, first, n int) {
	t.Helper()
	if a := p.do(t, http.MethodPost, "/api/v1/push?group_by=job,instance", groupsBody(job, first, n)); a.status != http.StatusOK {
		t.Fatalf("push to %d groups: %d %.500s", n, a.status, a.body)
	}
}

// A waiter pushes to one group, over and over, and notes how long each push took.
type waiter struct {
	p      *program
	pushes []waited
	stop   atomic.Bool
	done   sync.WaitGroup
}

// waited is one push.
type waited struct{ from, to time.Time }

func newWaiter(t *testing.T, p *program) *waiter {
	w := &waiter{p: p}
	w.done.Go(func() {
		client := *p
		client.client = newClient(t) // with a connection of its own
		for !w.stop.Load() {
			from := time.Now()
			a, err := client.try(http.MethodPut, "/metrics/job/waiter", fmt.Sprintf("waiter %d\n", len(w.pushes)+1))
			if err != nil || a.status != http.StatusOK {
				t.Errorf("push: %d %s %v", a.status, a.body, err)
				return
			}
			w.pushes = append(w.pushes, waited{from, time.Now()})
		}
	})
	return w
}

// end stops the pushes, and checks that the last one counts.
func (w *waiter) end(t *testing.T) {
	t.Helper()
	w.stop.Store(true)
	w.done.Wait()
	w.p.wantPushed(t, "waiter", fmt.Sprintf("waiter %d", len(w.pushes)))
}

// within returns how many pushes were under way in a span of time, and the longest
// time of it that one of them waited.
func (w *waiter) within(from, to time.Time) (n int, worst time.Duration) {
	for _, push := range w.pushes {
		if push.from.Before(to) && push.to.After(from) {
			n++
			began, ended := push.from, push.to
			if began.Before(from) {
				began = from
			}
			if ended.After(to) {
				ended = to
			}
			worst = max(worst, ended.Sub(began))
		}
	}
	return n, worst
}

// TestMassExpiry has 100,000 groups end together while a client pushes: none of its
// pushes waits for more than a small part of them.
func TestMassExpiry(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"memory", "file"} {
		t.Run(where, func(t *testing.T) {
			// A machine that is busy with something else lets a push wait, too, but
			// hardly three times in a row.
			const rounds = 3
			for round := 1; ; round++ {
				if massExpiry(t, where == "file") || t.Failed() {
					return
				}
				if round == rounds {
					t.Fatalf("in each of %d rounds a push waited too long", rounds)
				}
			}
		})
	}
}

// massExpiry returns whether no push waited for long. How long any push waits on this
// machine, at this moment, tells a second gateway, of which no group ends.
func massExpiry(t *testing.T, inFile bool) bool {
	const groups, chunk = 100_000, 10_000
	rules := rulesFile(t)
	begin := func() *program {
		args := []string{"--config.file=" + rules, "--web.enable-lifecycle", "--web.own-metrics-path=/own"}
		if inFile {
			return gateway(t, filepath.Join(t.TempDir(), "f.db"), args...)
		}
		return start(t, args...)
	}
	p, idle := begin(), begin()
	defer p.end(t)
	defer idle.end(t)
	began := time.Now()
	for first := 0; first < groups; first += chunk {
		p.pushGroups(t, "mass", first, chunk)
	}
	filled := time.Since(began)

	w, reference := newWaiter(t, p), newWaiter(t, idle)
	quiet := time.Now()
	until(t, "it is known how long a push waits before", func() bool { return time.Since(quiet) > time.Second })
	writeFile(t, rules, []byte("rules: [{match: '{job=\"mass\"}', ttl: 1ms}]"))
	reloading := time.Now()
	p.push(t, http.MethodPost, "/-/reload", "")
	ending := time.Now()
	until(t, "the groups are gone", func() bool { return p.own(t, "/own", "pushgateway_groups") == 1 })
	ended := time.Now()
	w.end(t)
	reference.end(t)

	if got := p.own(t, "/own", "pushgateway_groups_expired_total"); got != groups {
		t.Errorf("%v groups counted as expired, want %d", got, groups)
	}
	p.wantJobs(t, "in the end", "waiter")
	_, before := w.within(quiet, reloading)
	_, reload := w.within(reloading, ending)
	n, worst := w.within(ending, ended)
	_, elsewhere := reference.within(quiet, ended)
	took := ended.Sub(ending)
	t.Logf("%d groups, made in %v, were gone within %v; meanwhile %d pushes waited for %v at the most, before for %v, while rules were read for %v, at another gateway for %v",
		groups, filled.Round(time.Millisecond), took.Round(time.Millisecond), n, worst, before, reload, elsewhere)
	return worst <= max(4*max(before, elsewhere), took/25)
}
