package wire

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"pushgateway/internal/metric"
)

// ParseOpenMetrics parses src, a body in the text format of OpenMetrics 1.0. It names
// families as the other formats do: the counter foo becomes a family foo_total, an info
// foo a gauge foo_info, a state set a gauge. Families without samples are dropped, the
// others come in the order of their first appearance. They alias src. The error is a
// *metric.RejectionError that names the line.
//
// It follows the specification, with these exceptions. Line ends may be CRLF, and the line
// # EOF may be missing. A quoted string in a label set may name a metric or label, as in
// Prometheus. HELP texts may contain bare double quotes, which official clients write.
// Two families may have the same name if their samples do not, as a gauge foo and a
// counter foo. A gauge histogram may have samples _sum, _count and _created, as Go's
// client names them. As in the other formats, it does not check how the numbers of a
// metric relate (buckets that do not add up, the sum of negative observations), nor that
// its lines are next to each other.
//
// Cost: O(n log n) in the labels of one line, O(n) in all else.
func ParseOpenMetrics(src string, names metric.ValidationScheme) ([]metric.Family, error) {
	var whole Families
	err := parseOpenMetricsTo(src, names, &whole, math.MaxInt)
	return whole.All, err
}

// parseOpenMetricsTo parses src like ParseOpenMetrics and gives it to the sink in
// batches of about as many metrics as batchLimit says.
func parseOpenMetricsTo(src string, names metric.ValidationScheme, sink Sink, batchLimit int) error {
	p := &openMetrics{names: names, sink: sink, batchLimit: batchLimit, taken: map[string]omOwner{}}
	err := p.parse(src)
	if err == nil {
		err = sink.Done(p.families)
	}
	// Lines of one metric may be in different batches, though hardly anybody writes
	// them apart from each other.
	apart := p.split && isMalformed(err) || p.splitComposite && isDuplicateSeries(err)
	if !apart || len(src) > maxWhole {
		return err
	}
	sink.Reset()
	families, err := ParseOpenMetrics(src, names)
	if err != nil {
		return err
	}
	return sink.Done(families)
}

