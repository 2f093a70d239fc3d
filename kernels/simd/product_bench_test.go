package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"forge/gguf"
)

// The benchmarks report bytes of weights and multiply-adds a second, and what share that is of what this machine can do: of
// the memory's bandwidth where weights come from memory, of the arithmetic peak elsewhere. A rung has its own peaks.

// BenchmarkDot is one activation row and weights that no cache holds.
func BenchmarkDot(b *testing.B) { benchTypes(b, 64<<20, 2048, 1, ofMemory) }

// BenchmarkDotCached has weights that stay in a second-level cache: what the kernel itself can do.
func BenchmarkDotCached(b *testing.B) { benchTypes(b, 256<<10, 2048, 1, ofArithmetic) }

// BenchmarkFew is a small batch of decoding sequences.
func BenchmarkFew(b *testing.B) {
	for _, rows := range []int{2, 4, 8, 16} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) { benchTypes(b, 16<<20, 2048, rows, ofMemory) })
	}
}

// BenchmarkGemm is a prefill of 512 rows.
func BenchmarkGemm(b *testing.B) { benchTypes(b, 256<<10, 2048, 512, ofArithmetic) }

// benchShare is the number of weight rows that a worker takes at a time.
const benchShare = 128

// What a benchmark's share is of.
type benchLimit int

const (
	ofMemory benchLimit = iota
	ofArithmetic
)

// benchLimits keeps what has been measured of each rung.
var benchLimits [isaCount]*Limits

func limitsOf(rung isa) *Limits {
	if benchLimits[rung] == nil {
		l := measureLimits(probesFor(rung), 1, 100*time.Millisecond)
		benchLimits[rung] = &l
	}
	return benchLimits[rung]
}

// benchTypes multiplies about so many bytes of weights of every type, on every rung.
func benchTypes(b *testing.B, bytes, k, rows int, limit benchLimit) {
	for _, typ := range types() {
		for _, rung := range rungs() {
			b.Run(fmt.Sprintf("%v/%v", typ, rung), func(b *testing.B) {
				n := max(bytes/typ.RowBytes(k)/benchShare, 1) * benchShare
				perSecond := benchShape(b, products[rung][typ], n, k, rows)
				l := limitsOf(rung)
				peak := l.Bytes
				switch {
				case limit == ofMemory:
					peak = l.Read * float64(k*rows) / float64(typ.RowBytes(k))
				case products[rung][typ].fixed() && rows >= fixedRows:
					peak = l.Halves
				case typ.BlockElems() == 1:
					peak = l.FMA
				}
				b.ReportMetric(100*perSecond/peak, "%peak")
			})
		}
	}
}

// benchShape gives the multiply-adds a second.
func benchShape(b *testing.B, p *product, n, k, rows int) float64 {
	rng := rand.New(rand.NewPCG(6, 6))
	size := p.typ.RowBytes(k)
	w := make([]byte, n*size)
	some := min(n, 64) * size // random, and the rest like it
	fillWeights(rng, p.typ, w[:some])
	if p.typ == gguf.MXFP4 { // no denormal scales: they cost microcode, and models do not have them
		for i := 0; i < some; i += p.typ.BlockBytes() {
			w[i] = 120
		}
	}
	for i := some; i < len(w); i += some {
		copy(w[i:], w[:some])
	}
	a, s, out := fillActs(rng, rows, k), new(scratch), make([]float32, rows*n)
	b.SetBytes(int64(len(w)))
	b.ReportAllocs()
	for b.Loop() {
		for o := 0; o < n; o += benchShare {
			p.rows(out, n, w, size, o, min(n, o+benchShare), a, 0, rows, s)
		}
	}
	perSecond := float64(n) * float64(k) * float64(rows) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond/1e9, "GMAC/s")
	return perSecond
}

// BenchmarkDotScalar shows what the assembly buys.
func BenchmarkDotScalar(b *testing.B) {
	for _, typ := range []gguf.Type{gguf.Q4_1, gguf.Q6_K, gguf.Q8_0} {
		b.Run(typ.String(), func(b *testing.B) { benchShape(b, products[isaScalar][typ], 256, 2048, 1) })
	}
}

// BenchmarkLimits reports the peaks that the shares above are of.
func BenchmarkLimits(b *testing.B) {
	for _, rung := range rungs() {
		b.Run(rung.String(), func(b *testing.B) {
			for b.Loop() {
			}
			l := limitsOf(rung)
			b.ReportMetric(l.Read/1e9, "GB/s")
			b.ReportMetric(l.FMA/1e9, "GFMA/s")
			b.ReportMetric(l.Halves/1e9, "GMAC16/s")
			b.ReportMetric(l.Bytes/1e9, "GMAC/s")
		})
	}
}
