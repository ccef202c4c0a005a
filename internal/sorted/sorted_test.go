package sorted_test

import (
	"cmp"
	"fmt"
	"testing"

	"pushgateway/internal/sorted"
)

func TestJoin(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{
		{"", "", ""},
		{"a", "", "a-"},
		{"", "a", "-a"},
		{"abd", "bce", "a-bb-cd--e"},
		{"ace", "bdf", "a--bc--de--f"},
		{"abc", "abc", "aabbcc"},
		{"abc", "c", "a-b-cc"},
		{"a", "abc", "aa-b-c"},
	} {
		t.Run(c.first+"+"+c.second, func(t *testing.T) {
			got := ""
			for i, j := range sorted.Join(len(c.first), len(c.second), func(i, j int) int { return cmp.Compare(c.first[i], c.second[j]) }) {
				x, y := "-", "-"
				if i >= 0 {
					x = c.first[i : i+1]
				}
				if j >= 0 {
					y = c.second[j : j+1]
				}
				got += x + y
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			for range sorted.Join(len(c.first), len(c.second), func(i, j int) int { return cmp.Compare(c.first[i], c.second[j]) }) {
				break // yields no more
			}
		})
	}
}

func ExampleJoin() {
	first, second := []int{1, 2, 5}, []int{2, 3}
	for i, j := range sorted.Join(len(first), len(second), func(i, j int) int { return cmp.Compare(first[i], second[j]) }) {
		fmt.Println(i, j)
	}
	// Output:
	// 0 -1
	// 1 0
	// -1 1
	// 2 -1
}
