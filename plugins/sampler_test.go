package plugins_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"forge/abi"
)

// tolerance bounds what float32 weights may do to a cumulative probability of a long table (plugins/sampler/table.h).
const tolerance = 2e-6

var (
	inf = float32(math.Inf(1))
	nan = float32(math.NaN())
)

// rows gives tables of n candidates that differ in what makes samplers go wrong.
func rows(n int) map[string][]float32 {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	make32 := func(f func(i int) float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(f(i))
		}
		return x
	}
	normal := func(int) float64 { return 3 * rng.NormFloat64() }
	rs := map[string][]float32{
		"normal":     make32(normal),
		"peaked":     peaked(rng, n),
		"flat":       make32(func(int) float64 { return 0.01 * rng.NormFloat64() }),
		"equal":      make32(func(int) float64 { return 1.5 }),
		"few values": make32(func(int) float64 { return float64(rng.IntN(5)) }),
		"descending": make32(func(i int) float64 { return -float64(i) / 100 }),
		"ascending":  make32(func(i int) float64 { return float64(i) / 100 }),
		"large":      make32(func(int) float64 { return 1e30 * rng.NormFloat64() }),
		"thousands":  make32(func(int) float64 { return 12345 + 5*rng.NormFloat64() }),
		"tiny":       make32(func(int) float64 { return 1e-40 * rng.NormFloat64() }),
		"zeros":      make32(func(int) float64 { return math.Copysign(0, rng.Float64()-0.5) }),
		"negative":   make32(func(int) float64 { return -50 + rng.NormFloat64() }),
		"one hot":    make32(func(i int) float64 { return 30 * float64(1-min(1, (i-n/3)*(i-n/3))) }),
		"spike":      make32(func(i int) float64 { return -8 + 0.1*rng.NormFloat64() - 3*float64(i%50/49) + 8*float64(1-min(1, i)) }),
		"block":      make32(func(i int) float64 { return normal(i) + 20*float64(1-min(1, i/300)) }),
	}
	masked := make32(normal)
	for i := range masked {
		if i%7 != 3 {
			masked[i] = -inf
		}
	}
	rs["masked"] = masked
	few := make32(func(int) float64 { return math.Inf(-1) })
	few[n/2], few[n-1] = 1, 2
	rs["two left"] = few
	rs["none left"] = make32(func(int) float64 { return math.Inf(-1) })
	mixed := make32(normal)
	for i := range mixed {
		if i%5 == 0 {
			mixed[i] = nan
		}
	}
	rs["nan"] = mixed
	hot := make32(normal)
	for i := range hot {
		if i%9 == 4 {
			hot[i] = inf
		}
	}
	rs["inf"] = hot
	rs["all nan"] = make32(func(int) float64 { return math.NaN() })
	return rs
}

// peaked is like a model's row: a normal bulk and a head that falls off by rank.
func peaked(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(-2 + 2.2*rng.NormFloat64())
	}
	for r := range min(n, 200) {
		x[rng.IntN(n)] = float32(19 - 2.6*math.Log(float64(1+r)) + 0.3*rng.NormFloat64())
	}
	return x
}

// The edges are those of vectors, blocks of 128, the float64 path's 1024 and groups of blocks.
var sizes = []int{1, 2, 3, 4, 15, 17, 63, 128, 129, 511, 512, 513, 1024, 1025, 4097, 20011}

