package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"forge/kernels"
)

// benchNumbers are n normal numbers.
func benchNumbers(n int) []float32 {
	rng, x := rand.New(rand.NewPCG(15, 1)), make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// BenchmarkVectors is each operation on the entries of a row that a first-level cache holds, on every rung. B/s is of what is
// read and written. There is no peak to compare with: they are bound by loads and stores of that cache, or by the length of
// their polynomials.
func BenchmarkVectors(b *testing.B) {
	const n = 1536
	x, z, y := benchNumbers(n), benchNumbers(n), make([]float32, n)
	params := newGLUParams(kernels.GLUAttrs{Alpha: 1})
	for _, c := range []struct {
		name    string
		vectors int // of n numbers that are read or written
		f       func()
	}{
		{"add", 3, func() { add(y, x, z) }},
		{"mul", 3, func() { mul(y, x, z) }},
		{"mulAdd", 4, func() { mulAdd(y, x, z) }},
		{"scale", 2, func() { scale(y, x, 0.3) }},
		{"scaleMul", 3, func() { scaleMul(y, x, z, 0.3) }},
		{"fold", 3, func() { foldInto(y, x, 0.5, 0.5) }},
		{"sum of squares", 1, func() { y[0] = sumSquares(x) }},
		{"norm", 3, func() { norm(y, x, z, nil, n, 1e-5, false) }},
		{"norm of heads", 3, func() { norm(y, x, z[:64], nil, 64, 1e-5, false) }},
		{"layer norm", 4, func() { norm(y, x, z, z, n, 1e-5, true) }},
		{"softcap", 2, func() { softcap(y, x, 30) }},
		{"silu", 2, func() { activate(y, x, kernels.ActSiLU) }},
		{"gelu", 2, func() { activate(y, x, kernels.ActGELU) }},
		{"gelu_tanh", 2, func() { activate(y, x, kernels.ActGELUTanh) }},
		{"silu glu", 3, func() { glu(y, x, z, kernels.ActSiLU, params) }},
		{"gelu_tanh glu", 3, func() { glu(y, x, z, kernels.ActGELUTanh, params) }},
		{"rope halves", 3, func() { rotateHalves(y, x, z) }},
		{"rope pairs", 3, func() { rotatePairs(y, x, z) }},
	} {
		for _, rung := range ladder() {
			b.Run(fmt.Sprintf("%s/%v", c.name, rung), func(b *testing.B) {
				atLevel(b, rung)
				clear(y)
				b.SetBytes(int64(4 * n * c.vectors))
				for b.Loop() {
					c.f()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/number")
			})
		}
	}
}

// BenchmarkRopeTable is the sines of one row.
func BenchmarkRopeTable(b *testing.B) {
	const dim = 128
	a := kernels.RopeAttrs{HeadDim: dim, NRot: dim, Base: 1e4, FreqScale: 1, AttnFactor: 1, BetaFast: 32, BetaSlow: 1}
	t := &ropeTable{attrs: a, turns: kernels.Turns(a, nil)}
	t.grow(1)
	pos := 0
	for b.Loop() {
		t.fill(0, pos)
		pos = (pos + 1) % 4096
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/dim, "ns/number")
}

// BenchmarkQuantize rounds a row of activations: bytes of floats read.
func BenchmarkQuantize(b *testing.B) {
	const k = 2048
	for _, rung := range ladder() {
		b.Run(rung.String(), func(b *testing.B) {
			atLevel(b, rung)
			a := new(acts)
			a.alias(benchNumbers(k), 1, k, forms{blocks: true})
			b.SetBytes(4 * k)
			for b.Loop() {
				a.round(0)
			}
		})
	}
}

// BenchmarkHalf converts a page of cached keys: bytes of halves read or written.
func BenchmarkHalf(b *testing.B) {
	const n = 128 * kernels.PageSize
	x, half := benchNumbers(n), make([]uint16, n)
	for name, f := range map[string]func(){"to float": func() { halfToFloat(x, half) }, "to half": func() { floatToHalf(half, x) }} {
		for _, rung := range ladder() {
			b.Run(fmt.Sprintf("%s/%v", name, rung), func(b *testing.B) {
				atLevel(b, rung)
				b.SetBytes(2 * n)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
