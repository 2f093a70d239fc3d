package plugins_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"forge/abi"
)

var philoxAnswers = []struct {
	key     [2]uint32
	x, want [4]uint32
}{
	{[2]uint32{}, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
	{[2]uint32{^uint32(0), ^uint32(0)}, [4]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
	{[2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
}

// Ensure that the generator used as the oracle below gives the published known answers (Random123, kat_vectors).
func TestPhilox_KnownAnswers(t *testing.T) {
	for _, c := range philoxAnswers {
		if got := philox(c.key, c.x); got != c.want {
			t.Errorf("%08x, want %08x", got, c.want)
		}
	}
}

func uniform(seed, draw uint64) float64 {
	x := philox([2]uint32{uint32(seed), uint32(seed >> 32)}, [4]uint32{uint32(draw), uint32(draw >> 32), 0, 0})
	return float64(x[0]>>8) / (1 << 24)
}

// Ensure that dist draws what the formula in float64 gives for the same uniform.
func TestDist(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		p := softmax(in)
		eps := tolerance
		if len(p) <= 1024 {
			eps = 1e-13
		}
		for k := range 12 {
			rc := rowCase{params: params(), seed: uint64(k) * 0x123456789abcdef, draw: uint64(k)*3 + uint64(k)<<33}
			got := c.run(in, rc, "dist")
			if math.IsInf(value(in.logits[ranked(in)[0]]), -1) {
				if got.selected != -1 || !got.stop || got.draw != rc.draw {
					t.Fatalf("selected %d of a table without candidates", got.selected)
				}
				continue
			}
			if got.draw != rc.draw+1 || got.stop {
				t.Fatalf("draw went from %d to %d", rc.draw, got.draw)
			}
			u, at := uniform(rc.seed, rc.draw), 0.0
			for i := range got.selected {
				at += p[i]
			}
			if s := got.selected; s < 0 || p[s] == 0 || at > u+eps || at+p[s] < u-eps {
				t.Fatalf("u = %v picks %d, which spans %v to %v", u, s, at, at+p[s])
			}
		}
	})
}

// Ensure that the ends and an exact boundary of the uniform fall to the right candidate. Of the stream with seed 0, draws
// 14883995, 9297664 and 38471471 are 0, 1/2 and 1 - 2^-24.
func TestDist_Boundaries(t *testing.T) {
	const zero, half, last = 14883995, 9297664, 38471471
	for draw, want := range map[uint64]float64{zero: 0, half: 0.5, last: 1 - 0x1p-24} {
		if got := uniform(0, draw); got != want {
			t.Fatalf("draw %d is %v", draw, got)
		}
	}
	for _, n := range []int{6, 3000} {
		c := openChain(t, n)
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = -inf
		}
		first, second := n/3, n-2
		logits[first], logits[second] = 7, 7
		for draw, want := range map[uint64]int{zero: first, half: second, last: second} {
			if got := c.run(table{logits: logits}, rowCase{params: params(), draw: draw}, "dist"); got.selected != int32(want) {
				t.Errorf("n %d, u = %v: picks %d, want %d", n, uniform(0, draw), got.selected, want)
			}
		}
	}
}

// Ensure that draws follow the probabilities: Pearson's statistic of 20,000 draws stays below its 0.1 % point.
func TestDist_ChiSquare(t *testing.T) {
	for _, c := range []struct {
		n     int
		point float64 // of chi square with n-1 degrees, or 63 where candidates are put in 64 bins
	}{{8, 24.32}, {4096, 103.44}} {
		rng := rand.New(rand.NewPCG(9, 9))
		logits := make([]float32, c.n)
		for i := range logits {
			logits[i] = float32(rng.NormFloat64())
		}
		g := openChain(t, c.n)
		in := table{logits: logits}
		bins := min(c.n, 64)
		want, seen := make([]float64, bins), make([]float64, bins)
		for i, x := range softmax(in) {
			want[i%bins] += x
		}
		const draws = 20000
		g.load(in, rowCase{params: params(), seed: 42})
		r := abi.Row(g.Bytes(g.row, abi.RowSize))
		for range draws {
			r.SetSelected(-1)
			g.step("dist")
			seen[int(r.Selected())%bins]++
		}
		x := 0.0
		for i := range want {
			x += (seen[i] - draws*want[i]) * (seen[i] - draws*want[i]) / (draws * want[i])
		}
		if x > c.point {
			t.Errorf("n %d: chi square %v exceeds %v", c.n, x, c.point)
		}
	}
}
