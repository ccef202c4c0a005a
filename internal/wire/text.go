// Package wire turns bytes into metrics and back: the text format, OpenMetrics
// and delimited protobuf as they are pushed, and the chunks that a scrape is
// copied from. It holds no state between calls but the buffers of its parsers.
package wire

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"pushgateway/internal/metric"
)

// TextParser parses the text format 0.0.4. It gives the verdict and the families
// of expfmt.TextParser (github.com/prometheus/common/expfmt), the reference of
// the field, and accepts besides: a missing final newline, CRLF line ends, and a
// leading byte order mark.
//
// The zero value is ready but for Names. A parser may be reused, which saves its
// allocations, but not concurrently.
type TextParser struct {
	Names metric.ValidationScheme

	line int // number of the line being parsed, from 1

	families   []metric.Family
	states     []familyState // beside families
	byName     map[string]int
	composites bool           // some family is a summary or histogram
	labels     []metric.Label // backs the labels of all metrics

	// The last name and what it resolved to. A name resolves to the same family
	// throughout a body.
	lastName  string
	lastPlain bool // it needs no quotes
	last      sampleName

	// Histograms of this body, and of earlier ones.
	histograms     []*metric.HistogramValue
	histogramsUsed int

	// The names of the last labels, by their place in the line.
	labelNames []string

	// Where to find the metric of a summary or histogram again, by family and
	// sorted labels.
	series    map[string]int
	seriesKey []byte
	sorted    []metric.Label
}

type familyState struct {
	hasHelp, hasType bool
	lastMetric       int // of a summary or histogram: the metric of the last sample
}

// sampleName is what the name of a sample stands for.
type sampleName struct {
	family int
	part   samplePart
}

type samplePart uint8

const (
	wholeSample samplePart = iota // the family's name itself, or a bucket
	countSample                   // a summary's or histogram's _count
	sumSample                     // a summary's or histogram's _sum
)

// Parse reads a body. The families come in the order of their first appearance;
// they alias src and the parser until its next use. The error is a
// *metric.RejectionError that names the line.
func (p *TextParser) Parse(src string) ([]metric.Family, error) {
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
			return nil, err
		}
	}
	return p.finish(), nil
}

const byteOrderMark = "\ufeff"

func (p *TextParser) reset() {
	p.line = 0
	p.families, p.states, p.labels = p.families[:0], p.states[:0], p.labels[:0]
	p.lastName, p.lastPlain, p.last, p.labelNames = "", false, sampleName{}, p.labelNames[:0]
	p.composites, p.histogramsUsed = false, 0
	if p.byName == nil {
		p.byName = map[string]int{}
		p.series = map[string]int{}
	}
	clear(p.byName)
	clear(p.series)
}

// finish drops families without samples and makes each histogram count in
// floats throughout where one of its counts is a float.
func (p *TextParser) finish() []metric.Family {
	kept := 0
	for i := range p.families {
		f := &p.families[i]
		if len(f.Metrics) == 0 {
			continue
		}
		if f.Type.HasBuckets() {
			for j := range f.Metrics {
				unifyCounts(f.Metrics[j].Histogram)
			}
		}
		// Swapped rather than copied: no two slots may share their metrics'
		// memory, which the next body writes to.
		p.families[kept], p.families[i] = p.families[i], p.families[kept]
		kept++
	}
	return p.families[:kept]
}

// unifyCounts makes all counts of h floats where one of them is.
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

func (p *TextParser) reject(format string, args ...any) error {
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
		return p.reject("invalid metric name: %s", excerpt(line[i:]))
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
		if inside != "" {
			return p.reject("expected '=' after label name %q of metric %q", inside, name)
		}
	}
	return p.parseValue(line, i, sample, start)
}

// readMetricName reads the metric name at i. Mostly that is the last one again,
// which needs no look at its bytes.
func (p *TextParser) readMetricName(line string, i int) (name string, end int, err error) {
	end = i + len(p.lastName)
	if p.lastPlain && end < len(line) && line[i:end] == p.lastName && (line[end] == '{' || line[end] == ' ') {
		return p.lastName, end, nil
	}
	return p.readName(line, i, metric.MetricNamePrefix)
}

// parseBracedSample parses a sample whose name stands inside its braces, as in
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

