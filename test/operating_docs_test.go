package test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOperatingPage runs the commands of the page: those on a file, a backup, rules, and a path
// for the gateway's own metrics.
func TestOperatingPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(makeDir(t, dir, "data"), "pushgateway.db")
	p := gateway(t, file, "--web.enable-admin-api")
	p.push(t, http.MethodPut, "/metrics/job/backup", "backup_bytes 4096\n")
	_, code := operating.block(t, "run", "backup")
	t.Run("backup", func(t *testing.T) {
		for line := range strings.Lines(operating.replaced(t, code, printedAddr, p.Addr)) {
			into := t.TempDir()
			shell(t, into, "env", "PUSHGATEWAY_URL="+p.URL, "sh", "-e", "-c", line)
			restored := gateway(t, filepath.Join(into, "pushgateway.db"))
			wantText(t, restored.pushed(t), `backup_bytes{instance="",job="backup"} 4096`)
		}
	})
	p.end(t)

	check, dump, _ := strings.Cut(operating.runWith(t, "damaged", dir), "\n# ")
	operating.wantAnswer(t, "check", check)
	wantText(t, dump, "\nbackup_bytes{", "} 4096\n")

	_, rules := pushing.block(t, "file", "pushgateway.yml")
	path := filepath.Join(dir, "rules.yml")
	writeFile(t, path, []byte(rules))
	_, code = operating.block(t, "run", "rules")
	verify, begin, _ := strings.Cut(operating.replaced(t, code, "/etc/pushgateway/rules.yml", path), "\n")
	wantText(t, shell(t, dir, "sh", "-e", "-c", verify), path+": 5 rules")
	start(t, strings.Fields(begin)[1:]...)

	_, line := operating.block(t, "start", "own")
	wantText(t, start(t, strings.Fields(line)[1:]...).get(t, "/own"), "\npushgateway_groups 0\n")
}

// TestNginx puts nginx with the printed configuration in front of a gateway.
func TestNginx(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := start(t, "--web.external-url=http://"+addr+"/pushgateway/", "--web.enable-admin-api")
	dir := t.TempDir()
	_, location := operating.block(t, "file", "nginx.conf")
	writeFile(t, filepath.Join(dir, "nginx.conf"), []byte(`
daemon off;
user root;
pid nginx.pid;
error_log stderr;
worker_processes 1;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen `+addr+`;
		`+operating.replaced(t, location, "127.0.0.1:9091", p.Addr)+`
	}
}
`))
	nginx := launchAt(t, addr, exec.Command("nginx", "-p", dir, "-c", "nginx.conf", "-e", "stderr"))

	nginx.push(t, http.MethodPut, "/pushgateway/metrics/job/cleaner/path/%2Fvar%2Ftmp", "x 1\n")
	wantText(t, nginx.get(t, "/pushgateway/metrics"), `x{instance="",job="cleaner",path="/var/tmp"} 1`)
	wantText(t, nginx.get(t, "/pushgateway/api/v1/groups/job/cleaner/path/%2Fvar%2Ftmp"), `"source":"127.0.0.1 by 127.0.0.1:`)
	// Larger than what nginx lets through by default.
	nginx.push(t, http.MethodPut, "/pushgateway/metrics/job/large", "# "+strings.Repeat("x", 2<<20)+"\nx 1\n")
	// A browser sends the address that it knows in Origin.
	for origin, want := range map[string]int{nginx.URL: http.StatusOK, p.URL: http.StatusForbidden} {
		a := nginx.do(t, http.MethodPut, "/pushgateway/metrics/job/origin", "x 1\n", "Origin", origin)
		if a.status != want {
			t.Errorf("a request of a page of %s: %d %s, want %d", origin, a.status, a.body, want)
		}
	}
	wantText(t, nginx.get(t, "/pushgateway/"), "cleaner")
}
