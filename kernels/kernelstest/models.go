package kernelstest

import (
	"fmt"

	"forge/gguf"
	"forge/kernels"
)

func expertCases() []*Case {
	var all []*Case
	for _, c := range []struct {
		name string
		n    int
		bias bool
		a    kernels.RouteAttrs
	}{
		{"softmax, 1 of 2", 2, false, kernels.RouteAttrs{Score: kernels.RouteScoreSoftmax, TopK: 1}},
		{"softmax, 4 of 16, renormalised", 16, false, kernels.RouteAttrs{Score: kernels.RouteScoreSoftmax, TopK: 4, Renormalise: 1}},
		{"softmax, all 5", 5, false, kernels.RouteAttrs{Score: kernels.RouteScoreSoftmax, TopK: 5}},
		{"sigmoid, bias, factor", 12, true, kernels.RouteAttrs{Score: kernels.RouteScoreSigmoid, TopK: 3, Renormalise: 1, Factor: 2.5}},
		{"sigmoid, bias, 2 groups of 4", 16, true, kernels.RouteAttrs{Score: kernels.RouteScoreSigmoid, TopK: 4, NGroup: 4, NGroupUsed: 2, Renormalise: 1, Factor: 2.5}},
		{"softmax, 3 groups of 6 with one expert", 6, false, kernels.RouteAttrs{Score: kernels.RouteScoreSoftmax, TopK: 2, NGroup: 6, NGroupUsed: 3}},
		{"softmax of the chosen, bias", 8, true, kernels.RouteAttrs{Score: kernels.RouteScoreSoftmaxChosen, TopK: 3}},
	} {
		b := NewBuilder("route/" + c.name)
		routes := b.route(c.a, c.n, c.bias)
		all = append(all, b.Case(b.experts(gguf.F32, b.Embed(8, 1), routes, c.n, 8, 5, kernels.ExpertsAttrs{Alpha: 1}, false), mixed(b)))
	}
	for _, t := range Supported() {
		n := max(t.BlockElems(), 24)
		b := NewBuilder(fmt.Sprintf("experts/%s", t))
		routes := b.route(kernels.RouteAttrs{TopK: 2}, 6, false)
		all = append(all, b.Case(b.experts(t, b.Embed(2*n, 1), routes, 6, 2*n, n, kernels.ExpertsAttrs{Alpha: 1}, false), plain(b)))
	}
	b := NewBuilder("experts/biases, limit, alpha")
	routes := b.route(kernels.RouteAttrs{TopK: 2, Score: kernels.RouteScoreSoftmaxChosen}, 4, true)
	a := kernels.ExpertsAttrs{Alpha: 1.702, Limit: 7, UpAdd: 1}
	all = append(all, b.Case(b.experts(gguf.MXFP4, b.Embed(64, 6), routes, 4, 64, 96, a, true), plain(b)))
	b = NewBuilder("experts/gelu_tanh, one row of output")
	routes = b.route(kernels.RouteAttrs{TopK: 1}, 3, false)
	return append(all, b.Case(b.experts(gguf.F16, b.Embed(33, 1), routes, 3, 33, 1, kernels.ExpertsAttrs{Act: kernels.ActGELUTanh, Alpha: 1}, true), plain(b)))
}

// route draws scores for each token and routes by them; zero attributes take their defaults.
func (b *Builder) route(a kernels.RouteAttrs, n int, bias bool) kernels.ValueID {
	a.NGroup, a.NGroupUsed = max(a.NGroup, 1), max(a.NGroupUsed, 1)
	if a.Factor == 0 {
		a.Factor = 1
	}
	var w []kernels.WeightID
	if bias {
		w = append(w, b.Vector(0, n))
	}
	return b.Op(kernels.OpRoute, a, w, b.Embed(n, 2))
}

