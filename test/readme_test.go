package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A new user copies what the README prints, so the tests run just that. Each
// example follows a marker line, <!-- run: NAME -->, and names the gateway's
// default address, which gives way to the test's own.

const printedAddr = "localhost:9091"

// printed returns the code block of an example, aimed at addr.
func printed(t *testing.T, name, addr string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "<!-- run: "+name+" -->\n```")
	if !found {
		t.Fatalf("README.md has no code block after the line <!-- run: %s -->", name)
	}
	_, block, _ = strings.Cut(block, "\n") // the language
	block, _, found = strings.Cut(block, "\n```")
	if !found {
		t.Fatalf("the code block %s of README.md does not end", name)
	}
	if !strings.Contains(block, printedAddr) {
		t.Fatalf("the code block %s of README.md does not name %s:\n%s", name, printedAddr, block)
	}
	return strings.ReplaceAll(block, printedAddr, addr)
}

// runShell runs an example that is printed as shell commands.
func runShell(t *testing.T, name, addr string) {
	t.Helper()
	sh := command(t, "sh", "-e", "-c", printed(t, name, addr))
	sh.Dir = root
	// The client library is installed for the system's Python, which may not
	// be the first on the path.
	sh.Env = append(os.Environ(), "PATH=/usr/bin:"+os.Getenv("PATH"))
	result(t, sh)
}

// runGo runs an example that is printed as a Go program. The program need not
// be in the module's tree to use the module's dependencies.
func runGo(t *testing.T, name, addr string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte(printed(t, name, addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := command(t, "go", "run", source)
	run.Dir = root
	result(t, run)
}

func TestReadmeCurl(t *testing.T) {
	t.Parallel()
	p := start(t)
	runShell(t, "curl", p.Addr)
	wantText(t, p.pushed(t), `my_metric{instance="myinstance",job="myjob",label="value"} 1`)
}

func TestReadmePython(t *testing.T) {
	t.Parallel()
	p := start(t)
	runShell(t, "python", p.Addr)
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
	runGo(t, "go", p.Addr)
	wantText(t, p.pushed(t), `import_rows{instance="",job="import",table="customers"} 1234`)
}
