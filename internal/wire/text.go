package wire

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"pushgateway/internal/metric"
)

// TextParser parses the text format 0.0.4. It accepts what expfmt.TextParser
// (github.com/prometheus/common/expfmt) accepts, with the same result, and beyond that
// what Prometheus' scraper ignores: a missing final newline, CRLF line ends, a byte
// order mark, blanks at the end of a line, repeated HELP and TYPE lines, and
// backslashes that escape nothing. Names with zero bytes are rejected.
//
// The zero value is ready once Names is set. Reuse saves allocations. A parser is not safe
// for concurrent use.
type TextParser struct {
	Names metric.ValidationScheme

	line       int // number of the line being parsed, from 1
	sink       Sink
	batchLimit int // of metrics
	batchEnd   int // metrics at which this batch ends: more than batchLimit if it began with many

	byName     map[string]int // index in states
	states     []familyState
	composites bool // some family is a summary or histogram
	split      bool // a batch ended within a family that is one

	// The batch.
	families []metric.Family
	stateOf  []int // for each of families its index in states
	metrics  int
	labels   []metric.Label // backs the labels of all metrics

	// The last name and what it resolved to. A name resolves to the same family
	// throughout a body.
	lastName  string
	lastPlain bool // it needs no quotes
	last      sampleName

	// Histograms of this batch, and of earlier ones.
	histograms     []*metric.HistogramValue
	histogramsUsed int

	// The names of the last labels, by their place in the line.
	labelNames []string

	// The metrics of summaries and histograms, by family and sorted labels.
	series    map[string]int
	seriesKey []byte
	sorted    []metric.Label
}

// familyState is what the parser knows of a family throughout a body.
type familyState struct {
	name             string
	inBatch          int32 // its index in families, -1 if it is not in the batch
	lastMetric       int32 // of a summary or histogram: the metric of the last sample; -1 for none
	typ              metric.Type
	hasHelp, hasType bool
}

// sampleName is what the name of a sample resolves to.
type sampleName struct {
	family int // index in states
	part   samplePart
}

type samplePart uint8

const (
	wholeSample samplePart = iota // the family's name itself, or a bucket
	countSample                   // a summary's or histogram's _count
	sumSample                     // a summary's or histogram's _sum
)

// Parse parses a body. The families come in the order of their first appearance. They
// alias src and, until its next use, memory of the parser. The error is a *metric.RejectionError
// that names the line.
func (p *TextParser) Parse(src string) ([]metric.Family, error) {
	var whole Families
	err := p.ParseTo(src, &whole)
	return whole.All, err
}

// ParseTo parses a body like Parse and gives it to the sink in batches. The error is
// that of the sink or a *metric.RejectionError.
func (p *TextParser) ParseTo(src string, sink Sink) error {
	return p.parseTo(src, sink, batchLimit(sink))
}

func (p *TextParser) parseTo(src string, sink Sink, batchLimit int) error {
	p.sink, p.batchLimit = sink, batchLimit
	err := p.parse(src)
	if err == nil {
		err = sink.Done(p.finishBatch())
	}
	if !p.split || !isDuplicateSeries(err) || len(src) > maxWhole {
		return err
	}
	// Lines of one summary or histogram may be in different batches, though hardly
	// anybody writes them apart from each other.
	sink.Reset()
	families, err := p.Parse(src)
	if err != nil {
		return err
	}
	return sink.Done(families)
}