// parseComment parses what follows the '#' of a line at i: HELP, TYPE, or
// nothing of meaning.
func (p *TextParser) parseComment(line string, i int) error {
	keyword, i := token(line, i)
	if i == len(line) || keyword != "HELP" && keyword != "TYPE" {
		return nil
	}
	name, i, err := p.readMetricName(line, skipBlank(line, i))
	if err != nil || i == len(line) {
		return err
	}
	if !isBlank(line[i]) {
		return p.reject("invalid metric name after %s: %s", keyword, excerpt(line[i:]))
	}
	sample, err := p.resolveComment(name)
	if err != nil {
		return err
	}
	i = skipBlank(line, i)
	if i == len(line) {
		return nil
	}
	f, state := &p.families[sample.family], &p.states[sample.family]
	if keyword == "HELP" {
		if state.hasHelp {
			return p.reject("second HELP line for metric family %q", f.Name)
		}
		state.hasHelp = true
		f.Help, err = p.unescape(line[i:])
		return err
	}
	if state.hasType {
		return p.reject("second TYPE line for metric family %q, or TYPE after its samples: TYPE comes once, before them", f.Name)
	}
	// The reference parser drops backslashes here.
	typ, ok := typeNamed(strings.ReplaceAll(line[i:], `\`, ""))
	if !ok {
		return p.reject("unknown metric type %q for %q: use counter, gauge, histogram, summary or untyped", line[i:], f.Name)
	}
	state.hasType, f.Type = true, typ
	p.composites = p.composites || typ == metric.Summary || typ.HasBuckets()
	return nil
}

// typeNamed returns the type called name in a TYPE line, in letters of any case.
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

// resolve returns what a sample called name belongs to: the family of that name,
// or else the summary or histogram whose part it is, or else a new family. The
// family's type stands from its first sample on.
func (p *TextParser) resolve(name string) (sampleName, error) {
	sample, err := p.resolveComment(name)
	if err != nil {
		return sampleName{}, err
	}
	if state := &p.states[sample.family]; !state.hasType {
		state.hasType = true
		p.families[sample.family].Type = metric.Untyped
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
		return sampleName{}, p.reject("invalid metric name %q", name)
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
		typ := p.families[at].Type
		if typ.HasBuckets() || typ == metric.Summary && part != wholeSample {
			return sampleName{at, part}, nil
		}
	}
	return p.newFamily(name), nil
}

func (p *TextParser) newFamily(name string) sampleName {
	at := len(p.families)
	p.byName[name] = at
	p.states = append(p.states, familyState{lastMetric: -1})
	// A slot that an earlier body used lends the capacity of its metrics.
	if at < cap(p.families) {
		p.families = p.families[:at+1]
		p.families[at] = metric.Family{Name: name, Metrics: p.families[at].Metrics[:0]}
	} else {
		p.families = append(p.families, metric.Family{Name: name})
	}
	return sampleName{family: at}
}

// cutSuffix takes suffix off s where something is left before it.
func cutSuffix(s *string, suffix string) bool {
	if len(*s) <= len(suffix) || !strings.HasSuffix(*s, suffix) {
		return false
	}
	*s = (*s)[:len(*s)-len(suffix)]
	return true
}

// parseLabels parses a label set from the '{' at i and appends its labels to
// p.labels. It returns a name that stands alone between the labels, which is the
// metric's, and where the label set ends.
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
			if name, i, err = p.readName(line, i, metric.LabelNamePrefix); err != nil {
				return "", 0, err
			}
			if name == "" {
				return "", 0, p.reject("invalid label name: %s", excerpt(line[i:]))
			}
			i = skipBlank(line, i)
			if i < len(line) && line[i] != '=' && alone == "" && (line[i] == ',' || line[i] == '}') {
				alone = name
				if line[i] == ',' {
					i++
				}
				continue
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
			return "", 0, p.reject("expected ',' or '}' after the value of label %q: %s", name, excerpt(line[i:]))
		}
	}
}

// knownLabelName reports whether at i begins the same label as at this place of the
// line before, and then where its value begins. Lines with the same labels follow
// each other mostly.
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

// beginLabel checks what is between a label's name and its value, from i on, and
// the name itself.
func (p *TextParser) beginLabel(line string, i int, name string) (valueAt int, err error) {
	if i == len(line) || line[i] != '=' {
		return 0, p.reject("expected '=' after label name %q: %s", name, excerpt(line[i:]))
	}
	if name == metric.NameLabel || !p.Names.ValidLabel(name) {
		return 0, p.reject("invalid label name %q", name)
	}
	i = skipBlank(line, i+1)
	if i == len(line) || line[i] != '"' {
		return 0, p.reject("the value of label %q must stand in double quotes: %s", name, excerpt(line[i:]))
	}
	return i + 1, nil
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
				if value, err = p.unescape(value); err != nil {
					return "", 0, err
				}
			}
			if bits >= utf8.RuneSelf && !utf8.ValidString(value) {
				return "", 0, p.reject("the value of label %q is not valid UTF-8: %q", name, value)
			}
			return value, j + 1, nil
		}
	}
	return "", 0, p.reject("the value of label %q is not closed: '\"' is missing", name)
}

// unescape resolves \\, \n and \" in s. Any other escape is an error.
func (p *TextParser) unescape(s string) (string, error) {
	first := strings.IndexByte(s, '\\')
	if first < 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", p.reject(`a lone backslash at the end: write \\`)
		}
		switch s[i] {
		case '\\', '"':
			b.WriteByte(s[i])
		case 'n':
			b.WriteByte('\n')
		default:
			return "", p.reject(`invalid escape sequence \%c: only \\, \n and \" are known`, s[i])
		}
	}
	return b.String(), nil
}

