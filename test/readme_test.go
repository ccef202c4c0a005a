package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A new user copies what the documentation prints, so the tests run just that. Each
// code block follows a marker line, <!-- KIND: NAME -->. Blocks of the kind run are
// examples, which name the gateway's default address; it gives way to the test's own.

const printedAddr = "localhost:9091"

// A document is a page with examples, by its path from root.
type document string

const readme document = "README.md"

// block returns the code block after a marker, and its language.
func (d document) block(t *testing.T, kind, name string) (language, code string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, string(d)))
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "<!-- "+kind+": "+name+" -->\n```")
	if !found {
		t.Fatalf("%s has no code block after the line <!-- %s: %s -->", d, kind, name)
	}
	language, block, _ = strings.Cut(block, "\n")
	block, _, found = strings.Cut(block, "\n```")
	if !found {
		t.Fatalf("the code block %s of %s does not end", name, d)
	}
	return language, block + "\n"
}

// example returns the code of an example that pushes to addr.
func (d document) example(t *testing.T, name, addr string) (language, code string) {
	t.Helper()
	language, code = d.block(t, "run", name)
	if !strings.Contains(code, printedAddr) {
		t.Fatalf("the code block %s of %s does not name %s:\n%s", name, d, printedAddr, code)
	}
	return language, strings.ReplaceAll(code, printedAddr, addr)
}

// run runs an example in the folder dir and returns what it prints. Examples are shell
// commands or programs in Python or Go. A Go program need not be in the module's tree
// to use the module's dependencies.
func (d document) run(t *testing.T, name, dir, addr string) (output string) {
	t.Helper()
	switch language, code := d.example(t, name, addr); language {
	case "sh":
		return shell(t, dir, "sh", "-e", "-c", code)
	case "python":
		return shell(t, dir, "python3", "-c", d.pythonProgram(t, code))
	case "go":
		source := filepath.Join(t.TempDir(), "main.go")
		writeFile(t, source, []byte(code))
		run := command(t, "go", "run", source)
		run.Dir = root
		return result(t, run)
	default:
		t.Fatalf("the example %s of %s is in the language %q", name, d, language)
		return ""
	}
}

// pythonProgram returns an example after the imports that its page prints once.
func (d document) pythonProgram(t *testing.T, code string) string {
	t.Helper()
	_, imports := d.block(t, "setup", "python")
	return imports + "\n" + code
}

// goProgram returns an example if it is a whole program. Otherwise it is the body of main,
// and the imports that it uses are printed once on its page.
func (d document) goProgram(t *testing.T, code string) string {
	t.Helper()
	if strings.HasPrefix(code, "package ") {
		return code
	}
	_, imports := d.block(t, "setup", "go")
	program := "package main\n\n"
	for line := range strings.Lines(imports) {
		path := strings.Trim(line, "\t\n\"")
		if strings.HasPrefix(line, "\t") && strings.Contains(code, path[strings.LastIndex(path, "/")+1:]+".") {
			program += "import \"" + path + "\"\n"
		}
	}
	return program + "\nfunc main() {\n" + code + "}\n"
}

// shell runs a program with the tools of the examples on its path: the gateway, and the
// system's Python, which has the client library and may not come first otherwise.
func shell(t *testing.T, dir, name string, args ...string) (output string) {
	t.Helper()
	path := "/usr/bin:" + filepath.Dir(gatewayBinary(t)) + ":" + os.Getenv("PATH")
	// A command's own name is looked up on the path of this process.
	cmd := command(t, "env", append([]string{"PATH=" + path, name}, args...)...)
	cmd.Dir = dir
	return result(t, cmd)
}

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
