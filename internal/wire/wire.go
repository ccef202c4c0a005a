// Package wire decodes pushed bodies into metric families and encodes families for
// expositions: the text format, OpenMetrics and delimited protobuf. It holds no state
// between calls but the buffers of its parsers.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// Sink receives the families of a body in batches while the body is parsed. So a large
// body is never in memory as a whole in decoded form. A small body is one batch. A sink
// may change the families.
type Sink interface {
	// Add receives a batch that is not the last one. A family can come in several
	// batches, with the same type and further metrics. Any of them may lack the help
	// text, the unit or metrics. The families are valid until Add returns, their strings
	// as long as the body.
	Add(families []metric.Family) error
	// Done receives the last batch, which is valid until the parser is used again. Done
	// also rejects series that came in two batches.
	Done(families []metric.Family) error
	// Reset drops what was added, because the body is parsed again from its beginning.
	Reset()
}

// maxBatch is how many metrics a batch has before it goes to a Sink.
const maxBatch = 4096

// maxWhole bounds a body that is parsed again as a single batch, in bytes. It takes many
// times as much memory then.
const maxWhole = 32 << 20

// Families is a Sink that gets the families of a body in a single batch. They are valid
// until the next use of the parser.
type Families struct{ All []metric.Family }

func (f *Families) Add(families []metric.Family) error  { panic("a batch of a whole body") }
func (f *Families) Done(families []metric.Family) error { f.All = families; return nil }
func (f *Families) Reset()                              { f.All = nil }

// batchLimit returns how many metrics make a batch for the sink.
func batchLimit(sink Sink) int {
	if _, whole := sink.(*Families); whole || sink == nil {
		return math.MaxInt
	}
	return maxBatch
}

// Format is the format of a body.
type Format uint8

const (
	Text        Format = iota // the text format 0.0.4
	OpenMetrics               // OpenMetrics 1.0 as text
	Protobuf                  // delimited io.prometheus.client.MetricFamily messages
)

// Parser parses bodies of any format. The zero value is ready for use. Reuse saves
// allocations. A Parser is not safe for concurrent use.
type Parser struct{ text TextParser }

// ParseTo parses a body and gives its families to the sink. Names must be valid by the
// scheme, except in protobuf. Strings of the families alias the body.
//
// If a body is declared as OpenMetrics but is not, it is parsed as the text format: clients
// are known to send text under that header, and the Prometheus Pushgateway accepts it.
//
// The error is that of the sink or a *metric.RejectionError. Cost: O(n) time in the body.
// Apart from the sink's memory and the names of families, it takes O(1) memory.
func (p *Parser) ParseTo(body []byte, format Format, names metric.ValidationScheme, sink Sink) error {
	src := protofield.Alias(body)
	p.text.Names = names
	switch format {
	case Protobuf:
		return parseProtobufTo(body, sink)
	case OpenMetrics:
		err := parseOpenMetricsTo(strings.TrimPrefix(src, byteOrderMark), names, sink, batchLimit(sink))
		if !isMalformed(err) {
			return err
		}
		sink.Reset()
		textErr := p.text.ParseTo(src, sink)
		if isMalformed(textErr) && looksLikeOpenMetrics(src) {
			return err
		}
		return textErr
	}
	return p.text.ParseTo(src, sink)
}

// looksLikeOpenMetrics reports whether a body has something that OpenMetrics has and the
// text format lacks: its last line, units, more types, or exemplars.
func looksLikeOpenMetrics(src string) bool {
	for line := range strings.Lines(src) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == omEnd, strings.HasPrefix(line, "# UNIT "):
			return true
		case strings.HasPrefix(line, "# TYPE "):
			_, typ, _ := strings.Cut(line[len("# TYPE "):], " ")
			if typ == "info" || typ == "stateset" || typ == "unknown" {
				return true
			}
		case strings.Contains(line, " # {"):
			return true
		}
	}
	return false
}

// isDuplicateSeries reports whether a sink has rejected a series that came twice.
func isDuplicateSeries(err error) bool {
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	return ok && rejection.Reason == metric.DuplicateSeries
}

// byteOrderMark is accepted at the beginning of a body: editors on Windows write it.
const byteOrderMark = "\ufeff"

// excerpt quotes the beginning of s for an error message.
func excerpt(s string) string {
	const maxLength = 40
	if len(s) > maxLength {
		return strconv.Quote(strings.ToValidUTF8(s[:maxLength], "")) + "…"
	}
	return strconv.Quote(s)
}

// duplicateName returns a name that two of the labels share.
func duplicateName(labels []metric.Label) (string, bool) {
	if len(labels) > 16 {
		seen := make(map[string]struct{}, len(labels))
		for _, l := range labels {
			if _, twice := seen[l.Name]; twice {
				return l.Name, true
			}
			seen[l.Name] = struct{}{}
		}
		return "", false
	}
	for i := range labels {
		for j := range i {
			if labels[i].Name == labels[j].Name {
				return labels[i].Name, true
			}
		}
	}
	return "", false
}