// parseValue parses value and timestamp of a sample from i on and adds it to its
// family. The sample's labels are p.labels[start:].
func (p *TextParser) parseValue(line string, i int, sample sampleName, start int) error {
	f := &p.families[sample.family]
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

	text, i := token(line, i)
	value, ok := parseFloat(text)
	if !ok {
		return p.reject("expected a number as the value of %q, got %q", f.Name, text)
	}
	m, err := p.addSample(sample, start, bound, value)
	if err != nil || i == len(line) {
		return err
	}

	text, i = token(line, skipBlank(line, i))
	if text == "" {
		return p.reject("blanks at the end of the line, after the value of %q", f.Name)
	}
	if m.TimestampMs, err = strconv.ParseInt(text, 10, 64); err != nil {
		return p.reject("expected the end of the line or an integer timestamp after the value of %q, got %q", f.Name, text)
	}
	if i < len(line) {
		return p.reject("expected the end of the line after the timestamp: %s", excerpt(line[i:]))
	}
	m.HasTimestamp = true
	return nil
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
	f := &p.families[sample.family]
	if f.Type != metric.Summary && !f.Type.HasBuckets() {
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
// p.labels[start:], in any order, made where there is none yet. It gives those
// labels back to p.labels where the metric has them already.
func (p *TextParser) compositeMetric(family, start int) *metric.Metric {
	f, state := &p.families[family], &p.states[family]
	labels := p.labels[start:len(p.labels):len(p.labels)]
	if at := state.lastMetric; at >= 0 && slices.Equal(f.Metrics[at].Labels, labels) {
		p.labels = p.labels[:start]
		return &f.Metrics[at]
	}
	p.sorted = append(p.sorted[:0], labels...)
	slices.SortFunc(p.sorted, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
	key := strconv.AppendInt(p.seriesKey[:0], int64(family), 10)
	for _, l := range p.sorted {
		key = append(append(append(append(key, 0xff), l.Name...), 0xff), l.Value...)
	}
	p.seriesKey = key
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
	}
	state.lastMetric = at
	return &f.Metrics[at]
}

// newHistogram returns an empty histogram, in memory that an earlier body used
// where there is some.
func (p *TextParser) newHistogram() *metric.HistogramValue {
	if p.histogramsUsed == len(p.histograms) {
		p.histograms = append(p.histograms, new(metric.HistogramValue))
	}
	h := p.histograms[p.histogramsUsed]
	p.histogramsUsed++
	*h = metric.HistogramValue{Buckets: h.Buckets[:0]}
	return h
}

// duplicateName finds a name that two of the labels share.
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

// readName reads a metric or label name at i, which is empty where none starts
// there. prefix finds the part of it that needs no quotes.
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
			quoted, err := p.unescape(line[j+1 : k])
			return line[i:j] + quoted, k + 1, err
		}
	}
	return "", 0, p.reject("the quoted name is not closed: '\"' is missing: %s", excerpt(line[i:]))
}

// token returns what stands from i up to the next blank or the end of the line.
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

// excerpt quotes the beginning of s for an error message.
func excerpt(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
