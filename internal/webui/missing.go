package webui

import (
	"net/url"
	"strings"
	"time"

	"pushgateway/internal/groupview"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// missing says why a group may be missing in Prometheus.
type missing struct {
	Checks    []check
	Scrapers  []scraper
	Query     *copyable // for the group in Prometheus; nil if its labels are too long
	QueryLink string    // to the query in Prometheus; may be empty
	Renamed   *copyable // the same without honor_labels
}

// check is one step from the push to Prometheus.
type check struct {
	State search.State // old for a doubt
	What  string
	Text  string
	At    moment // between Text and Rest; may be never
	Rest  string
	Help  string // link below the gateway's root; may be empty
}

// scraper is one that has scraped the gateway.
type scraper struct {
	At             moment
	Source, Client string
}

const (
	maxScrapers = 3
	// lookback is how long Prometheus shows a series after the last scrape that had it,
	// unless it is configured otherwise.
	lookback = 5 * time.Minute
)

// missingOf follows the group from its last push to Prometheus. scrapes are the scrapes of
// the gateway, the latest first.
func (p *Pages) missingOf(g *groupview.Group, scrapes []history.Scrape, now time.Time) missing {
	m := missing{Checks: []check{pushCheck(g, now), scrapeCheck(g, lastOf(scrapes), now)}}
	for _, s := range scrapes[:min(len(scrapes), maxScrapers)] {
		m.Scrapers = append(m.Scrapers, scraper{momentOf(s.At, now), s.Source, s.Client})
	}
	if len(g.Key.Path()) > maxCopied {
		return m
	}
	query := store.PushTime + g.Key.String()
	m.Query = &copyable{"copy-query", "Query for the group in Prometheus", query}
	m.Renamed = &copyable{"copy-renamed", "Query without honor_labels", store.PushTime + renamed(g.Key)}
	if p.config.Prometheus != "" {
		m.QueryLink = strings.TrimRight(p.config.Prometheus, "/") + "/graph?" + url.Values{"g0.expr": {query}, "g0.tab": {"1"}}.Encode()
	}
	return m
}

// lastOf returns the time of the latest scrape; zero if there is none.
func lastOf(scrapes []history.Scrape) time.Time {
	if len(scrapes) == 0 {
		return time.Time{}
	}
	return scrapes[0].At
}

func pushCheck(g *groupview.Group, now time.Time) check {
	c := check{State: search.OK, What: "pushed", Text: "The last push was accepted", At: momentOf(g.Pushed, now), Rest: "."}
	switch {
	case g.Pushed.IsZero():
		c.State, c.What = search.Failed, "not pushed"
		c.Text, c.Rest = "No push was accepted, so there is nothing to scrape.", ""
	case g.Expired():
		c.State, c.What, c.Text = search.Failed, "expired", "The group has expired; only its push times are left. Its last push was accepted"
	case g.State == search.Failed:
		c.State, c.What = search.Failed, "rejected"
		c.Text = "The last push was rejected. What Prometheus gets was pushed"
	case g.State == search.Old:
		c.State, c.What, c.Rest = search.Old, "old", ". Prometheus keeps getting these values until the group is deleted or expires."
	}
	return c
}

func scrapeCheck(g *groupview.Group, last, now time.Time) check {
	c := check{State: search.OK, What: "scraped", Text: "The gateway was last scraped", At: momentOf(last, now)}
	const config = "help#prometheus"
	switch {
	case last.IsZero():
		c.State, c.What, c.Help = search.Failed, "not scraped", config
		c.Text = "Nobody has scraped the gateway since it started."
	case now.Sub(last) > lookback:
		c.State, c.What, c.Help = search.Failed, "not scraped", config
		c.Rest = ". Prometheus shows series for 5 minutes after the last scrape that had them."
	case g.Pushed.IsZero():
		c.Rest = "."
	case last.Before(g.Pushed):
		c.State, c.What, c.Rest = search.Old, "not yet", ", before the last accepted push. Wait for the next scrape."
	default:
		c.Rest = ", after the last accepted push."
	}
	return c
}

// renamed returns the selector of the group in a Prometheus that does not honor its labels.
func renamed(key metric.GroupingKey) string {
	var labels []metric.Label
	for _, l := range key.Labels() {
		if l.Name == metric.JobLabel || l.Name == metric.InstanceLabel {
			l.Name = "exported_" + l.Name
		}
		labels = append(labels, l)
	}
	return metric.FormatLabels(labels)
}
