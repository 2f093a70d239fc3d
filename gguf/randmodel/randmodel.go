// Package randmodel writes GGUF models with random weights: small ones of every architecture, to hold engines against each
// other, and large ones to time. Their text is noise; their numbers are the same on every machine and in every version of
// Go, so that another engine's logits can be kept beside the name of a model instead of its bytes.
//
//	err := randmodel.Models()["qwen3moe"].Write("qwen3moe.gguf")
//
// Sizes of the small models are picked so that mistakes show: heads that are not n_embd/n_head wide, a large epsilon, norms
// that are not one, biases that are not zero, a vocabulary with room beside the bytes.
package randmodel

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"forge/gguf"
)

// Shape is a model of blocks of attention and feed-forward or experts, as most architectures are.
type Shape struct {
	Arch                          string
	NVocab, NCtx                  int
	NEmbd, NLayer, NHead, NHeadKV int
	HeadDim                       int
	NFF                           int // of the dense feed-forward; 0: experts
	NExpert, NExpertUsed, NFFExp  int
	NFFShared                     int       // of a shared expert with a gate of its own; 0: none
	HeadNorm, Bias, Tied          bool      // norms of q and k by head; biases of q, k and v; no output matrix
	PostNorm, NormBias            bool      // norms behind attention and feed-forward; biases of the norms, for LayerNorm
	Eps, RopeBase                 float32   //
	Type                          gguf.Type // of matrices that are read by products; the router's stay F32
	Seed                          uint64    //
	Spread                        float64   // of the router's scores, times that of other products
	Peak                          float64   // of the logits, likewise; 0: 1
	Keys                          map[string]any
	BytesVocab                    bool // tokens are the 256 bytes, model "bytes"; else SPM with byte tokens
	Mix                           Mix  // instead of Type, if not nil
	Pooled                        bool // rows of matrices repeat: see Large
}

// Models are the small models by name.
func Models() map[string]Shape {
	base := Shape{
		NVocab: 280, NCtx: 128, NEmbd: 40, NLayer: 3, NHead: 6, NHeadKV: 2, HeadDim: 12, Tied: false,
		Eps: 1e-3, RopeBase: 5000, Type: gguf.F32, Spread: 3,
	}
	qwen3moe, qwen3, qwen2moe, qwen2 := base, base, base, base
	qwen3moe.Arch, qwen3moe.Seed, qwen3moe.HeadNorm = "qwen3moe", 1, true
	qwen3moe.NExpert, qwen3moe.NExpertUsed, qwen3moe.NFFExp = 12, 3, 28
	qwen3.Arch, qwen3.Seed, qwen3.HeadNorm, qwen3.Tied, qwen3.NFF = "qwen3", 2, true, true, 52
	qwen2moe.Arch, qwen2moe.Seed, qwen2moe.Bias = "qwen2moe", 3, true
	qwen2moe.NHead, qwen2moe.NHeadKV, qwen2moe.HeadDim = 4, 2, 10
	qwen2moe.NExpert, qwen2moe.NExpertUsed, qwen2moe.NFFExp, qwen2moe.NFFShared = 9, 4, 20, 36
	qwen2.Arch, qwen2.Seed, qwen2.Bias, qwen2.Tied, qwen2.NFF = "qwen2", 4, true, true, 52
	qwen2.NHead, qwen2.NHeadKV, qwen2.HeadDim = 4, 1, 10
	return map[string]Shape{"qwen3moe": qwen3moe, "qwen3": qwen3, "qwen2moe": qwen2moe, "qwen2": qwen2}
}

