package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"forge/gguf"
)

var halfTypes = []gguf.Type{gguf.F16, gguf.BF16}

func putHalf(typ gguf.Type, b []byte, x float32) {
	h := gguf.F32ToBF16(x)
	if typ == gguf.F16 {
		h = gguf.F32ToF16(x)
	}
	binary.LittleEndian.PutUint16(b, h)
}

// fixedCase is one matrix and enough rows for block fixed point.
type fixedCase struct {
	typ  gguf.Type
	n, k int
	w    []byte
	a    *acts
	x    []float32 // decoded weights
}

func newFixedCase(t *testing.T, typ gguf.Type, n, k int, weight, act func(row, i int) float32) *fixedCase {
	c := &fixedCase{typ: typ, n: n, k: k, w: make([]byte, 2*n*k), a: new(acts), x: make([]float32, n*k)}
	for i := range n * k {
		putHalf(typ, c.w[2*i:], weight(i/k, i%k))
	}
	if err := gguf.Dequantize(typ, c.x, c.w); err != nil {
		t.Fatal(err)
	}
	c.a.resize(16, k)
	c.a.fixed = make([]byte, c.a.n*c.a.fixedStride()) // also where nothing else asks for it
	row := make([]float32, k)
	for r := range c.a.n {
		for i := range row {
			row[i] = act(r, i)
		}
		c.a.set(r, row)
	}
	return c
}

// each calls f for every result of every rung.
func (c *fixedCase) each(f func(rung isa, r, o int, got float32)) {
	for _, rung := range ladder() {
		out := make([]float32, c.a.n*c.n)
		products[rung][c.typ].rowsFixed(out, c.n, c.w, 2*c.k, 0, c.n, c.a, 0, c.a.n, new(scratch))
		for i, v := range out {
			f(rung, i/c.n, i%c.n, v)
		}
	}
}

// exact is a result, the sum of the products of its blocks' norms, and the root of the sum of their squares.
func (c *fixedCase) exact(r, o int) (sum, norms, root float64) {
	w, x := c.x[o*c.k:(o+1)*c.k], c.a.x[r*c.k:(r+1)*c.k]
	for b := 0; b < c.k; b += fixedElems {
		var ww, xx float64
		for i := b; i < b+fixedElems; i++ {
			sum += float64(w[i]) * float64(x[i])
			ww += float64(w[i]) * float64(w[i])
			xx += float64(x[i]) * float64(x[i])
		}
		norms += math.Sqrt(ww * xx)
		root += ww * xx
	}
	return sum, norms, math.Sqrt(root)
}

// TestFixedError holds results to float64. Each factor's block is off by at most sqrt(64)/2 of 32767 parts of its norm, so a
// result by twice that of the product of the norms; on average by less, in any mixture of large and small numbers.
func TestFixedError(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	normal := func(_, _ int) float32 { return float32(rng.NormFloat64()) }
	for name, act := range map[string]func(r, i int) float32{
		"normal": normal,
		"spike": func(r, i int) float32 {
			x := float32(rng.NormFloat64())
			if i%fixedElems == r {
				x *= 1000
			}
			return x
		},
		"heavy": func(_, _ int) float32 { return float32(math.Exp(3*rng.NormFloat64()) * float64(2*rng.IntN(2)-1)) },
		"small": func(_, _ int) float32 { return float32(rng.NormFloat64()) * 1e-12 },
		"large": func(_, _ int) float32 { return float32(rng.NormFloat64()) * 1e15 },
	} {
		for _, typ := range halfTypes {
			c := newFixedCase(t, typ, 33, 512, func(_, _ int) float32 { return float32(rng.NormFloat64()) * 0.02 }, act)
			var squares, count float64
			c.each(func(rung isa, r, o int, got float32) {
				sum, norms, root := c.exact(r, o)
				e := math.Abs(float64(got) - sum)
				if e > 2*4.0/fixedTop*norms {
					t.Fatalf("%s, %v on %v: result %d of row %d is %v, want %v; the norms are %v", name, typ, rung, o, r, got, sum, norms)
				}
				squares, count = squares+e*e/(root*root), count+1
			})
			// The errors of a factor are uniform in a step, which is its norm in 32767 parts, and meet the other factor.
			if rms, want := math.Sqrt(squares/count), math.Sqrt(2.0/12)/fixedTop; rms > 1.1*want {
				t.Errorf("%s, %v: the error is %.3g of the norms, want about %.3g", name, typ, rms, want)
			}
		}
	}
}

// TestFixedSums has the blocks whose integer sums are largest: all numbers alike, a single one, and alternating signs on both
// sides. The exact results are at hand.
func TestFixedSums(t *testing.T) {
	for _, typ := range halfTypes {
		for name, x := range map[string]func(_, i int) float32{
			"ones":   func(_, _ int) float32 { return 1 },
			"minus":  func(_, _ int) float32 { return -1 },
			"signs":  func(_, i int) float32 { return float32(1 - i%2*2) },
			"single": func(_, i int) float32 { return float32(max(0, 1-i%fixedElems)) },
			"half":   func(_, i int) float32 { return float32(i % fixedElems / 32) },
			"zeros":  func(_, _ int) float32 { return 0 },
		} {
			c := newFixedCase(t, typ, 32, 256, x, x)
			c.each(func(rung isa, r, o int, got float32) {
				if want, _, _ := c.exact(r, o); math.Abs(float64(got)-want) > 2e-4*want {
					t.Fatalf("%s, %v on %v: %v, want %v", name, typ, rung, got, want)
				}
			})
		}
	}
}

