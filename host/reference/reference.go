// Package reference computes what a language model says, slowly and legibly: one function a model family, from a GGUF file
// and token ids to the logits of every position. It is the place to learn what a transformer computes, and the answer that
// the fast devices are held against. It knows nothing of programs, devices, caches or plugins.
//
//	f, err := gguf.Open("model.gguf")
//	logits, err := reference.Llama(f, []uint32{1, 403, 407}) // logits[t][i]: how likely token i comes after tokens[:t+1]
//
// Read [Llama] first, then [Gemma] and [QwenMoE]; the parts they are made of follow in this file. Vectors are float32, a list of vectors is
// written [T, n] for T positions of n numbers, and sums run in float64, so that their order does not show.
//
// Caveats: all positions are computed at once, layer by layer, without a cache, and each weight is decoded row by row as it
// is used: memory is that of the activations, time that of a single core.
package reference

import (
	"fmt"
	"math"

	"forge/gguf"
)

// model reads a file's numbers and tensors. The first thing missing or misshapen stays in err, and the rest of the
// computation then runs on zeros: the formulas stay free of error handling.
type model struct {
	file *gguf.File
	arch string
	used map[string]bool
	err  error
}

func open(f *gguf.File, arch string, tokens []uint32) *model {
	m := &model{file: f, arch: arch, used: map[string]bool{}}
	if got, _, err := f.Str("general.architecture"); err != nil {
		m.fail("%w", err)
	} else if got != arch {
		m.fail("architecture is %q, this is the forward pass of %q", got, arch)
	}
	if len(tokens) == 0 {
		m.fail("no tokens")
	}
	return m
}

func (m *model) fail(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("reference "+m.arch+": "+format, args...)
	}
}

// size reads a key that must be there and be 1 to 2^20.
func (m *model) size(key string) int {
	v, found, err := m.file.Uint(m.arch + "." + key)
	if err != nil {
		m.fail("%w", err)
	} else if !found || v < 1 || v > 1<<20 {
		m.fail("key %s.%s is missing or out of range", m.arch, key)
	}
	if m.err != nil {
		return 1
	}
	return int(v)
}

// sizeOr is size with a default for a file without the key.
func (m *model) sizeOr(key string, def int) int {
	if _, found := m.file.Get(m.arch + "." + key); !found {
		return def
	}
	return m.size(key)
}

func (m *model) floatOr(key string, def float64) float64 {
	v, found, err := m.file.Float(m.arch + "." + key)
	if err != nil {
		m.fail("%w", err)
	}
	if !found || err != nil {
		return def
	}
	return v
}

// refuse ends with an error if the file has a key whose meaning is not written out here.
func (m *model) refuse(keys ...string) {
	for _, key := range keys {
		if _, found := m.file.Get(m.arch + "." + key); found {
			m.fail("key %s.%s is not part of this textbook form", m.arch, key)
		}
	}
}

// tensor finds a tensor of rows of n numbers.
func (m *model) tensor(name string, n int) *gguf.Tensor {
	t := m.file.Tensor(name)
	switch {
	case t == nil:
		m.fail("tensor %s is missing", name)
	case t.CheckSupported() != nil:
		m.fail("%w", t.CheckSupported())
	case t.Dims[0] != uint64(n) || len(t.Dims) > 3:
		m.fail("tensor %s has dimensions %d, rows of %d numbers are wanted", name, t.Dims, n)
	}
	if m.err != nil {
		return nil
	}
	m.used[name] = true
	return t
}

// has tells whether the file has an optional tensor.
func (m *model) has(name string) bool { return m.file.Tensor(name) != nil }

// vector reads a tensor [n].
func (m *model) vector(name string, n int) []float32 {
	v := make([]float32, n)
	if t := m.tensor(name, n); t != nil {
		m.row(v, t, 0)
	}
	return v
}

// row decodes row i of a tensor.
func (m *model) row(dst []float32, t *gguf.Tensor, i int) {
	size := t.Type.RowBytes(len(dst))
	data := t.Data()
	if len(data) < (i+1)*size {
		m.fail("tensor %s has no row %d", t.Name, i)
		return
	}
	if err := gguf.Dequantize(t.Type, dst, data[i*size:(i+1)*size]); err != nil {
		m.fail("tensor %s: %w", t.Name, err)
	}
}

// embed: row tokens[t] of the table [n_vocab, n] for each position -> [T, n]
func (m *model) embed(name string, tokens []uint32, n int) [][]float32 {
	x := make([][]float32, len(tokens))
	table := m.tensor(name, n)
	for t, token := range tokens {
		x[t] = make([]float32, n)
		if table != nil {
			m.row(x[t], table, int(token))
		}
	}
	return x
}

