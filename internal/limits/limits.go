package limits

import (
	"errors"
	"strconv"

	"github.com/alecthomas/units"
)

// A Kind is something that can be limited for the groups that a rule matches. Those up to
// LabelValueLength bound a single push, the others what is stored.
type Kind uint8

const (
	BodySize         Kind = iota // bytes of a body, decompressed
	Series                       // series in a push
	Labels                       // labels of a series, as Prometheus counts them: with its name
	LabelNameLength              // bytes of a label name
	LabelValueLength             // bytes of a label value or metric name
	GroupSeries                  // stored series of a group, with its two push times
	Groups                       // groups that match a rule
	TotalSeries                  // stored series of the groups that match a rule
	kindCount        = iota
)

// kinds are the names of the kinds in the rules file, as in Prometheus' configuration
// where it has the same limit.
var kinds = [kindCount]string{
	"body_size_limit", "series_limit", "label_limit", "label_name_length_limit", "label_value_length_limit",
	"group_series_limit", "groups_limit", "series_total_limit",
}

// String returns the name of the kind in the rules file.
func (k Kind) String() string { return kinds[k] }

// Kinds returns all kinds.
func Kinds() []Kind {
	all := make([]Kind, kindCount)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Limits are maximums by kind, each of which may be left open. The zero value leaves all
// open. Limits are comparable.
type Limits [kindCount]limit

// limit is a maximum; 0 is none.
type limit struct {
	set bool
	max int64
}

// With returns the limits with a maximum for a kind; 0 is none.
func (l Limits) With(k Kind, max int64) Limits {
	l[k] = limit{true, max}
	return l
}

// Or returns the limits with those that they leave open taken from others.
func (l Limits) Or(others Limits) Limits {
	for k := range l {
		if !l[k].set {
			l[k] = others[k]
		}
	}
	return l
}

// Max returns the maximum of a kind, or 0 if there is none.
func (l *Limits) Max(k Kind) int64 { return l[k].max }

// Exceeded reports whether n is more than the maximum of a kind.
func (l *Limits) Exceeded(k Kind, n int) bool { return l[k].max > 0 && int64(n) > l[k].max }

// Parse parses the value of a limit in a rules file: a number, or a size such as 64MiB.
// 0 means no limit.
func Parse(k Kind, text string) (int64, error) {
	if k == BodySize {
		return ParseSize(text)
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, errors.New("must be a whole number; 0 means no limit")
	}
	return n, nil
}

// ParseSize parses a size in bytes, such as 512KiB, 64MiB or 1GB. 0 means no limit.
func ParseSize(text string) (int64, error) {
	n, err := units.ParseStrictBytes(text)
	if plain, plainErr := strconv.ParseInt(text, 10, 64); plainErr == nil {
		n, err = plain, nil
	}
	if err != nil || n < 0 {
		return 0, errors.New("must be a size such as 512KiB, 64MiB or 1GB; 0 means no limit")
	}
	return n, nil
}

// Format returns the limits that are set, as in a rules file but with =.
func (l *Limits) Format() []string {
	var all []string
	for k := range l {
		if l[k].set {
			value := strconv.FormatInt(l[k].max, 10)
			if Kind(k) == BodySize {
				value = FormatSize(l[k].max)
			}
			all = append(all, kinds[k]+"="+value)
		}
	}
	return all
}

// FormatSize writes a size so that ParseSize reads it, in the largest unit that needs no
// fraction.
func FormatSize(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n > 0 && n%unit.bytes == 0 {
			return strconv.FormatInt(n/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}
