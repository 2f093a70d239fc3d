package reference

import (
	"fmt"
	"math"

	"forge/gguf"
)

// Gemma is the forward pass of Gemma 3 (text). It differs from [Llama] in what is marked with a number below:
//
//  1. embeddings are scaled by sqrt(n_embd);
//  2. five layers in six see a window of the last positions only, and turn on a base of their own;
//  3. queries and keys are normed head by head before they turn;
//  4. pairs are the halves of a head: entry i with entry i + head_dim/2;
//  5. what attention and feed-forward add to the stream is normed once more;
//  6. the gate is a tanh-approximated GELU.
//
// Source: Gemma Team 2025. Norm weights in a GGUF already contain the model's +1.
//
// tokens [T] -> logits [T, n_vocab]
func Gemma(f *gguf.File, tokens []uint32) ([][]float32, error) {
	m := open(f, "gemma3", tokens)
	nLayer := m.size("block_count")
	nEmbd := m.size("embedding_length")
	nFF := m.size("feed_forward_length")
	nHead := m.size("attention.head_count")
	nHeadKV := m.sizeOr("attention.head_count_kv", nHead)
	headDim := m.sizeOr("attention.key_length", nEmbd/nHead)
	window := m.size("attention.sliding_window")
	pattern := m.sizeOr("attention.sliding_window_pattern", 6)
	base := m.floatOr("rope.freq_base", 1e6)
	baseLocal := m.floatOr("rope.freq_base_swa", 1e4)
	slowdown := m.floatOr("rope.scaling.factor", 1)
	eps := m.floatOr("attention.layer_norm_rms_epsilon", 1e-6)
	if kind, found, _ := f.Str("gemma3.rope.scaling.type"); found && kind != "linear" && kind != "none" {
		m.fail("rope.scaling.type %q is not part of this textbook form", kind)
	}
	m.refuse("final_logit_softcapping", "attn_logit_softcapping")
	if nHead%nHeadKV != 0 || headDim < 2 || headDim%2 != 0 || m.sizeOr("attention.value_length", headDim) != headDim {
		m.fail("%d heads, %d key heads of %d: these do not fit together", nHead, nHeadKV, headDim)
	}
	if m.err != nil {
		return nil, m.err
	}
	scale := 1 / math.Sqrt(float64(headDim))
	if nLayer == 62 { // the 27B model divides by another size
		scale = 1 / math.Sqrt(float64(nEmbd/nHead))
	}

	x := m.embed("token_embd.weight", tokens, nEmbd) // [T, n_embd]
	for t := range x {
		for i := range x[t] {
			x[t][i] *= float32(math.Sqrt(float64(nEmbd))) // (1)
		}
	}
	for il := 0; il < nLayer && m.err == nil; il++ {
		blk := fmt.Sprintf("blk.%d.", il)
		angle, sees := make([]float64, headDim/2), 0
		for i := range angle {
			if il%pattern < pattern-1 { // (2) a local layer
				angle[i], sees = math.Pow(baseLocal, -2*float64(i)/float64(headDim)), window
			} else {
				angle[i] = math.Pow(base, -2*float64(i)/float64(headDim)) / slowdown
			}
		}

		h := normAll(x, m.vector(blk+"attn_norm.weight", nEmbd), eps)  // [T, n_embd]
		q := m.matmul(blk+"attn_q.weight", h, nHead*headDim)           // [T, n_head*head_dim]
		k := m.matmul(blk+"attn_k.weight", h, nHeadKV*headDim)         // [T, n_head_kv*head_dim]
		v := m.matmul(blk+"attn_v.weight", h, nHeadKV*headDim)         // [T, n_head_kv*head_dim]
		normHeads(q, m.vector(blk+"attn_q_norm.weight", headDim), eps) // (3)
		normHeads(k, m.vector(blk+"attn_k_norm.weight", headDim), eps)
		for t := range tokens {
			turnHalves(q[t], headDim, angle, t) // (4)
			turnHalves(k[t], headDim, angle, t)
		}
		y := attend(q, k, v, nHead, nHeadKV, headDim, scale, sees)                   // [T, n_head*head_dim]
		y = m.matmul(blk+"attn_output.weight", y, nEmbd)                             // [T, n_embd]
		addTo(x, normAll(y, m.vector(blk+"post_attention_norm.weight", nEmbd), eps)) // (5)

		h = normAll(x, m.vector(blk+"ffn_norm.weight", nEmbd), eps) // [T, n_embd]
		gate := m.matmul(blk+"ffn_gate.weight", h, nFF)             // [T, n_ff]
		up := m.matmul(blk+"ffn_up.weight", h, nFF)                 // [T, n_ff]
		for t := range gate {
			for i, g := range gate[t] {
				gate[t][i] = gelu(g) * up[t][i] // (6)
			}
		}
		y = m.matmul(blk+"ffn_down.weight", gate, nEmbd)
		addTo(x, normAll(y, m.vector(blk+"post_ffw_norm.weight", nEmbd), eps)) // (5)
	}
	x = normAll(x, m.vector("output_norm.weight", nEmbd), eps) // [T, n_embd]
	output := "output.weight"
	if !m.has(output) {
		output = "token_embd.weight"
	}
	return m.done(m.matmul(output, x, 0)) // [T, n_vocab]
}

// normHeads is rmsNorm of each head of each position, in place; x [T, heads*n], weight [n]
func normHeads(x [][]float32, weight []float32, eps float64) {
	n := len(weight)
	for t := range x {
		for at := 0; at < len(x[t]); at += n {
			copy(x[t][at:at+n], rmsNorm(x[t][at:at+n], weight, eps))
		}
	}
}

// turnHalves rotates entries i and i+headDim/2 of every head by pos*angle[i]; x [heads*headDim]
func turnHalves(x []float32, headDim int, angle []float64, pos int) {
	for at := 0; at < len(x); at += headDim {
		for i, a := range angle {
			rotate(&x[at+i], &x[at+i+headDim/2], float64(pos)*a)
		}
	}
}

// gelu: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
func gelu(x float32) float32 {
	v := float64(x)
	return float32(v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))))
}
