package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// groupFlags are the flags that name a group.
type groupFlags struct {
	job    string
	labels labelList
}

// addGroupFlags adds --job and --label.
func addGroupFlags(app *kingpin.Application) *groupFlags {
	f := new(groupFlags)
	app.Flag("job", "Value of the label job of the group.").Required().PlaceHolder("NAME").StringVar(&f.job)
	app.Flag("label", "Further label of the group; can be repeated.").PlaceHolder("NAME=VALUE").SetValue(&f.labels)
	return f
}

// group returns the grouping key that the flags name, with further labels.
func (f *groupFlags) group(further ...metric.Label) (metric.GroupingKey, error) {
	if f.job == "" {
		return metric.GroupingKey{}, usageError("--job must not be empty")
	}
	labels := append([]metric.Label{{Name: metric.JobLabel, Value: f.job}}, f.labels...)
	return metric.NewGroupingKey(append(labels, further...)), nil
}

// labelList is the value of the flag --label.
type labelList []metric.Label

// Set adds a label. Its errors name the flag, since those of kingpin do not.
func (l *labelList) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	switch {
	case !found:
		return fmt.Errorf("--label=%s: use NAME=VALUE", text)
	case name == metric.JobLabel:
		return fmt.Errorf("--label=%s: use --job", text)
	case !metric.LegacyLabelName(name) || metric.Reserved(name):
		return fmt.Errorf("--label=%s: %q is not a name of a label", text, name)
	}
	for _, given := range *l {
		if given.Name == name {
			return fmt.Errorf("--label=%s: the label %s is given twice", text, name)
		}
	}
	*l = append(*l, metric.Label{Name: name, Value: value})
	return nil
}

func (l *labelList) String() string {
	if len(*l) == 0 {
		return ""
	}
	return metric.FormatLabels(*l)
}

// IsCumulative tells kingpin that the flag can be repeated.
func (l *labelList) IsCumulative() bool { return true }

// optionHelp describes the push options as flags.
var optionHelp = map[string]string{
	"ttl":         "How long after its last push the group expires, such as 48h or 7d; 0 means never.",
	"ttl_keep":    "What an expired group keeps: push_time.",
	"merge":       "What becomes of metrics that the group has: group, family, series or sum (add up).",
	"gauges":      "What becomes of gauges with --merge=sum: last, sum, min or max.",
	"timestamps":  "What to do if samples have timestamps: reject the push, or drop them.",
	"drop_labels": "Labels that the metrics lose, separated by commas.",
}

// addOptionFlags adds flags for the named push options, such as --ttl-keep for ttl_keep. Their
// values are in the result once the command line is parsed.
func addOptionFlags(app *kingpin.Application, names ...string) *metric.Options {
	options := new(metric.Options)
	for _, name := range names {
		flag := strings.ReplaceAll(name, "_", "-")
		app.Flag(flag, optionHelp[name]).
			PlaceHolder(strings.ToUpper(flag)).SetValue(&optionValue{name, flag, options})
	}
	return options
}

// optionValue is the value of a flag for a push option.
type optionValue struct {
	name, flag string
	options    *metric.Options
}

// Set parses the value. Its errors name the flag, since those of kingpin do not.
func (v *optionValue) Set(text string) error {
	parsed, err := pushoptions.Parse(v.name, text)
	if err != nil {
		return fmt.Errorf("--%s=%s: %w", v.flag, text, err)
	}
	*v.options = parsed.Or(*v.options)
	return nil
}

// Choices returns the values that the flag can have, if these are a fixed set.
func (v *optionValue) Choices() []string { return pushoptions.Choices(v.name) }

func (v *optionValue) String() string {
	if v.options == nil {
		return ""
	}
	return pushoptions.Value(v.name, *v.options)
}