func (p *TextParser) parse(src string) error {
	p.reset()
	rest := strings.TrimPrefix(src, byteOrderMark)
	for len(rest) > 0 {
		line := rest
		if end := strings.IndexByte(rest, '\n'); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = ""
		}
		p.line++
		if err := p.parseLine(strings.TrimSuffix(line, "\r")); err != nil {
			return err
		}
		if p.metrics >= p.batchEnd {
			if err := p.endBatch(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *TextParser) reset() {
	p.line, p.metrics, p.batchEnd = 0, 0, p.batchLimit
	p.states, p.families, p.stateOf, p.labels = p.states[:0], p.families[:0], p.stateOf[:0], p.labels[:0]
	p.lastName, p.lastPlain, p.last, p.labelNames = "", false, sampleName{}, p.labelNames[:0]
	p.composites, p.split, p.histogramsUsed = false, false, 0
	if p.byName == nil {
		p.byName = map[string]int{}
		p.series = map[string]int{}
	}
	clear(p.byName)
	clear(p.series)
}

// finishBatch returns the families of the batch that have samples, and makes each
// histogram count in floats throughout if one of its counts is a float.
func (p *TextParser) finishBatch() []metric.Family {
	finished := 0
	for i := range p.families {
		f := &p.families[i]
		if len(f.Metrics) == 0 && (f.Help == "" || p.batchLimit == math.MaxInt) {
			continue
		}
		if f.Type.HasBuckets() {
			for j := range f.Metrics {
				unifyCounts(f.Metrics[j].Histogram)
			}
		}
		// Swapped rather than copied: no two slots may share their metrics'
		// memory, which the next body writes to.
		p.families[finished], p.families[i] = p.families[i], p.families[finished]
		finished++
	}
	return p.families[:finished]
}

// endBatch gives the batch to the sink. The last metric of each summary and histogram
// goes to the next batch, since more of its lines may follow. The more goes there, the larger the
// next batch is, so that moving it takes no longer than reading the lines.
func (p *TextParser) endBatch() error {
	type unfinished struct {
		state int
		m     metric.Metric
	}
	var left []unfinished
	moved := 0 // metrics and buckets
	for at := range p.families {
		f, state := &p.families[at], &p.states[p.stateOf[at]]
		state.inBatch = -1
		if f.Type.Scalar() || len(f.Metrics) == 0 {
			continue
		}
		p.split = true
		last := len(f.Metrics) - 1
		m := f.Metrics[state.lastMetric]
		f.Metrics[state.lastMetric] = f.Metrics[last]
		f.Metrics = f.Metrics[:last]
		m.Labels = slices.Clone(m.Labels)
		moved += 1 + len(m.Labels)
		if m.Histogram != nil {
			h := *m.Histogram
			h.Buckets = slices.Clone(h.Buckets)
			m.Histogram = &h
			moved += len(h.Buckets)
		}
		left = append(left, unfinished{p.stateOf[at], m})
	}
	if err := p.sink.Add(p.finishBatch()); err != nil {
		return err
	}
	p.families, p.stateOf, p.labels, p.metrics, p.histogramsUsed = p.families[:0], p.stateOf[:0], p.labels[:0], 0, 0
	p.batchEnd = len(left) + max(p.batchLimit, moved)
	clear(p.series)
	for _, u := range left {
		f := p.familyOf(u.state)
		p.series[string(p.keyOf(u.state, u.m.Labels))] = 0
		f.Metrics = append(f.Metrics, u.m)
		p.states[u.state].lastMetric = 0
	}
	return nil
}

// familyOf returns the family of a state, which it adds to the batch if need be.
func (p *TextParser) familyOf(state int) *metric.Family {
	s := &p.states[state]
	if s.inBatch >= 0 {
		return &p.families[s.inBatch]
	}
	at := len(p.families)
	s.inBatch = int32(at)
	p.metrics++ // a family takes about as much memory as a metric
	p.stateOf = append(p.stateOf, state)
	f := metric.Family{Name: s.name, Type: s.typ}
	// A slot that an earlier body or batch used lends the capacity of its metrics.
	if at < cap(p.families) {
		p.families = p.families[:at+1]
		f.Metrics = p.families[at].Metrics[:0]
		p.families[at] = f
	} else {
		p.families = append(p.families, f)
	}
	return &p.families[at]
}

func (p *TextParser) reject(format string, args ...any) *metric.RejectionError {
	return metric.Reject(metric.Malformed, "line %d: "+format, append([]any{p.line}, args...)...)
}

func (p *TextParser) parseLine(line string) error {
	i := skipBlank(line, 0)
	if i == len(line) {
		return nil
	}
	switch line[i] {
	case '#':
		return p.parseComment(line, skipBlank(line, i+1))
	case '{':
		return p.parseBracedSample(line, i)
	}
	name, i, err := p.readMetricName(line, i)
	if err != nil {
		return err
	}
	if name == "" {
		return p.rejectMetricName(nameToken(line, i))
	}
	sample, err := p.resolve(name)
	if err != nil {
		return err
	}
	start := len(p.labels)
	i = skipBlank(line, i)
	if i < len(line) && line[i] == '{' {
		var inside string
		if inside, i, err = p.parseLabels(line, i); err != nil {
			return err
		}
		switch {
		case inside == "":
		case metric.LegacyLabelName(inside):
			return p.reject("the label %q of %q has no value: write one after it, as in %s=\"x\"", inside, name, inside)
		default:
			return p.reject("the sample has two metric names, %q and %q: remove one", name, inside)
		}
	}
	return p.parseValue(line, i, sample, start)
}

// readMetricName reads the metric name at i. Usually that is the last one again, which
// needs no look at its bytes.
func (p *TextParser) readMetricName(line string, i int) (name string, end int, err error) {
	end = i + len(p.lastName)
	if p.lastPlain && end < len(line) && line[i:end] == p.lastName && (line[end] == '{' || line[end] == ' ') {
		return p.lastName, end, nil
	}
	return p.readName(line, i, metric.MetricNamePrefix)
}

// parseBracedSample parses a sample with the metric name inside its braces, as in
// {"name",label="value"} 1.
func (p *TextParser) parseBracedSample(line string, i int) error {
	start := len(p.labels)
	name, i, err := p.parseLabels(line, i)
	if err != nil {
		return err
	}
	if name == "" {
		return p.reject("a sample without a metric name: %s", excerpt(line))
	}
	sample, err := p.resolve(name)
	if err != nil {
		return err
	}
	return p.parseValue(line, i, sample, start)
}

// parseComment parses what follows the '#' of a line at i: HELP, TYPE, or a comment.
func (p *TextParser) parseComment(line string, i int) error {
	keyword, i := token(line, i)
	if i == len(line) || keyword != "HELP" && keyword != "TYPE" {
		return nil
	}
	nameAt := skipBlank(line, i)
	name, i, err := p.readMetricName(line, nameAt)
	if err != nil || i == len(line) {
		return err
	}
	if !isBlank(line[i]) {
		return p.rejectMetricName(nameToken(line, nameAt))
	}
	sample, err := p.resolveComment(name)
	if err != nil {
		return err
	}
	i = skipBlank(line, i)
	if i == len(line) {
		return nil
	}
	state := &p.states[sample.family]
	if keyword == "HELP" {
		if !state.hasHelp { // the first one wins
			state.hasHelp = true
			p.familyOf(sample.family).Help = unescape(line[i:])
		}
		return nil
	}
	// The reference parser drops backslashes here.
	given := strings.ReplaceAll(strings.TrimRight(line[i:], " \t"), `\`, "")
	typ, ok := typeNamed(given)
	switch {
	case !ok:
		return p.reject("unknown metric type %s for %q: use counter, gauge, histogram, summary or untyped", excerpt(line[i:]), state.name)
	case state.hasType && state.typ != typ:
		return p.reject("TYPE line for %q says %s, but the metric family is of type %s already: put one TYPE line before its samples",
			state.name, typ, state.typ)
	}
	state.hasType, state.typ = true, typ
	p.familyOf(sample.family).Type = typ
	p.composites = p.composites || !typ.Scalar()
	return nil
}

// typeNamed returns the type that a TYPE line calls name, in letters of any case.
func typeNamed(name string) (metric.Type, bool) {
	switch name {
	case "counter":
		return metric.Counter, true
	case "gauge":
		return metric.Gauge, true
	case "histogram":
		return metric.Histogram, true
	case "summary":
		return metric.Summary, true
	case "untyped":
		return metric.Untyped, true
	}
	switch strings.ToUpper(name) {
	case "COUNTER":
		return metric.Counter, true
	case "GAUGE":
		return metric.Gauge, true
	case "HISTOGRAM":
		return metric.Histogram, true
	case "SUMMARY":
		return metric.Summary, true
	case "UNTYPED":
		return metric.Untyped, true
	case "GAUGEHISTOGRAM", "GAUGE_HISTOGRAM":
		return metric.GaugeHistogram, true
	}
	return 0, false
}

// resolve returns what a sample called name belongs to: the family of that name, or
// else the summary or histogram that it is a part of, or else a new family. A family's
// type is fixed from its first sample on.
func (p *TextParser) resolve(name string) (sampleName, error) {
	sample, err := p.resolveComment(name)
	if err != nil {
		return sampleName{}, err
	}
	if state := &p.states[sample.family]; !state.hasType {
		state.hasType, state.typ = true, metric.Untyped
		p.familyOf(sample.family).Type = metric.Untyped
	}
	return sample, nil
}

// resolveComment is resolve for a HELP or TYPE line, which leaves the type open.
func (p *TextParser) resolveComment(name string) (sampleName, error) {
	if name == p.lastName && name != "" {
		return p.last, nil
	}
	sample, err := p.lookUp(name)
	p.lastName, p.last, p.lastPlain = name, sample, metric.LegacyMetricName(name)
	return sample, err
}

func (p *TextParser) lookUp(name string) (sampleName, error) {
	if !p.Names.ValidMetric(name) {
		return sampleName{}, p.rejectMetricName(name)
	}
	if at, ok := p.byName[name]; ok {
		return sampleName{family: at}, nil
	}
	if !p.composites {
		return p.newFamily(name), nil
	}
	base, part := name, wholeSample
	switch {
	case cutSuffix(&base, "_count"):
		part = countSample
	case cutSuffix(&base, "_sum"):
		part = sumSample
	case cutSuffix(&base, "_bucket"):
	}
	if at, ok := p.byName[base]; ok && p.states[at].hasType {
		typ := p.states[at].typ
		if typ.HasBuckets() || typ == metric.Summary && part != wholeSample {
			return sampleName{at, part}, nil
		}
	}
	return p.newFamily(name), nil
}

func (p *TextParser) newFamily(name string) sampleName {
	at := len(p.states)
	p.byName[name] = at
	p.states = append(p.states, familyState{name: name, inBatch: -1, lastMetric: -1})
	p.familyOf(at)
	return sampleName{family: at}
}

func (p *TextParser) rejectMetricName(name string) error {
	return rejectMetricName(p.line, p.Names, name)
}
func (p *TextParser) rejectLabelName(name string) error {
	return rejectLabelName(p.line, p.Names, name)
}

// cutSuffix takes suffix off s if something is left before it, and reports whether it
// did.
func cutSuffix(s *string, suffix string) bool {
	if len(*s) <= len(suffix) || !strings.HasSuffix(*s, suffix) {
		return false
	}
	*s = (*s)[:len(*s)-len(suffix)]
	return true
}

// parseLabels parses a label set from the '{' at i and appends its labels to p.labels. It
// returns a name without a value among the labels, which is the metric's, and where the
// label set ends.
func (p *TextParser) parseLabels(line string, i int) (alone string, end int, err error) {
	i++
	for at := 0; ; at++ {
		i = skipBlank(line, i)
		if i == len(line) {
			return "", 0, p.reject("the label set is not closed: '}' is missing")
		}
		if line[i] == '}' {
			return alone, skipBlank(line, i+1), nil
		}
		name, valueAt, known := p.knownLabelName(line, i, at)
		if !known {
			nameAt := i
			if name, i, err = p.readName(line, i, metric.LabelNamePrefix); err != nil {
				return "", 0, err
			}
			if name == "" {
				return "", 0, p.rejectLabel(line[i:])
			}
			i = skipBlank(line, i)
			if i < len(line) && line[i] != '=' && alone == "" && (line[i] == ',' || line[i] == '}') {
				alone = name
				if line[i] == ',' {
					i++
				}
				continue
			}
			if i < len(line) && line[i] != '=' && line[i] != ',' && line[i] != '}' && line[nameAt] != '"' {
				return "", 0, p.rejectLabelName(labelToken(line, nameAt))
			}
			if valueAt, err = p.beginLabel(line, i, name); err != nil {
				return "", 0, err
			}
			p.rememberLabelName(at, name)
		}
		var value string
		if value, i, err = p.readLabelValue(line, valueAt, name); err != nil {
			return "", 0, err
		}
		p.labels = append(p.labels, metric.Label{Name: name, Value: value})
		i = skipBlank(line, i)
		if i < len(line) && line[i] == ',' {
			i++
		} else if i < len(line) && line[i] != '}' {
			return "", 0, p.rejectAfterLabel(name, line[i:])
		}
	}
}

// rejectLabel rejects a line with rest where the name of a label, or the end of the label set, should be.
func (p *TextParser) rejectLabel(rest string) error {
	if number, end := token(rest, 0); skipBlank(rest, end) == len(rest) {
		if _, ok := parseFloat(number); ok {
			return p.reject("'}' is missing before %s", excerpt(rest))
		}
	}
	return p.rejectLabelName(labelToken(rest, 0))
}

// labelStart matches the name of a label and what follows it.
var labelStart = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*[ \t]*=`)

// rejectAfterLabel rejects a line with rest after the value of the label called name, and
// names the mistake that is likely behind it.
func (p *TextParser) rejectAfterLabel(name, rest string) error {
	switch {
	case !strings.Contains(rest, "}"):
		return p.reject("'}' is missing after the value of label %q: %s", name, excerpt(rest))
	case labelStart.MatchString(rest):
		return p.reject("',' is missing after the value of label %q: %s", name, excerpt(rest))
	case !isBlank(rest[0]) && strings.Count(rest, `"`)%2 == 1:
		return p.reject(`the value of label %q ends before %s: write \" for a double quote in a value`, name, excerpt(rest))
	}
	return p.reject("expected ',' or '}' after the value of label %q: %s", name, excerpt(rest))
}

// knownLabelName reports whether the same label begins at i as at this place of the line
// before, and then where its value begins. Lines with the same label names usually follow
// each other.
func (p *TextParser) knownLabelName(line string, i, at int) (name string, valueAt int, ok bool) {
	if at >= len(p.labelNames) {
		return "", 0, false
	}
	name = p.labelNames[at]
	end := i + len(name)
	if end+1 < len(line) && line[i:end] == name && line[end] == '=' && line[end+1] == '"' {
		return name, end + 2, true
	}
	return "", 0, false
}

func (p *TextParser) rememberLabelName(at int, name string) {
	if at > len(p.labelNames) {
		return // one before was not remembered
	}
	p.labelNames = p.labelNames[:at]
	if metric.LegacyLabelName(name) { // and so needs no quotes
		p.labelNames = append(p.labelNames, name)
	}
}

// beginLabel checks the name of a label and what is between it and the value, from i on.
func (p *TextParser) beginLabel(line string, i int, name string) (valueAt int, err error) {
	if i == len(line) || line[i] != '=' {
		return 0, p.reject("expected '=' after label name %q: %s", name, excerpt(line[i:]))
	}
	if name == metric.NameLabel || !p.Names.ValidLabel(name) {
		return 0, p.rejectLabelName(name)
	}
	i = skipBlank(line, i+1)
	if i == len(line) || line[i] != '"' {
		return 0, p.reject("the value of label %q must be in double quotes%s: %s", name, quotedLabel(name, line[i:]), excerpt(line[i:]))
	}
	return i + 1, nil
}

// quotedLabel says how to write a label whose value, at the start of s, is not in double quotes,
// "" if that is not clear.
func quotedLabel(name, s string) string {
	end := strings.IndexAny(s, ",}")
	if end < 0 || end > maxQuoted {
		return ""
	}
	value := strings.Trim(s[:end], "'‘’“” \t")
	if strings.ContainsAny(value, `"\'`) || !utf8.ValidString(value) {
		return ""
	}
	return fmt.Sprintf(`, as in %s="%s"`, name, value)
}

// readLabelValue reads a label's value up to its closing quote.
func (p *TextParser) readLabelValue(line string, i int, name string) (value string, end int, err error) {
	escaped, bits := false, byte(0)
	for j := i; j < len(line); j++ {
		c := line[j]
		bits |= c
		switch c {
		case '\\':
			escaped = true
			j++
			if j < len(line) {
				bits |= line[j]
			}
		case '"':
			value = line[i:j]
			if escaped {
				value = unescape(value)
			}
			if bits >= utf8.RuneSelf && !utf8.ValidString(value) {
				return "", 0, p.reject("the value of label %q is not valid UTF-8: %q", name, value)
			}
			return value, j + 1, nil
		}
	}
	return "", 0, p.reject("the value of label %q is not closed: '\"' is missing", name)
}

// parseValue parses the value and timestamp of a sample from i on and adds it to its
// family. The sample's labels are p.labels[start:].
func (p *TextParser) parseValue(line string, i int, sample sampleName, start int) error {
	f := p.familyOf(sample.family)
	bound := math.NaN()
	switch {
	case f.Type == metric.Summary:
		if err := p.takeBound(start, metric.QuantileLabel, &bound); err != nil {
			return err
		}
	case f.Type.HasBuckets():
		if err := p.takeBound(start, metric.BucketLabel, &bound); err != nil {
			return err
		}
	}
	if name, twice := duplicateName(p.labels[start:]); twice {
		return p.reject("metric %q has the label %q twice", f.Name, name)
	}

	valueAt := i
	text, i := token(line, i)
	value, ok := parseFloat(text)
	if !ok {
		return p.rejectValue(line, valueAt, f.Name)
	}
	m, err := p.addSample(sample, start, bound, value)
	if err != nil || i == len(line) {
		return err
	}
	restAt := skipBlank(line, i)
	text, i = token(line, restAt)
	if text == "" {
		return nil // blanks at the end of the line
	}
	if m.TimestampMs, err = strconv.ParseInt(text, 10, 64); err != nil || skipBlank(line, i) < len(line) {
		return p.rejectRest(strings.TrimRight(line[restAt:], " \t"), f.Name)
	}
	m.HasTimestamp = true
	return nil
}

// rejectRest rejects a line with more than a timestamp after the value of the metric called
// name, and names the mistake that is likely behind it.
func (p *TextParser) rejectRest(rest, name string) error {
	if rest[0] == '{' {
		return p.reject("the labels of %q follow its value: put them directly after the name: %s", name, excerpt(rest))
	}
	if startsWithDate.MatchString(rest) {
		return p.reject("%s after the value of %q looks like a date: remove it "+
			"(timestamps are milliseconds since 1970, and pushes have none)", excerpt(rest), name)
	}
	first, next := token(rest, 0)
	second, _ := token(rest, skipBlank(rest, next))
	if seconds, ok := parseFloat(first); ok && second == "" && seconds >= minLikelySeconds && !math.IsInf(seconds, 0) {
		return p.reject("%s after the value of %q looks like a timestamp: remove it (Prometheus records the time of its scrape)", first, name)
	}
	if _, ok := parseFloat(second); ok && metric.LegacyMetricName(nameToken(first, 0)) {
		return p.reject("another sample follows the value of %q: put it on a line of its own: %s", name, excerpt(rest))
	}
	return p.reject("unexpected %s after the value of %q: remove it", excerpt(rest), name)
}

// startsWithDate matches what begins with a date, as in 2026-11-26T10:00:00Z, 26.11.2026 and Thu Nov 26.
var startsWithDate = regexp.MustCompile(
	`^([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}|(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )`)

// minLikelySeconds is the smallest number that looks like a time in seconds since 1970: in 2001.
const minLikelySeconds = 1e9

// rejectValue rejects a line with no number at i, where the value of the metric called
// name should be, and names the mistake that is likely behind it.
func (p *TextParser) rejectValue(line string, i int, name string) error {
	text, next := token(line, i)
	if text == "" {
		return p.reject("%q has no value, perhaps because of an unset variable: write a number after it", name)
	}
	if start := skipBlank(line, 0); i > start && !isBlank(line[i-1]) && line[i-1] != '}' && line[start] != '"' {
		if _, ok := parseFloat(text[1:]); ok && text[0] == '=' {
			return p.reject("there is no = between a name and its value: write %s %s", name, text[1:])
		}
		return p.rejectMetricName(nameToken(line, start))
	}
	if advice := commaAdvice(text); advice != "" {
		return p.reject("the value of %q is %s%s", name, text, advice)
	}
	if second, _ := token(line, skipBlank(line, next)); second != "" && !strings.Contains(line[:i], "{") {
		if _, ok := parseFloat(second); ok {
			return p.rejectMetricName(line[skipBlank(line, 0):next])
		}
	}
	return p.reject("expected a number as the value of %q, got %s%s", name, excerpt(text), numberFor(text))
}

// thousands matches numbers whose comma may separate thousands or decimals.
var thousands = regexp.MustCompile(`^[-+]?[1-9][0-9]{0,2},[0-9]{3}$`)

// commaAdvice says how to write a number without its commas, "" if text is no such number.
func commaAdvice(text string) string {
	decimal := strings.Replace(text, ",", ".", 1)
	if decimal == text {
		return ""
	}
	if thousands.MatchString(text) {
		return fmt.Sprintf(", with a comma: write %s or %s", strings.Replace(text, ",", "", 1), decimal)
	}
	if _, ok := parseFloat(decimal); ok {
		return fmt.Sprintf(", with a decimal comma: write %s (programs format numbers like this with LC_ALL=C in their environment)", decimal)
	}
	if _, ok := parseFloat(strings.NewReplacer(",", "", ".", "").Replace(text)); ok {
		return ": write it with a decimal point, and without separators of thousands"
	}
	return ""
}

// numberFor says which number to write instead of a value that is none, "" if that is not
// clear.
func numberFor(text string) string {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "ok":
		return ": write 1"
	case "false", "no", "off":
		return ": write 0"
	case "null", "none", "nil", "undefined":
		return ": leave the line out, or write NaN"
	}
	if startsWithDate.MatchString(text) {
		return ": write a time in seconds since 1970, as date +%s prints it"
	}
	if strings.HasPrefix(text, "$") {
		return ": the shell replaces a variable in double quotes, not in single quotes"
	}
	if bare := strings.Trim(text, "\"';,"); bare != text {
		if _, ok := parseFloat(bare); ok {
			return ": write " + bare
		}
	}
	digits := strings.TrimRight(text, "%abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµ°")
	if _, ok := parseFloat(digits); ok && digits != text {
		return ": write " + digits + ", without a unit (put that into the name)"
	}
	return ""
}

// takeBound removes the labels called name from p.labels[start:] and parses the
// last of them into bound.
func (p *TextParser) takeBound(start int, name string, bound *float64) error {
	for i := start; i < len(p.labels); i++ {
		if p.labels[i].Name != name {
			continue
		}
		value := p.labels[i].Value
		var ok bool
		if *bound, ok = parseFloat(value); !ok {
			return p.reject("expected a number as the value of label %q, got %q", name, value)
		}
		p.labels = slices.Delete(p.labels, i, i+1)
		i--
	}
	return nil
}

// addSample adds the sample to its family and returns the metric it went to.
func (p *TextParser) addSample(sample sampleName, start int, bound, value float64) (*metric.Metric, error) {
	f := p.familyOf(sample.family)
	if f.Type.Scalar() {
		p.metrics++
		f.Metrics = append(f.Metrics, metric.Metric{
			Labels: p.labels[start:len(p.labels):len(p.labels)], Value: value, HasValue: true,
		})
		return &f.Metrics[len(f.Metrics)-1], nil
	}
	m := p.compositeMetric(sample.family, start)
	if f.Type == metric.Summary {
		switch s := m.Summary; {
		case sample.part == countSample:
			s.Count = uint64(value)
		case sample.part == sumSample:
			s.Sum = value
		case !math.IsNaN(bound):
			s.Quantiles = append(s.Quantiles, metric.Quantile{Quantile: bound, Value: value})
		}
		return m, nil
	}
	switch h := m.Histogram; {
	case sample.part == countSample:
		if n := uint64(value); float64(n) == value {
			h.Count = n
		} else if value < 0 {
			return nil, p.reject("the count of histogram %q is negative", f.Name)
		} else {
			h.CountFloat = value
		}
	case sample.part == sumSample:
		h.Sum = value
	case !math.IsNaN(bound):
		b := metric.Bucket{UpperBound: bound}
		if n := uint64(value); float64(n) == value {
			b.CumulativeCount = n
		} else if value < 0 {
			return nil, p.reject("a bucket of histogram %q has a negative count", f.Name)
		} else {
			b.CumulativeCountFloat = value
		}
		h.Buckets = append(h.Buckets, b)
	}
	return m, nil
}

// compositeMetric returns the summary or histogram of the family with the labels
// p.labels[start:], in any order; it makes one if there is none yet. If there is one,
// it takes those labels off p.labels.
func (p *TextParser) compositeMetric(family, start int) *metric.Metric {
	f, state := p.familyOf(family), &p.states[family]
	labels := p.labels[start:len(p.labels):len(p.labels)]
	if at := state.lastMetric; at >= 0 && int(at) < len(f.Metrics) && slices.Equal(f.Metrics[at].Labels, labels) {
		p.labels = p.labels[:start]
		return &f.Metrics[at]
	}
	key := p.keyOf(family, labels)
	at, found := p.series[string(key)]
	if found {
		p.labels = p.labels[:start]
	} else {
		at = len(f.Metrics)
		p.series[string(key)] = at
		m := metric.Metric{Labels: labels}
		if f.Type == metric.Summary {
			m.Summary = new(metric.SummaryValue)
		} else {
			m.Histogram = p.newHistogram()
		}
		f.Metrics = append(f.Metrics, m)
		p.metrics++
	}
	state.lastMetric = int32(at)
	return &f.Metrics[at]
}

// keyOf returns the key in p.series of the family's metric with these labels, in any
// order. The next call overwrites it.
func (p *TextParser) keyOf(family int, labels []metric.Label) []byte {
	p.sorted = append(p.sorted[:0], labels...)
	sortLabels(p.sorted)
	p.seriesKey = appendLabelsKey(strconv.AppendInt(p.seriesKey[:0], int64(family), 10), p.sorted)
	return p.seriesKey
}

// newHistogram returns an empty histogram, in memory of an earlier batch or body if
// there is some.
func (p *TextParser) newHistogram() *metric.HistogramValue {
	if p.histogramsUsed == len(p.histograms) {
		p.histograms = append(p.histograms, new(metric.HistogramValue))
	}
	h := p.histograms[p.histogramsUsed]
	p.histogramsUsed++
	*h = metric.HistogramValue{Buckets: h.Buckets[:0]}
	return h
}

// readName reads a metric or label name at i, which is empty if none starts there.
// prefix returns the length of the part that needs no quotes.
//
// As in the reference parser a quoted part may hold any byte, and ends the name.
func (p *TextParser) readName(line string, i int, prefix func(string) int) (name string, end int, err error) {
	j := i + prefix(line[i:])
	if j == len(line) || line[j] != '"' {
		return line[i:j], j, nil
	}
	for k := j + 1; k < len(line); k++ {
		switch line[k] {
		case '\\':
			k++
		case '"':
			quoted, err := p.unescapeName(line[j+1 : k])
			return line[i:j] + quoted, k + 1, err
		}
	}
	return "", 0, p.reject("the quoted name is not closed: '\"' is missing: %s", excerpt(line[i:]))
}

// unescapeName is unescape for quoted names, in which a backslash must escape something.
func (p *TextParser) unescapeName(s string) (string, error) {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		if i++; i == len(s) || s[i] != '\\' && s[i] != '"' && s[i] != 'n' {
			return "", p.reject(`invalid escape sequence in the name %s: only \\, \n and \" are known`, excerpt(s))
		}
	}
	return unescape(s), nil
}

// nameToken returns what is meant to be a metric name at i.
func nameToken(line string, i int) string {
	text, _ := token(line, i)
	text, _, _ = strings.Cut(text, "{")
	return text
}

// labelToken returns what is meant to be a label name at i.
func labelToken(line string, i int) string {
	text := line[i:]
	if end := strings.IndexAny(text, `=,}"`); end >= 0 {
		text = text[:end]
	}
	return strings.TrimRight(text, " \t")
}

// token returns the text from i to the next blank or the end of the line.
func token(line string, i int) (string, int) {
	j := i
	for j < len(line) && !isBlank(line[j]) {
		j++
	}
	return line[i:j], j
}

func skipBlank(line string, i int) int {
	for i < len(line) && isBlank(line[i]) {
		i++
	}
	return i
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
