package simd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"forge/gguf"
	"forge/kernels"
	"forge/kernels/kernelstest"
)

// atLevel holds the package to a rung until the test ends.
func atLevel(t testing.TB, i isa) {
	old := level
	level = i
	t.Cleanup(func() { level = old })
}

// ladder is every rung of this CPU, fastest first, plain Go last.
func ladder() []isa { return append(rungs(), isaScalar) }

// allowed is the relative difference to the scalar device that a case may have. With float weights the sums run in float32
// where scalar's run in float64, and in whole models a key whose last bit falls on the other side costs 2^-11 of it.
// Products of block formats round activations to 8 bits in steps of 1/127 of the largest of 32, which for normal numbers is
// an error of 0.5 % of each and twice that if one of the 32 stands out; in whole models these errors add up.
// TestProductOfDecodedWeights holds the same products to 1e-6 of a form that rounds alike.
func allowed(c *kernelstest.Case) float64 {
	part, _, _ := strings.Cut(c.Name, "/")
	switch {
	case part == "embed":
		return inFloats(c)
	case !c.Quantised() && halves(c):
		// Many rows are multiplied in block fixed point: an error of 7e-5 of the norm from weights and from activations each.
		return map[string]float64{"model": 2e-4}[part] + 1.1e-4
	case !c.Quantised():
		return inFloats(c)
	case strings.HasSuffix(c.Name, "outliers"):
		return 0.014
	}
	return map[string]float64{"experts": 0.006, "model": 0.01}[part] + 0.0065
}

// inFloats is what is allowed where all products are of floats.
func inFloats(c *kernelstest.Case) float64 {
	part, _, _ := strings.Cut(c.Name, "/")
	return map[string]float64{"model": 2e-5}[part] + 2.5e-6
}

// halves tells whether a matrix of the case has F16 or BF16, so that products depend on the number of rows.
func halves(c *kernelstest.Case) bool {
	return slices.ContainsFunc(c.Types, func(t gguf.Type) bool { return t == gguf.F16 || t == gguf.BF16 })
}

// TestDeterministicAgainstScalar has float products where TestDeviceAgainstScalar has those of block fixed point.
func TestDeterministicAgainstScalar(t *testing.T) {
	opt := kernels.Options{KeyType: gguf.F16, ValueType: gguf.F16, Threads: 2, Deterministic: true}
	kernelstest.Against(t, New(), opt, func(c *kernelstest.Case) float64 {
		if c.Quantised() || !halves(c) {
			return -1
		}
		return inFloats(c)
	})
}

func TestDeviceAgainstScalar(t *testing.T) {
	for _, rung := range ladder() {
		t.Run(rung.String(), func(t *testing.T) {
			atLevel(t, rung)
			kernelstest.Against(t, New(), kernels.Options{KeyType: gguf.F16, ValueType: gguf.F16, Threads: 2}, allowed)
		})
	}
}

func TestDeviceRouters(t *testing.T) {
	kernelstest.Routers(t, New(), kernels.Options{Threads: 2}, allowed)
}

// TestRoutersAllocateNothing counts what a step allocates that asks routers.
func TestRoutersAllocateNothing(t *testing.T) {
	for _, c := range kernelstest.Cases() {
		if !strings.HasPrefix(c.Name, "model/experts") {
			continue
		}
		routers := map[int]kernels.Router{}
		for i := range c.Program.Ops {
			if c.Program.Ops[i].Code == kernels.OpRoute {
				routers[i] = func(call *kernels.RouteCall) error {
					for k := range call.Out {
						call.Out[k] = kernels.Route{Expert: k % 2, Weight: 0.5}
					}
					return nil
				}
			}
		}
		r := open(t, c, kernels.Options{MaxRows: c.MaxRows, Threads: 2, Routers: routers})
		for i := range c.Batches {
			step(t, r, &c.Batches[i])
		}
		if got := testing.AllocsPerRun(3, func() { step(t, r, &c.Batches[3]) }); got != 0 {
			t.Errorf("%v allocations", got)
		}
	}
}

// TestDeviceCacheTypes is TestDeviceAgainstScalar for caches of other formats, where there is a cache.
func TestDeviceCacheTypes(t *testing.T) {
	for _, kinds := range [][2]gguf.Type{{gguf.Q8_0, gguf.Q8_0}, {gguf.Q8_0, gguf.F16}, {gguf.F16, gguf.Q8_0}} {
		for _, rung := range ladder() {
			t.Run(fmt.Sprintf("%v %v %v", kinds[0], kinds[1], rung), func(t *testing.T) {
				atLevel(t, rung)
				kernelstest.Against(t, New(), kernels.Options{KeyType: kinds[0], ValueType: kinds[1], Threads: 2}, func(c *kernelstest.Case) float64 {
					for _, g := range c.Program.Groups {
						if g.HeadDimK%32 != 0 || g.HeadDimV%32 != 0 {
							return -1
						}
					}
					if !c.Has(kernels.OpAttention) {
						return -1
					}
					// A number rounded the other way is a step of 1/127 of the largest of 32.
					return allowed(c) + 2e-4
				})
			})
		}
	}
}

// TestDeviceRowByRow cuts every step into steps of one row, which takes other kernels than many rows do.
func TestDeviceRowByRow(t *testing.T) {
	kernelstest.Invariant(t, New(), kernels.Options{Threads: 2})
}

// TestDeviceLadder wants the same bits from every rung and any number of threads, and from steps cut anywhere unless products
// depend on the number of rows.
func TestDeviceLadder(t *testing.T) {
	for _, c := range kernelstest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			ladderBits(t, c, kernels.Options{}, !halves(c))
			if halves(c) {
				ladderBits(t, c, kernels.Options{Deterministic: true}, true)
			}
		})
	}
}

func ladderBits(t *testing.T, c *kernelstest.Case, opt kernels.Options, parted bool) {
	var want []float32
	for i, rung := range ladder() {
		atLevel(t, rung)
		for threads := 1; threads <= 4; threads++ {
			if i > 0 && threads > 1 {
				continue // threads see no rung
			}
			batches := c.Batches
			if threads > 1 && !c.Mixes && parted {
				batches = cut(rand.New(rand.NewPCG(uint64(threads), 9)), c.Batches)
			}
			opt.MaxRows, opt.Threads = c.MaxRows, threads
			got, err := kernels.Outputs(New(), kernels.Whole(c.Program), opt, batches)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
				continue
			}
			if len(got) != len(want) {
				t.Fatalf("%v, %d threads: %d numbers, want %d", rung, threads, len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
					t.Fatalf("%v, %d threads: number %d is %v, want %v", rung, threads, i, got[i], want[i])
				}
			}
		}
	}
}

// cut parts each batch into steps of a few rows, in order.
func cut(rng *rand.Rand, batches []kernels.Batch) []kernels.Batch {
	var parts []kernels.Batch
	for _, b := range batches {
		for rows := b.Rows; len(rows) > 0; {
			n := min(1+rng.IntN(20), len(rows))
			parts = append(parts, kernels.Batch{Rows: rows[:n], Seqs: b.Seqs})
			rows = rows[n:]
		}
	}
	return parts
}

func TestStepAllocatesNothing(t *testing.T) {
	for _, c := range kernelstest.Cases() {
		if strings.HasPrefix(c.Name, "linear/") && !strings.Contains(c.Name, "heads") {
			continue
		}
		for _, threads := range []int{1, 2} {
			r := open(t, c, kernels.Options{MaxRows: c.MaxRows, Threads: threads})
			for i := range c.Batches {
				step(t, r, &c.Batches[i])
			}
			// The last batches again: a prompt and a decode in most cases.
			for i := range c.Batches {
				if got := testing.AllocsPerRun(3, func() { step(t, r, &c.Batches[i]) }); got != 0 {
					t.Errorf("%s, batch %d, %d threads: %v allocations", c.Name, i, threads, got)
				}
			}
			if err := r.Close(); err != nil { // threads that are made count as allocations: few at a time
				t.Error(err)
			}
		}
	}
}

func open(t testing.TB, c *kernelstest.Case, opt kernels.Options) kernels.Runner {
	t.Helper()
	r, err := New().Compile(kernels.Whole(c.Program), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for g := range c.Program.Groups {
		if err := r.Reserve(g, 64); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func step(t testing.TB, r kernels.Runner, b *kernels.Batch) []float32 {
	t.Helper()
	out, err := r.Step(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWideRows has rows that are cut for the workers, which the rows of the table are too narrow for.
func TestWideRows(t *testing.T) {
	const n = 2*serialWork + 4096
	b := kernelstest.NewBuilder("wide rows")
	x := b.Embed(n, 1)
	y := b.Op(kernels.OpGLU, kernels.GLUAttrs{Alpha: 1}, nil, x, b.Op(kernels.OpAdd, nil, nil, x, x))
	z := b.Linear(gguf.Q8_0, 7, n, y)
	traffic := kernelstest.NewTraffic(b, 1)
	var batches []kernels.Batch
	for _, rows := range []int{1, 3, 9} {
		batches = append(batches, traffic.Step(kernelstest.Run{Seq: 0, N: rows}))
	}
	c := b.Case(z, batches)
	for threads := 1; threads <= 3; threads++ {
		opt := kernels.Options{MaxRows: 16, Threads: threads}
		diff, err := kernels.Compare(kernels.Scalar{}, New(), kernels.Whole(c.Program), opt, c.Batches)
		if err != nil || diff.Relative > 0.01 {
			t.Errorf("%d threads: %v, %v", threads, diff, err)
		}
	}
}