func (p *openMetrics) parse(src string) error {
	for src != "" {
		p.line++
		var line string
		line, src, _ = strings.Cut(src, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == omEnd {
			if src != "" {
				p.line++
				return p.reject("%s: nothing may follow the line %q, not even a blank line", excerpt(src), omEnd)
			}
			break
		}
		if err := p.parseLine(line); err != nil {
			return err
		}
	}
	return p.finishFamily()
}

const omEnd = "# EOF"

// openMetrics parses one body.
type openMetrics struct {
	names metric.ValidationScheme
	line  int // number of the line being parsed, from 1

	sink       Sink
	batchLimit int             // of metrics
	families   []metric.Family // the batch
	metrics    int             // of the batch
	// split reports whether a batch ended within a family whose metrics may have
	// several lines, and splitComposite whether it was a summary or histogram.
	split, splitComposite bool

	// taken has the names of all families, but for the one being read until its type
	// is known, and of the samples they could have.
	taken map[string]omOwner

	family     omFamily       // the one being read
	lastFamily int            // where the one before it begins
	labels     []metric.Label // of the sample being read; its memory is reused
	arena      []metric.Label // backs the labels of metrics
	// allArenas are those of the batch, as many as arenas says, and of earlier ones.
	allArenas [][]metric.Label
	arenas    int
}

// omOwner is a family to which a name belongs.
type omOwner struct {
	family string
	line   int // where the family begins
	typ    metric.Type
}

// omFamily is the metric family being read.
type omFamily struct {
	name    string  // in OpenMetrics: of a counter without _total
	typ     *omType // nil before the first family
	line    int     // where it begins
	keyword string  // of the line of metadata it begins with, if it does
	has     omMetadata
	settled bool // its type is known, and its names are taken
	out     metric.Family

	// The rest is for types whose metrics may have several lines. The labels of their
	// metrics are sorted.
	parts     []omParts // beside out.Metrics
	last      int       // the metric of the last sample
	valueless int       // how many counters have no _total yet

	// index has the first metrics, as many as indexed says, by the key of their
	// labels. It is made when a sample has other labels than the one before.
	index   map[string]int
	indexed int
	key     []byte
}

// omMetadata is a set of lines of metadata that a family has.
type omMetadata uint8

const (
	omHelp omMetadata = 1 << iota
	omKind
	omUnit
)

// omParts is a set of single samples that a metric has.
type omParts uint8

const (
	omHasSum omParts = 1 << iota
	omHasCount
	omHasCreated
)

// omType is a metric type of OpenMetrics.
type omType struct {
	name    string
	is      metric.Type // in the other formats
	samples []omSampleName
	unitful bool // may have a unit
}

// omSampleName is a suffix of the family's name in its samples, and what such a sample
// is.
type omSampleName struct {
	suffix string
	part   omPart
}

type omPart uint8

const (
	omValue omPart = iota // the whole metric
	omTotal
	omQuantile
	omBucket
	omSum
	omCount
	omCreated
)

var (
	omUnknown  = &omType{"unknown", metric.Untyped, []omSampleName{{"", omValue}}, true}
	omInfo     = &omType{"info", metric.Gauge, []omSampleName{{"_info", omValue}}, false}
	omStateSet = &omType{"stateset", metric.Gauge, []omSampleName{{"", omValue}}, false}

	omTypes = []*omType{
		{"gauge", metric.Gauge, []omSampleName{{"", omValue}}, true},
		{"counter", metric.Counter, []omSampleName{{"_total", omTotal}, {"_created", omCreated}}, true},
		{"histogram", metric.Histogram, []omSampleName{
			{"_bucket", omBucket}, {"_sum", omSum}, {"_count", omCount}, {"_created", omCreated},
		}, true},
		{"summary", metric.Summary, []omSampleName{
			{"", omQuantile}, {"_sum", omSum}, {"_count", omCount}, {"_created", omCreated},
		}, true},
		{"gaugehistogram", metric.GaugeHistogram, []omSampleName{
			{"_bucket", omBucket}, {"_gsum", omSum}, {"_gcount", omCount},
			{"_sum", omSum}, {"_count", omCount}, {"_created", omCreated},
		}, true},
		omInfo, omStateSet, omUnknown,
	}
)

// omSample is a line that is a sample.
type omSample struct {
	name     string
	number   string // the value as written
	value    float64
	time     metric.Timestamp
	exemplar *metric.Exemplar
}

func (p *openMetrics) reject(format string, args ...any) *metric.RejectionError {
	return p.rejectAt(p.line, format, args...)
}

func (p *openMetrics) rejectAt(line int, format string, args ...any) *metric.RejectionError {
	return metric.Reject(metric.Malformed, "line %d: "+format, append([]any{line}, args...)...)
}

func (p *openMetrics) parseLine(line string) error {
	switch {
	case line == "":
		return p.reject("OpenMetrics has no blank lines: remove it")
	case line[0] == '#':
		return p.parseMetadata(line)
	}
	if len(p.family.out.Metrics) >= p.batchLimit { // before labels of the line are in the arena
		if err := p.splitFamily(); err != nil {
			return err
		}
	}
	return p.parseSample(line)
}

// parseMetadata parses a line that begins with '#' and is not the last one.
func (p *openMetrics) parseMetadata(line string) error {
	var kind omMetadata
	switch {
	case strings.HasPrefix(line, "# HELP "):
		kind = omHelp
	case strings.HasPrefix(line, "# TYPE "):
		kind = omKind
	case strings.HasPrefix(line, "# UNIT "):
		kind = omUnit
	default:
		return p.reject("OpenMetrics has no comments, only lines that begin with # HELP, # TYPE or # UNIT and one space, and %q "+
			"at the end: %s",
			omEnd, excerpt(line))
	}
	keyword, rest := line[2:6], line[7:]

	name, rest, err := p.readMetricName(rest)
	if err != nil {
		return err
	}
	if name == "" {
		return p.reject("%s needs a metric name, after one space: %s", keyword, excerpt(line))
	}
	if strings.HasPrefix(line[7:], name) && rest != "" && strings.IndexByte(" \t\"", rest[0]) < 0 {
		return rejectMetricName(p.line, p.names, nameToken(line, 7))
	}
	if rest == "" || rest[0] != ' ' {
		return p.reject("after %s %s come one space and a text: %s", keyword, name, excerpt(line))
	}
	rest = rest[1:]

	f := &p.family
	switch {
	case f.typ == nil || f.name != name || f.settled:
		if err := p.beginFamily(name, keyword); err != nil {
			return err
		}
	case f.has&kind != 0:
		return p.reject("second %s of %q: remove one", keyword, name)
	}
	f.has |= kind

	if kind == omKind {
		at := slices.IndexFunc(omTypes, func(t *omType) bool { return t.name == rest })
		if at < 0 {
			return p.reject("%q has the unknown type %s: use one of counter, gauge, histogram, gaugehistogram, summary, info, stateset "+
				"and unknown, which is what other formats call untyped", name, excerpt(rest))
		}
		f.typ = omTypes[at]
		return nil
	}
	if !utf8.ValidString(rest) {
		return p.reject("the %s of %q is not valid UTF-8: %s", keyword, name, excerpt(rest))
	}
	text := unescape(rest)
	if kind == omHelp {
		f.out.Help = text
		return nil
	}
	if text != "" && !omHasUnit(name, text) {
		return p.reject("%q has the unit %q but does not end in %q: rename it or remove the UNIT", name, text, "_"+text)
	}
	f.out.Unit = text
	return nil
}

func omHasUnit(name, unit string) bool {
	stem, ok := strings.CutSuffix(name, unit)
	return ok && strings.HasSuffix(stem, "_")
}

// beginFamily finishes the family being read and begins the one called name, with a
// sample or with the keyword of a line of metadata.
func (p *openMetrics) beginFamily(name, keyword string) error {
	if err := p.finishFamily(); err != nil {
		return err
	}
	owner, taken := p.taken[name]
	if taken && (owner.family != name || keyword == "") {
		return p.rejectTaken(p.line, name, owner)
	}
	p.family = omFamily{name: name, typ: omUnknown, line: p.line, keyword: keyword, key: p.family.key}
	return nil
}

// The types of two families that can have the same name.
var (
	counterAndGauge = [2]metric.Type{metric.Counter, metric.Gauge}
	gaugeAndCounter = [2]metric.Type{metric.Gauge, metric.Counter}
)

func (p *openMetrics) rejectTaken(line int, name string, owner omOwner) error {
	return p.rejectAt(line, "%q belongs to the metric family %q, which begins in line %d: "+
		"put all lines of a family together, and give no family the name of another one's samples", name, owner.family, owner.line)
}

// settleFamily ends the metadata of the family being read: it checks it as a whole and
// takes the family's names.
func (p *openMetrics) settleFamily() error {
	f := &p.family
	f.settled = true
	if f.out.Unit != "" && !f.typ.unitful {
		return p.rejectAt(f.line, "%q is of type %s, which has no unit: remove its UNIT", f.name, f.typ.name)
	}
	f.out.Type = f.typ.is
	owner := omOwner{f.name, f.line, f.typ.is}
	if other, again := p.taken[f.name]; again {
		// A gauge foo leaves room for a counter foo, whose only samples are
		// foo_total and foo_created.
		if types := [...]metric.Type{other.typ, f.typ.is}; types != counterAndGauge && types != gaugeAndCounter {
			if other.line == p.lastFamily {
				return p.rejectAt(f.line, "%s of %q comes after its samples: move it before them", f.keyword, f.name)
			}
			return p.rejectTaken(f.line, f.name, other)
		}
		owner.typ = metric.Untyped // so that there is no third one
	}
	p.taken[f.name] = owner
	p.lastFamily = f.line
	for _, s := range f.typ.samples {
		if s.suffix == "" {
			continue
		}
		sample := f.name + s.suffix
		if other, ok := p.taken[sample]; ok {
			if other.family == f.name {
				return p.rejectTaken(f.line, f.name, other)
			}
			return p.rejectAt(f.line,
				"the %s %q could have a sample %q, but that name belongs to the metric family %q, which begins in line %d: "+
					"rename one of the two", f.typ.name, f.name, sample, other.family, other.line)
		}
		p.taken[sample] = owner
	}
	return nil
}

// finishFamily adds the family being read, if there is one, to the result.
func (p *openMetrics) finishFamily() error {
	f := &p.family
	if f.typ == nil {
		return nil
	}
	if !f.settled {
		if err := p.settleFamily(); err != nil {
			return err
		}
	}
	if len(f.out.Metrics) == 0 {
		return nil
	}
	switch {
	case f.typ.is == metric.Counter && f.valueless > 0:
		without := slices.IndexFunc(f.out.Metrics, func(m metric.Metric) bool { return !m.HasValue })
		return p.rejectAt(f.line, "the counter %q has %s, but no %s: push both",
			f.name, f.name+"_created"+metric.FormatLabels(f.out.Metrics[without].Labels), f.name+"_total")
	case f.typ.is.HasBuckets():
		for i := range f.out.Metrics {
			if err := p.finishHistogram(&f.out.Metrics[i], f.parts[i]); err != nil {
				return err
			}
		}
	}
	if f.out.Name == "" {
		f.out.Name = f.name
	}
	p.families = append(p.families, f.out)
	if p.metrics += len(f.out.Metrics) + 1; p.metrics >= p.batchLimit {
		return p.endBatch()
	}
	return nil
}

// hasExemplars reports whether m, which is not native, has exemplars.
func hasExemplars(m *metric.Metric) bool {
	return m.Exemplar != nil || m.Histogram != nil &&
		slices.ContainsFunc(m.Histogram.Buckets, func(b metric.Bucket) bool { return b.Exemplar != nil })
}

// endBatch gives the finished families to the sink.
func (p *openMetrics) endBatch() error {
	err := p.sink.Add(p.families)
	p.families, p.metrics = p.families[:0], 0
	p.arenas, p.arena = 0, nil
	return err
}

// splitFamily ends the batch within the family being read, whose last metric goes to the
// next batch, since more of its lines may follow.
func (p *openMetrics) splitFamily() error {
	f := &p.family
	metrics, parts := f.out.Metrics, f.parts
	end := len(metrics) - 1
	whole := len(parts) == 0 // each metric is a single line
	if !whole {
		p.split, p.splitComposite = true, p.splitComposite || !f.typ.is.Scalar()
		metrics[f.last], metrics[end] = metrics[end], metrics[f.last]
		parts[f.last], parts[end] = parts[end], parts[f.last]
	}
	last := metrics[end]
	f.out.Metrics = metrics[:end]
	before := f.valueless
	if f.typ.is == metric.Counter && !last.HasValue {
		f.valueless--
	}
	if err := p.finishFamily(); err != nil {
		return err
	}
	last.Labels = slices.Clone(last.Labels)
	if hasExemplars(&last) {
		p.allArenas = nil // which back the labels of exemplars, too
	}
	if p.metrics > 0 {
		if err := p.endBatch(); err != nil {
			return err
		}
	}
	f.out.Metrics = append(metrics[:0], last)
	f.valueless, f.last, f.index, f.indexed = before, 0, nil, 0
	if !whole {
		f.parts = append(f.parts[:0], parts[end])
	}
	return nil
}

// finishHistogram gives m the count of its +Inf bucket if it has no other, and makes all
// counts floats if one is.
func (p *openMetrics) finishHistogram(m *metric.Metric, has omParts) error {
	f, h := &p.family, m.Histogram
	inf := slices.IndexFunc(h.Buckets, func(b metric.Bucket) bool { return math.IsInf(b.UpperBound, 1) })
	if inf < 0 {
		return p.rejectAt(f.line, `the %s %s has no bucket le="+Inf": push one, with the number of all observations`,
			f.typ.name, f.name+metric.FormatLabels(m.Labels))
	}
	if has&omHasCount == 0 {
		h.Count, h.CountFloat = h.Buckets[inf].CumulativeCount, h.Buckets[inf].CumulativeCountFloat
	}
	unifyCounts(h)
	return nil
}

func (p *openMetrics) parseSample(line string) error {
	var s omSample
	n := metric.MetricNamePrefix(line)
	s.name = line[:n]
	rest := line[n:]
	p.labels = p.labels[:0]
	if strings.HasPrefix(rest, "{") {
		var err error
		if p.labels, rest, err = p.readLabels(p.labels, rest[1:], &s.name); err != nil {
			return err
		}
	}
	if s.name == "" {
		return p.reject("a sample begins with its metric name, which this line lacks: %s", excerpt(line))
	}

	var found, ok bool
	tail := rest
	if n > 0 && len(rest) == len(line)-n && rest != "" && strings.IndexByte(" \t}\"", rest[0]) < 0 {
		return rejectMetricName(p.line, p.names, nameToken(line, 0))
	}
	if s.number, rest, found = omField(rest); !found || s.number == "" {
		return p.reject("after %s come one space and its value: %s", s.name, excerpt(tail))
	}
	if s.value, ok = parseFloat(s.number); !ok {
		return p.reject("the value of %s is %s, which is no number%s", s.name, excerpt(s.number),
			cmp.Or(commaAdvice(s.number), numberFor(s.number)))
	}
	if rest != "" && !strings.HasPrefix(rest, " #") {
		var text string
		tail = rest
		if text, rest, _ = omField(rest); text == "" {
			return p.reject("the line goes on after the value of %s: %s", s.name, excerpt(tail))
		}
		if s.time, ok = parseSampleTime(text); !ok {
			return p.reject("the timestamp of %s is %s, which is no time in seconds since 1970", s.name, excerpt(text))
		}
	}
	if rest != "" {
		exemplar, err := p.readExemplar(s.name, rest)
		if err != nil {
			return err
		}
		s.exemplar = exemplar
	}
	return p.addSample(&s)
}

// readExemplar reads the exemplar that is the rest of a line.
func (p *openMetrics) readExemplar(name, s string) (*metric.Exemplar, error) {
	labels, ok := strings.CutPrefix(s, " # {")
	if !ok {
		return nil, p.reject("after the value of %s comes the end of the line or an exemplar, such as # {trace_id=\"a\"} 1: %s",
			name, excerpt(s))
	}
	start := len(p.labels) // after those of the sample
	all, rest, err := p.readLabels(p.labels, labels, nil)
	if err != nil {
		return nil, err
	}
	e := new(metric.Exemplar)
	e.Labels = p.keepLabels(all[start:])
	p.labels = all[:start]
	const maxRunes = 128 // by the specification
	runes := 0
	for _, l := range e.Labels {
		runes += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value)
	}
	if runes > maxRunes {
		return nil, p.reject("the labels of the exemplar of %s are %d characters long: shorten them to %d", name, runes, maxRunes)
	}
	tail := rest
	number, rest, found := omField(rest)
	if !found || number == "" {
		return nil, p.reject("after the labels of the exemplar of %s come one space and its value: %s", name, excerpt(tail))
	}
	if e.Value, ok = parseFloat(number); !ok {
		return nil, p.reject("the value of the exemplar of %s is %s, which is no number", name, excerpt(number))
	}
	if rest == "" {
		return e, nil
	}
	tail = rest
	text, rest, _ := omField(rest)
	if rest != "" || text == "" {
		return nil, p.reject("the line goes on after the exemplar of %s: %s", name, excerpt(tail))
	}
	if e.Timestamp, ok = parseSeconds(text); !ok {
		return nil, p.reject("the timestamp of the exemplar of %s is %s, which is no time in seconds since 1970", name, excerpt(text))
	}
	return e, nil
}