func (b *Builder) experts(t gguf.Type, x, routes kernels.ValueID, count, n, nFF int, a kernels.ExpertsAttrs, biases bool) kernels.ValueID {
	w := []kernels.WeightID{b.Weight(t, count, nFF, n), b.Weight(t, count, nFF, n), b.Weight(t, count, n, nFF)}
	if biases {
		small := func(int) float32 { return float32(0.3 * b.Rand.NormFloat64()) }
		w = append(w, b.Fill(gguf.F32, small, count, nFF), b.Fill(gguf.F32, small, count, nFF), b.Fill(gguf.F32, small, count, n))
	}
	return b.Op(kernels.OpExperts, a, w, x, routes)
}

// modelCases are whole models of two or three layers: fused kernels show in them, and errors that add up.
func modelCases() []*Case {
	var all []*Case
	for _, t := range []gguf.Type{gguf.F32, gguf.F16, gguf.Q4_0, gguf.Q4_1, gguf.Q8_0} {
		b := NewBuilder(fmt.Sprintf("model/llama %s", t))
		x := b.Embed(96, 1)
		for b.Layer = 0; b.Layer < 3; b.Layer++ {
			x = b.llamaLayer(t, x, 96, 32, 3, 1, 160)
		}
		all = append(all, b.Case(b.head(t, x, 96), mixed(b)))
	}
	b := NewBuilder("model/llama Q4_K and Q6_K")
	x := b.Embed(256, 1)
	for b.Layer = 0; b.Layer < 2; b.Layer++ {
		x = b.llamaLayer([]gguf.Type{gguf.Q4_K, gguf.Q6_K}[b.Layer], x, 256, 64, 4, 2, 512)
	}
	all = append(all, b.Case(b.head(gguf.Q6_K, x, 256), mixed(b)))

	b = NewBuilder("model/gemma")
	x = b.Op(kernels.OpScale, kernels.ScaleAttrs{Factor: 8}, nil, b.Embed(64, 1))
	for b.Layer = 0; b.Layer < 3; b.Layer++ {
		x = b.gemmaLayer(gguf.Q5_0, x, 64, 64, 2, 1, 128)
	}
	all = append(all, b.Case(b.Op(kernels.OpSoftcap, kernels.SoftcapAttrs{Cap: 30}, nil, b.head(gguf.Q8_0, x, 64)), mixed(b)))

	b = NewBuilder("model/experts")
	x = b.Embed(64, 1)
	for b.Layer = 0; b.Layer < 2; b.Layer++ {
		h := b.norm(x, 64)
		q, k, v := b.Linear(gguf.Q8_0, 128, 64, h), b.Linear(gguf.Q8_0, 64, 64, h), b.Linear(gguf.Q8_0, 64, 64, h)
		look := kernels.AttentionAttrs{NHead: 4, NHeadKV: 2, HeadDimK: 32, HeadDimV: 32, Scale: 0.18, Causal: 1, Window: 16 * (1 - b.Layer)}
		y := b.Op(kernels.OpAttention, look, []kernels.WeightID{b.Vector(0.5, 4)}, b.turn(kernels.RopeModeHalves, q, 32), b.turn(kernels.RopeModeHalves, k, 32), v)
		x = b.Op(kernels.OpAdd, nil, nil, x, b.Linear(gguf.Q8_0, 64, 128, y))
		h = b.norm(x, 64)
		routes := b.route(kernels.RouteAttrs{TopK: 2, Renormalise: 1}, 8, false) // by the token alone: no rounding can change it
		y = b.experts(gguf.Q4_0, h, routes, 8, 64, 96, kernels.ExpertsAttrs{Alpha: 1}, false)
		shared := b.Op(kernels.OpGLU, kernels.GLUAttrs{Alpha: 1}, nil, b.Linear(gguf.Q4_0, 96, 64, h), b.Linear(gguf.Q4_0, 96, 64, h))
		open := b.Op(kernels.OpAct, kernels.ActAttrs{Act: kernels.ActSigmoid}, nil, b.Linear(gguf.F32, 1, 64, h))
		shared = b.Op(kernels.OpMul, nil, nil, b.Linear(gguf.Q4_0, 64, 96, shared), open)
		x = b.Op(kernels.OpAdd, nil, nil, x, b.Op(kernels.OpAdd, nil, nil, y, shared))
	}
	all = append(all, b.Case(b.head(gguf.Q8_0, x, 64), mixed(b)))

	b = NewBuilder("model/latent attention")
	x = b.Embed(64, 1)
	for b.Layer = 0; b.Layer < 2; b.Layer++ {
		x = b.Op(kernels.OpAdd, nil, nil, x, b.latent(b.norm(x, 64)))
	}
	all = append(all, b.Case(b.head(gguf.F16, x, 64), mixed(b)))

	b = NewBuilder("model/embedding, fused qkv")
	x = b.Embed(64, 1)
	for b.Layer = 0; b.Layer < 2; b.Layer++ {
		qkv := b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, []kernels.WeightID{b.Weight(gguf.Q8_0, 192, 64), b.Vector(0, 192)}, x)
		part := func(i int) kernels.ValueID {
			return b.Op(kernels.OpView, kernels.ViewAttrs{Offset: 64 * i, Width: 64}, nil, qkv)
		}
		q, k, v := part(0), part(1), part(2)
		y := b.Op(kernels.OpAttention, kernels.AttentionAttrs{NHead: 2, NHeadKV: 2, HeadDimK: 32, HeadDimV: 32, Scale: 0.18}, nil, q, k, v)
		x = b.Op(kernels.OpAdd, nil, nil, x, b.Linear(gguf.Q8_0, 64, 64, y))
		x = b.Op(kernels.OpNorm, kernels.NormAttrs{Kind: kernels.NormKindLayer, Eps: 1e-5}, []kernels.WeightID{b.Vector(1, 64), b.Vector(0, 64)}, x)
		up := b.Op(kernels.OpAct, kernels.ActAttrs{Act: kernels.ActGELU}, nil, b.Linear(gguf.F16, 100, 64, x))
		x = b.Op(kernels.OpAdd, nil, nil, x, b.Linear(gguf.F16, 64, 100, up))
	}
	return append(all, b.Case(b.Op(kernels.OpPool, kernels.PoolAttrs{Kind: kernels.PoolKindMean}, nil, x), mixed(b)))
}

