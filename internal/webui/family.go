package webui

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// Limits of what one page shows of a group. Larger families have pages of their own.
const (
	familiesPerPage = 50

	previewSamples    = 10 // of each family
	previewCharts     = 2
	previewBucketRows = 20

	samplesPerPage = 100
	chartsPerPage  = 5
	pageBucketRows = 200

	// pageBudget is the maximum length of all families of a page in characters. A
	// character takes up to five bytes when escaped.
	pageBudget = 18_000
)

// family is a metric family as the page shows it.
type family struct {
	Name, Type, Help, Unit string
	At                     moment // of its last push; never if that is the group's last push
	Link                   string // to the family's own page
	Samples                []sample
	Charts                 []chart
	Hidden                 int // samples not shown here
	Open                   bool
}

// Rows returns the number of rows that the family takes in the table of metrics.
func (f *family) Rows() int {
	if f.Hidden > 0 {
		return len(f.Samples) + 1
	}
	return len(f.Samples)
}

// sample is a metric with a single value.
type sample struct {
	Labels  []chip
	More    int
	Value   number
	Meaning string
}

// link returns a link to another family or page of this group.
func (page *groupPage) link(family string, number int) string {
	v := url.Values{}
	if page.Search != "" {
		v.Set("search", page.Search)
	}
	if family != "" {
		v.Set("family", family)
	}
	if number > 1 {
		v.Set("page", strconv.Itoa(number))
	}
	return withFrom(page.Self, v, page.From)
}

// fill adds the families to the page.
func (page *groupPage) fill(g *store.Group, number int, now time.Time) {
	type match struct {
		family  *store.EncodedFamily
		metrics []metric.Metric // that match; nil for all
	}
	var matching []match
	word := strings.ToLower(page.Search)
	for _, c := range pushedFirst(g.Families) {
		switch {
		case page.Family != "" && c.Name() != page.Family:
		case word == "" || strings.Contains(strings.ToLower(c.Name()), word) || strings.Contains(strings.ToLower(c.Help()), word):
			matching = append(matching, match{family: c})
		default:
			if metrics := withLabel(c.Metrics(), word); len(metrics) > 0 {
				matching = append(matching, match{c, metrics})
			}
		}
	}
	page.FamilyCount = len(matching)
	if page.Family != "" {
		if len(matching) == 0 {
			return
		}
		c, metrics := matching[0].family, matching[0].metrics
		if metrics == nil {
			metrics = c.Metrics()
		}
		perPage := samplesPerPage
		if isChart(c.Type()) {
			perPage = chartsPerPage
		}
		pages := max(1, (len(metrics)+perPage-1)/perPage)
		number = min(max(number, 1), pages)
		page.Paging = pagingOf(number, pages, func(n int) string { return page.link(page.Family, n) })
		first := (number - 1) * perPage
		f := page.familyOf(c, g, now, 10_000)
		f.Open = true
		page.show(&f, g.Key, metrics[first:min(first+perPage, len(metrics))], now, pageBucketRows)
		page.add(f, c.Type())
		return
	}
	pages := max(1, (len(matching)+familiesPerPage-1)/familiesPerPage)
	number = min(max(number, 1), pages)
	page.Paging = pagingOf(number, pages, func(n int) string { return page.link("", n) })
	first := (number - 1) * familiesPerPage
	for _, m := range matching[first:min(first+familiesPerPage, len(matching))] {
		f := page.familyOf(m.family, g, now, 300)
		metrics := m.metrics
		if metrics == nil {
			metrics = m.family.Metrics()
		}
		shown := previewSamples
		if isChart(m.family.Type()) {
			shown = previewCharts
		}
		page.show(&f, g.Key, metrics[:min(shown, len(metrics))], now, previewBucketRows)
		f.Hidden = len(metrics) - len(f.Samples) - len(f.Charts)
		page.add(f, m.family.Type())
	}
}

// add adds the family to those shown.
func (page *groupPage) add(f family, t metric.Type) {
	if isChart(t) {
		page.Charted = append(page.Charted, f)
	} else {
		page.Scalars = append(page.Scalars, f)
	}
}

// pushedFirst returns the families with the two push times at the end.
func pushedFirst(families []*store.EncodedFamily) []*store.EncodedFamily {
	var pushed, times []*store.EncodedFamily
	for _, f := range families {
		if f.Name() == store.PushTime || f.Name() == store.FailureTime {
			times = append(times, f)
		} else {
			pushed = append(pushed, f)
		}
	}
	return append(pushed, times...)
}

// withLabel returns the metrics that have a label whose name or value contains the word.
func withLabel(metrics []metric.Metric, word string) []metric.Metric {
	return slices.DeleteFunc(metrics, func(m metric.Metric) bool {
		return !slices.ContainsFunc(m.Labels, func(l metric.Label) bool {
			return strings.Contains(strings.ToLower(l.Name), word) || strings.Contains(strings.ToLower(l.Value), word)
		})
	})
}

func (page *groupPage) familyOf(c *store.EncodedFamily, g *store.Group, now time.Time, maxHelp int) family {
	f := family{
		Name: cut(c.Name(), 120),
		Type: c.Type().String(),
		Help: cut(c.Help(), maxHelp),
		Unit: cut(c.Unit(), 60),
		At:   moment{Never: true},
	}
	if g.Pushed.Sub(c.Time()) >= time.Second && c.Name() != store.PushTime && c.Name() != store.FailureTime {
		f.At = momentOf(c.Time(), now)
	}
	if len(c.Name()) <= 400 {
		f.Link = page.link(c.Name(), 1)
	}
	page.budget -= 200 + len(f.Help)
	return f
}

// isChart reports whether metrics of the type are shown as charts.
func isChart(t metric.Type) bool { return t.HasBuckets() || t == metric.Summary }

// show adds metrics to the family until the page's budget is spent.
func (page *groupPage) show(f *family, key metric.GroupingKey, metrics []metric.Metric, now time.Time, rows int) {
	for i := range metrics {
		if page.budget < 0 {
			return
		}
		m := &metrics[i]
		labels, more := chips(ownLabels(key, m.Labels), 400)
		for _, l := range labels {
			page.budget -= len(l.Name) + len(l.Value) + 15
		}
		var c chart
		switch {
		case m.Histogram != nil:
			c = histogramChart(m.Histogram, rows)
		case m.Summary != nil:
			c = summaryChart(m.Summary, rows)
		default:
			page.budget -= 60
			f.Samples = append(f.Samples, sample{labels, more, numberOf(m.Value), meaning(f.Name, m.Value, now)})
			continue
		}
		page.budget -= 400 + 25*len(c.Rows)
		if c.Plot != nil {
			page.budget -= 25 * len(c.Plot.Bars)
		}
		c.Labels, c.More = labels, more
		f.Charts = append(f.Charts, c)
	}
}

// ownLabels returns the labels that are not the group's.
func ownLabels(key metric.GroupingKey, labels []metric.Label) []metric.Label {
	var own []metric.Label
	for _, l := range labels {
		if _, ofGroup := key.Value(l.Name); !ofGroup && !(l.Name == metric.InstanceLabel && l.Value == "") {
			own = append(own, l)
		}
	}
	return own
}
