package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// wantExpired waits until the program has logged that many groups as expired, at level debug, and
// checks that these are all, and counted. A group is gone before it is counted and logged.
func (p *program) wantExpired(t *testing.T, want int) {
	t.Helper()
	logged := func() int { return strings.Count(p.log.String(), `msg="group expired"`) }
	until(t, fmt.Sprintf("%d groups are logged as expired", want), func() bool { return logged() >= want })
	if got := p.selfMetric(t, "/metrics", expiredTotal); got != float64(want) || logged() != want {
		t.Errorf("%v groups counted as expired, %d logged, want %d", got, logged(), want)
	}
}

const expiredTotal = "pushgateway_groups_expired_total"

// TestGroupsExpire: groups expire by an option of the push, by a rule, or by the flag,
// even if no request comes in meanwhile.
func TestGroupsExpire(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.ttl=100ms", "--log.level=debug", "--config.file="+rulesFile(t,
		`- {match: '{job="by-rule"}', ttl: 200ms}`,
		`- {match: '{job="stays-by-rule"}', ttl: 0}`,
		`- {match: '{job=~"by-.*"}', ttl: 1d}`))
	var expiring []string
	for i, way := range optionWays {
		job := "by-" + way
		path, headers := carry(way, "/metrics/job/"+job, []string{"ttl=300ms"})
		p.push(t, []string{http.MethodPut, http.MethodPost}[i%2], path, "m 1\n", headers...)
		expiring = append(expiring, job)
	}
	p.push(t, http.MethodPut, "/metrics/job/by-rule", "m 1\n")
	p.push(t, http.MethodPut, "/metrics/job/flag", "m 1\n")
	p.rejected(t, http.MethodPut, "/metrics/job/never-pushed", "m 1 1700000000000\n")
	expiring = append(expiring, "by-rule", "flag", "never-pushed")

	stays := map[string]string{"stays-by-rule": "", "own": "?ttl=0", "later": "?ttl=1h", "by-later-rule": ""}
	for job, query := range stays {
		p.push(t, http.MethodPut, "/metrics/job/"+job+query, "m 1\n")
	}
	p.push(t, http.MethodPut, "/metrics/job/by-rule/x/y?ttl=1h", "m 1\n")

	p.wantExpired(t, len(expiring))
	p.wantJobs(t, "at last", "stays-by-rule", "own", "later", "by-later-rule", "by-rule")
	p.wantPushed(t, "by-rule", `m{x="y"} 1`)
	for _, job := range expiring {
		wantText(t, unquoted(p.log.String()), fmt.Sprintf("group={job=%s}", job))
	}
	// The name is free again.
	p.push(t, http.MethodPut, "/metrics/job/flag?ttl=0", "# TYPE of_another_type gauge\nof_another_type 1\n")
}

// TestExpiresAt: the TTL counts from the last successful push. Its own TTL comes first,
// then the rules, then the flag.
func TestExpiresAt(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.ttl=30m", "--config.file="+rulesFile(t,
		`- {match: '{job="rule"}', ttl: 1h}`,
		`- {match: '{job="keep"}', ttl_keep: push_time}`,
		`- {match: '{job="unlimited"}', ttl: 0s}`,
		`- {match: '{job=~".+"}', timestamps: drop}`))
	for _, c := range []struct{ method, target, body, want string }{
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
		{"PUT", "unlimited", "m 1", "never"},
		{"PUT", "unlimited?ttl=1ms500s", "m 1", "never"}, // rejected
		{"PUT", "new", "not a metric", "never"},          // stores nothing, but shows the rejection
	} {
		t.Run(c.method+" "+c.target+" "+c.body, func(t *testing.T) {
			job, _, _ := strings.Cut(c.target, "?")
			p.do(t, c.method, "/metrics/job/"+c.target, c.body+"\n")
			if got := p.info(t, "/metrics/job/"+job).ttl(); got != c.want {
				t.Errorf("ttl %s, want %s", got, c.want)
			}
		})
	}
	// A group whose pushes were all rejected expires, too.
	p.push(t, http.MethodPut, "/metrics/job/typed", "# TYPE n counter\nn 1\n")
	p.rejected(t, http.MethodPut, "/metrics/job/new", "# TYPE n gauge\nn 1\n", "n")
	p.do(t, http.MethodDelete, "/metrics/job/typed", "")
	rejected := p.info(t, "/metrics/job/new")
	if got := rejected.ttl(); got != "30m0s" {
		t.Errorf("a group whose pushes were all rejected has ttl %s, want 30m0s", got)
	}
	if rejected.LastPush != nil {
		t.Errorf("a group whose pushes were all rejected was pushed at %v", rejected.LastPush)
	}
	// The list has the same times, in RFC 3339.
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

