// Package otlp decodes metrics in the OpenTelemetry protocol (OTLP) and translates them to
// metric families, with the names, labels and values that Prometheus gives them at its own
// OTLP endpoint. It says which group each resource goes to, and which data points add up.
// It also writes the responses of the protocol. It does no HTTP.
package otlp

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/otlptranslator"

	"pushgateway/internal/metric"
)

// Strategies returns the names of the translation strategies, those of Prometheus' setting
// otlp.translation_strategy. The first one is the default.
func Strategies() []string {
	return []string{
		string(otlptranslator.UnderscoreEscapingWithSuffixes),
		string(otlptranslator.UnderscoreEscapingWithoutSuffixes),
		string(otlptranslator.NoUTF8EscapingWithSuffixes),
		string(otlptranslator.NoTranslation),
	}
}

// Escapes reports whether names are legacy names with the translation strategy, whatever
// they are in OTLP. Otherwise they may have any UTF-8.
func Escapes(strategy string) bool {
	return otlptranslator.TranslationStrategyOption(strategy).ShouldEscape()
}

// Config says how OTLP is translated. Its settings are those of the section otlp in
// Prometheus' configuration.
type Config struct {
	Strategy string // one of Strategies; if empty, the first one
	// PromoteResourceAttributes are resource attributes that all metrics get as labels.
	PromoteResourceAttributes metric.LabelNames
	// KeepIdentifyingResourceAttributes keeps service.name, service.namespace and
	// service.instance.id as labels of target_info.
	KeepIdentifyingResourceAttributes bool
}

// Translator translates OTLP. It is immutable and safe for concurrent use.
type Translator struct {
	config  Config
	metrics otlptranslator.MetricNamer
	labels  otlptranslator.LabelNamer
}

// New returns a translator.
func New(config Config) *Translator {
	config.Strategy = cmp.Or(config.Strategy, Strategies()[0])
	strategy := otlptranslator.TranslationStrategyOption(config.Strategy)
	return &Translator{
		config:  config,
		metrics: otlptranslator.NewMetricNamer("", strategy),
		// The last two settings are the defaults of Prometheus.
		labels: otlptranslator.LabelNamer{
			UTF8Allowed: !strategy.ShouldEscape(),
			//lint:ignore SA1019 as long as Prometheus has it
			UnderscoreLabelSanitization: true,
			PreserveMultipleUnderscores: true,
		},
	}
}

// Encoding is an encoding of OTLP messages.
type Encoding uint8

const (
	Protobuf Encoding = iota
	JSON
)

// MediaType returns the media type of the encoding.
func (e Encoding) MediaType() string {
	if e == JSON {
		return "application/json"
	}
	return "application/x-protobuf"
}

// EncodingOf returns the encoding of a media type, and whether it is one of OTLP.
func EncodingOf(mediaType string) (Encoding, bool) {
	for _, e := range []Encoding{Protobuf, JSON} {
		if e.MediaType() == mediaType {
			return e, true
		}
	}
	return 0, false
}

// Request is a request to export metrics, translated.
type Request struct {
	Groups []*Group // in the order in which they come
	// Rejected are the data points of resources that belong to no group.
	Rejected Rejected
}

// Group is what a request has for one group.
type Group struct {
	Key metric.GroupingKey
	// Families are translated. Merge of a family is metric.MergeSum if its values are
	// deltas, metric.MergeFamily for target_info, and otherwise metric.MergeSeries.
	// Strings alias the request, but those of Key do not. Metrics are sorted by their labels,
	// which are distinct.
	Families []metric.Family
	Points   int // data points in Families; of those of one series, one
	// Rejected are the data points that could not be translated.
	Rejected Rejected
	// DeltaKey identifies the deltas of the group: the same process sent them, for the same
	// times, with the same values. It is empty if there are none, or if they have no times.
	DeltaKey string
}

// Rejected counts data points that were rejected and has the first reason. The zero value is none.
// A reason without data points says that target_info is missing.
type Rejected struct {
	Points int
	First  *metric.RejectionError // nil if there are none
}

// add counts points that were rejected for a reason.
func (r *Rejected) add(points int, reason *metric.RejectionError) {
	if r.First == nil {
		r.First = reason
	}
	r.Points += points
}

// GroupBy returns the resource attributes by which the resources of a job are grouped.
type GroupBy func(job metric.GroupingKey) []string

