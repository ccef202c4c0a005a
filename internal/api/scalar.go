package api

import (
	"encoding/json"
	"strconv"
)

// Numbers are strings: JSON has no NaN, no infinities and no 64-bit integers. They are
// written as fmt.Sprint does.

func appendFloat(dst []byte, v float64) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
	return append(dst, '"')
}

func appendUint(dst []byte, v uint64) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendUint(dst, v, 10)
	return append(dst, '"')
}

// appendCount appends the float if it is set, else the integer.
func appendCount(dst []byte, n uint64, f float64) []byte {
	if f != 0 {
		return appendFloat(dst, f)
	}
	return appendUint(dst, n)
}

// appendString appends s as encoding/json writes it. Invalid UTF-8 is replaced.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			quoted, _ := json.Marshal(s) // a string never fails
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
