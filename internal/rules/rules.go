// Package rules reads how pushes are to be taken: the options that a push carries
// itself, and the operator's file of options for groups. It does not carry out any
// of them.
package rules

import (
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
)

// Rules are what the operator's file says. They are immutable; a nil *Rules has
// none.
type Rules struct {
	rules []Rule
}

// Rule gives options to the groups that it matches.
type Rule struct {
	matchers []*labels.Matcher // all must match; none match every group
	options  metric.Options
}

// For returns the options of the first rule that matches the group, none where no
// rule does. The cost is that of matching the rules before it: a look-up of the
// group's label and a comparison, or a regular expression, for each matcher up to
// the first that fails.
func (r *Rules) For(key metric.GroupingKey) metric.Options {
	if r == nil {
		return metric.Options{}
	}
	for i := range r.rules {
		if r.rules[i].matches(key) {
			return r.rules[i].options
		}
	}
	return metric.Options{}
}

// Len returns how many rules there are.
func (r *Rules) Len() int { return len(r.All()) }

// All returns the rules in their order. The caller must not change them.
func (r *Rules) All() []Rule {
	if r == nil {
		return nil
	}
	return r.rules
}

// matches reports whether the group has all labels that the rule asks for.
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

// Options returns what the rule gives to a group.
func (r Rule) Options() metric.Options { return r.options }

// String returns the selector and the options, such as {job="a"} ttl=2d merge=sum.
func (r Rule) String() string {
	return strings.Join(append([]string{r.Match()}, Format(r.options)...), " ")
}
