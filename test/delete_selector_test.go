package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// deleted is the answer to a DELETE by selector.
type deleted struct {
	Status    string
	ErrorType string
	Error     string
	Data      *struct {
		Count  int
		DryRun bool `json:"dry_run"`
		Groups []struct {
			Labels   map[string]string
			Path     string
			LastPush *time.Time `json:"last_push"`
		}
	}

	code int
}

// deleteBy deletes groups by selector. params are pairs of name and value of the query.
func (p *program) deleteBy(t *testing.T, params ...string) deleted {
	t.Helper()
	query := url.Values{}
	for i := 0; i < len(params); i += 2 {
		query.Add(params[i], params[i+1])
	}
	return p.deleteRaw(t, query.Encode())
}

// deleteRaw is deleteBy with an encoded query.
func (p *program) deleteRaw(t *testing.T, query string, headers ...string) deleted {
	t.Helper()
	a := p.do(t, http.MethodDelete, "/api/v1/groups?"+query, "", headers...)
	out := deleted{code: a.status}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("DELETE %s: %d %q: %v", query, a.status, a.body, err)
	}
	return out
}

// want checks which groups were deleted, by their paths.
func (d deleted) want(t *testing.T, dryRun bool, paths ...string) {
	t.Helper()
	if d.code != http.StatusOK || d.Status != "success" || d.Data == nil {
		t.Fatalf("status %d %q: %s", d.code, d.Status, d.Error)
	}
	got := []string{}
	for _, g := range d.Data.Groups {
		got = append(got, g.Path)
	}
	slices.Sort(got)
	slices.Sort(paths)
	wantLines(t, "the groups listed", got, paths)
	if d.Data.Count != len(paths) {
		t.Errorf("count %d, want %d", d.Data.Count, len(paths))
	}
	if d.Data.DryRun != dryRun {
		t.Errorf("dry_run %v, want %v", d.Data.DryRun, dryRun)
	}
}

// TestDeleteBySelector: DELETE deletes the groups whose labels match any of the selectors.
func TestDeleteBySelector(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.enable-admin-api")
	all := []string{
		"/metrics/job/a", "/metrics/job/a/instance/1", "/metrics/job/a/instance/2/zone/n", "/metrics/job/b", "/metrics/job/b/zone/s",
		"/metrics/job/backup-1", "/metrics/job/backup-2", "/metrics/job@base64/Yi9j", "/metrics/job/stays/zone/w",
	}
	push := func() {
		t.Helper()
		for _, path := range all {
			p.push(t, http.MethodPut, path, "m{own=\"label\"} 1\n")
		}
	}
	rest := func(gone ...string) []string { return without(all, gone) }
	for _, c := range []struct {
		selectors []string
		gone      []string
	}{
		{[]string{`{job="a"}`}, all[:3]},
		{[]string{`{job="a",instance=""}`}, all[:1]},
		{[]string{`{job="a",instance!=""}`}, all[1:3]},
		{[]string{`{job="a"}`, `{zone="s"}`, `{instance="1"}`}, []string{all[0], all[1], all[2], all[4]}},
		{[]string{`{job=~"backup-.*"}`}, all[5:7]},
		{[]string{`{job=~"b.*",job!~".*-2"}`, `{zone=~"[ns]"}`}, []string{all[2], all[3], all[4], all[5], all[7]}},
		{[]string{`{job="b/c"}`}, all[7:8]},
		{[]string{`{job="nobody"}`}, nil},
		{[]string{`{own="label"}`}, nil}, // a label of metrics, not of their group
		{[]string{`{job=~".+"}`}, all},
	} {
		t.Run(strings.Join(c.selectors, " "), func(t *testing.T) {
			push()
			var params []string
			for _, s := range c.selectors {
				params = append(params, "match[]", s)
			}
			before := p.exposedPushed(t)
			for _, dry := range []string{"true", "1", ""} {
				p.deleteBy(t, append(params, "dry_run", dry)...).want(t, true, slices.Clone(c.gone)...)
			}
			if after := p.exposedPushed(t); after != before {
				t.Errorf("a dry run changed something:\n%s\nbefore:\n%s", after, before)
			}
			if len(c.gone)%2 == 0 {
				params = append(params, "dry_run", "false")
			}
			d := p.deleteBy(t, params...)
			d.want(t, false, slices.Clone(c.gone)...)
			for _, g := range d.Data.Groups {
				if g.LastPush == nil || g.Labels["job"] == "" {
					t.Errorf("%s is listed with the labels %v, last push %v", g.Path, g.Labels, g.LastPush)
				}
			}
			p.wantPaths(t, "after it", rest(c.gone...)...)
			p.deleteBy(t, params...).want(t, false)
		})
	}
	wantText(t, p.log.String(), "event=delete", `groups=9`)
}

