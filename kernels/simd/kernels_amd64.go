//go:build !purego

package simd

import (
	"golang.org/x/sys/cpu"

	"forge/gguf"
)

// kernelsFor returns the kernels of a type; none at the scalar rung.
func kernelsFor(t gguf.Type, i isa) kernelSet {
	k := kernelTable[t]
	set := kernelSet{elems: k.elems, dotFloat: k.dotFloat, stream: k.stream, packFloat: k.packFloat, tiles: tileFloatAVX2}
	switch i {
	case isaAVX2:
		set.narrow, set.fixed = k.avx2, fixedSet{k.packFixed, tileFixedAVX2, 8, panelFixed}
	case isaVNNI:
		set.narrow, set.fixed = k.vnni, fixedSet{k.packFixed, tileFixedVNNI, 8, panelFixed}
	case isaAVX512:
		set.narrow, set.wide, set.tiles = k.evex, k.wide, tileFloatAVX512
		set.fixed = fixedSet{k.packFixedWide, tileFixedAVX512, 16, 2 * panelFixed}
	default:
		return kernelSet{}
	}
	if dot := unaskedQ8_0[i]; t == gguf.Q8_0 && dot != nil && prefetchesItself() {
		set.narrow.dot[0] = dot
	}
	set.fewMost = fewMost[t][0]
	if i == isaAVX512 {
		set.fewMost = fewMost[t][1]
	}
	return set
}

// unaskedQ8_0 are Q8_0's dot kernels that do not ask for lines ahead.
var unaskedQ8_0 = [isaCount]dot{isaAVX2: dotQ8_0x1UnaskedAVX2, isaVNNI: dotQ8_0x1UnaskedVNNI, isaAVX512: dotQ8_0x1UnaskedVL}

// prefetchesItself tells that the processor reads a straight line of memory fastest when it is not asked to: AMD's from Zen 4 on,
// which are those with AVX-512. See RATIONALE.md.
func prefetchesItself() bool {
	const amd = 'A' | 'u'<<8 | 't'<<16 | 'h'<<24
	return cpuVendor() == amd && cpu.X86.HasAVX512VNNI
}

// fewMost has for each format how many activation rows its kernels for a few should take at most, in vectors of 256 bits and of
// 512. It depends on how dear its panel is, to make and to read; measured on Zen 4 with rows of 512 to 2,048 values.
var fewMost = map[gguf.Type][2]int{
	gguf.Q4_0: {24, 32}, gguf.Q4_1: {32, 48}, gguf.Q5_0: {24, 24}, gguf.Q5_1: {24, 24}, gguf.Q8_0: {48, 48},
	gguf.IQ4_NL: {40, 32}, gguf.IQ4_XS: {40, 24}, gguf.MXFP4: {16, 16},
	gguf.Q2_K: {36, 16}, gguf.Q3_K: {64, 40}, gguf.Q4_K: {36, 48}, gguf.Q5_K: {36, 24}, gguf.Q6_K: {48, 40},
}

// The tiles of float panels.
var (
	tileFloatAVX2 = floatTiles{[6]panelTile{tileFloatx1AVX2, tileFloatx2AVX2, tileFloatx3AVX2, tileFloatx4AVX2, tileFloatx5AVX2,
		tileFloatx6AVX2}, 1}
	tileFloatAVX512 = floatTiles{[6]panelTile{tileFloatx1AVX512, tileFloatx2AVX512, tileFloatx3AVX512, tileFloatx4AVX512,
		tileFloatx5AVX512, tileFloatx6AVX512}, 4}
)

// The tiles of block fixed point, for 4, 5 and 6 activation rows.
var (
	tileFixedAVX2   = [3]fixedTile{tileFixedx4AVX2, tileFixedx5AVX2, tileFixedx6AVX2}
	tileFixedVNNI   = [3]fixedTile{tileFixedx4VNNI, tileFixedx5VNNI, tileFixedx6VNNI}
	tileFixedAVX512 = [3]fixedTile{tileFixedx4AVX512, tileFixedx5AVX512, tileFixedx6AVX512}
)

