package webui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/groupview"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// Limits of what one page shows of a group. Larger families have pages of their own.
const (
	familiesPerPage = 20

	previewSamples    = 10 // of each family
	previewCharts     = 2
	previewBucketRows = 20

	samplesPerPage     = 100
	chartsPerPage      = 5
	pageBucketRows     = 200
	maxTimelineMessage = 300 // characters

	// pageBudget is the maximum length of all families of a page in characters. A
	// character takes up to five bytes when escaped.
	pageBudget = 18_000
	// maxCopied is the maximum length of a group's path for which commands are offered.
	maxCopied = 2_000
)

// groupPage is one group.
type groupPage struct {
	layout
	group
	Stored               bool // false if only rejected pushes are known
	Samples              int  // of a scrape
	SetByPush, SetByRule bool // what set the expiry; neither for the flag
	Labels               []chip
	More                 int
	Rejected             *rejection
	Pushes               []push
	Copies               []copyable // none where they would be too long
	Delete               string     // link

	Search      string
	List        string // link to the list that the visitor came from
	From        string // the same as a parameter
	Self        string // link to the group's page, without a query
	Whole       string // link to all metrics of the group
	Family      string // the only one shown; empty if all are
	Families    []family
	FamilyCount int // that match
	Paging      paging
	budget      int // the rest of pageBudget
}

// rejection is a rejected push.
type rejection struct {
	At             moment
	Reason         string
	Message        string
	Source, Client string
	Group          []chip
	GroupLink      string // empty if the URL named no group
	Path           string // if the URL named no group
}

// push is an entry of the timeline.
type push struct {
	ID             string
	At             moment
	Method, Size   string
	Accepted       bool
	Replayed       bool // and so without effect
	Reason         string
	Message        string
	Source, Client string
}

// copyable is a text with a button that copies it.
type copyable struct{ ID, Title, Text string }

// family is a metric family as the page shows it.
type family struct {
	Name, Type, Help, Unit string
	At                     moment
	Series                 int
	Link                   string // to the family's own page
	Samples                []sample
	Charts                 []chart
	Hidden                 int // samples not shown here
	Open                   bool
}

// sample is a metric with a single value.
type sample struct {
	Labels  []chip
	More    int
	Value   string
	Meaning string
}

