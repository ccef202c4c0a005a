package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A row is what a measure found.
type row struct {
	measure
	reference, upstream, ours []float64 // of each round
	err                       error     // why it could not be measured
}

// take runs the measure.
func (m measure) take(l *lab) (r row) {
	r.measure = m
	defer l.stopAll()
	var figures [3]func() (float64, error)
	for n, start := range []side{m.reference, m.upstream, m.ours} {
		if start == nil {
			continue
		}
		if figures[n], r.err = start(l); r.err != nil {
			return r
		}
	}
	add := func(values *[]float64, figure func() (float64, error)) {
		v, err := figure()
		*values, r.err = append(*values, v), errors.Join(r.err, err)
	}

	rounds, budget := m.rounds, 25*time.Second
	if l.short {
		rounds, budget = max(1, m.rounds/8), budget/8
	}
	base, baseValues := figures[0], &r.reference
	if base == nil {
		base, baseValues = figures[1], &r.upstream
	}
	for start := time.Now(); r.err == nil && rounds > 0 && (len(r.ours) < 3 || time.Since(start) < budget); rounds-- {
		if rounds%2 == 0 { // neither side is always the first
			add(&r.ours, figures[2])
			add(baseValues, base)
		} else {
			add(baseValues, base)
			add(&r.ours, figures[2])
		}
	}
	// Where upstream is only shown, it comes last: its collector works on after
	// an answer, which would slow down the others.
	for n := 0; m.reference != nil && m.upstream != nil && r.err == nil && n < min(m.rounds, 10); n++ {
		add(&r.upstream, figures[1])
	}
	if l.profiles != "" && r.err == nil {
		ours := l.running[len(l.running)-1]
		r.err = ours.profile(m.name, func() error { _, err := figures[2](); return err })
	}
	return r
}

// ratios divides ours by what it is compared with, round by round.
func (r row) ratios() []float64 {
	base := r.reference
	if base == nil {
		base = r.upstream
	}
	ratios := make([]float64, len(r.ours))
	for i := range ratios {
		ratios[i] = r.ours[i] / base[i]
	}
	return ratios
}

// A goal is a bound for a ratio.
type goal struct {
	least bool // the ratio is to be limit or more, not less
	limit float64
	of    string // what follows the ratio in the table
}

func atMost(limit float64, of string) goal  { return goal{false, limit, of} }
func atLeast(limit float64, of string) goal { return goal{true, limit, of} }

func (g goal) String() string {
	if g.least {
		return "≥ " + g.format(g.limit)
	}
	return "≤ " + g.format(g.limit)
}

func (g goal) verdict(ratio float64) string {
	if g.least && ratio >= g.limit || !g.least && ratio <= g.limit {
		return "ok"
	}
	return "missed"
}

// format writes a ratio: as a fraction where the goal is one, as 1/20 says more
// than 0.05.
func (g goal) format(ratio float64) string {
	switch {
	case g.least || g.limit >= 0.5:
		return fmt.Sprintf("%.2f", ratio)
	case 1/ratio < 9.95:
		return "1/" + strings.TrimSuffix(fmt.Sprintf("%.1f", 1/ratio), ".0")
	}
	return fmt.Sprintf("1/%.0f", 1/ratio)
}

// printTable writes the rows as Markdown that is also aligned for the eye.
func printTable(w io.Writer, upstream string, rows []row) {
	lines := [][]string{{"measure", "reference", upstream, "ours", "ratio (middle half of the rounds)", "goal", ""}}
	for _, r := range rows {
		if r.err != nil {
			first, _, _ := strings.Cut(r.err.Error(), "\n")
			lines = append(lines, []string{r.what, "", "", "", "not measured: " + first, r.goal.String(), "failed"})
			continue
		}
		show := func(values []float64) string {
			switch {
			case len(values) == 0:
				return "–"
			case r.unit == nil:
				return duration(median(values))
			}
			return r.unit(median(values))
		}
		ratios := r.ratios()
		ratio := r.goal.format(median(ratios)) + " " + r.goal.of
		if len(ratios) > 1 {
			ratio += fmt.Sprintf(" (%s – %s of %d)", r.goal.format(quantile(ratios, 0.25)), r.goal.format(quantile(ratios, 0.75)), len(ratios))
		}
		lines = append(lines, []string{
			r.what, show(r.reference), show(r.upstream), show(r.ours), ratio, r.goal.String(), r.goal.verdict(median(ratios)),
		})
	}

	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", n)
	}
	fmt.Fprintln(w)
	for _, line := range slices.Insert(lines, 1, rule) {
		for i, cell := range line {
			fmt.Fprint(w, "| ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)), " ")
		}
		fmt.Fprintln(w, "|")
	}
	fmt.Fprintln(w, "\nThe ratio is the median of the ratios of single rounds; the other figures are medians over all rounds.")
	fmt.Fprintln(w, "With more than 100 groups upstream runs without its check of pushes, which takes 0.3 s per push at 10,000 groups.")
}

// printMachine says what ran where.
func printMachine(w io.Writer, l *lab) {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(text), "model name\t: "); found {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	fmt.Fprintf(w, "machine:  %d × %s\n", runtime.NumCPU(), model)
	fmt.Fprintf(w, "floor:    net/http of %s\n", runtime.Version())
	fmt.Fprintf(w, "upstream: %s, %s\n", l.upstreamVersion, l.upstreamPath)
	fmt.Fprintf(w, "ours:     %s\n", l.oursPath)
	fmt.Fprintf(w, "a push:   %d bytes, %d samples\n\n", len(bodies[0]), pushedSamples)
}

// median returns NaN for no values.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value at q of the sorted values, interpolated.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func duration(seconds float64) string {
	switch {
	case seconds < 1e-5:
		return fmt.Sprintf("%.2f µs", seconds*1e6)
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 10e-3:
		return fmt.Sprintf("%.2f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.0f ms", seconds*1e3)
}

func rate(perSecond float64) string { return fmt.Sprintf("%.0f/s", perSecond) }

func size(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }
