package test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A commandCase calls the gateway's program as a client, and says what it must print and how it
// must exit.
type commandCase struct {
	args []string
	code int
	out  string   // as a regular expression, which must match all of the standard output
	err  []string // parts of the standard error; none if it must be empty
}

// wantCommand runs a case with the URL and other settings in the environment.
func wantCommand(t *testing.T, c commandCase, env ...string) {
	t.Helper()
	cmd := command(t, gatewayBinary(t), c.args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir()
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run() // the exit code says it
	if code := cmd.ProcessState.ExitCode(); code != c.code {
		t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, code, c.code, out.String(), errOut.String())
	}
	if !regexp.MustCompile("^(?:" + c.out + ")$").MatchString(out.String()) {
		t.Errorf("%v printed\n%q, want\n%q", c.args, out.String(), c.out)
	}
	wantText(t, errOut.String(), c.err...)
	if len(c.err) == 0 && errOut.Len() > 0 {
		t.Errorf("%v printed the error %s", c.args, errOut.String())
	}
}

// withGroups starts a gateway with some groups.
func withGroups(t *testing.T, args ...string) (p *program, url string) {
	t.Helper()
	p = start(t, append(args, "--web.enable-admin-api")...)
	p.push(t, http.MethodPut, "/metrics/job/backup/instance/db1?ttl=2h", "rows 3\n")
	p.push(t, http.MethodPut, "/metrics/job/backup/instance/db2", "# TYPE s histogram\ns_bucket{le=\"+Inf\"} 2\ns_count 2\ns_sum 5\n")
	p.push(t, http.MethodPut, "/metrics/job/two%20words%0A", "x{l=\"\x1b[31m\"} 1\n")
	p.rejected(t, http.MethodPut, "/metrics/job/bad", "x 1 1\n")
	return p, "PUSHGATEWAY_URL=" + p.URL
}

func TestGroupsCommand(t *testing.T) {
	t.Parallel()
	_, url := withGroups(t)
	title := `STATE   GROUP                          PUSHED +EXPIRES  SERIES +SIZE\n`
	age := `(?:just now|\d+ s ago) +`
	db1 := `ok      {instance="db1",job="backup"}  ` + age + `in 2 h        3  \d+ B\n`
	db2 := `ok      {instance="db2",job="backup"}  ` + age + `never         3  \d+ B\n`
	for _, c := range []commandCase{
		{args: []string{"groups"}, out: title + db1 + db2 +
			`failed  {job="bad"}                    never +never +2 +\d+ B\n` +
			`ok      {job="two words\\n"}            ` + age + `never +3 +\d+ B\n` + `4 groups: 1 failed, 3 ok\n`},
		{args: []string{"groups", `{job="backup"}`, "-o", "lines"},
			out: "/metrics/job/backup/instance/db1\n/metrics/job/backup/instance/db2\n"},
		{args: []string{"groups", "--limit=1", "--sort=-labels", "--output=lines"}, out: "/metrics/job/two%20words%0A\n"},
		{args: []string{"groups", "--limit=1"}, out: "(?s).*\n1 of 4 groups: 1 failed, 3 ok\n"},
		{args: []string{"groups", "--state=failed", "--output=lines"}, out: "/metrics/job/bad\n"},
		{args: []string{"groups", "--search=db2", "--output=lines"}, out: "/metrics/job/backup/instance/db2\n"},
		{args: []string{"groups", `{job="bad"}`, `{instance="db1"}`, "--output=lines"},
			out: "/metrics/job/backup/instance/db1\n/metrics/job/bad\n"},
		{args: []string{"groups", `{job="none"}`}, out: "0 groups\n"},
		{args: []string{"groups", `{job="none"}`, "--output=json"}, out: `\[\]\n`},
		{args: []string{"groups", `{job="bad"}`, "--output=json"},
			out: `(?s)\[\n  {\n    "labels": {\n      "job": "bad"\n.*"state": "failed",.*\n\]\n`},
		{args: []string{"groups", "job=backup"}, code: 1, err: []string{"400: ", "not a PromQL selector"}},
		{args: []string{"groups", "--sort=size"}, code: 1, err: []string{"400: ", "size"}},
		{args: []string{"groups", "--output=xml"}, code: 2, err: []string{"table,json,lines"}},
	} {
		wantCommand(t, c, url)
	}
}

