package web

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"pushgateway/internal/metric"
)

// groupPath is the path of a group below /metrics/, split at its slashes: "job", the job's
// value, and then names and values of labels by turns. A percent-encoded slash is part of
// a component, so the path must be split before it is decoded.
type groupPath []string

// key returns the grouping key that the path names. A label that is given twice has its
// last value, but the job is always the first. The error is a *metric.RejectionError.
// Cost: O(n log n) for n components.
func (p groupPath) key(validation metric.ValidationScheme) (metric.GroupingKey, error) {
	var none metric.GroupingKey
	name, encoded := strings.CutSuffix(p[0], metric.Base64Suffix)
	if name != metric.JobLabel || len(p) < 2 || p[1] == "" {
		return none, missingJob()
	}
	job := p[1]
	if encoded {
		decoded, err := decodeBase64(metric.JobLabel, job)
		if err != nil {
			return none, err
		}
		if job = decoded; job == "" {
			return none, missingJob()
		}
	}
	labels := append(make([]metric.Label, 0, 4), metric.Label{Name: metric.JobLabel, Value: job})
	if rest := p[2:]; len(rest) > 1 || len(rest) == 1 && rest[0] != "" { // a slash at the end of the job is allowed
		var err error
		if labels, err = p.appendLabels(labels, validation); err != nil {
			return none, err
		}
	}
	for _, l := range labels {
		if !utf8.ValidString(l.Value) {
			return none, metric.Reject(metric.BadPath, "the value of the label %q is not valid UTF-8: %q", l.Name, l.Value)
		}
	}
	return metric.NewGroupingKey(labels), nil
}

// appendLabels appends the labels after the job.
func (p groupPath) appendLabels(labels []metric.Label, validation metric.ValidationScheme) ([]metric.Label, error) {
	if len(p)%2 != 0 {
		return nil, p.explainOdd(validation)
	}
	for i := 2; i < len(p); i += 2 {
		name, encoded := strings.CutSuffix(p[i], metric.Base64Suffix)
		value := p[i+1]
		if validation == metric.UTF8Validation {
			name = model.UnescapeName(name, model.ValueEncodingEscaping)
		}
		if !validation.ValidLabel(name) || metric.Reserved(name) {
			return nil, p.explainName(i, name, validation)
		}
		switch {
		case encoded:
			var err error
			if value, err = decodeBase64(name, value); err != nil {
				return nil, err
			}
		case value == "" && i+2 < len(p):
			meant := "/" + strings.Join(p[i+2:], "/")
			return nil, metric.Reject(metric.BadPath,
				"the label %q has an empty value, perhaps from an unset variable: write %s%s/= for an empty value; "+
					"or, if the value is %q, write %s%s/%s",
				name, p[i], metric.Base64Suffix, meant, p[i], metric.Base64Suffix, base64.RawURLEncoding.EncodeToString([]byte(meant)))
		}
		labels = append(labels, metric.Label{Name: name, Value: value})
	}
	return lastOfEach(labels), nil
}