// addSample adds s, whose labels are p.labels, to its family, which it may begin.
func (p *openMetrics) addSample(s *omSample) error {
	f := &p.family
	part, ok := f.part(s.name)
	if !ok {
		if f.typ != nil && f.name == s.name {
			return p.rejectName(s.name)
		}
		if err := p.beginFamily(s.name, ""); err != nil {
			return err
		}
		part = omValue
	}
	if !f.settled {
		if err := p.settleFamily(); err != nil {
			return err
		}
	}
	if s.exemplar != nil && part != omTotal && part != omBucket {
		return p.reject("%s has an exemplar, which only the _total of a counter and the buckets of a histogram may have: remove it", s.name)
	}
	switch part {
	case omValue:
		return p.addValue(s)
	case omTotal:
		return p.addTotal(s)
	case omQuantile:
		return p.addQuantile(s)
	case omBucket:
		return p.addBucket(s)
	}
	return p.addPart(part, s)
}

// part returns which part of f the sample called name is, and whether it is a sample of
// f at all.
func (f *omFamily) part(name string) (omPart, bool) {
	if f.typ == nil {
		return 0, false
	}
	if suffix, ok := strings.CutPrefix(name, f.name); ok {
		for _, s := range f.typ.samples {
			if s.suffix == suffix {
				return s.part, true
			}
		}
	}
	return 0, false
}

