package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"forge/kernels"
)

// TestRouterAgainstScalar wants what the definition chooses, equal scores and NaN among them.
func TestRouterAgainstScalar(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 1))
	for trial := range 3000 {
		a := kernels.RouteAttrs{Score: kernels.RouteScore(rng.IntN(3)), NGroup: []int{1, 2, 4}[rng.IntN(3)], Renormalise: rng.IntN(2), Factor: 2.5}
		size := 1 + rng.IntN(5)
		n := a.NGroup * size
		a.NGroupUsed = 1 + rng.IntN(a.NGroup)
		a.TopK = 1 + rng.IntN(a.NGroupUsed*size)
		var bias []float32
		if rng.IntN(2) == 0 {
			bias = make([]float32, n)
			for i := range bias {
				bias[i] = float32(rng.NormFloat64())
			}
		}
		scores := make([]float32, n)
		for i := range scores {
			scores[i] = float32(rng.IntN(9) - 4)
			if trial%10 == 0 && rng.IntN(4) == 0 {
				scores[i] = float32(math.NaN())
			}
		}
		want := kernels.ChooseExperts(nil, scores, bias, a)
		got := make([]kernels.Route, a.TopK)
		newRouter(a, bias, n).choose(got, scores)
		if !slices.EqualFunc(got, want, func(x, y kernels.Route) bool {
			return x.Expert == y.Expert && (x.Weight == y.Weight || x.Weight != x.Weight && y.Weight != y.Weight)
		}) {
			t.Fatalf("%+v of %v, bias %v: %v, want %v", a, scores, bias, got, want)
		}
	}
}