func (b *Builder) norm(x kernels.ValueID, n int) kernels.ValueID {
	return b.Op(kernels.OpNorm, kernels.NormAttrs{Eps: 1e-5}, []kernels.WeightID{b.Vector(1, n)}, x)
}

func (b *Builder) turn(mode kernels.RopeMode, x kernels.ValueID, headDim int) kernels.ValueID {
	a := kernels.RopeAttrs{Mode: mode, HeadDim: headDim, NRot: headDim, Base: 10000, FreqScale: 1, AttnFactor: 1, BetaFast: 32, BetaSlow: 1}
	return b.Op(kernels.OpRope, a, nil, x)
}

// head is the end of a model: the rows that want output, a norm, logits.
func (b *Builder) head(t gguf.Type, x kernels.ValueID, n int) kernels.ValueID {
	b.Layer = -1
	return b.Linear(t, 50, n, b.norm(b.Op(kernels.OpRows, nil, nil, x), n))
}

func (b *Builder) llamaLayer(t gguf.Type, x kernels.ValueID, n, headDim, nHead, nHeadKV, nFF int) kernels.ValueID {
	h := b.norm(x, n)
	q := b.turn(kernels.RopeModePairs, b.Linear(t, nHead*headDim, n, h), headDim)
	k := b.turn(kernels.RopeModePairs, b.Linear(t, nHeadKV*headDim, n, h), headDim)
	v := b.Linear(t, nHeadKV*headDim, n, h)
	look := kernels.AttentionAttrs{NHead: nHead, NHeadKV: nHeadKV, HeadDimK: headDim, HeadDimV: headDim, Scale: 0.15, Causal: 1}
	y := b.Op(kernels.OpAttention, look, nil, q, k, v)
	x = b.Op(kernels.OpAdd, nil, nil, x, b.Linear(t, n, nHead*headDim, y))
	h = b.norm(x, n)
	h = b.Op(kernels.OpGLU, kernels.GLUAttrs{Alpha: 1}, nil, b.Linear(t, nFF, n, h), b.Linear(t, nFF, n, h))
	return b.Op(kernels.OpAdd, nil, nil, x, b.Linear(t, n, nFF, h))
}