// sortLabels sorts labels by name.
func sortLabels(labels []metric.Label) {
	if len(labels) > 1 {
		slices.SortFunc(labels, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
	}
}

// unescape resolves \\, \n and \" in s. As in Prometheus' scraper a backslash before
// any other character, or at the end, stands for itself.
func unescape(s string) string {
	at := strings.IndexByte(s, '\\')
	if at < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for ; at >= 0 && at+1 < len(s); at = strings.IndexByte(s, '\\') {
		b.WriteString(s[:at])
		switch c := s[at+1]; c {
		case '\\', '"':
			b.WriteByte(c)
		case 'n':
			b.WriteByte('\n')
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		s = s[at+2:]
	}
	b.WriteString(s)
	return b.String()
}

// appendLabelsKey appends bytes that only these labels in this order give.
func appendLabelsKey(dst []byte, labels []metric.Label) []byte {
	for _, l := range labels {
		dst = append(binary.AppendUvarint(dst, uint64(len(l.Name))), l.Name...)
		dst = append(binary.AppendUvarint(dst, uint64(len(l.Value))), l.Value...)
	}
	return dst
}

// unifyCounts makes all counts of h floats if one of them is.
func unifyCounts(h *metric.HistogramValue) {
	isFloat := func(b metric.Bucket) bool { return b.CumulativeCountFloat != 0 }
	if h.CountFloat == 0 && !slices.ContainsFunc(h.Buckets, isFloat) {
		return
	}
	h.CountFloat, h.Count = h.Observations(), 0
	for i := range h.Buckets {
		b := &h.Buckets[i]
		b.CumulativeCountFloat, b.CumulativeCount = b.Observations(), 0
	}
}

// isMalformed reports whether a parser has rejected a body.
func isMalformed(err error) bool {
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	return ok && rejection.Reason == metric.Malformed
}

// rejectMetricName rejects a name in a line of a body that is not a valid metric name.
func rejectMetricName(line int, names metric.ValidationScheme, name string) *metric.RejectionError {
	e := rejectName(line, "metric", name)
	suggest(e, name, model.EscapeName(name, model.UnderscoreEscaping))
	return withQuotes(e, names, names.ValidMetric(name), metric.UTF8Validation.ValidMetric(name), fmt.Sprintf("{%q}", name))
}

// rejectLabelName rejects a name in a line of a body that is not a valid label name.
func rejectLabelName(line int, names metric.ValidationScheme, name string) *metric.RejectionError {
	e := rejectName(line, "label", name)
	if name == metric.NameLabel {
		e.Message = fmt.Sprintf("line %d: %q is not a valid label name, since it is reserved for the metric's name", line, name)
		return e
	}
	suggest(e, name, strings.ReplaceAll(model.EscapeName(name, model.UnderscoreEscaping), ":", "_"))
	return withQuotes(e, names, names.ValidLabel(name), metric.UTF8Validation.ValidLabel(name), fmt.Sprintf("{%q=…}", name))
}

// maxQuoted bounds a name that is quoted in full, in bytes.
const maxQuoted = 100

// suggest adds a name that would be valid to a rejection of one that is not, if the name
// looks like one.
func suggest(e *metric.RejectionError, name, valid string) {
	unlike := func(r rune) bool { return !unicode.IsPrint(r) }
	if metric.LegacyMetricName(valid) && valid != name && len(name) <= maxQuoted && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unlike) {
		e.Message = strings.TrimSuffix(e.Message, "use "+validCharacters) + "write " + valid + " (" + validCharacters + ")"
	}
}

// validCharacters says which names are valid without the UTF-8 scheme.
const validCharacters = "letters, digits and underscores, and no digit at the beginning"

func rejectName(line int, kind, name string) *metric.RejectionError {
	quoted := strconv.Quote(name)
	if len(name) > maxQuoted || !utf8.ValidString(name) {
		quoted = excerpt(name)
	}
	return metric.Reject(metric.Malformed,
		"line %d: %s is not a valid %s name: use %s", line, quoted, kind, validCharacters)
}

// withQuotes adds that the name is valid in quotes, as in example, or that it would be
// valid with the UTF-8 scheme.
func withQuotes(e *metric.RejectionError, names metric.ValidationScheme, valid, validUTF8 bool, example string) *metric.RejectionError {
	switch {
	case valid && len(example) <= 2*maxQuoted:
		e.Message += ", or put the name in quotes: " + example
	case validUTF8 && names == metric.LegacyValidation:
		e.Fix = metric.AllowQuotedUTF8
	}
	return e
}
