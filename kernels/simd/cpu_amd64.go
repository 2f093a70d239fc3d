//go:build !purego

package simd

import (
	"golang.org/x/sys/cpu"
)

// architecture are the rungs that there are kernels for.
var architecture = []isa{isaAVX2, isaVNNI, isaAVX512}

func features() []feature {
	c := &cpu.X86
	return []feature{
		{"avx2", c.HasAVX2}, {"fma", c.HasFMA}, {"f16c", c.HasF16C}, {"avx_vnni", c.HasAVXVNNI}, {"avx512f", c.HasAVX512F},
		{"avx512bw", c.HasAVX512BW}, {"avx512dq", c.HasAVX512DQ}, {"avx512vl", c.HasAVX512VL}, {"avx512_vnni", c.HasAVX512VNNI},
		{"avx512_bf16", c.HasAVX512BF16},
	}
}

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

// fixedRows is the number of activation rows from which F16 and BF16 weights are multiplied in block fixed point.
const fixedRows = 16

func roundFixed(i isa, dst []byte, x []float32) {
	if i == isaScalar || len(x) == 0 {
		roundFixedGeneric(dst, x)
		return
	}
	roundFixedAVX2(&dst[0], &x[0], len(x)/fixedElems)
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