// eachTable runs f on whole rows, and on the same candidates as a shuffled and as a sorted table.
func eachTable(t *testing.T, f func(t *testing.T, c *chain, in table)) {
	for _, n := range sizes {
		c := openChain(t, n)
		for name, logits := range rows(n) {
			whole := table{logits: logits}
			t.Run(fmt.Sprintf("%d %s whole", n, name), func(t *testing.T) { f(t, c, whole) })
			rng := rand.New(rand.NewPCG(2, uint64(n)))
			shuffled := table{logits: slices.Clone(logits), ids: make([]uint32, n)}
			for i := range shuffled.ids {
				shuffled.ids[i] = uint32(i)
			}
			rng.Shuffle(n, func(i, j int) {
				shuffled.logits[i], shuffled.logits[j] = shuffled.logits[j], shuffled.logits[i]
				shuffled.ids[i], shuffled.ids[j] = shuffled.ids[j], shuffled.ids[i]
			})
			t.Run(fmt.Sprintf("%d %s shuffled", n, name), func(t *testing.T) { f(t, c, shuffled) })
			sorted := table{sorted: true, ids: []uint32{}}
			for _, i := range ranked(whole) {
				sorted.logits = append(sorted.logits, float32(value(logits[i])))
				sorted.ids = append(sorted.ids, uint32(i))
			}
			t.Run(fmt.Sprintf("%d %s sorted", n, name), func(t *testing.T) { f(t, c, sorted) })
		}
	}
}

// same compares candidates in order; logits by value (NaN is -inf).
func same(t *testing.T, got table, in table, order []int) {
	t.Helper()
	if len(got.logits) != len(order) {
		t.Fatalf("%d candidates, want %d", len(got.logits), len(order))
	}
	for j, i := range order {
		if got.id(j) != in.id(i) || value(got.logits[j]) != value(in.logits[i]) {
			t.Fatalf("candidate %d is %d (%v), want %d (%v)", j, got.id(j), got.logits[j], in.id(i), in.logits[i])
		}
	}
}

func unchanged(t *testing.T, got, in table) {
	t.Helper()
	if got.status != abi.StatusSkip || (got.ids == nil) != (in.ids == nil) || got.sorted != in.sorted {
		t.Fatalf("status %v, expected skip and the table as it was", got.status)
	}
	order := make([]int, len(in.logits))
	for i := range order {
		order[i] = i
	}
	same(t, got, in, order)
}

func TestTopK(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		n := len(in.logits)
		order := ranked(in)
		for _, k := range []int{1, 2, 40, n / 64, n/64 + 1, n / 2, n - 1} {
			got := c.run(in, rowCase{params: params(topK, float64(k))}, "top_k")
			if k < 1 || k >= n {
				unchanged(t, got, in)
				continue
			}
			if !got.sorted {
				t.Fatal("not sorted")
			}
			same(t, got, in, order[:k])
		}
		for _, k := range []float64{0, -1, float64(n), 1e9} {
			unchanged(t, c.run(in, rowCase{params: params(topK, k)}, "top_k"), in)
		}
	})
}

// isCut tells whether keeping m of the ranked probabilities is right for p, give or take eps of cumulative probability.
func isCut(p []float64, m int, share, eps float64) bool {
	before, sum := 0.0, 0.0
	for i, x := range p {
		if i < m-1 {
			before += x
		}
		if i < m {
			sum += x
		}
	}
	return m >= 1 && (m == 1 || before < share+eps) && (sum >= share-eps || m == len(p))
}

func TestTopP(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		order := ranked(in)
		if math.IsInf(value(in.logits[order[0]]), -1) {
			unchanged(t, c.run(in, rowCase{params: params()}, "top_p"), in)
			return
		}
		p := softmax(in)
		ordered := make([]float64, len(p))
		for j, i := range order {
			ordered[j] = p[i]
		}
		eps := tolerance
		if len(p) <= 1024 {
			eps = 1e-13
		}
		for _, share := range []float64{0, 1e-9, 0.1, 0.5, 0.95, 0.999, 0.999999} {
			got := c.run(in, rowCase{params: params(topP, share)}, "top_p")
			m := len(got.logits)
			if !got.sorted && (m <= 1024 || in.sorted) {
				t.Fatal("not sorted")
			}
			kept := slices.Clone(order[:m])
			if !got.sorted {
				slices.Sort(kept)
			}
			same(t, got, in, kept)
			if !isCut(ordered, m, share, eps) {
				t.Fatalf("top_p %v keeps %d", share, m)
			}
		}
		unchanged(t, c.run(in, rowCase{params: params(topP, 1)}, "top_p"), in)
	})
}