func (b *Builder) gemmaLayer(t gguf.Type, x kernels.ValueID, n, headDim, nHead, nHeadKV, nFF int) kernels.ValueID {
	perHead := func(x kernels.ValueID) kernels.ValueID {
		return b.Op(kernels.OpNorm, kernels.NormAttrs{Eps: 1e-6, Group: headDim}, []kernels.WeightID{b.Vector(1, headDim)}, x)
	}
	h := b.norm(x, n)
	q := b.turn(kernels.RopeModeHalves, perHead(b.Linear(t, nHead*headDim, n, h)), headDim)
	k := b.turn(kernels.RopeModeHalves, perHead(b.Linear(t, nHeadKV*headDim, n, h)), headDim)
	v := b.Linear(t, nHeadKV*headDim, n, h)
	look := kernels.AttentionAttrs{NHead: nHead, NHeadKV: nHeadKV, HeadDimK: headDim, HeadDimV: headDim, Scale: 0.125, Causal: 1}
	if b.Layer%3 != 2 {
		look.Window = 16
	}
	y := b.Op(kernels.OpAttention, look, nil, q, k, v)
	x = b.Op(kernels.OpAdd, nil, nil, x, b.norm(b.Linear(t, n, nHead*headDim, y), n))
	h = b.norm(x, n)
	h = b.Op(kernels.OpGLU, kernels.GLUAttrs{Act: kernels.ActGELUTanh, Alpha: 1}, nil, b.Linear(t, nFF, n, h), b.Linear(t, nFF, n, h))
	return b.Op(kernels.OpAdd, nil, nil, x, b.norm(b.Linear(t, n, nFF, h), n))
}

// latent is attention over compressed keys and values, as DeepSeek's models have it: 4 heads of [nope 16, rope 8] query
// a single key head of [latent 32, rope 8], whose latent part is the value too.
func (b *Builder) latent(h kernels.ValueID) kernels.ValueID {
	const heads, nope, rot, latent = 4, 16, 8, 32
	turn := kernels.RopeAttrs{HeadDim: rot, NRot: rot, Base: 10000, FreqScale: 1, AttnFactor: 1, BetaFast: 32, BetaSlow: 1}
	perHead := func(nOut, nIn int, x kernels.ValueID) kernels.ValueID {
		return b.Op(kernels.OpLinear, kernels.LinearAttrs{Heads: heads}, []kernels.WeightID{b.Weight(gguf.F16, heads, nOut, nIn)}, x)
	}
	part := func(x kernels.ValueID, group, offset, width int) kernels.ValueID {
		return b.Op(kernels.OpView, kernels.ViewAttrs{Group: group, Offset: offset, Width: width}, nil, x)
	}
	q := b.Linear(gguf.Q8_0, heads*(nope+rot), 64, h)
	qNope := perHead(latent, nope, part(q, nope+rot, 0, nope))
	qRot := b.Op(kernels.OpRope, turn, nil, part(q, nope+rot, nope, rot))
	q = b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: heads}, nil, qNope, qRot)
	kv := b.Linear(gguf.Q8_0, latent+rot, 64, h)
	small := b.norm(part(kv, 0, 0, latent), latent)
	k := b.Op(kernels.OpConcat, kernels.ConcatAttrs{Heads: 1}, nil, small, b.Op(kernels.OpRope, turn, nil, part(kv, 0, latent, rot)))
	look := kernels.AttentionAttrs{NHead: heads, NHeadKV: 1, HeadDimK: latent + rot, HeadDimV: latent, Scale: 0.2, Causal: 1}
	y := b.Op(kernels.OpAttention, look, nil, q, k, small)
	return b.Linear(gguf.F16, 64, heads*24, perHead(24, latent, y))
}
