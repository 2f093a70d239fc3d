package simd

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"forge/gguf"
	"forge/kernels"
)

// sameOrNaN wants equal bits, any NaN for a NaN.
func sameOrNaN(t *testing.T, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("number %d of %d: %v (%#x), plain Go has %v (%#x)", i, len(want), got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// anyFloats are n numbers of many sizes against an unmapped page, special ones among them.
func anyFloats(t *testing.T, rng *rand.Rand, n int, deviation float64, atEnd bool) []float32 {
	x := guardedFloats(t, n, atEnd)
	special := []float64{0, math.Copysign(0, -1), 1e-45, 1e-39, math.Inf(1), math.Inf(-1), math.NaN(), 88.5, -87.4, 1e38, -1e38, 0.625}
	for i := range x {
		x[i] = float32(rng.NormFloat64() * deviation)
		if rng.IntN(30) == 0 {
			x[i] = float32(special[rng.IntN(len(special))])
		}
	}
	return x
}

// TestVectorsOverLadder compares each operation on whole vectors with plain Go, bit for bit, at every length up to some,
// with its memory against unmapped pages.
func TestVectorsOverLadder(t *testing.T) {
	alike := newGLUParams(kernels.GLUAttrs{Alpha: 1})
	clamped := newGLUParams(kernels.GLUAttrs{Alpha: 1.702, Limit: 7, UpBias: 1})
	for _, c := range []struct {
		name string
		f    func(y, a, b []float32)
	}{
		{"add", func(y, a, b []float32) { add(y, a, b) }},
		{"mul", func(y, a, b []float32) { mul(y, a, b) }},
		{"scale", func(y, a, b []float32) { scale(y, a, 0.3) }},
		{"mulAdd", func(y, a, b []float32) { mul(y, a, b); mulAdd(y, a, b) }},
		{"fold", func(y, a, b []float32) { copy(y, a); foldInto(y, b, 0.3, 0.7) }},
		{"scaleMul", func(y, a, b []float32) { scaleMul(y, a, b, 0.3) }},
		{"softcap", func(y, a, b []float32) { softcap(y, a, 7) }},
		{"silu", func(y, a, b []float32) { activate(y, a, kernels.ActSiLU) }},
		{"gelu_tanh", func(y, a, b []float32) { activate(y, a, kernels.ActGELUTanh) }},
		{"silu glu", func(y, a, b []float32) { glu(y, a, b, kernels.ActSiLU, alike) }},
		{"gelu_tanh glu", func(y, a, b []float32) { glu(y, a, b, kernels.ActGELUTanh, alike) }},
		{"clamped silu glu", func(y, a, b []float32) { glu(y, a, b, kernels.ActSiLU, clamped) }},
		{"clamped gelu_tanh glu", func(y, a, b []float32) { glu(y, a, b, kernels.ActGELUTanh, clamped) }},
		{"sumSquares", func(y, a, b []float32) { y[0] = sumSquares(a) }},
		{"norm", func(y, a, b []float32) { norm(y, a, b, nil, len(a), 1e-5, false) }},
		{"halves", func(y, a, b []float32) { rotateHalves(y[:len(y)&^1], a[:len(y)&^1], b) }},
		{"pairs", func(y, a, b []float32) { rotatePairs(y[:len(y)&^1], a[:len(y)&^1], b) }},
		{"in place", func(y, a, b []float32) { copy(y, a); glu(y, y, b, kernels.ActSiLU, alike); add(y, y, b) }},
	} {
		for _, rung := range rungs() {
			t.Run(c.name+"/"+rung.String(), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(12, uint64(len(c.name))))
				for n := 1; n < 120; n++ {
					a, b := anyFloats(t, rng, n, float64(1+n%7*9), n%2 == 0), anyFloats(t, rng, n, 2, n%2 == 0)
					want, got := make([]float32, n), guardedFloats(t, n, n%2 == 0)
					atLevel(t, isaScalar)
					c.f(want, a, b)
					atLevel(t, rung)
					c.f(got, a, b)
					sameOrNaN(t, got, want)
				}
			})
		}
	}
}

