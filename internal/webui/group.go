package webui

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/groupview"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/words"
)

// maxTimelineMessage is the maximum length of a message in the timeline in characters.
const maxTimelineMessage = 300

// maxCopied is the maximum length of a group's path for which commands are offered.
const maxCopied = 2_000

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
	missing
	Delete string // link

	Search      string
	List        string   // link to the list that the visitor came from
	From        string   // the same as a parameter
	Self        string   // link to the group's page, without a query
	Whole       string   // link to all metrics of the group
	Family      string   // the only one shown; empty if all are
	Scalars     []family // metrics with a single value
	Charted     []family // histograms and summaries
	FamilyCount int      // that match
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
	page := groupPage{
		layout: p.layoutOf(r, visitor, titleOf(key), "group", depth),
		Stored: g.Stored != nil,
		Search: cut(values.Get("search"), maxSearch),
		budget: pageBudget,
		Family: values.Get("family"),
		From:   from.from(),
	}
	page.Refresh = 5
	if !known {
		return p.noGroup(w, r, visitor, depth, key,
			"There is no group "+cut(key.String(), 1000)+". It may have been deleted or have expired, "+
				"or nothing was ever pushed to it. All labels of a group are needed to name it.")
	}
	scrapes := view.Scrapes()
	if p.unchanged(w, r, &page.layout, view, lastOf(scrapes).String()) {
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
	page.missing = p.missingOf(&g, scrapes, now)
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

// titleOf returns a short title for the group's page: the job and the other labels.
func titleOf(key metric.GroupingKey) string {
	job, _ := key.Value(metric.JobLabel)
	title := job
	for _, l := range key.Labels() {
		if l.Name != metric.JobLabel {
			title += " " + l.Name + "=" + l.Value
		}
	}
	return cut(strings.TrimSpace(title), 100)
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
		p.Size = words.Bytes(e.Size)
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
