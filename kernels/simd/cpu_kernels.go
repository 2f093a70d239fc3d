package simd

// The kernels' preconditions are product.rows' to keep: pointers to as much memory as the counts say, counts at least 1.

// dotFloat computes 8*octets outputs of one activation row of float weights; n groups of 8 values a row.
type dotFloat func(out *float32, w *byte, rowBytes, octets int, a *byte, n int)

// packFloat converts 8*n values of two rows of float weights to a pair of a float panel.
type packFloat func(dst, w *byte, rowBytes, n int)

// panelTile multiplies 8*n values of one pair of a float panel, or of four that lie pair bytes apart, with activation rows,
// and adds to sums, [rows][8 weight rows][8 lanes], or begins them if add is 0.
type panelTile func(sums *float32, panel *byte, pair int, a *byte, stride, n, add int)

// dot computes 8*octets outputs of one or two activation rows from n groups of 8 blocks a row, the last of which begins back
// bytes before the end of the one before.
type dot func(out *float32, ldo int, w *byte, rowBytes, octets int, blocks, lanes *byte, stride, n, back int)

// few adds to sums, [rows][8 lanes] vectors of 8 or 16 weight rows, the products of n of the format's blocks with rows
// activation rows that lie stride bytes apart. A format of one block begins in the given lane.
type few func(sums *float32, w *byte, rowBytes int, a *byte, stride, rows, n, lane int)

// pack unpacks n of the format's blocks of 8 rows to half of a panel, or of 16 rows to a wide one, whose lanes lie lane bytes
// apart. dst is the place of the first block.
type pack func(dst, w *byte, rowBytes, n, lane int)

// gemm multiplies a panel of full groups of blocks and an incomplete one of rest with activation rows that lie stride bytes
// apart.
type gemm func(out0, out1 *float32, ldo int, panel, a *byte, stride, full, rest, shift int)

// wideGemm does the same for two panels, of 32 weight rows, that lie size bytes apart.
type wideGemm func(out0, out1 *float32, ldo int, panel *byte, size int, a *byte, stride, full, rest, shift int)

// fixedTile multiplies two panels of block fixed point that lie size bytes apart with activation rows that lie stride bytes
// apart.
type fixedTile func(out0, out1 *float32, ldo int, panel *byte, size int, a *byte, stride, blocks int)

// fixedSet are the kernels of block fixed point, where there are any.
type fixedSet struct {
	pack       func(dst, w *byte, rowBytes, n int) // rounds n blocks of a panel's rows
	tiles      [3]fixedTile                        // for 4, 5 and 6 activation rows
	rows       int                                 // of a panel
	panelBytes int                                 // of a panel, for a block of fixedElems
}

// gemms are kernels for four activation rows and for one.
type gemms struct{ four, one gemm }

// kernelSet are one type's functions for one instruction set: the first two for float weights, the others for blocks.
type kernelSet struct {
	elems     int // values of the format's block, or 8 floats: what a row must be a multiple of
	dotFloat  dotFloat
	stream    dotFloat // for many weight rows, where there is one
	packFloat packFloat
	tiles     floatTiles
	fixed     fixedSet
	narrow    narrowSet
	wide      wideSet
	fewMost   int // activation rows for which unpacking into registers beats panels
}

// floatTiles are kernels for 1 to 6 activation rows and the pairs that each of them takes.
type floatTiles struct {
	rows  [6]panelTile
	pairs int
}

// narrowSet are the kernels of 256 bits, or of NEON's 128, which has no few.
type narrowSet struct {
	dot        [2]dot // for one and for two activation rows
	few        few
	pack       pack
	gemm       gemms
	panelBytes int // of a panel, for a block of 32
	shift      int // of the offset that a panel's values have
}

// wideSet are the kernels of 512 bits.
type wideSet struct {
	few        few
	pack       pack
	gemm       [3]wideGemm // for 4, 5 and 6 activation rows
	panelBytes int
	shift      int
}
