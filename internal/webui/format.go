package webui

import (
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pushgateway/internal/store"
	"pushgateway/internal/words"
)

// moment is a time in words.
type moment struct {
	Never                    bool
	Relative, Exact, Machine string
}

func momentOf(t, now time.Time) moment {
	if t.IsZero() {
		return moment{Never: true}
	}
	t = t.UTC()
	return moment{
		Relative: words.Age(now.Sub(t)),
		Exact:    t.Format("2006-01-02 15:04:05 UTC"),
		Machine:  t.Format("2006-01-02T15:04:05.999Z07:00"), // HTML allows no finer times
	}
}

// momentAhead is momentOf for a time in the future.
func momentAhead(t, now time.Time) moment {
	m := momentOf(t, now)
	if !m.Never {
		m.Relative = words.Ahead(t.Sub(now))
	}
	return m
}

// formatValue formats a sample's value as the text format does.
func formatValue(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// formatShort formats a value with four significant digits.
func formatShort(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// formatCompact formats a count with at most three significant digits, and k, M or G.
func formatCompact(v float64) string {
	if v < 1000 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	for _, unit := range []string{"k", "M", "G"} {
		if v /= 1000; v < 999.5 {
			return strconv.FormatFloat(v, 'g', 3, 64) + unit
		}
	}
	return strconv.FormatFloat(v*1e9, 'g', 2, 64)
}

// number is a value as it is read best, and in full.
type number struct{ Text, Exact string }

func numberOf(v float64) number { return number{formatNumber(v), formatValue(v)} }

// formatNumber formats a value for people: large ones with separators instead of an exponent,
// and with at most six significant digits behind the point.
func formatNumber(v float64) string {
	size := math.Abs(v)
	switch {
	case size >= 1e15 || size > 0 && size < 1e-4 || v != v:
		return strconv.FormatFloat(v, 'g', 6, 64)
	case size >= 1e5 || v == math.Trunc(v):
		return words.Count(int(math.Round(v)))
	}
	text := strconv.FormatFloat(v, 'g', 6, 64)
	whole, rest, _ := strings.Cut(text, ".")
	if n, err := strconv.Atoi(whole); err == nil && n != 0 {
		whole = words.Count(n)
	}
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}

// meaning describes a value in words, by the unit in the metric's name. It is empty if
// the name has no unit or the value needs no description.
func meaning(name string, v float64, now time.Time) string {
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds") || strings.HasSuffix(name, "_time_seconds"):
		if v == 0 && (name == store.PushTime || name == store.FailureTime) {
			return "never"
		}
		if v < 1e8 || v > 1e11 {
			return ""
		}
		t := time.Unix(int64(v), 0)
		return momentOf(t, now).Exact + ", " + words.Age(now.Sub(t))
	case strings.HasSuffix(name, "_bytes"):
		if v < 1024 || v > 1e18 {
			return ""
		}
		return words.Bytes(int64(v))
	case strings.HasSuffix(name, "_seconds"):
		if v < 60 || v > 1e9 {
			return ""
		}
		return time.Duration(v * float64(time.Second)).Round(time.Second).String()
	}
	return ""
}

// cut shortens a text to n characters.
func cut(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	at := 0
	for range n {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at] + "…"
}

// etag returns the ETag of a file.
func etag(content []byte) string {
	h := fnv.New64a()
	h.Write(content)
	return fmt.Sprintf(`"%x"`, h.Sum(nil))
}