// TestGroupsCommandManyRequests lists more groups than one response has.
func TestGroupsCommandManyRequests(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.pushGroups(t, "many", 0, 2345)
	for _, args := range [][]string{nil, {"--limit=2100"}} {
		cmd := command(t, gatewayBinary(t), append([]string{"groups", "--output=lines", "--url=" + p.URL}, args...)...)
		want := 2345
		if args != nil {
			want = 2100
		}
		lines := strings.Split(result(t, cmd), "\n")
		slices.Sort(lines)
		if n := len(slices.Compact(lines)); n != want {
			t.Errorf("%v lists %d groups, want %d", args, n, want)
		}
	}
}

func TestShowCommand(t *testing.T) {
	t.Parallel()
	_, url := withGroups(t)
	pushTimes := `push_failure_time_seconds{instance="db2",job="backup"} 0\npush_time_seconds{instance="db2",job="backup"} \S+\n`
	sample := `s{instance="db2",job="backup"} count=2 sum=5\n`
	for _, group := range []string{
		`{job="backup",instance="db2"}`, `{ instance = "db2", job = 'backup' }`, "job/backup/instance/db2", "/metrics/job/backup/instance/db2",
	} {
		wantCommand(t, commandCase{args: []string{"show", group, "--output=lines"}, out: pushTimes + sample}, url)
	}
	for _, c := range []commandCase{
		{args: []string{"show", "job/backup/instance/db2"},
			out: `GROUP    {instance="db2",job="backup"}\nstate    ok\npushed   .*\nexpires  never\n` +
				`series   3\nsize     \d+ B\n\nRECENT PUSHES  METHOD  RESULT    FROM +CLIENT\n` +
				`.*  PUT     accepted  127.0.0.1:\d+  Go-http-client/1.1\n\n` +
				pushTimes + sample},
		{args: []string{"show", "job/bad"},
			out: `(?s)GROUP     {job="bad"}\nstate     failed\npushed    never\nrejected  .*\n` +
				`because   timestamp: a sample of "x" has the timestamp .*` +
				`rejected: timestamp .*`},
		{args: []string{"show", "job/two%20words%0A", "-o", "lines"}, out: `(?s).*x{instance="",job="two words\\n",l="\\x1b\[31m"} 1\n`},
		{args: []string{"show", "job/bad", "--output=json"},
			out: `(?s){\n  "labels": {\n    "job": "bad"\n  },.*"pushes": \[.*"metrics": {.*}\n`},
		{args: []string{"show", "job/none"}, code: 1, err: []string{"404: no group has exactly the labels"}},
		{args: []string{"show", `{job=~"b.*"}`}, code: 2, err: []string{"pushgateway groups"}},
		{args: []string{"show", `{instance="db1"}`}, code: 2, err: []string{"names no job"}},
		{args: []string{"show", "backup"}, code: 2, err: []string{"names no group"}},
	} {
		wantCommand(t, c, url)
	}
}

