package web

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"pushgateway/internal/metric"
)

// isGroupPath reports whether a path, relative to the route prefix and with its
// percent-encoding resolved, is that of a group.
func isGroupPath(path string) bool {
	return strings.HasPrefix(path, jobPath) || strings.HasPrefix(path, jobBase64Path)
}

// parseGroupPath returns the grouping key that a path names, as in
// /metrics/job/<job>{/<label>/<value>}. A label given twice has its last value;
// the job is always the first.
func parseGroupPath(path string, names metric.ValidationScheme) (metric.GroupingKey, error) {
	var none metric.GroupingKey
	job, rest, more := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, jobPath), jobBase64Path), "/")
	if strings.HasPrefix(path, jobBase64Path) {
		decoded, err := decodeBase64(job)
		if err != nil {
			return none, metric.Reject(metric.BadPath, "the job name %q is not base64 of the URL alphabet (RFC 4648): %v", job, err)
		}
		job = decoded
	}
	if job == "" {
		return none, metric.Reject(metric.BadPath, "the job name is missing: push to %s<job name>", jobPath)
	}
	labels := append(make([]metric.Label, 0, 4), metric.Label{Name: metric.JobLabel, Value: job})
	if more && rest != "" {
		var err error
		if labels, err = appendPathLabels(labels, rest, names); err != nil {
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

// appendPathLabels appends the labels of <label>/<value>{/<label>/<value>}.
func appendPathLabels(labels []metric.Label, path string, names metric.ValidationScheme) ([]metric.Label, error) {
	parts := strings.Split(path, "/")
	if len(parts)%2 != 0 {
		return nil, oddPath(path, parts)
	}
	for i := 0; i < len(parts); i += 2 {
		name, encoded := strings.CutSuffix(parts[i], metric.Base64Suffix)
		value := parts[i+1]
		if names == metric.UTF8Validation {
			name = model.UnescapeName(name, model.ValueEncodingEscaping)
		}
		if !names.ValidLabel(name) || metric.Reserved(name) {
			return nil, badPathLabel(path, parts, i, name)
		}
		switch {
		case encoded:
			decoded, err := decodeBase64(value)
			if err != nil {
				return nil, metric.Reject(metric.BadPath, "the value %q of the label %q is not base64 of the URL alphabet (RFC 4648): %v", value, name, err)
			}
			value = decoded
		case value == "" && i+2 < len(parts):
			meant := "/" + strings.Join(parts[i+2:], "/")
			return nil, metric.Reject(metric.BadPath,
				"the label %q has an empty value, which a URL cannot hold as it is: write %s%s/= instead; or, if the value is %q, %s%s/%s",
				name, name, metric.Base64Suffix, meant, name, metric.Base64Suffix, base64.RawURLEncoding.EncodeToString([]byte(meant)))
		}
		same := func(l metric.Label) bool { return l.Name == name }
		if at := slices.IndexFunc(labels, same); at < 0 {
			labels = append(labels, metric.Label{Name: name, Value: value})
		} else if name != metric.JobLabel {
			labels[at].Value = value
		}
	}
	return labels, nil
}

// oddPath explains a path that leaves a label without a value. The usual cause
// is a slash inside a value.
func oddPath(path string, parts []string) error {
	if len(parts) == 1 {
		return metric.Reject(metric.BadPath, "odd number of components in %q: the label %q has no value; for an empty one write %s%s/=",
			path, path, path, metric.Base64Suffix)
	}
	value := strings.Join(parts[1:], "/")
	return metric.Reject(metric.BadPath,
		"odd number of components in %q: labels and values must alternate. Where a value holds a slash, write it in base64: for %s=%q that is %s%s/%s",
		path, parts[0], value, parts[0], metric.Base64Suffix, base64.RawURLEncoding.EncodeToString([]byte(value)))
}

func badPathLabel(path string, parts []string, at int, name string) error {
	hint := ""
	switch {
	case name == "":
		hint = ": two slashes in a row; an empty value is written <label>" + metric.Base64Suffix + "/="
	case metric.Reserved(name):
		hint = ": names that begin with two underscores are reserved"
	case at > 0:
		hint = ": where the value before it holds a slash, write that in base64, as in " + parts[at-2] + metric.Base64Suffix + "/<base64>"
	}
	return metric.Reject(metric.BadPath, "%q in %q cannot be a grouping label's name%s", name, path, hint)
}

// decodeBase64 decodes the URL alphabet of RFC 4648; padding is optional.
func decodeBase64(s string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	return string(b), err
}