// TestDeleteOlder: older_than counts from the last successful push, or, without one, from
// the last rejected push.
func TestDeleteOlder(t *testing.T) {
	t.Parallel()
	// The pushes in this file are long ago.
	file := filepath.Join(t.TempDir(), "f.db")
	writeFile(t, file, readFile(t, "../internal/journal/testdata/v1.5.1.store"))
	p := gateway(t, file, "--web.enable-admin-api")
	titan := "/metrics/job/titan/name/%CE%A0%CF%81%CE%BF/path@base64/L3Zhci90bXA"
	age := time.Since(*p.info(t, titan).LastPush)
	if age < time.Minute {
		t.Fatalf("the clock says that the recorded file is %v old", age)
	}
	p.push(t, http.MethodPut, "/metrics/job/backup/instance/new", "fresh 1\n")
	p.push(t, http.MethodPost, "/metrics/job/backup/instance/host-1", "")               // pushed again
	p.rejected(t, http.MethodPut, "/metrics/job/rejected/x/new", "m 1 1700000000000\n") // never pushed
	p.rejected(t, http.MethodPut, titan, "m 1 1700000000000\n", "timestamp")            // long ago, whatever was rejected since
	all := []string{
		"/metrics/job/backup", "/metrics/job/backup/instance/new", "/metrics/job/backup/instance/host-1",
		"/metrics/job/rejected", "/metrics/job/rejected/x/new", titan,
	}
	p.wantPaths(t, "at first", all...)

	every := []string{"match[]", `{job=~"backup|rejected"}`, "match[]", `{job="titan"}`, "older_than"}
	p.deleteBy(t, append(every, milliseconds(2*age))...).want(t, false)
	p.wantPaths(t, "after a DELETE of even older ones", all...)
	old := []string{"/metrics/job/backup", "/metrics/job/rejected", titan}
	p.deleteBy(t, append(every, milliseconds(age/2), "dry_run", "true")...).want(t, true, slices.Clone(old)...)
	p.deleteBy(t, every[0], every[1], "older_than", milliseconds(age/2)).want(t, false, old[:2]...)
	p.deleteBy(t, append(every, milliseconds(age/2))...).want(t, false, titan)
	p.wantPaths(t, "after a DELETE of old ones", without(all, old)...)
}

// TestDeleteManyGroups: the answer lists the first 100 groups, and scrapes see all or none.
func TestDeleteManyGroups(t *testing.T) {
	t.Parallel()
	const groups = 1500
	p := gateway(t, filepath.Join(t.TempDir(), "f.db"), "--web.enable-admin-api")
	p.pushGroups(t, "many", 0, groups)
	p.pushGroups(t, "other", 0, 3)
	for _, dry := range []string{"true", "false"} {
		var scrapes sync.WaitGroup
		counts := make(chan int, 10_000)
		stop := make(chan struct{})
		for range 2 {
			scrapes.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					a, err := p.try(http.MethodGet, "/metrics", "")
					if err != nil {
						t.Error(err)
						return
					}
					counts <- strings.Count(a.body, `job="many"`)
				}
			})
		}
		until(t, "scrapes go on", func() bool { return len(counts) > 2 })
		d := p.deleteBy(t, "match[]", `{job="many"}`, "dry_run", dry)
		done := len(counts)
		until(t, "scrapes go on", func() bool { return len(counts) > done+4 })
		close(stop)
		scrapes.Wait()
		close(counts)
		for n := range counts {
			if n != 3*groups && (n != 0 || dry == "true") {
				t.Errorf("dry_run=%s: a scrape saw %d series, which is a part of the groups", dry, n)
			}
		}
		if d.code != http.StatusOK || d.Data.Count != groups || len(d.Data.Groups) != 100 {
			t.Fatalf("dry_run=%s: status %d, count %d, %d listed, want %d and 100", dry, d.code, d.Data.Count, len(d.Data.Groups), groups)
		}
		seen := map[string]bool{}
		for _, g := range d.Data.Groups {
			if seen[g.Path] || g.Labels["job"] != "many" {
				t.Errorf("%s is listed twice or wrongly", g.Path)
			}
			seen[g.Path] = true
		}
	}
	p.wantJobs(t, "at last", "other")
	if got := p.selfMetric(t, "/metrics", "pushgateway_groups"); got != 3 {
		t.Errorf("%v groups are left, want 3", got)
	}
}

