package plugins_test

import (
	"math"
	"slices"
	"testing"

	"forge/abi"
)

// Ensure that typ_p keeps what lies closest to the entropy, computed as the paper has it: |-ln p - H|.
func TestTypical(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		p := softmax(in)
		if math.IsInf(value(in.logits[ranked(in)[0]]), -1) {
			unchanged(t, c.run(in, rowCase{params: params(typicalP, 0.5)}, "typ_p"), in)
			return
		}
		entropy := 0.0
		for _, x := range p {
			if x > 0 {
				entropy -= x * math.Log(x)
			}
		}
		far := make([]float64, len(p))
		for i, x := range p {
			far[i] = math.Abs(-math.Log(x) - entropy)
		}
		eps, slack := tolerance, 1e-5
		if len(p) <= 1024 {
			eps, slack = 1e-12, 1e-6 // distances are compared as float32
		}
		for _, share := range []float64{0, 1e-7, 0.2, 0.9, 0.999} {
			got := c.run(in, rowCase{params: params(typicalP, share)}, "typ_p")
			if got.sorted != (in.sorted || len(p) <= 1024) {
				t.Fatal("the order's flag is wrong")
			}
			checkClosest(t, in, got, p, far, share, eps, slack)
		}
		unchanged(t, c.run(in, rowCase{params: params(typicalP, 1)}, "typ_p"), in)
	})
}

// checkClosest holds the candidates kept to the rule, give or take eps of cumulative probability and slack of distance.
func checkClosest(t *testing.T, in, got table, p, far []float64, share, eps, slack float64) {
	t.Helper()
	index := map[uint32]int{}
	for i := range in.logits {
		index[in.id(i)] = i
	}
	kept := make([]bool, len(p))
	sum, most := 0.0, -1.0
	var last int
	for j := range got.logits {
		i, ok := index[got.id(j)]
		if !ok || kept[i] || value(got.logits[j]) != value(in.logits[i]) {
			t.Fatalf("candidate %d (%v) was not in the table", got.id(j), got.logits[j])
		}
		if j > 0 && !got.sorted && i <= last {
			t.Fatal("the order changed")
		}
		kept[i], last = true, i
		sum += p[i]
		most = max(most, far[i])
	}
	lightest := math.Inf(1)
	for i := range p {
		bound := slack * (1 + most)
		switch {
		case kept[i] && far[i] >= most-bound:
			lightest = min(lightest, p[i])
		case !kept[i] && far[i] < most-bound:
			t.Fatalf("share %v: candidate %d is %v from the entropy and dropped, one of %v is kept", share, in.id(i), far[i], most)
		}
	}
	if len(got.logits) == 0 || sum < share-eps || len(got.logits) > 1 && sum-lightest > share+eps {
		t.Fatalf("share %v: %d candidates are kept, which sum to %v, %v without the last", share, len(got.logits), sum, sum-lightest)
	}
	// What is kept is a stretch of the ranking.
	first, end := len(p), 0
	for rank, i := range ranked(in) {
		if kept[i] {
			first, end = min(first, rank), rank+1
		}
	}
	if end-first != len(got.logits) {
		t.Fatalf("share %v: %d candidates are kept, of the ranks %d to %d", share, len(got.logits), first, end)
	}
}

// Ensure that top_n_sigma cuts at max - n sigma of the logits above -inf.
func TestTopNSigma(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		sum, n, top := 0.0, 0.0, math.Inf(-1)
		for _, x := range in.logits {
			if v := value(x); !math.IsInf(v, -1) {
				sum, n, top = sum+v, n+1, max(top, v)
			}
		}
		squares := 0.0
		for _, x := range in.logits {
			if v := value(x); !math.IsInf(v, -1) {
				squares += (v - sum/n) * (v - sum/n)
			}
		}
		sigma := math.Sqrt(squares / n)
		for _, sigmas := range []float64{0.1, 1, 2.5, 50} {
			got := c.run(in, rowCase{params: params(topNSigma, sigmas)}, "top_n_sigma")
			if n == 0 || math.IsInf(top, 1) {
				unchanged(t, got, in)
				continue
			}
			bound, margin := top-sigmas*sigma, 1e-9*(math.Abs(top)+sigma*sigmas)
			var want []int
			j := 0
			for i, x := range in.logits {
				v := value(x)
				near := math.Abs(v-bound) <= margin && v != top
				if v >= bound && !near || near && j < len(got.logits) && got.id(j) == in.id(i) {
					want = append(want, i)
					j++
				}
			}
			if len(want) == len(in.logits) {
				unchanged(t, got, in)
				continue
			}
			same(t, got, in, want)
			if got.sorted != in.sorted {
				t.Fatal("the order's flag changed")
			}
		}
		for _, off := range []float64{0, -1} {
			unchanged(t, c.run(in, rowCase{params: params(topNSigma, off)}, "top_n_sigma"), in)
		}
	})
}

