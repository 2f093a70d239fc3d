package reference

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"forge/gguf"
)

// QwenMoE is the forward pass of Qwen3 with experts. It differs from [Llama] in what is marked with a number below:
//
//  1. queries and keys are normed head by head before they turn, in halves as [Gemma]'s do;
//  2. the feed-forward is a choice of many: a router scores all experts, each position goes through the few that it scores
//     highest, and what these say is added up by their share of the score.
//
// Sources: Qwen Team 2025; Shazeer et al. 2017 (experts).
//
// tokens [T] -> logits [T, n_vocab]
func QwenMoE(f *gguf.File, tokens []uint32) ([][]float32, error) {
	m := open(f, "qwen3moe", tokens)
	nLayer := m.size("block_count")
	nEmbd := m.size("embedding_length")
	nHead := m.size("attention.head_count")
	nHeadKV := m.sizeOr("attention.head_count_kv", nHead)
	headDim := m.sizeOr("attention.key_length", nEmbd/nHead)
	nExpert := m.size("expert_count")
	nUsed := m.size("expert_used_count")
	nFF := m.size("expert_feed_forward_length")
	base := m.floatOr("rope.freq_base", 10000)
	eps := m.floatOr("attention.layer_norm_rms_epsilon", 1e-6)
	m.refuse("rope.scaling.type", "rope.scaling.factor")
	if nHead%nHeadKV != 0 || headDim < 2 || headDim%2 != 0 || m.sizeOr("attention.value_length", headDim) != headDim || m.sizeOr("rope.dimension_count", headDim) != headDim {
		m.fail("%d heads, %d key heads of %d: these do not fit together", nHead, nHeadKV, headDim)
	}
	if nUsed > nExpert {
		m.fail("%d of %d experts cannot be used", nUsed, nExpert)
	}
	if m.err != nil {
		return nil, m.err
	}
	angle := make([]float64, headDim/2)
	for i := range angle {
		angle[i] = math.Pow(base, -2*float64(i)/float64(headDim))
	}

	x := m.embed("token_embd.weight", tokens, nEmbd) // [T, n_embd]
	for il := 0; il < nLayer && m.err == nil; il++ {
		blk := fmt.Sprintf("blk.%d.", il)
		h := normAll(x, m.vector(blk+"attn_norm.weight", nEmbd), eps)  // [T, n_embd]
		q := m.matmul(blk+"attn_q.weight", h, nHead*headDim)           // [T, n_head*head_dim]
		k := m.matmul(blk+"attn_k.weight", h, nHeadKV*headDim)         // [T, n_head_kv*head_dim]
		v := m.matmul(blk+"attn_v.weight", h, nHeadKV*headDim)         // [T, n_head_kv*head_dim]
		normHeads(q, m.vector(blk+"attn_q_norm.weight", headDim), eps) // (1)
		normHeads(k, m.vector(blk+"attn_k_norm.weight", headDim), eps)
		for t := range tokens {
			turnHalves(q[t], headDim, angle, t)
			turnHalves(k[t], headDim, angle, t)
		}
		y := attend(q, k, v, nHead, nHeadKV, headDim, 1/math.Sqrt(float64(headDim)), 0) // [T, n_head*head_dim]
		addTo(x, m.matmul(blk+"attn_output.weight", y, nEmbd))

		h = normAll(x, m.vector(blk+"ffn_norm.weight", nEmbd), eps)             // [T, n_embd]
		share := shares(m.matmul(blk+"ffn_gate_inp.weight", h, nExpert), nUsed) // [T, n_expert], 0 for those not chosen
		for e := range nExpert {                                                // (2)
			gate := m.expert(blk+"ffn_gate_exps.weight", e, h, nFF) // [T, n_ff]
			up := m.expert(blk+"ffn_up_exps.weight", e, h, nFF)     // [T, n_ff]
			for t := range gate {
				for i, g := range gate[t] {
					gate[t][i] = silu(g) * up[t][i]
				}
			}
			y := m.expert(blk+"ffn_down_exps.weight", e, gate, nEmbd) // [T, n_embd]
			for t := range y {
				for i := range y[t] {
					x[t][i] += float32(share[t][e] * float64(y[t][i]))
				}
			}
		}
	}
	x = normAll(x, m.vector("output_norm.weight", nEmbd), eps) // [T, n_embd]
	output := "output.weight"
	if !m.has(output) {
		output = "token_embd.weight"
	}
	return m.done(m.matmul(output, x, 0)) // [T, n_vocab]
}

// shares gives the n highest scores of each position their softmax among themselves and the others 0: the same as a softmax
// over all whose n largest are divided by their sum. scores [T, n_expert] -> [T, n_expert]
func shares(scores [][]float32, n int) [][]float64 {
	all := make([][]float64, len(scores))
	for t, score := range scores {
		order := make([]int, len(score))
		for e := range order {
			order[e] = e
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
		chosen := make([]float64, n)
		for i, e := range order[:n] {
			chosen[i] = float64(score[e])
		}
		softmax(chosen)
		all[t] = make([]float64, len(score))
		for i, e := range order[:n] {
			all[t][e] = chosen[i]
		}
	}
	return all
}