// TestDeleteRejected: a request that may be a mistake deletes nothing.
func TestDeleteRejected(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.enable-admin-api")
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	p.push(t, http.MethodPut, "/metrics/job/b", "m 1\n")
	before := p.exposedPushed(t)
	const a = `match[]=%7Bjob="a"%7D`
	for _, c := range []struct {
		query   string
		because []string
	}{
		{"", []string{"match[]"}},
		{"dry_run=true", []string{"match[]"}},
		{"older_than=1ms", []string{"match[]"}},
		{"match=" + `%7Bjob="a"%7D`, []string{"match"}},
		// Selectors that match everything, and misspelt parameters.
		{"match[]=", []string{"match[]"}},
		{"match[]=%7B%7D", []string{"{}", "require a label"}},
		{a + "&match[]=%7B%7D", []string{"require a label"}},
		{`match[]=%7Bjob=~".*"%7D`, []string{"require a label"}},
		{`match[]=%7Bjob!="x"%7D`, []string{"require a label"}},
		{`match[]=%7Bjob=""%7D`, []string{"require a label"}},
		{`match[]=%7Bjob="a"`, []string{"match[]"}},
		{`match[]=%7Bjob="a",%7D%7D`, []string{"match[]"}},
		{`match[]=job%3Da`, []string{"match[]"}},
		{a + "&older_then=24h", []string{"older_then"}},
		{a + "&search=a", []string{"search"}},
		{a + "&dryrun=true", []string{"dryrun"}},
		{a + "&ttl=1h", []string{"ttl"}},
		{a + "&limit=1", []string{"limit"}},
		// Invalid values.
		{a + "&older_than=soon", []string{"older_than"}},
		{a + "&older_than=1", []string{"older_than"}},
		{a + "&older_than=-1h", []string{"older_than"}},
		{a + "&older_than=0s", []string{"older_than"}},
		{a + "&dry_run=perhaps", []string{"dry_run"}},
	} {
		t.Run(c.query, func(t *testing.T) {
			d := p.deleteRaw(t, c.query)
			if d.code != http.StatusBadRequest {
				t.Errorf("status %d, want 400", d.code)
			}
			if d.Status != "error" || d.ErrorType != "bad_data" || d.Data != nil {
				t.Errorf("status %q, errorType %q, data %v; want error, bad_data, none", d.Status, d.ErrorType, d.Data)
			}
			wantText(t, d.Error, c.because...)
		})
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://example.org"}, {"Origin", "null"},
	} {
		t.Run(strings.Join(headers, " "), func(t *testing.T) {
			d := p.deleteRaw(t, a, headers...)
			if d.code != http.StatusForbidden || d.Status != "error" {
				t.Errorf("status %d %q, want 403 and error", d.code, d.Status)
			}
		})
	}
	if after := p.exposedPushed(t); after != before {
		t.Errorf("after rejected requests there is\n%s\nbefore there was\n%s", after, before)
	}
	if d := p.deleteRaw(t, a, "Origin", p.URL, "Sec-Fetch-Site", "same-origin"); d.code != http.StatusOK {
		t.Errorf("from a page of the gateway: status %d, %s", d.code, d.Error)
	}
}

