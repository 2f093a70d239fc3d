package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestExp wants the library's exponential within two units of the last place, and the limits at the ends.
func TestExp(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for i := range 20000 {
		x := 1454*rng.Float64() - 745
		if i%2 == 0 {
			x = 4*rng.Float64() - 2
		}
		want, got := math.Exp(x), Exp(x)
		if unit := math.Nextafter(want, math.Inf(1)) - want; math.Abs(got-want) > 2*unit {
			t.Fatalf("e^%v = %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, math.Inf(-1): 0, math.Inf(1): math.Inf(1), -745.2: 0, 709.8: math.Inf(1), math.Log(2): 2} {
		if got := Exp(x); got != want {
			t.Errorf("e^%v = %v, want %v", x, got, want)
		}
	}
	if x := Exp(math.NaN()); x == x {
		t.Errorf("e^NaN = %v", x)
	}
}
