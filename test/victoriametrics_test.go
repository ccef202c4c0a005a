package test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVictoriaMetrics pushes to a VictoriaMetrics, which the commands recognize: they do not ask
// it for what it cannot do.
func TestVictoriaMetrics(t *testing.T) {
	t.Parallel()
	binary, err := filepath.Abs(filepath.Join(root, "dist/victoria-metrics"))
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	p := launchAt(t, addr, exec.Command(binary, "-httpListenAddr="+addr, "-storageDataPath=data", "-memory.allowedBytes=64MiB"))
	base := p.URL + "/api/v1/import/prometheus"
	url := "PUSHGATEWAY_URL=" + base
	for _, c := range []commandCase{
		{args: []string{"push", "--job=backup", "--label=database=orders", "--metric=backup_bytes=4096"}},
		{args: []string{"run", "--job=nightly", "--", "true"}},
		{args: []string{"push", "--job=backup", "--ttl=2d", "--metric=x=1"}, code: 1,
			err: []string{base + " is VictoriaMetrics, which does not know ttl: nothing was pushed"}},
		{args: []string{"groups"}, code: 1, err: []string{base + " is VictoriaMetrics, which cannot list its groups"}},
		{args: []string{"delete", `{job="backup"}`, "--yes"}, code: 1,
			err: []string{"is VictoriaMetrics, which cannot delete groups by a selector"}},
	} {
		wantCommand(t, c, url)
	}
	var stored string
	until(t, "what was pushed is stored", func() bool {
		p.get(t, "/internal/force_flush") // makes it visible to queries
		stored = p.get(t, `/api/v1/export?match[]={job!=""}`)
		return strings.Contains(stored, `"backup_bytes"`) && strings.Contains(stored, `"job_last_exit_code"`)
	})
	wantText(t, stored, `{"metric":{"__name__":"backup_bytes","job":"backup","database":"orders"},"values":[4096]`)
	if strings.Contains(stored, "job_runs_total") {
		t.Errorf("a counter that does not add up there was pushed:\n%s", stored)
	}
	if a := p.do(t, http.MethodGet, `/api/v1/export?match[]=x`, ""); a.body != "" {
		t.Errorf("the push with an option was sent: %s", a.body)
	}
}