func TestDeleteCommand(t *testing.T) {
	t.Parallel()
	p, url := withGroups(t)
	for _, c := range []commandCase{
		{args: []string{"delete", `{job="backup"}`, "--dry-run"},
			out: `GROUP +PUSHED\n{instance="db1",job="backup"}  .*\n{instance="db2",job="backup"}  .*\n` +
				"2 groups would be deleted\n"},
		{args: []string{"delete", `{job="backup"}`, "--dry-run", "--output=json"},
			out: `(?s){\n  "count": 2,\n  "dry_run": true,\n  "groups": .*}\n`},
		{args: []string{"delete", `{job="backup"}`, "--yes", "--older-than=1h"}, out: "0 groups deleted\n"},
		{args: []string{"delete", `{job="backup"}`, "--yes", "--older-than=1x"}, code: 1, err: []string{"older_than"}},
		{args: []string{"delete", `{job="backup"}`}, code: 2, err: []string{"no terminal to ask on: give --yes"}},
		{args: []string{"delete", "--yes"}, code: 2, err: []string{"'selector'"}},
		{args: []string{"delete", "{}", "--yes"}, code: 1, err: []string{"400: ", "it must also require a label"}},
	} {
		wantCommand(t, c, url)
	}
	p.wantJobs(t, "before the deletion", "backup", "bad", "two words\\n")
	wantCommand(t, commandCase{args: []string{"delete", `{instance="db1"}`, "--yes", "-o", "lines"},
		out: "/metrics/job/backup/instance/db1\n"}, url)
	wantCommand(t, commandCase{args: []string{"delete", `{job="backup"}`, `{job="bad"}`, "--yes"}, out: "2 groups deleted\n"}, url)
	p.wantJobs(t, "after the deletion", "two words\\n")

	wantCommand(t, commandCase{args: []string{"wipe"}, code: 2, err: []string{"give --yes"}}, url)
	p.wantJobs(t, "after a wipe that was not confirmed", "two words\\n")
	wantCommand(t, commandCase{args: []string{"wipe", "--yes"}, out: "all groups deleted\n"}, url)
	p.wantJobs(t, "after the wipe")
}

// onTerminal runs the program on a terminal on which somebody types, and returns what they see.
func onTerminal(t *testing.T, typed string, env []string, args ...string) (output string, code int) {
	t.Helper()
	line := gatewayBinary(t)
	for _, arg := range args {
		line += " '" + arg + "'"
	}
	cmd := command(t, "script", "-qec", line, "/dev/null")
	cmd.Env = append(append(os.Environ(), "TERM=xterm"), env...)
	// A terminal gets the answer when the question is there: what is typed earlier is echoed
	// before it, but not lost.
	cmd.Stdin = strings.NewReader(typed)
	return runToEnd(t, cmd)
}

// TestCommandsOnTerminal: destructive commands ask, and there are colors unless $NO_COLOR is set.
func TestCommandsOnTerminal(t *testing.T) {
	t.Parallel()
	p, url := withGroups(t)
	for _, typed := range []string{"n\n", "\n", "\x04"} {
		for _, args := range [][]string{{"delete", `{job="backup"}`}, {"wipe"}} {
			out, code := onTerminal(t, typed, []string{url}, args...)
			if code != 1 {
				t.Errorf("%v with the answer %q: exit code %d, want 1\n%s", args, typed, code, out)
			}
			wantText(t, out, " [y/N] ", "nothing was changed")
		}
	}
	p.wantJobs(t, "after three times no", "backup", "bad", "two words\\n")

	out, _ := onTerminal(t, "", []string{url, "NO_COLOR="}, "groups")
	wantText(t, out, "\x1b[32mok\x1b[0m      {", "\x1b[31mfailed\x1b[0m  {", "4 groups: \x1b[31m1 failed\x1b[0m, \x1b[32m3 ok\x1b[0m")
	if out, _ := onTerminal(t, "", []string{url, "NO_COLOR=1"}, "groups"); strings.Contains(out, "\x1b") {
		t.Errorf("colors in spite of NO_COLOR: %q", out)
	}

	out, code := onTerminal(t, "y\n", []string{url}, "delete", `{job="backup"}`)
	if code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	wantText(t, out, `{instance="db2",job="backup"}`, "Delete 2 groups from "+p.URL+"? [y/N] ", "2 groups deleted")
	p.wantJobs(t, "after the first yes", "bad", "two words\\n")
	out, code = onTerminal(t, "yes\n", []string{url}, "wipe")
	if code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	wantText(t, out, "Delete all 2 groups of "+p.URL+"? [y/N] ", "all groups deleted")
	p.wantJobs(t, "after the second yes")
}

func TestBackupCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := gateway(t, filepath.Join(dir, "original.db"), "--web.enable-admin-api")
	url := "PUSHGATEWAY_URL=" + p.URL
	p.push(t, http.MethodPut, "/metrics/job/kept", "x 1\n")
	file := filepath.Join(dir, "backup.db")
	writeFile(t, file, []byte("an older backup"))
	wantCommand(t, commandCase{args: []string{"backup", file}, out: regexp.QuoteMeta(file) + `: \d+.* (KiB|B)\n`}, url)
	out, _, code := runSubcommand(t, "dump", file)
	if code != 0 {
		t.Errorf("the backup cannot be read: exit code %d", code)
	}
	wantText(t, out, `x{instance="",job="kept"} 1`)

	cmd := command(t, gatewayBinary(t), "backup", "-", "--url="+p.URL)
	content, err := cmd.Output()
	if err != nil || string(content) != string(readFile(t, file)) {
		t.Errorf("the backup on the standard output has %d bytes and differs from the file (%v)", len(content), err)
	}

	wantCommand(t, commandCase{args: []string{"backup", filepath.Join(dir, "none", "b.db")}, code: 1, err: []string{"no such file"}}, url)
	memory := start(t, "--web.enable-admin-api")
	wantCommand(t, commandCase{args: []string{"backup", file, "--url=" + memory.URL}, code: 1, err: []string{"in memory only"}})
	disabled := start(t)
	wantCommand(t, commandCase{args: []string{"backup", file, "--url=" + disabled.URL}, code: 1, err: []string{"--web.enable-admin-api"}})
	if string(readFile(t, file)) != string(content) {
		t.Error("a failed backup has changed the file")
	}
	wantLines(t, "files", names(t, dir), []string{"backup.db", "original.db"})
}

func TestReloadCommand(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules.yml")
	writeFile(t, rules, []byte("rules: []\n"))
	p := start(t, "--config.file="+rules, "--web.enable-lifecycle")
	url := "PUSHGATEWAY_URL=" + p.URL
	wantCommand(t, commandCase{args: []string{"reload"}, out: "reloaded\n"}, url)
	writeFile(t, rules, []byte("rules: [{}]\n"))
	wantCommand(t, commandCase{args: []string{"reload"}, code: 1, err: []string{"line 1: rule 1: match: missing", "stay in use"}}, url)
	if n := strings.Count(p.log.String(), "match: missing"); n != 1 {
		t.Errorf("the gateway has tried %d times, want once", n)
	}
	wantCommand(t, commandCase{args: []string{"reload", "--url=" + start(t).URL}, code: 1, err: []string{"--web.enable-lifecycle"}})
}

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	p := gateway(t, filepath.Join(t.TempDir(), "metrics.db"), "--push.ttl=7d")
	url := "PUSHGATEWAY_URL=" + p.URL
	p.push(t, http.MethodPut, "/metrics/job/a", "x 1\n")
	p.rejected(t, http.MethodPut, "/metrics/job/b", "x 1 1\n")
	wantCommand(t, commandCase{args: []string{"status", "--output=lines"},
		out: `(?s)version=\S+\nstarted=\S+Z\ngroups=2\ngroups_ok=1\ngroups_failed=1\ngroups_old=0\n` +
			`durable=yes\nfile=\S+metrics.db\nfile_size=\d+\nlast_commit=\S+Z\n.*--push.ttl=1w\n.*`}, url)
	wantCommand(t, commandCase{args: []string{"status"},
		out: `(?s)GATEWAY +http://127.*\nstarted +.* \(.*\)\n.*groups_failed +1\n.*durable +yes\n.*`}, url)
	cmd := command(t, gatewayBinary(t), "status", "--output=json", "--url="+p.URL)
	var status struct{ Storage struct{ Durable bool } }
	if err := json.Unmarshal([]byte(result(t, cmd)), &status); err != nil || !status.Storage.Durable {
		t.Errorf("the status is not durable: %+v, %v", status, err)
	}
}