// rejectName rejects a sample with the name of its family if the type has no such
// sample.
func (p *openMetrics) rejectName(name string) error {
	f := &p.family
	if stem, ok := strings.CutSuffix(name, "_total"); ok && f.typ.is == metric.Counter {
		return p.reject("OpenMetrics calls the counter with the sample %q %q: write %q, or push it as text/plain; version=0.0.4",
			name, stem, "# TYPE "+stem+" counter")
	}
	allowed := make([]string, len(f.typ.samples))
	for i, s := range f.typ.samples {
		allowed[i] = name + s.suffix
	}
	return p.reject("the %s %q has no sample of that name in OpenMetrics, only %s: rename it, or push it as text/plain; version=0.0.4",
		f.typ.name, name, strings.Join(allowed, ", "))
}

// addMetric adds a metric with the labels p.labels to the family being read.
func (p *openMetrics) addMetric() *metric.Metric {
	f := &p.family
	f.out.Metrics = append(f.out.Metrics, metric.Metric{Labels: p.keepLabels(p.labels)})
	return &f.out.Metrics[len(f.out.Metrics)-1]
}

func (s *omSample) putTime(m *metric.Metric) {
	if s.time.Set {
		m.TimestampMs, m.HasTimestamp = s.time.Seconds*1000+int64(s.time.Nanos)/1e6, true
	}
}

