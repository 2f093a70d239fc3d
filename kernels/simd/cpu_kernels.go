package simd

// kernels are one type's functions for one instruction set. Their preconditions are product.rows' to keep: pointers to
// as much memory as the counts say, n and groups at least 1.
type kernelSet struct {
	elems int // values of a row that n counts: a block's, or 8 floats

	// dot computes 8*groups outputs of one activation row; n blocks a row.
	dot func(out *float32, w *byte, rowBytes, groups int, a *byte, n int)

	// pack unpacks n blocks of 8 rows into half of a panel, gemm4 and gemm1 multiply a panel of n blocks of 32 with 4 and
	// with 1 activation rows that lie stride bytes apart, and start from the outputs if add is not 0. panelBytes is a
	// panel's size for a block of 32.
	pack         func(dst, w *byte, rowBytes, n int)
	gemm4, gemm1 func(out0, out1 *float32, ldo int, panel, a *byte, stride, n, shift, add int)
	panelBytes   int
	shift        int

	// gemmFloat, for float weights instead of those: 2*pairs weight rows times 4 activation rows.
	gemmFloat func(out *float32, ldo int, w *byte, rowBytes, pairs int, a *byte, stride, n int)

	wide wideSet
}

// wideGemm multiplies two panels, of 32 weight rows, with several activation rows.
type wideGemm func(out0, out1 *float32, ldo int, panel0, panel1, a *byte, stride, n, shift, add int)

// wideSet are the kernels of 512 bits, which take 16 weight rows at once; a share of fewer rows takes those above.
type wideSet struct {
	// dot computes 16*groups outputs of one activation row; n blocks a row.
	dot func(out *float32, w *byte, rowBytes, groups int, a *byte, n int)

	// pack unpacks n blocks of 16 rows to a panel, gemm[i] multiplies two such panels with 4+i activation rows.
	pack       func(dst, w *byte, rowBytes, n int)
	gemm       [3]wideGemm
	panelBytes int // for a block of 32
	shift      int
}
