package rules

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pushgateway/internal/metric"
)

// headerPrefix begins the headers that give options, and no others.
const headerPrefix = "Pushgateway-"

// pathPrefix begins a path that gives options.
const pathPrefix = "/with/"

// CutPrefix takes the options off the beginning of a path: of
// /with/ttl=1h/merge=sum/metrics/job/x these are ttl=1h and merge=sum, and
// /metrics/job/x is the rest, which begins with a single slash. The options end at
// the first component without an equals sign. The path has its percent-encoding
// resolved, and so have the options.
func CutPrefix(path string) (options []string, rest string, found bool) {
	rest, found = strings.CutPrefix(path, pathPrefix)
	if !found {
		return nil, path, false
	}
	for {
		component, behind, _ := strings.Cut(rest, "/")
		if !strings.Contains(component, "=") {
			break
		}
		options = append(options, component)
		rest = behind
	}
	// Clients join a base URL that ends in a slash with a path that begins with
	// one.
	return options, "/" + strings.TrimLeft(rest, "/"), true
}

// FromRequest returns the options of a request: in its query, in its headers, and
// in the prefix of its path as CutPrefix returns it. The error is a
// *metric.RejectionError of the reason metric.BadOption.
//
// A request without options costs a look at the names of its parameters and
// headers, and no memory unless such a name is percent-encoded.
func FromRequest(rawQuery string, h http.Header, prefix []string) (metric.Options, error) {
	var c collection
	if rawQuery != "" {
		if err := c.addQuery(rawQuery); err != nil {
			return metric.Options{}, err
		}
	}
	for name := range h {
		if isOwnHeader(name) {
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
	if !fit(c.options) {
		gauges, merge := c.said("gauges"), c.said("merge")
		return metric.Options{}, metric.Reject(metric.BadOption, "%s does not go with %s: gauges are only added up with merge=sum", gauges, merge)
	}
	return c.options, nil
}

// A place is where in a request an option can stand.
type place uint8

const (
	nowhere place = iota
	inQuery
	inHeader
	inPath
)

// A statement is the value of an option, as somebody wrote it.
type statement struct {
	value string
	place place
}

// describe returns the statement of an option in words for a message.
func (s statement) describe(o *option) string {
	text := o.name + "=" + plain(s.value)
	switch s.place {
	case inQuery:
		return text + " in the query"
	case inHeader:
		return text + " in the header " + o.header
	}
	return text + " in the path"
}

// A collection gathers the options of one request.
type collection struct {
	options metric.Options
	given   [len(known)]statement // by the option's place in known
}

// said describes what was given for the option called name.
func (c *collection) said(name string) string {
	i := find(name)
	return c.given[i].describe(&known[i])
}

// add takes the option at the place i of known.
func (c *collection) add(i int, s statement) error {
	o, before := &known[i], c.given[i]
	means, err := o.parse(s.value)
	if err != nil {
		return metric.Reject(metric.BadOption, "%s: %v", s.describe(o), err)
	}
	if before.place == nowhere {
		c.given[i] = s
		c.options = c.options.Or(means)
		return nil
	}
	if means.Or(c.options) != c.options {
		return metric.Reject(metric.BadOption, "%s, but %s: give %s once, or the same twice", before.describe(o), s.describe(o), o.name)
	}
	return nil
}

// addQuery takes the parameters that are options. Others may mean something to
// somebody on the way, or nothing to anybody.
func (c *collection) addQuery(query string) error {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			continue
		}
		i := find(name)
		if i < 0 {
			continue
		}
		s := statement{value, inQuery}
		if s.value, err = url.QueryUnescape(value); err != nil {
			return metric.Reject(metric.BadOption, "%s: %v", statement{value, inQuery}.describe(&known[i]), err)
		}
		if err := c.add(i, s); err != nil {
			return err
		}
	}
	return nil
}

func isOwnHeader(name string) bool {
	return len(name) >= len(headerPrefix) && name[0]|0x20 == 'p' && strings.EqualFold(name[:len(headerPrefix)], headerPrefix)
}

// addHeaders takes the headers that are options, in an order that does not change
// between two requests that are alike.
func (c *collection) addHeaders(h http.Header) error {
	var own []string
	for name := range h {
		if isOwnHeader(name) {
			own = append(own, name)
		}
	}
	slices.Sort(own)
	for _, name := range own {
		i := slices.IndexFunc(known[:], func(o option) bool { return strings.EqualFold(o.header, name) })
		if i < 0 {
			var headers []string
			for _, o := range known {
				headers = append(headers, o.header)
			}
			return metric.Reject(metric.BadOption, "there is no option with the header %s; the headers are %s", plain(name), strings.Join(headers, ", "))
		}
		for _, value := range h[name] {
			if err := c.add(i, statement{value, inHeader}); err != nil {
				return err
			}
		}
	}
	return nil
}

// addPrefix takes the options of a path. There is nobody else to whom a component
// could mean something, so all must be known.
func (c *collection) addPrefix(prefix []string) error {
	for _, component := range prefix {
		name, value, ok := strings.Cut(component, "=")
		if !ok {
			return metric.Reject(metric.BadOption, "%s in the path is not of the form option=value; the options are %s", plain(component), Names())
		}
		i := find(name)
		if i < 0 {
			return metric.Reject(metric.BadOption, "%s in the path: there is no such option; the options are %s", plain(component), Names())
		}
		if err := c.add(i, statement{value, inPath}); err != nil {
			return err
		}
	}
	return nil
}
