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

func mulAddGroups(i isa, y, a, b []float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	mulAddAVX2(&y[0], &a[0], &b[0], nil, n)
	return 8 * n
}

func foldGroups(i isa, y, x []float32, f, g float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	fs := [2]float32{f, g}
	foldAVX2(&y[0], &y[0], &x[0], &fs[0], n)
	return 8 * n
}

func scaleGroups(i isa, y, x []float32, f float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	scaleAVX2(&y[0], &x[0], &f, n)
	return 8 * n
}

func scaleMulGroups(i isa, y, x, w []float32, f float32) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	scaleMulAVX2(&y[0], &x[0], &w[0], &f, n)
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

// Operations with an exponential have kernels of both widths; wide says how many numbers the wider takes before the other.
func wide(i isa, n int) int {
	if i == isaAVX512 {
		return n &^ 15
	}
	return 0
}

func tanhGroups(i isa, y, x []float32, f float32) int {
	n := len(y) &^ 7
	if i == isaScalar || n == 0 {
		return 0
	}
	fs := [2][8]float32{eight(f), eight(f)}
	at := wide(i, n)
	if at > 0 {
		tanhAVX512(&y[0], &x[0], &fs[0][0], at/16)
	}
	if at < n {
		tanhAVX2(&y[at], &x[at], &fs[0][0], (n-at)/8)
	}
	return n
}

// gluKernel and actKernel are the functions of an activation, wide first.
type (
	gluKernel [2]func(y, a, b, f *float32, n int)
	actKernel [2]func(y, a, f *float32, n int)
)

var (
	gluKernels = map[kernels.Act]gluKernel{
		kernels.ActSiLU: {siluGLUAVX512, siluGLUAVX2}, kernels.ActGELUTanh: {geluTanhGLUAVX512, geluTanhGLUAVX2},
	}
	actKernels = map[kernels.Act]actKernel{
		kernels.ActSiLU: {siluAVX512, siluAVX2}, kernels.ActGELUTanh: {geluTanhAVX512, geluTanhAVX2},
	}
)

func gluGroups(i isa, y, gate, up []float32, act kernels.Act, p *gluParams) int {
	n := len(y) &^ 7
	k, ok := gluKernels[act]
	if i == isaScalar || n == 0 || !ok {
		return 0
	}
	at := wide(i, n)
	if at > 0 {
		k[0](&y[0], &gate[0], &up[0], &p[0][0], at/16)
	}
	if at < n {
		k[1](&y[at], &gate[at], &up[at], &p[0][0], (n-at)/8)
	}
	return n
}

func actGroups(i isa, y, x []float32, act kernels.Act) int {
	n := len(y) &^ 7
	k, ok := actKernels[act]
	if i == isaScalar || n == 0 || !ok {
		return 0
	}
	at := wide(i, n)
	if at > 0 {
		k[0](&y[0], &x[0], nil, at/16)
	}
	if at < n {
		k[1](&y[at], &x[at], nil, (n-at)/8)
	}
	return n
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

// int8Groups converts signed bytes.
func int8Groups(i isa, y []float32, x []byte) int {
	n := len(y) / 8
	if i == isaScalar || n == 0 {
		return 0
	}
	int8ToFloatAVX2(&y[0], &x[0], n)
	return 8 * n
}

// softmaxQueries does all n queries, or none.
func softmaxQueries(i isa, scores []float32, n, pages int, top, sum []float32) bool {
	switch i {
	case isaScalar:
		return false
	case isaAVX512:
		softmaxRangeAVX512(&scores[0], 4*rangeSize, n, pages, &top[0], &sum[0])
	default:
		softmaxRangeAVX2(&scores[0], 4*rangeSize, n, pages, &top[0], &sum[0])
	}
	return true
}

var (
	multiplyAVX2 = multiplyTable{
		halfTile:  {multiplyHalf1AVX2, multiplyHalf2AVX2, multiplyHalf3AVX2, multiplyHalf4AVX2, multiplyHalf5AVX2, multiplyHalf6AVX2},
		floatTile: {multiplyFloat1AVX2, multiplyFloat2AVX2, multiplyFloat3AVX2, multiplyFloat4AVX2, multiplyFloat5AVX2, multiplyFloat6AVX2},
		int8Tile:  {multiplyInt81AVX2, multiplyInt82AVX2, multiplyInt83AVX2, multiplyInt84AVX2, multiplyInt85AVX2, multiplyInt86AVX2},
	}
	multiplyAVX512 = multiplyTable{
		halfTile: {multiplyHalf1AVX512, multiplyHalf2AVX512, multiplyHalf3AVX512, multiplyHalf4AVX512, multiplyHalf5AVX512, multiplyHalf6AVX512,
			multiplyHalf7AVX512, multiplyHalf8AVX512},
		floatTile: {multiplyFloat1AVX512, multiplyFloat2AVX512, multiplyFloat3AVX512, multiplyFloat4AVX512, multiplyFloat5AVX512,
			multiplyFloat6AVX512, multiplyFloat7AVX512, multiplyFloat8AVX512},
		int8Tile: {multiplyInt81AVX512, multiplyInt82AVX512, multiplyInt83AVX512, multiplyInt84AVX512, multiplyInt85AVX512, multiplyInt86AVX512,
			multiplyInt87AVX512, multiplyInt88AVX512},
	}
)

// multiplyKernels are those of a kind of tile, nil if there are none.
func multiplyKernels(i isa, kind tileKind) []multiplyKernel {
	switch i {
	case isaScalar:
		return nil
	case isaAVX512:
		return multiplyAVX512[kind]
	}
	return multiplyAVX2[kind]
}
