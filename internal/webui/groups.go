package webui

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/groupview"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
)

// pageSize is the number of groups per page.
const pageSize = 50

// choice is the visitor's search, filter, sort order and page. Its parameters are those
// of the API.
type choice struct {
	Match  []string
	Search string
	State  string
	Age    string
	Sort   string
	Page   int
}

// choiceOf parses a URL's query or a form.
func choiceOf(values url.Values) choice {
	c := choice{
		Match:  values["match[]"],
		Search: values.Get("search"),
		State:  values.Get("state"),
		Age:    values.Get("age"),
		Sort:   values.Get("sort"),
	}
	c.Page, _ = strconv.Atoi(values.Get("page"))
	c.Page = max(c.Page, 1)
	return c
}

// maxSearch is the maximum length of a search. Every link on the page repeats it, so it
// is shorter than in the API.
const maxSearch = 500

// query returns the choice as a query.
func (c choice) query() (search.Query, error) {
	if len(c.Search)+len(strings.Join(c.Match, "")) > maxSearch {
		return search.Query{}, fmt.Errorf("longer than %d characters; GET /api/v1/groups accepts more", maxSearch)
	}
	return search.NewQuery(search.Params{Match: c.Match, Search: c.Search, State: c.State, Age: c.Age, Sort: c.Sort})
}

// values returns the choice as a URL's query, without default values.
func (c choice) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(c.Match) > 0 {
		v["match[]"] = c.Match
	}
	set("search", c.Search)
	set("state", c.State)
	set("age", c.Age)
	set("sort", c.Sort)
	if c.Page > 1 {
		v.Set("page", strconv.Itoa(c.Page))
	}
	return v
}

// fromParam is the parameter of other pages for the choice of the list that the visitor
// came from, as a query.
const fromParam = "from"

// maxFrom is the maximum length of that parameter. A longer choice is not passed on.
const maxFrom = 300

// from returns the choice as the value of fromParam.
func (c choice) from() string {
	if from := c.values().Encode(); len(from) <= maxFrom {
		return from
	}
	return ""
}

// withFrom returns a link with the query and a value of fromParam, which may be empty.
func withFrom(page string, query url.Values, from string) string {
	if from != "" {
		query.Set(fromParam, from)
	}
	if len(query) == 0 {
		return page
	}
	return page + "?" + query.Encode()
}

// choiceFrom returns the choice that the visitor came from, by the query or form of another
// page.
func choiceFrom(values url.Values) choice {
	from := values.Get(fromParam)
	if len(from) > maxFrom {
		from = ""
	}
	parsed, err := url.ParseQuery(from)
	if err != nil {
		parsed = nil
	}
	return choiceOf(parsed)
}

// link returns the choice as a relative URL.
func (c choice) link(page string) string {
	if query := c.values().Encode(); query != "" {
		return page + "?" + query
	}
	return page
}

// groupsPage is the list of groups.
type groupsPage struct {
	layout
	choice
	Total   int    // all groups
	Count   int    // groups that match
	Deleted string // number of groups just deleted; may be empty
	Error   string // of the search

	States  []option // to filter by
	Ages    []option // from which on groups are old
	Sorts   []option // for narrow screens
	Columns []column

	Rows        []groupRow
	First, Last int // of the rows, counted from 1
	Paging      paging
	Delete      string // link to delete the matching groups; empty if not offered
	DeleteCount int
}

// option is an option of a filter or of a select element.
type option struct {
	Value, Text, Link string
	Count             int
	Chosen            bool
}

// column is a column header of the list, which links to sort by it.
type column struct {
	Text, Link, Class string
	Title             string // explains the text; may be empty
	Sorted            string // ascending, descending or empty
}

// paging links to the other pages. Links are empty if there is no such page.
type paging struct {
	Page, Pages                 int
	First, Previous, Next, Last string
}

func pagingOf(page, pages int, link func(page int) string) paging {
	p := paging{Page: page, Pages: pages}
	if page > 1 {
		p.First, p.Previous = link(1), link(page-1)
	}
	if page < pages {
		p.Next, p.Last = link(page+1), link(pages)
	}
	return p
}