// addValue adds a sample that is a whole metric.
func (p *openMetrics) addValue(s *omSample) error {
	f := &p.family
	switch f.typ {
	case omInfo:
		if s.value != 1 {
			return p.reject("%s is %s, but the value of an info is 1", s.name, s.number)
		}
	case omStateSet:
		if s.value != 0 && s.value != 1 {
			return p.reject("%s is %s, but a state is 1 (true) or 0 (false)", s.name, s.number)
		}
		if !slices.ContainsFunc(p.labels, func(l metric.Label) bool { return l.Name == f.name }) {
			return p.reject("the stateset %q needs a label of the same name, with the name of the state", f.name)
		}
	}
	m := p.addMetric()
	m.Value, m.HasValue = s.value, true
	f.out.Name = s.name
	s.putTime(m)
	return nil
}

func (p *openMetrics) addTotal(s *omSample) error {
	if !(s.value >= 0) {
		return p.reject("the counter %s is %s, but a counter is at least 0: push it as a gauge", s.name, s.number)
	}
	f := &p.family
	sortLabels(p.labels)
	var m *metric.Metric
	if f.valueless > 0 {
		m = p.metricOfLabels()
	}
	if m == nil || m.HasValue { // if a series comes twice, a later stage finds it
		m = p.newMetricOfLabels()
		f.valueless++
	}
	f.valueless--
	m.Value, m.HasValue, m.Exemplar = s.value, true, s.exemplar
	f.out.Name = s.name
	s.putTime(m)
	return nil
}

