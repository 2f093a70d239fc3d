package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"

	"forge/gguf"
)

// shape is a model family at one size; experts is 0 for a dense one.
type shape struct {
	arch                                         string
	layers, hidden, heads, headsKV, headDim, ffn int
	experts, used                                int
	base                                         float32
}

var (
	dense   = shape{arch: "llama", layers: 22, hidden: 2048, heads: 32, headsKV: 4, headDim: 64, ffn: 5632, base: 1e4}
	experts = shape{arch: "llama", layers: 8, hidden: 1024, heads: 16, headsKV: 4, headDim: 64, ffn: 512, experts: 32, used: 4, base: 1e6}
	tiny    = shape{arch: "llama", layers: 2, hidden: 256, heads: 4, headsKV: 2, headDim: 64, ffn: 768, base: 1e4}
)

func all(t gguf.Type) func(string, int, int) gguf.Type {
	return func(string, int, int) gguf.Type { return t }
}

// mixQ4 and mixQ4KM follow llama.cpp's file types Q4_0 and Q4_K_M: the output matrix is Q6_K, and for Q4_K_M so are the
// values and the second feed-forward matrix in the first and last eighth of the layers and in every third between.
func mixQ4(tensor string, _, _ int) gguf.Type {
	if tensor == "output" {
		return gguf.Q6_K
	}
	return gguf.Q4_0
}

func mixQ4KM(tensor string, layer, layers int) gguf.Type {
	more := layer < layers/8 || layer >= 7*layers/8 || (layer-layers/8)%3 == 2
	switch {
	case tensor == "output", more && (tensor == "attn_v" || strings.HasPrefix(tensor, "ffn_down")):
		return gguf.Q6_K
	}
	return gguf.Q4_K
}

// maker adds tensors to a file.
type maker struct {
	*gguf.Writer
	file  *file
	rng   *rand.Rand
	pools map[gguf.Type][]byte
	err   error
}

// model collects a file's keys and tensors.
func model(f *file, source *gguf.File, seed uint64) (*gguf.Writer, error) {
	s := f.shape
	m := &maker{Writer: gguf.NewWriter(), file: f, rng: rand.New(rand.NewPCG(seed, 0)), pools: map[gguf.Type][]byte{}}
	m.Set("general.architecture", s.arch)
	m.Set("general.name", "random-"+f.name)
	m.Set("general.file_type", f.number)
	for _, k := range []struct {
		key string
		n   int
	}{
		{"context_length", 8192}, {"embedding_length", s.hidden}, {"block_count", s.layers}, {"feed_forward_length", s.ffn},
		{"attention.head_count", s.heads}, {"attention.head_count_kv", s.headsKV}, {"attention.key_length", s.headDim},
		{"attention.value_length", s.headDim}, {"rope.dimension_count", s.headDim},
	} {
		m.Set(s.arch+"."+k.key, uint32(k.n))
	}
	m.Set(s.arch+".rope.freq_base", s.base)
	m.Set(s.arch+".attention.layer_norm_rms_epsilon", float32(1e-5))
	if s.experts > 0 {
		m.Set(s.arch+".expert_count", uint32(s.experts))
		m.Set(s.arch+".expert_used_count", uint32(s.used))
		m.Set(s.arch+".expert_feed_forward_length", uint32(s.ffn))
	}
	vocab, err := m.copyTokenizer(source)
	if err != nil {
		return nil, err
	}
	m.Set(s.arch+".vocab_size", uint32(vocab))
	m.random("token_embd", -1, s.hidden, vocab)
	m.ones("output_norm", s.hidden)
	m.random("output", -1, s.hidden, vocab)
	for layer := range s.layers {
		m.layer(s, layer)
	}
	return m.Writer, m.err
}

