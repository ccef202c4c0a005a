package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/selector"
)

// Keys of the file other than options.
const (
	rulesKey = "rules"
	matchKey = "match"
)

// MaxSize is the maximum size of a rules file in bytes. That is thousands of rules, more
// than each push should have to be matched against.
const MaxSize = 1 << 20

// maxProblems is the number of problems after which reading a file stops.
const maxProblems = 20

// InvalidError lists the problems of a rules file.
type InvalidError struct {
	File     string   // empty if the text was not read from a file
	Problems []string // each with its line, and its rule and key if it has them
}

// Error returns one line per problem.
func (e *InvalidError) Error() string {
	prefix := ""
	if e.File != "" {
		prefix = e.File + ": "
	}
	return prefix + strings.Join(e.Problems, "\n"+prefix)
}

// Load reads a rules file. Every error names the file. It is an *InvalidError if the
// file could be read but not used.
func Load(file string) (*Rules, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	rules, err := Parse(text)
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		invalid.File = file
	}
	return rules, err
}

// Parse parses the text of a rules file. Unknown keys are errors. The error is an
// *InvalidError that lists all problems, up to a limit.
func Parse(text []byte) (*Rules, error) {
	if len(text) > MaxSize {
		return nil, &InvalidError{Problems: []string{fmt.Sprintf("larger than %d bytes", MaxSize)}}
	}
	root, err := parseYAML(text)
	if err != nil {
		return nil, &InvalidError{Problems: []string{strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	var f fileReader
	rules := f.file(root)
	if len(f.problems) > 0 {
		return nil, &InvalidError{Problems: f.problems}
	}
	return &Rules{rules: rules}, nil
}

// parseYAML returns the root node of the only document of a text, or nil if the text has
// no document. It does not resolve aliases, so the number of nodes is bounded by the
// size of the text.
func parseYAML(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document starts; all rules must be in one", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return document.Content[0], nil
}

// fileReader converts YAML nodes to rules and collects their problems.
type fileReader struct {
	problems []string
}

// report records a problem of the rule with the given number, counted from 1; 0 is for a
// problem outside the rules.
func (f *fileReader) report(line, rule int, format string, args ...any) {
	where := fmt.Sprintf("line %d: ", line)
	if rule > 0 {
		where += fmt.Sprintf("rule %d: ", rule)
	}
	f.problems = append(f.problems, metric.Shorten(where+fmt.Sprintf(format, args...)))
}

func (f *fileReader) full() bool { return len(f.problems) >= maxProblems }

func (f *fileReader) file(root *yaml.Node) []Rule {
	if root == nil || isNull(root) {
		f.report(1, 0, "the file is empty; a file without rules says %s: []", rulesKey)
		return nil
	}
	if root.Kind != yaml.MappingNode {
		f.report(root.Line, 0, "the file must start with the key %s and a list of rules below it", rulesKey)
		return nil
	}
	var rules []Rule
	listed := false
	for e := range f.entries(root, 0, rulesKey) {
		listed = true
		switch {
		case isNull(e.value): // for example because all rules are commented out
		case e.value.Kind != yaml.SequenceNode:
			f.report(e.value.Line, 0, "%s: must be a list in which each rule starts with a dash, but it is %s", rulesKey, kindOf(e.value))
		default:
			for i, node := range e.value.Content {
				if f.full() {
					break
				}
				rules = append(rules, f.rule(node, i+1))
			}
		}
	}
	if !listed && len(f.problems) == 0 {
		f.report(root.Line, 0, "%s: missing; a file without rules says %s: []", rulesKey, rulesKey)
	}
	return rules
}

// rule reads the rule with the given number.
func (f *fileReader) rule(node *yaml.Node, number int) Rule {
	var rule Rule
	if node.Kind != yaml.MappingNode {
		f.report(node.Line, number, "must be a mapping with the keys %s, but it is %s", strings.Join(ruleKeys(), ", "), kindOf(node))
		return rule
	}
	matched := false
	gaugesLine := node.Line
	for e := range f.entries(node, number, ruleKeys()...) {
		if e.key == matchKey {
			matched = true
			rule.matchers = f.match(e, number)
			continue
		}
		if e.key == "gauges" {
			gaugesLine = e.line
		}
		if kind := slices.IndexFunc(limits.Kinds(), func(k limits.Kind) bool { return k.String() == e.key }); kind >= 0 {
			rule.limits = f.limit(e, number, limits.Kind(kind), rule.limits)
			continue
		}
		rule.options = rule.options.Or(f.option(e, number))
	}
	if !matched && !f.full() {
		f.report(node.Line, number, "%s: missing; a rule for all groups has %s: '{}'", matchKey, matchKey)
	}
	if !pushoptions.Compatible(rule.options) {
		f.report(gaugesLine, number, "gauges: does not go with merge: %s; gauges are only merged with merge: sum",
			pushoptions.Value("merge", rule.options))
	}
	return rule
}

// ruleKeys returns the keys that a rule may have.
func ruleKeys() []string {
	keys := append([]string{matchKey}, pushoptions.Names()...)
	for _, kind := range limits.Kinds() {
		keys = append(keys, kind.String())
	}
	return keys
}

// limit reads a limit of a rule and returns the rule's limits with it.
func (f *fileReader) limit(e entry, rule int, kind limits.Kind, to limits.Limits) limits.Limits {
	text, ok := f.scalar(e, rule)
	if !ok {
		return to
	}
	max, err := limits.Parse(kind, text)
	if err != nil {
		f.report(e.line, rule, "%s: %s: %v", e.key, pushoptions.Quote(text), err)
		return to
	}
	return to.With(kind, max)
}

// match reads the selector of a rule.
func (f *fileReader) match(e entry, rule int) []*labels.Matcher {
	if e.value.Kind == yaml.MappingNode {
		f.report(e.line, rule, `%s: put the selector in quotes, as in %s: '{job="backup"}'`, matchKey, matchKey)
		return nil
	}
	text, ok := f.scalar(e, rule)
	if !ok {
		return nil
	}
	matchers, err := parseSelector(text)
	if err != nil {
		f.report(e.line, rule, "%s: %s: %v", matchKey, pushoptions.Quote(text), err)
	}
	return matchers
}

// parseSelector parses a selector that matches labels only.
func parseSelector(text string) ([]*labels.Matcher, error) {
	matchers, err := selector.Parse(text)
	for _, m := range matchers {
		if m.Name == metric.NameLabel {
			return nil, fmt.Errorf("matches the metric name %s, but rules are for groups, which only have labels", pushoptions.Quote(m.Value))
		}
	}
	return matchers, err
}

// option reads an option of a rule.
func (f *fileReader) option(e entry, rule int) metric.Options {
	text, ok := f.value(e, rule)
	if !ok {
		return metric.Options{}
	}
	option, err := pushoptions.Parse(e.key, text)
	if err != nil {
		f.report(e.line, rule, "%s: %s: %v", e.key, pushoptions.Quote(text), err)
		return metric.Options{}
	}
	return option
}

// entry is a key of a mapping and its value.
type entry struct {
	key   string
	line  int // of the key
	value *yaml.Node
}

// entries iterates over the entries of a mapping that have one of the given keys, in the
// order of the text. All others are reported as problems.
func (f *fileReader) entries(mapping *yaml.Node, rule int, keys ...string) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		lines := map[string]int{}
		for i := 0; i+1 < len(mapping.Content) && !f.full(); i += 2 {
			key := mapping.Content[i]
			e := entry{key.Value, key.Line, mapping.Content[i+1]}
			switch before, again := lines[e.key]; {
			case key.Kind != yaml.ScalarNode:
				f.report(e.line, rule, "a key is %s; the keys here are %s", kindOf(key), strings.Join(keys, ", "))
			case !slices.Contains(keys, e.key):
				f.report(e.line, rule, "%s: unknown; the keys here are %s", pushoptions.Quote(e.key), strings.Join(keys, ", "))
			case again:
				f.report(e.line, rule, "%s: already given in line %d", e.key, before)
			default:
				lines[e.key] = e.line
				if !yield(e) {
					return
				}
			}
		}
	}
}

// value returns the value of an entry for an option. A list is joined with commas if the
// option allows that.
func (f *fileReader) value(e entry, rule int) (text string, ok bool) {
	if e.value.Kind != yaml.SequenceNode || !pushoptions.IsList(e.key) {
		return f.scalar(e, rule)
	}
	var items []string
	for _, item := range e.value.Content {
		text, ok := f.scalar(entry{e.key, item.Line, item}, rule)
		if !ok {
			return "", false
		}
		items = append(items, text)
	}
	return strings.Join(items, ","), true
}

// scalar returns the value of an entry as it is written, whether it is a string or a
// number.
func (f *fileReader) scalar(e entry, rule int) (text string, ok bool) {
	switch {
	case isNull(e.value):
		f.report(e.line, rule, "%s: has no value", e.key)
	case e.value.Kind != yaml.ScalarNode:
		f.report(e.line, rule, "%s: must be a single value, but it is %s", e.key, kindOf(e.value))
	default:
		return e.value.Value, true
	}
	return "", false
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// kindOf describes a node for use in a message.
func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, which this file cannot have: write the value itself"
	}
	if isNull(node) {
		return "empty"
	}
	return "the value " + pushoptions.Quote(node.Value)
}