func (p *openMetrics) addQuantile(s *omSample) error {
	text, ok := p.takeLabel(metric.QuantileLabel)
	if !ok {
		return p.reject("%s lacks the label %q, which all samples of a summary have except _sum, _count and _created",
			s.name, metric.QuantileLabel)
	}
	quantile, ok := parseFloat(text)
	if !ok || !(quantile >= 0 && quantile <= 1) {
		return p.reject("%s has the quantile %s, which is no number from 0 to 1", s.name, excerpt(text))
	}
	sortLabels(p.labels)
	m := p.metricOfLabels()
	m.Summary.Quantiles = append(m.Summary.Quantiles, metric.Quantile{Quantile: quantile, Value: s.value})
	s.putTime(m)
	return nil
}

func (p *openMetrics) addBucket(s *omSample) error {
	text, ok := p.takeLabel(metric.BucketLabel)
	if !ok {
		return p.reject("the bucket %s lacks the label %q, its upper bound", s.name, metric.BucketLabel)
	}
	bound, ok := parseFloat(text)
	if !ok || math.IsNaN(bound) {
		return p.reject("the bucket %s has the upper bound %s, which is no number", s.name, excerpt(text))
	}
	b := metric.Bucket{UpperBound: bound, Exemplar: s.exemplar}
	if b.CumulativeCount, b.CumulativeCountFloat, ok = s.count(); !ok {
		return p.rejectCount(s)
	}
	sortLabels(p.labels)
	m := p.metricOfLabels()
	m.Histogram.Buckets = append(m.Histogram.Buckets, b)
	s.putTime(m)
	return nil
}

// addPart adds a _sum, _count or _created. A metric has each of them once, unless there
// are several points in time, which a later stage rejects by their timestamps.
func (p *openMetrics) addPart(part omPart, s *omSample) error {
	f := &p.family
	sortLabels(p.labels)
	m := p.metricOfLabels()
	s.putTime(m)

	var is omParts
	switch part {
	case omSum:
		is = omHasSum
		if m.Summary != nil {
			m.Summary.Sum = s.value
		} else {
			m.Histogram.Sum = s.value
		}
	case omCount:
		is = omHasCount
		n, float, ok := s.count()
		if !ok {
			return p.rejectCount(s)
		}
		switch {
		case m.Histogram != nil:
			m.Histogram.Count, m.Histogram.CountFloat = n, float
		case float != 0:
			return p.reject("the count %s is %s, but the count of a summary is an integer", s.name, s.number)
		default:
			m.Summary.Count = n
		}
	case omCreated:
		is = omHasCreated
		created, ok := parseSeconds(s.number)
		if !ok {
			return p.reject("%s is %s, which is no time in seconds since 1970", s.name, s.number)
		}
		m.Created = created
	}

	if f.parts[f.last]&is != 0 && !m.HasTimestamp {
		return p.reject("%s%s comes twice: push it once", s.name, metric.FormatLabels(m.Labels))
	}
	f.parts[f.last] |= is
	return nil
}

// count returns the value of s as a count: an integer or, if it is none, a float other
// than 0.
func (s *omSample) count() (n uint64, float float64, ok bool) {
	if n, err := strconv.ParseUint(s.number, 10, 64); err == nil {
		return n, 0, true // exact, which the float need not be
	}
	switch {
	case !(s.value >= 0):
		return 0, 0, false
	case s.value < 1<<64 && s.value == math.Trunc(s.value):
		return uint64(s.value), 0, true
	}
	return 0, s.value, true
}

func (p *openMetrics) rejectCount(s *omSample) error {
	return p.reject("the count %s is %s, but a count is at least 0", s.name, s.number)
}

// takeLabel removes the label called name from p.labels and returns its value.
func (p *openMetrics) takeLabel(name string) (value string, ok bool) {
	at := slices.IndexFunc(p.labels, func(l metric.Label) bool { return l.Name == name })
	if at < 0 {
		return "", false
	}
	value = p.labels[at].Value
	p.labels = slices.Delete(p.labels, at, at+1)
	return value, true
}

