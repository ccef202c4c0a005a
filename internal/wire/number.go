package wire

import "strconv"

// parseFloat parses a number of the text format.
func parseFloat(s string) (float64, bool) {
	if v, ok := parseDecimal(s); ok {
		return v, true
	}
	// Go also reads hexadecimal floats and underscores, which the format lacks.
	for i := range len(s) {
		if c := s[i]; c == 'p' || c == 'P' || c == '_' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

// parseDecimal parses the usual numbers: digits with at most one point and perhaps an
// exponent, if the integer of the digits and the power of ten are both exact as float64,
// so that their product or quotient is the nearest float64 (Clinger 1990). It leaves all
// others to strconv.
func parseDecimal(s string) (float64, bool) {
	const maxDigits = 15 // all integers with as many are exact
	var digits uint64
	i, count, point := 0, 0, -1
	for ; i < len(s); i++ {
		if d := s[i] - '0'; d <= 9 {
			digits = digits*10 + uint64(d)
			count++
		} else if s[i] == '.' && point < 0 {
			point = i
		} else {
			break
		}
	}
	if count == 0 || count > maxDigits {
		return 0, false
	}
	power := 0
	if point >= 0 {
		power = point + 1 - i
	}
	if i < len(s) {
		exponent, ok := parseExponent(s[i:])
		if !ok {
			return 0, false
		}
		power += exponent
	}
	switch {
	case power < -maxPower || power > maxPower:
		return 0, false
	case power < 0:
		return float64(digits) / powersOfTen[-power], true
	}
	return float64(digits) * powersOfTen[power], true
}

// parseExponent parses an e, an optional sign, and one or two digits.
func parseExponent(s string) (int, bool) {
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	sign := 1
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	if s == "" || len(s) > 2 {
		return 0, false
	}
	v := 0
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + int(d)
	}
	return sign * v, true
}

// maxPower is the exponent of the largest power of ten that is exact as float64.
const maxPower = 22

var powersOfTen = [maxPower + 1]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}
