package test

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// auth runs pushgateway auth with the input and returns what it printed.
func auth(t *testing.T, input string, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := exec.Command(gatewayBinary(t), append([]string{"auth"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	_ = cmd.Run() // the code tells
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// newToken makes a token and its hash.
func newToken(t *testing.T) (token, hash string) {
	t.Helper()
	out, _, code := auth(t, "", "token")
	found := regexp.MustCompile(`^token: (pgw_[0-9a-f]{64})\nbearer_token_sha256: ([0-9a-f]{64})\n$`).FindStringSubmatch(out)
	if code != 0 || found == nil {
		t.Fatalf("auth token: exit code %d, printed %s", code, out)
	}
	return found[1], found[2]
}

func TestAuthCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hash, _, _ := auth(t, "open sesame\n", "hash", "--cost=4")
	token, tokenHash := newToken(t)
	file := filepath.Join(dir, "auth.yml")
	writeFile(t, file, []byte(fmt.Sprintf(`
users:
  - {name: checkout-ci, bearer_token_sha256: %s, allow: [push, delete], match: '{team="checkout"}'}
  - {name: alice, password_bcrypt: "%s", allow: [read, admin]}
anonymous: {allow: [scrape]}
`, tokenHash, strings.TrimSpace(hash))))
	bad := filepath.Join(dir, "bad.yml")
	writeFile(t, bad, []byte("users:\n  - name: a\n    allow: [fly]\n"))
	for _, c := range []struct {
		args     []string
		code     int
		out, err string
	}{
		{
			[]string{"check", file}, 0, "auth.yml: 2 users\ncheckout-ci: may push, delete for {team=\"checkout\"}\n" +
				"alice: may read, admin\nanonymous: may scrape\n", "",
		},
		{[]string{"check", file, "--as", "checkout-ci", "PUT", "/metrics/job/x/team/checkout"}, 0, "allowed: checkout-ci may push", ""},
		{
			[]string{"check", file, "--as", "checkout-ci", "put", "/with/ttl=1h/metrics/job/x/team/checkout"}, 0,
			"allowed: checkout-ci may push", "",
		},
		{
			[]string{"check", file, "--as", "checkout-ci", "PUT", "/metrics/job/x"}, 1,
			`not allowed (403): checkout-ci lacks the right push for the group {job="x"}`, "",
		},
		{[]string{"check", file, "--as", "anonymous", "GET", "/"}, 1, "not allowed (401): this needs the right read", ""},
		{[]string{"check", file, "--as", "anonymous", "GET", "/-/healthy"}, 0, "allowed: everybody may", ""},
		{[]string{"check", file, "--as", "alice", "PUT", "/api/v1/admin/wipe"}, 0, "needs the right admin\nallowed: alice may read, admin", ""},
		{[]string{"check", file, "--as", "bob", "GET", "/"}, 1, "", "there is no user bob; the users are: checkout-ci, alice"},
		{[]string{"check", file, "--as", "alice", "GET", "/nowhere"}, 2, "", "serves no GET /nowhere"},
		{[]string{"check", file, "--as", "alice"}, 2, "", "usage: "},
		{[]string{"check", bad}, 1, "", "bad.yml: line 3: user a: allow: fly is not a right"},
		{[]string{"check", filepath.Join(dir, "none")}, 1, "", "no such file"},
		{[]string{"hash", "--cost=31"}, 1, "", "the maximum is 15"},
		{[]string{"fly"}, 2, "", "auth --help"},
	} {
		out, errOut, code := auth(t, "x\n", c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errOut, c.err) {
			t.Errorf("auth %v: exit code %d, printed\n%s%s", c.args, code, out, errOut)
		}
	}
	if _, errOut, code := auth(t, "\n", "hash"); code != 1 || !strings.Contains(errOut, "the password is empty") {
		t.Errorf("an empty password: %d %s", code, errOut)
	}

	// What the commands print is what a gateway takes.
	p := start(t, "--auth.file="+file, "--web.enable-admin-api")
	for _, c := range []struct {
		method, path, authorization string
		want                        int
	}{
		{"PUT", "/metrics/job/x/team/checkout", "Bearer " + token, 200},
		{"PUT", "/metrics/job/x/team/billing", "Bearer " + token, 403},
		{"GET", "/", "Bearer " + token, 403},
		{"GET", "/", basicAuth("alice", "open sesame"), 200},
		{"GET", "/", basicAuth("alice", "open barley"), 401},
		{"GET", "/metrics", "", 200},
		{"GET", "/", "", 401},
		{"GET", "/-/ready", "", 200},
		{"PUT", "/api/v1/admin/wipe", basicAuth("alice", "open sesame"), 202},
	} {
		var headers []string
		if c.authorization != "" {
			headers = []string{"Authorization", c.authorization}
		}
		if a := p.do(t, c.method, c.path, "", headers...); a.status != c.want {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.status, a.body, c.want)
		}
	}
	until(t, "the log has the wipe", func() bool { return strings.Contains(p.log.String(), "event=wipe") })
	for _, want := range []string{"msg=audit", "user=alice", "event=denied", `event="authentication failed"`} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	for _, secret := range []string{token, tokenHash, "sesame", "barley", "$2a$"} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log has the secret %s", secret)
		}
	}
}

func basicAuth(user, password string) string {
	r, _ := http.NewRequest("GET", "/", nil) // never fails
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestAuthFileIsReloadedOnHangup(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "auth.yml")
	token, hash := newToken(t)
	write := func(allow string) {
		writeFile(t, file, []byte("users: [{name: a, bearer_token_sha256: "+hash+", allow: ["+allow+"]}]"))
	}
	write("push")
	p := start(t, "--auth.file="+file)
	status := func() int {
		return p.do(t, "PUT", "/metrics/job/x", "", "Authorization", "Bearer "+token).status
	}
	if got := status(); got != 200 {
		t.Fatalf("before: %d", got)
	}
	write("nonsense")
	hangup := func(message string) {
		t.Helper()
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, message, func() bool { return strings.Contains(p.log.String(), message) })
	}
	hangup("msg=audit event=reload signal=SIGHUP succeeded=false")
	wantText(t, p.log.String(), "auth file not reloaded, the previous one stays in use")
	if got := status(); got != 200 {
		t.Errorf("after a failed reload: %d", got)
	}
	write("scrape")
	hangup("msg=audit event=reload signal=SIGHUP succeeded=true")
	wantText(t, p.log.String(), "auth file reloaded")
	if got := status(); got != 403 {
		t.Errorf("after the reload: %d", got)
	}
}

func TestAWrongAuthFileStopsTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "auth.yml")
	writeFile(t, file, []byte("users:\n  - name: a\n    password: x\n"))
	cmd := exec.Command(gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file=", "--auth.file="+file)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "line 3: unknown key password") {
		t.Errorf("%v %s", err, out)
	}
}

func TestUsersInTwoFilesStopTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authFile, webFile := filepath.Join(dir, "auth.yml"), filepath.Join(dir, "web.yml")
	writeFile(t, authFile, []byte("anonymous: {allow: [push]}"))
	writeFile(t, webFile, []byte("basic_auth_users: {a: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}"))
	wantText(t, startFails(t, "--auth.file="+authFile, "--web.config.file="+webFile), "basic_auth_users, which do not go with --auth.file")
}