type groupRow struct {
	Link   string
	Delete string
	Ref    string
	group
	Labels []chip
	More   int // labels not shown
}

// Groups answers GET / with the groups that the URL's query selects. If the page does not
// exist, it shows the nearest one. If the search is invalid, it shows the error and no
// groups. Cost: O(groups).
func (p *Pages) Groups(w http.ResponseWriter, r *http.Request, view *groupview.View, visitor Visitor) error {
	values := r.URL.Query()
	page := groupsPage{
		layout:  p.layoutOf(r, visitor, "Groups", "groups", 0),
		choice:  choiceOf(values),
		Total:   len(view.Rows),
		Deleted: digits(values.Get("deleted")),
	}
	page.Refresh = 5
	if p.unchanged(w, r, &page.layout, view) {
		return nil
	}
	query, err := page.choice.query()
	found := &groupview.Found{}
	if err != nil {
		page.Error = cut(err.Error(), 500)
		// The search may be too long, and every link repeats it.
		page.Search, page.Match = cut(page.Search, maxSearch), nil
		page.State, page.Age, page.Sort = cut(page.State, 20), cut(page.Age, 20), cut(page.Sort, 20)
	} else {
		found = view.Find(query)
	}
	page.Count = len(found.Rows)
	pages := max(1, (page.Count+pageSize-1)/pageSize)
	page.Page = min(page.Page, pages)
	first := (page.Page - 1) * pageSize
	for _, g := range found.Groups(first, first+pageSize) {
		row := rowOf(&g, page.choice, view.Now)
		if !visitor.mayDelete(g.Key) {
			row.Delete = ""
		}
		page.Rows = append(page.Rows, row)
	}
	page.First, page.Last = first+1, first+len(page.Rows)
	page.Paging = pagingOf(page.Page, pages, func(n int) string {
		c := page.choice
		c.Page = n
		return c.link("./")
	})
	page.offer(found.Counts)
	switch {
	case page.Count == 0, page.Count > 1 && !visitor.DeleteMany:
	case !query.All():
		deletable := 0
		for _, row := range found.Rows {
			if visitor.mayDelete(row.Group.Key) {
				deletable++
			}
		}
		if deletable > 0 {
			c := page.choice
			c.Page, c.Sort = 1, ""
			page.Delete, page.DeleteCount = c.link("delete"), deletable
		}
	case visitor.DeleteAll:
		page.Delete, page.DeleteCount = "delete?all=yes", page.Count
	}
	return p.render(w, http.StatusOK, "groups", page)
}

// offer adds the filters, ages, sort orders and columns to choose from.
func (page *groupsPage) offer(counts map[search.State]int) {
	all := 0
	for _, n := range counts {
		all += n
	}
	state := func(value search.State, text string, count int) {
		c := page.choice
		c.State, c.Page = string(value), 1
		page.States = append(page.States, option{string(value), text, c.link("./"), count, page.State == string(value)})
	}
	state(search.Any, "All", all)
	state(search.OK, "OK", counts[search.OK])
	state(search.Failed, "Failed", counts[search.Failed])
	state(search.Old, "Old", counts[search.Old])

	known := false
	for _, age := range []struct{ value, text string }{
		{"1h", "1 hour"}, {"6h", "6 hours"}, {"", "1 day"}, {"1w", "1 week"}, {"30d", "30 days"},
	} {
		chosen := page.Age == age.value
		known = known || chosen
		page.Ages = append(page.Ages, option{Value: age.value, Text: age.text, Chosen: chosen})
	}
	if !known {
		page.Ages = append(page.Ages, option{Value: page.Age, Text: cut(page.Age, 20), Chosen: true})
	}

	for _, c := range []struct {
		by         search.Column
		text       string
		descending bool // by default
		class      string
		sorts      [2]string // ascending and descending
	}{
		{search.ByLabels, "Labels", false, "", [2]string{"Labels, A to Z", "Labels, Z to A"}},
		{search.ByState, "State", true, "", [2]string{"State, OK first", "State, old first"}},
		{search.ByPushed, "Last push", true, "", [2]string{"Last push, oldest first", "Last push, latest first"}},
		{search.ByFailure, "Last rejected", true, "", [2]string{"Last rejected, oldest first", "Last rejected, latest first"}},
		{search.BySeries, "Series", true, "number", [2]string{"Series, fewest first", "Series, most first"}},
		{search.ByBytes, "Size", true, "number", [2]string{"Size, smallest first", "Size, largest first"}},
	} {
		name := string(c.by)
		next := name
		if c.descending {
			next = "-" + name
		}
		col := column{Text: c.text, Class: c.class}
		if c.by == search.BySeries {
			col.Title = "Label sets; a histogram or summary counts once"
		}
		switch page.Sort {
		case name:
			col.Sorted, next = "ascending", "-"+name
		case "-" + name:
			col.Sorted, next = "descending", name
		case "":
			if c.by == search.ByLabels {
				col.Sorted, next = "ascending", "-"+name
			}
		}
		link := page.choice
		link.Page, link.Sort = 1, next
		if next == string(search.ByLabels) {
			link.Sort = ""
		}
		col.Link = link.link("./")
		page.Columns = append(page.Columns, col)

		for i, value := range []string{name, "-" + name} {
			if value == string(search.ByLabels) {
				value = ""
			}
			chosen := page.Sort == value || value == "" && page.Sort == name
			page.Sorts = append(page.Sorts, option{Value: value, Text: c.sorts[i], Chosen: chosen})
		}
	}
}

