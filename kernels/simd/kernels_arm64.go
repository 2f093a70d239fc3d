//go:build !purego

package simd

import "forge/gguf"

// kernelsFor returns the kernels of a type; none at the scalar rung, and none for types that have no kernels here.
func kernelsFor(t gguf.Type, i isa) kernelSet {
	k := kernelTable[t]
	switch i {
	case isaNEON, isaDotProd:
		return kernelSet{elems: k.elems, dotFloat: k.dotFloat, packFloat: k.packFloat, tiles: tileFloatNEON}
	}
	return kernelSet{}
}

// tileFloatNEON are the tiles of float panels.
var tileFloatNEON = floatTiles{[6]panelTile{tileFloatx1NEON, tileFloatx2NEON, tileFloatx3NEON, tileFloatx4NEON, tileFloatx5NEON,
	tileFloatx6NEON}, 1}

// endFew is never called: there are no kernels for a few activation rows but those for one and two.
func endFew(bool, *float32, int, *float32, int) {}

// sumFloat adds the lanes of a float tile's sums.
func sumFloat(out *float32, ldo int, sums *float32, rows int) { sumFloatNEON(out, ldo, sums, rows) }

var kernelTable = map[gguf.Type]struct {
	elems     int
	dotFloat  dotFloat
	packFloat packFloat
}{
	gguf.F32:  {elems: 8, dotFloat: dotF32NEON, packFloat: packF32NEON},
	gguf.F16:  {elems: 8, dotFloat: dotF16NEON, packFloat: packF16NEON},
	gguf.BF16: {elems: 8, dotFloat: dotBF16NEON, packFloat: packBF16NEON},
}
