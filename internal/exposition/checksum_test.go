package exposition

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestCombineChecksums(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		whole := make([]byte, random.IntN(5000))
		for i := range whole {
			whole[i] = byte(random.Uint32())
		}
		at := random.IntN(len(whole) + 1)
		first, second := whole[:at], whole[at:]
		got := combineChecksums(crc32.ChecksumIEEE(first), crc32.ChecksumIEEE(second), int64(len(second)))
		if want := crc32.ChecksumIEEE(whole); got != want {
			t.Fatalf("%d and %d bytes: got %08x, want %08x", len(first), len(second), got, want)
		}
	}
}