func rowOf(g *groupview.Group, c choice, now time.Time) groupRow {
	ref, from := search.Ref(g.Key), c.from()
	r := groupRow{
		Link:   withFrom("groups/"+ref, url.Values{}, from),
		Delete: withFrom("delete", url.Values{"group": {ref}}, from),
		Ref:    ref,
		group:  groupOf(g, now),
	}
	r.Labels, r.More = chips(g.Key.Labels(), 240)
	return r
}

// group is a group in words, for the list and for the page of a group.
type group struct {
	Name           string
	State          search.State
	StateText      string
	Why            string // of the last rejection; only if the state is Failed
	Pushed, Failed moment
	Expires        moment
	KeepPushTimes  bool // its two push times stay when it expires
	Expired        bool // only its two push times are left
	Summed         bool // pushes are added up
	Series         int
	Bytes          int64
}

func groupOf(g *groupview.Group, now time.Time) group {
	data := group{
		Name:          cut(g.Key.String(), 300),
		State:         g.State,
		StateText:     stateTexts[g.State],
		Pushed:        momentOf(g.Pushed, now),
		Failed:        momentOf(g.Failed, now),
		Expires:       momentAhead(g.Expiry.At, now),
		KeepPushTimes: g.Expiry.KeepPushTimes,
		Expired:       g.Expired(),
		Summed:        g.Summed(),
		Series:        g.Series,
		Bytes:         g.Bytes,
	}
	switch {
	case g.State == search.Failed:
		if g.Pushed.IsZero() {
			data.StateText = "never accepted"
		}
		if g.Rejection != nil {
			data.Why = cut(firstLine(g.Rejection.Message), 140)
		}
	case data.Expired:
		data.StateText = "expired"
	}
	return data
}

var stateTexts = map[search.State]string{search.OK: "ok", search.Failed: "last push failed", search.Old: "old"}

// chip is a label in a list of labels.
type chip struct {
	Name, Value string
	Job         bool
}

// chips returns the labels, the job first, shortened to about budget characters in all,
// and the number of labels left out.
func chips(labels []metric.Label, budget int) (shown []chip, more int) {
	add := func(l metric.Label) {
		if budget <= 0 {
			more++
			return
		}
		c := chip{cut(l.Name, min(budget, 60)), "", l.Name == metric.JobLabel}
		budget -= len(c.Name)
		c.Value = cut(l.Value, min(max(budget, 10), 120))
		budget -= len(c.Value)
		shown = append(shown, c)
	}
	for _, l := range labels {
		if l.Name == metric.JobLabel {
			add(l)
		}
	}
	for _, l := range labels {
		if l.Name != metric.JobLabel {
			add(l)
		}
	}
	return shown, more
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// digits returns s with separators if it is a number, otherwise an empty string.
func digits(s string) string {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return formatCount(int(n))
	}
	return ""
}
