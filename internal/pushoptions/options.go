// Package pushoptions reads and writes the options of a push: how long its group
// lives, how it merges with its group, what becomes of gauges and timestamps, and which
// labels are dropped.
// A request gives options in its query, its headers or its path; the rules file and
// messages use the same names and values. The package does not carry out any of them.
package pushoptions

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

// option describes one option: its names and its values.
type option struct {
	name    string   // in a query, a path and the rules file
	header  string   // the request header that gives it
	choices []choice // the allowed values; nil for an option with its own parse and format

	parseValue  func(string) (metric.Options, error)
	formatValue func(metric.Options) string
}

// choice is an allowed value and what it sets.
type choice struct {
	value string
	sets  metric.Options
}

// all lists the options in the order in which they are written.
var all = [...]option{
	{name: "ttl", header: headerPrefix + "TTL", parseValue: parseTTL, formatValue: formatTTL},
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
	{name: "drop_labels", header: headerPrefix + "Drop-Labels", parseValue: parseLabels, formatValue: formatLabels},
	{name: groupBy, header: headerPrefix + "Group-By", parseValue: parseGroupBy, formatValue: formatGroupBy},
}

// groupBy is the option that says which labels of metrics, or attributes of resources, name their
// group. If a request gives it several times in one place, the lists are joined.
const groupBy = "group_by"

// index returns the index in all of the named option, or -1.
func index(name string) int {
	for i := range all {
		if all[i].name == name {
			return i
		}
	}
	return -1
}

// Known reports whether name is the name of an option.
func Known(name string) bool { return index(name) >= 0 }

// Names returns the names of all options, in the order in which Format writes them.
func Names() []string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].name
	}
	return names
}

// List returns the names of all options, separated by commas, for use in a message.
func List() string { return strings.Join(Names(), ", ") }

// Parse parses a value of the named option, which must be known, and returns options
// with only that one set. The error lists the allowed values.
func Parse(name, value string) (metric.Options, error) { return all[index(name)].parse(value) }

func (o *option) parse(value string) (metric.Options, error) {
	if o.parseValue != nil {
		return o.parseValue(value)
	}
	for i := range o.choices {
		if o.choices[i].value == value {
			return o.choices[i].sets, nil
		}
	}
	if len(o.choices) == 1 {
		return metric.Options{}, fmt.Errorf("%s can only be %s", o.name, o.choices[0].value)
	}
	return metric.Options{}, fmt.Errorf("%s is one of %s", o.name, strings.Join(Choices(o.name), ", "))
}

// Choices returns the allowed values of the named option, which must be known, or nil if it has no
// fixed set of values.
func Choices(name string) []string {
	var values []string
	for _, c := range all[index(name)].choices {
		values = append(values, c.value)
	}
	return values
}

// ParseTTL parses a time to live such as 48h. 0 means that the group never expires.
func ParseTTL(value string) (time.Duration, error) {
	ttl, err := model.ParseDuration(value)
	switch {
	case err == nil:
		return time.Duration(ttl), nil
	case strings.HasPrefix(value, "-"):
		return 0, errors.New("ttl cannot be negative; use 0 for a group that never expires")
	case value != "" && strings.Trim(value, "0123456789") == "":
		return 0, fmt.Errorf("ttl needs a unit: write %ss if these are seconds", value)
	}
	return 0, errors.New("ttl is a duration in whole numbers of y, w, d, h, m, s and ms, the larger unit first, such as 90m, 1h30m or 2d, " +
		"and less than 292y; 0 means never")
}

func parseTTL(value string) (metric.Options, error) {
	ttl, err := ParseTTL(value)
	return metric.Options{Expiry: metric.Expiry{Set: true, TTL: ttl}}, err
}

func formatTTL(set metric.Options) string {
	switch e := set.Expiry; {
	case !e.Set:
		return ""
	case e.TTL == 0:
		return "0"
	default:
		return model.Duration(e.TTL).String()
	}
}

// maxDropLabels is the maximum number of labels that drop_labels may name.
const maxDropLabels = 32

// parseLabels parses the names of labels to drop, such as pod,instance.
func parseLabels(value string) (metric.Options, error) {
	names := strings.Split(value, ",")
	if len(names) > maxDropLabels {
		return metric.Options{}, fmt.Errorf("drop_labels names more than %d labels", maxDropLabels)
	}
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		switch name = names[i]; {
		case name == metric.JobLabel:
			return metric.Options{}, errors.New("drop_labels cannot name job, which is a label of every group")
		case !metric.UTF8Validation.ValidLabel(name), metric.Reserved(name):
			return metric.Options{}, fmt.Errorf(
				"drop_labels is a list of label names such as pod,instance, but %s is not the name of a label", Quote(name))
		}
	}
	return metric.Options{DropLabels: metric.NewLabelNames(names...)}, nil
}

func formatLabels(set metric.Options) string { return string(set.DropLabels) }

// maxGroupBy is the maximum number of labels or attributes that group_by may name.
const maxGroupBy = 32

// parseGroupBy parses the names of labels or attributes such as job,instance or host.name.
func parseGroupBy(value string) (metric.Options, error) {
	names := strings.Split(value, ",")
	if len(names) > maxGroupBy {
		return metric.Options{}, fmt.Errorf("group_by names more than %d labels", maxGroupBy)
	}
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if names[i] == "" || !utf8.ValidString(name) || strings.Contains(name, "\x00") {
			return metric.Options{}, fmt.Errorf("group_by is a list of names such as job,instance, but %s is no name", Quote(name))
		}
	}
	return metric.Options{GroupBy: metric.NewLabelNames(names...)}, nil
}

func formatGroupBy(set metric.Options) string { return string(set.GroupBy) }

// IsList reports whether the values of the named option are lists, separated by commas.
func IsList(name string) bool { return name == "drop_labels" || name == groupBy }

// Value returns the value that the named option has in o, or "" if o does not set it.
func Value(name string, o metric.Options) string { return all[index(name)].value(o) }

func (o *option) value(set metric.Options) string {
	if o.formatValue != nil {
		return o.formatValue(set)
	}
	for _, c := range o.choices {
		if c.sets.Or(set) == set { // set has this choice already
			return c.value
		}
	}
	return ""
}

// Format returns the options that are set as name=value, each in its canonical form,
// ready for a query or a path.
func Format(o metric.Options) []string {
	var formatted []string
	for i := range all {
		if value := all[i].value(o); value != "" {
			formatted = append(formatted, all[i].name+"="+value)
		}
	}
	return formatted
}

// Compatible reports whether the gauges and merge options of o go together: gauges
// are only merged in a group whose pushes are summed.
func Compatible(o metric.Options) bool {
	return o.Gauges == metric.GaugeDefault || o.Merge == metric.MergeDefault || o.Merge == metric.MergeSum
}

// Quote returns text as it is if it can be read within a message, and quoted otherwise.
func Quote(text string) string {
	if text == "" || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
