package limits

import (
	"slices"
	"testing"
)

func TestLimitsOfARuleComeFirst(t *testing.T) {
	rule := Limits{}.With(Series, 10).With(Labels, 0)
	flags := Limits{}.With(Series, 100).With(Labels, 30).With(BodySize, 64<<20)
	both := rule.Or(flags)
	for k, want := range map[Kind]int64{Series: 10, Labels: 0, BodySize: 64 << 20, Groups: 0} {
		if got := both.Max(k); got != want {
			t.Errorf("%s is %d, want %d", k, got, want)
		}
	}
	if both.Exceeded(Series, 10) || !both.Exceeded(Series, 11) || both.Exceeded(Labels, 1000) || both.Exceeded(Groups, 1000) {
		t.Error("exceeded is wrong")
	}
	if got, want := both.Format(), []string{"body_size_limit=64MiB", "series_limit=10", "label_limit=0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		text string
		want int64 // -1 for an error
	}{
		{Series, "0", 0}, {Series, "1000", 1000}, {Series, "-1", -1}, {Series, "1k", -1}, {Series, "", -1}, {Series, "99999999999", -1},
		{BodySize, "0", 0}, {BodySize, "64MiB", 64 << 20}, {BodySize, "1GB", 1e9}, {BodySize, "512KiB", 512 << 10}, {BodySize, "1000", 1000},
		{BodySize, "-1", -1}, {BodySize, "64 MiB", -1}, {BodySize, "x", -1},
	} {
		got, err := Parse(c.kind, c.text)
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %q is %d, want %d", c.kind, c.text, got, c.want)
		}
	}
	for _, n := range []int64{0, 1, 1000, 1 << 10, 64 << 20, 3 << 30} {
		if got, err := ParseSize(FormatSize(n)); err != nil || got != n {
			t.Errorf("%d is written %s, read %d, %v", n, FormatSize(n), got, err)
		}
	}
}
