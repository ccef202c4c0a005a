package test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A mark is the line <!-- KIND: NAME --> before a code block of a page.
type mark struct {
	page       document
	kind, name string
}

func (m mark) String() string { return fmt.Sprintf("%s: <!-- %s: %s -->", m.page, m.kind, m.name) }

// notRun is the kind of blocks that no test runs. The name says why.
const notRun = "not run"

// usedElsewhere has the pages whose blocks are tested by another module.
var usedElsewhere = map[document]string{
	"docs/KUBERNETES.md": "test/chart", "deploy/helm/prometheus-pushgateway/README.md": "test/chart",
}

var markLine = regexp.MustCompile(`^<!-- ([a-z ]+): (.+) -->$`)

// marks returns the marks of the code blocks of a page, and the lines of code blocks without one.
func (d document) marks(text string) (marks []mark, missing []int) {
	lines := strings.Split(text, "\n")
	inside := false
	for i, line := range lines {
		if !strings.HasPrefix(strings.TrimLeft(line, " "), "```") {
			continue
		}
		if inside = !inside; !inside {
			continue
		}
		if m := markLine.FindStringSubmatch(lines[max(i-1, 0)]); m != nil {
			marks = append(marks, mark{d, m[1], m[2]})
		} else {
			missing = append(missing, i+1)
		}
	}
	return marks, missing
}

// TestDocsBlocks: each code block of the documentation has a mark of its own.
func TestDocsBlocks(t *testing.T) {
	t.Parallel()
	for page, text := range pages(t) {
		marks, missing := document(page).marks(text)
		for _, line := range missing {
			t.Errorf("%s:%d: the code block has no mark. Write <!-- run: NAME --> above it and run it in a test, "+
				"or <!-- %s: REASON -->", page, line, notRun)
		}
		seen := map[mark]bool{}
		for _, m := range marks {
			if seen[m] && m.kind != notRun {
				t.Errorf("%s is there twice", m)
			}
			seen[m] = true
		}
	}
}

// reportUnusedBlocks names the marked code blocks that no test has used, after a run of all tests.
// It returns the exit code.
func reportUnusedBlocks() (code int) {
	texts, err := readPages()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for page, text := range texts {
		if usedElsewhere[document(page)] != "" {
			continue
		}
		marks, _ := document(page).marks(text)
		for _, m := range marks {
			if _, used := usedBlocks.Load(m); !used && m.kind != notRun {
				fmt.Fprintf(os.Stderr, "no test uses the code block %s\n", m)
				code = 1
			}
		}
	}
	return code
}

// runsAllTests reports whether the flags select all tests.
func runsAllTests() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz", "test.bench"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}