// The gemm kernels by kind of panel, for 4 activation rows and for 1, and those of 512 bits for 4, 5 and 6.
var (
	gemmOff8AVX2     = gemms{gemmOff8x4AVX2, gemmOff8x1AVX2}
	gemmOff4AVX2     = gemms{gemmOff4x4AVX2, gemmOff4x1AVX2}
	gemmPlanesAVX2   = gemms{gemmPlanesx4AVX2, gemmPlanesx1AVX2}
	gemmMin8AVX2     = gemms{gemmMin8x4AVX2, gemmMin8x1AVX2}
	gemmMin4AVX2     = gemms{gemmMin4x4AVX2, gemmMin4x1AVX2}
	gemmMinTwoAVX2   = gemms{gemmMinTwox4AVX2, gemmMinTwox1AVX2}
	gemmHalfAVX2     = gemms{gemmHalfx4AVX2, gemmHalfx1AVX2}
	gemmOffVNNI      = gemms{gemmOffx4VNNI, gemmOffx1VNNI}
	gemmMinVNNI      = gemms{gemmMinx4VNNI, gemmMinx1VNNI}
	gemmMinTwoVNNI   = gemms{gemmMinTwox4VNNI, gemmMinTwox1VNNI}
	gemmHalfVNNI     = gemms{gemmHalfx4VNNI, gemmHalfx1VNNI}
	gemmOffVL        = gemms{gemmOffx4VL, gemmOffx1VL}
	gemmMinVL        = gemms{gemmMinx4VL, gemmMinx1VL}
	gemmMinTwoVL     = gemms{gemmMinTwox4VL, gemmMinTwox1VL}
	gemmHalfVL       = gemms{gemmHalfx4VL, gemmHalfx1VL}
	gemmOffAVX512    = [3]wideGemm{gemmOffx4AVX512, gemmOffx5AVX512, gemmOffx6AVX512}
	gemmMinAVX512    = [3]wideGemm{gemmMinx4AVX512, gemmMinx5AVX512, gemmMinx6AVX512}
	gemmMinTwoAVX512 = [3]wideGemm{gemmMinTwox4AVX512, gemmMinTwox5AVX512, gemmMinTwox6AVX512}
	gemmHalfAVX512   = [3]wideGemm{gemmHalfx4AVX512, gemmHalfx5AVX512, gemmHalfx6AVX512}
)

// A panel's bytes for a block of 32: 512 of weights, 64 for every vector of scales; the generator has the same.
const (
	panelOff      = 576
	panelMin      = 640
	panelTwo      = 704
	panelHalf     = 768
	panelHalfWide = 704
	panelPlanes   = 1088 // 512 more for the upper halves of bytes
	panelFixed    = 1056 // of 8 rows for a block of fixedElems: 1024 of weights, 32 of scales
)

// endFew ends what the few kernels began.
func endFew(wide bool, out *float32, ldo int, sums *float32, rows int) {
	if wide {
		addLanesAVX512(out, ldo, sums, rows)
	} else {
		addLanesAVX2(out, ldo, sums, rows)
	}
}

// sumFloat adds the lanes of a float tile's sums.
func sumFloat(out *float32, ldo int, sums *float32, rows int) { sumFloatAVX2(out, ldo, sums, rows) }

