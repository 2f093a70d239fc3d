package plugins_test

import (
	"context"
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// maths calls testdata/maths.wasm, which exports the SDK's functions.
func maths(t *testing.T) func(name string, args ...uint64) uint64 {
	t.Helper()
	code, err := os.ReadFile("testdata/maths.wasm")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	t.Cleanup(func() { rt.Close(ctx) })
	mod, err := rt.Instantiate(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	mathsMemory = mod.Memory()
	return func(name string, args ...uint64) uint64 {
		r, err := mod.ExportedFunction(name).Call(ctx, args...)
		if err != nil {
			t.Fatal(err)
		}
		if len(r) == 0 {
			return 0
		}
		return r[0]
	}
}

var mathsMemory api.Memory

const precision = 160

// bigExp is e^x by the power series of x / 2^k, squared k times.
func bigExp(x float64) *big.Float {
	const k = 12
	y := new(big.Float).SetPrec(precision).SetFloat64(x)
	y.SetMantExp(y, -k)
	sum, term := big.NewFloat(1).SetPrec(precision), big.NewFloat(1).SetPrec(precision)
	for i := int64(1); i < 40; i++ {
		term.Mul(term, y)
		term.Quo(term, new(big.Float).SetPrec(precision).SetInt64(i))
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

// ulps is the distance of got from want in units of the last place of want.
func ulps(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	unit := math.Nextafter(math.Abs(w), math.Inf(1)) - math.Abs(w)
	d := new(big.Float).SetPrec(precision).SetFloat64(got)
	d.Sub(d, want)
	d.Quo(d, new(big.Float).SetFloat64(unit))
	f, _ := d.Float64()
	return math.Abs(f)
}

// Ensure that forge_exp and forge_log keep the error that math.h states, and give the limits at the ends.
func TestMaths_ExpLog(t *testing.T) {
	call := maths(t)
	exp := func(x float64) float64 { return math.Float64frombits(call("exp", math.Float64bits(x))) }
	log := func(x float64) float64 { return math.Float64frombits(call("log", math.Float64bits(x))) }
	rng := rand.New(rand.NewPCG(1, 2))
	worst, worstSub := 0.0, 0.0
	for i := range 6000 {
		x := 1417.0*rng.Float64() - 708
		switch i % 4 {
		case 1:
			x = 2*rng.Float64() - 1
		case 2:
			x = -745 + 37*rng.Float64() // subnormal results
		case 3:
			x = math.Ln2 / 2 * float64(2*(i%200)-199) * (1 + 1e-15*rng.Float64()) // ends of the reduced range
		}
		e := ulps(exp(x), bigExp(x))
		if x < -708.39 {
			worstSub = max(worstSub, e)
		} else {
			worst = max(worst, e)
		}
	}
	t.Logf("exp: %.3f ulp, subnormal results %.3f ulp", worst, worstSub)
	if worst >= 1 || worstSub >= 2 {
		t.Error("forge_exp is off")
	}
	worst = 0
	for i := range 6000 {
		x := math.Exp(1400*rng.Float64() - 700)
		switch i % 4 {
		case 1:
			x = 1 + (rng.Float64()-0.5)*math.Exp2(-float64(i%50))
		case 2:
			x = 3 * rng.Float64()
		case 3:
			x = math.Float64frombits(rng.Uint64N(1 << 52)) // subnormal
		}
		if x == 1 || x == 0 {
			continue
		}
		// ln x = y + ln(x e^-y) with y near ln x: the second term is tiny, and its series short. y is the guest's own
		// result, since math.Log is off for subnormal numbers on some machines.
		y := log(x)
		r := new(big.Float).SetPrec(precision).SetFloat64(x)
		r.Quo(r, bigExp(y))
		r.Sub(r, big.NewFloat(1))
		half := new(big.Float).SetPrec(precision).Mul(r, r)
		half.Quo(half, big.NewFloat(2))
		r.Sub(r, half)
		r.Add(r, big.NewFloat(y))
		worst = max(worst, ulps(log(x), r))
	}
	t.Logf("log: %.3f ulp", worst)
	if worst >= 1 {
		t.Error("forge_log is off")
	}
	for _, c := range [][2]float64{{0, 1}, {math.Inf(1), math.Inf(1)}, {math.Inf(-1), 0}, {710, math.Inf(1)}, {-746, 0}, {709.782712893384, 1.7976931348622732e308}, {-745.1332191019411, 5e-324}} {
		if got := exp(c[0]); got != c[1] && math.Abs(got/c[1]-1) > 1e-15 {
			t.Errorf("exp(%v) = %v, want %v", c[0], got, c[1])
		}
	}
	for _, c := range [][2]float64{{1, 0}, {0, math.Inf(-1)}, {math.Inf(1), math.Inf(1)}} {
		if got := log(c[0]); got != c[1] {
			t.Errorf("log(%v) = %v, want %v", c[0], got, c[1])
		}
	}
	if got := log(-1); got == got {
		t.Errorf("log(-1) = %v", got)
	}
	if got := exp(math.NaN()); got == got {
		t.Errorf("exp(NaN) = %v", got)
	}
}

// Ensure that the SIMD weights keep the relative error that sampler/table.c states, and are 0 where they should be.
func TestMaths_Weights(t *testing.T) {
	call := maths(t)
	const n = 4096
	at := uint32(call("values"))
	rng := rand.New(rand.NewPCG(3, 4))
	worst := 0.0
	for round := range 60 {
		top := float32(20 * rng.NormFloat64())
		values := make([]float32, n)
		for i := range values {
			values[i] = top - float32(90*math.Pow(rng.Float64(), 3))
		}
		values[0], values[1], values[2], values[3] = top, -inf, nan, top-88
		mathsMemory.Write(at, floatBytes(values))
		count := n - round%7
		sum := math.Float64frombits(call("sum", uint64(count), uint64(math.Float32bits(top))))
		b, _ := mathsMemory.Read(uint32(call("weights", uint64(count), uint64(math.Float32bits(top)))), 4*n)
		want := 0.0
		for i, x := range values[:count] {
			got := float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
			d := float64(top) - value(x)
			exact := math.Exp(-d)
			want += exact
			switch {
			case x == top:
				if got != 1 {
					t.Fatalf("weight of the maximum is %v", got)
				}
			case d > 87.4 || x != x:
				if got != 0 {
					t.Fatalf("weight %v below the maximum is %v", d, got)
				}
			case d < 87.3:
				e := math.Abs(got/exact - 1)
				worst = max(worst, e/(1.8e-7+1.3e-7*d))
			}
		}
		if math.Abs(sum/want-1) > 1e-6 {
			t.Fatalf("sum %v, want %v", sum, want)
		}
	}
	t.Logf("%.3f of the stated error", worst)
	if worst > 1 {
		t.Error("the weights are off")
	}
}

// Ensure that the SDK's generator gives the published known answers (Random123, kat_vectors).
func TestMaths_Philox(t *testing.T) {
	call := maths(t)
	at := uint32(call("words"))
	for _, c := range philoxAnswers {
		mathsMemory.Write(at, idBytes(append(c.key[:], c.x[:]...)))
		call("philox")
		b, _ := mathsMemory.Read(at+8, 16)
		if string(b) != string(idBytes(c.want[:])) {
			t.Errorf("%x, want %08x", b, c.want)
		}
	}
}
