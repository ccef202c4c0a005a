package rules_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/rules"
)

var key = metrictest.Key

func parse(t testing.TB, text string) *rules.Rules {
	t.Helper()
	r, err := rules.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return r
}

const example = `
rules:
  - match: '{job=~"backup.*"}'
    ttl: 48h
  - match: '{job="checkout", env="prod"}'
    merge: sum
    gauges: max
  - match: '{job="checkout"}'
    # exempt from what follows
  - match: "{env!='test', job!~'a|b'}"
    ttl_keep: push_time
    timestamps: drop
`

func ttl(d time.Duration) metric.Options {
	return metric.Options{Expiry: metric.Expiry{Set: true, TTL: d}}
}

func TestFirstMatchWins(t *testing.T) {
	r := parse(t, example)
	if r.Len() != 4 {
		t.Errorf("%d rules, want 4", r.Len())
	}
	for _, c := range []struct {
		key  metric.GroupingKey
		want string
	}{
		{key("job", "backup"), "ttl=2d"},
		{key("job", "backup-db", "env", "prod"), "ttl=2d"},
		{key("job", "checkout", "env", "prod"), "merge=sum gauges=max"},
		{key("job", "checkout", "env", "prod", "instance", "1"), "merge=sum gauges=max"},
		{key("job", "checkout"), ""},
		{key("job", "checkout", "env", "Prod"), ""},
		{key("job", "my-backup"), "ttl_keep=push_time timestamps=drop"},
		{key("job", "my-backup", "env", "test"), ""},
		{key("job", "a"), ""},
		{key("job", "ab"), "ttl_keep=push_time timestamps=drop"},
	} {
		t.Run(c.key.String(), func(t *testing.T) {
			if got := strings.Join(pushoptions.Format(r.For(c.key)), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	group := key("job", "a", "empty", "", "foo.bar", "x y")
	for _, c := range []struct {
		selector, canonical string
		matches             bool
	}{
		{`{}`, `{}`, true},
		{` { } `, `{}`, true},
		{`{job="a"}`, `{job="a"}`, true},
		{`{job='a',}`, `{job="a"}`, true},
		{`{job="a", job!="b"}`, `{job="a",job!="b"}`, true},
		{`{job="a", job="b"}`, `{job="a",job="b"}`, false},
		{`{job=~"b|a"}`, `{job=~"b|a"}`, true},
		{`{job=~"^$"}`, `{job=~"^$"}`, false},
		{`{job!~"[a-c]"}`, `{job!~"[a-c]"}`, false},
		{`{empty=""}`, `{empty=""}`, true},
		{`{missing=""}`, `{missing=""}`, true},
		{`{missing!="x"}`, `{missing!="x"}`, true},
		{`{missing=~".+"}`, `{missing=~".+"}`, false},
		{`{missing=~".*"}`, `{missing=~".*"}`, true},
		{`{"foo.bar"="x y"}`, `{"foo.bar"="x y"}`, true},
		{"{job=`a`}", `{job="a"}`, true},
		{`{job="\x61"}`, `{job="a"}`, true},
	} {
		t.Run(c.selector, func(t *testing.T) {
			r := parse(t, fmt.Sprintf("rules: [{match: %q, merge: sum}]", c.selector))
			if got := r.For(group).Merge == metric.MergeSum; got != c.matches {
				t.Errorf("got %v, want %v", got, c.matches)
			}
			if got := r.All()[0]; got.Match() != c.canonical || got.String() != c.canonical+" merge=sum" {
				t.Errorf("is formatted %s, want %s", got, c.canonical)
			}
		})
	}
}

func TestFileValues(t *testing.T) {
	for _, c := range []struct {
		option string
		want   metric.Options
	}{
		{"ttl: 2d", ttl(48 * time.Hour)},
		{"ttl: 1h30m", ttl(90 * time.Minute)},
		{"ttl: 5ms", ttl(5 * time.Millisecond)},
		{"ttl: 0", ttl(0)},
		{"ttl_keep: push_time", metric.Options{Expiry: metric.Expiry{KeepPushTimes: true}}},
		{"merge: group", metric.Options{Merge: metric.MergeGroup}},
		{"merge: family", metric.Options{Merge: metric.MergeFamily}},
		{"merge: series", metric.Options{Merge: metric.MergeSeries}},
		{"merge: sum", metric.Options{Merge: metric.MergeSum}},
		{"gauges: last", metric.Options{Gauges: metric.GaugeLast}},
		{"gauges: sum", metric.Options{Gauges: metric.GaugeSum}},
		{"gauges: min", metric.Options{Gauges: metric.GaugeMin}},
		{"gauges: max", metric.Options{Gauges: metric.GaugeMax}},
		{"timestamps: reject", metric.Options{Timestamps: metric.TimestampsReject}},
		{"timestamps: drop", metric.Options{Timestamps: metric.TimestampsDrop}},
		{"drop_labels: pod", metric.Options{DropLabels: "pod"}},
		{"drop_labels: pod,instance", metric.Options{DropLabels: "instance,pod"}},
		{"drop_labels: [pod, instance]", metric.Options{DropLabels: "instance,pod"}},
		{"drop_labels:\n  - pod\n  - instance", metric.Options{DropLabels: "instance,pod"}},
	} {
		r := parse(t, "rules:\n- match: '{}'\n  "+c.option)
		if got := r.For(key("job", "x")); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.option, got, c.want)
		}
	}
	for _, text := range []string{"0", "0s", "'0'", `"0"`, "!!str 0"} {
		if got := parse(t, "rules: [{match: '{}', ttl: "+text+"}]").For(key("job", "x")); got != ttl(0) {
			t.Errorf("ttl: %s: got %+v", text, got)
		}
	}
	if got := parse(t, "rules: [{match: '{}', gauges: min}]").For(key("job", "x")); got.Gauges != metric.GaugeMin {
		t.Errorf("gauges without merge: got %+v", got)
	}
}

func TestNoRules(t *testing.T) {
	for _, text := range []string{"rules:", "rules: ~", "rules: []\n", "rules:\n# - match: '{}'\n", "\ufeffrules:"} {
		if r := parse(t, text); r.Len() != 0 || r.For(key("job", "x")) != (metric.Options{}) {
			t.Errorf("%q: has %d rules", text, r.Len())
		}
	}
	var none *rules.Rules
	if none.Len() != 0 || none.All() != nil || none.For(key("job", "x")) != (metric.Options{}) {
		t.Error("nil has rules")
	}
}

func TestRejectedFiles(t *testing.T) {
	const keys = "match, ttl, ttl_keep, merge, gauges, timestamps, drop_labels, group_by, body_size_limit, series_limit, label_limit, " +
		"label_name_length_limit, label_value_length_limit, group_series_limit, groups_limit, series_total_limit"
	rule := "rules:\n- match: '{}'\n- match: '{}'\n  "
	for _, c := range []struct{ text, want string }{
		{"", "line 1: the file is empty; a file without rules says rules: []"},
		{"# rules: none\n", "line 1: the file is empty"},
		{"---\n...\n", "line 1: the file is empty"},
		{"null", "line 1: the file is empty"},
		{"\ufeff", "line 1: the file is empty"},
		{"{}", "line 1: rules: missing; a file without rules says rules: []"},
		{"groups:\n- x", "line 1: groups: unknown; the keys here are rules"},
		{"rules: []\n\nrules: []", "line 3: rules: already given in line 1"},
		{"rules: 5", "line 1: rules: must be a list in which each rule starts with a dash, but it is the value 5"},
		{"rules:\n  match: '{}'", "line 2: rules: must be a list in which each rule starts with a dash, but it is a mapping"},
		{"- match: '{}'", "line 1: the file must start with the key rules"},
		{"rules", "line 1: the file must start with the key rules"},
		{"rules: []\n---\nrules: []", "line 2: a second document"},
		{"rules:\n- {}\n\t- x", "line 3: found"},
		{"rules: \x01", "control characters"},
		{"rules: \xff", "UTF-8"},
		{"? [x]\n: y", "line 1: a key is a list; the keys here are rules"},

		{"rules:\n- x", "line 2: rule 1: must be a mapping with the keys " + keys + ", but it is the value x"},
		{"rules:\n- match: '{}'\n- - x", "line 3: rule 2: must be a mapping with the keys " + keys + ", but it is a list"},
		{"rules:\n-", "line 2: rule 1: must be a mapping with the keys " + keys + ", but it is empty"},
		{"rules:\n- {}", "line 2: rule 1: match: missing; a rule for all groups has match: '{}'"},
		{"rules:\n- ttl: 1h", "line 2: rule 1: match: missing"},
		{rule + "tll: 1h", "line 4: rule 2: tll: unknown; the keys here are " + keys},
		{rule + "? {a: b}\n  : 1h", "line 4: rule 2: a key is a mapping; the keys here are " + keys},
		{rule + "\"a\\nb\": 1h", `line 4: rule 2: "a\nb": unknown`},
		{rule + "ttl: 1h\n  ttl: 1h", "line 5: rule 2: ttl: already given in line 4"},
		{rule + "match: '{}'", "line 4: rule 2: match: already given in line 3"},

		{rule + "ttl: 1.5h", "line 4: rule 2: ttl: 1.5h: ttl is a duration in whole numbers"},
		{rule + "ttl: 3600", "line 4: rule 2: ttl: 3600: ttl needs a unit: write 3600s if these are seconds"},
		{rule + "ttl: -1h", "line 4: rule 2: ttl: -1h: ttl cannot be negative"},
		{rule + "ttl: 1.5", "line 4: rule 2: ttl: 1.5: ttl is a duration"},
		{rule + "ttl: true", "line 4: rule 2: ttl: true: ttl is a duration"},
		{rule + "ttl:", "line 4: rule 2: ttl: has no value"},
		{rule + "ttl: null", "line 4: rule 2: ttl: has no value"},
		{rule + "ttl: ''", `line 4: rule 2: ttl: "": ttl is a duration`},
		{rule + "ttl: [1h]", "line 4: rule 2: ttl: must be a single value, but it is a list"},
		{rule + "merge: add", "line 4: rule 2: merge: add: merge is one of group, family, series, sum"},
		{rule + "merge: {sum: x}", "line 4: rule 2: merge: must be a single value, but it is a mapping"},
		{rule + "merge: |\n    sum\n\n", `line 4: rule 2: merge: "sum\n": merge is one of`},
		{rule + "gauges: mean", "line 4: rule 2: gauges: mean: gauges is one of last, sum, min, max"},
		{rule + "timestamps: yes", "line 4: rule 2: timestamps: yes: timestamps is one of reject, drop"},
		{rule + "drop_labels: job", "line 4: rule 2: drop_labels: job: drop_labels cannot name job"},
		{rule + "drop_labels: [pod, {a: b}]", "line 4: rule 2: drop_labels: must be a single value, but it is a mapping"},
		{rule + "drop_labels: []", "line 4: rule 2: drop_labels: \"\": drop_labels is a list of label names"},
		{rule + "ttl_keep: true", "line 4: rule 2: ttl_keep: true: ttl_keep can only be push_time"},
		{rule + "merge: group\n  gauges: max", "line 5: rule 2: gauges: does not go with merge: group"},
		{rule + "gauges: last\n  merge: series",
			"line 4: rule 2: gauges: does not go with merge: series; gauges are only merged with merge: sum"},

		{"rules:\n- match: {job=\"x\"}", "line 2: rule 1: match: put the selector in quotes"},
		{"rules:\n- match: {}", "line 2: rule 1: match: put the selector in quotes"},
		{"rules:\n- match:", "line 2: rule 1: match: has no value"},
		{"rules:\n- match: ['{}']", "line 2: rule 1: match: must be a single value, but it is a list"},
		{"rules:\n- match: ''", `line 2: rule 1: match: "": not a PromQL selector: at character 1`},
		{"rules:\n- match: '{job=}'", "line 2: rule 1: match: {job=}: not a PromQL selector: at character 6: unexpected"},
		{"rules:\n- match: '{job=~\"(\"}'",
			`line 2: rule 1: match: {job=~"("}: not a PromQL selector: at character 2: error parsing regexp: missing closing )`},
		{"rules:\n- match: '{}[5m]'", "line 2: rule 1: match: {}[5m]: not a PromQL selector"},
		{"rules:\n- match: 5", "line 2: rule 1: match: 5: not a PromQL selector"},
		{"rules:\n- match: backup", "line 2: rule 1: match: backup: matches the metric name backup, but rules are for groups"},
		{"rules:\n- match: 'up{job=\"x\"}'", "matches the metric name up"},
		{"rules:\n- match: '{\"up\"}'", "matches the metric name up"},
		{"rules:\n- match: '{__name__=~\"u.\"}'", "matches the metric name u."},
		{"rules:\n- match: &a '{}'\n- match: *a", "line 3: rule 2: match: must be a single value, but it is an alias"},
		{"rules: &a\n- match: '{}'\n- *a", "line 3: rule 2: must be a mapping with the keys " + keys + ", but it is an alias"},
		{"rules:\n- match: '{}'\n  <<: {ttl: 1h}", "line 3: rule 1: <<: unknown"},
		{"rules:\n- match: *a", "unknown anchor"},
	} {
		t.Run(c.want, func(t *testing.T) {
			r, err := rules.Parse([]byte(c.text))
			invalid, ok := errors.AsType[*rules.InvalidError](err)
			if !ok || r != nil || len(invalid.Problems) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s\ngot %v\nwant it to say only %q", c.text, err, c.want)
			}
		})
	}
}

func TestAllProblemsOfAFile(t *testing.T) {
	_, err := rules.Parse([]byte("rules:\n- tll: 1h\n- match: x\n  ttl: 5\n  ttl: 6\nrule: 1"))
	var lines []string
	for line := range strings.Lines(err.Error()) {
		parts := strings.Split(line, ": ")
		lines = append(lines, strings.Join(parts[:len(parts)-1], ": "))
	}
	for i, want := range []string{
		"line 2: rule 1: tll", "line 2: rule 1: match: missing", "line 3: rule 2: match",
		"line 4: rule 2: ttl", "line 5: rule 2: ttl", "line 6: rule",
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("problem %d is not %s:\n%v", i, want, err)
		}
	}
	// Reading stops at the limit, and a match after that is not reported as missing.
	for _, text := range []string{strings.Repeat("- {x: 1, y: 2, z: 3}\n", 1000), "- {" + strings.Repeat("x: 1, ", 1000) + "match: '{}'}"} {
		_, err := rules.Parse([]byte("rules:\n" + text))
		invalid, ok := errors.AsType[*rules.InvalidError](err)
		if !ok || len(invalid.Problems) != 20 || strings.Contains(text, "match") && strings.Contains(err.Error(), "missing") {
			t.Errorf("%.40q: got %v", text, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if r, err := rules.Load(write("good.yml", example)); err != nil || r.Len() != 4 {
		t.Errorf("got %v, %v", r, err)
	}
	most := "rules: []\n" + strings.Repeat("#", rules.MaxSize-10)
	if _, err := rules.Load(write("largest.yml", most)); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "none.yml"), filepath.Join(dir, "none.yml") + ": no such file"},
		{dir, dir + ": is a directory"},
		{write("bad.yml", "rules:\n- ttl: 1\n"), filepath.Join(dir, "bad.yml") + ": line 2: rule 1: ttl: 1: "},
		{write("bad.yml", "rules:\n- ttl: 1\n"), "\n" + filepath.Join(dir, "bad.yml") + ": line 2: rule 1: match: missing"},
		{write("larger.yml", most+"#"), filepath.Join(dir, "larger.yml") + ": larger than 1048576 bytes"},
	} {
		if r, err := rules.Load(c.path); err == nil || r != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to say %q", c.path, err, c.want)
		}
	}
}