// kernelTable lists every kernel. Formats with values of 8 bits have panels of half bytes for AVX2, so they alone have
// a pack for each. evex has the kernels of vnni in the form of AVX-512.
var kernelTable = map[gguf.Type]struct {
	elems            int
	dotFloat, stream dotFloat
	packFloat        packFloat
	packFixed        func(dst, w *byte, rowBytes, n int)
	packFixedWide    func(dst, w *byte, rowBytes, n int)
	avx2, vnni, evex narrowSet
	wide             wideSet
}{
	gguf.F32:  {elems: 8, dotFloat: dotF32AVX2, stream: streamF32AVX2, packFloat: packF32AVX2},
	gguf.F16:  {elems: 8, dotFloat: dotF16AVX2, stream: streamF16AVX2, packFloat: packF16AVX2, packFixed: packFixedF16AVX2, packFixedWide: packFixedF16AVX512},
	gguf.BF16: {elems: 8, dotFloat: dotBF16AVX2, stream: streamBF16AVX2, packFloat: packBF16AVX2, packFixed: packFixedBF16AVX2, packFixedWide: packFixedBF16AVX512},
	gguf.Q4_0: {elems: 32,
		avx2: narrowSet{[2]dot{dotQ4_0x1AVX2, dotQ4_0x2AVX2}, fewQ4_0AVX2, packQ4_0, gemmOff8AVX2, panelOff, 3},
		vnni: narrowSet{[2]dot{dotQ4_0x1VNNI, dotQ4_0x2VNNI}, fewQ4_0VNNI, packQ4_0, gemmOffVNNI, panelOff, 3},
		evex: narrowSet{[2]dot{dotQ4_0x1VL, dotQ4_0x2VL}, fewQ4_0AVX2, packQ4_0, gemmOffVL, panelOff, 3},
		wide: wideSet{fewQ4_0AVX512, packQ4_0AVX512, gemmOffAVX512, panelOff, 3}},
	gguf.Q4_1: {elems: 32,
		avx2: narrowSet{[2]dot{dotQ4_1x1AVX2, dotQ4_1x2AVX2}, fewQ4_1AVX2, packQ4_1, gemmMin8AVX2, panelMin, 0},
		vnni: narrowSet{[2]dot{dotQ4_1x1VNNI, dotQ4_1x2VNNI}, fewQ4_1VNNI, packQ4_1, gemmMinVNNI, panelMin, 0},
		evex: narrowSet{[2]dot{dotQ4_1x1VL, dotQ4_1x2VL}, fewQ4_1AVX2, packQ4_1, gemmMinVL, panelMin, 0},
		wide: wideSet{fewQ4_1AVX512, packQ4_1AVX512, gemmMinAVX512, panelMin, 0}},
	gguf.Q5_0: {elems: 32,
		avx2: narrowSet{[2]dot{dotQ5_0x1AVX2, dotQ5_0x2AVX2}, fewQ5_0AVX2, packQ5_0, gemmOff4AVX2, panelOff, 4},
		vnni: narrowSet{[2]dot{dotQ5_0x1VNNI, dotQ5_0x2VNNI}, fewQ5_0VNNI, packQ5_0, gemmOffVNNI, panelOff, 4},
		evex: narrowSet{[2]dot{dotQ5_0x1VL, dotQ5_0x2VL}, fewQ5_0AVX2, packQ5_0, gemmOffVL, panelOff, 4},
		wide: wideSet{fewQ5_0AVX512, packQ5_0AVX512, gemmOffAVX512, panelOff, 4}},
	gguf.Q5_1: {elems: 32,
		avx2: narrowSet{[2]dot{dotQ5_1x1AVX2, dotQ5_1x2AVX2}, fewQ5_1AVX2, packQ5_1, gemmMin4AVX2, panelMin, 0},
		vnni: narrowSet{[2]dot{dotQ5_1x1VNNI, dotQ5_1x2VNNI}, fewQ5_1VNNI, packQ5_1, gemmMinVNNI, panelMin, 0},
		evex: narrowSet{[2]dot{dotQ5_1x1VL, dotQ5_1x2VL}, fewQ5_1AVX2, packQ5_1, gemmMinVL, panelMin, 0},
		wide: wideSet{fewQ5_1AVX512, packQ5_1AVX512, gemmMinAVX512, panelMin, 0}},
	gguf.Q8_0: {elems: 32,
		avx2: narrowSet{[2]dot{dotQ8_0x1AVX2, dotQ8_0x2AVX2}, fewQ8_0AVX2, packQ8_0AVX2, gemmPlanesAVX2, panelPlanes, 7},
		vnni: narrowSet{[2]dot{dotQ8_0x1VNNI, dotQ8_0x2VNNI}, fewQ8_0VNNI, packQ8_0VNNI, gemmOffVNNI, panelOff, 7},
		evex: narrowSet{[2]dot{dotQ8_0x1VL, dotQ8_0x2VL}, fewQ8_0AVX2, packQ8_0VNNI, gemmOffVL, panelOff, 7},
		wide: wideSet{fewQ8_0AVX512, packQ8_0AVX512, gemmOffAVX512, panelOff, 7}},
	gguf.IQ4_NL: {elems: 32,
		avx2: narrowSet{[2]dot{dotIQ4_NLx1AVX2, dotIQ4_NLx2AVX2}, fewIQ4_NLAVX2, packIQ4_NLAVX2, gemmPlanesAVX2, panelPlanes, 7},
		vnni: narrowSet{[2]dot{dotIQ4_NLx1VNNI, dotIQ4_NLx2VNNI}, fewIQ4_NLVNNI, packIQ4_NLVNNI, gemmOffVNNI, panelOff, 7},
		evex: narrowSet{[2]dot{dotIQ4_NLx1VL, dotIQ4_NLx2VL}, fewIQ4_NLAVX2, packIQ4_NLVNNI, gemmOffVL, panelOff, 7},
		wide: wideSet{fewIQ4_NLAVX512, packIQ4_NLAVX512, gemmOffAVX512, panelOff, 7}},
	gguf.IQ4_XS: {elems: 256,
		avx2: narrowSet{[2]dot{dotIQ4_XSx1AVX2, dotIQ4_XSx2AVX2}, fewIQ4_XSAVX2, packIQ4_XSAVX2, gemmPlanesAVX2, panelPlanes, 7},
		vnni: narrowSet{[2]dot{dotIQ4_XSx1VNNI, dotIQ4_XSx2VNNI}, fewIQ4_XSVNNI, packIQ4_XSVNNI, gemmOffVNNI, panelOff, 7},
		evex: narrowSet{[2]dot{dotIQ4_XSx1VL, dotIQ4_XSx2VL}, fewIQ4_XSAVX2, packIQ4_XSVNNI, gemmOffVL, panelOff, 7},
		wide: wideSet{fewIQ4_XSAVX512, packIQ4_XSAVX512, gemmOffAVX512, panelOff, 7}},
	gguf.MXFP4: {elems: 32,
		avx2: narrowSet{[2]dot{dotMXFP4x1AVX2, dotMXFP4x2AVX2}, fewMXFP4AVX2, packMXFP4, gemmOff4AVX2, panelOff, 4},
		vnni: narrowSet{[2]dot{dotMXFP4x1VNNI, dotMXFP4x2VNNI}, fewMXFP4VNNI, packMXFP4, gemmOffVNNI, panelOff, 4},
		evex: narrowSet{[2]dot{dotMXFP4x1VL, dotMXFP4x2VL}, fewMXFP4AVX2, packMXFP4, gemmOffVL, panelOff, 4},
		wide: wideSet{fewMXFP4AVX512, packMXFP4AVX512, gemmOffAVX512, panelOff, 4}},
	gguf.Q2_K: {elems: 256,
		avx2: narrowSet{[2]dot{dotQ2_Kx1AVX2, dotQ2_Kx2AVX2}, fewQ2_KAVX2, packQ2_K, gemmMinTwoAVX2, panelTwo, 0},
		vnni: narrowSet{[2]dot{dotQ2_Kx1VNNI, dotQ2_Kx2VNNI}, fewQ2_KVNNI, packQ2_K, gemmMinTwoVNNI, panelTwo, 0},
		evex: narrowSet{[2]dot{dotQ2_Kx1VL, dotQ2_Kx2VL}, fewQ2_KAVX2, packQ2_K, gemmMinTwoVL, panelTwo, 0},
		wide: wideSet{fewQ2_KAVX512, packQ2_KAVX512, gemmMinTwoAVX512, panelTwo, 0}},
	gguf.Q3_K: {elems: 256,
		avx2: narrowSet{[2]dot{dotQ3_Kx1AVX2, dotQ3_Kx2AVX2}, fewQ3_KAVX2, packQ3_K, gemmHalfAVX2, panelHalf, 2},
		vnni: narrowSet{[2]dot{dotQ3_Kx1VNNI, dotQ3_Kx2VNNI}, fewQ3_KVNNI, packQ3_K, gemmHalfVNNI, panelHalf, 2},
		evex: narrowSet{[2]dot{dotQ3_Kx1VL, dotQ3_Kx2VL}, fewQ3_KAVX2, packQ3_K, gemmHalfVL, panelHalf, 2},
		wide: wideSet{fewQ3_KAVX512, packQ3_KAVX512, gemmHalfAVX512, panelHalfWide, 2}},
	gguf.Q4_K: {elems: 256,
		avx2: narrowSet{[2]dot{dotQ4_Kx1AVX2, dotQ4_Kx2AVX2}, fewQ4_KAVX2, packQ4_K, gemmMin8AVX2, panelMin, 0},
		vnni: narrowSet{[2]dot{dotQ4_Kx1VNNI, dotQ4_Kx2VNNI}, fewQ4_KVNNI, packQ4_K, gemmMinVNNI, panelMin, 0},
		evex: narrowSet{[2]dot{dotQ4_Kx1VL, dotQ4_Kx2VL}, fewQ4_KAVX2, packQ4_K, gemmMinVL, panelMin, 0},
		wide: wideSet{fewQ4_KAVX512, packQ4_KAVX512, gemmMinAVX512, panelMin, 0}},
	gguf.Q5_K: {elems: 256,
		avx2: narrowSet{[2]dot{dotQ5_Kx1AVX2, dotQ5_Kx2AVX2}, fewQ5_KAVX2, packQ5_K, gemmMin4AVX2, panelMin, 0},
		vnni: narrowSet{[2]dot{dotQ5_Kx1VNNI, dotQ5_Kx2VNNI}, fewQ5_KVNNI, packQ5_K, gemmMinVNNI, panelMin, 0},
		evex: narrowSet{[2]dot{dotQ5_Kx1VL, dotQ5_Kx2VL}, fewQ5_KAVX2, packQ5_K, gemmMinVL, panelMin, 0},
		wide: wideSet{fewQ5_KAVX512, packQ5_KAVX512, gemmMinAVX512, panelMin, 0}},
	gguf.Q6_K: {elems: 256,
		avx2: narrowSet{[2]dot{dotQ6_Kx1AVX2, dotQ6_Kx2AVX2}, fewQ6_KAVX2, packQ6_K, gemmHalfAVX2, panelHalf, 5},
		vnni: narrowSet{[2]dot{dotQ6_Kx1VNNI, dotQ6_Kx2VNNI}, fewQ6_KVNNI, packQ6_K, gemmHalfVNNI, panelHalf, 5},
		evex: narrowSet{[2]dot{dotQ6_Kx1VL, dotQ6_Kx2VL}, fewQ6_KAVX2, packQ6_K, gemmHalfVL, panelHalf, 5},
		wide: wideSet{fewQ6_KAVX512, packQ6_KAVX512, gemmHalfAVX512, panelHalfWide, 5}},
}
