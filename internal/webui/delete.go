package webui

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"pushgateway/internal/search"
	"pushgateway/internal/store"
	"pushgateway/internal/words"
)

// Deletion is a request to delete groups, which the confirmation page shows and sends
// back.
type Deletion struct {
	// Fields select the groups, as in the page's URL.
	Fields url.Values
	Groups []*store.Group
	All    bool // all groups of the gateway
	// Token proves that the visitor has seen the confirmation for exactly these groups.
	Token string
	// Changed reports whether the groups differ from those that the visitor has seen.
	Changed bool
}

// DeletionQuery returns the search that the fields of the delete page describe. ok is
// false if it matches all groups.
func DeletionQuery(fields url.Values) (query search.Query, ok bool, err error) {
	query, err = choiceOf(fields).query()
	return query, err == nil && !query.All(), err
}

// confirmPage asks for confirmation before groups are deleted.
type confirmPage struct {
	layout
	Deletion
	Count  int
	Inputs []input
	Shown  [][]chip
	More   int
	Back   string
	By     string // the search that selects the groups; may be empty
}

type input struct{ Name, Value string }

// maxConfirmed is the number of groups that the confirmation lists.
const maxConfirmed = 100

// Confirm answers GET /delete, and POST if another confirmation is needed.
func (p *Pages) Confirm(w http.ResponseWriter, r *http.Request, d Deletion, visitor Visitor) error {
	page := confirmPage{layout: p.layoutOf(r, visitor, "Delete", "", 0), Deletion: d, Count: len(d.Groups), Back: "./"}
	switch page.Count {
	case 0:
		page.Title = "No groups to delete"
	case 1:
		page.Title = "Delete 1 group?"
	default:
		page.Title = "Delete " + words.Count(page.Count) + " groups?"
	}
	for name, values := range d.Fields {
		for _, value := range values {
			page.Inputs = append(page.Inputs, input{name, value})
		}
	}
	page.Back = listOf(d.Fields).link("./")
	if !d.All && d.Fields.Get("group") == "" {
		page.By = cut(strings.TrimSpace(strings.Join(append(slices.Clone(d.Fields["match[]"]), d.Fields.Get("search")), " ")), maxSearch)
	}
	for i, g := range d.Groups {
		if i == maxConfirmed {
			page.More = page.Count - i
			break
		}
		labels, _ := chips(g.Key.Labels(), 240)
		page.Shown = append(page.Shown, labels)
	}
	status := http.StatusOK
	if d.Changed {
		status = http.StatusConflict
	}
	return p.render(w, status, "confirm", page)
}

// listOf returns the choice of the list to return to from a deletion: the search that selected
// the groups, or the one that the visitor came from.
func listOf(fields url.Values) choice {
	if fields.Get("group") != "" {
		return choiceFrom(fields)
	}
	return choiceOf(fields)
}

// Deleted answers a deletion that was carried out: it redirects to the list.
func (p *Pages) Deleted(w http.ResponseWriter, d Deletion, count int) {
	values := listOf(d.Fields).values()
	values.Set("deleted", strconv.Itoa(count))
	p.GoTo(w, "?"+values.Encode())
}

// GoTo redirects from a page in the gateway's own folder to another page of the
// gateway, given by its path there and its query.
func (p *Pages) GoTo(w http.ResponseWriter, page string) {
	protect(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	location := "./"
	if u, err := url.Parse(page); err == nil {
		// A host that the page may name is left out.
		location += strings.TrimLeft(u.EscapedPath(), "/")
		if u.RawQuery != "" {
			location += "?" + u.RawQuery
		}
	}
	// The location is relative, like all links, so http.Redirect cannot be used.
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}