// TestCommandsNeedRights: commands say what a credential lacks.
func TestCommandsNeedRights(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token, hash := newToken(t)
	auth, tokenFile := filepath.Join(dir, "auth.yml"), filepath.Join(dir, "token")
	writeFile(t, auth, []byte("users:\n  - {name: ci, bearer_token_sha256: "+hash+", allow: [read, delete], match: '{team=\"a\"}'}\n"+
		"anonymous: {allow: [push, scrape]}\n"))
	writeFile(t, tokenFile, []byte(token+"\n"))
	p := start(t, "--auth.file="+auth, "--web.enable-admin-api", "--web.enable-lifecycle")
	p.push(t, http.MethodPut, "/metrics/job/x/team/a", "x 1\n")
	p.push(t, http.MethodPut, "/metrics/job/x/team/b", "x 1\n")
	url, credential := "PUSHGATEWAY_URL="+p.URL, "PUSHGATEWAY_BEARER_TOKEN_FILE="+tokenFile
	for _, c := range []commandCase{
		{args: []string{"groups"}, code: 1, err: []string{"401: ", "--bearer-token-file"}},
		{args: []string{"groups", "--username=ci"}, code: 1, err: []string{"401: "}},
		{args: []string{"delete", "--yes", `{job="x"}`}, code: 1, err: []string{"401: ", "--bearer-token-file"}},
		{args: []string{"healthcheck"}, out: "healthy\n"},
	} {
		wantCommand(t, c, url)
	}
	for _, c := range []commandCase{
		{args: []string{"groups", "--output=lines"}, out: "/metrics/job/x/team/a\n"},
		{args: []string{"wipe", "--yes"}, code: 1, err: []string{"403: ", "ci lacks the right admin"}},
		{args: []string{"backup", "b.db"}, code: 1, err: []string{"403: ", "ci lacks the right admin"}},
		{args: []string{"reload"}, code: 1, err: []string{"403: ", "ci lacks the right admin"}},
		{args: []string{"delete", "--dry-run", `{job="x"}`},
			out: `(?s)GROUP.*1 group would be deleted; of those that match, you may delete only {team="a"}\n`},
		{args: []string{"delete", "--yes", `{job="x"}`}, out: `1 group deleted; of those that match, you may delete only {team="a"}\n`},
	} {
		wantCommand(t, c, url, credential)
	}
	wantLines(t, "what is left", samplesOf(t, p.get(t, "/metrics")), []string{`x{instance="",job="x",team="b"} 1`})
}

// TestCommandsOtherServers: commands say so if the server is another one.
func TestCommandsOtherServers(t *testing.T) {
	t.Parallel()
	upstream := launch(t, exec.Command("prometheus-pushgateway", "--web.listen-address=127.0.0.1:0", "--web.enable-admin-api"))
	upstream.push(t, http.MethodPut, "/metrics/job/a", "x 1\n")
	victoria := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Server-Hostname", "vm")
		http.Error(w, "unsupported path requested: "+r.URL.Path, http.StatusBadRequest)
	}))
	defer victoria.Close()
	for _, server := range []struct{ url, name string }{
		{upstream.URL, "the Prometheus Pushgateway"}, {victoria.URL, "VictoriaMetrics"},
	} {
		for _, c := range []commandCase{
			{args: []string{"groups"}, err: []string{"cannot list its groups"}},
			{args: []string{"show", "job/a"}, err: []string{"cannot show one group"}},
			{args: []string{"delete", `{job="a"}`, "--yes"}, err: []string{"cannot delete groups by a selector"}},
			{args: []string{"backup", "b.db"}, err: []string{"cannot send backups"}},
			{args: []string{"reload"}, err: []string{"cannot reload files"}},
		} {
			c.code = 1
			c.err = append(c.err, server.url+" is "+server.name)
			wantCommand(t, c, "PUSHGATEWAY_URL="+server.url)
		}
	}
	url := "PUSHGATEWAY_URL=" + victoria.URL
	wantCommand(t, commandCase{args: []string{"wipe", "--yes"},
		code: 1, err: []string{"is VictoriaMetrics, which cannot delete all groups"}}, url)
	wantCommand(t, commandCase{args: []string{"status"}, code: 1, err: []string{"is VictoriaMetrics, which cannot describe itself"}}, url)
	wantCommand(t, commandCase{args: []string{"healthcheck"}, code: 1, err: []string{"unsupported path"}}, url)

	url = "PUSHGATEWAY_URL=" + upstream.URL
	wantCommand(t, commandCase{args: []string{"status"}, out: `(?s)GATEWAY.*\nversion +1\..*`}, url)
	wantCommand(t, commandCase{args: []string{"healthcheck", "--ready"}, out: "ready\n"}, url)
	wantCommand(t, commandCase{args: []string{"wipe", "--yes"}, out: "all groups deleted\n"}, url)
	if metrics := upstream.get(t, "/metrics"); strings.Contains(metrics, `job="a"`) {
		t.Error("the group is still there")
	}
	closed := launch(t, exec.Command("prometheus-pushgateway", "--web.listen-address=127.0.0.1:0"))
	wantCommand(t, commandCase{args: []string{"wipe", "--yes"},
		code: 1, err: []string{"--web.enable-admin-api"}}, "PUSHGATEWAY_URL="+closed.URL)
}

