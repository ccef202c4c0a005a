package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRunSpoolOnFullDisk: a spool on a full disk costs the result but not the job, leaves no
// partial file, and works again once there is space.
func TestRunSpoolOnFullDisk(t *testing.T) {
	t.Parallel()
	p := start(t)
	disk := smallDisk(t, 1<<20)
	spool := filepath.Join(disk, "spool")
	if err := os.Mkdir(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	free := fill(t, disk)
	for _, status := range []string{"0", "7"} {
		out, code := runToEnd(t, runJob(t, unreachable(t), "--spool="+spool, "--push-timeout=300ms", "--", "sh", "-c", "exit "+status))
		if want := int(status[0] - '0'); code != want {
			t.Errorf("exit code %d, want %d", code, want)
		}
		wantText(t, out, "no space left on device")
	}
	if left := names(t, spool); len(left) != 0 {
		t.Errorf("left on the full disk: %v", left)
	}
	free()
	if _, code := runToEnd(t, runJob(t, unreachable(t), "--spool="+spool, "--push-timeout=300ms", "--", "false")); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if left := names(t, spool); len(left) != 2 {
		t.Errorf("kept once there is space: %v", left)
	}
	fill(t, disk)
	if out, code := runToEnd(t, runJob(t, p.URL, "--spool="+spool, "--", "true")); code != 0 || out != "" {
		t.Errorf("exit code %d: %s", code, out)
	}
	wantText(t, p.get(t, "/metrics"), `job_runs_total{instance="",job="j",result="failure",totals="run"} 1`+"\n",
		`job_runs_total{instance="",job="j",result="success",totals="run"} 1`+"\n")
}

// TestRunAndPushSecured: run and push use bearer tokens and check certificates.
func TestRunAndPushSecured(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir)
	token, hash := newToken(t)
	auth, web, tokenFile := filepath.Join(dir, "auth.yml"), filepath.Join(dir, "web.yml"), filepath.Join(dir, "token")
	writeFile(t, auth, []byte("users: [{name: ci, bearer_token_sha256: "+hash+", allow: [push], match: '{job=\"j\"}'}]\n"+
		"anonymous: {allow: [scrape]}\n"))
	writeFile(t, web, []byte("tls_server_config: {cert_file: server.crt, key_file: server.key}\n"))
	writeFile(t, tokenFile, []byte(token+"\n"))
	withAuth, withTLS := start(t, "--auth.file="+auth), start(t, "--web.config.file="+web)
	url, bearer := "--url="+withAuth.URL, "--bearer-token-file="+tokenFile
	secure, ca := "--url=https://"+withTLS.Addr, "--tls.ca-file="+filepath.Join(dir, "server.crt")
	for _, c := range []struct {
		name      string
		args      []string
		run, push int // exit statuses
		says      string
	}{
		{"token", []string{url, bearer}, 4, 0, ""},
		{"no token", []string{url}, 4, 1, "401"},
		{"certificate", []string{secure, ca}, 4, 0, ""},
		{"unknown certificate", []string{secure, "--push-timeout=5s"}, 4, 1, "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"run", "--job=j"}, c.args...)
			out, code := runToEnd(t, exec.Command(gatewayBinary(t), append(args, "--", "sh", "-c", "exit 4")...))
			if code != c.run || c.says == "" && out != "" {
				t.Errorf("run: exit code %d, want %d: %s", code, c.run, out)
			}
			wantText(t, out, c.says)
			args = append([]string{"push", "--job=j", "--label=by=push", "--metric=a=1"}, c.args...)
			out, code = runToEnd(t, exec.Command(gatewayBinary(t), args...))
			if code != c.push || c.says == "" && out != "" {
				t.Errorf("push: exit code %d, want %d: %s", code, c.push, out)
			}
			wantText(t, out, c.says)
		})
	}
	wantText(t, withAuth.get(t, "/metrics"), `a{by="push",instance="",job="j"} 1`, `job_last_exit_code{instance="",job="j"} 4`)
}
