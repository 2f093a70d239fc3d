package simd

import (
	"math/rand/v2"
	"testing"

	"forge/kernels"
)

// BenchmarkRoute times one row's choice.
func BenchmarkRoute(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	scores := make([]float32, 128)
	for i := range scores {
		scores[i] = float32(rng.NormFloat64())
	}
	for _, c := range []struct {
		name string
		a    kernels.RouteAttrs
	}{
		{"softmax", kernels.RouteAttrs{TopK: 8, NGroup: 1, NGroupUsed: 1, Renormalise: 1, Factor: 1}},
		{"softmax over all", kernels.RouteAttrs{TopK: 8, NGroup: 1, NGroupUsed: 1, Factor: 1}},
		{"sigmoid in groups", kernels.RouteAttrs{Score: kernels.RouteScoreSigmoid, TopK: 8, NGroup: 8, NGroupUsed: 4, Renormalise: 1, Factor: 1}},
	} {
		b.Run(c.name+" 128 to 8", func(b *testing.B) {
			r, to := newRouter(c.a, nil, 128), make([]kernels.Route, 8)
			for b.Loop() {
				r.choose(to, scores)
			}
		})
	}
}