// Fit prepares the group for a push with the options merge and gauges, and returns the options of
// the push. Families that do not go with merge are removed, and their data points are counted as
// rejected: with metric.MergeSum cumulative ones, which each export would add again, and with options
// that replace values those with deltas.
func (g *Group) Fit(merge metric.Merge, gauges metric.GaugeMerge) (metric.Merge, metric.GaugeMerge) {
	g.Families = slices.DeleteFunc(g.Families, func(f metric.Family) bool {
		reason := misfit(&f, merge)
		if reason == nil {
			return false
		}
		g.Points -= len(f.Metrics)
		g.Rejected.add(len(f.Metrics), reason)
		return true
	})
	switch {
	case merge == metric.MergeSum && gauges != metric.GaugeDefault && gauges != metric.GaugeLast:
		for i := range g.Families {
			if f := &g.Families[i]; f.Type == metric.Gauge && f.Name != targetInfo {
				f.Merge = metric.MergeSum
			}
		}
		return metric.MergeEach, gauges
	case merge == metric.MergeSum, merge == metric.MergeEach:
		return metric.MergeEach, metric.GaugeSum // of those with deltas; others are replaced
	}
	return merge, gauges
}

// misfit returns why a family does not go with the option merge, or nil if it does.
func misfit(f *metric.Family, merge metric.Merge) *metric.RejectionError {
	delta := f.Merge == metric.MergeSum
	switch {
	case merge == metric.MergeSum && !delta && f.Type != metric.Gauge:
		return metric.Reject(metric.BadMerge,
			"%q is cumulative, and merge=sum would add it up again with each export: export it with delta temporality "+
				"(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta), or leave merge out", f.Name)
	case merge != metric.MergeSum && merge != metric.MergeEach && delta:
		return metric.Reject(metric.BadMerge,
			"%q has delta temporality, and merge=%s would replace what was added up: leave merge out, or export it "+
				"with cumulative temporality", f.Name, merge)
	}
	return nil
}

// Attributes of resources that name the group.
const (
	serviceName      = "service.name"
	serviceNamespace = "service.namespace"
	serviceInstance  = "service.instance.id"
)

// key returns the grouping key of a resource: its job, and the labels for the attributes to group
// by. An attribute that is absent or empty is not in the key.
func (d *decoder) key(resource []attribute, groupBy GroupBy) (metric.GroupingKey, *metric.RejectionError) {
	var none metric.GroupingKey
	name, namespace := find(resource, serviceName), find(resource, serviceNamespace)
	if name == "" {
		return none, metric.Reject(metric.BadName,
			"a resource has no attribute %s, so its metrics belong to no group: set it, as with OTEL_SERVICE_NAME", serviceName)
	}
	job := strings.Clone(name)
	if namespace != "" {
		job = namespace + "/" + name
	}
	labels := []metric.Label{{Name: metric.JobLabel, Value: job}}
	for _, attribute := range groupBy(metric.NewGroupingKey(slices.Clone(labels))) {
		value := find(resource, attribute)
		if value == "" || attribute == serviceName || attribute == serviceNamespace {
			continue // the job has these two
		}
		label := metric.InstanceLabel
		if attribute != serviceInstance {
			var reason *metric.RejectionError
			if label, reason = d.labelName(attribute); reason != nil {
				return none, reason
			}
		}
		if slices.ContainsFunc(labels, func(l metric.Label) bool { return l.Name == label }) {
			return none, metric.Reject(metric.BadOption, "group_by names two attributes for the label %q: leave %q out", label, attribute)
		}
		labels = append(labels, metric.Label{Name: strings.Clone(label), Value: strings.Clone(value)})
	}
	return metric.NewGroupingKey(labels), nil
}

// maxKnownNames bounds the names of labels that a decoder remembers.
const maxKnownNames = 1000

// labelName returns the name of the label for an attribute.
func (d *decoder) labelName(attribute string) (string, *metric.RejectionError) {
	if name, ok := d.labelNames[attribute]; ok {
		return name, nil
	}
	namer := d.labels
	name, err := namer.Build(attribute)
	switch {
	case err != nil:
	case !metric.UTF8Validation.ValidLabel(name):
		err = errors.New("it is not UTF-8 text without colons and zero bytes")
	case metric.Reserved(name):
		err = errors.New("names that begin with two underscores are reserved")
	}
	if err != nil {
		return "", metric.Reject(metric.BadName, "the attribute %q cannot be a label: %v", attribute, err)
	}
	if len(d.labelNames) < maxKnownNames {
		d.labelNames[attribute] = name
	}
	return name, nil
}