func TestHealthcheckCommand(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.route-prefix=/prefix")
	for _, c := range []commandCase{
		{args: []string{"healthcheck", "--url=" + p.URL + "/prefix"}, out: "healthy\n"},
		{args: []string{"healthcheck", "--url=" + p.Addr + "/prefix/", "--ready"}, out: "ready\n"},
		{args: []string{"healthcheck", "--url=" + p.URL}, code: 1, err: []string{"404: "}},
		{args: []string{"healthcheck", "--url=http://127.0.0.1:1"}, code: 1, err: []string{"connection refused"}},
		{args: []string{"healthcheck", "--url=ftp://127.0.0.1:1"}, code: 2, err: []string{"http:// or https://"}},
	} {
		wantCommand(t, c)
	}

	silent := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/-/healthy") {
			<-silent
		}
		http.Error(w, "first line\nsecond line", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	defer close(silent)
	wantCommand(t, commandCase{args: []string{"healthcheck", "--timeout=100ms", "--url=" + server.URL},
		code: 1, err: []string{"no response in time"}})
	_, reason, code := runSubcommand(t, "healthcheck", "--ready", "--url="+server.URL)
	if code != 1 || strings.Count(reason, "\n") != 1 || !strings.Contains(reason, "503: first line") {
		t.Errorf("exit code %d and the reason %q, want 1 and one line", code, reason)
	}
}

// TestHealthcheckSecured checks a gateway with TLS and passwords.
func TestHealthcheckSecured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	hash, _, _ := auth(t, "secret\n", "hash", "--cost=4")
	writeFile(t, filepath.Join(dir, "web.yml"), []byte("tls_server_config: {cert_file: server.crt, key_file: server.key}\n"+
		"basic_auth_users: {probe: \""+strings.TrimSpace(hash)+"\"}\n"))
	writeFile(t, filepath.Join(dir, "password"), []byte("secret\n"))
	p := start(t, "--web.config.file="+filepath.Join(dir, "web.yml"))
	url, ca := "--url=https://"+p.Addr, "--tls.ca-file="+filepath.Join(dir, "server.crt")
	password := "--password-file=" + filepath.Join(dir, "password")
	for _, c := range []commandCase{
		{args: []string{"healthcheck", url, ca, "--username=probe", password}, out: "healthy\n"},
		{args: []string{"healthcheck", url, "--tls.insecure-skip-verify", "--username=probe", password}, out: "healthy\n"},
		{args: []string{"healthcheck", url, "--username=probe", password},
			code: 1, err: []string{"certificate"}},
		{args: []string{"healthcheck", url, ca}, code: 1, err: []string{"401"}},
		{args: []string{"healthcheck", "--url=http://" + p.Addr}, code: 1, err: []string{"400"}},
	} {
		wantCommand(t, c)
	}
}