// TestDeleteWithMalformedBound: a bound that is empty or got lost must not delete more
// than was meant.
func TestDeleteWithMalformedBound(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.enable-admin-api")
	for _, bound := range []string{
		"&older_than=", "&older_than", // from an empty variable
		"&older_than=%zz", "&older%zzthan=24h", "&older_than=24h%", "&dry_run=%zz", // bad percent-encoding
		"&older_than=24h;x=1", ";older_than=24h", "&dry_run=true;x=1", // semicolons separate nothing
	} {
		t.Run(bound, func(t *testing.T) {
			p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
			if d := p.deleteRaw(t, `match[]=%7Bjob="a"%7D`+bound); d.code != http.StatusBadRequest {
				t.Errorf("status %d, want 400", d.code)
			}
			p.wantPushed(t, "a", "m 1")
		})
	}
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	if a := p.do(t, http.MethodDelete, `/api/v1/groups?match[]=%7Bjob="a"%7D`, "older_than=24h"); a.status != http.StatusBadRequest {
		t.Errorf("with a bound in the body: status %d, want 400", a.status)
	}
	p.wantPushed(t, "a", "m 1")
	for _, twice := range []string{
		"&older_than=24h&older_than=1ms", "&older_than=1ms&older_than=24h",
		"&dry_run=true&dry_run=false", "&dry_run=false&dry_run=true",
	} {
		t.Run(twice, func(t *testing.T) {
			p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
			p.deleteRaw(t, `match[]=%7Bjob="a"%7D`+twice)
			p.wantPushed(t, "a", "m 1")
		})
	}
}

// TestDeleteNeedsAdminAPI: without the flag, DELETE by selector deletes nothing.
func TestDeleteNeedsAdminAPI(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	for _, dry := range []string{"true", "false"} {
		d := p.deleteBy(t, "match[]", `{job="a"}`, "dry_run", dry)
		if d.code != http.StatusNotFound || d.Status != "error" {
			t.Errorf("dry_run=%s: status %d %q, want 404", dry, d.code, d.Status)
		}
		wantText(t, d.Error, "--web.enable-admin-api")
	}
	p.wantPushed(t, "a", "m 1")
}

// TestDeleteBySelectorIsDurable: an answered DELETE survives a kill right after it.
func TestDeleteBySelectorIsDurable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	p := gateway(t, file, "--web.enable-admin-api")
	p.pushGroups(t, "a", 0, 300)
	p.pushGroups(t, "b", 0, 3)
	for round := range 3 {
		d := p.deleteBy(t,
			"match[]", fmt.Sprintf(`{job="a",instance=~"%d.*"}`, round+1),
			"match[]", fmt.Sprintf(`{job="b",instance="%d"}`, round))
		p.kill(t)
		if d.code != http.StatusOK || d.Data.Count < 12 {
			t.Fatalf("status %d, %s", d.code, toJSON(t, d.Data))
		}
		p = gateway(t, file, "--web.enable-admin-api")
		for _, g := range d.Data.Groups {
			if p.info(t, g.Path) != nil {
				t.Errorf("%s is back after a kill", g.Path)
			}
		}
	}
	var want []string
	for i := range 300 {
		if name := fmt.Sprint(i); name[0] < '1' || name[0] > '3' {
			want = append(want, "/metrics/job/a/instance/"+name)
		}
	}
	p.wantPaths(t, "at last", want...)
}

// TestDeleteOfOneGroup: DELETE of a path deletes the group with exactly these labels,
// whether or not the admin API is enabled.
func TestDeleteOfOneGroup(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--web.enable-admin-api"}} {
		p := start(t, args...)
		for _, path := range []string{"/metrics/job/a", "/metrics/job/a/instance/1", "/metrics/job/b"} {
			p.push(t, http.MethodPut, path, "m 1\n")
		}
		for _, path := range []string{"/metrics/job/none", "/metrics/job/a/instance/none"} {
			if a := p.do(t, http.MethodDelete, path, ""); a.status != http.StatusAccepted {
				t.Errorf("DELETE %s: status %d, want 202", path, a.status)
			}
		}
		p.wantPaths(t, "after a DELETE of none", "/metrics/job/a", "/metrics/job/a/instance/1", "/metrics/job/b")
		if a := p.do(t, http.MethodDelete, "/metrics/job/a?match[]=%7Bjob=\"b\"%7D", ""); a.status != http.StatusAccepted {
			t.Errorf("DELETE: status %d, want 202", a.status)
		}
		p.wantPaths(t, "after a DELETE of one", "/metrics/job/a/instance/1", "/metrics/job/b")
	}
}
