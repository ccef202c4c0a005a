// Package sorted walks sorted lists.
package sorted

import "iter"

// Join walks two sorted lists, of n and m items, side by side. It yields the indexes of
// items that are equal together, and -1 for an item that one of the lists lacks. compare
// compares item i of the first with item j of the second list.
func Join(n, m int, compare func(i, j int) int) iter.Seq2[int, int] {
	return func(yield func(i, j int) bool) {
		i, j := 0, 0
		for i < n || j < m {
			order := 0
			switch {
			case i == n:
				order = 1
			case j == m:
				order = -1
			default:
				order = compare(i, j)
			}
			switch {
			case order < 0:
				if !yield(i, -1) {
					return
				}
				i++
			case order > 0:
				if !yield(-1, j) {
					return
				}
				j++
			default:
				if !yield(i, j) {
					return
				}
				i, j = i+1, j+1
			}
		}
	}
}
