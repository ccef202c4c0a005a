package webui

import (
	"math"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	classic := []bucket{{-inf, 1, 10, ""}, {1, 2, 20, ""}, {2, 4, 8, ""}, {4, inf, 2, ""}}
	for _, c := range []struct {
		name        string
		q           float64
		buckets     []bucket
		exponential bool
		want        float64
		beyond      bool
	}{
		{"first bucket", 0.125, classic, false, 0.5, false},
		{"within a bucket", 0.5, classic, false, 1.5, false},
		{"at a bound", 0.75, classic, false, 2, false},
		{"beyond the last bound", 0.99, classic, false, 4, true},
		{"first bucket below 0", 0.5, []bucket{{-inf, -3, 1, ""}, {-3, inf, 0, ""}}, false, -3, false},
		{"only +Inf", 0.5, []bucket{{-inf, inf, 3, ""}}, false, math.NaN(), false},
		{"no observations", 0.5, []bucket{{-inf, 1, 0, ""}, {1, inf, 0, ""}}, false, math.NaN(), false},
		{"exponential", 0.5, []bucket{{1, 4, 2, ""}}, true, 2, false},
		{"exponential below 0", 0.25, []bucket{{-16, -1, 4, ""}}, true, -8, false},
		{"zero bucket, nothing below", 0.25, []bucket{{-1, 1, 4, ""}, {1, 2, 4, ""}}, true, 0.5, false},
		{"zero bucket, nothing above", 0.75, []bucket{{-2, -1, 4, ""}, {-1, 1, 4, ""}}, true, -0.5, false},
		{"zero bucket between", 0.5, []bucket{{-2, -1, 1, ""}, {-1, 1, 2, ""}, {1, 2, 1, ""}}, true, 0, false},
	} {
		got, beyond := quantile(c.q, c.buckets, c.exponential)
		if math.Abs(got-c.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(c.want) || beyond != c.beyond {
			t.Errorf("%s: %v (beyond: %v), want %v", c.name, got, beyond, c.want)
		}
	}
	var texts []string
	for _, e := range estimates(classic, false) {
		texts = append(texts, e.Name+" "+e.Value)
	}
	if got := strings.Join(texts, ", "); got != "median ≈ 1.5, p90 ≈ 3.5, p99 > 4" {
		t.Error(got)
	}
}

func TestFormatCompact(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 999: "999", 1000: "1k", 1234: "1.23k", 99_960: "100k", 999_499: "999k", 999_500: "1M", 2.5e9: "2.5G", 1e18: "1e+18",
	} {
		if got := formatCompact(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}