func (m *maker) layer(s *shape, layer int) {
	name := func(tensor string) string { return fmt.Sprintf("blk.%d.%s", layer, tensor) }
	matrix := func(tensor string, dims ...int) { m.random(name(tensor), layer, dims...) }
	q, kv := s.heads*s.headDim, s.headsKV*s.headDim
	m.ones(name("attn_norm"), s.hidden)
	matrix("attn_q", s.hidden, q)
	matrix("attn_k", s.hidden, kv)
	matrix("attn_v", s.hidden, kv)
	matrix("attn_output", q, s.hidden)
	m.ones(name("ffn_norm"), s.hidden)
	if s.experts == 0 {
		matrix("ffn_gate", s.hidden, s.ffn)
		matrix("ffn_up", s.hidden, s.ffn)
		matrix("ffn_down", s.ffn, s.hidden)
		return
	}
	if s.arch == "qwen3moe" {
		m.ones(name("attn_q_norm"), s.headDim)
		m.ones(name("attn_k_norm"), s.headDim)
	}
	m.tensor(name("ffn_gate_inp"), gguf.F32, s.hidden, s.experts)
	matrix("ffn_gate_exps", s.hidden, s.ffn, s.experts)
	matrix("ffn_up_exps", s.hidden, s.ffn, s.experts)
	matrix("ffn_down_exps", s.ffn, s.hidden, s.experts)
}

// copyTokenizer takes over all keys of the tokenizer and counts its tokens.
func (m *maker) copyTokenizer(source *gguf.File) (int, error) {
	for _, key := range source.Keys {
		if strings.HasPrefix(key, "tokenizer.") {
			v, _ := source.Get(key)
			m.Set(key, v)
		}
	}
	tokens, found, err := source.Array("tokenizer.ggml.tokens")
	if err == nil && !found {
		err = fmt.Errorf("%s has no vocabulary to copy", source.Name)
	}
	return tokens.Len(), err
}

func (m *maker) ones(name string, n int) {
	data := make([]byte, 0, 4*n)
	for range n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(1))
	}
	m.AddTensor(name+".weight", gguf.F32, []uint64{uint64(n)}, data)
}

// random adds a matrix, or a stack of them, in the format that the file's mix has for it.
func (m *maker) random(name string, layer int, dims ...int) {
	short := name[strings.LastIndexByte(name, '.')+1:]
	m.tensor(name, m.file.types(short, layer, m.file.shape.layers), dims...)
}

func (m *maker) tensor(name string, t gguf.Type, dims ...int) {
	pool, err := m.pool(t)
	if err != nil {
		m.err = err
		return
	}
	var d []uint64
	rows := 1
	for i, n := range dims {
		d = append(d, uint64(n))
		if i > 0 {
			rows *= n
		}
	}
	seed := m.rng.Uint64()
	m.AddTensorFunc(name+".weight", t, d, func() (io.Reader, error) {
		return &rowReader{pool: pool, block: t.BlockBytes(), rowBytes: t.RowBytes(dims[0]), rows: rows, rng: rand.New(rand.NewPCG(seed, 1))}, nil
	})
}

// poolSize is how many random numbers of each format are encoded; every row of a matrix is a stretch of them that begins at
// a random block. To a processor that is as random as fresh numbers, and it is written at the speed of the disk.
const poolSize = 1 << 22

func (m *maker) pool(t gguf.Type) ([]byte, error) {
	if p := m.pools[t]; p != nil {
		return p, nil
	}
	x := make([]float32, poolSize)
	for i := range x {
		x[i] = float32(0.02 * m.rng.NormFloat64())
	}
	p := make([]byte, t.RowBytes(poolSize))
	m.pools[t] = p
	return p, gguf.Quantize(t, p, x)
}

// rowReader gives a tensor's rows one after the other.
type rowReader struct {
	pool            []byte
	block, rowBytes int
	rows            int // that are left
	row             []byte
	rng             *rand.Rand
}

func (r *rowReader) Read(p []byte) (int, error) {
	if len(r.row) == 0 {
		if r.rows == 0 {
			return 0, io.EOF
		}
		r.rows--
		at := r.rng.IntN((len(r.pool)-r.rowBytes)/r.block+1) * r.block
		r.row = r.pool[at : at+r.rowBytes]
	}
	n := copy(p, r.row)
	r.row = r.row[n:]
	return n, nil
}
