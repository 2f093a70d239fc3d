package kernelstest

import (
	"fmt"
	"sync"

	"forge/gguf"
	"forge/kernels"
)

// Cases is the table. It is made once; the cases must not be changed.
func Cases() []*Case { return table() }

var table = sync.OnceValue(func() []*Case {
	var all []*Case
	for _, part := range []func() []*Case{embedCases, normCases, linearCases, ropeCases, attentionCases, pointCases, expertCases, rowsCases, modelCases} {
		all = append(all, part()...)
	}
	return all
})

// Supported lists the formats that matrices can have.
func Supported() []gguf.Type {
	var types []gguf.Type
	for _, t := range gguf.Types() {
		if t.Supported() && t.Quantizable() {
			types = append(types, t)
		}
	}
	return types
}

// rowCounts hit the tails of tiles of rows.
var rowCounts = []int{1, 2, 3, 4, 5, 8, 9, 17, 33}

// plain are steps of one sequence with each of the row counts.
func plain(b *Builder) []kernels.Batch {
	t := NewTraffic(b, 1)
	var batches []kernels.Batch
	for _, n := range rowCounts {
		batches = append(batches, t.Step(Run{0, n}))
	}
	return batches
}

// short is one step of one row and one of five rows of two sequences.
func short(b *Builder) []kernels.Batch {
	t := NewTraffic(b, 2)
	return []kernels.Batch{t.Step(Run{0, 1}), t.Step(Run{1, 2}, Run{0, 3})}
}

// mixed are steps as a server has them: prompts beside single rows, several rows of a draft, sequences that pause.
func mixed(b *Builder) []kernels.Batch {
	t := NewTraffic(b, 4)
	return []kernels.Batch{
		t.Step(Run{0, 41}, Run{1, 3}),
		t.Step(Run{2, 64}),
		t.Step(Run{1, 5}, Run{0, 1}, Run{3, 33}, Run{2, 1}),
		t.Step(Run{0, 1}, Run{1, 1}, Run{2, 1}, Run{3, 1}),
		t.Step(Run{3, 1}),
		t.Step(Run{0, 4}, Run{3, 30}, Run{2, 2}),
		t.Step(Run{0, 1}, Run{1, 1}, Run{2, 1}, Run{3, 1}),
	}
}

func embedCases() []*Case {
	var all []*Case
	for _, t := range Supported() {
		n := 5 * t.BlockElems()
		b := NewBuilder("embed/" + t.String())
		x := b.Op(kernels.OpEmbed, nil, []kernels.WeightID{b.Weight(t, vocab, n)})
		all = append(all, b.Case(x, short(b)))
	}
	return all
}

func normCases() []*Case {
	var all []*Case
	for _, c := range []struct {
		n, group     int
		eps          float32
		weight, bias bool
	}{
		{1, 0, 1e-5, true, true}, {7, 0, 1e-6, true, true}, {31, 0, 1e-5, false, false}, {64, 0, 1e-5, true, false}, {100, 0, 0.1, true, false}, {577, 0, 1e-5, true, true},
		{640, 0, 1e-6, true, false}, {96, 32, 1e-5, true, false}, {1024, 256, 1e-6, true, false}, {45, 5, 1e-2, true, true}, {40, 8, 1e-5, false, false}, {33, 33, 1e-5, false, true},
	} {
		for _, kind := range []kernels.NormKind{kernels.NormKindRMS, kernels.NormKindLayer} {
			a := kernels.NormAttrs{Kind: kind, Eps: c.eps, Group: c.group}
			b := NewBuilder(fmt.Sprintf("norm/%s %d group %d eps %g weight %t bias %t", []string{"rms", "layer"}[kind], c.n, c.group, c.eps, c.weight, c.bias))
			x, group, w := b.Embed(c.n, 2), c.group, []kernels.WeightID{-1, -1}
			if group == 0 {
				group = c.n
			}
			if c.weight {
				w[0] = b.Vector(1, group)
			}
			if c.bias {
				w[1] = b.Vector(0.5, group)
			}
			all = append(all, b.Case(b.Op(kernels.OpNorm, a, w, x), short(b)))
		}
	}
	return all
}