// metricOfLabels returns the metric of the family being read with the labels p.labels,
// which are sorted: the last sample's, an earlier one, or a new one. It becomes the last.
func (p *openMetrics) metricOfLabels() *metric.Metric {
	f := &p.family
	metrics := f.out.Metrics
	if len(metrics) == 0 {
		f.valueless++
		return p.newMetricOfLabels()
	}
	if slices.Equal(metrics[f.last].Labels, p.labels) {
		return &metrics[f.last]
	}
	if f.index == nil {
		f.index = make(map[string]int)
	}
	for ; f.indexed < len(metrics); f.indexed++ {
		f.key = appendLabelsKey(f.key[:0], metrics[f.indexed].Labels)
		f.index[string(f.key)] = f.indexed
	}
	f.key = appendLabelsKey(f.key[:0], p.labels)
	if at, ok := f.index[string(f.key)]; ok {
		f.last = at
		return &metrics[at]
	}
	f.valueless++
	return p.newMetricOfLabels()
}

// newMetricOfLabels adds a metric with the labels p.labels, which are sorted, of a type
// whose metrics may have several lines. It becomes the last.
func (p *openMetrics) newMetricOfLabels() *metric.Metric {
	f := &p.family
	m := p.addMetric()
	// It is likely to have as many quantiles or buckets as the one before. Without
	// the bound, many metrics of one line each after a single large one would take as
	// much memory as that.
	const maxCapacity = 32
	previous := &f.out.Metrics[f.last] // or m itself
	switch f.typ.is {
	case metric.Summary:
		m.Summary = new(metric.SummaryValue)
		m.Summary.Quantiles = make([]metric.Quantile, 0, min(len(previous.Summary.Quantiles), maxCapacity))
	case metric.Histogram, metric.GaugeHistogram:
		m.Histogram = new(metric.HistogramValue)
		m.Histogram.Buckets = make([]metric.Bucket, 0, min(len(previous.Histogram.Buckets), maxCapacity))
	}
	f.last = len(f.out.Metrics) - 1
	f.parts = append(f.parts, 0)
	return m
}

// keepLabels returns a copy of labels that lasts as long as the metric.
func (p *openMetrics) keepLabels(labels []metric.Label) []metric.Label {
	if len(labels) == 0 {
		return nil
	}
	if cap(p.arena)-len(p.arena) < len(labels) {
		p.nextArena(len(labels))
	}
	start := len(p.arena)
	p.arena = append(p.arena, labels...)
	return p.arena[start:len(p.arena):len(p.arena)]
}

// nextArena makes room for n labels in p.arena, in memory of an earlier batch if there is
// some.
func (p *openMetrics) nextArena(n int) {
	if p.arenas < len(p.allArenas) && cap(p.allArenas[p.arenas]) >= n {
		p.arena = p.allArenas[p.arenas][:0]
		p.arenas++
		return
	}
	p.arena = make([]metric.Label, 0, max(n, min(2*cap(p.arena), 1024), 32))
	p.allArenas = append(p.allArenas[:p.arenas], p.arena)
	p.arenas++
}

// readLabels reads a label set from s, which begins after the opening brace, appends its
// labels to dst and returns what follows the closing brace. If name is not nil, a quoted
// string without a value is the metric's name, which must be empty before.
func (p *openMetrics) readLabels(dst []metric.Label, s string, name *string) (_ []metric.Label, rest string, _ error) {
	start := len(dst)
	if rest, ok := strings.CutPrefix(s, "}"); ok {
		return dst, rest, nil
	}
	for {
		label, after, quoted, err := p.readLabelName(s)
		switch {
		case err != nil:
			return nil, "", err
		case quoted && name != nil && (strings.HasPrefix(after, ",") || strings.HasPrefix(after, "}")):
			if *name != "" {
				return nil, "", p.reject("the sample has two metric names, %q and %q: remove one", *name, label)
			}
			if !p.names.ValidMetric(label) {
				return nil, "", rejectMetricName(p.line, p.names, label)
			}
			*name = label
		case quoted && !p.names.ValidLabel(label), label == metric.NameLabel:
			return nil, "", rejectLabelName(p.line, p.names, label)
		default:
			value, ok := strings.CutPrefix(after, `="`)
			if token := labelToken(s, 0); !ok && !quoted && token != label {
				return nil, "", rejectLabelName(p.line, p.names, token)
			}
			if !ok {
				return nil, "", p.reject("after the label name %q come = and a value in double quotes, without spaces: %s", label,
					excerpt(after))
			}
			if value, after, ok = omQuoted(value); !ok {
				return nil, "", p.reject("the value of label %q is not closed: '\"' is missing", label)
			}
			if !utf8.ValidString(value) {
				return nil, "", p.reject("the value of label %q is not valid UTF-8: %s", label, excerpt(value))
			}
			dst = append(dst, metric.Label{Name: label, Value: value})
		}
		if rest, ok := strings.CutPrefix(after, "}"); ok {
			if twice, ok := duplicateName(dst[start:]); ok {
				return nil, "", p.reject("the label %q comes twice: remove one", twice)
			}
			return dst, rest, nil
		}
		if !strings.Contains(after, "}") {
			return nil, "", p.reject("'}' is missing after %q: %s", label, excerpt(after))
		}
		if !strings.HasPrefix(after, ",") {
			return nil, "", p.reject("after %q comes a comma or a closing brace, without spaces: %s", label, excerpt(after))
		}
		s = after[1:]
	}
}

