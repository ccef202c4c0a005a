// Package rules reads the rules file, which gives push options to the groups that a
// selector matches, and keeps the rules in use up to date when the file is loaded again.
package rules

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/selector"
)

// Rules are the rules of a file, in their order. They are immutable. A nil *Rules has
// no rules.
type Rules struct {
	rules []Rule
}

// Rule gives options to the groups that it matches.
type Rule struct {
	matchers []*labels.Matcher // all must match; with none, the rule matches every group
	options  metric.Options
	limits   limits.Limits
}

// For returns the options of the first rule that matches the group, or no options if no
// rule does. It costs a label look-up and a comparison, or a regular expression, for
// each matcher up to the first that fails, rule by rule.
func (r *Rules) For(key metric.GroupingKey) metric.Options {
	if i := r.Find(key); i >= 0 {
		return r.rules[i].options
	}
	return metric.Options{}
}

// Find returns the index in All of the first rule that matches the group, or -1. Its cost
// is that of For.
func (r *Rules) Find(key metric.GroupingKey) int {
	if r == nil {
		return -1
	}
	return slices.IndexFunc(r.rules, func(rule Rule) bool { return rule.matches(key) })
}

// Len returns the number of rules.
func (r *Rules) Len() int { return len(r.All()) }

// All returns the rules in their order. The caller must not change them.
func (r *Rules) All() []Rule {
	if r == nil {
		return nil
	}
	return r.rules
}

// matches reports whether all matchers match the group's labels.
func (r *Rule) matches(key metric.GroupingKey) bool {
	for _, m := range r.matchers {
		if !selector.Matches(m, key) {
			return false
		}
	}
	return true
}

// Match returns the rule's selector in its canonical form.
func (r Rule) Match() string {
	var all []string
	for _, m := range r.matchers {
		all = append(all, m.String())
	}
	return "{" + strings.Join(all, ",") + "}"
}

// Options returns the options that the rule gives to a group.
func (r Rule) Options() metric.Options { return r.options }

// Limits returns the limits that the rule sets for the group or its pushes.
func (r Rule) Limits() limits.Limits { return r.limits }

// Settings returns the options and limits of the rule, each as name=value.
func (r Rule) Settings() []string { return append(pushoptions.Format(r.options), r.limits.Format()...) }

// String returns the selector and the settings, such as {job="a"} ttl=2d merge=sum.
func (r Rule) String() string { return strings.Join(append([]string{r.Match()}, r.Settings()...), " ") }