func linearCases() []*Case {
	var all []*Case
	for _, t := range Supported() {
		// nOut, and nIn in blocks (entries for the plain formats)
		shapes := [][2]int{{1, 1}, {3, 1}, {5, 2}, {17, 3}, {64, 4}, {130, 5}}
		if t.BlockElems() == 1 {
			shapes = [][2]int{{1, 1}, {3, 7}, {5, 16}, {17, 31}, {64, 33}, {130, 100}, {66, 512}, {9, 1031}}
		} else if t.BlockElems() == 32 {
			shapes = append(shapes, [2]int{66, 18}, [2]int{12, 64})
		}
		for _, s := range shapes {
			nOut, nIn := s[0], s[1]*t.BlockElems()
			b := NewBuilder(fmt.Sprintf("linear/%s [%d, %d]", t, nOut, nIn))
			all = append(all, b.Case(b.Linear(t, nOut, nIn, b.Embed(nIn, 1)), plain(b)))
		}
		n := max(t.BlockElems(), 24)
		if t.BlockElems() > 1 {
			b := NewBuilder(fmt.Sprintf("linear/%s of any bits", t))
			x := b.Embed(3*n, 1)
			all = append(all, b.Case(b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{b.Bits(t, 70, 3*n)}, x), plain(b)))
		}
		b := NewBuilder(fmt.Sprintf("linear/%s bias, outliers", t))
		x := b.Op(kernels.OpEmbed, nil, []kernels.WeightID{b.Fill(gguf.F32, func(i int) float32 {
			if i%61 == 0 {
				return float32(40 * b.Rand.NormFloat64())
			}
			return float32(b.Rand.NormFloat64())
		}, vocab, 2*n)})
		all = append(all, b.Case(b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{b.Weight(t, 37, 2*n), b.Vector(0, 37)}, x), plain(b)))
		b = NewBuilder(fmt.Sprintf("linear/%s 3 heads", t))
		x = b.Embed(3*n, 1)
		all = append(all, b.Case(b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 3}, []kernels.WeightID{b.Weight(t, 3, 11, n)}, x), plain(b)))
		b = NewBuilder(fmt.Sprintf("linear/%s rows of zeros", t))
		zero := b.Op(kernels.OpEmbed, nil, []kernels.WeightID{b.Fill(gguf.F32, func(i int) float32 { return float32(i / n % 2) }, vocab, n)})
		all = append(all, b.Case(b.Linear(t, 6, n, zero), short(b)))
	}
	b := NewBuilder("linear/a vector")
	x := b.Embed(50, 1)
	all = append(all, b.Case(b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{b.Vector(0, 50)}, x), short(b)))
	// One input for three products, as q, k and v have it, of unlike formats and heights.
	b = NewBuilder("linear/three of one input")
	x = b.Embed(256, 1)
	q, k, v := b.Linear(gguf.Q4_K, 64, 256, x), b.Linear(gguf.Q8_0, 16, 256, x), b.Linear(gguf.F16, 16, 256, x)
	return append(all, b.Case(b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: 1}, nil, q, k, v), plain(b)))
}

