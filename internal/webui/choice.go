package webui

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"pushgateway/internal/search"
)

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

// unknownParam returns a parameter that the list does not know, or an empty string. Whoever wrote
// it meant something by it, so the list may not show the groups that were meant.
func unknownParam(values url.Values) string {
	for name := range values {
		switch name {
		case "match[]", "search", "state", "age", "sort", "page", "deleted":
		default:
			return name
		}
	}
	return ""
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
