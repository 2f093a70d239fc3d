package plugins_test

import (
	"fmt"
	"strings"
	"testing"
)

// qwen is a small model of 2 layers of an architecture of the qwen2 and qwen3 families; experts, if there are any, have 24
// entries and the shared one 40.
func qwen(arch string) file {
	f := file{meta: map[string]any{
		"general.architecture": arch, arch + ".block_count": 2, arch + ".context_length": 4096, arch + ".embedding_length": 32,
		arch + ".feed_forward_length": 96, arch + ".attention.head_count": 4, arch + ".attention.head_count_kv": 2,
		arch + ".rope.freq_base": 1000000.0, arch + ".attention.layer_norm_rms_epsilon": 1e-6,
	}, tensors: map[string][]int{"token_embd.weight": {100, 32}, "output_norm.weight": {32}}}
	qwen3, moe, headDim := arch[:5] == "qwen3", len(arch) > 5, 8
	if qwen3 {
		headDim = 16
		f.meta[arch+".attention.key_length"], f.meta[arch+".attention.value_length"] = headDim, headDim
	}
	layer := map[string][]int{
		"attn_norm.weight": {32}, "attn_q.weight": {4 * headDim, 32}, "attn_k.weight": {2 * headDim, 32}, "attn_v.weight": {2 * headDim, 32},
		"attn_output.weight": {32, 4 * headDim}, "ffn_norm.weight": {32},
	}
	add := func(more map[string][]int) {
		for name, dims := range more {
			layer[name] = dims
		}
	}
	if qwen3 {
		add(map[string][]int{"attn_q_norm.weight": {headDim}, "attn_k_norm.weight": {headDim}})
	} else {
		add(map[string][]int{"attn_q.bias": {4 * headDim}, "attn_k.bias": {2 * headDim}, "attn_v.bias": {2 * headDim}})
	}
	if moe {
		f.meta[arch+".expert_count"], f.meta[arch+".expert_used_count"], f.meta[arch+".expert_feed_forward_length"] = 8, 3, 24
		add(map[string][]int{
			"ffn_gate_inp.weight": {8, 32}, "ffn_gate_exps.weight": {8, 24, 32}, "ffn_up_exps.weight": {8, 24, 32}, "ffn_down_exps.weight": {8, 32, 24},
		})
	} else {
		add(map[string][]int{"ffn_gate.weight": {96, 32}, "ffn_up.weight": {96, 32}, "ffn_down.weight": {32, 96}})
	}
	if arch == "qwen2moe" {
		add(map[string][]int{
			"ffn_gate_inp_shexp.weight": {32}, "ffn_gate_shexp.weight": {40, 32}, "ffn_up_shexp.weight": {40, 32}, "ffn_down_shexp.weight": {32, 40},
		})
	}
	for l := range 2 {
		for name, dims := range layer {
			f.tensors[fmt.Sprintf("blk.%d.%s", l, name)] = dims
		}
	}
	return f
}

// Ensure that a dense file is not asked for experts, nor one with experts for a single feed-forward, and that counts which
// do not fit are named.
func TestQwenErrors(t *testing.T) {
	for _, c := range []struct {
		guest, arch string
		spoil       func(f file)
		want        string
	}{
		{"qwen3moe", "qwen3moe", func(f file) { delete(f.meta, "qwen3moe.expert_count") }, "err_arg: missing metadata qwen3moe.expert_count"},
		{"qwen3moe", "qwen3moe", func(f file) { f.meta["qwen3moe.expert_used_count"] = 9 }, "err_arg: metadata qwen3moe.expert_used_count is larger than qwen3moe.expert_count"},
		{"qwen3moe", "qwen3moe", func(f file) { delete(f.tensors, "blk.1.ffn_gate_inp.weight") }, "err_arg: missing tensor blk.1.ffn_gate_inp.weight"},
		{"qwen3moe", "qwen3", func(f file) { delete(f.tensors, "blk.0.attn_q_norm.weight") }, "err_arg: missing tensor blk.0.attn_q_norm.weight"},
		{"qwen3moe", "qwen3", func(f file) { delete(f.tensors, "blk.0.ffn_up.weight") }, "err_arg: missing tensor blk.0.ffn_up.weight"},
		{"qwen2moe", "qwen2moe", func(f file) { delete(f.tensors, "blk.1.ffn_gate_inp_shexp.weight") }, "err_arg: missing tensor blk.1.ffn_gate_inp_shexp.weight"},
		{"qwen2moe", "qwen2", func(f file) { delete(f.tensors, "blk.1.ffn_down.weight") }, "err_arg: missing tensor blk.1.ffn_down.weight"},
	} {
		t.Run(c.want, func(t *testing.T) {
			f := qwen(c.arch)
			c.spoil(f)
			if _, err := build(t, c.guest, f, 256, 256); err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}
