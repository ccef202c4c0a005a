package webui

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// chart is a histogram or a summary, as a drawing and as a table.
type chart struct {
	Labels []chip
	More   int

	Kind       string // histogram, native histogram, summary
	Count, Sum number
	Mean       number // empty if undefined
	Estimates  []estimate

	Plot *plot // of a histogram; nil if there is nothing to draw

	Heads  [2]string // of the table
	Rows   []chartRow
	Hidden int // rows not shown
}

type chartRow struct {
	Name  string
	Value number
	Share string // of the largest, as the width of a bar; empty for none
}

// meanOf returns the mean of n observations; empty if it is undefined.
func meanOf(sum, n float64) number {
	if n > 0 && !math.IsNaN(sum) {
		return number{formatShort(sum / n), formatValue(sum / n)}
	}
	return number{}
}

// plot is the drawing of a histogram. Horizontal positions are percentages of its width and
// vertical ones pixels, so that it fits any window and its text keeps its size.
type plot struct {
	Title string // text alternative
	Note  string // says what a bar is
	Bars  []bar
	Scale []tick // of the number of observations
	Ticks []tick // of the observed values
	Zero  string // position of 0 among the observed values; empty if it is not among them
}

// bar is a bar with the number of observations in one bucket, or in several neighbors.
type bar struct {
	X, W  string
	Y, H  string
	Title string

	Count, CountX, CountY string // the number above it; empty if there is no room
}

// tick is a mark on an axis.
type tick struct {
	At     string
	Text   string
	Anchor string // of the text
	Minor  bool   // left out where there is little room
}

const (
	plotTop    = 18.0  // pixels, with room for a number
	plotGround = 118.0 // pixels
	// maxBars is the maximum number of bars. If there are more buckets, neighbors share
	// a bar.
	maxBars = 120
	// maxTicks is the maximum number of marks on the axis of values.
	maxTicks = 12
)

// span is a part of the horizontal axis, from 0 to 1, with its number of observations.
type span struct {
	from, to float64
	count    float64
	title    string
}

// draw adds the bars and the scale of counts.
func (p *plot) draw(spans []span) {
	highest := 0.0
	for _, s := range spans {
		if s.count > highest && !math.IsInf(s.count, 0) {
			highest = s.count
		}
	}
	height := func(n float64) float64 {
		if highest == 0 || !(n > 0) {
			return 0
		}
		return min(n/highest, 1) * (plotGround - plotTop)
	}
	numbered := fitNumbers(spans)
	for _, s := range spans {
		h := height(s.count)
		if s.count > 0 {
			h = max(h, 1.5)
		}
		gap := (s.to - s.from) * 0.04
		b := bar{
			X: percent(s.from + gap), W: percent(s.to - s.from - 2*gap), Y: short(plotGround - h), H: short(h), Title: s.title,
		}
		if numbered && s.count > 0 {
			b.Count, b.CountX, b.CountY = formatCompact(s.count), percent((s.from+s.to)/2), short(plotGround-h-4)
		}
		p.Bars = append(p.Bars, b)
	}
	step := niceStep(highest / 4)
	for n := 0.0; n <= highest; n += step {
		p.Scale = append(p.Scale, tick{At: short(plotGround - height(n)), Text: formatNumber(n)})
		if step == 0 {
			break
		}
	}
}

// fitNumbers reports whether the number of observations fits above each bar in a narrow window.
func fitNumbers(spans []span) bool {
	const width, character = 300, 6 // pixels
	return !slices.ContainsFunc(spans, func(s span) bool {
		return float64(len(formatCompact(s.count))*character) > (s.to-s.from)*width
	})
}

// niceStep returns the smallest of 1, 2 and 5 times a power of ten that is at least v; 0 for 0.
func niceStep(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 0
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= v*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

// mark is a value at a position on the horizontal axis, from 0 to 1.
type mark struct {
	at   float64
	text string
}

// room returns the distance between marks with texts like these, as a part of the axis.
func room(texts ...string) float64 {
	const width, character, gap = 480, 7, 12 // pixels of a usual window
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	return max(1.0/maxTicks, float64(longest*character+gap)/width)
}

// mark adds ticks to the axis of values.
func (p *plot) mark(marks []mark) {
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	for i, m := range marks {
		t := tick{At: percent(m.at), Text: m.text, Anchor: "middle", Minor: (len(marks)-1-i)%2 == 1}
		switch {
		case m.at < 0.02:
			t.Anchor = "start"
		case m.at > 0.98:
			t.Anchor = "end"
		}
		p.Ticks = append(p.Ticks, t)
	}
}

// short formats a coordinate.
func short(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// percent formats a position from 0 to 1.
func percent(v float64) string { return strconv.FormatFloat(math.Round(v*1e4)/100, 'f', -1, 64) + "%" }
