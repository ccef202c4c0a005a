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
	"pushgateway/internal/words"
)

// Status is the content of the status page, besides the groups.
type Status struct {
	api.Status
	Totals store.Totals
	Rules  Rules
}

// Rules are the options of pushes that set none themselves.
type Rules struct {
	File     string
	Loaded   time.Time // when the current rules were loaded; zero if there is no file
	Failed   string    // why the last reload failed; empty if it succeeded
	All      []Rule    // in order
	Defaults []string  // options that no rule sets, as name=value
}

// Rule is a rule as text.
type Rule struct {
	Match   string   // selector
	Options []string // as name=value
}

const (
	maxJobs             = 10
	maxRejections       = 25
	maxRejectionMessage = 600 // characters

	maxRules    = 100
	maxSelector = 300 // characters
	// rulesBudget is the maximum length of all selectors together in characters.
	rulesBudget = 8000
)

type statusPage struct {
	layout
	Status
	Size       string
	Started    moment
	LastCommit moment

	LastContact   moment // with the database
	ReplicaRows   []replicaRow
	ConfigDiffers bool
	ClockSkew     string         // empty if it is small
	Loaded        moment         // the rules
	Listed        []numberedRule // the first of them
	MoreRules     int
	Jobs          int
	Largest       []ranking
	Rejections    []rejection
	Scrapers      []scraper
}

// numberedRule is a rule with its number, counted from 1, as in messages about the rules
// file.
type numberedRule struct {
	Number int
	Rule
}

// ranking lists the largest jobs by one measure.
type ranking struct {
	By   string
	Jobs []rankedJob
}

type rankedJob struct {
	Name, Link string
	Value      string
	Percent    string // of the largest
	Groups     int
}

// Status answers GET /status.
func (p *Pages) Status(w http.ResponseWriter, r *http.Request, s Status, view *groupview.View, visitor Visitor) error {
	now := view.Now
	page := statusPage{
		layout:     p.layoutOf(r, visitor, "Status", "status", 0),
		Status:     s,
		Size:       words.Bytes(s.Totals.Bytes),
		Started:    momentOf(s.Started, now),
		LastCommit: momentOf(s.Storage.LastCommit, now),
		Loaded:     momentOf(s.Rules.Loaded, now),
		Jobs:       len(view.Jobs()),
	}
	page.ReplicaRows, page.ConfigDiffers = replicaRows(s.Replicas, now)
	page.ClockSkew = describeSkew(s.Replicas)
	if s.Replicas != nil {
		page.LastContact = momentOf(s.Replicas.LastContact, now)
	}
	page.Refresh = 15
	page.Rules.Failed = cut(s.Rules.Failed, maxRejectionMessage)
	page.Listed = numbered(s.Rules.All)
	page.MoreRules = len(s.Rules.All) - len(page.Listed)
	if page.Jobs > 0 {
		page.Largest = []ranking{
			rank("By series", view.Jobs(), func(j search.Job) int64 { return int64(j.Series) },
				func(n int64) string { return words.Count(int(n)) }),
			rank("By size", view.Jobs(), func(j search.Job) int64 { return j.Bytes }, words.Bytes),
		}
	}
	for _, s := range view.Scrapes() {
		page.Scrapers = append(page.Scrapers, scraper{momentOf(s.At, now), s.Source, s.Client})
	}
	for i, e := range view.Rejections() {
		if i == maxRejections {
			break
		}
		shown := rejectionOf(&e, now, &page.layout)
		shown.Message = cut(shown.Message, maxRejectionMessage)
		page.Rejections = append(page.Rejections, shown)
	}
	return p.render(w, http.StatusOK, "status", page)
}

// numbered returns the first rules, as many as the page has room for.
func numbered(rules []Rule) []numberedRule {
	var listed []numberedRule
	budget := rulesBudget
	for i, rule := range rules {
		rule.Match = cut(rule.Match, maxSelector)
		budget -= len(rule.Match)
		if len(listed) == maxRules || budget < 0 {
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
	largest := max(measure(sorted[0]), 1)
	for _, j := range sorted[:min(maxJobs, len(sorted))] {
		link := "./" + jobLink(j.Name)
		if len(link) > 1000 {
			link = "./"
		}
		r.Jobs = append(r.Jobs, rankedJob{
			Name:    cut(j.Name, 100),
			Link:    link,
			Value:   format(measure(j)),
			Percent: strconv.FormatFloat(max(0.5, 100*float64(measure(j))/float64(largest)), 'f', 1, 64),
			Groups:  j.Groups,
		})
	}
	return r
}

// jobLink returns the query of a link to the list of a job's groups.
func jobLink(job string) string {
	selector := metric.FormatLabels([]metric.Label{{Name: metric.JobLabel, Value: job}})
	return "?" + url.Values{"search": {selector}}.Encode()
}
