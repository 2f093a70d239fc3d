//go:build wasip1

package forge

import "math/bits"

// Philox is the ABI's counter-based generator, Philox4x32-10 of Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC
// 2011): the four random words of a key and a counter.
func Philox(key [2]uint32, c [4]uint32) [4]uint32 {
	for range 10 {
		ahi, alo := bits.Mul32(0xD2511F53, c[0])
		bhi, blo := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{bhi ^ c[1] ^ key[0], blo, ahi ^ c[3] ^ key[1], alo}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return c
}

// Uniform is draw number draw of the stream that seed names: a multiple of 2^-24 in [0, 1).
func Uniform(seed, draw uint64) float64 {
	words := Philox([2]uint32{uint32(seed), uint32(seed >> 32)}, [4]uint32{uint32(draw), uint32(draw >> 32), 0, 0})
	return float64(words[0]>>8) / (1 << 24)
}
