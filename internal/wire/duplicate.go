package wire

import (
	"math"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// DuplicateLines returns the numbers of the first two lines of a body in the text format that have the same name and
// labels, or false if there are none or the body is malformed. It does not compare lines of summaries and
// histograms. Cost: O(n) time and memory.
func DuplicateLines(body []byte, names metric.ValidationScheme) (first, second int, ok bool) {
	p := TextParser{Names: names, batchLimit: math.MaxInt}
	p.reset()
	lineOf := map[string]int{}
	for line := range strings.Lines(strings.TrimPrefix(protofield.Alias(body), byteOrderMark)) {
		p.line++
		line = strings.TrimSpace(line)
		if err := p.parseLine(line); err != nil {
			return 0, 0, false
		}
		if line == "" || line[0] == '#' {
			continue
		}
		f := p.familyOf(p.last.family)
		if !f.Type.Scalar() {
			continue
		}
		key := string(p.keyOf(p.last.family, f.Metrics[len(f.Metrics)-1].Labels))
		if earlier, found := lineOf[key]; found {
			return earlier, p.line, true
		}
		lineOf[key] = p.line
	}
	return 0, 0, false
}
