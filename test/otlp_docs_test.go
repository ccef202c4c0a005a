package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tests here run what docs/OTLP.md prints.
const otlpPage document = "docs/OTLP.md"

// buildPrintedExporter builds the job in Go that the page prints, in the module that has the SDK.
func buildPrintedExporter(t *testing.T) (binary string) {
	t.Helper()
	_, code := otlpPage.block(t, "run", "go")
	module, err := filepath.Abs("otlp")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	writeFile(t, source, []byte(code))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(module, "printed", "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "overlay.json"), overlay)
	binary = filepath.Join(dir, "report")
	build := command(t, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "./printed")
	build.Dir = module
	result(t, build)
	return binary
}

// wantOTLP compares the pushed samples, without target_info, with a result on the page.
func wantOTLP(t *testing.T, p *program, name string) {
	t.Helper()
	_, block := otlpPage.block(t, "result", name)
	got := slices.DeleteFunc(samplesOf(t, p.get(t, "/metrics")), func(line string) bool { return strings.HasPrefix(line, "target_info{") })
	if want := samplesOf(t, block); !slices.Equal(got, want) {
		t.Errorf("the gateway has\n%s\nbut %s says\n%s", strings.Join(got, "\n"), otlpPage, strings.Join(want, "\n"))
	}
}

// TestOTLPExamples: the examples lead to the printed results.
func TestOTLPExamples(t *testing.T) {
	t.Parallel()
	t.Run("curl", func(t *testing.T) {
		p := start(t)
		if out := otlpPage.run(t, "curl", t.TempDir(), p.Addr); out != "{}" {
			t.Errorf("%s", out)
		}
		wantOTLP(t, p, "curl")
	})
	report := buildPrintedExporter(t)
	_, groupBy := otlpPage.block(t, "run", "group-by")
	for name, more := range map[string][]string{"go": {"", ""}, "group-by": {groupBy}} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			_, env := otlpPage.example(t, "env", p.Addr)
			for _, export := range more {
				script := env + strings.ReplaceAll(export, printedAddr, p.Addr) + report + "\n"
				shell(t, t.TempDir(), "sh", "-e", "-c", script)
			}
			wantOTLP(t, p, name)
			if name == "group-by" {
				p.wantTTLs(t, map[string]string{"/metrics/job/report/host_name/db1": "48h0m0s"})
			}
		})
	}
}

// TestOTLPPageRuns: each code block of the page is marked, and run by TestOTLPExamples.
func TestOTLPPageRuns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, string(otlpPage)))
	if err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile("(?m)^<!-- (?:run|result): (?:env|go|curl|group-by) -->\n```[a-z]+\n").FindAll(text, -1)
	if blocks := strings.Count(string(text), "\n```") / 2; len(marked) != blocks {
		t.Errorf("%d blocks of %d are run", len(marked), blocks)
	}
}