func TestMinP(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		top := math.Inf(-1)
		for _, x := range in.logits {
			top = max(top, value(x))
		}
		for _, share := range []float64{1e-9, 0.05, 0.5, 1} {
			var want []int
			for i, x := range in.logits {
				if v := value(x); v >= top+math.Log(share) && !math.IsInf(top, -1) {
					want = append(want, i)
				}
			}
			got := c.run(in, rowCase{params: params(minP, share)}, "min_p")
			if len(want) == 0 || len(want) == len(in.logits) {
				unchanged(t, got, in)
				continue
			}
			same(t, got, in, want)
			if got.sorted != in.sorted {
				t.Fatal("the order's flag changed")
			}
		}
		unchanged(t, c.run(in, rowCase{params: params(minP, 0)}, "min_p"), in)
	})
}

func TestTemperature(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		order := ranked(in)
		for _, at := range []float64{0, -1, 1e-42} {
			got := c.run(in, rowCase{params: params(temp, at)}, "temperature")
			if len(in.logits) == 1 {
				unchanged(t, got, in)
				continue
			}
			same(t, got, in, order[:1])
		}
		unchanged(t, c.run(in, rowCase{params: params(temp, 1)}, "temperature"), in)
		for _, at := range []float64{0.5, 0.8, 2, 17.3} {
			got := c.run(in, rowCase{params: params(temp, at)}, "temperature")
			for i, x := range in.logits {
				if got.id(i) != in.id(i) {
					t.Fatal("the order changed")
				}
				want := float64(x) / float64(float32(at))
				if x == x && got.logits[i] != float32(want) || x != x && got.logits[i] == got.logits[i] {
					t.Fatalf("%v / %v = %v", x, at, got.logits[i])
				}
			}
			if got.sorted {
				for j, i := range ranked(got) {
					if i != j {
						t.Fatalf("flagged sorted, but candidate %d ranks %d", i, j)
					}
				}
			}
		}
	})
}

func ulp(x float64) float64 {
	f := float32(x)
	return float64(math.Nextafter32(f, inf)) - float64(f)
}

func TestGreedy(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		got := c.run(in, rowCase{params: params()}, "greedy")
		best := ranked(in)[0]
		if math.IsInf(value(in.logits[best]), -1) {
			if got.selected != -1 || !got.stop {
				t.Fatalf("selected %d of a table without candidates", got.selected)
			}
			return
		}
		if got.selected != int32(best) || got.stop {
			t.Fatalf("selected %d, want %d", got.selected, best)
		}
	})
}

func TestPenalties(t *testing.T) {
	eachTable(t, func(t *testing.T, c *chain, in table) {
		n := len(in.logits)
		rng := rand.New(rand.NewPCG(3, uint64(n)))
		history := make([]uint32, 300)
		for i := range history {
			history[i] = uint32(rng.IntN(min(n, 50)))
			if i%11 == 0 {
				history[i] = uint32(rng.IntN(n + 5)) // some are no tokens at all
			}
		}
		for _, s := range []struct{ repeat, last, frequency, presence float64 }{
			{1.1, 64, 0, 0}, {1.3, -1, 0.2, 0.5}, {1, 10, 0, 1}, {0.5, 300, -0.1, 0}, {1.1, 1000, 0, 0},
		} {
			recent := history
			if s.last >= 0 && int(s.last) < len(history) {
				recent = history[len(history)-int(s.last):]
			}
			count := map[uint32]int{}
			for _, id := range recent {
				count[id]++
			}
			p := params(repeatPenalty, s.repeat, repeatLastN, s.last, frequencyPenalty, s.frequency, presencePenalty, s.presence)
			got := c.run(in, rowCase{params: p, history: history}, "penalties")
			if got.sorted {
				t.Fatal("still flagged sorted")
			}
			for i, x := range in.logits {
				want := value(x)
				if k := count[in.id(i)]; k > 0 && x == x {
					if want <= 0 {
						want *= s.repeat
					} else {
						want /= s.repeat
					}
					want -= float64(k)*s.frequency + s.presence
				}
				if value(got.logits[i]) != float64(float32(want)) || got.id(i) != in.id(i) {
					t.Fatalf("token %d: %v becomes %v, want %v", in.id(i), x, got.logits[i], want)
				}
			}
		}
		unchanged(t, c.run(in, rowCase{params: params(), history: history}, "penalties"), in)
		unchanged(t, c.run(in, rowCase{params: params(repeatPenalty, 2, repeatLastN, 0), history: history}, "penalties"), in)
		unchanged(t, c.run(in, rowCase{params: params(repeatPenalty, 2)}, "penalties"), in)
	})
}

