package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A new user copies what the documentation prints, so the tests run just that. Each
// code block follows a mark, <!-- KIND: NAME -->. Blocks of the kind run are
// examples, which name the gateway's default address; it gives way to the test's own.
// What cannot be run has the mark <!-- not run: REASON -->.

const printedAddr = "localhost:9091"

// A document is a page with examples, by its path from root.
type document string

// usedBlocks has the marks of the code blocks that tests have used, each after its page.
var usedBlocks sync.Map

// block returns the code block after a mark, and its language.
func (d document) block(t *testing.T, kind, name string) (language, code string) {
	t.Helper()
	usedBlocks.Store(mark{d, kind, name}, true)
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
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	given := strings.NewReplacer(printedAddr, addr, `"localhost", "9091"`, fmt.Sprintf("%q, %q", host, port)).Replace(code)
	if given == code {
		t.Fatalf("the code block %s of %s does not name %s:\n%s", name, d, printedAddr, code)
	}
	return language, given
}

// run runs an example in the folder dir and returns what it prints.
func (d document) run(t *testing.T, name, dir, addr string) (output string) {
	t.Helper()
	return result(t, d.command(t, name, dir, addr))
}

// runWith runs shell commands that name files or servers of the reader, in the folder dir, and
// returns what they print. The test has its own instead: pairs of what is printed and what replaces it.
func (d document) runWith(t *testing.T, name, dir string, replacements ...string) (output string) {
	t.Helper()
	_, code := d.block(t, "run", name)
	return shell(t, dir, "sh", "-e", "-c", d.replaced(t, code, replacements...))
}

// replaced returns a text of the page with these replacements, each of which must be needed.
func (d document) replaced(t *testing.T, text string, replacements ...string) string {
	t.Helper()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("this block of %s does not name %s:\n%s", d, replacements[i], text)
		}
	}
	return strings.NewReplacer(replacements...).Replace(text)
}

// wantAnswer compares what an example printed with a block of the kind answer. In JSON, spaces,
// times, and the addresses and names of clients may differ, and a text that ends with … is the
// beginning of one.
func (d document) wantAnswer(t *testing.T, name, got string) {
	t.Helper()
	language, want := d.block(t, "answer", name)
	same := got == strings.TrimSpace(want)
	if language == "json" {
		var a, b any
		if err := json.Unmarshal([]byte(got), &a); err != nil {
			t.Fatalf("%s answered %s: %v", name, got, err)
		}
		if err := json.Unmarshal([]byte(want), &b); err != nil {
			t.Fatalf("the answer %s of %s: %v", name, d, err)
		}
		same = sameAnswer("", a, b)
	}
	if !same {
		t.Errorf("%s: the answer is\n%s\nbut %s says\n%s", name, got, d, want)
	}
}

// varying are the fields of answers whose values differ each time.
var varying = []string{"last_push", "last_failure", "time", "expires_at", "source", "client"}

// sameAnswer compares the value of a field of an answer with the printed one.
func sameAnswer(field string, got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		for name := range want {
			ok = ok && sameAnswer(name, got[name], want[name])
		}
		return ok && len(got) == len(want)
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(got, want, func(a, b any) bool { return sameAnswer("", a, b) })
	case string:
		got, ok := got.(string)
		if beginning, cut := strings.CutSuffix(want, "…"); cut {
			return ok && strings.HasPrefix(got, beginning)
		}
		return ok && (got == want || slices.Contains(varying, field) && got != "")
	}
	return got == want
}

// command returns the command that runs an example in the folder dir.
func (d document) command(t *testing.T, name, dir, addr string) *exec.Cmd {
	t.Helper()
	switch language, code := d.example(t, name, addr); language {
	case "sh":
		return toolCommand(t, dir, "sh", "-e", "-c", code)
	case "python":
		return toolCommand(t, dir, "python3", "-c", d.pythonProgram(t, code))
	case "javascript":
		modules, err := filepath.Abs(filepath.Join(root, "dist/prom-client/node_modules"))
		if err != nil {
			t.Fatal(err)
		}
		return toolCommand(t, dir, "NODE_PATH="+modules, "node", "-e", code)
	case "ruby":
		return toolCommand(t, dir, "ruby", "-W0", "-e", code)
	case "cpp":
		source, program := filepath.Join(t.TempDir(), "main.cc"), filepath.Join(t.TempDir(), "main")
		writeFile(t, source, []byte(code))
		result(t, toolCommand(t, dir, "g++", "-o", program, source, "-lprometheus-cpp-push", "-lprometheus-cpp-core"))
		return toolCommand(t, dir, program)
	case "go":
		return toolCommand(t, dir, filepath.Join(buildPrinted(t, map[string]string{"example": d.goProgram(t, code)}), "example"))
	default:
		t.Fatalf("the example %s of %s is in the language %q", name, d, language)
		return nil
	}
}

// buildPrinted builds Go programs, by name, as packages of the module, and returns the folder
// with the executables. Building all together takes far less time than one by one.
func buildPrinted(t *testing.T, programs map[string]string) (dir string) {
	t.Helper()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	build := command(t, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", dir+"/", "-ldflags=-s -w")
	build.Dir = root
	for name, code := range programs {
		source := filepath.Join(dir, name+".go")
		writeFile(t, source, []byte(code))
		overlay.Replace[filepath.Join(top, "printed", name, "main.go")] = source
		build.Args = append(build.Args, "./printed/"+name)
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "overlay.json"), text)
	result(t, build)
	return dir
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

// shell runs a program with the tools of the examples and returns what it prints.
func shell(t *testing.T, dir, name string, args ...string) (output string) {
	t.Helper()
	return result(t, toolCommand(t, dir, name, args...))
}

// toolCommand returns a command with the tools of the examples on its path: the gateway, and
// the system's Python, which has the client library and may not come first otherwise. Settings
// of the environment may precede its name.
func toolCommand(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	path := "/usr/bin:" + filepath.Dir(gatewayBinary(t)) + ":" + os.Getenv("PATH")
	// A command's own name is looked up on the path of this process.
	cmd := command(t, "env", append([]string{"PATH=" + path, name}, args...)...)
	cmd.Dir = dir
	return cmd
}
