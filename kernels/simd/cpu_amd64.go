//go:build !purego

package simd

import (
	"forge/gguf"

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

// kernelsFor returns the kernels of a type; none at the scalar rung.
func kernelsFor(t gguf.Type, i isa) kernelSet {
	if i == isaScalar {
		return kernelSet{}
	}
	k := kernelTable[t]
	pick := k.avx2
	if i == isaVNNI && k.vnni.dot != nil {
		pick = k.vnni
	}
	if i == isaAVX512 {
		pick.wide = wideTable[t]
	}
	pick.elems = k.elems
	if pick.pack == nil {
		pick.pack = k.pack
	}
	if pick.shift == 0 {
		pick.shift = k.shift
	}
	return pick
}

// A panel's bytes for a block of 32: 512 of weights, 64 for every vector pair of scales; the generator has the same.
const (
	panelOff  = 576
	panelMin  = 640
	panelMin2 = 704
	panelHalf = 768
)

// kernelTable lists every kernel. Formats with values of 8 bits multiply signed bytes with AVX2 and bytes plus 128 with
// VNNI, so they alone have a pack and a shift for each.
var kernelTable = map[gguf.Type]struct {
	elems, shift int
	pack         func(dst, w *byte, rowBytes, n int)
	avx2, vnni   kernelSet
}{
	gguf.F32:  {elems: 8, avx2: kernelSet{dot: dotF32AVX2, gemmFloat: gemmF32AVX2}},
	gguf.F16:  {elems: 8, avx2: kernelSet{dot: dotF16AVX2, gemmFloat: gemmF16AVX2}},
	gguf.BF16: {elems: 8, avx2: kernelSet{dot: dotBF16AVX2, gemmFloat: gemmBF16AVX2}},
	gguf.Q4_0: {elems: 32, shift: 3, pack: packQ4_0,
		avx2: kernelSet{dot: dotQ4_0AVX2, gemm4: gemmOff8x4AVX2, gemm1: gemmOff8x1AVX2, panelBytes: panelOff},
		vnni: kernelSet{dot: dotQ4_0VNNI, gemm4: gemmOffx4VNNI, gemm1: gemmOffx1VNNI, panelBytes: panelOff}},
	gguf.Q4_1: {elems: 32, pack: packQ4_1,
		avx2: kernelSet{dot: dotQ4_1AVX2, gemm4: gemmMin8x4AVX2, gemm1: gemmMin8x1AVX2, panelBytes: panelMin},
		vnni: kernelSet{dot: dotQ4_1VNNI, gemm4: gemmMinx4VNNI, gemm1: gemmMinx1VNNI, panelBytes: panelMin}},
	gguf.Q5_0: {elems: 32, shift: 4, pack: packQ5_0,
		avx2: kernelSet{dot: dotQ5_0AVX2, gemm4: gemmOff4x4AVX2, gemm1: gemmOff4x1AVX2, panelBytes: panelOff},
		vnni: kernelSet{dot: dotQ5_0VNNI, gemm4: gemmOffx4VNNI, gemm1: gemmOffx1VNNI, panelBytes: panelOff}},
	gguf.Q5_1: {elems: 32, pack: packQ5_1,
		avx2: kernelSet{dot: dotQ5_1AVX2, gemm4: gemmMin4x4AVX2, gemm1: gemmMin4x1AVX2, panelBytes: panelMin},
		vnni: kernelSet{dot: dotQ5_1VNNI, gemm4: gemmMinx4VNNI, gemm1: gemmMinx1VNNI, panelBytes: panelMin}},
	gguf.Q8_0: {elems: 32,
		avx2: kernelSet{dot: dotQ8_0AVX2, pack: packQ8_0AVX2, gemm4: gemmSignx4AVX2, gemm1: gemmSignx1AVX2, panelBytes: panelOff},
		vnni: kernelSet{dot: dotQ8_0VNNI, pack: packQ8_0VNNI, gemm4: gemmOffx4VNNI, gemm1: gemmOffx1VNNI, panelBytes: panelOff,
			shift: 7}},
	gguf.IQ4_NL: {elems: 32,
		avx2: kernelSet{dot: dotIQ4_NLAVX2, pack: packIQ4_NLAVX2, gemm4: gemmSignx4AVX2, gemm1: gemmSignx1AVX2,
			panelBytes: panelOff},
		vnni: kernelSet{dot: dotIQ4_NLVNNI, pack: packIQ4_NLVNNI, gemm4: gemmOffx4VNNI, gemm1: gemmOffx1VNNI,
			panelBytes: panelOff, shift: 7}},
	gguf.IQ4_XS: {elems: 256,
		avx2: kernelSet{dot: dotIQ4_XSAVX2, pack: packIQ4_XSAVX2, gemm4: gemmSignx4AVX2, gemm1: gemmSignx1AVX2,
			panelBytes: panelOff},
		vnni: kernelSet{dot: dotIQ4_XSVNNI, pack: packIQ4_XSVNNI, gemm4: gemmOffx4VNNI, gemm1: gemmOffx1VNNI,
			panelBytes: panelOff, shift: 7}},
	gguf.MXFP4: {elems: 32, shift: 4, pack: packMXFP4,
		avx2: kernelSet{dot: dotMXFP4AVX2, gemm4: gemmOff4x4AVX2, gemm1: gemmOff4x1AVX2, panelBytes: panelOff},
		vnni: kernelSet{dot: dotMXFP4VNNI, gemm4: gemmOffx4VNNI, gemm1: gemmOffx1VNNI, panelBytes: panelOff}},
	gguf.Q2_K: {elems: 256, pack: packQ2_K,
		avx2: kernelSet{dot: dotQ2_KAVX2, gemm4: gemmMinTwox4AVX2, gemm1: gemmMinTwox1AVX2, panelBytes: panelMin2},
		vnni: kernelSet{dot: dotQ2_KVNNI, gemm4: gemmMinTwox4VNNI, gemm1: gemmMinTwox1VNNI, panelBytes: panelMin2}},
	gguf.Q3_K: {elems: 256, shift: 2, pack: packQ3_K,
		avx2: kernelSet{dot: dotQ3_KAVX2, gemm4: gemmHalfx4AVX2, gemm1: gemmHalfx1AVX2, panelBytes: panelHalf},
		vnni: kernelSet{dot: dotQ3_KVNNI, gemm4: gemmHalfx4VNNI, gemm1: gemmHalfx1VNNI, panelBytes: panelHalf}},
	gguf.Q4_K: {elems: 256, pack: packQ4_K,
		avx2: kernelSet{dot: dotQ4_KAVX2, gemm4: gemmMin8x4AVX2, gemm1: gemmMin8x1AVX2, panelBytes: panelMin},
		vnni: kernelSet{dot: dotQ4_KVNNI, gemm4: gemmMinx4VNNI, gemm1: gemmMinx1VNNI, panelBytes: panelMin}},
	gguf.Q5_K: {elems: 256, pack: packQ5_K,
		avx2: kernelSet{dot: dotQ5_KAVX2, gemm4: gemmMin4x4AVX2, gemm1: gemmMin4x1AVX2, panelBytes: panelMin},
		vnni: kernelSet{dot: dotQ5_KVNNI, gemm4: gemmMinx4VNNI, gemm1: gemmMinx1VNNI, panelBytes: panelMin}},
	gguf.Q6_K: {elems: 256, shift: 5, pack: packQ6_K,
		avx2: kernelSet{dot: dotQ6_KAVX2, gemm4: gemmHalfx4AVX2, gemm1: gemmHalfx1AVX2, panelBytes: panelHalf},
		vnni: kernelSet{dot: dotQ6_KVNNI, gemm4: gemmHalfx4VNNI, gemm1: gemmHalfx1VNNI, panelBytes: panelHalf}},
}

func quantize(i isa, dst []byte, x []float32) {
	if i == isaScalar || len(x) == 0 {
		quantizeGeneric(dst, x)
		return
	}
	quantizeAVX2(&dst[0], &x[0], len(x)/32)
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
