package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dumpOf returns what a file holds by the program's own account.
func dumpOf(t *testing.T, file string) string {
	t.Helper()
	return result(t, command(t, gatewayBinary(t), "dump", file))
}

// TestDowntimeCounts: a group whose time is over while no gateway runs is gone once
// one does; any other stays to its end.
func TestDowntimeCounts(t *testing.T) {
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

// TestPushedTTLSurvivesRestart: what a push says itself of its group's end is kept with
// it.
func TestPushedTTLSurvivesRestart(t *testing.T) {
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