// Group answers GET /groups/…, depth directories below the gateway's root, with the
// group of the key. The query's parameters are search, family and page. Cost: O(bytes
// of the group).
func (p *Pages) Group(
	w http.ResponseWriter, r *http.Request, depth int, view *groupview.View, key metric.GroupingKey, visitor Visitor,
) error {
	now := view.Now
	values := r.URL.Query()
	from := choiceFrom(values)
	age := search.DefaultAge
	if query, err := from.query(); err == nil {
		age = query.Age
	}
	g, known := view.Group(key, age)
	job, _ := key.Value(metric.JobLabel)
	page := groupPage{
		layout: p.layoutOf(r, visitor, "Group of job "+cut(job, 60), "group", depth),
		Stored: g.Stored != nil,
		Search: cut(values.Get("search"), maxSearch),
		budget: pageBudget,
		Family: values.Get("family"),
		From:   from.from(),
	}
	page.Refresh = 5
	if !known {
		return p.Problem(w, r, visitor, depth, http.StatusNotFound, "No such group",
			"There is no group "+cut(key.String(), 1000)+". It may have been deleted or have expired, "+
				"or nothing was ever pushed to it. All labels of a group are needed to name it.")
	}
	if p.unchanged(w, r, &page.layout, view) {
		return nil
	}
	ref := search.Ref(key)
	page.Labels, page.More = chips(key.Labels(), 8000)
	page.List = from.link(page.Root)
	page.Self = page.Root + "groups/" + ref
	page.Whole = withFrom(page.Self, url.Values{}, page.From)
	if visitor.mayDelete(key) {
		page.Delete = withFrom(page.Root+"delete", url.Values{"group": {ref}}, page.From)
	}
	if len(key.Path()) <= maxCopied {
		page.Copies = copies(page.Address, key, g.Summed())
	}
	for i := range g.Pushes {
		page.Pushes = append(page.Pushes, pushOf(&g.Pushes[i], now))
	}
	if g.Rejection != nil {
		shown := rejectionOf(g.Rejection, now, &page.layout)
		page.Rejected = &shown
	}
	page.group, page.Samples = groupOf(&g, now), g.Samples()
	page.SetByPush, page.SetByRule = g.Expiry.SetBy == groupview.SetByPush, g.Expiry.SetBy == groupview.SetByRule
	if g.Stored != nil {
		number, _ := strconv.Atoi(values.Get("page"))
		page.fill(g.Stored, number, now)
	}
	return p.render(w, http.StatusOK, "group", page)
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
		f := page.familyOf(c, now, 10_000)
		f.Open = true
		page.show(&f, g.Key, metrics[first:min(first+perPage, len(metrics))], now, pageBucketRows)
		page.Families = []family{f}
		return
	}
	pages := max(1, (len(matching)+familiesPerPage-1)/familiesPerPage)
	number = min(max(number, 1), pages)
	page.Paging = pagingOf(number, pages, func(n int) string { return page.link("", n) })
	first := (number - 1) * familiesPerPage
	for _, m := range matching[first:min(first+familiesPerPage, len(matching))] {
		f := page.familyOf(m.family, now, 300)
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
		page.Families = append(page.Families, f)
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

func (page *groupPage) familyOf(c *store.EncodedFamily, now time.Time, maxHelp int) family {
	f := family{
		Name:   cut(c.Name(), 120),
		Type:   c.Type().String(),
		Help:   cut(c.Help(), maxHelp),
		Unit:   cut(c.Unit(), 60),
		At:     momentOf(c.Time(), now),
		Series: c.Series(),
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
			page.budget -= 30
			f.Samples = append(f.Samples, sample{labels, more, formatValue(m.Value), meaning(f.Name, m.Value, now)})
			continue
		}
		page.budget -= 200 + 30*len(c.Bars) + 20*len(c.Rows) + len(c.Path)/5
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

// copies returns the commands for the group. Pushes to a summed group need metrics with
// a type that can be summed.
func copies(address string, key metric.GroupingKey, summed bool) []copyable {
	target := address + key.Path()
	push := "echo 'my_metric 1' | curl --data-binary @- " + shellQuote(target)
	if summed {
		push = `printf '# TYPE my_total counter\nmy_total 1\n' | curl --data-binary @- ` + shellQuote(target+"?merge=sum")
	}
	return []copyable{
		{"copy-url", "URL of the group", target},
		{"copy-push", "Push to the group", push},
		{"copy-delete", "Delete the group", "curl -X DELETE " + shellQuote(target)},
		{"copy-selector", "PromQL selector", key.String()},
	}
}

// shellQuote quotes a URL for a POSIX shell if necessary.
func shellQuote(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/:.-_%@+=,", c) >= 0:
		default:
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}

func pushOf(e *history.Event, now time.Time) push {
	p := push{
		ID: strconv.FormatInt(e.At.UnixNano(), 36), At: momentOf(e.At, now), Method: e.Method, Size: "unknown",
		Accepted: e.Accepted(), Replayed: e.Replayed, Reason: string(e.Reason),
		Message: cut(e.Message, maxTimelineMessage), Source: e.Source, Client: e.Client,
	}
	if e.Size >= 0 {
		p.Size = formatBytes(e.Size)
	}
	return p
}

func rejectionOf(e *history.Event, now time.Time, at *layout) rejection {
	shown := rejection{
		At: momentOf(e.At, now), Reason: string(e.Reason), Message: e.Message,
		Source: e.Source, Client: e.Client, Path: e.Path,
	}
	if e.Key.ID() != "" {
		shown.Group, _ = chips(e.Key.Labels(), 240)
		shown.GroupLink = at.Root + "groups/" + search.Ref(e.Key)
	}
	return shown
}
