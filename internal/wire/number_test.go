package wire

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestNumbersAreTheNearest compares numbers in all notations with strconv.
func TestNumbersAreTheNearest(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	compare := func(s string) {
		t.Helper()
		want, err := strconv.ParseFloat(s, 64)
		got, ok := parseFloat(s)
		if ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("parseFloat(%q) = %v, %v, want %v, %v", s, got, ok, want, err)
		}
	}
	for _, s := range []string{"", ".", "1.", ".5", "1e", "1e+", "1e5", "1E-5", "1e+005", "1e99", "e5", "1..2", "1.5e22", "1e23",
		"999999999999999", "9999999999999999", "0.000000000000001", "+1", "-1", "NaN", "+Inf", "1e-", "1e5x", "00000000000000001"} {
		compare(s)
	}
	for range 200_000 {
		v := math.Float64frombits(random.Uint64())
		if random.IntN(2) == 0 {
			v = float64(random.Int64N(1<<random.IntN(62)+1)) / math.Pow10(random.IntN(12))
		}
		format := "eEfg"[random.IntN(4)]
		compare(strconv.FormatFloat(v, format, random.IntN(18)-1, 64))
	}
}

// FuzzNumber compares any text with strconv, which reads two notations more.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1.5", "1e5", "0x1p4", "1_0", "-0", "Inf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := strconv.ParseFloat(s, 64)
		got, ok := parseFloat(s)
		if ok && (err != nil || math.Float64bits(got) != math.Float64bits(want)) {
			t.Errorf("parseFloat(%q) = %v, want %v, %v", s, got, want, err)
		}
	})
}
