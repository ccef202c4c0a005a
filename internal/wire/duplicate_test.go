package wire

import (
	"testing"

	"pushgateway/internal/metric"
)

func TestDuplicateLines(t *testing.T) {
	for _, c := range []struct {
		name, body    string
		first, second int
	}{
		{"none", "a 1\nb 1\na{x=\"1\"} 1\n", 0, 0},
		{"apart", "# HELP a A.\na 1\n\nb 1\r\na 2", 2, 5},
		{"labels in another order", "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n", 1, 2},
		{"name in braces", "{\"a\",x=\"1\"} 1\na{x=\"1\"} 1\n", 1, 2},
		{"after a histogram", "# TYPE h histogram\nh_count 1\nh_count 1\nb 1\nb 1\n", 4, 5},
		{"malformed", "a 1\na\na 1\n", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, second, ok := DuplicateLines([]byte(c.body), metric.LegacyValidation)
			if first != c.first || second != c.second || ok != (c.first > 0) {
				t.Errorf("lines %d and %d, %t; want %d and %d", first, second, ok, c.first, c.second)
			}
		})
	}
}
