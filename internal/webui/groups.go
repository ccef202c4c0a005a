package webui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/groupview"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/words"
)

// pageSize is the number of groups per page.
const pageSize = 50

// groupsPage is the list of groups.
type groupsPage struct {
	layout
	choice
	Storage api.Storage
	Total   int    // all groups
	Count   int    // groups that match
	Deleted string // number of groups just deleted; may be empty
	Error   string // of the search
	Unknown string // parameter of the URL that the page does not know; may be empty
	Hint    string // other words to search for; may be empty

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

// column is a column header of the list.
type column struct {
	Text, Class string
	Link        string // to sort by it
	Title       string // explains the text; may be empty
	Sorted      string // ascending, descending or empty
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
func (p *Pages) Groups(
	w http.ResponseWriter, r *http.Request, view *groupview.View, storage api.Storage, visitor Visitor,
) error {
	values := r.URL.Query()
	page := groupsPage{
		layout:  p.layoutOf(r, visitor, "Groups", "groups", 0),
		choice:  choiceOf(values),
		Storage: storage,
		Total:   len(view.Rows),
		Deleted: digits(values.Get("deleted")),
		Unknown: cut(unknownParam(values), 60),
	}
	page.Refresh = 5
	page.Storage.Error = cut(storage.Error, 300)
	if p.unchanged(w, r, &page.layout, view, page.Storage.Error) {
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
		if len(found.Rows) == 0 {
			page.Hint = query.PrefixHint()
		}
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
	case page.Count == 0, page.Count > 1 && !visitor.DeleteMany, page.Unknown != "":
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
		{search.ByLabels, "Labels", false, "labels", [2]string{"Labels, A to Z", "Labels, Z to A"}},
		{search.ByState, "State", true, "status", [2]string{"State, OK first", "State, old first"}},
		{search.ByPushed, "Last accepted", true, "when", [2]string{"Last accepted, oldest first", "Last accepted, latest first"}},
		{search.ByExpiry, "Expires", false, "when", [2]string{"Expires, soonest first", "Expires, latest first"}},
		{search.ByFailure, "Last rejected", true, "when", [2]string{"Last rejected, oldest first", "Last rejected, latest first"}},
		{search.BySeries, "Series", true, "number series", [2]string{"Series, fewest first", "Series, most first"}},
		{search.ByBytes, "Size", true, "number size", [2]string{"Size, smallest first", "Size, largest first"}},
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
	OnlyTimes      bool // the series are its push times
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
		OnlyTimes:     g.Stored != nil && (g.Expired() || g.Pushed.IsZero()),
		Bytes:         g.Bytes,
	}
	switch {
	case g.State == search.Failed:
		if g.Pushed.IsZero() {
			data.StateText = "never accepted"
		}
		if g.Rejection != nil {
			data.Why = cut(firstLine(g.Rejection.Message), 160)
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
		return words.Count(int(n))
	}
	return ""
}