// philox is Philox4x32-10, written from the paper for the tests.
func philox(key [2]uint32, x [4]uint32) [4]uint32 {
	for range 10 {
		p0, p1 := uint64(x[0])*0xD2511F53, uint64(x[2])*0xCD9E8D57
		x = [4]uint32{uint32(p1>>32) ^ x[1] ^ key[0], uint32(p1), uint32(p0>>32) ^ x[3] ^ key[1], uint32(p0)}
		key[0], key[1] = key[0]+0x9E3779B9, key[1]+0xBB67AE85
	}
	return x
}

// Ensure that a row which has picked or stopped is left alone, and that rows of one call do not mix.
func TestRows_Several(t *testing.T) {
	const n = 1000
	c := openChain(t, n)
	rng := rand.New(rand.NewPCG(5, 5))
	logits := peaked(rng, n)
	c.load(table{logits: logits}, rowCase{params: params()})
	abi.Row(c.Bytes(c.row, abi.RowSize)).SetSelected(7)
	for _, name := range []string{"logit_bias", "penalties", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature", "dist", "greedy"} {
		if s := c.step(name); s != abi.StatusSkip {
			t.Errorf("%s on a row that has picked: %v", name, s)
		}
	}
	got := c.read()
	if got.selected != 7 || len(got.logits) != n {
		t.Error("the row changed")
	}
}

// Ensure that a setting that is not a number, and a row that does not fit, are refused.
func TestRows_Refused(t *testing.T) {
	c := openChain(t, 100)
	in := table{logits: rows(100)["normal"]}
	for name, slot := range map[string]float64{"penalties": repeatPenalty, "top_k": topK, "top_p": topP, "min_p": minP, "temperature": temp, "typ_p": typicalP,
		"top_n_sigma": topNSigma, "xtc": xtcProbability} {
		c.load(in, rowCase{params: params(slot, math.NaN()), history: []uint32{1}})
		if s, err := c.Status("sampler_"+name, c.frame); s != abi.StatusErrConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.load(in, rowCase{params: params()})
	abi.Row(c.Bytes(c.row, abi.RowSize)).SetN(101)
	if s, err := c.Status("sampler_top_k", c.frame); s != abi.StatusErrArg {
		t.Errorf("101 candidates of 100: %v", err)
	}
	abi.Row(c.Bytes(c.row, abi.RowSize)).SetN(99)
	if s, err := c.Status("sampler_top_k", c.frame); s != abi.StatusErrArg {
		t.Errorf("a whole row of 99 of 100: %v", err)
	}
	abi.Row(c.Bytes(c.row, abi.RowSize)).SetN(100)
	abi.Rows(c.Bytes(c.frame, abi.RowsSize)).Head().SetSize(20)
	if s, _ := c.Status("sampler_top_k", c.frame); s != abi.StatusErrABI {
		t.Errorf("a frame of 20 bytes: %v", s)
	}
}
