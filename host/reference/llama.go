package reference

import (
	"fmt"
	"math"

	"forge/gguf"
)

// Llama is the forward pass of the dense llama family: Llama 2 and 3, SmolLM2, TinyLlama and their kin.
// Sources: Touvron et al. 2023; Su et al. 2021 (rotary positions); Shazeer 2020 (the gated feed-forward).
//
// tokens [T] -> logits [T, n_vocab]
func Llama(f *gguf.File, tokens []uint32) ([][]float32, error) {
	m := open(f, "llama", tokens)
	nLayer := m.size("block_count")
	nEmbd := m.size("embedding_length")
	nFF := m.size("feed_forward_length")
	nHead := m.size("attention.head_count")
	nHeadKV := m.sizeOr("attention.head_count_kv", nHead)
	headDim := m.sizeOr("attention.key_length", nEmbd/nHead)
	nRot := m.sizeOr("rope.dimension_count", headDim)
	base := m.floatOr("rope.freq_base", 10000)
	eps := m.floatOr("attention.layer_norm_rms_epsilon", 1e-5)
	m.refuse("expert_count", "rope.scaling.type", "rope.scaling.factor", "attention.sliding_window", "attention.scale")
	if nHead%nHeadKV != 0 || headDim < 2 || nRot%2 != 0 || nRot > headDim {
		m.fail("%d heads, %d key heads of %d, %d of them turning: these do not fit together", nHead, nHeadKV, headDim, nRot)
	}
	if m.err != nil {
		return nil, m.err
	}
	// Pair i of a head turns by angle[i] from one position to the next: fast at first, ever slower. Llama 3.1 slows some
	// pairs further, by factors that the file brings along.
	angle := make([]float64, nRot/2)
	for i := range angle {
		angle[i] = math.Pow(base, -2*float64(i)/float64(nRot))
	}
	if m.has("rope_freqs.weight") {
		for i, factor := range m.vector("rope_freqs.weight", nRot/2) {
			angle[i] /= float64(factor)
		}
	}

	x := m.embed("token_embd.weight", tokens, nEmbd) // [T, n_embd], the stream that every layer adds to
	for il := 0; il < nLayer && m.err == nil; il++ {
		blk := fmt.Sprintf("blk.%d.", il)

		// Attention: positions exchange what they know.
		h := normAll(x, m.vector(blk+"attn_norm.weight", nEmbd), eps) // [T, n_embd]
		q := m.matmul(blk+"attn_q.weight", h, nHead*headDim)          // [T, n_head*head_dim]: what a position looks for
		k := m.matmul(blk+"attn_k.weight", h, nHeadKV*headDim)        // [T, n_head_kv*head_dim]: what it offers to be found by
		v := m.matmul(blk+"attn_v.weight", h, nHeadKV*headDim)        // [T, n_head_kv*head_dim]: what it says when found
		for t := range tokens {
			turnPairs(q[t], headDim, angle, t)
			turnPairs(k[t], headDim, angle, t)
		}
		y := attend(q, k, v, nHead, nHeadKV, headDim, 1/math.Sqrt(float64(headDim)), 0) // [T, n_head*head_dim]
		addTo(x, m.matmul(blk+"attn_output.weight", y, nEmbd))

		// Feed-forward: each position thinks for itself.
		h = normAll(x, m.vector(blk+"ffn_norm.weight", nEmbd), eps) // [T, n_embd]
		gate := m.matmul(blk+"ffn_gate.weight", h, nFF)             // [T, n_ff]
		up := m.matmul(blk+"ffn_up.weight", h, nFF)                 // [T, n_ff]
		for t := range gate {
			for i, g := range gate[t] {
				gate[t][i] = silu(g) * up[t][i]
			}
		}
		addTo(x, m.matmul(blk+"ffn_down.weight", gate, nEmbd))
	}
	x = normAll(x, m.vector("output_norm.weight", nEmbd), eps) // [T, n_embd]

	// Logits compare the stream with every token's output row; small models use the embedding table for it.
	output := "output.weight"
	if !m.has(output) {
		output = "token_embd.weight"
	}
	return m.done(m.matmul(output, x, 0)) // [T, n_vocab]
}

// turnPairs rotates the neighbours (2i, 2i+1) of every head by pos*angle[i]; x [heads*headDim]. The rows of attn_q and
// attn_k in a llama GGUF are ordered for this form.
func turnPairs(x []float32, headDim int, angle []float64, pos int) {
	for at := 0; at < len(x); at += headDim {
		for i, a := range angle {
			rotate(&x[at+2*i], &x[at+2*i+1], float64(pos)*a)
		}
	}
}

// silu: x * sigmoid(x)
func silu(x float32) float32 { return float32(float64(x) / (1 + math.Exp(-float64(x)))) }
