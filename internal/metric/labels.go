// Package metric defines what is pushed: labels, grouping keys, metric families and
// their metrics, and the options of a push. It validates families, gives them the
// labels of their group, and adds them up. It does no I/O and decodes no format. All
// that it knows of HTTP is the URL path of a grouping key.
package metric

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
)

// Names of labels with a meaning of their own.
const (
	JobLabel      = "job"
	InstanceLabel = "instance"
	BucketLabel   = "le"       // the upper bound of a classic histogram's bucket
	QuantileLabel = "quantile" // the quantile of a summary's sample
	NameLabel     = "__name__" // the metric's name in PromQL; not allowed in a push
)

// Label is a name and a value.
type Label struct{ Name, Value string }

// CompareLabels compares label sets that are sorted by name: by their first
// difference in a name or value. A set sorts before its extensions.
func CompareLabels(a, b []Label) int {
	for i := range min(len(a), len(b)) {
		if c := strings.Compare(a[i].Name, b[i].Name); c != 0 {
			return c
		}
		if c := strings.Compare(a[i].Value, b[i].Value); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareLabelNames(a, b Label) int { return strings.Compare(a.Name, b.Name) }

// keySeparator separates the parts of a grouping key's ID. The byte is in no valid
// UTF-8, so no label value contains it.
const keySeparator = "\xff"

// GroupingKey names a group by the labels of the URL that is pushed to. One of them is
// job. A GroupingKey is immutable; the zero value names no group.
type GroupingKey struct{ *groupingKey }

// groupingKey is shared by all that belongs to a group, however many families that is.
type groupingKey struct {
	labels []Label
	id     string
}

// NewGroupingKey returns the key with the given labels, in any order. Their names must
// be distinct. It sorts the slice in place, and retains neither it nor what the labels alias.
func NewGroupingKey(labels []Label) GroupingKey {
	slices.SortFunc(labels, compareLabelNames)
	k := newKey(len(labels))
	copy(k.labels, labels)
	k.id = keyID(labels)
	k.aliasID()
	return GroupingKey{k}
}

// newKey returns a key with room for n labels. Up to three are part of the same allocation.
func newKey(n int) *groupingKey {
	switch n {
	case 1:
		k := &struct {
			groupingKey
			all [1]Label
		}{}
		k.labels = k.all[:]
		return &k.groupingKey
	case 2:
		k := &struct {
			groupingKey
			all [2]Label
		}{}
		k.labels = k.all[:]
		return &k.groupingKey
	case 3:
		k := &struct {
			groupingKey
			all [3]Label
		}{}
		k.labels = k.all[:]
		return &k.groupingKey
	}
	return &groupingKey{labels: make([]Label, n)}
}

// aliasID has the labels share the memory of the ID, which consists of them.
func (k *groupingKey) aliasID() {
	rest := k.id
	cut := func(n int) string {
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	for i, l := range k.labels {
		if l.Name == JobLabel {
			k.labels[i] = Label{JobLabel, cut(len(l.Value))}
		}
	}
	for i, l := range k.labels {
		if l.Name != JobLabel {
			cut(len(keySeparator))
			name := cut(len(l.Name))
			cut(len(keySeparator))
			k.labels[i] = Label{name, cut(len(l.Value))}
		}
	}
}

// keyID returns the ID of sorted labels: the job's value first, so that groups of one
// job sort next to each other, then names and values of the other labels.
func keyID(labels []Label) string {
	size := 0
	for _, l := range labels {
		size += len(l.Name) + len(l.Value) + 2
	}
	var b strings.Builder
	b.Grow(size)
	for _, l := range labels {
		if l.Name == JobLabel {
			b.WriteString(l.Value)
		}
	}
	for _, l := range labels {
		if l.Name != JobLabel {
			b.WriteString(keySeparator)
			b.WriteString(l.Name)
			b.WriteString(keySeparator)
			b.WriteString(l.Value)
		}
	}
	return b.String()
}

// Labels returns the labels, sorted by name. The caller must not change them.
func (k GroupingKey) Labels() []Label {
	if k.groupingKey == nil {
		return nil
	}
	return k.labels
}

// ID returns a string that identifies the group: two keys have the same ID if and only
// if they have the same labels. Sorted as bytes, the groups of one job are neighbors.
func (k GroupingKey) ID() string {
	if k.groupingKey == nil {
		return ""
	}
	return k.id
}

// Value returns the value of the label called name, and whether there is one.
func (k GroupingKey) Value(name string) (string, bool) {
	for _, l := range k.Labels() {
		if l.Name == name {
			return l.Value, true
		}
	}
	return "", false
}

// String writes the key as a selector, such as {instance="a",job="b"}.
func (k GroupingKey) String() string { return FormatLabels(k.Labels()) }

// FormatLabels writes labels as a selector, such as {instance="a",job="b"}.
func FormatLabels(labels []Label) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range labels {
		if i > 0 {
			b.WriteByte(',')
		}
		if LegacyLabelName(l.Name) {
			b.WriteString(l.Name)
		} else {
			b.WriteByte('"')
			labelValueEscaper.WriteString(&b, l.Name)
			b.WriteByte('"')
		}
		b.WriteString(`="`)
		labelValueEscaper.WriteString(&b, l.Value)
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

var labelValueEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Path returns the URL path of the group behind the gateway's address, such as
// /metrics/job/a/instance/b. Values that a path cannot contain are in base64.
func (k GroupingKey) Path() string {
	var b strings.Builder
	b.WriteString("/metrics")
	writeLabel := func(name, value string) {
		b.WriteByte('/')
		b.WriteString(name)
		if value == "" || strings.Contains(value, "/") || value == "." || value == ".." {
			b.WriteString(Base64Suffix + "/" + base64.RawURLEncoding.EncodeToString([]byte(value)))
			if value == "" {
				b.WriteByte('=')
			}
			return
		}
		b.WriteByte('/')
		b.WriteString(url.PathEscape(value))
	}
	job, _ := k.Value(JobLabel)
	writeLabel(JobLabel, job)
	for _, l := range k.Labels() {
		if l.Name != JobLabel {
			writeLabel(model.EscapeName(l.Name, model.ValueEncodingEscaping), l.Value)
		}
	}
	return b.String()
}

// Base64Suffix follows a label's name in a URL if its value is in base64.
const Base64Suffix = "@base64"
