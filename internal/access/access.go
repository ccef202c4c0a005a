// Package access decides who may do what. It reads the auth file, identifies the
// sender of a request by a token, a password, a session, a client certificate or a
// trusted proxy's header, and says whether that sender has a right for a group. It
// knows no URLs: which right a route needs is for package web.
package access

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
)

// A Right is something that a user may be allowed to do.
type Right uint8

const (
	Push   Right = iota // push to groups
	Delete              // delete groups
	Scrape              // read all metrics, as Prometheus does
	Read                // use the pages and the API
	Admin               // wipe, backup, reload, quit, profiles

	rightCount = iota
)

var rightNames = [rightCount]string{"push", "delete", "scrape", "read", "admin"}

// Rights returns all rights.
func Rights() []Right { return []Right{Push, Delete, Scrape, Read, Admin} }

// String returns the name of the right in the auth file.
func (r Right) String() string { return rightNames[r] }

// Bounded reports whether a user's match bounds the right. The others are for the
// gateway as a whole.
func (r Right) Bounded() bool { return r == Push || r == Delete || r == Read }

// rightSet is a set of rights.
type rightSet uint8

func (s rightSet) has(r Right) bool { return s&(1<<r) != 0 }

func (s rightSet) String() string {
	var names []string
	for _, r := range Rights() {
		if s.has(r) {
			names = append(names, r.String())
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Anonymous is what requests without a credential are called in messages and
// logs. No user can have the name.
const Anonymous = "anonymous"

// A Principal is the sender of a request. It is immutable. A nil *Principal may do
// nothing.
type Principal struct {
	name  string
	allow rightSet
	match []*labels.Matcher // all must match the group; none match every group
}

// unrestricted is who sends requests to a gateway without an auth file.
var unrestricted = &Principal{allow: 1<<rightCount - 1}

// nobody is the sender of a request without a credential if the auth file does not say
// what such requests may do.
var nobody = &Principal{name: Anonymous}

// Name returns the name of the user, "anonymous" if the request had no credential,
// and nothing if there is no auth file.
func (p *Principal) Name() string {
	if p == nil {
		return Anonymous
	}
	return p.name
}

// Anonymous reports whether the request had no credential although there is an auth
// file.
func (p *Principal) Anonymous() bool { return p.Name() == Anonymous }

// Has reports whether the principal has the right, be it for some groups only.
func (p *Principal) Has(right Right) bool { return p != nil && p.allow.has(right) }

// Limited reports whether there are groups that a right of the principal is not for.
func (p *Principal) Limited() bool { return p != nil && len(p.match) > 0 }

// Match returns the selector that the principal's rights are for, {} if they are for
// every group.
func (p *Principal) Match() string {
	if p == nil {
		return "{}"
	}
	return selectorOf(p.match)
}

// Allows returns the names of the principal's rights.
func (p *Principal) Allows() string {
	if p == nil {
		return rightSet(0).String()
	}
	return p.allow.String()
}

// Describe lists the principal's rights and what they are for, such as
//
//	push, delete for {team="checkout"}; scrape
func (p *Principal) Describe() string {
	if !p.Limited() {
		return p.Allows()
	}
	var bounded, others rightSet
	for _, r := range Rights() {
		switch {
		case !p.Has(r):
		case r.Bounded():
			bounded |= 1 << r
		default:
			others |= 1 << r
		}
	}
	var parts []string
	if bounded != 0 {
		parts = append(parts, bounded.String()+" for "+p.Match())
	}
	if others != 0 || bounded == 0 {
		parts = append(parts, others.String())
	}
	return strings.Join(parts, "; ")
}

// May reports whether the principal has the right for the group called key.
func (p *Principal) May(right Right, key metric.GroupingKey) bool {
	return p.Has(right) && (!right.Bounded() || p.matches(key))
}

// Check returns nil if the principal has the right, be it for some groups only, and
// otherwise a *DeniedError.
func (p *Principal) Check(right Right) error {
	if p.Has(right) {
		return nil
	}
	return &DeniedError{Right: right, principal: p}
}

// CheckGroup returns nil if the principal has the right for the group called key, and
// otherwise a *DeniedError. It does not depend on whether there is such a group.
func (p *Principal) CheckGroup(right Right, key metric.GroupingKey) error {
	if p.May(right, key) {
		return nil
	}
	return &DeniedError{Right: right, Group: key, principal: p}
}

func (p *Principal) matches(key metric.GroupingKey) bool {
	for _, m := range p.match {
		if !selector.Matches(m, key) {
			return false
		}
	}
	return true
}

func selectorOf(match []*labels.Matcher) string {
	all := make([]string, len(match))
	for i, m := range match {
		all[i] = m.String()
	}
	return "{" + strings.Join(all, ",") + "}"
}

// A DeniedError says which right the sender of a request lacks.
type DeniedError struct {
	Right     Right
	Group     metric.GroupingKey // the zero value if the right is missing for every group
	principal *Principal
}

// Anonymous reports whether the request had no credential, so that one might help.
func (e *DeniedError) Anonymous() bool { return e.principal.Anonymous() }

// Error names the missing right and, of a known sender, the rights that it has instead.
func (e *DeniedError) Error() string {
	var b strings.Builder
	if e.Anonymous() {
		fmt.Fprintf(&b, "this needs the right %s", e.Right)
		if e.Group.ID() != "" {
			fmt.Fprintf(&b, " for the group %s", e.Group)
		}
		b.WriteString(": send a credential that has it")
		return metric.Shorten(b.String())
	}
	fmt.Fprintf(&b, "%s lacks the right %s", e.principal.Name(), e.Right)
	if e.Group.ID() != "" && e.principal.Has(e.Right) {
		fmt.Fprintf(&b, " for the group %s: it has it for %s only", e.Group, e.principal.Match())
	} else {
		fmt.Fprintf(&b, ": it has %s", e.principal.Allows())
	}
	return metric.Shorten(b.String())
}
