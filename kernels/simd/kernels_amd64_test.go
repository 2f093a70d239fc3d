//go:build !purego

package simd

import (
	"math/rand/v2"
	"testing"

	"forge/gguf"
)

// TestDotQ8_0 compares both dot kernels of each rung, of which this CPU uses one.
func TestDotQ8_0(t *testing.T) {
	asked := [isaCount]dot{isaAVX2: dotQ8_0x1AVX2, isaVNNI: dotQ8_0x1VNNI, isaAVX512: dotQ8_0x1VL}
	for _, rung := range rungs() {
		t.Run(rung.String(), func(t *testing.T) {
			for _, kernel := range []dot{asked[rung], unaskedQ8_0[rung]} {
				p, rng := *products[rung][gguf.Q8_0], rand.New(rand.NewPCG(3, uint64(rung)))
				p.asm.narrow.dot[0] = kernel
				for i, n := range []int{3, 8, 17, 40} {
					testShape(t, rng, &p, n, []int{256, 288, 768, 480}[i], 1, i%2 == 0)
				}
			}
		})
	}
}