// Write makes the file, whole or not at all.
func (s Shape) Write(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".randmodel-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = s.WriteTo(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// WriteTo writes the file's bytes.
func (s Shape) WriteTo(w io.Writer) (int64, error) { return s.writer().WriteTo(w) }

func (s Shape) writer() *gguf.Writer {
	w := gguf.NewWriter()
	w.Set("general.architecture", s.Arch)
	w.Set("general.name", "random weights")
	set := func(key string, n int) {
		if n > 0 {
			w.Set(s.Arch+"."+key, uint32(n))
		}
	}
	set("context_length", s.NCtx)
	set("embedding_length", s.NEmbd)
	set("block_count", s.NLayer)
	set("feed_forward_length", max(s.NFF, s.NFFExp))
	set("attention.head_count", s.NHead)
	set("attention.head_count_kv", s.NHeadKV)
	set("attention.key_length", s.HeadDim)
	set("attention.value_length", s.HeadDim)
	set("rope.dimension_count", s.HeadDim)
	set("expert_count", s.NExpert)
	set("expert_used_count", s.NExpertUsed)
	set("expert_feed_forward_length", s.NFFExp)
	set("expert_shared_feed_forward_length", s.NFFShared)
	w.Set(s.Arch+".rope.freq_base", s.RopeBase)
	w.Set(s.Arch+".attention.layer_norm_rms_epsilon", s.Eps)
	if s.NormBias {
		w.Set(s.Arch+".attention.layer_norm_epsilon", s.Eps)
	}
	for key, v := range s.Keys {
		w.Set(key, v)
	}
	if s.BytesVocab {
		bytesVocab(w)
	} else {
		spmVocab(w, s.NVocab)
	}
	s.tensors(w)
	return w
}

// tensors adds the weights in the usual order. Dims are in GGUF's order, row length first.
func (s Shape) tensors(w *gguf.Writer) {
	seed, layer, numbers := s.Seed<<32, -1, pools{}
	add := func(name string, t gguf.Type, middle, spread float64, dims ...int) {
		seed++
		s.addTensor(w, numbers, name, t, seed, middle, spread, dims)
	}
	vector := func(name string, middle float64, n int) { add(name, gguf.F32, middle, 0.3, n) }
	norm := func(name string, n int) {
		vector(name+".weight", 1, n)
		if s.NormBias {
			vector(name+".bias", 0, n)
		}
	}
	// Products keep the size of what they are fed.
	format := func(name string) gguf.Type {
		if s.Mix == nil {
			return s.Type
		}
		short := strings.TrimSuffix(name, ".weight")
		return s.Mix(short[strings.LastIndexByte(short, '.')+1:], layer, s.NLayer)
	}
	matrix := func(name string, dims ...int) { add(name, format(name), 0, 1/math.Sqrt(float64(dims[0])), dims...) }
	add("token_embd.weight", format("token_embd.weight"), 0, 1, s.NEmbd, s.NVocab)
	norm("output_norm", s.NEmbd)
	if !s.Tied {
		peak := s.Peak
		if peak == 0 {
			peak = 1
		}
		add("output.weight", format("output.weight"), 0, peak/math.Sqrt(float64(s.NEmbd)), s.NEmbd, s.NVocab)
	}
	for layer = range s.NLayer {
		p := fmt.Sprintf("blk.%d.", layer)
		norm(p+"attn_norm", s.NEmbd)
		for _, m := range []struct {
			name string
			nOut int
		}{{"attn_q", s.NHead * s.HeadDim}, {"attn_k", s.NHeadKV * s.HeadDim}, {"attn_v", s.NHeadKV * s.HeadDim}} {
			matrix(p+m.name+".weight", s.NEmbd, m.nOut)
			if s.Bias {
				vector(p+m.name+".bias", 0, m.nOut)
			}
		}
		if s.HeadNorm {
			vector(p+"attn_q_norm.weight", 1, s.HeadDim)
			vector(p+"attn_k_norm.weight", 1, s.HeadDim)
		}
		matrix(p+"attn_output.weight", s.NHead*s.HeadDim, s.NEmbd)
		norm(p+"ffn_norm", s.NEmbd)
		if s.PostNorm {
			norm(p+"post_attention_norm", s.NEmbd)
			norm(p+"post_ffw_norm", s.NEmbd)
		}
		if s.NExpert == 0 {
			matrix(p+"ffn_gate.weight", s.NEmbd, s.NFF)
			matrix(p+"ffn_up.weight", s.NEmbd, s.NFF)
			matrix(p+"ffn_down.weight", s.NFF, s.NEmbd)
			continue
		}
		add(p+"ffn_gate_inp.weight", gguf.F32, 0, s.Spread/math.Sqrt(float64(s.NEmbd)), s.NEmbd, s.NExpert)
		matrix(p+"ffn_gate_exps.weight", s.NEmbd, s.NFFExp, s.NExpert)
		matrix(p+"ffn_up_exps.weight", s.NEmbd, s.NFFExp, s.NExpert)
		matrix(p+"ffn_down_exps.weight", s.NFFExp, s.NEmbd, s.NExpert)
		if s.NFFShared > 0 {
			add(p+"ffn_gate_inp_shexp.weight", gguf.F32, 0, 1/math.Sqrt(float64(s.NEmbd)), s.NEmbd)
			matrix(p+"ffn_gate_shexp.weight", s.NEmbd, s.NFFShared)
			matrix(p+"ffn_up_shexp.weight", s.NEmbd, s.NFFShared)
			matrix(p+"ffn_down_shexp.weight", s.NFFShared, s.NEmbd)
		}
	}
}

// addTensor draws a tensor row by row while it is written, so that large models need no memory.
func (s Shape) addTensor(w *gguf.Writer, numbers pools, name string, t gguf.Type, seed uint64, middle, spread float64, dims []int) {
	rows, shape := 1, make([]uint64, len(dims))
	for i, d := range dims {
		shape[i] = uint64(d)
		if i > 0 {
			rows *= d
		}
	}
	w.AddTensorFunc(name, t, shape, func() (io.Reader, error) {
		if s.Pooled && len(dims) > 1 {
			return numbers.reader(t, seed, spread, dims[0], rows)
		}
		return newTensorReader(t, seed, middle, spread, dims[0], rows), nil
	})
}

func newTensorReader(t gguf.Type, seed uint64, middle, spread float64, nIn, rows int) *tensorReader {
	return &tensorReader{
		t: t, rows: rows, middle: middle, spread: spread, draw: draw(seed), x: make([]float32, nIn), row: make([]byte, t.RowBytes(nIn)),
	}
}

type tensorReader struct {
	t              gguf.Type
	rows           int
	middle, spread float64
	draw           draw
	x              []float32
	row, rest      []byte
}

func (r *tensorReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.rows == 0 {
			return 0, io.EOF
		}
		r.rows--
		for i := range r.x {
			r.x[i] = float32(r.middle + float64(r.spread*r.draw.normal())) // rounded twice on every machine
		}
		if err := gguf.Quantize(r.t, r.row, r.x); err != nil {
			return 0, err
		}
		r.rest = r.row
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// draw is SplitMix64 (Steele, Lea and Flood 2014), whose few lines cannot change under us.
type draw uint64

func (d *draw) uint64() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// normal is the sum of four 16-bit uniforms, with a middle of 0 and a deviation of 1: all of it exact in float64.
func (d *draw) normal() float64 {
	u, sum := d.uint64(), 0
	for range 4 {
		sum += int(u & 0xffff)
		u >>= 16
	}
	return (float64(sum)/65536 - 2) * 1.7320508 // four uniforms have a variance of 1/3
}

// spmVocab is a vocabulary of three control tokens, the 256 bytes and n-259 words, for the tokenizer model "llama".
func spmVocab(w *gguf.Writer, n int) {
	tokens, scores, types := make([]string, n), make([]float32, n), make([]int32, n)
	for i := range tokens {
		switch {
		case i < 3:
			tokens[i], types[i] = []string{"<unk>", "<s>", "</s>"}[i], []int32{2, 3, 3}[i]
		case i < 259:
			tokens[i], types[i] = fmt.Sprintf("<0x%02X>", i-3), 6
		default:
			tokens[i], types[i], scores[i] = word(i-259), 1, float32(-i)
		}
	}
	w.Set("tokenizer.ggml.model", "llama")
	w.Set("tokenizer.ggml.tokens", tokens)
	w.Set("tokenizer.ggml.scores", scores)
	w.Set("tokenizer.ggml.token_type", types)
	w.Set("tokenizer.ggml.bos_token_id", uint32(1))
	w.Set("tokenizer.ggml.eos_token_id", uint32(2))
	w.Set("tokenizer.ggml.unknown_token_id", uint32(0))
	w.Set("tokenizer.ggml.add_bos_token", false)
}

// word is the i-th of a list without end: the SPM blank, a to z, then aa, ab and so on.
func word(i int) string {
	if i == 0 {
		return "\u2581"
	}
	s := ""
	for ; i > 0; i = (i - 1) / 26 {
		s = string(rune('a'+(i-1)%26)) + s
	}
	return s
}

// bytesVocab is the vocabulary of the tokenizer model "bytes": token i is the byte i.
func bytesVocab(w *gguf.Writer) {
	tokens := make([]string, 256)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("<0x%02X>", i)
	}
	w.Set("tokenizer.ggml.model", "bytes")
	w.Set("tokenizer.ggml.tokens", tokens)
}

// Tokens are n token ids to feed a model of this vocabulary, the same each time.
func (s Shape) Tokens(n int) []uint32 {
	d, ids := draw(s.Seed<<32+1<<31), make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(d.uint64() % uint64(s.NVocab))
	}
	return ids
}
