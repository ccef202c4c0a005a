package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExpiryInBrowser looks at groups that end, and at those that add up, as people
// do.
func TestExpiryInBrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yml")
	rules := "rules:\n- match: '{job=~\"batch.*\"}'\n  ttl: 90m\n  merge: sum\n- match: '{job=\"forever\"}'\n  ttl: 0s\n"
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--config.file="+file, "--push.ttl=60d", "--web.enable-lifecycle")
	p.push(t, "POST", "/metrics/job/batch-1", "# TYPE c_total counter\nc_total 1\n")
	p.push(t, "PUT", "/metrics/job/forever", "m 1\n")
	p.push(t, "PUT", "/metrics/job/other", "m 1\n")
	browser := startBrowser(t)
	list := open(t, browser, p.URL, "/")
	list.awaitRows(3)
	list.want("expires in 1 h", "summed", "expires in 59 days")
	eval[int](list, "window.mark = 1")

	// One that ends soon comes, counts down, and goes, without a reload.
	p.push(t, "PUT", "/metrics/job/soon?ttl=20s", "m 1\n")
	p.push(t, "PUT", "/metrics/job/emptied?ttl=20s&ttl_keep=push_time", "m 1\n")
	one := open(t, browser, p.URL, "/groups/job/soon")
	one.want("as the last push asked")
	left := func(b *tab) string {
		return eval[string](b, `document.querySelector("time[data-ahead]").innerText`)
	}
	const counted = `/^(in \d+ s|any moment)$/`
	list.awaitRows(5)
	if !eval[bool](list, `[...document.querySelectorAll("tr[data-key='job/soon'] time[data-ahead]")].some((e) => `+counted+`.test(e.innerText))`) {
		t.Errorf("the list says\n%s", list.text())
	}
	first := left(one)
	one.await("time passes", `document.querySelector("time[data-ahead]").innerText !== "`+first+`"`)
	one.await("the group is gone from its own page", `document.querySelector("h1").innerText === "No such group"`)
	list.awaitRows(4)
	list.await("the emptied group stays as it is", `!document.querySelector("tr[data-key='job/emptied']").innerText.includes("expires")`)
	list.want("job=emptied", "4 groups")
	if eval[int](list, "window.mark ?? 0") != 1 {
		t.Error("the list was reloaded")
	}
	one.visit("/groups/job/emptied")
	one.want("never", "Metrics 2", "push_time_seconds")

	// Where the lifetime is from, and which rules there are.
	one.visit("/groups/job/batch-1")
	one.want("in 1 h by the rules", "summed", "?merge=sum")
	one.clickTo(`.facts a[href$="status#rules"]`)
	if got := one.address(); got != "/status#rules" {
		t.Errorf("the rules are at %s", got)
	}
	one.want(file, `{job=~"batch.*"}`, "ttl=1h30m", "merge=sum", `{job="forever"}`, "ttl=0", "ttl=60d", "timestamps=reject")
	if err := os.WriteFile(file, []byte("rules:\n- match: nonsense{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := p.do(t, "POST", "/-/reload", ""); a.status != 500 {
		t.Fatal(a)
	}
	one.visit("/status")
	one.want("not reloaded", "not a PromQL selector", "ttl=1h30m")
	if err := os.WriteFile(file, []byte("rules:\n- match: '{job=\"a\"}'\n  ttl: 12h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangup(t)
	until(t, "the rules are read again", func() bool { return strings.Contains(p.get(t, "/status"), "ttl=12h") })
	one.visit("/status")
	if text := one.text(); strings.Contains(text, "not reloaded") || strings.Contains(text, "batch.*") {
		t.Errorf("the rules before are still there:\n%s", text)
	}

	// The page's script writes times as the gateway does.
	for seconds, want := range map[string]string{
		"-5": "any moment", "0.9": "any moment", "1": "in 1 s", "59.9": "in 59 s", "60": "in 1 min", "3600": "in 1 h",
		"172799": "in 47 h", "172800": "in 2 days",
	} {
		if got := eval[string](one, "aheadOf("+seconds+")"); got != want {
			t.Errorf("%s seconds: %q, want %q", seconds, got, want)
		}
	}

	for _, path := range []string{"/", "/groups/job/batch-1", "/status", "/help"} {
		one.screen(1280, 900, false)
		one.visit(path)
		one.axe(path)
		one.screen(1280, 900, true)
		one.axe(path + ", dark")
		one.screen(360, 740, false)
		one.visit(path)
		one.axe(path + ", narrow")
		if wide := eval[float64](one, "document.documentElement.scrollWidth"); wide > 360 {
			t.Errorf("%s is %v pixels wide", path, wide)
		}
	}
}