func ropeCases() []*Case {
	var all []*Case
	base := kernels.RopeAttrs{Base: 10000, FreqScale: 1, AttnFactor: 1, BetaFast: 32, BetaSlow: 1}
	for _, c := range []struct {
		name    string
		heads   int
		factors bool
		change  func(a *kernels.RopeAttrs)
	}{
		{"head of 2", 3, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot = 2, 2 }},
		{"head of 8", 1, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot = 8, 8 }},
		{"head of 64", 9, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot, a.Base = 64, 64, 1e5 }},
		{"head of 80, 32 turn", 4, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot = 80, 32 }},
		{"head of 30, 12 turn from 7 on", 5, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot, a.First = 30, 12, 7 }},
		{"head of 192, the last 64 turn", 2, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot, a.First = 192, 64, 128 }},
		{"factors", 4, true, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot, a.Base = 64, 64, 5e5 }},
		{"linear scaling", 2, false, func(a *kernels.RopeAttrs) { a.HeadDim, a.NRot, a.FreqScale = 256, 256, 0.125 }},
		{"yarn", 3, false, func(a *kernels.RopeAttrs) {
			a.HeadDim, a.NRot, a.FreqScale, a.ExtFactor, a.NCtxOrig, a.AttnFactor = 64, 64, 0.03125, 1, 4096, 1.3466
		}},
		{"yarn, half, factors", 3, true, func(a *kernels.RopeAttrs) {
			a.HeadDim, a.NRot, a.FreqScale, a.ExtFactor, a.NCtxOrig, a.BetaFast = 34, 26, 0.25, 0.5, 128, 8
		}},
	} {
		for _, mode := range []kernels.RopeMode{kernels.RopeModePairs, kernels.RopeModeHalves} {
			b := NewBuilder(fmt.Sprintf("rope/%s %s", []string{"pairs", "halves"}[mode], c.name))
			a := base
			c.change(&a)
			a.Mode = mode
			x, w := b.Embed(c.heads*a.HeadDim, 1), []kernels.WeightID(nil)
			if c.factors {
				w = append(w, b.Fill(gguf.F32, func(int) float32 { return 1 + 7*b.Rand.Float32() }, a.NRot/2))
			}
			y := b.Op(kernels.OpRope, a, w, x)
			t := NewTraffic(b, 2)
			batches := []kernels.Batch{t.Step(Run{0, 5}, Run{1, 1})}
			t.Jump(0, 1000)
			t.Jump(1, 32000)
			all = append(all, b.Case(y, append(batches, t.Step(Run{1, 2}, Run{0, 3}))))
		}
	}
	return all
}

func attentionCases() []*Case {
	var all []*Case
	base := kernels.AttentionAttrs{Causal: 1, NHead: 4, NHeadKV: 2, HeadDimK: 64, HeadDimV: 64, Scale: 0.125}
	for _, c := range []struct {
		name   string
		sinks  bool
		long   bool
		change func(a *kernels.AttentionAttrs)
	}{
		{"grouped heads", false, false, func(a *kernels.AttentionAttrs) {}},
		{"9 heads on 3", false, true, func(a *kernels.AttentionAttrs) { a.NHead, a.NHeadKV = 9, 3 }},
		{"every head its own", false, false, func(a *kernels.AttentionAttrs) { a.NHead, a.NHeadKV, a.HeadDimK, a.HeadDimV = 3, 3, 80, 80 }},
		{"one kv head of 256", false, true, func(a *kernels.AttentionAttrs) { a.NHeadKV, a.HeadDimK, a.HeadDimV, a.Scale = 1, 256, 256, 0.0625 }},
		{"k of 192, v of 128", false, false, func(a *kernels.AttentionAttrs) { a.HeadDimK, a.HeadDimV, a.Scale = 192, 128, 0.07 }},
		{"k of 576, v of 512, 16 heads on 1", false, false, func(a *kernels.AttentionAttrs) {
			a.NHead, a.NHeadKV, a.HeadDimK, a.HeadDimV, a.Scale = 16, 1, 576, 512, 0.05
		}},
		{"heads of 5 and 3", false, false, func(a *kernels.AttentionAttrs) { a.HeadDimK, a.HeadDimV, a.Scale = 5, 3, 1 }},
		{"heads of 1", false, false, func(a *kernels.AttentionAttrs) { a.HeadDimK, a.HeadDimV, a.Scale = 1, 1, -2 }},
		{"heads of 8", false, false, func(a *kernels.AttentionAttrs) {
			a.NHead, a.NHeadKV, a.HeadDimK, a.HeadDimV, a.Scale = 8, 4, 8, 8, 0.35
		}},
		{"steep", false, true, func(a *kernels.AttentionAttrs) { a.Scale = 8 }},
		{"window of 1", false, false, func(a *kernels.AttentionAttrs) { a.Window = 1 }},
		{"window of 5", false, true, func(a *kernels.AttentionAttrs) { a.Window = 5 }},
		{"window of 32", false, false, func(a *kernels.AttentionAttrs) { a.Window = 32 }},
		{"window of 33", false, true, func(a *kernels.AttentionAttrs) { a.Window = 33 }},
		{"window of 1000", false, false, func(a *kernels.AttentionAttrs) { a.Window = 1000 }},
		{"softcap", false, false, func(a *kernels.AttentionAttrs) { a.Softcap, a.Scale = 5, 1 }},
		{"sinks", true, true, func(a *kernels.AttentionAttrs) { a.NHead = 8 }},
		{"sinks, window of 7, softcap", true, false, func(a *kernels.AttentionAttrs) { a.Window, a.Softcap, a.HeadDimK, a.HeadDimV = 7, 3, 32, 96 }},
		{"not causal", false, false, func(a *kernels.AttentionAttrs) { a.Causal = 0 }},
		{"not causal, sinks", true, false, func(a *kernels.AttentionAttrs) { a.Causal = 0 }},
	} {
		b := NewBuilder("attention/" + c.name)
		a := base
		c.change(&a)
		q, k, v := b.Embed(a.NHead*a.HeadDimK, 1), b.Embed(a.NHeadKV*a.HeadDimK, 1), b.Embed(a.NHeadKV*a.HeadDimV, 1)
		var w []kernels.WeightID
		if c.sinks {
			w = append(w, b.Vector(1, a.NHead))
		}
		// Two layers share the group, so that a device that mixes their pages up is found.
		y := b.Op(kernels.OpAttention, a, w, q, k, v)
		if a.HeadDimK == a.HeadDimV && a.NHead == a.NHeadKV {
			y = b.Op(kernels.OpAttention, a, w, q, v, y)
		} else {
			y = b.Op(kernels.OpAdd, nil, nil, y, b.Op(kernels.OpAttention, a, w, b.Op(kernels.OpScale, kernels.ScaleAttrs{Factor: -1}, nil, q), k, v))
		}
		batches := mixed(b)
		if c.long {
			t := NewTraffic(b, 2)
			batches = []kernels.Batch{t.Step(Run{0, 150}), t.Step(Run{0, 150}, Run{1, 1}), t.Step(Run{0, 1}), t.Step(Run{1, 33}, Run{0, 3})}
		}
		all = append(all, b.Case(y, batches))
	}
	return append(all, farCases()...)
}

