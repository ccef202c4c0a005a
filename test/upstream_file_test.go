package test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUpstreamFile starts with the files of real upstream gateways.
func TestUpstreamFile(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1.11.3", "v1.5.1"} {
		t.Run(version, func(t *testing.T) {
			recorded := "../internal/journal/testdata/" + version
			file := filepath.Join(t.TempDir(), "metrics.store")
			upstream := readFile(t, recorded+".store")
			writeFile(t, file, upstream)
			metrics, api := string(readFile(t, recorded+".metrics")), readFile(t, recorded+".api.json")
			for start := range 2 {
				p := gateway(t, file)
				exposed := p.get(t, "/metrics")
				wantLines(t, "metadata", normalExposition(t, exposed), normalExposition(t, metrics))
				wantLines(t, "exposed", withTimes(t, exposed), withTimes(t, metrics))
				wantLines(t, "/api/v1/metrics", apiGroups(t, []byte(p.get(t, "/api/v1/metrics"))), apiGroups(t, api))
				if start == 0 {
					wantText(t, p.log.String(), "imported the file of the upstream Pushgateway", "level=info", "groups=")
				}
				p.end(t)
			}
			if !bytes.Equal(readFile(t, file+".original"), upstream) {
				t.Error("the copy of the upstream file differs from it")
			}
		})
	}
}

// withTimes returns the pushed samples and the push times, sorted.
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
	// Upstream sends groups and series in another order.
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
