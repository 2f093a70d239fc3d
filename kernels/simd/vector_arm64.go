//go:build !purego

package simd

import "forge/kernels"

// Each of these does as many whole groups of 8 as there are and returns where the caller goes on: 0 at the scalar rung.

// groups is how many groups of 8 numbers a kernel takes.
func groups(i isa, numbers int) int {
	if i == isaScalar {
		return 0
	}
	return numbers / 8
}

func addGroups(i isa, y, a, b []float32) int {
	n := groups(i, len(y))
	if n > 0 {
		addNEON(&y[0], &a[0], &b[0], n)
	}
	return 8 * n
}

func mulGroups(i isa, y, a, b []float32) int {
	n := groups(i, len(y))
	if n > 0 {
		mulNEON(&y[0], &a[0], &b[0], n)
	}
	return 8 * n
}

func mulAddGroups(i isa, y, a, b []float32) int {
	n := groups(i, len(y))
	if n > 0 {
		mulAddNEON(&y[0], &a[0], &b[0], n)
	}
	return 8 * n
}

func foldGroups(i isa, y, x []float32, f, g float32) int {
	n := groups(i, len(y))
	if n > 0 {
		fs := [2]float32{f, g}
		foldNEON(&y[0], &y[0], &x[0], &fs[0], n)
	}
	return 8 * n
}

func scaleGroups(i isa, y, x []float32, f float32) int {
	n := groups(i, len(y))
	if n > 0 {
		scaleNEON(&y[0], &x[0], &f, n)
	}
	return 8 * n
}

func scaleMulGroups(i isa, y, x, w []float32, f float32) int {
	n := groups(i, len(y))
	if n > 0 {
		scaleMulNEON(&y[0], &x[0], &w[0], &f, n)
	}
	return 8 * n
}

func sumSquaresGroups(i isa, lanes *[8]float32, x []float32) int {
	n := groups(i, len(x))
	if n > 0 {
		sumSquaresNEON(&lanes[0], &x[0], n)
	}
	return 8 * n
}

func tanhGroups(i isa, y, x []float32, f float32) int {
	n := groups(i, len(y))
	if n > 0 {
		tanhNEON(&y[0], &x[0], &f, n)
	}
	return 8 * n
}

func gluGroups(i isa, y, gate, up []float32, act kernels.Act, p *gluParams) int {
	n := groups(i, len(y))
	switch {
	case n == 0:
	case act == kernels.ActSiLU:
		siluGLUNEON(&y[0], &gate[0], &up[0], &p[0][0], n)
	case act == kernels.ActGELUTanh:
		geluTanhGLUNEON(&y[0], &gate[0], &up[0], &p[0][0], n)
	default:
		return 0
	}
	return 8 * n
}

func actGroups(i isa, y, x []float32, act kernels.Act) int {
	n := groups(i, len(y))
	switch {
	case n == 0:
	case act == kernels.ActSiLU:
		siluNEON(&y[0], &x[0], nil, n)
	case act == kernels.ActGELUTanh:
		geluTanhNEON(&y[0], &x[0], nil, n)
	default:
		return 0
	}
	return 8 * n
}

// rotateHalvesGroups and rotatePairsGroups count pairs.
func rotateHalvesGroups(i isa, y, x, cos, sin []float32) int {
	n := groups(i, len(cos))
	if n > 0 {
		rotateHalvesNEON(&y[0], &x[0], &cos[0], &sin[0], len(cos), n)
	}
	return 8 * n
}

func rotatePairsGroups(i isa, y, x, cos, sin []float32) int {
	n := groups(i, 2*len(cos))
	if n > 0 {
		rotatePairsNEON(&y[0], &x[0], &cos[0], &sin[0], n)
	}
	return 4 * n
}

// int8Groups converts signed bytes.
func int8Groups(i isa, y []float32, x []byte) int {
	n := groups(i, len(y))
	if n > 0 {
		int8ToFloatNEON(&y[0], &x[0], n)
	}
	return 8 * n
}

// softmaxQueries does all n queries, or none.
func softmaxQueries(i isa, scores []float32, n, pages int, top, sum []float32) bool {
	if i == isaScalar {
		return false
	}
	softmaxRangeNEON(&scores[0], 4*rangeSize, n, pages, &top[0], &sum[0])
	return true
}

var multiplyNEON = multiplyTable{
	halfTile:  {multiplyHalf1NEON, multiplyHalf2NEON, multiplyHalf3NEON, multiplyHalf4NEON},
	floatTile: {multiplyFloat1NEON, multiplyFloat2NEON, multiplyFloat3NEON, multiplyFloat4NEON},
	int8Tile:  {multiplyInt81NEON, multiplyInt82NEON, multiplyInt83NEON, multiplyInt84NEON},
}

// multiplyKernels are those of a kind of tile, nil if there are none.
func multiplyKernels(i isa, kind tileKind) []multiplyKernel {
	if i == isaScalar {
		return nil
	}
	return multiplyNEON[kind]
}
