package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"forge/gguf"
)

// BenchmarkDot is one activation row: B/s is bytes of weights. The matrix of 4096 x 2048 does not fit a second-level cache.
func BenchmarkDot(b *testing.B) { benchRows(b, 4096, 2048, 1) }

// BenchmarkGemm is a prefill of 512 rows; see GMAC/s.
func BenchmarkGemm(b *testing.B) { benchRows(b, 256, 2048, 512) }

// BenchmarkFew is a small batch of decoding sequences.
func BenchmarkFew(b *testing.B) {
	for _, rows := range []int{2, 3, 4, 8} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) { benchRows(b, 2048, 2048, rows) })
	}
}

func benchRows(b *testing.B, n, k, rows int) {
	for _, typ := range types() {
		for _, rung := range rungs() {
			if typ.BlockElems() == 1 && rung != isaAVX2 {
				continue
			}
			b.Run(fmt.Sprintf("%v/%v", typ, rung), func(b *testing.B) { benchShape(b, products[rung][typ], n, k, rows) })
		}
	}
}

func benchShape(b *testing.B, p *product, n, k, rows int) {
	rng := rand.New(rand.NewPCG(6, 6))
	size := p.typ.RowBytes(k)
	w := make([]byte, n*size)
	fillWeights(rng, p.typ, w)
	if p.typ == gguf.MXFP4 { // no denormal scales: they cost microcode, and models do not have them
		for i := 0; i < len(w); i += p.typ.BlockBytes() {
			w[i] = 120
		}
	}
	a, s, out := fillActs(rng, rows, k), new(scratch), make([]float32, rows*n)
	b.SetBytes(int64(len(w)))
	b.ReportAllocs()
	for b.Loop() {
		p.rows(out, n, w, size, 0, n, a, 0, rows, s)
	}
	b.ReportMetric(float64(n)*float64(k)*float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}

// BenchmarkDotScalar and its pair show what the assembly buys.
func BenchmarkDotScalar(b *testing.B) {
	for _, typ := range []gguf.Type{gguf.Q4_1, gguf.Q6_K, gguf.Q8_0} {
		b.Run(typ.String(), func(b *testing.B) { benchShape(b, products[isaScalar][typ], 256, 2048, 1) })
	}
}

func BenchmarkQuantize(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 7))
	const k = 2048
	a := fillActs(rng, 2, k)
	b.SetBytes(4 * k)
	for b.Loop() {
		a.set(0, a.x[k:])
	}
}

// BenchmarkDotCached is BenchmarkDot with weights that stay in a second-level cache: what the kernel itself can do.
func BenchmarkDotCached(b *testing.B) { benchRows(b, 256, 2048, 1) }
