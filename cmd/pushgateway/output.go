package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kingpin/v2"
	"golang.org/x/term"

	"pushgateway/internal/metric"
	"pushgateway/internal/words"
)

// Values of --output.
const (
	asTable = "table" // for people
	asJSON  = "json"  // what the API says
	asLines = "lines" // for scripts: one thing on each line
)

// addOutputFlag adds --output.
func addOutputFlag(app *kingpin.Application, lines string) *string {
	return app.Flag("output", "How to print the result: as a table, as the JSON of the API, or as lines: "+lines+".").
		Short('o').Default(asTable).Enum(asTable, asJSON, asLines)
}

// isTerminal reports whether a person looks at the file.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// A color is the code of a color on a terminal, or empty.
type color string

const (
	plain  color = ""
	red    color = "31"
	green  color = "32"
	yellow color = "33"
)

// stateColors are those of the states of groups.
var stateColors = map[string]color{"ok": green, "failed": red, "old": yellow}

// A painter writes colors to a terminal, and none elsewhere or if $NO_COLOR is set.
type painter bool

func painterFor(f *os.File) painter {
	return painter(isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p painter) paint(text string, c color) string {
	if !p || c == plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// A table has a row of titles, and cells that are aligned below them.
type table struct {
	titles  []string
	numbers []int // columns that are aligned to the right
	rows    [][]cell
}

type cell struct {
	text  string
	color color
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// write writes the table, without blanks at the ends of lines.
func (t *table) write(w io.Writer, p painter) error {
	head := make([]cell, len(t.titles))
	for i, title := range t.titles {
		head[i].text = title
	}
	rows := append([][]cell{head}, t.rows...)
	widths := make([]int, len(head))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var out strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
			text := p.paint(c.text, c.color)
			if i > 0 {
				line.WriteString("  ")
			}
			if slices.Contains(t.numbers, i) {
				line.WriteString(space + text)
			} else {
				line.WriteString(text + space)
			}
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// writeJSON writes a value as JSON, indented.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// printable makes a text that somebody else wrote safe for a terminal: it escapes all that is
// not visible, such as line breaks and control characters.
func printable(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// keyText writes labels of a group as a selector.
func keyText(labels map[string]string) string {
	var list []metric.Label
	for name, value := range labels {
		list = append(list, metric.Label{Name: name, Value: value})
	}
	slices.SortFunc(list, func(a, b metric.Label) int { return cmp.Compare(a.Name, b.Name) })
	return printable(metric.FormatLabels(list))
}

// ageText says how long ago a time was; nil means never.
func ageText(t *time.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	return words.Age(now.Sub(*t))
}

// aheadText says when a time will be; nil means never.
func aheadText(t *time.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	return words.Ahead(t.Sub(now))
}

// groupCount writes a number of groups.
func groupCount(n int) string {
	if n == 1 {
		return "1 group"
	}
	return words.Count(n) + " groups"
}

// A progress shows how far a long task is, on one line of a terminal. It shows nothing elsewhere.
type progress struct {
	out   *os.File // nil if it is not a terminal
	last  time.Time
	shown bool
}

func newProgress(out *os.File) *progress {
	if !isTerminal(out) {
		out = nil
	}
	return &progress{out: out, last: time.Now()}
}

// show replaces the line, but not more often than an eye can follow. Short tasks show nothing.
func (p *progress) show(text string) {
	if p.out != nil && time.Since(p.last) > 200*time.Millisecond {
		p.last, p.shown = time.Now(), true
		fmt.Fprintf(p.out, "\r%s\x1b[K", text)
	}
}

// done removes the line.
func (p *progress) done() {
	if p.shown {
		p.shown = false
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
