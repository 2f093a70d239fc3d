package reference_test

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"forge/gguf"
	"forge/kernels"
)

// builder writes a program by hand.
type builder struct {
	t       *testing.T
	f       *gguf.File
	p       *kernels.Program
	weights map[string]kernels.WeightID
	values  int
	layer   int
}

type setter interface{ Set(*kernels.Op) }

func (b *builder) weight(name string) kernels.WeightID {
	if id, ok := b.weights[name]; ok {
		return id
	}
	t := b.f.Tensor(name)
	if t == nil {
		b.t.Fatalf("no tensor %s", name)
	}
	w := kernels.Weight{Name: name, Type: t.Type, Data: t.Data()}
	for i := range t.Dims {
		w.Shape = append(w.Shape, int(t.Dims[len(t.Dims)-1-i]))
	}
	b.weights[name] = kernels.WeightID(len(b.p.Weights))
	b.p.Weights = append(b.p.Weights, w)
	return b.weights[name]
}

func (b *builder) op(code kernels.OpCode, attrs setter, weight string, in ...kernels.ValueID) kernels.ValueID {
	op := kernels.Op{Code: code, Layer: b.layer, In: in}
	if weight != "" {
		if b.layer >= 0 {
			weight = fmt.Sprintf("blk.%d.%s", b.layer, weight)
		}
		op.W = []kernels.WeightID{b.weight(weight)}
	}
	if attrs != nil {
		attrs.Set(&op)
	}
	if code != kernels.OpOutput {
		op.Out = []kernels.ValueID{kernels.ValueID(b.values)}
		b.values++
	}
	b.p.Ops = append(b.p.Ops, op)
	return kernels.ValueID(b.values - 1)
}

func (b *builder) linear(weight string, x kernels.ValueID) kernels.ValueID {
	return b.op(kernels.OpLinear, kernels.LinearAttrs{Heads: 1}, weight, x)
}

func (b *builder) size(key string) int {
	v, found, err := b.f.Uint(b.p.Name + "." + key)
	if err != nil || !found {
		b.t.Fatal(key, found, err)
	}
	return int(v)
}

func (b *builder) float(key string) float32 {
	v, found, err := b.f.Float(b.p.Name + "." + key)
	if err != nil {
		b.t.Fatal(key, err)
	}
	if !found {
		return 10000
	}
	return float32(v)
}

func newBuilder(t *testing.T, f *gguf.File, name string) *builder {
	return &builder{t: t, f: f, p: &kernels.Program{Name: name}, weights: map[string]kernels.WeightID{}, layer: -1}
}

// finish writes the end that both families share and checks the program.
func (b *builder) finish(x kernels.ValueID, norm kernels.NormAttrs) *kernels.Program {
	b.layer = -1
	x = b.op(kernels.OpRows, nil, "", x)
	x = b.op(kernels.OpNorm, norm, "output_norm.weight", x)
	output := "output.weight"
	if b.f.Tensor(output) == nil {
		output = "token_embd.weight"
	}
	b.op(kernels.OpOutput, kernels.OutputAttrs{}, "", b.linear(output, x))
	if err := b.p.Check(); err != nil {
		b.t.Fatal(err)
	}
	return b.p
}

func rope(mode kernels.RopeMode, headDim int, base float32) kernels.RopeAttrs {
	return kernels.RopeAttrs{Mode: mode, HeadDim: headDim, NRot: headDim, Base: base, FreqScale: 1, AttnFactor: 1, BetaFast: 32, BetaSlow: 1}
}

func llamaProgram(t *testing.T, f *gguf.File) *kernels.Program {
	b := newBuilder(t, f, "llama")
	nHead, headDim := b.size("attention.head_count"), b.size("embedding_length")/b.size("attention.head_count")
	norm := kernels.NormAttrs{Eps: b.float("attention.layer_norm_rms_epsilon")}
	turn := rope(kernels.RopeModePairs, headDim, b.float("rope.freq_base"))
	look := kernels.AttentionAttrs{NHead: nHead, NHeadKV: b.size("attention.head_count_kv"), HeadDimK: headDim, HeadDimV: headDim,
		Scale: float32(1 / math.Sqrt(float64(headDim))), Causal: 1}
	x := b.op(kernels.OpEmbed, nil, "token_embd.weight")
	for b.layer = 0; b.layer < b.size("block_count"); b.layer++ {
		h := b.op(kernels.OpNorm, norm, "attn_norm.weight", x)
		q := b.op(kernels.OpRope, turn, "", b.linear("attn_q.weight", h))
		k := b.op(kernels.OpRope, turn, "", b.linear("attn_k.weight", h))
		y := b.op(kernels.OpAttention, look, "", q, k, b.linear("attn_v.weight", h))
		x = b.op(kernels.OpAdd, nil, "", x, b.linear("attn_output.weight", y))
		h = b.op(kernels.OpNorm, norm, "ffn_norm.weight", x)
		gate := b.linear("ffn_gate.weight", h)
		h = b.op(kernels.OpGLU, kernels.GLUAttrs{Act: kernels.ActSiLU, Alpha: 1}, "", gate, b.linear("ffn_up.weight", h))
		x = b.op(kernels.OpAdd, nil, "", x, b.linear("ffn_down.weight", h))
	}
	return b.finish(x, norm)
}

func gemmaProgram(t *testing.T, f *gguf.File) *kernels.Program {
	b := newBuilder(t, f, "gemma3")
	headDim := b.size("attention.key_length")
	norm := kernels.NormAttrs{Eps: b.float("attention.layer_norm_rms_epsilon")}
	headNorm := kernels.NormAttrs{Eps: norm.Eps, Group: headDim}
	x := b.op(kernels.OpEmbed, nil, "token_embd.weight")
	x = b.op(kernels.OpScale, kernels.ScaleAttrs{Factor: float32(math.Sqrt(float64(b.size("embedding_length"))))}, "", x)
	for b.layer = 0; b.layer < b.size("block_count"); b.layer++ {
		look := kernels.AttentionAttrs{NHead: b.size("attention.head_count"), NHeadKV: b.size("attention.head_count_kv"), HeadDimK: headDim, HeadDimV: headDim,
			Scale: float32(1 / math.Sqrt(float64(headDim))), Causal: 1}
		turn := rope(kernels.RopeModeHalves, headDim, b.float("rope.freq_base"))
		if b.layer%6 != 5 {
			look.Window, turn.Base = b.size("attention.sliding_window"), 10000
		}
		h := b.op(kernels.OpNorm, norm, "attn_norm.weight", x)
		q := b.op(kernels.OpRope, turn, "", b.op(kernels.OpNorm, headNorm, "attn_q_norm.weight", b.linear("attn_q.weight", h)))
		k := b.op(kernels.OpRope, turn, "", b.op(kernels.OpNorm, headNorm, "attn_k_norm.weight", b.linear("attn_k.weight", h)))
		y := b.op(kernels.OpAttention, look, "", q, k, b.linear("attn_v.weight", h))
		x = b.op(kernels.OpAdd, nil, "", x, b.op(kernels.OpNorm, norm, "post_attention_norm.weight", b.linear("attn_output.weight", y)))
		h = b.op(kernels.OpNorm, norm, "ffn_norm.weight", x)
		gate := b.linear("ffn_gate.weight", h)
		h = b.op(kernels.OpGLU, kernels.GLUAttrs{Act: kernels.ActGELUTanh, Alpha: 1}, "", gate, b.linear("ffn_up.weight", h))
		x = b.op(kernels.OpAdd, nil, "", x, b.op(kernels.OpNorm, norm, "post_ffw_norm.weight", b.linear("ffn_down.weight", h)))
	}
	return b.finish(x, norm)
}

// runner compiles a program on the scalar device with pages for one sequence of n positions; pages stand in falling order.
func runner(t *testing.T, p *kernels.Program, maxRows, n int) (kernels.Runner, []kernels.Seq) {
	t.Helper()
	return runnerOn(t, kernels.Scalar{}, p, kernels.Options{MaxRows: maxRows}, n)
}

func runnerOn(t *testing.T, device kernels.Device, p *kernels.Program, opt kernels.Options, n int) (kernels.Runner, []kernels.Seq) {
	t.Helper()
	r, err := device.Compile(kernels.Whole(p), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	seq, pages := kernels.Seq{}, (n+kernels.PageSize-1)/kernels.PageSize
	for g := range p.Groups {
		if err := r.Reserve(g, pages); err != nil {
			t.Fatal(err)
		}
		table := make([]int32, pages)
		for i := range table {
			table[i] = int32(pages - 1 - i)
		}
		seq.Pages = append(seq.Pages, table)
	}
	return r, []kernels.Seq{seq}
}

// feed runs the tokens in steps of at most maxRows rows and returns the logits from position `from` on.
func feed(t *testing.T, r kernels.Runner, seqs []kernels.Seq, tokens []uint32, maxRows, from int) [][]float32 {
	t.Helper()
	var logits [][]float32
	for at := 0; at < len(tokens); at += maxRows {
		b, want := &kernels.Batch{Seqs: seqs}, 0
		for i := at; i < min(at+maxRows, len(tokens)); i++ {
			b.Rows = append(b.Rows, kernels.Row{Pos: int32(i), Token: int32(tokens[i]), Want: i >= from})
			if i >= from {
				want++
			}
		}
		out, err := r.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			n := len(out) / want
			logits = append(logits, append([]float32{}, out[i*n:(i+1)*n]...))
		}
	}
	return logits
}

