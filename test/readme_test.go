package test

import (
	"path/filepath"
	"strings"
	"testing"
)

const readme document = "README.md"

func TestReadmeCurl(t *testing.T) {
	t.Parallel()
	p := start(t)
	readme.run(t, "curl", root, p.Addr)
	wantText(t, p.pushed(t), `my_metric{instance="myinstance",job="myjob",label="value"} 1`)
}

func TestReadmeTTL(t *testing.T) {
	t.Parallel()
	p := start(t)
	readme.run(t, "ttl", root, p.Addr)
	p.wantTTLs(t, map[string]string{"/metrics/job/myjob": "48h0m0s"})
}

func TestReadmePython(t *testing.T) {
	t.Parallel()
	p := start(t)
	readme.run(t, "python", root, p.Addr)
	metrics := p.pushed(t)
	wantText(t, metrics,
		`backup_size_bytes{database="orders",instance="",job="backup"} 1.118208e+06`,
		`backup_tables_total{database="orders",instance="",job="backup"} 3`,
		`backup_table_duration_seconds_bucket{database="orders",instance="",job="backup",le="1"} 2`,
		`backup_table_duration_seconds_count{database="orders",instance="",job="backup"} 3`,
		`backup_last_success_timestamp_seconds{database="orders",instance="",job="backup"} `,
	)
	if strings.Contains(metrics, "running") {
		t.Errorf("the deleted group is still there:\n%s", metrics)
	}
}

func TestReadmeGo(t *testing.T) {
	t.Parallel()
	p := start(t)
	readme.run(t, "go", root, p.Addr)
	wantText(t, p.pushed(t), `import_rows{instance="",job="import",table="customers"} 1234`)
}

// TestReadmeStart runs the first command, which shows the version if asked to.
func TestReadmeStart(t *testing.T) {
	t.Parallel()
	_, code := readme.block(t, "run", "start")
	wantText(t, shell(t, root, "sh", "-e", "-c", strings.TrimSpace(code)+" --version 2>&1"), "pushgateway, version ")
}

func TestReadmeFile(t *testing.T) {
	t.Parallel()
	p := start(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "metrics.txt"), []byte("x 1\n"))
	_, code := readme.example(t, "file", p.Addr)
	push, remove, _ := strings.Cut(code, "\n")
	shell(t, dir, "sh", "-e", "-c", push)
	wantText(t, p.pushed(t), `x{instance="db1",job="backup"} 1`)
	shell(t, dir, "sh", "-e", "-c", remove)
	p.wantJobs(t, "after the deletion")
}
