package randmodel

import (
	"io"
	"strings"

	"forge/gguf"
)

// Large are models to time, by name: the shapes of common models in the formats of common files. They are written at the
// speed of the disk, since each row is a stretch of a few million random numbers that are encoded once (Shape.Pooled).
func Large() map[string]Shape {
	dense := Shape{
		Arch: "llama", NVocab: 49152, NCtx: 8192, NEmbd: 2048, NLayer: 22, NHead: 32, NHeadKV: 4, HeadDim: 64, NFF: 5632,
		Eps: 1e-5, RopeBase: 1e4, Spread: 1, Seed: 11, Pooled: true,
	}
	experts := Shape{
		Arch: "qwen3moe", NVocab: 49152, NCtx: 8192, NEmbd: 1024, NLayer: 8, NHead: 16, NHeadKV: 4, HeadDim: 64,
		NExpert: 32, NExpertUsed: 4, NFFExp: 512, HeadNorm: true, Eps: 1e-6, RopeBase: 1e6, Spread: 1, Seed: 12, Pooled: true,
	}
	// The numbers are general.file_type, by which other programs call the mix.
	return map[string]Shape{
		"1b-q4_k_m":  dense.of(mixQ4KM, 15),
		"1b-q8_0":    dense.of(only(gguf.Q8_0), 7),
		"1b-q4_0":    dense.of(mixQ4, 2),
		"1b-f16":     dense.of(only(gguf.F16), 1),
		"moe-q4_k_m": experts.of(mixQ4KM, 15),
	}
}

func (s Shape) of(mix Mix, number uint32) Shape {
	s.Mix, s.Keys = mix, map[string]any{"general.file_type": number}
	return s
}

// Mix says in which format a tensor is written, by its name without "blk.N." and ".weight", its layer, or -1, and how many
// layers there are.
type Mix func(tensor string, layer, layers int) gguf.Type

func only(t gguf.Type) Mix {
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

// poolSize is how many numbers of each format and spread are drawn for a pooled model. To a processor a matrix of stretches
// of them is as random as one of fresh numbers.
const poolSize = 1 << 22

// pools holds the encoded numbers of one file while it is written.
type pools map[poolKey][]byte

type poolKey struct {
	t      gguf.Type
	spread float64
}

// reader gives rows of nIn numbers, each a stretch that begins at a random block.
func (p pools) reader(t gguf.Type, seed uint64, spread float64, nIn, rows int) (io.Reader, error) {
	key := poolKey{t, spread}
	if p[key] == nil {
		r := newTensorReader(t, seed, 0, spread, poolSize, 1)
		encoded, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		p[key] = encoded
	}
	return &poolReader{pool: p[key], block: t.BlockBytes(), rowBytes: t.RowBytes(nIn), rows: rows, draw: draw(seed)}, nil
}

type poolReader struct {
	pool            []byte
	block, rowBytes int
	rows            int // that are left
	row             []byte
	draw            draw
}

func (r *poolReader) Read(p []byte) (int, error) {
	if len(r.row) == 0 {
		if r.rows == 0 {
			return 0, io.EOF
		}
		r.rows--
		places := uint64((len(r.pool)-r.rowBytes)/r.block + 1)
		at := int(r.draw.uint64()%places) * r.block
		r.row = r.pool[at : at+r.rowBytes]
	}
	n := copy(p, r.row)
	r.row = r.row[n:]
	return n, nil
}
