package web

import (
	"encoding/base64"
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
	p = p.splitNames()
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

// splitNames splits components in the place of names that have a slash. It was encoded, but no
// name has one: the client has encoded all of the path, as in /metrics/job%2Fx, and not values.
func (p groupPath) splitNames() groupPath {
	first := 0
	for first < len(p) && !strings.Contains(p[first], "/") {
		first += 2
	}
	if first >= len(p) {
		return p
	}
	split := slices.Clone(p[:first])
	for _, component := range p[first:] {
		if len(split)%2 == 0 {
			split = append(split, strings.Split(component, "/")...)
		} else {
			split = append(split, component)
		}
	}
	return split
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
// of one. Otherwise it removes the note, which is about that group.
func suggest(rejection *metric.RejectionError, meant groupPath, validation metric.ValidationScheme) *metric.RejectionError {
	if key, err := meant.key(validation); err == nil {
		rejection.Group, rejection.Fix = key, metric.UseGroupURL
	} else {
		rejection.Note = ""
	}
	return rejection
}

// suggestMeant is suggest for a result of meantPath.
func suggestMeant(rejection *metric.RejectionError, meant groupPath, validation metric.ValidationScheme) *metric.RejectionError {
	if meant[1] == placeholderJob {
		rejection.Noting(", with your job's name instead of %s", placeholderJob)
	}
	return suggest(rejection, meant, validation)
}

// placeholderJob is the job in a suggested URL if the request names none.
const placeholderJob = "my_job"

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
		return p.rejectURLValue(i, value, validation)
	}
	if i, decoded, rest := p.findStandardBase64(); i > 0 {
		meant := append(slices.Clone(p[:i]), base64.RawURLEncoding.EncodeToString(decoded))
		return suggest(metric.Reject(metric.BadPath, "the value of %q seems to be in standard base64, which has slashes", p[i-1]).
			Noting(", in the URL alphabet (RFC 4648), with - for + and _ for /"), append(meant, rest...), validation)
	}
	if i := p.findEmptyName(); i > 0 {
		return suggest(metric.Reject(metric.BadPath, "there is a slash too many before %q", strings.Join(p[i+1:], "/")),
			slices.Concat(p[:i], p[i+1:]), validation)
	}
	const ifEmpty = " if it is meant to be empty"
	switch {
	case last == 2: // a label without value
		return suggest(metric.Reject(metric.BadPath, "the label %q has no value", p[2]).Noting(ifEmpty), p.withValue(3, ""), validation)
	case p[last] == "" && p[last-1] == "":
		return suggest(metric.Reject(metric.BadPath, "the value of the label %q is empty, perhaps from an unset variable", p[last-2]).
			Noting(ifEmpty), p.withValue(last-1, ""), validation)
	case p[last] == "":
		return suggest(metric.Reject(metric.BadPath, "there is a slash too many at the end of %q", labels), p[:last], validation)
	}
	value := strings.Join(p[3:], "/")
	return suggest(metric.Reject(metric.BadPath, "odd number of components in %q: names and values of labels must alternate", labels).
		Noting(" if %q is the value of %s. If a value has a slash, you can also percent-encode it as %%2F", value, p[2]),
		p.withValue(3, value), validation)
}

// rejectURLValue rejects a path in which the value that starts at component i is a URL.
func (p groupPath) rejectURLValue(i int, value string, validation metric.ValidationScheme) error {
	return suggest(metric.Reject(metric.BadPath, "the value of the label %q seems to be the URL %q, whose slashes split the path",
		p[i-1], value).Noting(", or percent-encode the slashes as %%2F"), p.withValue(i, value), validation)
}

// findEmptyName finds a name that is empty because of a double slash, without which names and
// values alternate. It returns its index or 0.
func (p groupPath) findEmptyName() int {
	i := 2
	for i < len(p) && p[i] != "" {
		i += 2
	}
	if i+2 < len(p) {
		return i
	}
	return 0
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
		return p.rejectURLValue(at, value, validation)
	}
	whole := strings.Join(p[2:], "/")
	isLegacy := validation == metric.LegacyValidation && metric.UTF8Validation.ValidLabel(name) && !metric.Reserved(name)
	var rejection *metric.RejectionError
	switch {
	case isLegacy:
		const valid = "letters, digits and underscores, and no digit at the start"
		rejection = suggest(metric.Reject(metric.BadPath, "%q in %q cannot be the name of a label", name, whole), p.withLegacyNames(), validation)
		if rejection.Fix != metric.UseGroupURL {
			rejection.Message, rejection.Fix = rejection.Message+": use "+valid, metric.AllowUTF8
		} else {
			rejection.Fix = metric.UseURLOrAllowUTF8
			rejection.Noting(" (without that flag, names have %s)", valid)
		}
	case name == "":
		return metric.Reject(metric.BadPath, "there are two slashes in a row in %q, where the name of a label belongs; "+
			"write an empty value as <label>%s/=", whole, metric.Base64Suffix)
	case metric.Reserved(name):
		rejection = metric.Reject(metric.BadPath, "%q in %q cannot be the name of a label: names that start with two underscores are reserved",
			name, whole)
	default:
		rejection = metric.Reject(metric.BadPath, "%q in %q cannot be the name of a label", name, whole)
	}
	if i > 2 {
		rejection.Noting("%s. If the value before it has a slash, percent-encode that as %%2F, or write the value in base64, as in %s%s/<base64>",
			rejection.Note, p[i-2], metric.Base64Suffix)
	}
	return rejection
}

// withLegacyNames returns the path with the names that are not valid without the UTF-8 scheme escaped.
func (p groupPath) withLegacyNames() groupPath {
	p = slices.Clone(p)
	for i := 2; i < len(p); i += 2 {
		name, encoded := strings.CutSuffix(p[i], metric.Base64Suffix)
		if p[i] = legacyLabelName(name); encoded {
			p[i] += metric.Base64Suffix
		}
	}
	return p
}

// legacyLabelName returns a name that is valid without the UTF-8 scheme, for name.
func legacyLabelName(name string) string {
	return strings.ReplaceAll(model.EscapeName(name, model.UnderscoreEscaping), ":", "_")
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
	return slices.Concat(groupPath{metric.JobLabel, placeholderJob}, components), true
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