// TestPushTimesKept: with ttl_keep=push_time an expired group keeps its two push times
// until it is pushed to again or deleted.
func TestPushTimesKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	const ttl = "5s" // in which all are looked at before they expire, also on a busy machine
	p := gateway(t, file, "--log.level=debug", "--config.file="+rulesFile(t,
		`- {match: '{job="by-rule"}', ttl: `+ttl+`, ttl_keep: push_time}`))
	jobs := []string{"by-rule"}
	p.push(t, http.MethodPut, "/metrics/job/by-rule", "m 1\nn 2\n")
	for _, way := range optionWays {
		jobs = append(jobs, way)
		path, headers := carry(way, "/metrics/job/"+way, []string{"ttl=" + ttl, "ttl_keep=push_time"})
		p.push(t, http.MethodPost, path, "m 1\nn 2\n", headers...)
	}
	p.push(t, http.MethodPost, "/metrics/job/summed?ttl="+ttl+"&ttl_keep=push_time&merge=sum", "# TYPE c counter\nc 1\n")
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
	p.wantExpired(t, len(jobs))
	check := func(when string) {
		t.Helper()
		p.wantJobs(t, when, jobs...)
		for _, job := range jobs {
			got := p.info(t, "/metrics/job/"+job)
			if !got.LastPush.Equal(*before[job].LastPush) {
				t.Errorf("%s, %s: last push at %v, it was at %v", when, job, got.LastPush, before[job].LastPush)
			}
			if got.ttl() != "never" || got.Summed || !got.Expired {
				t.Errorf("%s, %s: ttl %s, summed %v, expired %v; want never, false, true", when, job, got.ttl(), got.Summed, got.Expired)
			}
			wantText(t, p.exposedGroup(t, job),
				fmt.Sprintf(`push_time_seconds{instance="",job=%q}`, job),
				fmt.Sprintf(`push_failure_time_seconds{instance="",job=%q}`, job))
		}
		if p.info(t, "/metrics/job/summed").LastFailure == nil {
			t.Errorf("%s: the failure time is gone", when)
		}
	}
	check("after they expired")
	p.kill(t)
	p = gateway(t, file, "--push.ttl=1ms") // without the rule
	jobs = slices.DeleteFunc(jobs, func(job string) bool { return job == "by-rule" })
	p.push(t, http.MethodPut, "/metrics/job/flag", "m 1\n")
	p.awaitGone(t, "flag")
	if p.info(t, "/metrics/job/by-rule").ttl() != "never" {
		t.Error("an expired group is to expire again")
	}
	if a := p.do(t, http.MethodDelete, "/metrics/job/by-rule", ""); a.status != http.StatusAccepted {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	check("after a restart")

	p.push(t, http.MethodPost, "/metrics/job/summed?ttl=0", "x 3\n") // a new start: neither summed nor replaced
	p.wantPushed(t, "summed", "x 3")
	if p.info(t, "/metrics/job/summed").Expired {
		t.Error("a group that was pushed to again has expired")
	}
	p.push(t, http.MethodPost, "/metrics/job/query?ttl=200ms", "m 1\n")
	p.awaitGone(t, "query")
}

// TestKeysOfExpiredGroups: an expired group forgets the idempotency keys of its pushes,
// unless it keeps its push times.
func TestKeysOfExpiredGroups(t *testing.T) {
	t.Parallel()
	p := start(t)
	for keep, second := range map[string]string{"": "", "&ttl_keep=push_time": "true"} {
		path := "/metrics/job/a?merge=sum&ttl=300ms" + keep
		for life := range 2 {
			a := p.do(t, http.MethodPost, path, "# TYPE c counter\nc 1\n", "Idempotency-Key", "k")
			replayed := []string{"", second}[life]
			if a.status != http.StatusOK {
				t.Errorf("life %d of the group with %q: status %d, want 200", life, keep, a.status)
			}
			if got := a.header.Get("Idempotency-Replayed"); got != replayed {
				t.Errorf("life %d of the group with %q: replayed %q, want %q", life, keep, got, replayed)
			}
			until(t, "the group's values are gone", func() bool { return len(p.pushedTo(t, "a")) == 0 })
		}
		p.do(t, http.MethodDelete, "/metrics/job/a", "")
	}
}

// TestScrapesLeaveExpiryAlone: scrapes neither postpone nor cause expiry, and never see
// a part of a group.
func TestScrapesLeaveExpiryAlone(t *testing.T) {
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
	last := p.info(t, fmt.Sprintf("/metrics/job/%d", groups-1))
	scrapes, partly := 0, false
	until(t, "all groups but one are gone", func() bool {
		found := states(t, p.get(t, "/metrics"))
		scrapes++
		for job, state := range found {
			if state != "m=1 n=1" {
				t.Errorf("group %s is seen as %q", job, state)
			}
		}
		if now := p.info(t, fmt.Sprintf("/metrics/job/%d", groups-1)); now != nil && !now.ExpiresAt.Equal(*last.ExpiresAt) {
			t.Errorf("a scrape moved the expiry of a group from %v to %v", last.ExpiresAt, now.ExpiresAt)
		}
		partly = partly || len(found) > 1 && len(found) <= groups
		return len(found) == 1 || t.Failed()
	})
	p.wantJobs(t, "after scrapes", "stays")
	if now := p.info(t, "/metrics/job/stays").ExpiresAt; !now.Equal(*stays) {
		t.Errorf("scrapes moved the expiry of a group from %v to %v", stays, now)
	}
	t.Logf("%d scrapes; some of the groups gone and others not in one of them: %v", scrapes, partly)
}

// milliseconds formats a duration as a value of an option.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