// readLabelName reads a label's name, or a metric's name in quotes.
func (p *openMetrics) readLabelName(s string) (name, rest string, quoted bool, _ error) {
	if text, ok := strings.CutPrefix(s, `"`); ok {
		if name, rest, ok = omQuoted(text); !ok {
			return "", "", false, p.reject("the quoted name is not closed: '\"' is missing: %s", excerpt(s))
		}
		return name, rest, true, nil
	}
	n := metric.LabelNamePrefix(s)
	if n == 0 {
		return "", "", false, p.reject("a label name comes here, without spaces, and no comma after the last label: %s", excerpt(s))
	}
	return s[:n], s[n:], false, nil
}

// readMetricName reads the name in a line of metadata, which is empty if there is none.
func (p *openMetrics) readMetricName(s string) (name, rest string, _ error) {
	text, ok := strings.CutPrefix(s, `"`)
	if !ok {
		n := metric.MetricNamePrefix(s)
		return s[:n], s[n:], nil
	}
	if name, rest, ok = omQuoted(text); !ok {
		return "", "", p.reject("the quoted name is not closed: '\"' is missing: %s", excerpt(s))
	}
	if !p.names.ValidMetric(name) {
		return "", "", rejectMetricName(p.line, p.names, name)
	}
	return name, rest, nil
}

// omField reads one space and the text up to the next one.
func omField(s string) (field, rest string, ok bool) {
	if s == "" || s[0] != ' ' {
		return "", s, false
	}
	s = s[1:]
	if end := strings.IndexByte(s, ' '); end >= 0 {
		return s[:end], s[end:], true
	}
	return s, "", true
}

// omQuoted reads a quoted string from s, which begins after the opening quote.
func omQuoted(s string) (text, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return unescape(s[:i]), s[i+1:], true
		}
	}
	return "", "", false
}

// parseSampleTime is parseSeconds for the timestamp of a sample, which may be beyond the
// times that are kept elsewhere: it is rejected or dropped anyway.
func parseSampleTime(s string) (t metric.Timestamp, ok bool) {
	if t, ok = parseSeconds(s); ok {
		return t, true
	}
	float, ok := parseFloat(s)
	switch {
	case !ok || math.IsNaN(float) || math.IsInf(float, 0):
		return t, false
	case float < 0:
		return metric.Timestamp{Seconds: minSeconds, Set: true}, true
	}
	return metric.Timestamp{Seconds: maxSeconds, Set: true}, true
}

// The bounds of google.protobuf.Timestamp: the years 1 to 9999.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// parseSeconds parses a time in seconds since 1970. Without an exponent it is exact to the
// nanosecond; further digits are dropped.
func parseSeconds(s string) (t metric.Timestamp, ok bool) {
	float, ok := parseFloat(s)
	if !ok || !(float >= minSeconds && float < maxSeconds+1) {
		return t, false
	}
	if strings.ContainsAny(s, "eE") {
		s = strconv.FormatFloat(float, 'f', -1, 64)
	}
	whole, fraction, _ := strings.Cut(strings.TrimLeft(s, "+-"), ".")
	if whole != "" {
		t.Seconds, _ = strconv.ParseInt(whole, 10, 64) // digits, in range as the float is
	}
	for i := range 9 {
		t.Nanos *= 10
		if i < len(fraction) {
			t.Nanos += int32(fraction[i] - '0')
		}
	}
	if s[0] == '-' {
		t.Seconds = -t.Seconds
		if t.Nanos > 0 {
			t.Seconds, t.Nanos = t.Seconds-1, 1e9-t.Nanos
		}
	}
	t.Set = true
	return t, t.Seconds >= minSeconds && t.Seconds <= maxSeconds
}
