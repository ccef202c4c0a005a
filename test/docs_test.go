package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns the text of every page of documentation, by its path from root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts, err := readPages()
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func readPages() (map[string]string, error) {
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*/README.md", "deploy/helm/*/README.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return nil, err
			}
			texts[name] = string(text)
		}
	}
	return texts, nil
}

// TestDocsNameTests: each test that a page names exists.
func TestDocsNameTests(t *testing.T) {
	t.Parallel()
	defined := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9]+)`)
	exists := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range defined.FindAllSubmatch(text, -1) {
			exists[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9]+)`")
	for page, text := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !exists[m[1]] {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
)

// TestDocsLinks: each link from one page to another leads to a file and a heading that
// exist.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	anchors := map[string]map[string]bool{}
	for page, text := range all {
		anchors[page] = map[string]bool{}
		for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			anchors[page][anchor(m[1])] = true
		}
	}
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, to, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if to != "" && !anchors[target][to] {
				t.Errorf("%s links to %s, but %s has no such heading", page, m[1], target)
			}
		}
	}
}

// TestDocsContents: docs/README.md links to every page of docs, and README.md to docs/README.md.
func TestDocsContents(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page := range all {
		name, inDocs := strings.CutPrefix(page, "docs/")
		if inDocs && name != "README.md" && !strings.Contains(all["docs/README.md"], "]("+name) {
			t.Errorf("docs/README.md does not link to %s", name)
		}
	}
	wantText(t, all["README.md"], "](docs/README.md)")
}

// anchor returns the anchor that GitHub gives to a heading.
func anchor(heading string) string {
	keep := func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
			return r
		}
		return -1
	}
	return strings.Map(keep, strings.ToLower(heading))
}

// TestDesignListsPackages: the table of packages in docs/DESIGN.md is complete.
func TestDesignListsPackages(t *testing.T) {
	t.Parallel()
	want := []string{"cmd/pushgateway", "test", "bench"}
	dirs, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		want = append(want, "internal/"+dir.Name())
	}
	slices.Sort(want)
	var got []string
	row := regexp.MustCompile(`(?m)^\| (cmd/\w+|internal/\w+|test|bench) \| `)
	for _, m := range row.FindAllStringSubmatch(pages(t)["docs/DESIGN.md"], -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/DESIGN.md lists\n%s\nbut there are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