// matmul: y[t] = W x[t] for each position; W [nOut, n], x [T, n] -> y [T, nOut]. nOut 0 takes all rows that the tensor has.
func (m *model) matmul(name string, x [][]float32, nOut int) [][]float32 {
	w := m.tensor(name, len(x[0]))
	if w != nil && nOut == 0 {
		nOut = int(w.Elems()) / len(x[0])
	}
	if w != nil && (w.Elems() != uint64(nOut)*uint64(len(x[0])) || len(w.Dims) > 2) {
		m.fail("tensor %s has dimensions %d, %d rows are wanted", name, w.Dims, nOut)
	}
	return m.times(w, 0, x, nOut)
}

// expert is matmul with the e-th of a tensor's matrices; W [n_expert, nOut, n], x [T, n] -> y [T, nOut]
func (m *model) expert(name string, e int, x [][]float32, nOut int) [][]float32 {
	w := m.tensor(name, len(x[0]))
	if w != nil && (len(w.Dims) != 3 || w.Dims[1] != uint64(nOut)) {
		m.fail("tensor %s has dimensions %d, matrices of %d rows are wanted", name, w.Dims, nOut)
	}
	return m.times(w, e*nOut, x, nOut)
}

// times multiplies nOut rows of a tensor, from the first on, with each position.
func (m *model) times(w *gguf.Tensor, first int, x [][]float32, nOut int) [][]float32 {
	y := make([][]float32, len(x))
	for t := range y {
		y[t] = make([]float32, nOut)
	}
	if m.err != nil {
		return y
	}
	row := make([]float32, len(x[0]))
	for o := range nOut {
		m.row(row, w, first+o)
		for t := range x {
			y[t][o] = float32(dot(row, x[t]))
		}
	}
	return y
}

// done is the result, or what went wrong; a tensor that was not read is something that the formulas have not taken in.
func (m *model) done(logits [][]float32) ([][]float32, error) {
	for _, t := range m.file.Tensors {
		if m.err == nil && !m.used[t.Name] {
			m.fail("tensor %s is not part of this textbook form", t.Name)
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	return logits, nil
}

// dot: sum of a[i] * b[i]
func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// rmsNorm: x / sqrt(mean(x^2) + eps) * weight; x [n], weight [n] -> [n]
func rmsNorm(x, weight []float32, eps float64) []float32 {
	inv := 1 / math.Sqrt(dot(x, x)/float64(len(x))+eps)
	y := make([]float32, len(x))
	for i := range x {
		y[i] = float32(float64(x[i]) * inv * float64(weight[i]))
	}
	return y
}

// normAll is rmsNorm of each position; x [T, n] -> [T, n]
func normAll(x [][]float32, weight []float32, eps float64) [][]float32 {
	y := make([][]float32, len(x))
	for t := range x {
		y[t] = rmsNorm(x[t], weight, eps)
	}
	return y
}

// rotate turns the pair (a, b) by an angle.
func rotate(a, b *float32, angle float64) {
	sin, cos := math.Sincos(angle)
	*a, *b = float32(float64(*a)*cos-float64(*b)*sin), float32(float64(*a)*sin+float64(*b)*cos)
}

// softmax: e^x / sum of e^x, in place
func softmax(x []float64) {
	most, sum := math.Inf(-1), 0.0
	for _, v := range x {
		most = max(most, v)
	}
	for i := range x {
		x[i] = math.Exp(x[i] - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// attend lets every position look back. For position t and query head h:
//
//	score[p] = scale * q[t, h] . k[p, h/group]   for p = t and before, the last `window` of them if window is not 0
//	y[t, h]  = sum_p softmax(score)[p] * v[p, h/group]
//
// q [T, nHead*headDim], k and v [T, nHeadKV*headDim] -> y [T, nHead*headDim]; group = nHead/nHeadKV query heads share a key head.
func attend(q, k, v [][]float32, nHead, nHeadKV, headDim int, scale float64, window int) [][]float32 {
	y := make([][]float32, len(q))
	for t := range q {
		y[t] = make([]float32, nHead*headDim)
		first := 0
		if window != 0 {
			first = max(0, t-window+1)
		}
		for h := range nHead {
			at, atKV := h*headDim, h/(nHead/nHeadKV)*headDim
			score := make([]float64, 0, t+1-first)
			for p := first; p <= t; p++ {
				score = append(score, scale*dot(q[t][at:at+headDim], k[p][atKV:atKV+headDim]))
			}
			softmax(score)
			for d := range headDim {
				sum := 0.0
				for p := first; p <= t; p++ {
					sum += score[p-first] * float64(v[p][atKV+d])
				}
				y[t][at+d] = float32(sum)
			}
		}
	}
	return y
}

// addTo: x += y, position by position
func addTo(x, y [][]float32) {
	for t := range x {
		for i := range x[t] {
			x[t][i] += y[t][i]
		}
	}
}
