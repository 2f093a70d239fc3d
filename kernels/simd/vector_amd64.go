//go:build !purego

package simd

import "forge/kernels"

// Each of these does as many whole groups of 8 as there are and returns where the caller goes on: 0 at the scalar rung.

func addGroups(i isa, y, a, b []float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	addAVX2(&y[0], &a[0], &b[0], nil, n)
	return 8 * n
}

func mulGroups(i isa, y, a, b []float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	mulAVX2(&y[0], &a[0], &b[0], nil, n)
	return 8 * n
}

func scaleGroups(i isa, y, x []float32, f float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	fs := eight(f)
	scaleAVX2(&y[0], &x[0], &fs[0], n)
	return 8 * n
}

func scaleMulGroups(i isa, y, x, w []float32, f float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	fs := eight(f)
	scaleMulAVX2(&y[0], &x[0], &w[0], &fs[0], n)
	return 8 * n
}

func tanhGroups(i isa, y, x []float32, f float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	fs := eight(f)
	tanhAVX2(&y[0], &x[0], &fs[0], n)
	return 8 * n
}

func eight(f float32) [8]float32 { return [8]float32{f, f, f, f, f, f, f, f} }

func sumSquaresGroups(i isa, lanes *[8]float32, x []float32) int {
	n := len(x) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	sumSquaresAVX2(&lanes[0], &x[0], n)
	return 8 * n
}

func gluGroups(i isa, y, gate, up []float32, act kernels.Act, p *gluParams) int {
	n := len(y) / 8
	switch {
	case i == isaScalar || n == 0:
		return 0
	case act == kernels.ActSiLU:
		siluGLUAVX2(&y[0], &gate[0], &up[0], &p[0][0], n)
	case act == kernels.ActGELUTanh:
		geluTanhGLUAVX2(&y[0], &gate[0], &up[0], &p[0][0], n)
	default:
		return 0
	}
	return 8 * n
}

func actGroups(i isa, y, x []float32, act kernels.Act) int {
	n := len(y) / 8
	switch {
	case i == isaScalar || n == 0:
		return 0
	case act == kernels.ActSiLU:
		siluAVX2(&y[0], &x[0], nil, n)
	case act == kernels.ActGELUTanh:
		geluTanhAVX2(&y[0], &x[0], nil, n)
	default:
		return 0
	}
	return 8 * n
}

// rotateHalvesGroups and rotatePairsGroups count pairs.
func rotateHalvesGroups(i isa, y, x, cos, sin []float32) int {
	n := len(cos) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	rotateHalvesAVX2(&y[0], &x[0], &cos[0], &sin[0], len(cos), n)
	return 8 * n
}

func rotatePairsGroups(i isa, y, x, cos, sin []float32) int {
	n := len(cos) / 4
	if i == isaScalar || n == 0 {
		return 0
	}
	rotatePairsAVX2(&y[0], &x[0], &cos[0], &sin[0], 0, n)
	return 4 * n
}

// softmaxPages does all n queries, or none.
func softmaxPages(i isa, scores []float32, n int, top, sum, factor []float32) bool {
	if i == isaScalar {
		return false
	}
	softmaxPageAVX2(&scores[0], n, &top[0], &sum[0], &factor[0])
	return true
}

var multiplyHalf = [...]func(out *float32, ldo int, a *float32, lda int, b *byte, ldb, k, cols int){
	multiplyHalf1AVX2, multiplyHalf2AVX2, multiplyHalf3AVX2, multiplyHalf4AVX2, multiplyHalf5AVX2, multiplyHalf6AVX2,
}

var multiplyFloat = [...]func(out *float32, ldo int, a *float32, lda int, b *byte, ldb, k, cols int){
	multiplyFloat1AVX2, multiplyFloat2AVX2, multiplyFloat3AVX2, multiplyFloat4AVX2, multiplyFloat5AVX2, multiplyFloat6AVX2,
}

// multiplyTiles does all n rows, at most six at a time and no tile much smaller than the others, or none.
func multiplyTiles(i isa, out []float32, ldo int, a []float32, lda, n, k int, b *tile, cols int) bool {
	if i == isaScalar {
		return false
	}
	kernel, data := &multiplyFloat, b.bytes()
	if b.half != nil {
		kernel = &multiplyHalf
	}
	for tiles := (n + len(kernel) - 1) / len(kernel); tiles > 0; tiles-- {
		rows := (n + tiles - 1) / tiles
		kernel[rows-1](&out[0], ldo, &a[0], lda, data, b.rowBytes(), k, cols)
		if n -= rows; n > 0 {
			out, a = out[rows*ldo:], a[rows*lda:]
		}
	}
	return true
}