var programs = map[string]func(*testing.T, *gguf.File) *kernels.Program{"llama": llamaProgram, "gemma": gemmaProgram}

// TestProgram holds the scalar device, fed in uneven steps, to the reference.
func TestProgram(t *testing.T) {
	for _, c := range append([]family{{name: "llama", model: stories}}, families...) {
		t.Run(c.model, func(t *testing.T) {
			f := openModel(t, c.model)
			tokens := []uint32{1, 403, 407, 261, 378, 432, 307, 9, 77, 100, 33, 5}
			if c.golden != "" {
				tokens = loadGolden(t, c.golden)["prose"].Prompt
			} else {
				for len(tokens) < 80 {
					tokens = append(tokens, uint32(len(tokens)*37%512))
				}
				c.forward = families[0].forward
			}
			want, err := c.forward(f, tokens)
			if err != nil {
				t.Fatal(err)
			}
			r, seqs := runner(t, programs[c.name](t, f), 7, len(tokens))
			for at, row := range feed(t, r, seqs, tokens, 7, 0) {
				for i := range row {
					if diff := math.Abs(float64(row[i] - want[at][i])); !(diff < 1e-4) {
						t.Fatalf("position %d token %d: %g, the reference has %g", at, i, row[i], want[at][i])
					}
				}
			}
		})
	}
}

// slow takes minutes on two cores.
var slow = flag.Bool("slow", false, "compare all golden prompts")

// TestProgramGolden holds the scalar device to llama.cpp's exact logits, 16 steps of each prompt. Gemma's long prompt reaches
// beyond its window.
func TestProgramGolden(t *testing.T) {
	for _, c := range families {
		t.Run(c.name, func(t *testing.T) {
			f, all := openModel(t, c.model), loadGolden(t, c.golden)
			names := []string{"code", "cjk", "empty"}
			if c.name == "gemma" && !testing.Short() {
				names = append(names, "long")
			}
			if *slow {
				names = slices.Sorted(maps.Keys(all))
			}
			for _, name := range names {
				g, start := all[name], time.Now()
				tokens := g.fed(16)
				r, seqs := runner(t, programs[c.name](t, f), 128, len(tokens))
				most, mean := g.compare(t, feed(t, r, seqs, tokens, 128, len(g.Prompt)-1))
				t.Logf("%s: %d tokens in %.1f s, logits differ by %.6f at most, %.6f on average", name, len(tokens), time.Since(start).Seconds(), most, mean)
				if most > c.most || mean > c.mean {
					t.Errorf("%s: logits differ by %.6f at most, %.6f on average, allowed are %g and %g", name, most, mean, c.most, c.mean)
				}
			}
		})
	}
}

func TestListing(t *testing.T) {
	p := llamaProgram(t, openModel(t, stories))
	var text strings.Builder
	if err := p.Listing(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"program llama: 80 operations, 47 weights of 1015.8 KiB, 580 entries of a row alive at most\n",
		"kv group 0: 5 layers, 4 heads, k[32] v[32], all positions, 1.3 KiB a position in F32\n",
		"outside the layers\n  v0[64] = embed(table=token_embd.weight F32 [512, 64])\nlayer 0\n",
		"  v2[64] = linear(v1, weight=blk.0.attn_q.weight F32 [64, 64], heads=1)\n",
		"  v7[64] = attention(v3, v5, v6, n_head=8, n_head_kv=4, head_dim_k=8, head_dim_v=8, scale=0.35355338, causal=1, window=0, softcap=0)\n",
		"  v13[172] = glu(v11, v12, act=silu, limit=0, alpha=1, up_bias=0)\n",
		" selected = rows(v75)\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no line %q in\n%.2500s", line, text.String())
		}
	}
}