// TestExp holds the error bounds in the comments against float64, over all of the range in steps of a few last places.
func TestExp(t *testing.T) {
	worst := 0.0
	check := func(x float32) {
		got, want := float64(exp32(x)), math.Exp(float64(x))
		worst = max(worst, math.Abs(got-want)/want)
	}
	for x := float32(1e-6); x < 88.3; x += x * 3e-5 {
		check(x)
		if -x > -87.33 {
			check(-x)
		}
	}
	t.Logf("exp: relative error %.3g = 2^%.2f", worst, math.Log2(worst))
	if worst > 0x1p-23 {
		t.Errorf("relative error %g", worst)
	}
	for x, want := range map[float32]float64{0: 1, -87.4: 0, -1e30: 0, 88.4: math.Inf(1), 1e30: math.Inf(1)} {
		if got := exp32(x); float64(got) != want {
			t.Errorf("exp(%v) is %v, want %v", x, got, want)
		}
	}
	if got := exp32(float32(math.NaN())); got == got {
		t.Errorf("exp(NaN) is %v", got)
	}
	worst, relative := 0.0, 0.0
	for x := float32(1e-6); x < 20; x += x * 1e-5 {
		got, want := float64(tanh32(x, 1)), math.Tanh(float64(x))
		worst, relative = max(worst, math.Abs(got-want)), max(relative, math.Abs(got-want)/want)
	}
	t.Logf("tanh: error %.3g = 2^%.2f, relative %.3g = 2^%.2f", worst, math.Log2(worst), relative, math.Log2(relative))
	if worst > 0x1p-22 || relative > 0x1p-21 {
		t.Errorf("tanh: error %g, relative %g", worst, relative)
	}
}

// TestMultiplyOverLadder compares attention's products with plain Go, bit for bit.
func TestMultiplyOverLadder(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	for _, rung := range rungs() {
		for n := 1; n <= 20; n++ {
			for _, k := range []int{1, 2, 5, 32, 64} {
				for _, cols := range []int{16, 32, 48, 80, 256} {
					if testing.Short() && (n+k+cols/16)%3 != 0 {
						continue
					}
					atEnd := (n+k)%2 == 0
					lda, ldo, width := k+n%3, cols+16*(n%2), cols+16*(k%2)
					a, out := anyFloats(t, rng, (n-1)*lda+k, 1, atEnd), guardedFloats(t, (n-1)*ldo+cols, atEnd)
					b := anyTile(t, rng, tileKind((n+k)%int(tileKinds)), (k-1)*width+cols, width, atEnd)
					add := cols%32 == 0
					for i := range out {
						out[i] = float32(rng.NormFloat64())
					}
					want := append([]float32{}, out...)
					atLevel(t, isaScalar)
					multiply(want, ldo, a, lda, n, k, b, cols, add, &b.data[0])
					atLevel(t, rung)
					multiply(out, ldo, a, lda, n, k, b, cols, add, &b.data[0])
					sameOrNaN(t, out, want)
				}
			}
		}
	}
}

// anyTile is n random numbers against an unmapped page.
func anyTile(t *testing.T, rng *rand.Rand, kind tileKind, n, width int, atEnd bool) tile {
	b := guarded(t, n*numberBytes[kind], atEnd)
	for i := range n {
		switch v := float32(rng.NormFloat64()); kind {
		case halfTile:
			binary.LittleEndian.PutUint16(b[2*i:], gguf.F32ToF16(v))
		case floatTile:
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		default:
			b[i] = byte(rng.Uint32())
		}
	}
	return tile{kind, b, width}
}

// TestTile holds the plain reading of each kind of number to its meaning.
func TestTile(t *testing.T) {
	for kind, b := range map[tileKind][]byte{halfTile: {0x00, 0x3e, 0x00, 0xc0}, floatTile: {0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0}, int8Tile: {3, 0xfe}} {
		want := [2]float32{1.5, -2}
		if kind == int8Tile {
			want[0] = 3
		}
		x := tile{kind, b, 2}
		if x.number(0) != want[0] || x.number(1) != want[1] {
			t.Errorf("kind %d: %v and %v, want %v", kind, x.number(0), x.number(1), want)
		}
		if kind == floatTile {
			continue
		}
		for _, rung := range ladder() {
			atLevel(t, rung)
			x := anyTile(t, rand.New(rand.NewPCG(5, 5)), kind, 37, 37, true)
			f := x.floats(make([]float32, 40))
			for i := range 37 {
				if f.number(i) != x.number(i) {
					t.Errorf("kind %d, %v: number %d is %v, converted %v", kind, rung, i, x.number(i), f.number(i))
				}
			}
		}
	}
}

