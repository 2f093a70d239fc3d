//go:build !purego

package simd

import "forge/gguf"

// kernelsFor returns the kernels of a type; none at the scalar rung.
func kernelsFor(t gguf.Type, i isa) kernelSet {
	k := kernelTable[t]
	set := kernelSet{elems: k.elems, dotFloat: k.dotFloat, packFloat: k.packFloat, tiles: tileFloatNEON}
	switch i {
	case isaNEON:
		set.narrow = k.neon
	case isaDotProd:
		set.narrow = k.dotProd
	default:
		return kernelSet{}
	}
	return set
}

// tileFloatNEON are the tiles of float panels.
var tileFloatNEON = floatTiles{[6]panelTile{tileFloatx1NEON, tileFloatx2NEON, tileFloatx3NEON, tileFloatx4NEON, tileFloatx5NEON,
	tileFloatx6NEON}, 1}

// The gemm kernels by kind of panel, for 4 activation rows and for 1.
var (
	gemmPlainNEON     = gemms{gemmPlainx4NEON, gemmPlainx1NEON}
	gemmMinNEON       = gemms{gemmMinx4NEON, gemmMinx1NEON}
	gemmHalfNEON      = gemms{gemmHalfx4NEON, gemmHalfx1NEON}
	gemmMinTwoNEON    = gemms{gemmMinTwox4NEON, gemmMinTwox1NEON}
	gemmPlainDotProd  = gemms{gemmPlainx4DotProd, gemmPlainx1DotProd}
	gemmMinDotProd    = gemms{gemmMinx4DotProd, gemmMinx1DotProd}
	gemmHalfDotProd   = gemms{gemmHalfx4DotProd, gemmHalfx1DotProd}
	gemmMinTwoDotProd = gemms{gemmMinTwox4DotProd, gemmMinTwox1DotProd}
)

// A panel's bytes for a block of 32: 512 of weights, 64 for every vector of scales; the generator has the same.
const (
	panelPlain  = 576
	panelMin    = 640
	panelHalf   = 704
	panelMinTwo = 832
)

// endFew is never called: there are no few kernels.
func endFew(bool, *float32, int, *float32, int) {}

// sumFloat adds the lanes of a float tile's sums.
func sumFloat(out *float32, ldo int, sums *float32, rows int) { sumFloatNEON(out, ldo, sums, rows) }

