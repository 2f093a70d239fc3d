package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

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
					b := tile{half: halves(t, rng, (k-1)*width+cols, atEnd), width: width}
					if n%4 == 1 {
						b = tile{float: anyFloats(t, rng, (k-1)*width+cols, 1, atEnd), width: width}
					}
					for i := range out {
						out[i] = float32(rng.NormFloat64())
					}
					want := append([]float32{}, out...)
					atLevel(t, isaScalar)
					multiply(want, ldo, a, lda, n, k, b, cols)
					atLevel(t, rung)
					multiply(out, ldo, a, lda, n, k, b, cols)
					sameOrNaN(t, out, want)
				}
			}
		}
	}
}

func halves(t *testing.T, rng *rand.Rand, n int, atEnd bool) []uint16 {
	b := guarded(t, 2*n, atEnd)
	h := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), n)
	for i := range h {
		h[i] = gguf.F32ToF16(float32(rng.NormFloat64()))
	}
	return h
}

func TestSoftmaxPageOverLadder(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 1))
	for _, rung := range rungs() {
		for n := 1; n <= 9; n++ {
			for trial := range 40 {
				scores := guardedFloats(t, n*kernels.PageSize, trial%2 == 0)
				state := [3][]float32{}
				for i := range state {
					state[i] = guardedFloats(t, n, trial%2 == 0)
				}
				for i := range scores {
					scores[i] = float32(rng.NormFloat64() * 8)
					if rng.IntN(20) == 0 {
						scores[i] = float32(math.Inf(-1))
					}
				}
				for i := range n {
					state[0][i], state[1][i] = float32(rng.NormFloat64()*20), rng.Float32()*9
					if rng.IntN(3) == 0 {
						state[0][i], state[1][i] = float32(math.Inf(-1)), 0
					}
				}
				want := append([]float32{}, scores...)
				top, sum, factor := append([]float32{}, state[0]...), append([]float32{}, state[1]...), make([]float32, n)
				atLevel(t, isaScalar)
				softmaxPage(want, n, top, sum, factor)
				atLevel(t, rung)
				softmaxPage(scores, n, state[0], state[1], state[2])
				sameOrNaN(t, scores, want)
				sameOrNaN(t, state[0], top)
				sameOrNaN(t, state[1], sum)
				sameOrNaN(t, state[2], factor)
			}
		}
	}
}

func BenchmarkVectors(b *testing.B) {
	const n = 1536
	rng := rand.New(rand.NewPCG(15, 1))
	x, z, y := make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], z[i] = float32(rng.NormFloat64()), float32(rng.NormFloat64())
	}
	params := newGLUParams(kernels.GLUAttrs{Alpha: 1})
	for _, rung := range []isa{isaAVX2, isaScalar} {
		for name, f := range map[string]func(){
			"add": func() { add(y, x, z) }, "silu glu": func() { glu(y, x, z, kernels.ActSiLU, params) },
			"gelu_tanh glu": func() { glu(y, x, z, kernels.ActGELUTanh, params) }, "norm": func() { norm(y, x, z, nil, n, 1e-5, false) },
			"halves": func() { rotateHalves(y, x, z) }, "softcap": func() { softcap(y, x, 30) },
		} {
			b.Run(fmt.Sprintf("%s/%v", name, rung), func(b *testing.B) {
				atLevel(b, rung)
				for b.Loop() {
					f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/number")
			})
		}
	}
}

// BenchmarkAttention is a page of 32 positions for the queries of one decoded row and of a block of rows.
func BenchmarkAttention(b *testing.B) {
	rng := rand.New(rand.NewPCG(16, 1))
	for _, c := range []struct{ n, dim int }{{1, 128}, {3, 64}, {4, 256}, {24, 64}, {32, 128}, {32, 256}} {
		for _, rung := range []isa{isaAVX2, isaScalar} {
			b.Run(fmt.Sprintf("%d queries of %d/%v", c.n, c.dim, rung), func(b *testing.B) {
				atLevel(b, rung)
				s := new(attention)
				s.grow(c.n, c.dim, c.dim)
				for i := range s.query {
					s.query[i] = float32(rng.NormFloat64()) / 20
				}
				k, v := make([]uint16, 32*c.dim), make([]uint16, 32*c.dim)
				for i := range k {
					k[i], v[i] = gguf.F32ToF16(float32(rng.NormFloat64())), gguf.F32ToF16(float32(rng.NormFloat64()))
				}
				keys, values := tile{half: k, width: 32}, tile{half: v, width: c.dim}
				for b.Loop() {
					if c.n >= floatQueries {
						keys = tile{float: s.keys, width: 32}
						values = tile{float: s.values, width: c.dim}
						halfToFloat(s.keys, k)
						halfToFloat(s.values, v)
					}
					s.page(0, c.n, 0, 32, keys, values, c.dim, c.dim, 0)
				}
				b.ReportMetric(2*32*float64(c.n*c.dim)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
			})
		}
	}
}