// TestFilesThatWantToHang reads the largest files, which a careless reader would expand to
// something far larger.
func TestFilesThatWantToHang(t *testing.T) {
	laughs := "rules:\n- &a0 {match: '{}'}\n"
	for i := range 60 {
		laughs += fmt.Sprintf("- &a%d [%s]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 100))
	}
	fill := func(text, repeated string) string {
		return text + strings.Repeat(repeated, (rules.MaxSize-len(text))/len(repeated))
	}
	for _, text := range []string{
		laughs,
		"rules: &a [*a, *a]",
		"&a {rules: *a}",
		fill("rules: ", "["),
		fill("rules: ", "{x: "),
		fill("rules:\n- match: '{}'\n", "  x: *y\n"),
		fill("rules: &a [", "*a, "),
		fill("", "? "),
		fill("rules:", "\n#"),
		fill("rules:\n- match: '", "{"),
	} {
		at := time.Now()
		_, err := rules.Parse([]byte(text))
		if took := time.Since(at); took > 10*time.Second {
			t.Errorf("%.40q: took %v", text, took)
		}
		if err != nil && len(err.Error()) > 100_000 {
			t.Errorf("%.40q: %d bytes of error", text, len(err.Error()))
		}
	}
}

// canonical writes rules as a file.
func canonical(t testing.TB, r *rules.Rules) []byte {
	t.Helper()
	all := []map[string]string{}
	for _, rule := range r.All() {
		keys := map[string]string{"match": rule.Match()}
		for _, o := range pushoptions.Format(rule.Options()) {
			name, value, _ := strings.Cut(o, "=")
			keys[name] = value
		}
		all = append(all, keys)
	}
	text, err := yaml.Marshal(map[string]any{"rules": all})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzParse: a text is rejected with its problems, or means the same in its canonical form.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("rules: [{match: '{\"a.b\"=\"\\xff\\n\"}', ttl: 0}]"))
	f.Add([]byte("rules:\n- match: >\n   {a!~'b'}\n  timestamps: !!str drop\n---\n"))
	f.Add([]byte("rules: &a [*a]\n? x\n: |\n  y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := rules.Parse(text)
		if err != nil {
			if invalid, ok := errors.AsType[*rules.InvalidError](err); !ok || len(invalid.Problems) == 0 || r != nil {
				t.Fatalf("got %v, %v", r, err)
			}
			return
		}
		form := canonical(t, r)
		again, err := rules.Parse(form)
		if err != nil {
			t.Fatalf("%s\n%v", form, err)
		}
		if !slices.Equal(lines(again), lines(r)) {
			t.Fatalf("got %q, then %q", lines(r), lines(again))
		}
		for _, k := range []metric.GroupingKey{key("job", "x"), key("job", "backup", "env", "prod"), key("a", "b")} {
			if r.For(k) != again.For(k) {
				t.Fatalf("%s: got %+v, then %+v", k, r.For(k), again.For(k))
			}
		}
	})
}

func lines(r *rules.Rules) []string {
	var all []string
	for _, rule := range r.All() {
		all = append(all, rule.String())
	}
	return all
}
