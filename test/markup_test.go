package test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMarkup checks every page, as it is served, with the Nu HTML checker, which
// scripts/setup installs.
func TestMarkup(t *testing.T) {
	checker := filepath.Join(root, "dist", "vnu", "node_modules", "vnu-jar", "build", "dist", "vnu.jar")
	if _, err := os.Stat(checker); err != nil {
		t.Fatalf("run scripts/setup first: %v", err)
	}
	p := start(t, "--web.enable-admin-api", "--push.ttl=30d")
	folder := t.TempDir()
	pages := map[string]string{} // what each file is
	save := func(path string) {
		t.Helper()
		answer := p.do(t, http.MethodGet, path, "", "Accept", "text/html")
		name := fmt.Sprintf("%02d.html", len(pages))
		pages[name] = path
		if err := os.WriteFile(filepath.Join(folder, name), []byte(answer.body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save("/")
	pushExamples(t, p)
	p.push(t, "PUT", "/metrics/job/a", exampleHistogram+exampleSummary+"# HELP m <b>\nm{x=\"1\"} 1\n")
	p.push(t, "PUT", "/metrics/job/n", nativeHistogram(t), "Content-Type", protobufType)
	p.push(t, "PUT", "/metrics/job/expired?ttl=1s&ttl_keep=push_time", "m 1\n")
	p.push(t, "POST", "/metrics/job/summed?merge=sum", "# TYPE c_total counter\nc_total 1\n")
	p.rejected(t, "PUT", "/metrics/job/a", "m 1 1\n")
	p.rejected(t, "PUT", "/metrics/job/never", "m{ 1\n")
	p.rejected(t, "PUT", "/metrics/job/%ff", "m 1\n")
	p.rejected(t, "PUT", "/metrics/job/b/x/y/z%fe", "m 1\n")
	until(t, "the group has expired", func() bool { return strings.Contains(p.get(t, "/groups/job/expired"), ">expired") })
	for _, path := range []string{
		"/", "/?page=2&search=host", "/?search=%7Bjob", "/?search=nothing", "/?search=%ff", "/?state=failed&sort=-series&age=2h", "/?deleted=3",
		"/groups/job/a", "/groups/job/a?family=backup_table_duration_seconds", "/groups/job/a?search=m&from=search%3Da", "/groups/job/n",
		"/groups/job/expired", "/groups/job/summed", "/groups/job/never", "/groups/job/nobody", "/groups/job/%ff",
		"/status", "/help", "/delete?search=host", "/delete?group=job/a", "/delete?all=yes", "/delete", "/nowhere",
	} {
		save(path)
	}
	auth := filepath.Join(t.TempDir(), "auth.yml")
	_, hash := newToken(t)
	writeFile(t, auth, []byte("users: [{name: admin, bearer_token_sha256: "+hash+", allow: [admin]}]\n"))
	p = start(t, "--auth.file="+auth)
	for _, path := range []string{"/sign-in?next=status", "/", "/nowhere"} {
		save(path)
	}
	out, err := exec.Command("java", "-jar", checker, "--also-check-svg", "--stdout", folder).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		for name, path := range pages {
			line = strings.Replace(line, name, name+" ("+path+")", 1)
		}
		t.Error(strings.TrimSpace(line))
	}
	if err != nil && len(out) == 0 {
		t.Error(err)
	}
}
