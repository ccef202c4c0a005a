package test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUpstreamFile starts with the files of real gateways.
func TestUpstreamFile(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1.11.3", "v1.5.1"} {
		recorded := "../internal/journal/testdata/" + version
		file := filepath.Join(t.TempDir(), "metrics.store")
		original := readFile(t, recorded+".store")
		writeFile(t, file, original)
		for start := range 2 {
			p := gateway(t, file)
			wantLines(t, version+" metadata", normalExposition(t, p.get(t, "/metrics")), normalExposition(t, string(readFile(t, recorded+".metrics"))))
			wantLines(t, version+" exposed", withTimes(t, p.get(t, "/metrics")), withTimes(t, string(readFile(t, recorded+".metrics"))))
			wantLines(t, version+" /api/v1/metrics", apiGroups(t, []byte(p.get(t, "/api/v1/metrics"))), apiGroups(t, readFile(t, recorded+".api.json")))
			if start == 0 {
				wantText(t, p.log.String(), "took over the file of the original", "level=INFO", "groups=")
			}
			p.end(t)
		}
		if !bytes.Equal(readFile(t, file+".original"), original) {
			t.Errorf("%s: the file that was kept is another", version)
		}
	}
}

// withTimes returns the samples that were pushed, and the push times as they are.
func withTimes(t *testing.T, exposition string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(exposition) {
		if line[0] == '#' {
			continue
		}
		s, err := parseSample(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if !isOwn(s.name) {
			lines = append(lines, s.String())
		}
	}
	slices.Sort(lines)
	return lines
}

func apiGroups(t *testing.T, answer []byte) []string {
	t.Helper()
	var body struct {
		Data []map[string]any `json:"data"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		t.Fatal(err)
	}
	// Groups and the series of a family come in another order than there.
	for _, group := range body.Data {
		for _, field := range group {
			if family, ok := field.(map[string]any); ok {
				if metrics, ok := family["metrics"].([]any); ok {
					slices.SortFunc(metrics, func(a, b any) int { return strings.Compare(toJSON(t, a), toJSON(t, b)) })
				}
			}
		}
	}
	slices.SortFunc(body.Data, func(a, b map[string]any) int { return strings.Compare(toJSON(t, a), toJSON(t, b)) })
	return strings.Split(toJSON(t, body.Data), "\n")
}