// TestFixedSpecial wants a NaN for what is not finite, and what plain floats give, or nearly so, at the ends of their range.
func TestFixedSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, typ := range halfTypes {
		for _, special := range []float32{inf, -inf, nan, 1e-45, 6e-8, 1e-30, 65504} {
			for _, ofWeights := range []bool{true, false} {
				one := func(row, i int, here bool) float32 {
					if here && row%5 == 2 && i == 70 {
						return special
					}
					return float32(i%7-3) / 8
				}
				c := newFixedCase(t, typ, 20, 192, func(o, i int) float32 { return one(o, i, ofWeights) }, func(r, i int) float32 { return one(r, i, !ofWeights) })
				c.each(func(rung isa, r, o int, got float32) {
					want, norms, _ := c.exact(r, o)
					finite := want-want == 0
					if finite != (got == got) || finite && math.Abs(float64(got)-want) > 1e-4*norms {
						t.Fatalf("%v with %v (of weights: %t) on %v: result %d of row %d is %v, float64 has %v", typ, special, ofWeights, rung, o, r, got, want)
					}
				})
			}
		}
		// Norms beyond 2^64 are no numbers, those below 2^-50 lose bits and are not far off.
		for scale, number := range map[float32]bool{1e18: true, 1e20: false, 1e-16: true, 1e-25: true, 1e-44: true} {
			c := newFixedCase(t, typ, 8, 64, func(_, i int) float32 { return float32(i%7 - 3) }, func(_, i int) float32 { return float32(i%5-2) * scale })
			c.each(func(rung isa, r, o int, got float32) {
				want, norms, _ := c.exact(r, o)
				lost := 64 * 3 * 0x1p-51 / fixedTop // half a step of the least scale, times the weights
				if number != (got == got) || number && math.Abs(float64(got)-want) > 2e-4*norms+lost {
					t.Fatalf("%v, activations of %g on %v: %v, float64 has %v", typ, scale, rung, got, want)
				}
			})
		}
	}
}

func TestRoundFixedOverLadder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	special := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-40, 1e-38, 3e38, -3e38, float32(math.Inf(1)), float32(math.NaN()), 1e-16, 1e18}
	for trial := range 300 {
		x := guardedFloats(t, fixedElems*(1+trial%3), trial%2 == 0)
		scale := float32(math.Exp(rng.NormFloat64() * 10))
		for i := range x {
			x[i] = float32(rng.NormFloat64()) * scale
			if trial > 150 && rng.IntN(40) == 0 {
				x[i] = special[rng.IntN(len(special))]
			}
		}
		size := len(x) / fixedElems * fixedBlock
		want := make([]byte, size)
		roundFixedGeneric(want, x)
		for _, rung := range rungs() {
			got := guarded(t, size, trial%2 == 0)
			roundFixed(rung, got, x)
			for i := 0; i < size; i += 4 {
				g, w := binary.LittleEndian.Uint32(got[i:]), binary.LittleEndian.Uint32(want[i:])
				nan := func(v uint32) bool { return i%fixedBlock == fixedScale && v&0x7fffffff > 0x7f800000 }
				if g != w && !(nan(g) && nan(w)) {
					t.Fatalf("trial %d on %v, byte %d: %#x, plain Go has %#x", trial, rung, i, g, w)
				}
			}
		}
	}
}

// TestFixedFrom wants floats up to a number of rows and block fixed point from there, for every share of weight rows.
func TestFixedFrom(t *testing.T) {
	if fixedRows == math.MaxInt {
		t.Skip("no block fixed point here")
	}
	rng := rand.New(rand.NewPCG(11, 11))
	for _, typ := range halfTypes {
		for _, rows := range []int{fixedRows - 1, fixedRows} {
			t.Run(fmt.Sprint(typ, rows), func(t *testing.T) {
				const n, k = 40, 256
				w := make([]byte, 2*n*k)
				fillWeights(rng, typ, w)
				a := fillActs(rng, rows, k)
				p := products[isaScalar][typ]
				floats, fixed, got := make([]float32, rows*n), make([]float32, rows*n), make([]float32, rows*n)
				p.rowsGeneric(floats, n, w, 2*k, 0, n, a, 0, rows, new(genericRow))
				want := floats
				if rows >= fixedRows {
					p.rowsFixed(fixed, n, w, 2*k, 0, n, a, 0, rows, new(scratch))
					want = fixed
				}
				for _, rung := range ladder() {
					for o := 0; o < n; o += 5 {
						products[rung][typ].rows(got, n, w, 2*k, o, o+5, a, 0, rows, new(scratch))
					}
					sameBits(t, got, want)
				}
			})
		}
	}
}
