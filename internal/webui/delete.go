package webui

import (
	"net/http"
	"net/url"
	"strconv"

	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// Deletion is what a visitor wants deleted, as the confirmation page shows it and
// sends it back.
type Deletion struct {
	// Fields name what is to be deleted, as in the page's URL.
	Fields url.Values
	Groups []*store.Group
	All    bool // every group there is
	// Token shows that the visitor has seen these very groups.
	Token string
	// Changed says that the groups are others than the visitor has seen.
	Changed bool
}

// DeletionQuery returns what the fields of the delete page ask for, where they
// ask for a search: ok is false where the search is all groups.
func DeletionQuery(fields url.Values) (query search.Query, ok bool, err error) {
	query, err = choiceOf(fields).query()
	return query, err == nil && !query.All(), err
}

// confirmPage asks before groups are deleted.
type confirmPage struct {
	layout
	Deletion
	Count  int
	Inputs []input
	Shown  [][]chip
	More   int
	Back   string
}

type input struct{ Name, Value string }

// shownDeletions is how many of the groups the confirmation lists.
const shownDeletions = 20

// Confirm answers GET /delete, and POST where another confirmation is needed.
func (p *Pages) Confirm(w http.ResponseWriter, r *http.Request, d Deletion) error {
	page := confirmPage{layout: p.layoutOf(r, "Delete", "", 0), Deletion: d, Count: len(d.Groups), Back: "./"}
	if page.Count == 1 {
		page.Title = "Delete 1 group?"
	} else {
		page.Title = "Delete " + formatCount(page.Count) + " groups?"
	}
	for name, values := range d.Fields {
		for _, value := range values {
			page.Inputs = append(page.Inputs, input{name, value})
		}
	}
	c := choiceOf(d.Fields)
	page.Back = c.link("./")
	if ref := d.Fields.Get("group"); ref != "" && page.Count == 1 {
		page.Back = "groups/" + search.Ref(d.Groups[0].Key)
	}
	for i, g := range d.Groups {
		if i == shownDeletions {
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

// Deleted answers a deletion that was carried out: it leads to the list.
func (p *Pages) Deleted(w http.ResponseWriter, r *http.Request, count int) {
	protect(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	// Relative, as the links are, so http.Redirect will not do.
	w.Header().Set("Location", "./?"+url.Values{"deleted": {strconv.Itoa(count)}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}
