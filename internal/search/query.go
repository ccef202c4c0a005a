// Package search finds and sorts groups by words, PromQL selectors and states. It is
// fast enough to search 100,000 groups while somebody types: it decodes no metrics.
// It knows neither HTTP nor pages.
package search

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
)

// State is the state of a group.
type State string

const (
	Any    State = "" // in queries only
	OK     State = "ok"
	Failed State = "failed" // the last push was rejected
	Old    State = "old"    // the last push is longer ago than Query.Age, or the group has expired
)

// States are all states of groups.
var States = [...]State{OK, Failed, Old}

// Column is a property that groups can be sorted by.
type Column string

const (
	ByLabels  Column = "labels" // by job first
	ByState   Column = "state"
	ByPushed  Column = "pushed"
	ByExpiry  Column = "expires" // groups that never expire last
	ByFailure Column = "failed"
	BySeries  Column = "series"
	ByBytes   Column = "bytes"
)

// Columns are all columns.
var Columns = [...]Column{ByLabels, ByState, ByPushed, ByExpiry, ByFailure, BySeries, ByBytes}

// DefaultAge is the default of Query.Age.
const DefaultAge = 24 * time.Hour

// Query selects groups and their order. Use NewQuery; the zero value is not valid.
type Query struct {
	matches  [][]*labels.Matcher // ORed; empty matches all
	selector []*labels.Matcher   // of the search text
	words    []string            // of the search text, in lower case, ANDed
	pairs    []pair              // of the search text, ANDed

	State      State
	Age        time.Duration // from which on a group is Old
	Sort       Column
	Descending bool
}

// Params are the parameters of a query as given in a URL.
type Params struct {
	Match  []string // PromQL selectors
	Search string   // words, or one PromQL selector
	State  string
	Age    string // a Prometheus duration, such as 1d
	Sort   string // a column, with - in front for descending
}

// A ParamError reports an invalid parameter.
type ParamError struct {
	Param string
	Err   error
}

func (e *ParamError) Error() string { return fmt.Sprintf("%s: %v", e.Param, e.Err) }
func (e *ParamError) Unwrap() error { return e.Err }

// maxParam is the maximum length of a parameter in bytes.
const maxParam = 4000

// NewQuery parses a query. The error is a *ParamError.
func NewQuery(p Params) (Query, error) {
	q := Query{Age: DefaultAge, Sort: ByLabels}
	if len(p.Search) > maxParam {
		return Query{}, &ParamError{"search", fmt.Errorf("longer than %d bytes", maxParam)}
	}
	if len(strings.Join(p.Match, "")) > maxParam {
		return Query{}, &ParamError{"match[]", fmt.Errorf("longer than %d bytes", maxParam)}
	}
	for _, text := range p.Match {
		matchers, err := selector.Parse(text)
		if err != nil {
			return Query{}, &ParamError{"match[]", err}
		}
		q.matches = append(q.matches, matchers)
	}
	search := strings.TrimSpace(p.Search)
	if strings.Contains(search, "{") {
		var err error
		if q.selector, err = selector.Parse(search); err != nil {
			return Query{}, &ParamError{"search", err}
		}
	} else {
		q.words, q.pairs = parseWords(strings.ToLower(search))
	}
	switch q.State = State(p.State); q.State {
	case Any, OK, Failed, Old:
	default:
		return Query{}, &ParamError{"state", fmt.Errorf("unknown state %.20q: use ok, failed or old", p.State)}
	}
	if p.Age != "" {
		age, err := model.ParseDuration(p.Age)
		if err != nil {
			return Query{}, &ParamError{"age", err}
		}
		if q.Age = time.Duration(age); q.Age <= 0 {
			return Query{}, &ParamError{"age", errors.New("must be longer than 0")}
		}
	}
	if p.Sort != "" {
		name, descending := strings.CutPrefix(p.Sort, "-")
		q.Sort, q.Descending = Column(name), descending
		if !slices.Contains(Columns[:], q.Sort) {
			return Query{}, &ParamError{"sort", fmt.Errorf(
				"unknown column %.20q: use labels, state, pushed, expires, failed, series or bytes, prefixed with - for descending order", p.Sort)}
		}
	}
	return q, nil
}

