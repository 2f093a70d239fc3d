package kernels

// view: of each group of entries those from offset on, width many.
func view(y, x []float32, width int, a ViewAttrs) {
	group := a.Group
	if group == 0 {
		group = width
	}
	for i := range len(x) / group {
		copy(y[i*a.Width:(i+1)*a.Width], x[i*group+a.Offset:])
	}
}

// concat: for each head the inputs' parts one after the other; a shared input is the same for all heads.
func (r *scalar) concat(y []float32, op *Op) {
	a, at := op.Concat(), 0
	for i := range r.rows(op.Out[0]) {
		for h := range a.Heads {
			for k, id := range op.In {
				if id < 0 {
					continue
				}
				width := r.p.Values[id].Width
				row := r.values[id][i*width : (i+1)*width]
				if a.Shared>>k&1 == 0 {
					part := width / a.Heads
					row = row[h*part : (h+1)*part]
				}
				at += copy(y[at:], row)
			}
		}
	}
}

// pick keeps the rows that want output (the operation rows).
func (r *scalar) pick(y, x []float32, op *Op) {
	n := r.p.Values[op.In[0]].Width
	for i, row := range r.chosen {
		copy(y[i*n:(i+1)*n], x[row*n:])
	}
}

// pool: the mean, the first or the last of each sequence's rows.
func (r *scalar) pool(y, x []float32, op *Op) {
	n := r.p.Values[op.In[0]].Width
	for i, run := range r.runs {
		first, rows := run[0], run[1]
		out := y[i*n : (i+1)*n]
		switch op.Pool().Kind {
		case PoolKindFirst:
			copy(out, x[first*n:])
		case PoolKindLast:
			copy(out, x[(first+rows-1)*n:])
		default: // PoolKindMean
			for k := range out {
				sum := 0.0
				for j := first; j < first+rows; j++ {
					sum += float64(x[j*n+k])
				}
				out[k] = float32(sum / float64(rows))
			}
		}
	}
}