// lastOfEach removes all but the last of the labels with the same name. Of the jobs, it
// keeps the first label.
func lastOfEach(labels []metric.Label) []metric.Label {
	job := labels[0]
	slices.Reverse(labels)
	slices.SortStableFunc(labels, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
	labels = slices.CompactFunc(labels, func(a, b metric.Label) bool { return a.Name == b.Name })
	for i := range labels {
		if labels[i].Name == metric.JobLabel {
			labels[i] = job
		}
	}
	return labels
}

func missingJob() error {
	return metric.Reject(metric.BadPath,
		"the job name is missing, perhaps from an unset variable: the path of a group starts with %s<job name>", jobPath)
}

// suggest adds to a rejection the group that the path probably means, if meant is the path
// of one.
func suggest(rejection *metric.RejectionError, meant groupPath, validation metric.ValidationScheme) *metric.RejectionError {
	if key, err := meant.key(validation); err == nil {
		rejection.Group, rejection.Fix = key, metric.UseGroupURL
	}
	return rejection
}

// withValue returns the first n components of the path, which end with the name of a label,
// and the label's value in base64.
func (p groupPath) withValue(n int, value string) groupPath {
	return append(slices.Clone(p[:n-1]), p[n-1]+metric.Base64Suffix, base64.RawURLEncoding.EncodeToString([]byte(value)))
}

// explainOdd explains a path that leaves a label without a value.
func (p groupPath) explainOdd(validation metric.ValidationScheme) error {
	labels := strings.Join(p[2:], "/")
	last := len(p) - 1
	if i, value := p.findURL(); i > 0 {
		return suggest(metric.Reject(metric.BadPath,
			"odd number of components in %q: the value of the label %q seems to be the URL %q, which has slashes: "+
				"percent-encode them as %%2F, or write the value in base64",
			labels, p[i-1], value), p.withValue(i, value), validation)
	}
	if i, decoded, rest := p.findStandardBase64(); i > 0 {
		meant := append(slices.Clone(p[:i]), base64.RawURLEncoding.EncodeToString(decoded))
		return suggest(metric.Reject(metric.BadPath,
			"odd number of components in %q: the value of %q seems to be in standard base64, which has slashes: "+
				"use the URL alphabet (RFC 4648), with - for + and _ for /",
			labels, p[i-1]), append(meant, rest...), validation)
	}
	switch {
	case last == 2: // a label without value
		return suggest(metric.Reject(metric.BadPath, "odd number of components in %q: the label %q has no value; for an empty one write %s%s/=",
			labels, p[2], p[2], metric.Base64Suffix), p.withValue(3, ""), validation)
	case p[last] == "" && p[last-1] == "":
		return suggest(metric.Reject(metric.BadPath,
			"odd number of components in %q: the value of the label %q is empty, perhaps from an unset variable; write an empty value as %s%s/=",
			labels, p[last-2], p[last-2], metric.Base64Suffix), p.withValue(last-1, ""), validation)
	case p[last] == "":
		return suggest(metric.Reject(metric.BadPath, "odd number of components in %q: there is a slash too many at the end", labels),
			p[:last], validation)
	}
	value := strings.Join(p[3:], "/")
	return suggest(metric.Reject(metric.BadPath,
		"odd number of components in %q: names and values of labels must alternate. If a value has a slash, "+
			"percent-encode it as %%2F, or write the value in base64: for %s=%q that is %s%s/%s",
		labels, p[2], value, p[2], metric.Base64Suffix, base64.RawURLEncoding.EncodeToString([]byte(value))),
		p.withValue(3, value), validation)
}

// findURL finds a label, or the job, whose value is a URL that has been split at its slashes. It returns
// the index of the value's first component and the URL, or 0.
func (p groupPath) findURL() (int, string) {
	for i := 1; i+1 < len(p); i += 2 {
		if scheme, ok := strings.CutSuffix(p[i], ":"); ok && (scheme == "http" || scheme == "https" || p[i+1] == "") {
			rest := p[i+1:]
			if rest[0] == "" { // absent if something on the way has merged the two slashes
				rest = rest[1:]
			}
			return i, scheme + "://" + strings.Join(rest, "/")
		}
	}
	return 0, ""
}

// findStandardBase64 finds a label whose value is in the standard base64 alphabet and has
// been split at its slashes. It returns the index of the value's first component, the
// decoded value and the components after it, or 0.
func (p groupPath) findStandardBase64() (i int, decoded []byte, rest []string) {
	for i := 3; i < len(p); i += 2 {
		if !strings.HasSuffix(p[i-1], metric.Base64Suffix) {
			continue
		}
		for end := i + 2; end <= min(len(p), i+20); end += 2 { // an even number of components must be left
			text := strings.TrimRight(strings.Join(p[i:end], "/"), "=")
			if decoded, err := base64.RawStdEncoding.DecodeString(text); err == nil && (len(p)-end)%2 == 0 {
				return i, decoded, p[end:]
			}
		}
		return 0, nil, nil // the first such label only, so that the cost stays linear
	}
	return 0, nil, nil
}

// explainName explains why component i cannot be the name of a label.
func (p groupPath) explainName(i int, name string, validation metric.ValidationScheme) error {
	if at, value := p.findURL(); at > 0 && at < i {
		return suggest(metric.Reject(metric.BadPath,
			"the value of the label %q seems to be the URL %q, which has slashes: percent-encode them as %%2F, or write the value in base64",
			p[at-1], value), p.withValue(at, value), validation)
	}
	hint := ""
	switch {
	case name == "":
		hint = ": there are two slashes in a row; write an empty value as <label>" + metric.Base64Suffix + "/="
	case metric.Reserved(name):
		hint = ": names that start with two underscores are reserved"
	case validation == metric.LegacyValidation && metric.UTF8Validation.ValidLabel(name):
		hint = ": use letters, digits and underscores, and no digit at the start, as in " + model.EscapeName(name, model.UnderscoreEscaping)
	}
	if i > 2 && name != "" {
		hint += fmt.Sprintf(". If the value before it has a slash, percent-encode that as %%2F, "+
			"or write the value in base64, as in %s%s/<base64>", p[i-2], metric.Base64Suffix)
	}
	rejection := metric.Reject(metric.BadPath, "%q in %q cannot be the name of a label%s", name, strings.Join(p[2:], "/"), hint)
	if strings.Contains(hint, "letters, digits") {
		return rejection.With(metric.AllowUTF8)
	}
	return rejection
}

// decodeBase64 decodes the value of a label in the URL alphabet of RFC 4648. Padding is
// optional.
func decodeBase64(name, value string) (string, error) {
	trimmed := strings.TrimRight(value, "=")
	decoded, err := base64.RawURLEncoding.DecodeString(trimmed)
	if err == nil {
		return string(decoded), nil
	}
	if standard, standardErr := base64.RawStdEncoding.DecodeString(trimmed); standardErr == nil {
		return "", metric.Reject(metric.BadPath,
			"the value %q of the label %q is in standard base64: use the URL alphabet (RFC 4648), with - for + and _ for /: %s",
			value, name, base64.RawURLEncoding.EncodeToString(standard))
	}
	return "", metric.Reject(metric.BadPath, "the value %q of the label %q is not base64 of the URL alphabet (RFC 4648): %v", value, name, err)
}

// meantPath returns the group path that the components of a path below the route prefix
// probably mean, although they are not those of a group: /metrics is missing, or the job is
// missing, misspelled or not at the start. It returns false for paths that have nothing to
// do with groups.
func meantPath(components []string) (groupPath, bool) {
	isRoot := strings.Join(components, "") == ""
	hasMetrics := false
	components = withoutPrefix(components)
	for len(components) > 0 && slices.Contains([]string{"", "metrics", "metric"}, strings.ToLower(components[0])) {
		hasMetrics = hasMetrics || components[0] != ""
		components = components[1:]
	}
	for len(components) > 0 && components[len(components)-1] == "" {
		components = components[:len(components)-1]
	}
	for i := 0; i+1 < len(components); i += 2 {
		switch strings.ToLower(components[i]) {
		case "job", "jobs", "jobname", "job_name":
			return slices.Concat(groupPath{metric.JobLabel, components[i+1]}, components[:i], components[i+2:]), true
		}
	}
	switch {
	case !isRoot && !hasMetrics:
		return nil, false
	case len(components) == 1 && slices.Contains([]string{"job", "jobs"}, strings.ToLower(components[0])):
		components = nil
	case len(components)%2 != 0:
		return slices.Concat(groupPath{metric.JobLabel}, components), true
	}
	return slices.Concat(groupPath{metric.JobLabel, "my_job"}, components), true
}

// withoutPrefix removes what comes before metrics/job, such as the route prefix of another
// gateway. A path that starts with metrics has no prefix.
func withoutPrefix(components []string) []string {
	i := slices.Index(components, "metrics")
	if i > 0 && i+1 < len(components) && strings.TrimSuffix(components[i+1], metric.Base64Suffix) == metric.JobLabel {
		return components[i:]
	}
	return components
}