// All reports whether the query matches all groups.
func (q *Query) All() bool {
	return len(q.matches) == 0 && len(q.selector) == 0 && len(q.words) == 0 && len(q.pairs) == 0 && q.State == Any
}

// Unbounded returns the first of the query's match[] selectors that matches a group
// without labels; empty if there is none.
func (q *Query) Unbounded() string {
	for _, matchers := range q.matches {
		demands := func(m *labels.Matcher) bool { return !m.Matches("") }
		if !slices.ContainsFunc(matchers, demands) {
			var all []string
			for _, m := range matchers {
				all = append(all, m.String())
			}
			return "{" + strings.Join(all, ",") + "}"
		}
	}
	return ""
}

// parseWords splits text at spaces outside double quotes into words and pairs. Text in quotes is
// a word. An unclosed quote, as while somebody types, extends to the end.
func parseWords(text string) (words []string, pairs []pair) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end, quoted := 0, false
		for end < len(text) && (quoted || !strings.ContainsRune(" \t\n", rune(text[end]))) {
			if text[end] == '"' {
				quoted = !quoted
				if !quoted && text[0] == '"' {
					end++
					break
				}
			}
			end++
		}
		word := text[:end]
		text = text[end:]
		if p, ok := parsePair(word); ok {
			pairs = append(pairs, p)
		} else if word = strings.Trim(word, `"`); word != "" {
			words = append(words, word)
		}
	}
	return words, pairs
}

// StateOf returns the state of the row's group at the given time.
func (q *Query) StateOf(r *Row, now time.Time) State {
	switch {
	case r.Failed.After(r.Group.Pushed):
		return Failed
	case r.Group.Expired || now.Sub(r.Group.Pushed) > q.Age:
		return Old
	}
	return OK
}

// A pair is a word of the form name=value, which matches exactly this label, or name=value*, which
// matches values with this prefix. It is in lower case.
type pair struct {
	name, value string
	prefix      bool
}

// parsePair parses a word outside quotes. The value may be in quotes; an empty one matches groups
// without the label. A value that is not complete, as while somebody types, is treated as a
// prefix. ok is false if the word is not a pair.
func parsePair(word string) (p pair, ok bool) {
	if p.name, p.value, ok = strings.Cut(word, "="); !ok || p.name == "" || strings.Contains(p.name, `"`) {
		return pair{}, false
	}
	if value, opened := strings.CutPrefix(p.value, `"`); opened {
		value, closed := strings.CutSuffix(value, `"`)
		p.value, p.prefix = value, !closed
	} else if p.value == "" {
		p.prefix = true
	} else {
		p.value, p.prefix = strings.CutSuffix(p.value, "*")
	}
	return p, true
}

func (p pair) matches(key metric.GroupingKey) bool {
	for _, l := range key.Labels() {
		if strings.ToLower(l.Name) == p.name {
			value := strings.ToLower(l.Value)
			return value == p.value || p.prefix && strings.HasPrefix(value, p.value)
		}
	}
	return p.value == "" && !p.prefix
}

// PrefixHint returns the first pair of the search text that matches whole values only, rewritten as
// name=value* to match a prefix instead. It is empty if there is none.
func (q *Query) PrefixHint() string {
	for _, p := range q.pairs {
		if !p.prefix && p.value != "" {
			return p.name + "=" + p.value + "*"
		}
	}
	return ""
}

// keyContains reports whether a name or value of a label of the key contains the word, which
// is in lower case.
func keyContains(key metric.GroupingKey, word string) bool {
	for _, l := range key.Labels() {
		if contains(l.Value, word) || contains(l.Name, word) {
			return true
		}
	}
	return false
}

// contains reports whether s contains the word, which is in lower case, ignoring the
// case of s.
func contains(s, word string) bool {
	if len(s) == 0 {
		return word == ""
	}
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return strings.Contains(strings.ToLower(s), word)
		}
	}
	return strings.Contains(s, word)
}
