package web

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestCases pushes the bodies of testdata/cases, which are taken from public reports about
// pushes that failed, and compares with expect.tsv: the status, and then a regular
// expression in the answer, or in the next scrape if the push is accepted.
func TestCases(t *testing.T) {
	const folder = "testdata/cases"
	file, err := os.Open(filepath.Join(folder, "expect.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cases := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 5 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		cases++
		name, contentType, path, pattern := fields[0], fields[1], fields[2], fields[4]
		t.Run(name+path, func(t *testing.T) {
			body := []byte("probe 1\n")
			if name != "-" {
				if body, err = os.ReadFile(filepath.Join(folder, name)); err != nil {
					t.Fatal(err)
				}
			}
			status, err := strconv.Atoi(fields[3])
			if err != nil {
				t.Fatal(err)
			}
			s, _ := newTestServer(t, nil)
			w := do(s, "POST", path, string(body), "Content-Type", contentType)
			answer := w.Body.String()
			if w.Code != status {
				t.Fatalf("%d %s, want %d", w.Code, answer, status)
			}
			if status == 200 {
				answer, pattern = do(s, "GET", "/metrics", "").Body.String(), "(?m)"+pattern
			} else {
				pattern = "(?i)" + pattern
			}
			if !regexp.MustCompile(pattern).MatchString(answer) {
				t.Errorf("no %s in\n%s", pattern, answer)
			}
		})
	}
	if cases == 0 {
		t.Error("no cases")
	}
}
