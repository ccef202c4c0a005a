package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dumpOf returns the metrics in a file, as the subcommand dump prints them.
func dumpOf(t *testing.T, file string) string {
	t.Helper()
	return result(t, command(t, gatewayBinary(t), "dump", file))
}

// TestDowntimeCounts: time passes for groups while no gateway runs.
func TestDowntimeCounts(t *testing.T) {
	t.Parallel()
	// The pushes in this file are long ago, so that the duration of the test is of no matter.
	original := readFile(t, "../internal/journal/testdata/v1.5.1.store")
	file := filepath.Join(t.TempDir(), "f.db")
	writeFile(t, file, original)
	p := gateway(t, file)
	titan := "/metrics/job/titan/name/%CE%A0%CF%81%CE%BF/path@base64/L3Zhci90bXA"
	before := p.info(t, titan)
	if before == nil {
		t.Fatalf("the recorded file lacks the groups of this test:\n%s", p.pushed(t))
	}
	age := time.Since(*before.LastPush)
	if age < time.Minute {
		t.Fatalf("the clock says that the recorded file is %v old", age)
	}
	p.wantJobs(t, "at first", "backup", "rejected", "titan")
	p.end(t)

	over, notYet := milliseconds(age/2), milliseconds(2*age)
	rules := rulesFile(t, fmt.Sprintf(`- {match: '{job=~"backup|rejected"}', ttl: %s}`, over))
	p = gateway(t, file, "--push.ttl="+notYet, "--log.level=debug", "--config.file="+rules)
	p.awaitGone(t, "backup", "rejected")
	p.wantJobs(t, "after a start with ttl", "titan")
	got := p.info(t, titan)
	if want := (2 * age).Truncate(time.Millisecond).String(); got.ttl() != want {
		t.Errorf("the group that stays has ttl %s, want %s", got.ttl(), want)
	}
	if !got.LastPush.Equal(*before.LastPush) {
		t.Errorf("the group that stays was pushed at %v, want %v", got.LastPush, before.LastPush)
	}
	p.wantExpired(t, 3)
	p.kill(t)
	p = gateway(t, file)
	p.wantJobs(t, "without ttl", "titan")
	p.end(t)
	p = gateway(t, file, "--push.ttl="+over)
	p.awaitGone(t, "titan")
	if got := p.pushed(t); got != "" {
		t.Errorf("the gateway still has\n%s", got)
	}
}

// TestPushedTTLSurvivesRestart: the expiry options of a push are persisted with its
// group.
func TestPushedTTLSurvivesRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	// The gateway must be gone before the groups expire, however slow the machine is.
	var over time.Time
	for ttl := 500 * time.Millisecond; ; ttl *= 2 {
		p := gateway(t, file)
		p.push(t, http.MethodPut, "/metrics/job/stays?ttl=1h", "m 1\n")
		p.push(t, http.MethodPut, "/metrics/job/keeps?ttl_keep=push_time&ttl="+milliseconds(ttl), "m 1\n")
		p.push(t, http.MethodPut, "/metrics/job/expires?ttl="+milliseconds(ttl), "m 1\n")
		p.push(t, http.MethodPut, "/metrics/job/unlimited?ttl=0", "m 1\n")
		over = time.Now().Add(ttl)
		p.kill(t)
		dump := dumpOf(t, file)
		if strings.Contains(dump, `m{instance="",job="expires"}`) && strings.Contains(dump, `m{instance="",job="keeps"}`) {
			break
		}
	}
	until(t, "the groups are overdue", func() bool { return time.Now().After(over) })
	p := gateway(t, file, "--push.ttl=2h", "--log.level=debug")
	p.awaitGone(t, "expires")
	until(t, "the values of the other are gone", func() bool { return len(p.pushedTo(t, "keeps")) == 0 })
	p.wantJobs(t, "after the start", "stays", "unlimited", "keeps")
	for job, want := range map[string]string{"stays": "1h0m0s", "unlimited": "never", "keeps": "never"} {
		if got := p.info(t, "/metrics/job/"+job).ttl(); got != want {
			t.Errorf("after the start group %s has ttl %s, want %s", job, got, want)
		}
	}
	p.wantExpired(t, 2)
	p.kill(t)
	dump := dumpOf(t, file)
	for job, want := range map[string]bool{"expires": false, "keeps": false, "stays": true, "unlimited": true} {
		if got := strings.Contains(dump, fmt.Sprintf(`m{instance="",job=%q}`, job)); got != want {
			t.Errorf("after a kill the file has values of %s: %v, want %v", job, got, want)
		}
	}
	wantText(t, dump, `push_time_seconds{instance="",job="keeps"}`)
}

// TestExpiryIsDurable: a group that a scrape has seen to be gone stays gone, even if the
// gateway is killed while many groups expire.
func TestExpiryIsDurable(t *testing.T) {
	t.Parallel()
	const groups = 6000
	const maxKills = 10 // some may come too late
	for range maxKills {
		file := filepath.Join(t.TempDir(), "f.db")
		rules := rulesFile(t)
		p := gateway(t, file, "--config.file="+rules, "--web.enable-lifecycle")
		p.pushGroups(t, "gone", 0, groups)
		p.push(t, http.MethodPut, "/metrics/job/stays", "other 1\n")
		// Only a rule makes these groups expire: a start without it shows what is still
		// in the file.
		writeFile(t, rules, []byte("rules: [{match: '{job=\"gone\"}', ttl: 1ms}]"))
		p.push(t, http.MethodPost, "/-/reload", "")
		var seen []string
		until(t, "groups expire", func() bool {
			seen = p.pushedTo(t, "gone")
			return len(seen) < groups
		})
		p.kill(t)

		persisted := strings.Count(dumpOf(t, file), "\nm{")
		p = gateway(t, file)
		back := p.pushedTo(t, "gone")
		if more := without(back, seen); len(more) > 0 {
			t.Errorf("%d groups are back that had been seen to be gone, such as %s", len(more), more[0])
		}
		if len(back) != persisted {
			t.Errorf("the file has %d groups, the gateway %d", persisted, len(back))
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
