package webui

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/groupview"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// Status is what the status page shows.
type Status struct {
	api.Status
	Totals store.Totals
	Rules  Rules
}

// Rules are how pushes are taken that do not say it themselves.
type Rules struct {
	File     string
	Loaded   time.Time // when those in use were loaded; zero where there is no file
	Failed   string    // why the file was not loaded anew since; empty where it was
	All      []Rule    // in their order
	Defaults []string  // options for what no rule says, as name=value
}

// Rule is a rule in words.
type Rule struct {
	Match   string   // selector
	Options []string // as name=value
}

const (
	biggestJobs     = 10
	shownRejections = 25
	maxRejection    = 600

	shownRules = 100
	maxRule    = 300 // characters of a selector
	// rulesBudget bounds all selectors shown together, in characters.
	rulesBudget = 8000
)

type statusPage struct {
	layout
	Status
	Size       string
	Started    moment
	LastCommit moment
	Loaded     moment         // the rules
	Listed     []numberedRule // the first of them
	MoreRules  int
	Jobs       int
	Biggest    []ranking
	Rejections []rejection
	Rights     Rights
}

// numberedRule is a rule with its number, counted from 1 as in messages about the
// file.
type numberedRule struct {
	Number int
	Rule
}

// ranking is the biggest jobs by one measure.
type ranking struct {
	By   string
	Jobs []rankedJob
}

type rankedJob struct {
	Name, Link string
	Value      string
	Percent    string // of the biggest
	Groups     int
}

// Status answers GET /status.
func (p *Pages) Status(w http.ResponseWriter, r *http.Request, s Status, view *groupview.View, rights Rights) error {
	now := view.Now
	page := statusPage{
		layout:     p.layoutOf(r, "Status", "status", 0),
		Status:     s,
		Size:       formatBytes(s.Totals.Bytes),
		Started:    momentOf(s.Started, now),
		LastCommit: momentOf(s.Storage.LastCommit, now),
		Loaded:     momentOf(s.Rules.Loaded, now),
		Jobs:       len(view.Jobs()),
		Rights:     rights,
	}
	page.Refresh = 15
	page.Rules.Failed = cut(s.Rules.Failed, maxRejection)
	page.Listed = numbered(s.Rules.All)
	page.MoreRules = len(s.Rules.All) - len(page.Listed)
	if page.Jobs > 0 {
		page.Biggest = []ranking{
			rank("By series", view.Jobs(), func(j search.Job) int64 { return int64(j.Series) }, func(n int64) string { return formatCount(int(n)) }),
			rank("By size", view.Jobs(), func(j search.Job) int64 { return j.Bytes }, formatBytes),
		}
	}
	for i, e := range view.History().Rejections() {
		if i == shownRejections {
			break
		}
		shown := rejectionOf(&e, now, &page.layout)
		shown.Message = cut(shown.Message, maxRejection)
		page.Rejections = append(page.Rejections, shown)
	}
	return p.render(w, http.StatusOK, "status", page)
}

// numbered returns as many of the rules as the page has room for.
func numbered(rules []Rule) []numberedRule {
	var listed []numberedRule
	budget := rulesBudget
	for i, rule := range rules {
		rule.Match = cut(rule.Match, maxRule)
		budget -= len(rule.Match)
		if len(listed) == shownRules || budget < 0 {
			break
		}
		listed = append(listed, numberedRule{i + 1, rule})
	}
	return listed
}

func rank(by string, jobs []search.Job, measure func(search.Job) int64, format func(int64) string) ranking {
	sorted := slices.Clone(jobs)
	slices.SortFunc(sorted, func(a, b search.Job) int {
		return cmp.Or(cmp.Compare(measure(b), measure(a)), strings.Compare(a.Name, b.Name))
	})
	r := ranking{By: by}
	most := max(measure(sorted[0]), 1)
	for _, j := range sorted[:min(biggestJobs, len(sorted))] {
		selector := metric.FormatLabels([]metric.Label{{Name: metric.JobLabel, Value: j.Name}})
		link := "./?" + url.Values{"search": {selector}}.Encode()
		if len(link) > 1000 {
			link = "./"
		}
		r.Jobs = append(r.Jobs, rankedJob{
			Name:    cut(j.Name, 100),
			Link:    link,
			Value:   format(measure(j)),
			Percent: strconv.FormatFloat(max(0.5, 100*float64(measure(j))/float64(most)), 'f', 1, 64),
			Groups:  j.Groups,
		})
	}
	return r
}