// Ensure that xtc drops all top choices but the last, as often as its draw says.
func TestXTC(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		p, order := softmax(in), ranked(in)
		none := math.IsInf(value(in.logits[order[0]]), -1)
		eps := tolerance
		if len(p) <= 1024 {
			eps = 1e-12
		}
		for _, draw := range []uint64{0, 4, 7} { // whose uniforms lie on both sides of the probability
			for _, threshold := range []float64{0, 1e-4, 0.1, 0.5} {
				rc := rowCase{params: params(xtcProbability, 0.6, xtcThreshold, threshold), seed: 77, draw: draw}
				got := c.run(in, rc, "xtc")
				if len(p) < 2 || none {
					unchanged(t, got, in)
					continue
				}
				if got.draw != draw+1 || got.status != abi.StatusOk {
					t.Fatalf("draw went from %d to %d, status %v", draw, got.draw, got.status)
				}
				// Probabilities within eps of the threshold may fall to either side, and the weight of a logit far below the
				// best is 0 in float32.
				sure, possible := 0, 0
				for _, i := range order {
					if p[i] >= threshold*(1+eps) && p[i] > 1e-36 {
						sure++
					}
					if p[i] >= threshold*(1-eps) && p[i] > 0 {
						possible++
					}
				}
				dropped := len(p) - len(got.logits)
				if uniform(77, draw) >= 0.6 {
					sure, possible = 0, 0
				}
				if dropped < max(0, sure-1) || dropped > max(0, possible-1) {
					t.Fatalf("threshold %v: %d are dropped, of %d to %d top choices", threshold, dropped, sure, possible)
				}
				kept := slices.Clone(order[dropped:])
				slices.Sort(kept)
				same(t, got, in, kept)
				if got.sorted != in.sorted {
					t.Fatal("the order's flag changed")
				}
			}
		}
		for _, off := range [][nParams]float64{params(xtcProbability, 0), params(xtcProbability, 1, xtcThreshold, 0.51)} {
			unchanged(t, c.run(in, rowCase{params: off}, "xtc"), in)
		}
	})
}

// Ensure that dynamic temperature follows the entropy.
func TestDynatemp(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		p := softmax(in)
		none := math.IsInf(value(in.logits[ranked(in)[0]]), -1)
		entropy := 0.0
		for _, x := range p {
			if x > 0 {
				entropy -= x * math.Log(x)
			}
		}
		eps := 1e-5
		if len(p) <= 1024 {
			eps = 1e-12
		}
		for _, s := range []struct{ temp, spread, exponent float64 }{{0.8, 0.5, 1}, {0.5, 1.5, 2}, {1, 0.9, 0.25}, {2, 1, 0}, {0, 1, 1}} {
			got := c.run(in, rowCase{params: params(temp, s.temp, dynatempRange, s.spread, dynatempExponent, s.exponent)}, "temperature")
			if len(p) < 2 || none {
				unchanged(t, got, in)
				continue
			}
			low := math.Max(0, s.temp-s.spread)
			at := low + (s.temp+s.spread-low)*math.Pow(min(1, max(0, entropy/math.Log(float64(len(p))))), s.exponent)
			if at < 1e-6 { // the best alone, or a temperature so low that it is all but that
				if got.status != abi.StatusOk || got.id(ranked(got)[0]) != in.id(ranked(in)[0]) {
					t.Fatalf("at %v the best candidate is another", at)
				}
				continue
			}
			for i, x := range in.logits {
				want := value(x) / at
				err := math.Abs(value(got.logits[i]) - want)
				if f := float32(want); math.IsInf(float64(f), 0) && value(got.logits[i]) == float64(f) || value(got.logits[i]) == want {
					continue
				}
				if got.id(i) != in.id(i) || err > 1.5*ulp(math.Abs(want))+eps*math.Abs(want)*(1+s.spread/at) {
					t.Fatalf("%v / %v = %v, want %v", x, at, got.logits[i], want)
				}
			}
		}
	})
}