// kernelTable lists every kernel. A panel has signed values, whatever the format, and needs no shift.
var kernelTable = map[gguf.Type]struct {
	elems         int
	dotFloat      dotFloat
	packFloat     packFloat
	neon, dotProd narrowSet
}{
	gguf.F32:  {elems: 8, dotFloat: dotF32NEON, packFloat: packF32NEON},
	gguf.F16:  {elems: 8, dotFloat: dotF16NEON, packFloat: packF16NEON},
	gguf.BF16: {elems: 8, dotFloat: dotBF16NEON, packFloat: packBF16NEON},
	gguf.Q4_0: {elems: 32,
		neon:    narrowSet{[2]dot{dotQ4_0x1NEON, dotQ4_0x2NEON}, nil, packQ4_0NEON, gemmPlainNEON, panelPlain, 0},
		dotProd: narrowSet{[2]dot{dotQ4_0x1DotProd, dotQ4_0x2DotProd}, nil, packQ4_0NEON, gemmPlainDotProd, panelPlain, 0}},
	gguf.Q4_1: {elems: 32,
		neon:    narrowSet{[2]dot{dotQ4_1x1NEON, dotQ4_1x2NEON}, nil, packQ4_1NEON, gemmMinNEON, panelMin, 0},
		dotProd: narrowSet{[2]dot{dotQ4_1x1DotProd, dotQ4_1x2DotProd}, nil, packQ4_1NEON, gemmMinDotProd, panelMin, 0}},
	gguf.Q5_0: {elems: 32,
		neon:    narrowSet{[2]dot{dotQ5_0x1NEON, dotQ5_0x2NEON}, nil, packQ5_0NEON, gemmPlainNEON, panelPlain, 0},
		dotProd: narrowSet{[2]dot{dotQ5_0x1DotProd, dotQ5_0x2DotProd}, nil, packQ5_0NEON, gemmPlainDotProd, panelPlain, 0}},
	gguf.Q5_1: {elems: 32,
		neon:    narrowSet{[2]dot{dotQ5_1x1NEON, dotQ5_1x2NEON}, nil, packQ5_1NEON, gemmMinNEON, panelMin, 0},
		dotProd: narrowSet{[2]dot{dotQ5_1x1DotProd, dotQ5_1x2DotProd}, nil, packQ5_1NEON, gemmMinDotProd, panelMin, 0}},
	gguf.Q8_0: {elems: 32,
		neon:    narrowSet{[2]dot{dotQ8_0x1NEON, dotQ8_0x2NEON}, nil, packQ8_0NEON, gemmPlainNEON, panelPlain, 0},
		dotProd: narrowSet{[2]dot{dotQ8_0x1DotProd, dotQ8_0x2DotProd}, nil, packQ8_0NEON, gemmPlainDotProd, panelPlain, 0}},
	gguf.IQ4_NL: {elems: 32,
		neon:    narrowSet{[2]dot{dotIQ4_NLx1NEON, dotIQ4_NLx2NEON}, nil, packIQ4_NLNEON, gemmPlainNEON, panelPlain, 0},
		dotProd: narrowSet{[2]dot{dotIQ4_NLx1DotProd, dotIQ4_NLx2DotProd}, nil, packIQ4_NLNEON, gemmPlainDotProd, panelPlain, 0}},
	gguf.MXFP4: {elems: 32,
		neon:    narrowSet{[2]dot{dotMXFP4x1NEON, dotMXFP4x2NEON}, nil, packMXFP4NEON, gemmPlainNEON, panelPlain, 0},
		dotProd: narrowSet{[2]dot{dotMXFP4x1DotProd, dotMXFP4x2DotProd}, nil, packMXFP4NEON, gemmPlainDotProd, panelPlain, 0}},
	gguf.Q4_K: {elems: 256,
		neon:    narrowSet{[2]dot{dotQ4_Kx1NEON, dotQ4_Kx2NEON}, nil, packQ4_KNEON, gemmMinNEON, panelMin, 0},
		dotProd: narrowSet{[2]dot{dotQ4_Kx1DotProd, dotQ4_Kx2DotProd}, nil, packQ4_KNEON, gemmMinDotProd, panelMin, 0}},
	gguf.Q5_K: {elems: 256,
		neon:    narrowSet{[2]dot{dotQ5_Kx1NEON, dotQ5_Kx2NEON}, nil, packQ5_KNEON, gemmMinNEON, panelMin, 0},
		dotProd: narrowSet{[2]dot{dotQ5_Kx1DotProd, dotQ5_Kx2DotProd}, nil, packQ5_KNEON, gemmMinDotProd, panelMin, 0}},
	gguf.IQ4_XS: {elems: 256,
		neon:    narrowSet{[2]dot{dotIQ4_XSx1NEON, dotIQ4_XSx2NEON}, nil, packIQ4_XSNEON, gemmPlainNEON, panelPlain, 0},
		dotProd: narrowSet{[2]dot{dotIQ4_XSx1DotProd, dotIQ4_XSx2DotProd}, nil, packIQ4_XSNEON, gemmPlainDotProd, panelPlain, 0}},
	gguf.Q6_K: {elems: 256,
		neon:    narrowSet{[2]dot{dotQ6_Kx1NEON, dotQ6_Kx2NEON}, nil, packQ6_KNEON, gemmHalfNEON, panelHalf, 0},
		dotProd: narrowSet{[2]dot{dotQ6_Kx1DotProd, dotQ6_Kx2DotProd}, nil, packQ6_KNEON, gemmHalfDotProd, panelHalf, 0}},
	gguf.Q3_K: {elems: 256,
		neon:    narrowSet{[2]dot{dotQ3_Kx1NEON, dotQ3_Kx2NEON}, nil, packQ3_KNEON, gemmHalfNEON, panelHalf, 0},
		dotProd: narrowSet{[2]dot{dotQ3_Kx1DotProd, dotQ3_Kx2DotProd}, nil, packQ3_KNEON, gemmHalfDotProd, panelHalf, 0}},
	gguf.Q2_K: {elems: 256,
		neon:    narrowSet{[2]dot{dotQ2_Kx1NEON, dotQ2_Kx2NEON}, nil, packQ2_KNEON, gemmMinTwoNEON, panelMinTwo, 0},
		dotProd: narrowSet{[2]dot{dotQ2_Kx1DotProd, dotQ2_Kx2DotProd}, nil, packQ2_KNEON, gemmMinTwoDotProd, panelMinTwo, 0}},
}
