package api_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

const allTypes = `# HELP jobs_total Jobs.
# TYPE jobs_total counter
jobs_total{result="ok"} 3
jobs_total{result="failed"} 1
# TYPE last_success gauge
last_success 1.7e9
untyped_thing NaN
# TYPE size_bytes summary
size_bytes{quantile="0.5"} 10
size_bytes_sum 30
size_bytes_count 2
# HELP step_seconds Steps.
# TYPE step_seconds histogram
step_seconds_bucket{le="0.1"} 1
step_seconds_bucket{le="+Inf"} 4
step_seconds_sum 2.5
step_seconds_count 4
`

// TestUpstreamAnswer pushes what upstream had stored when it gave the answer in testdata.
func TestUpstreamAnswer(t *testing.T) {
	p := pusher{store.InMemory(), noon}
	families := strings.SplitAfter(allTypes, "untyped_thing NaN\n")
	p.text(t, key("job", "backup"), families[0], metric.MergeGroup)
	p.text(t, key("job", "backup"), "late 1 1700000000\n", metric.MergeGroup)
	p.text(t, key("job", "backup", "instance", "host-1"), families[1], metric.MergeGroup)
	p.text(t, key("job", "titan", "name", "Προ", "path", "/var/tmp"), `weird{l="q\"b\\n\nx"} -Inf`, metric.MergeGroup)
	p.text(t, key("job", "rejected"), "late 1 1700000000\n", metric.MergeGroup)
	native, err := wire.ParseProtobuf(nativeBody(t))
	if err != nil {
		t.Fatal(err)
	}
	p.push(t, key("job", "native"), native, metric.MergeGroup)

	recorded, err := os.ReadFile("testdata/v1.11.3.api.json")
	if err != nil {
		t.Fatal(err)
	}
	same(t, readGroups(t, write(t, p.Store)), readGroups(t, string(recorded)))
}

// TestConformance applies the steps of those recorded cases that need nothing else to a
// store, and expects the recorded data.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile("../../test/testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name  string
		Args  []string
		Steps []struct {
			Method, Path string
			Headers      map[string]string
			Text         string
			Body         []byte
		}
		State *struct{ API []map[string]any }
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	ran := 0
cases:
	for _, c := range cases {
		if c.State == nil || len(c.Args) > 0 {
			continue
		}
		for _, step := range c.Steps {
			if _, ok := plainKey(step.Path); !ok || step.Headers["Content-Encoding"] != "" {
				continue cases
			}
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			p := pusher{store.InMemory(), noon}
			p.Reserve(map[string]metric.Type{"go_goroutines": metric.Gauge})
			for _, step := range c.Steps {
				key, _ := plainKey(step.Path)
				switch {
				case step.Method == "DELETE":
					if _, err := p.Delete(key); err != nil {
						t.Fatal(err)
					}
				case step.Headers["Content-Type"] != "":
					families, err := wire.ParseProtobuf(append(step.Body, step.Text...))
					if err == nil {
						p.push(t, key, families, mergeOf(step.Method))
					}
				default:
					p.text(t, key, step.Text, mergeOf(step.Method))
				}
			}
			same(t, readGroups(t, write(t, p.Store)), c.State.API)
		})
	}
	if ran < 30 {
		t.Errorf("only %d cases were tried", ran)
	}
}

// plainKey reads a path without base64 and percent signs.
func plainKey(path string) (metric.GroupingKey, bool) {
	rest, ok := strings.CutPrefix(path, "/metrics/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts)%2 != 0 || strings.ContainsAny(rest, "@%-_") {
		return metric.GroupingKey{}, false
	}
	labels := map[string]string{}
	for i := 0; i < len(parts); i += 2 {
		if _, twice := labels[parts[i]]; twice {
			return metric.GroupingKey{}, false
		}
		labels[parts[i]] = parts[i+1]
	}
	var pairs []string
	for name, value := range labels {
		pairs = append(pairs, name, value)
	}
	return key(pairs...), true
}

// mergeOf returns what the method of a push stands for.
func mergeOf(method string) metric.Merge {
	if method == "PUT" {
		return metric.MergeGroup
	}
	return metric.MergeFamily
}

// pusher applies pushes as the gateway does, one second after the other.
type pusher struct {
	*store.Store
	now time.Time
}

// text pushes a body in the text format; one that does not parse changes nothing.
func (p *pusher) text(t *testing.T, key metric.GroupingKey, body string, m metric.Merge) {
	t.Helper()
	parser := wire.TextParser{Names: metric.LegacyValidation}
	if families, err := parser.Parse(body); err == nil {
		p.push(t, key, families, m)
	}
}

func (p *pusher) push(t *testing.T, key metric.GroupingKey, families []metric.Family, m metric.Merge) {
	t.Helper()
	p.now = p.now.Add(time.Second)
	push, err := new(store.Encoder).Push(key, families, p.now, store.PushOptions{Merge: m})
	if err != nil {
		err = p.Fail(key, p.now)
	} else {
		_, _ = p.Apply(push) // a rejection shows in the group
	}
	if err != nil {
		t.Fatal(err)
	}
}

// nativeBody is a delimited protobuf body with the native histogram of the
// recorded answers.
func nativeBody(t testing.TB) []byte {
	body, err := base64.StdEncoding.DecodeString(
		"RQoCbmgSB05hdGl2ZS4YBCI0OjIIChEAAAAAAAApQCgGMfyp8dJNYlA/OAJKBAgAEAFQAmIECAAQAmIECAYQAWgEaAJoAQ==")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// same compares groups whatever their order and that of their metrics, and
// whatever the times. test/testdata/README.md describes the form.
func same(t *testing.T, got, want []map[string]any) {
	t.Helper()
	if got, want := normal(t, got), normal(t, want); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func normal(t *testing.T, groups []map[string]any) string {
	t.Helper()
	for _, group := range groups {
		for name, x := range group {
			family, ok := x.(map[string]any)
			if !ok || name == "labels" {
				continue
			}
			stamp, _ := family["time_stamp"].(string)
			if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil && stamp != "T" {
				t.Errorf("time_stamp of %s: %v", name, err)
			}
			family["time_stamp"] = "T"
			metrics := family["metrics"].([]any)
			if name == store.PushTime || name == store.FailureTime {
				delete(family, "help")
				if m := metrics[0].(map[string]any); m["value"] != "0" {
					m["value"] = "NOW"
				}
			}
			slices.SortFunc(metrics, func(a, b any) int { return strings.Compare(toJSON(t, a), toJSON(t, b)) })
		}
	}
	slices.SortFunc(groups, func(a, b map[string]any) int {
		return strings.Compare(toJSON(t, a["labels"]), toJSON(t, b["labels"]))
	})
	return toJSON(t, groups)
}

func toJSON(t *testing.T, x any) string {
	t.Helper()
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
