package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestExpiryInBrowser looks at expiring and summed groups as people do.
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
	list.want("in 90 min", "summed", "in 60 days")
	eval[int](list, "window.mark = 1")

	// A group that expires soon appears, counts down and disappears without a reload.
	p.push(t, "PUT", "/metrics/job/soon?ttl=20s", "m 1\n")
	p.push(t, "PUT", "/metrics/job/emptied?ttl=20s&ttl_keep=push_time", "m 1\n")
	one := open(t, browser, p.URL, "/groups/job/soon")
	one.want("set by the last push")
	left := func(b *tab) string {
		return eval[string](b, `document.querySelector("time[data-ahead]").innerText`)
	}
	list.awaitRows(5)
	if !eval[bool](list, `[...document.querySelectorAll("tr[data-key='job/soon'] time[data-ahead]")]
		.some((e) => /^(in \d+ s|any moment)$/.test(e.innerText))`) {
		t.Errorf("the list says\n%s", list.text())
	}
	first := left(one)
	one.await("time passes", `document.querySelector("time[data-ahead]").innerText !== "`+first+`"`)
	one.await("the group is gone from its own page", `document.querySelector("h1").innerText === "No such group"`)
	list.awaitRows(4)
	list.await("the emptied group says so",
		`/expired[^]*times kept/.test(document.querySelector("tr[data-key='job/emptied']").innerText)`)
	list.want("job=emptied", "4 groups")
	if eval[int](list, "window.mark ?? 0") != 1 {
		t.Error("the list was reloaded")
	}
	one.visit("/groups/job/emptied")
	one.want("expired (push times kept) last accepted push", "Metrics 2", "push_time_seconds")

	// Where the lifetime is from, and which rules there are.
	one.visit("/groups/job/batch-1")
	one.want("summed", "?merge=sum")
	if text := one.text(); !regexp.MustCompile(`in (8\d|90) min set by a rule`).MatchString(text) { // it counts down
		t.Errorf("no expiry by a rule in\n%s", text)
	}
	one.visit("/groups/job/other")
	one.want("in 60 days set by --push.ttl")
	one.visit("/groups/job/batch-1")
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
		"-5": "any moment", "0.49": "any moment", "0.5": "in 1 s", "119.4": "in 119 s", "119.5": "in 2 min", "5399": "in 90 min",
		"7169": "in 119 min", "7170": "in 2 h", "170999": "in 47 h", "171000": "in 2 days", "172797": "in 2 days", "2591997": "in 30 days",
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
		one.screen(320, 740, false)
		one.visit(path)
		one.axe(path + ", narrow")
		if wide := eval[float64](one, "document.documentElement.scrollWidth"); wide > 320 {
			t.Errorf("%s is %v pixels wide", path, wide)
		}
	}
}

// TestLayoutInBrowser: whatever the width, nothing on a page covers anything else, and
// what can be copied can be read and selected to its end.
func TestLayoutInBrowser(t *testing.T) {
	p := start(t, "--push.ttl=30d")
	const long = "/metrics/job/backup/database/a-very-long-database-name.example.org:9100/environment/production"
	p.push(t, "PUT", long+"?ttl=48h&ttl_keep=push_time", "m 1\n")
	p.push(t, "PUT", "/metrics/job/rejected?ttl=90m&ttl_keep=push_time", "m 1\n")
	if a := p.do(t, "PUT", "/metrics/job/rejected", "m{ 1\n"); a.status != 400 {
		t.Fatal(a)
	}
	p.push(t, "POST", "/metrics/job/summed?merge=sum&ttl=2d", "# TYPE c_total counter\nc_total 1\n")
	p.push(t, "PUT", "/metrics/job/stays?ttl=0", "m 1\n")
	p.push(t, "PUT", "/metrics/job/expired?ttl=1s&ttl_keep=push_time", "m 1\n")
	until(t, "the group has expired", func() bool { return strings.Contains(p.get(t, "/groups/job/expired"), "expired (push times kept)") })

	b := open(t, startBrowser(t), p.URL, "/")
	// cells and copies return what is wrong on the page.
	const tools = `
		const overlap = (a, b) => a.left < b.right - .5 && b.left < a.right - .5 && a.top < b.bottom - .5 && b.top < a.bottom - .5;
		const rect = (e) => e.getBoundingClientRect();
		const inside = (e) => { const r = document.createRange(); r.selectNodeContents(e); return [...r.getClientRects()]; };`
	const cells = `(() => {` + tools + `
		const wrong = [];
		for (const row of document.querySelectorAll("table.list tbody tr")) {
			const all = [...row.querySelectorAll("td, th")];
			all.forEach((a, i) => all.slice(i + 1).forEach((b) => {
				if (inside(a).some((x) => inside(b).some((y) => overlap(x, y)))) {
					wrong.push(row.dataset.key + ": " + a.innerText + " is over " + b.innerText);
				}
			}));
			for (const cell of row.querySelectorAll("td[data-name]")) {
				const place = rect(cell);
				if (inside(cell).some((x) => x.width > 1 && (x.left < place.left - .5 || x.right > place.right + .5 || x.bottom > place.bottom + .5))) {
					wrong.push(row.dataset.key + ": " + cell.innerText + " is out of its cell");
				}
			}
		}
		return wrong;
	})()`
	const copies = `(() => {` + tools + `
		const wrong = [], selection = getSelection();
		for (const box of document.querySelectorAll(".copyable")) {
			const code = box.querySelector("code"), pre = rect(box.querySelector("pre")), button = rect(box.querySelector("button"));
			if (!button.width) wrong.push(code.id + " has no button");
			selection.selectAllChildren(code);
			if (selection.toString().trim() !== code.textContent.trim()) wrong.push(code.id + " is selected as " + selection);
			for (const line of inside(code)) {
				if (overlap(line, button)) wrong.push(code.id + " is under its button");
				if (line.right > pre.right + .5 || line.bottom > pre.bottom + .5) wrong.push(code.id + " is cut off");
			}
		}
		selection.removeAllRanges();
		return wrong;
	})()`
	for _, width := range []int64{320, 500, 1280} {
		b.screen(width, 900, false)
		for path, check := range map[string]string{
			"/": cells, "/groups/" + strings.TrimPrefix(long, "/metrics/"): copies, "/groups/job/summed": copies, "/help": copies,
		} {
			b.visit(path)
			if path == "/" {
				b.awaitRows(5)
			} else if boxes := eval[int](b, `document.querySelectorAll(".copyable").length`); boxes < 4 {
				t.Errorf("%s has %d texts to copy", path, boxes)
			}
			for _, wrong := range eval[[]string](b, check) {
				t.Errorf("%s, %d pixels wide: %s", path, width, wrong)
			}
			if wide := eval[int64](b, "document.documentElement.scrollWidth"); wide > width {
				t.Errorf("%s is %d pixels wide, not %d", path, wide, width)
			}
		}
	}

	b.screen(390, 844, false)
	b.visit("/?sort=expires")
	b.awaitRows(5)
	const controls = `(() => {
		const top = (selector) => document.querySelector(selector).getBoundingClientRect().top;
		return top(".list") - top("#search");
	})()`
	if height := eval[float64](b, controls); height > 844*0.2 {
		t.Errorf("on a phone the controls of the list are %v pixels high", height)
	}
	first := eval[[]string](b, `[...document.querySelectorAll(".list tbody tr")].map((r) => r.dataset.key).slice(0, 3)`)
	if !slices.Equal(first, []string{"job/rejected", strings.TrimPrefix(long, "/metrics/"), "job/summed"}) {
		t.Errorf("soonest to expire: %q", first)
	}
}
