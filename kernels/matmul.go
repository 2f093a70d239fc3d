package kernels

import "forge/gguf"

// matrix is [nOut, nIn] as stored in a file.
type matrix struct {
	kind      gguf.Type
	data      []byte
	nOut, nIn int
}

// head cuts the h-th matrix out of a weight [heads, nOut, nIn], or reads [nOut, nIn] and [nIn] as the only one.
func (w *Weight) head(h int) matrix {
	_, nOut, nIn, _ := matrices(w.Shape)
	size := nOut * w.Type.RowBytes(nIn)
	return matrix{w.Type, w.Data[h*size : (h+1)*size], nOut, nIn}
}

// linear: y[i, h, o] = sum_k weight[h, o, k] x[i, h, k] + bias[o]
func (r *scalar) linear(y, x []float32, op *Op) error {
	w, heads := &r.p.Weights[op.W[0]], op.Linear().Heads
	n, bias := r.rows(op.In[0]), r.vector(op, 1)
	r.x64 = grow(r.x64, len(x))
	widen(r.x64, x)
	for h := range heads {
		m := w.head(h)
		if err := r.product(y, activations{r.x64[h*m.nIn:], heads * m.nIn, n}, m, h*m.nOut, heads*m.nOut); err != nil {
			return err
		}
	}
	if bias != nil {
		for i := range n {
			add(y[i*len(bias):(i+1)*len(bias)], y[i*len(bias):(i+1)*len(bias)], bias)
		}
	}
	return nil
}

// activations is n rows of activations, stride entries apart, widened once for all rows of the matrix.
type activations struct {
	data      []float64
	stride, n int
}

// product: y[i, first+o] = sum_k m[o, k] x[i, k], for rows of y of the given stride. Workers take blocks of rows of the
// matrix, decode each once and use it for all rows of x. Products and sums are float64, rounded at the end, and the order
// of a sum is the same for any number of rows.
func (r *scalar) product(y []float32, x activations, m matrix, first, stride int) error {
	if x.n == 0 {
		return nil
	}
	rowBytes := m.kind.RowBytes(m.nIn)
	block := min(max(1<<15/m.nIn, 1), 16) * 4 // rows, a multiple of what dot4 takes; what fills a last one up is not used
	return r.parallel((m.nOut+block-1)/block, func(s *scratch, task int) {
		lo := task * block
		n := min(block, m.nOut-lo)
		s.row, s.block = grow(s.row, m.nIn), grow(s.block, (n+3)/4*4*m.nIn)
		for o := range n {
			if err := gguf.Dequantize(m.kind, s.row, m.data[(lo+o)*rowBytes:(lo+o+1)*rowBytes]); err != nil {
				s.err = err
				return
			}
			widen(s.block[o*m.nIn:(o+1)*m.nIn], s.row)
		}
		for o := 0; o < n; o += 4 {
			for i := range x.n {
				sums := dot4(s.block[o*m.nIn:(o+4)*m.nIn], x.data[i*x.stride:i*x.stride+m.nIn])
				for k := range min(4, n-o) {
					y[i*stride+first+lo+o+k] = float32(sums[k])
				}
			}
		}
	})
}

// dot4: the products of w[4, n] with x[n]. Two sums a row, of the even and the odd entries, keep the adders busy.
func dot4(w, x []float64) [4]float64 {
	n := len(x)
	w0, w1, w2, w3 := w[:n], w[n:2*n], w[2*n:3*n], w[3*n:4*n]
	var a0, a1, a2, a3, b0, b1, b2, b3 float64
	k := 0
	for ; k+1 < n; k += 2 {
		x0, x1 := x[k], x[k+1]
		a0 += w0[k] * x0
		a1 += w1[k] * x0
		a2 += w2[k] * x0
		a3 += w3[k] * x0
		b0 += w0[k+1] * x1
		b1 += w1[k+1] * x1
		b2 += w2[k+1] * x1
		b3 += w3[k+1] * x1
	}
	if k < n {
		a0 += w0[k] * x[k]
		a1 += w1[k] * x[k]
		a2 += w2[k] * x[k]
		a3 += w3[k] * x[k]
	}
	return [4]float64{a0 + b0, a1 + b1, a2 + b2, a3 + b3}
}

func widen(dst []float64, src []float32) {
	for i, v := range src {
		dst[i] = float64(v)
	}
}
