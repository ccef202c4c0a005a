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

	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
)

// Keys of the file that are not options.
const (
	rulesKey = "rules"
	matchKey = "match"
)

// MaxSize is how many bytes a file may have. It holds thousands of rules, more than
// each push should have to go through.
const MaxSize = 1 << 20

// maxProblems is how many problems of a file are found before the rest is left
// unread.
const maxProblems = 20

// InvalidError lists what is wrong with a file of rules.
type InvalidError struct {
	File     string   // empty where the text is of no file
	Problems []string // each with line, rule and key, as far as it has them
}

// Error returns a line for each problem.
func (e *InvalidError) Error() string {
	prefix := ""
	if e.File != "" {
		prefix = e.File + ": "
	}
	return prefix + strings.Join(e.Problems, "\n"+prefix)
}

// Load reads the rules of a file. Errors name it; where the file could be read,
// they are an *InvalidError.
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

// Parse reads the text of a file of rules. It takes nothing that it does not
// know. The error is an *InvalidError.
func Parse(text []byte) (*Rules, error) {
	if len(text) > MaxSize {
		return nil, &InvalidError{Problems: []string{fmt.Sprintf("larger than the %d bytes that are read", MaxSize)}}
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

// parseYAML returns the root of the only document of a text, nil where there is
// none. It makes a node for what stands in the text and not for what aliases stand
// for, so the number of nodes is bounded by the size of the text.
func parseYAML(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins; the rules must be in one", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return document.Content[0], nil
}

// A fileReader makes rules of YAML nodes and gathers what is wrong with them.
type fileReader struct {
	problems []string
}

// report takes down a problem. Rules count from 1; 0 is outside of them.
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
		f.report(1, 0, "there is nothing in it: a file that is to have no rules says %s: []", rulesKey)
		return nil
	}
	if root.Kind != yaml.MappingNode {
		f.report(root.Line, 0, "the file must begin with the key %s, with a list of rules below it", rulesKey)
		return nil
	}
	var rules []Rule
	listed := false
	for e := range f.entries(root, 0, rulesKey) {
		listed = true
		switch {
		case isNull(e.value): // as where all rules below it are commented out
		case e.value.Kind != yaml.SequenceNode:
			f.report(e.value.Line, 0, "%s: must be a list, each rule of which begins with a dash; it is %s", rulesKey, kindOf(e.value))
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
		f.report(root.Line, 0, "%s: missing; a file that is to have no rules says %s: []", rulesKey, rulesKey)
	}
	return rules
}

// rule reads the rule with the given number.
func (f *fileReader) rule(node *yaml.Node, number int) Rule {
	var rule Rule
	if node.Kind != yaml.MappingNode {
		f.report(node.Line, number, "must be a mapping with the keys %s, %s; it is %s", matchKey, Names(), kindOf(node))
		return rule
	}
	keys := []string{matchKey}
	for i := range known {
		keys = append(keys, known[i].name)
	}
	matched := false
	gaugesLine := node.Line
	for e := range f.entries(node, number, keys...) {
		if e.key == matchKey {
			matched = true
			rule.matchers = f.match(e, number)
			continue
		}
		if e.key == "gauges" {
			gaugesLine = e.line
		}
		rule.options = rule.options.Or(f.option(e, number))
	}
	if !matched && !f.full() {
		f.report(node.Line, number, "%s: missing; a rule for all groups has %s: '{}'", matchKey, matchKey)
	}
	if !fit(rule.options) {
		f.report(gaugesLine, number, "gauges: does not go with merge: %s; gauges are only added up with merge: sum", known[find("merge")].format(rule.options))
	}
	return rule
}

// match reads the selector of a rule.
func (f *fileReader) match(e entry, rule int) []*labels.Matcher {
	if e.value.Kind == yaml.MappingNode {
		f.report(e.line, rule, `%s: a selector must stand in quotes, as in %s: '{job="backup"}'`, matchKey, matchKey)
		return nil
	}
	text, ok := f.scalar(e, rule)
	if !ok {
		return nil
	}
	matchers, err := parseSelector(text)
	if err != nil {
		f.report(e.line, rule, "%s: %s: %v", matchKey, plain(text), err)
	}
	return matchers
}

// parseSelector parses a selector of labels only.
func parseSelector(text string) ([]*labels.Matcher, error) {
	matchers, err := selector.Parse(text)
	for _, m := range matchers {
		if m.Name == metric.NameLabel {
			return nil, fmt.Errorf("asks for the metric name %s, but rules are for groups, which have labels only", plain(m.Value))
		}
	}
	return matchers, err
}

// option reads an option of a rule.
func (f *fileReader) option(e entry, rule int) metric.Options {
	text, ok := f.scalar(e, rule)
	if !ok {
		return metric.Options{}
	}
	means, err := known[find(e.key)].parse(text)
	if err != nil {
		f.report(e.line, rule, "%s: %s: %v", e.key, plain(text), err)
		return metric.Options{}
	}
	return means
}

// An entry is a key of a mapping with its value.
type entry struct {
	key   string
	line  int // of the key
	value *yaml.Node
}

// entries goes through the entries of a mapping that have one of the given keys, in
// the order of the text, and reports all others.
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
				f.report(e.line, rule, "%s: unknown; the keys here are %s", plain(e.key), strings.Join(keys, ", "))
			case again:
				f.report(e.line, rule, "%s: given already in line %d", e.key, before)
			default:
				lines[e.key] = e.line
				if !yield(e) {
					return
				}
			}
		}
	}
}

// scalar returns the value of an entry as it is written, be it a text or a number.
func (f *fileReader) scalar(e entry, rule int) (text string, ok bool) {
	switch {
	case isNull(e.value):
		f.report(e.line, rule, "%s: has no value", e.key)
	case e.value.Kind != yaml.ScalarNode:
		f.report(e.line, rule, "%s: must be a single value; it is %s", e.key, kindOf(e.value))
	default:
		return e.value.Value, true
	}
	return "", false
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// kindOf says what a node is, in words for a message.
func kindOf(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, and aliases are not resolved here: write what it stands for"
	}
	if isNull(node) {
		return "empty"
	}
	return "the value " + plain(node.Value)
}
