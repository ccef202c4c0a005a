package webui

import (
	"math"
	"testing"
)

func TestFormatNumber(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := formatNumber(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(math.Copysign(0, -1), "0")
	f(258143, "258,143")
	f(2.190807e6, "2,190,807")
	f(-1234, "-1,234")
	f(0.1+0.2, "0.3")
	f(-0.25, "-0.25")
	f(68.437281923, "68.4373")
	f(1234.56789, "1,234.57")
	f(99999.97, "100,000")
	f(1795641937.8825, "1,795,641,938")
	f(1e15, "1e+15")
	f(1.23456789e20, "1.23457e+20")
	f(0.0001234567, "0.000123457")
	f(1.5e-7, "1.5e-07")
	f(math.Inf(1), "+Inf")
	f(math.NaN(), "NaN")
}
