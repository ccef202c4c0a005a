package webui_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webui.Status{
			Status: api.Status{
				Build:   api.Build{Version: "2.0", Revision: "abc", GoVersion: "go1.26"},
				Flags:   map[string]string{"web.telemetry-path": "/metrics", "log.level": "<b>"},
				Started: time.Now(),
			},
			Totals: store.Totals{Groups: 3, Series: 44, Bytes: 5 << 20},
		}
		time.Sleep(50 * time.Hour)
		page := status(t, newPages(t, ""), s)
		wantText(t, page, ">2.0<", ">abc<", ">go1.26<", ">3<", ">44<", ">5.0 MiB<", "2 days ago",
			"--web.telemetry-path</code></th><td><code>/metrics<", "&lt;b&gt;",
			"in memory only, and a restart loses them.", "None since the gateway started")
		if strings.Index(page, "--log.level") > strings.Index(page, "--web.telemetry-path") {
			t.Error("the flags are not sorted")
		}
		if strings.Contains(page, "Delete everything") {
			t.Error("a wipe is offered without the admin API")
		}
		s.Storage = api.Storage{Durable: true, File: "/var/lib/pushgateway", Sync: "push", SizeBytes: 3 << 20, LastCommit: time.Now()}
		page = status(t, newPages(t, ""), s)
		wantText(t, page, "/var/lib/pushgateway", "is on disk", "3.0 MiB", "just now")
		if strings.Contains(page, "in memory only") {
			t.Error("a durable gateway says that it is not")
		}
		s.Storage.Sync, s.Storage.Pending = "interval", 12
		wantText(t, status(t, newPages(t, ""), s), "A crash loses", "12 groups")
		s.Storage.Error = "no space left <on device>"
		wantText(t, status(t, newPages(t, ""), s), "failing", "no space left &lt;on device&gt;")
	})
}

// TestReplicas: the status page shows who shares the database, and what is wrong with that.
func TestReplicas(t *testing.T) {
	s := webui.Status{}
	s.Storage = api.Storage{Durable: true, Database: "postgres://gateway@db/metrics"}
	s.Replicas = &api.Replicas{Name: "r1", ClockSkew: -2.5, All: []api.Replica{
		{Name: "r1", Self: true, Live: true, Version: "1.0", Sequence: 12},
		{Name: "<r2>", Live: true, Version: "1.1", Sequence: 5, Behind: 7, OtherRules: true, OtherAuth: true},
		{Name: "r3", Sequence: 1},
	}}
	page := status(t, newPages(t, ""), s)
	wantText(t, page, "postgres://gateway@db/metrics", "in the database", "(this one)", "&lt;r2&gt;", "7 behind", "silent",
		"different files", "rules file and auth file", "differ by 2.5s")
	s.Replicas.All, s.Replicas.ClockSkew = s.Replicas.All[:1], 0.1
	page = status(t, newPages(t, ""), s)
	for _, text := range []string{"different files", "differ by"} {
		if strings.Contains(page, text) {
			t.Errorf("the page of a replica that is alone says %q", text)
		}
	}
	s.Storage.Error = "no route"
	wantText(t, status(t, newPages(t, ""), s), "failing", "no route")
}

func TestLargestJobs(t *testing.T) {
	s := store.InMemory()
	for i := range 30 {
		for n := range i + 1 {
			put(t, s, key("job", fmt.Sprintf("job-%02d", i), "n", fmt.Sprint(n)))
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/status", nil)
	if err := newPages(t, "").Status(w, r, webui.Status{}, sourceOf(s).View(), webui.Visitor{}); err != nil {
		t.Fatal(err)
	}
	page := w.Body.String()
	if n := strings.Count(page, "<bdi>job-"); n != 20 || strings.Index(page, "job-29") > strings.Index(page, "job-28") {
		t.Errorf("%d jobs: %s", n, page)
	}
	wantText(t, page, `width="100.0"`, `width="96.7"`, `href="./?search=%7Bjob%3D%22job-29%22%7D"`, `<td class="number">90</td>`)
}

func TestRulesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		section := func(r webui.Rules) string {
			t.Helper()
			page := status(t, newPages(t, ""), webui.Status{Rules: r})
			_, page, _ = strings.Cut(page, `<h2 id="rules">`)
			page, _, _ = strings.Cut(page, "</section>")
			return page
		}
		r := webui.Rules{Defaults: []string{"ttl=0", "timestamps=reject"}}
		page := section(r)
		wantText(t, page, ">ttl=0<", ">timestamps=reject<", "No rules file")
		if strings.Contains(page, "Loaded") || strings.Count(page, "<tr") != 2 {
			t.Errorf("without a file: %s", page)
		}

		r.File, r.Loaded = "/etc/rules<.yml", time.Now()
		time.Sleep(time.Minute)
		for i := range 250 {
			r.All = append(r.All, webui.Rule{Match: fmt.Sprintf(`{job="<%d>"}`, i), Options: []string{"ttl=2d", "merge=sum"}})
		}
		r.All[1].Options = nil
		page = section(r)
		wantText(t, page, "/etc/rules&lt;.yml", ">1 min ago<", "<dt>Rules</dt><dd>250</dd>", ">ttl=2d<", ">merge=sum<", ">none<",
			`>1</td>`, `{job=&#34;&lt;0&gt;&#34;}`, `>100</td>`, `{job=&#34;&lt;99&gt;&#34;}`, "and 150 more", ">timestamps=reject<")
		if strings.Contains(page, "No rules file") || strings.Contains(page, "not reloaded") || strings.Contains(page, "&lt;100&gt;") {
			t.Errorf("with a file: %s", page)
		}
		r.Failed = "line 3: rule <2>: unknown"
		wantText(t, section(r), "not reloaded", "line 3: rule &lt;2&gt;: unknown", "{job=")
	})
}
