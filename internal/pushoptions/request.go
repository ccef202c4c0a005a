package pushoptions

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pushgateway/internal/metric"
)

// ListHeader is a header of responses that lists the options that the gateway knows, separated
// by commas. It begins like the headers that give options, and is none.
const ListHeader = "Pushgateway-Options"

// headerPrefix starts the headers that give options, and no other header.
const headerPrefix = "Pushgateway-"

// pathPrefix starts a path that gives options.
const pathPrefix = "/with/"

// CutPrefix splits the options off the start of a path: for
// /with/ttl=1h/merge=sum/metrics/job/x it returns ttl=1h and merge=sum, and the rest
// /metrics/job/x, which starts with a single slash. The options end at the first
// component without an equals sign. The path must have been decoded.
func CutPrefix(path string) (options []string, rest string, found bool) {
	rest, found = strings.CutPrefix(path, pathPrefix)
	if !found {
		return nil, path, false
	}
	for {
		component, after, _ := strings.Cut(rest, "/")
		if !strings.Contains(component, "=") {
			break
		}
		options = append(options, component)
		rest = after
	}
	// Clients join a base URL that ends in a slash with a path that starts with one.
	return options, "/" + strings.TrimLeft(rest, "/"), true
}

// FromRequest returns the options in a request's query, in its headers, and in the
// prefix of its path, as CutPrefix returns it. The error is a *metric.RejectionError
// with the reason metric.BadOption.
//
// A request without options costs a look at the names of its parameters and headers.
// It allocates nothing unless such a name is percent-encoded.
func FromRequest(rawQuery string, h http.Header, prefix []string) (metric.Options, error) {
	var c collector
	if rawQuery != "" {
		if err := c.addQuery(rawQuery); err != nil {
			return metric.Options{}, err
		}
	}
	for name := range h {
		if isOptionHeader(name) {
			if err := c.addHeaders(h); err != nil {
				return metric.Options{}, err
			}
			break
		}
	}
	if len(prefix) > 0 {
		if err := c.addPrefix(prefix); err != nil {
			return metric.Options{}, err
		}
	}
	if !Compatible(c.options) {
		return metric.Options{}, metric.Reject(metric.BadOption, "%s does not go with %s: gauges are only merged with merge=sum",
			c.describe("gauges"), c.describe("merge"))
	}
	return c.options, nil
}

// place is the part of a request that gives an option.
type place uint8

const (
	nowhere place = iota
	inQuery
	inHeader
	inPath
)

// setting is the value of an option as a request gives it.
type setting struct {
	value string
	place place
}

// describe returns the setting of an option for use in a message.
func (s setting) describe(o *option) string {
	text := o.name + "=" + Quote(s.value)
	switch s.place {
	case inQuery:
		return text + " in the query"
	case inHeader:
		return text + " in the header " + o.header
	}
	return text + " in the path"
}

// collector collects the options of one request.
type collector struct {
	options  metric.Options
	settings [len(all)]setting // by the option's index in all
}

// describe describes the setting of the named option.
func (c *collector) describe(name string) string {
	i := index(name)
	return c.settings[i].describe(&all[i])
}

// add sets the option with index i.
func (c *collector) add(i int, s setting) error {
	o, before := &all[i], c.settings[i]
	sets, err := o.parse(s.value)
	if err != nil {
		return metric.Reject(metric.BadOption, "%s: %v", s.describe(o), err)
	}
	if before.place == nowhere || o.name == groupBy && before.place == s.place {
		if before.place != nowhere {
			if sets, err = parseGroupBy(before.value + "," + s.value); err != nil {
				return metric.Reject(metric.BadOption, "%s: %v", s.describe(o), err)
			}
			s.value, c.options.GroupBy = string(sets.GroupBy), ""
		}
		c.settings[i] = s
		c.options = c.options.Or(sets)
		return nil
	}
	if sets.Or(c.options) != c.options {
		return metric.Reject(metric.BadOption, "%s, but %s: give %s only once, or the same value each time",
			before.describe(o), s.describe(o), o.name)
	}
	return nil
}

// addQuery adds the parameters that are options. It ignores all others: they may be
// for an intermediary.
func (c *collector) addQuery(query string) error {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			continue
		}
		i := index(name)
		if i < 0 {
			continue
		}
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			return metric.Reject(metric.BadOption, "%s: %v", setting{value, inQuery}.describe(&all[i]), err)
		}
		if err := c.add(i, setting{decoded, inQuery}); err != nil {
			return err
		}
	}
	return nil
}

func isOptionHeader(name string) bool {
	return len(name) >= len(headerPrefix) && name[0]|0x20 == 'p' && strings.EqualFold(name[:len(headerPrefix)], headerPrefix)
}

// addHeaders adds the headers that are options, sorted by name, so that equal requests
// get equal answers.
func (c *collector) addHeaders(h http.Header) error {
	var names []string
	for name := range h {
		if isOptionHeader(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		i := slices.IndexFunc(all[:], func(o option) bool { return strings.EqualFold(o.header, name) })
		if i < 0 {
			var headers []string
			for _, o := range all {
				headers = append(headers, o.header)
			}
			return metric.Reject(metric.BadOption, "there is no option with the header %s; the headers are %s",
				Quote(name), strings.Join(headers, ", "))
		}
		for _, value := range h[name] {
			if err := c.add(i, setting{value, inHeader}); err != nil {
				return err
			}
		}
	}
	return nil
}

// addPrefix adds the options of a path. Unlike query parameters, its components can be
// for nobody else, so all of them must be options.
func (c *collector) addPrefix(prefix []string) error {
	for _, component := range prefix {
		name, value, ok := strings.Cut(component, "=")
		if !ok {
			return metric.Reject(metric.BadOption, "%s in the path is not of the form option=value; the options are %s", Quote(component), List())
		}
		i := index(name)
		if i < 0 {
			return metric.Reject(metric.BadOption, "%s in the path: there is no such option; the options are %s", Quote(component), List())
		}
		if err := c.add(i, setting{value, inPath}); err != nil {
			return err
		}
	}
	return nil
}