// farCases look back over many pages with few heads: a device may share the pages of one row among its workers.
func farCases() []*Case {
	var all []*Case
	for _, window := range []int{0, 400} {
		b := NewBuilder(fmt.Sprintf("attention/far back, window of %d", window))
		a := kernels.AttentionAttrs{Causal: 1, NHead: 3, NHeadKV: 1, HeadDimK: 32, HeadDimV: 32, Scale: 0.4, Window: window}
		y := b.Op(kernels.OpAttention, a, nil, b.Embed(96, 1), b.Embed(32, 1), b.Embed(32, 1))
		t := NewTraffic(b, 2)
		all = append(all, b.Case(y, []kernels.Batch{
			t.Step(Run{0, 300}), t.Step(Run{0, 300}), t.Step(Run{0, 1}), t.Step(Run{0, 166}, Run{1, 2}), t.Step(Run{0, 1}), t.Step(Run{1, 1}, Run{0, 5}), t.Step(Run{0, 1}, Run{1, 1}),
		}))
	}
	return all
}

// pointCases are the operations that work entry by entry.
func pointCases() []*Case {
	var all []*Case
	acts := []string{"silu", "gelu", "gelu_tanh", "relu", "sigmoid", "relu_squared"}
	for i, name := range acts {
		kind := kernels.Act(i)
		for _, n := range []int{1, 31, 200} {
			b := NewBuilder(fmt.Sprintf("act/%s %d", name, n))
			all = append(all, b.Case(b.Op(kernels.OpAct, kernels.ActAttrs{Act: kind}, nil, b.Embed(n, 4)), short(b)))
			b = NewBuilder(fmt.Sprintf("glu/%s %d", name, n))
			all = append(all, b.Case(b.Op(kernels.OpGLU, kernels.GLUAttrs{Act: kind, Alpha: 1}, nil, b.Embed(n, 4), b.Embed(n, 1)), short(b)))
		}
		b := NewBuilder("act/" + name + " far out")
		all = append(all, b.Case(b.Op(kernels.OpAct, kernels.ActAttrs{Act: kind}, nil, b.Embed(64, 200)), short(b)))
		b = NewBuilder("glu/" + name + " limit, alpha, bias")
		all = append(all, b.Case(b.Op(kernels.OpGLU, kernels.GLUAttrs{Act: kind, Alpha: 1.702, Limit: 7, UpBias: 1}, nil, b.Embed(50, 6), b.Embed(50, 6)), short(b)))
	}
	for _, n := range []int{1, 15, 100} {
		b := NewBuilder(fmt.Sprintf("add/%d", n))
		all = append(all, b.Case(b.Op(kernels.OpAdd, nil, nil, b.Embed(n, 1), b.Embed(n, 1)), short(b)))
		b = NewBuilder(fmt.Sprintf("add/%d to itself", n))
		x := b.Embed(n, 1)
		all = append(all, b.Case(b.Op(kernels.OpAdd, nil, nil, x, x), short(b)))
		b = NewBuilder(fmt.Sprintf("mul/%d", n))
		all = append(all, b.Case(b.Op(kernels.OpMul, nil, nil, b.Embed(n, 1), b.Embed(n, 1)), short(b)))
		b = NewBuilder(fmt.Sprintf("mul/%d by one", n))
		all = append(all, b.Case(b.Op(kernels.OpMul, nil, nil, b.Embed(n, 1), b.Embed(1, 1)), short(b)))
		b = NewBuilder(fmt.Sprintf("scale/%d", n))
		all = append(all, b.Case(b.Op(kernels.OpScale, kernels.ScaleAttrs{Factor: -25.3}, nil, b.Embed(n, 1)), short(b)))
		b = NewBuilder(fmt.Sprintf("softcap/%d", n))
		all = append(all, b.Case(b.Op(kernels.OpSoftcap, kernels.SoftcapAttrs{Cap: 30}, nil, b.Embed(n, 30)), short(b)))
	}
	for _, a := range []kernels.ViewAttrs{{Group: 0, Offset: 0, Width: 60}, {Group: 0, Offset: 13, Width: 1}, {Group: 20, Offset: 7, Width: 11}, {Group: 6, Offset: 4, Width: 2}, {Group: 1, Offset: 0, Width: 1}} {
		b := NewBuilder(fmt.Sprintf("view/%d of %d from %d", a.Width, a.Group, a.Offset))
		all = append(all, b.Case(b.Op(kernels.OpView, a, nil, b.Embed(60, 1)), short(b)))
	}
	b := NewBuilder("concat/two")
	all = append(all, b.Case(b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: 1}, nil, b.Embed(7, 1), b.Embed(9, 1)), short(b)))
	b = NewBuilder("concat/4 heads, the second shared")
	all = append(all, b.Case(b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: 4, Shared: 2}, nil, b.Embed(4*6, 1), b.Embed(5, 1)), short(b)))
	b = NewBuilder("concat/3 heads of four")
	x := b.Embed(6, 1)
	all = append(all, b.Case(b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: 3, Shared: 5}, nil, x, b.Embed(3, 1), b.Embed(2, 1), x), short(b)))
	return all
}

func rowsCases() []*Case {
	var all []*Case
	b := NewBuilder("rows/then a product")
	x := b.Op(kernels.OpRows, nil, nil, b.Embed(64, 1))
	y := b.Linear(gguf.Q8_0, 20, 64, x)
	batches := plain(b)
	for i := range batches[3].Rows { // a step in which nobody wants output
		batches[3].Rows[i].Want = false
	}
	all = append(all, b.Case(y, batches))
	b = NewBuilder("rows/twice")
	x, y = b.Embed(10, 1), b.Embed(10, 1)
	all = append(all, b.Case(b.Op(kernels.OpAdd, nil, nil, b.Op(kernels.OpRows, nil, nil, x), b.Op(kernels.OpRows, nil, nil, y)), mixed(b)))
	for i, name := range []string{"mean", "first", "last"} {
		b := NewBuilder("pool/" + name)
		x := b.Op(kernels.OpPool, kernels.PoolAttrs{Kind: kernels.PoolKind(i)}, nil, b.Embed(33, 1))
		all = append(all, b.Case(b.Op(kernels.OpNorm, kernels.NormAttrs{Eps: 1e-5}, nil, x), mixed(b)))
	}
	return all
}
