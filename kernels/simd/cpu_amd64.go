//go:build !purego

package simd

import (
	"golang.org/x/sys/cpu"
)

// detectISA tells what the CPU and the operating system have.
func detectISA() (s isaSet) {
	c := &cpu.X86
	s[isaAVX2] = c.HasAVX2 && c.HasFMA && c.HasF16C
	s[isaVNNI] = s[isaAVX2] && c.HasAVXVNNI
	s[isaAVX512] = s[isaAVX2] && c.HasAVX512F && c.HasAVX512BW && c.HasAVX512DQ && c.HasAVX512VL && c.HasAVX512VNNI
	return s
}

func quantize(i isa, blocks, lanes []byte, x []float32, first int) {
	if i == isaScalar || len(x) == 0 {
		quantizeGeneric(blocks, lanes, x, first)
		return
	}
	quantizeAVX2(&blocks[0], &lanes[0], &x[0], first, len(x)/32)
}

// convertHalf fills dst from float16, 8 at a time; what is left is for the caller.
func convertHalf(i isa, dst []float32, src []uint16) int {
	n := len(dst) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	halfToFloatAVX2(&dst[0], &src[0], n)
	return 8 * n
}

func roundHalf(i isa, dst []uint16, src []float32) int {
	n := len(dst) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	floatToHalfAVX2(&dst[0], &src[0], n)
	return 8 * n
}
