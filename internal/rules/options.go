package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"pushgateway/internal/metric"
)

// An option is something that can be said of a push, with a value.
type option struct {
	name    string   // in a query, in a path and in a file
	header  string   // the request header that gives it
	choices []choice // its values; none where the value is a duration
}

// A choice is a value of an option, and what it means by itself.
type choice struct {
	value string
	means metric.Options
}

// known are all options, in the order in which they are written.
var known = [...]option{
	{name: "ttl", header: headerPrefix + "TTL"},
	{name: "ttl_keep", header: headerPrefix + "TTL-Keep", choices: []choice{
		{"push_time", metric.Options{Expiry: metric.Expiry{KeepPushTimes: true}}},
	}},
	{name: "merge", header: headerPrefix + "Merge", choices: []choice{
		{"group", metric.Options{Merge: metric.MergeGroup}},
		{"family", metric.Options{Merge: metric.MergeFamily}},
		{"series", metric.Options{Merge: metric.MergeSeries}},
		{"sum", metric.Options{Merge: metric.MergeSum}},
	}},
	{name: "gauges", header: headerPrefix + "Gauges", choices: []choice{
		{"last", metric.Options{Gauges: metric.GaugeLast}},
		{"sum", metric.Options{Gauges: metric.GaugeSum}},
		{"min", metric.Options{Gauges: metric.GaugeMin}},
		{"max", metric.Options{Gauges: metric.GaugeMax}},
	}},
	{name: "timestamps", header: headerPrefix + "Timestamps", choices: []choice{
		{"reject", metric.Options{Timestamps: metric.TimestampsReject}},
		{"drop", metric.Options{Timestamps: metric.TimestampsDrop}},
	}},
}

// find returns the place in known of the option called name, -1 where there is
// none.
func find(name string) int {
	for i := range known {
		if known[i].name == name {
			return i
		}
	}
	return -1
}

// Known reports whether there is an option called name.
func Known(name string) bool { return find(name) >= 0 }

// Names lists the options for a message.
func Names() string {
	var all []string
	for i := range known {
		all = append(all, known[i].name)
	}
	return strings.Join(all, ", ")
}

// parse returns what the option means with this value, and nothing else. The
// error says which values there are.
func (o *option) parse(value string) (metric.Options, error) {
	if o.choices == nil {
		ttl, err := ParseTTL(value)
		return metric.Options{Expiry: metric.Expiry{Set: true, TTL: ttl}}, err
	}
	for i := range o.choices {
		if o.choices[i].value == value {
			return o.choices[i].means, nil
		}
	}
	if len(o.choices) == 1 {
		return metric.Options{}, fmt.Errorf("%s can only be %s", o.name, o.choices[0].value)
	}
	var values []string
	for _, c := range o.choices {
		values = append(values, c.value)
	}
	return metric.Options{}, fmt.Errorf("%s is one of %s", o.name, strings.Join(values, ", "))
}

// ParseTTL reads a time to live, such as 48h; 0 is for ever.
func ParseTTL(value string) (time.Duration, error) {
	ttl, err := model.ParseDuration(value)
	switch {
	case err == nil:
		return time.Duration(ttl), nil
	case strings.HasPrefix(value, "-"):
		return 0, errors.New("ttl cannot be negative; 0 is for ever")
	case value != "" && strings.Trim(value, "0123456789") == "":
		return 0, fmt.Errorf("ttl needs a unit: write %ss if these are seconds", value)
	}
	return 0, errors.New("ttl is a duration in whole numbers of y, w, d, h, m, s and ms, the larger unit first, such as 90m, 1h30m or 2d, and less than 292y; 0 is for ever")
}

// format returns the value with which the option says what is in all, empty where
// all leaves it open.
func (o *option) format(all metric.Options) string {
	if o.choices == nil {
		switch l := all.Expiry; {
		case !l.Set:
			return ""
		case l.TTL == 0:
			return "0"
		default:
			return model.Duration(l.TTL).String()
		}
	}
	for _, c := range o.choices {
		// What is there already adds nothing.
		if c.means.Or(all) == all {
			return c.value
		}
	}
	return ""
}

// Format writes options as name=value, each in its canonical form, as they can
// stand in a query or a path. Those that are left open are left out.
func Format(o metric.Options) []string {
	var all []string
	for i := range known {
		if value := known[i].format(o); value != "" {
			all = append(all, known[i].name+"="+value)
		}
	}
	return all
}

// fit reports whether what is said of gauges can come to bear: they are added up
// only where the push is.
func fit(o metric.Options) bool {
	return o.Gauges == metric.GaugeDefault || o.Merge == metric.MergeDefault || o.Merge == metric.MergeSum
}

// plain returns a text as it is where it can be read like that in a message, else
// quoted.
func plain(text string) string {
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
