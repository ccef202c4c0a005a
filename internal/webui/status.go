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
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// Status is what the status page shows.
type Status struct {
	api.Status
	Totals store.Totals
}

const (
	biggestJobs    = 10
	shownRefusals  = 25
	longestRefusal = 600
)

type statusPage struct {
	layout
	Status
	Held       string // size
	Started    moment
	LastCommit moment
	Jobs       int
	Biggest    []ranking
	Refusals   []refusal
	Admin      bool
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
func (p *Pages) Status(w http.ResponseWriter, r *http.Request, s Status, held Held) error {
	now := time.Now()
	page := statusPage{
		layout:     p.layoutOf(r, "Status", "status", 0),
		Status:     s,
		Held:       formatBytes(s.Totals.Bytes),
		Started:    momentOf(s.Started, now),
		LastCommit: momentOf(s.Storage.LastCommit, now),
		Jobs:       len(held.Listing.Jobs()),
		Admin:      held.Admin,
	}
	page.Refresh = 15
	if page.Jobs > 0 {
		page.Biggest = []ranking{
			rank("By series", held.Listing.Jobs(), func(j search.Job) int64 { return int64(j.Series) }, func(n int64) string { return formatCount(int(n)) }),
			rank("By size", held.Listing.Jobs(), func(j search.Job) int64 { return j.Bytes }, formatBytes),
		}
	}
	for i, e := range held.Log.Refusals() {
		if i == shownRefusals {
			break
		}
		shown := refusalOf(&e, now, &page.layout)
		shown.Message = cut(shown.Message, longestRefusal)
		page.Refusals = append(page.Refusals, shown)
	}
	return p.render(w, http.StatusOK, "status", page)
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
