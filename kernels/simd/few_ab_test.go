package simd

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"forge/gguf"
)

func TestFewAB(t *testing.T) {
	if os.Getenv("AB") == "" {
		t.Skip()
	}
	k := 2048
	mem := alignedBytes(100 << 20)
	rng := rand.New(rand.NewPCG(6, 6))
	for _, typ := range types() {
		if want := os.Getenv("T"); typ.BlockElems() == 1 || want != "" && !strings.Contains(","+want+",", ","+typ.String()+",") {
			continue
		}
		size := typ.RowBytes(k)
		n := len(mem) / size &^ 127
		w := mem[:n*size]
		fillWeights(rng, typ, w[:64*size])
		if typ == gguf.MXFP4 {
			for i := 0; i < 64*size; i += typ.BlockBytes() {
				w[i] = 120
			}
		}
		for i := 64 * size; i < len(w); i += 64 * size {
			copy(w[i:], w[:64*size])
		}
		for _, rows := range []int{2, 3, 4, 6, 8, 12, 16, 24} {
			a, out := fillActs(rng, rows, k), make([]float32, rows*n)
			var fs []func()
			var names []string
			for _, rung := range rungs() {
				p, s := products[rung][typ], new(scratch)
				add := func(name string, f func(o int)) {
					names = append(names, rung.String()+" "+name)
					fs = append(fs, func() {
						for o := 0; o < n; o += 128 {
							f(o)
						}
					})
				}
				add("dot", func(o int) { p.rowsDot(out, n, w, size, o, o+128, a, 0, rows, s) })
				add("few", func(o int) { p.rowsFew(out, n, w, size, o, o+128, a, 0, rows, s) })
				if p.asm.wide.pack != nil && rows >= 8 {
					add("gemm", func(o int) { p.rowsGemmWide(out, n, w, size, o, o+128, a, 0, rows, s) })
				} else {
					add("gemm", func(o int) { p.rowsGemm(out, n, w, size, o, o+128, a, 0, rows, s) })
				}
			}
			best, _ := ab(fs...)
			line := fmt.Sprintf("%-7v R=%-2d GMAC/s:", typ, rows)
			for i := range fs {
				line += fmt.Sprintf(" | %s %5.1f", names[i], float64(n)*float64(k*rows)/best[i])
			}
			fmt.Println(line)
		}
	}
}
