package kernels_test

import (
	"testing"

	"forge/gguf"
	"forge/kernels"
	"forge/kernels/kernelstest"
)

// Ensure that a dense layer, experts and a head cost what one counts by hand.
func TestCost(t *testing.T) {
	b := kernelstest.NewBuilder("cost")
	x := b.Embed(64, 1)
	x = b.Linear(gguf.Q8_0, 64, 64, x) // 64 rows of 2 blocks of 34 bytes
	routes := b.Op(kernels.OpRoute, kernels.RouteAttrs{TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1}, nil, b.Linear(gguf.F32, 8, 64, x))
	w := []kernels.WeightID{b.Weight(gguf.F16, 8, 32, 64), b.Weight(gguf.F16, 8, 32, 64), b.Weight(gguf.F16, 8, 64, 32)}
	x = b.Op(kernels.OpExperts, kernels.ExpertsAttrs{Alpha: 1}, w, x, routes)
	c := b.Case(b.Linear(gguf.F16, 10, 64, b.Op(kernels.OpRows, nil, nil, x)), nil)
	want := kernels.Cost{
		WeightBytes: 64*2*34 + 4*8*64 + 2*3*2*32*64 + 2*10*64,
		BlockMACs:   64 * 64,
		HalfMACs:    2 * 3 * 32 * 64,
		FloatMACs:   8 * 64,
	}
	if got := c.Program.Cost(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
