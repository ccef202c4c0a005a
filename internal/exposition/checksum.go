package exposition

import "hash/crc32"

// A CRC-32 is the remainder of a polynomial over GF(2), its bits in reverse: bit
// 31 is the coefficient of x^0. Appending n bytes multiplies what came before by
// x^(8n), so the checksum of a whole follows from those of its parts.

// one is the polynomial 1.
const one uint32 = 1 << 31

// combineChecksums returns the CRC-32 (IEEE) of two pieces in a row from that of
// each and the second one's size in bytes. Cost: O(log size).
func combineChecksums(first, second uint32, size int64) uint32 {
	return multiply(first, power(size)) ^ second
}

// multiply returns the product of two polynomials modulo that of the CRC.
func multiply(a, b uint32) uint32 {
	product := uint32(0)
	for bit := one; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		// b times x: a shift towards the higher coefficients, reduced.
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// power returns x^(8n).
func power(n int64) uint32 {
	result := one
	square := one >> 8 // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square)
		}
		square = multiply(square, square)
	}
	return result
}
