package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Normal form: what two gateways that hold the same must show alike; see
// testdata/README.md.

// A sample is one line of the text format that carries a value. Label values
// stay escaped as they were sent.
type sample struct {
	name   string
	labels []string // name="value", sorted
	value  string   // shortest form
}

func (s sample) String() string {
	return s.name + "{" + strings.Join(s.labels, ",") + "} " + s.value
}

func isOwn(name string) bool {
	for _, prefix := range []string{"go_", "process_", "promhttp_", "pushgateway_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func isPushTime(name string) bool {
	return name == "push_time_seconds" || name == "push_failure_time_seconds"
}

func parseSample(line string) (sample, error) {
	at := strings.IndexAny(line, "{ ")
	if at < 0 {
		return sample{}, fmt.Errorf("no value in %q", line)
	}
	s := sample{name: line[:at]}
	rest := line[at:]
	if rest[0] == '{' {
		from, quoted, closed := 1, false, false
		for i := 1; i < len(rest) && !closed; i++ {
			switch c := rest[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case !quoted && (c == ',' || c == '}'):
				if i > from {
					s.labels = append(s.labels, rest[from:i])
				}
				from, closed = i+1, c == '}'
			}
		}
		if !closed {
			return sample{}, fmt.Errorf("labels do not end in %q", line)
		}
		rest = rest[from:]
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
	if err != nil {
		return sample{}, fmt.Errorf("value of %q: %w", line, err)
	}
	s.value = strconv.FormatFloat(value, 'g', -1, 64)
	slices.Sort(s.labels)
	return s, nil
}

// normalExposition is nil when nothing pushed is left.
func normalExposition(t *testing.T, text string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if comment := strings.SplitN(line, " ", 4); comment[0] == "#" {
			kind, name := comment[1], comment[2]
			if !isOwn(name) && (kind != "HELP" || !isPushTime(name)) {
				lines = append(lines, line)
			}
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			t.Fatal(err)
		}
		if isPushTime(s.name) && s.value != "0" {
			s.value = "NOW"
		}
		if !isOwn(s.name) {
			lines = append(lines, s.String())
		}
	}
	slices.Sort(lines)
	return lines
}

// pushed returns the normal exposition of the gateway as one text.
func (p *program) pushed(t *testing.T) string {
	t.Helper()
	return strings.Join(normalExposition(t, p.get(t, "/metrics")), "\n")
}

// normalAPI takes the groups as decoded JSON and returns them as lines of
// indented JSON.
func normalAPI(t *testing.T, groups []map[string]any) []string {
	t.Helper()
	for _, group := range groups {
		for name, field := range group {
			family, ok := field.(map[string]any)
			if !ok || name == "labels" {
				continue
			}
			if _, ok := family["time_stamp"].(string); !ok {
				t.Fatalf("%s has no time_stamp: %v", name, family)
			}
			family["time_stamp"] = "T"
			if isPushTime(name) {
				normalPushTime(family)
			}
		}
	}
	slices.SortFunc(groups, func(a, b map[string]any) int {
		return strings.Compare(toJSON(t, a["labels"]), toJSON(t, b["labels"]))
	})
	return strings.Split(toJSON(t, groups), "\n")
}

func normalPushTime(family map[string]any) {
	delete(family, "help")
	metrics, _ := family["metrics"].([]any)
	for _, m := range metrics {
		if metric, ok := m.(map[string]any); ok && metric["value"] != "0" {
			metric["value"] = "NOW"
		}
	}
}

// toJSON is indented and has the names of each object in order.
func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantLines says which lines are missing and which are too many.
func wantLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	var diff strings.Builder
	for _, line := range without(want, got) {
		diff.WriteString("\n- " + line)
	}
	for _, line := range without(got, want) {
		diff.WriteString("\n+ " + line)
	}
	if diff.Len() == 0 {
		fmt.Fprintf(&diff, " other order:\n%s", strings.Join(got, "\n"))
	}
	t.Errorf("%s (- is missing, + is too much):%s", what, diff.String())
}

// without returns the lines of a that b lacks, counting repetitions.
func without(a, b []string) []string {
	count := map[string]int{}
	for _, line := range b {
		count[line]++
	}
	var left []string
	for _, line := range a {
		if count[line]--; count[line] < 0 {
			left = append(left, line)
		}
	}
	return left
}
