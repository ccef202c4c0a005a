package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"
)

// row is one line of the table.
type row struct {
	what                  string
	floor, original, ours string    // as measured, with units; empty if it has no part
	ratios                []float64 // ours to what it is compared with, of each round
	of                    string    // what it is compared with, as read after the ratio
	goal                  goal
	failed                error // why it could not be measured
}

// goal is a bound for a ratio.
type goal struct {
	sense sense
	limit float64
}

type sense int

const (
	upTo sense = iota
	from
)

func atMost(limit float64) goal  { return goal{upTo, limit} }
func atLeast(limit float64) goal { return goal{from, limit} }

func (g goal) String() string {
	if g.sense == upTo {
		return "≤ " + g.format(g.limit)
	}
	return "≥ " + g.format(g.limit)
}

// verdict reports whether a ratio reaches the goal.
func (g goal) verdict(r float64) string {
	if g.sense == upTo && r <= g.limit || g.sense == from && r >= g.limit {
		return "ok"
	}
	return "short"
}

// table is what a run found.
type table struct {
	rows  []row
	notes []string
}

// print writes the table as Markdown that is also aligned for the eye.
func (t *table) print(w io.Writer) {
	lines := [][]string{{"measure", "floor", "original", "ours", "ratio (middle half of the rounds)", "goal", ""}}
	for _, r := range t.rows {
		if r.failed != nil {
			first, _, _ := strings.Cut(r.failed.Error(), "\n")
			lines = append(lines, []string{r.what, "", "", "not measured: " + first, "", "", "failed"})
			continue
		}
		m := median(r.ratios)
		lines = append(lines, []string{
			r.what, dash(r.floor), dash(r.original), dash(r.ours),
			fmt.Sprintf("%s %s (%s – %s of %d)", r.goal.format(m), r.of,
				r.goal.format(quantile(r.ratios, 0.25)), r.goal.format(quantile(r.ratios, 0.75)), len(r.ratios)),
			r.goal.String(), r.goal.verdict(m),
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
	lines = slices.Insert(lines, 1, rule)
	fmt.Fprintln(w)
	for _, line := range lines {
		for i, cell := range line {
			fmt.Fprint(w, "| ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)), " ")
		}
		fmt.Fprintln(w, "|")
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "The ratio is the median of the ratios of single rounds; the times are medians over all rounds.")
	for _, note := range t.notes {
		fmt.Fprintln(w, note)
	}
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// printMachine says what ran where.
func printMachine(w io.Writer, l *lab) {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	fmt.Fprintf(w, "machine:  %d × %s\n", runtime.NumCPU(), model)
	fmt.Fprintf(w, "floor:    net/http of %s\n", runtime.Version())
	fmt.Fprintf(w, "original: %s\n", version(l.ctx, l.originalPath))
	fmt.Fprintf(w, "ours:     %s\n", l.oursFrom)
	fmt.Fprintf(w, "pushes:   through %s\n", l.through)
	fmt.Fprintf(w, "a push:   %d bytes, %d samples\n\n", len(l.bodies[0]), pushedSamples)
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

// ratios divides round by round.
func ratios(a, b []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return r
}

// format writes a ratio: as a fraction where the goal is one, as 1/20 says more
// than 0.05.
func (g goal) format(r float64) string {
	switch {
	case g.sense != upTo || g.limit >= 0.5:
		return fmt.Sprintf("%.2f", r)
	case 1/r < 9.95:
		return "1/" + strings.TrimSuffix(fmt.Sprintf("%.1f", 1/r), ".0")
	}
	return fmt.Sprintf("1/%.0f", 1/r)
}

func duration(seconds float64) string {
	switch {
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 10e-3:
		return fmt.Sprintf("%.2f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.0f ms", seconds*1e3)
}

func rate(perSecond float64) string { return fmt.Sprintf("%.0f/s", perSecond) }

func size(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }
