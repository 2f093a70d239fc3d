package kernels_test

import (
	"math"
	"testing"

	"forge/gguf"
	"forge/kernels"
	"forge/kernels/kernelstest"
)

// bench builds one program over given numbers.
type bench struct {
	*kernelstest.Builder
	rows int
}

// weight is an F32 tensor of the given entries.
func (b *bench) weight(x []float32, shape ...int) kernels.WeightID {
	return b.Fill(gguf.F32, func(i int) float32 { return x[i] }, shape...)
}

// input is a value whose row t is the t-th of the given rows.
func (b *bench) input(rows ...[]float32) kernels.ValueID {
	var all []float32
	for _, r := range rows {
		all = append(all, r...)
	}
	b.rows = max(b.rows, len(rows))
	return b.Op(kernels.OpEmbed, nil, []kernels.WeightID{b.weight(all, len(rows), len(rows[0]))})
}

// TestFormulas holds each operation to numbers that were not computed here: NumPy in float64 from the published formulas,
// for YaRN the angles of Hugging Face's transformers (modeling_rope_utils), for the clamped gate those of its gpt-oss.
func TestFormulas(t *testing.T) {
	x := []float32{1, -2, 3, 0.5}
	w, bias := []float32{1, 2, -1, 0.5}, []float32{0, 0.1, 0.2, 0.3}
	k := [][]float32{{1, 0}, {0, 1}, {1, 1}}
	v := [][]float32{{1, 2}, {3, 4}, {5, 6}}
	q := [][]float32{{0, 0, 0, 0}, {0, 0, 0, 0}, {1, 0.5, -1, 2}}
	attention := func(a kernels.AttentionAttrs, sinks ...float32) func(b *bench) kernels.ValueID {
		return func(b *bench) kernels.ValueID {
			a.NHead, a.NHeadKV, a.HeadDimK, a.HeadDimV, a.Scale = 2, 1, 2, 2, 0.7
			var w []kernels.WeightID
			if sinks != nil {
				w = append(w, b.weight(sinks, 2))
			}
			return b.Op(kernels.OpAttention, a, w, b.input(q...), b.input(k...), b.input(v...))
		}
	}
	scores := []float32{.3, -.2, 1.5, -1, .9, .8, -.5, 2}
	route := func(a kernels.RouteAttrs, bias ...float32) func(b *bench) kernels.ValueID {
		return func(b *bench) kernels.ValueID { return b.weightsOf(scores, bias, a) }
	}
	yarn := func(a kernels.RopeAttrs) func(b *bench) kernels.ValueID {
		return func(b *bench) kernels.ValueID {
			a.HeadDim, a.NRot, a.AttnFactor, a.Mode, a.ExtFactor, a.BetaSlow = 16, 16, 1, kernels.RopeModeHalves, 1, 1
			one := []float32{1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}
			// At position 1 the second half holds the sines of the angles.
			return b.Op(kernels.OpView, kernels.ViewAttrs{Offset: 8, Width: 8}, nil, b.Op(kernels.OpRope, a, nil, b.input(one, one)))
		}
	}
	sines := func(angles ...float64) []float64 {
		for i := range angles {
			angles[i] = math.Sin(angles[i])
		}
		return angles
	}
	for _, c := range []struct {
		name  string
		build func(b *bench) kernels.ValueID
		want  []float64 // of the last row
	}{
		{"layer norm", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpNorm, kernels.NormAttrs{Kind: kernels.NormKindLayer, Eps: 0.01}, []kernels.WeightID{b.weight(w, 4), b.weight(bias, 4)}, b.input(x))
		}, []float64{0.210227589, -2.843186252, -1.1314414, 0.264962068}},
		{"rms norm", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpNorm, kernels.NormAttrs{Eps: 0.01}, []kernels.WeightID{b.weight(w, 4), b.weight(bias, 4)}, b.input(x))
		}, []float64{0.529070908, -2.01628363, -1.387212723, 0.432267727}},
		{"rms norm by groups", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpNorm, kernels.NormAttrs{Eps: 0.01, Group: 2}, nil, b.input(x))
		}, []float64{0.631194403, -1.262388806, 1.393466029, 0.232244338}},
		{"gelu", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpAct, kernels.ActAttrs{Act: kernels.ActGELU}, nil, b.input(x))
		}, []float64{0.8413447460685429, -0.04550026389635842, 2.99595030590511, 0.34573123063700656}},
		{"gelu_tanh", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpAct, kernels.ActAttrs{Act: kernels.ActGELUTanh}, nil, b.input(x))
		}, []float64{0.8411919906082768, -0.04540230591222494, 2.996362607918227, 0.34571400982514394}},
		{"relu squared", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpAct, kernels.ActAttrs{Act: kernels.ActReLUSquared}, nil, b.input(x))
		}, []float64{1, 0, 9, 0.25}},
		{"gate of gpt-oss", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpGLU, kernels.GLUAttrs{Alpha: 1.702, Limit: 7, UpBias: 1}, nil, b.input([]float32{1, -2, 9, .5}), b.input([]float32{3, 8, -9, .25}))
		}, []float64{3.383183064, -0.514731015, -41.99971877, 0.437985546}},
		{"attention", attention(kernels.AttentionAttrs{Causal: 1}), []float64{3.268310071, 4.268310071, 3.46216088, 4.46216088}},
		{"attention, window", attention(kernels.AttentionAttrs{Causal: 1, Window: 2}), []float64{4.336375544, 5.336375544, 3.663624456, 4.663624456}},
		{"attention, softcap", attention(kernels.AttentionAttrs{Causal: 1, Softcap: 0.5}), []float64{3.029850565, 4.029850565, 3.476100979, 4.476100979}},
		{"attention, sinks", attention(kernels.AttentionAttrs{Causal: 1}, 0.3, -1), []float64{2.690879904, 3.514204449, 3.278462462, 4.225403571}},
		{"attention, not causal", func(b *bench) kernels.ValueID { // the first row, which sees the later ones
			return b.Op(kernels.OpPool, kernels.PoolAttrs{Kind: kernels.PoolKindFirst}, nil, attention(kernels.AttentionAttrs{})(b))
		}, []float64{3, 4, 3, 4}},
		{"yarn, base 150000, factor 32", yarn(kernels.RopeAttrs{Base: 150000, FreqScale: 1. / 32, NCtxOrig: 4096, BetaFast: 32}),
			sines(1, 2.254180002e-01, 5.081327482e-02, 7.755466058e-03, 9.144544012e-04, 1.818833668e-05, 4.099978482e-06, 9.242089502e-07)},
		{"yarn, base 10000, factor 4", yarn(kernels.RopeAttrs{Base: 10000, FreqScale: 1. / 4, NCtxOrig: 256, BetaFast: 8}),
			sines(1, 3.16227766e-01, 7.5e-02, 1.58113883e-02, 2.5e-03, 7.90569415e-04, 2.5e-04, 7.90569415e-05)},
		{"route: softmax", route(kernels.RouteAttrs{TopK: 3, NGroup: 1, NGroupUsed: 1, Factor: 1}), []float64{0, 0, 0.227509739, 0, 0.124859992, 0, 0, 0.375100146}},
		{"route: softmax, renormalised", route(kernels.RouteAttrs{TopK: 3, NGroup: 1, NGroupUsed: 1, Factor: 1, Renormalise: 1}),
			[]float64{0, 0, 0.312741113, 0, 0.171635962, 0, 0, 0.515622925}},
		{"route: sigmoid, bias, 2 of 4 groups", route(kernels.RouteAttrs{Score: kernels.RouteScoreSigmoid, TopK: 3, NGroup: 4, NGroupUsed: 2, Factor: 2.5, Renormalise: 1},
			.1, 0, -.4, .2, 0, .05, .6, -.9), []float64{0.72700752, 0, 0, 0, 0.89976911, 0.87322338, 0, 0}},
		{"route: softmax of the chosen", route(kernels.RouteAttrs{Score: kernels.RouteScoreSoftmaxChosen, TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1},
			0, 0, 0, 0, 1, 0, 0, 0), []float64{0, 0, 0, 0, 0.249739894, 0, 0, 0.750260106}},
		{"route: sigmoid, the sum is below 2^-14", func(b *bench) kernels.ValueID {
			a := kernels.RouteAttrs{Score: kernels.RouteScoreSigmoid, TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1, Renormalise: 1}
			return b.weightsOf([]float32{-12, -700, -11, -90}, nil, a)
		}, []float64{0.10066615668268594, 0, 0.27363609555919144, 0}},
		{"route: softmax, far apart and equal", func(b *bench) kernels.ValueID {
			a := kernels.RouteAttrs{TopK: 3, NGroup: 1, NGroupUsed: 1, Factor: 1}
			return b.weightsOf([]float32{-3e38, 800, -800, 800, -900}, nil, a) // -800 is chosen, at a weight of 0
		}, []float64{0, 0.5, 0, 0.5, 0}},
		{"experts, biases", func(b *bench) kernels.ValueID {
			// Only expert 1 is chosen: relu(2*3 + 0.5) * (4*3 - 1) * 5 + 10, times factor 2.
			routes := b.Op(kernels.OpRoute, kernels.RouteAttrs{TopK: 1, NGroup: 1, NGroupUsed: 1, Factor: 2, Renormalise: 1}, nil, b.input([]float32{0, 1}))
			two := func(x float32, shape ...int) kernels.WeightID { return b.weight([]float32{99, x}, shape...) }
			w := []kernels.WeightID{two(2, 2, 1, 1), two(4, 2, 1, 1), two(5, 2, 1, 1), two(0.5, 2, 1), two(-1, 2, 1), two(10, 2, 1)}
			return b.Op(kernels.OpExperts, kernels.ExpertsAttrs{Act: kernels.ActReLU, Alpha: 1}, w, b.input([]float32{3}), routes)
		}, []float64{2 * (6.5*11*5 + 10)}},
		{"linear, 2 heads", func(b *bench) kernels.ValueID {
			m := b.weight([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 3, 2)
			return b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 2}, []kernels.WeightID{m}, b.input([]float32{1, -1, 10, 1}))
		}, []float64{-1, -1, -1, 78, 100, 122}},
		{"linear, bias", func(b *bench) kernels.ValueID {
			m := b.weight([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
			return b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{m, b.weight([]float32{0.5, 0, -7}, 3)}, b.input([]float32{0, 0}, []float32{1, 10}))
		}, []float64{21.5, 43, 58}},
		{"view", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpView, kernels.ViewAttrs{Group: 3, Offset: 1, Width: 2}, nil, b.input([]float32{1, 2, 3, 4, 5, 6}))
		}, []float64{2, 3, 5, 6}},
		{"concat", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: 2, Shared: 2}, nil, b.input([]float32{1, 2, 3, 4}), b.input([]float32{8, 9}), b.input([]float32{5, 6}))
		}, []float64{1, 2, 8, 9, 5, 3, 4, 8, 9, 6}},
		{"mul by one", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpMul, nil, nil, b.input([]float32{1, 2}, []float32{3, 4}), b.input([]float32{5}, []float32{-2}))
		}, []float64{-6, -8}},
		{"softcap", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpSoftcap, kernels.SoftcapAttrs{Cap: 2}, nil, b.input([]float32{0, 2, -40}))
		}, []float64{0, 2 * 0.761594156, -2}},
		{"pool: mean", func(b *bench) kernels.ValueID {
			return b.Op(kernels.OpPool, kernels.PoolAttrs{Kind: kernels.PoolKindMean}, nil, b.input([]float32{1, 2}, []float32{3, 4}, []float32{5, 12}))
		}, []float64{3, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{Builder: kernelstest.NewBuilder(c.name)}
			got := b.run(t, c.build(b), len(c.want))
			for i, want := range c.want {
				if diff := math.Abs(float64(got[i]) - want); !(diff <= 2e-7*max(1, math.Abs(want))) {
					t.Errorf("entry %d is %.9g, not %.9g", i, got[i], want)
				}
			}
		})
	}
}

// weightsOf is a value whose entry e is the weight that the route gives to expert e, 0 if it is not chosen: expert e puts
// one into entry e.
func (b *bench) weightsOf(scores, bias []float32, a kernels.RouteAttrs) kernels.ValueID {
	n := len(scores)
	var w []kernels.WeightID
	if bias != nil {
		w = append(w, b.weight(bias, n))
	}
	routes := b.Op(kernels.OpRoute, a, w, b.input(scores))
	first, unit, x := make([]float32, n*n), make([]float32, n*n), make([]float32, n)
	for e := range n {
		first[e*n], unit[e*n+e] = 1, 1
	}
	x[0] = 1
	gate := b.weight(first, n, 1, n)
	return b.Op(kernels.OpExperts, kernels.ExpertsAttrs{Act: kernels.ActReLU, Alpha: 1}, []kernels.WeightID{gate, gate, b.weight(unit, n, n, 1)}, b.input(x), routes)
}

// run feeds tokens 0, 1, ... as one sequence and returns the last row.
func (b *bench) run(t *testing.T, x kernels.ValueID, n int) []float32 {
	t.Helper()
	batch := kernelstest.NewTraffic(b.Builder, 1).Step(kernelstest.Run{N: b.rows})
	for i := range batch.Rows {
		batch.Rows[i].Token = int32(i)
	}
	c := b.Case(x, []kernels.Batch{batch})
	out, err := kernels.Outputs(kernels.Scalar{}, kernels.Whole(c.Program), kernels.Options{MaxRows: b.rows}, c.Batches)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < n || len(out)%n != 0 {
		t.Fatalf("%d entries, rows of %d are wanted", len(out), n)
	}
	return out[len(out)-n:]
}