func TestSoftmaxRangeOverLadder(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 1))
	for _, rung := range rungs() {
		for n := 1; n <= 9; n++ {
			for trial := range 40 {
				pages := 1 + trial%rangePages
				scores := guardedFloats(t, (n-1)*rangeSize+pages*kernels.PageSize, trial%2 == 0)
				top, sum := guardedFloats(t, n, trial%2 == 0), guardedFloats(t, n, trial%2 == 0)
				for i := range scores {
					scores[i] = float32(rng.NormFloat64() * 8)
					if rng.IntN(20) == 0 || n == 5 && i < rangeSize {
						scores[i] = float32(math.Inf(-1))
					}
				}
				want, wantTop, wantSum := append([]float32{}, scores...), make([]float32, n), make([]float32, n)
				atLevel(t, isaScalar)
				softmaxRange(want, n, pages, wantTop, wantSum)
				atLevel(t, rung)
				softmaxRange(scores, n, pages, top, sum)
				sameOrNaN(t, scores, want)
				sameOrNaN(t, top, wantTop)
				sameOrNaN(t, sum, wantSum)
			}
		}
	}
}

// TestSoftmaxRange holds plain Go to the formula in float64, and to weights of 0 where nothing is seen.
func TestSoftmaxRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 2))
	atLevel(t, isaScalar)
	scores := make([]float32, 2*rangeSize)
	for i := range scores {
		scores[i] = float32(rng.NormFloat64() * 6)
		if i >= rangeSize {
			scores[i] = float32(math.Inf(-1))
		}
	}
	before := append([]float32{}, scores...)
	var top, sum [2]float32
	softmaxRange(scores, 2, rangePages, top[:], sum[:])
	most, total := math.Inf(-1), 0.0
	for _, v := range before[:rangeSize] {
		most = max(most, float64(v))
	}
	for i, v := range before[:rangeSize] {
		w := math.Exp(float64(v - float32(most)))
		total += w
		if math.Abs(w-float64(scores[i])) > 1e-6*w {
			t.Errorf("weight %d is %v, want %v", i, scores[i], w)
		}
	}
	if float64(top[0]) != most || math.Abs(float64(sum[0])-total) > 1e-5*total {
		t.Errorf("top %v sum %v, want %v and %v", top[0], sum[0], most, total)
	}
	if !math.IsInf(float64(top[1]), -1) || sum[1] != 0 || scores[rangeSize] != 0 {
		t.Errorf("nothing is seen: top %v, sum %v, weight %v", top[1], sum[1], scores[rangeSize])
	}
}

// TestFold folds ranges of softmax together and compares with the softmax of all at once, in float64.
func TestFold(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 3))
	const columns, ranges = 24, 5
	for _, rung := range ladder() {
		atLevel(t, rung)
		var total, part partial
		total.grow(1, columns)
		part.grow(1, columns)
		total.top[0] = float32(math.Inf(-1))
		top, sum, acc := math.Inf(-1), 0.0, make([]float64, columns)
		for i := range ranges {
			part.top[0], part.sum[0] = float32(rng.NormFloat64()*5), rng.Float32()+1
			if i == 2 {
				part.top[0], part.sum[0] = float32(math.Inf(-1)), 0
			}
			for c := range columns {
				part.acc[c] = float32(rng.NormFloat64())
			}
			total.fold(&part, 1, columns)
			if i == 2 {
				continue
			}
			next := max(top, float64(part.top[0]))
			f, g := math.Exp(top-next), math.Exp(float64(part.top[0])-next)
			top, sum = next, sum*f+float64(part.sum[0])*g
			for c := range acc {
				acc[c] = acc[c]*f + float64(part.acc[c])*g
			}
		}
		for c := range acc {
			if got, want := float64(total.acc[c]/total.sum[0]), acc[c]/sum; math.Abs(got-want) > 1e-5 {
				t.Errorf("%v: column %d is %v, want %v", rung, c, got, want)
			}
		}
	}
}
