package simd

import (
	"fmt"

	"forge/gguf"
	"forge/kernels"
)

// lower turns the segment's operations into steps. Linear operations that read the same value and stand together become
// one phase, so that their outputs are shared out at once; a value is rounded to 8 bits once however many products read it.
// Light operations are joined too (rowwork.go).
func (r *runner) lower() error {
	p, last := r.prog, r.prog.LastUse()
	r.values = make([]buffer, len(p.Values))
	r.routes = make([]routing, len(p.Values))
	if r.seg.In >= 0 {
		r.place(r.seg.In)
	}
	for i := r.seg.First; i < r.seg.Last; i++ {
		group := 1
		for p.Ops[i].Code == kernels.OpLinear && i+group < r.seg.Last && sameInput(&p.Ops[i], &p.Ops[i+group]) {
			group++
		}
		ops := p.Ops[i : i+group]
		gated := i+group < r.seg.Last && r.gated(ops, &p.Ops[i+group], last, i+group)
		if gated {
			group++
			ops = p.Ops[i : i+group]
		}
		for k := range ops {
			for _, id := range ops[k].Out {
				if id >= 0 && !p.Values[id].Routes {
					r.place(id)
				}
			}
		}
		for k := range ops {
			r.readsOf(&ops[k])
		}
		r.work = ops[0].Code.String()
		var err error
		switch {
		case gated:
			err = r.lowerGated(ops[:2], &ops[2])
		case ops[0].Code == kernels.OpLinear:
			err = r.lowerLinear(ops)
		default:
			err = r.lowerOp(i, &ops[0])
		}
		if err != nil {
			return fmt.Errorf("op %d (%s, layer %d): %w", i, ops[0].Code, ops[0].Layer, err)
		}
		dropped := map[kernels.ValueID]bool{}
		for k := range ops {
			for _, ids := range [][]kernels.ValueID{ops[k].In, ops[k].Out} {
				for _, id := range ids {
					if id >= 0 && id != r.seg.Out && !p.Values[id].Routes && last[id] <= i+group-1 && !dropped[id] {
						r.dying = append(r.dying, id)
						dropped[id] = true
					}
				}
			}
		}
		if i += group - 1; len(r.pending) == 0 {
			r.flush()
		}
	}
	r.flush()
	r.endNear()
	r.linkNear()
	return nil
}

func sameInput(a, b *kernels.Op) bool { return b.Code == kernels.OpLinear && a.In[0] == b.In[0] }

// vector decodes a small weight; nil if the slot is empty.
func (r *runner) vector(op *kernels.Op, k int) ([]float32, error) {
	if k >= len(op.W) || op.W[k] < 0 {
		return nil, nil
	}
	w := &r.prog.Weights[op.W[k]]
	n := 1
	for _, d := range w.Shape {
		n *= d
	}
	v := make([]float32, n)
	return v, gguf.Dequantize(w.Type, v, w.Data)
}

// lowerOp lowers everything but products.
func (r *runner) lowerOp(i int, op *kernels.Op) error {
	w0, err := r.vectorUnlessMatrix(op, 0)
	if err != nil {
		return err
	}
	var w1 []float32
	if op.Code == kernels.OpNorm {
		if w1, err = r.vector(op, 1); err != nil {
			return err
		}
	}
	in := func(k int) kernels.ValueID { return op.In[k] }
	switch op.Code {
	case kernels.OpOutput:
	case kernels.OpEmbed:
		return r.lowerEmbed(op)
	case kernels.OpNorm:
		a, x, y := op.Norm(), in(0), op.Out[0]
		width := r.prog.Values[x].Width
		group := a.Group
		if group == 0 {
			group = width
		}
		r.eachRow(x, func(row, _ int) {
			norm(r.value(y)[row*width:(row+1)*width], r.value(x)[row*width:(row+1)*width], w0, w1, group, a.Eps, a.Kind == kernels.NormKindLayer)
		})
	case kernels.OpRope:
		r.lowerRope(op, w0)
	case kernels.OpAttention:
		r.lowerAttention(i, op, w0)
	case kernels.OpGLU:
		a, g, u, y := op.GLU(), in(0), in(1), op.Out[0]
		params := newGLUParams(a)
		r.eachPart(g, func(from, to int) { glu(r.value(y)[from:to], r.value(g)[from:to], r.value(u)[from:to], a.Act, params) })
	case kernels.OpAct:
		a, x, y := op.Act(), in(0), op.Out[0]
		r.eachPart(x, func(from, to int) { activate(r.value(y)[from:to], r.value(x)[from:to], a.Act) })
	case kernels.OpAdd:
		x, z, y := in(0), in(1), op.Out[0]
		r.eachPart(x, func(from, to int) { add(r.value(y)[from:to], r.value(x)[from:to], r.value(z)[from:to]) })
	case kernels.OpMul:
		r.lowerMul(op)
	case kernels.OpScale:
		f, x, y := op.Scale().Factor, in(0), op.Out[0]
		r.eachPart(x, func(from, to int) { scale(r.value(y)[from:to], r.value(x)[from:to], f) })
	case kernels.OpSoftcap:
		c, x, y := op.Softcap().Cap, in(0), op.Out[0]
		r.eachPart(x, func(from, to int) { softcap(r.value(y)[from:to], r.value(x)[from:to], c) })
	case kernels.OpView:
		r.lowerView(op)
	case kernels.OpConcat:
		r.lowerConcat(op)
	case kernels.OpRoute:
		r.lowerRoute(i, op, w0)
	case kernels.OpExperts:
		return r.lowerExperts(op)
	case kernels.OpRows:
		x, y := in(0), op.Out[0]
		width := r.prog.Values[x].Width
		r.serial(func() {
			out, from := r.value(y), r.value(x)
			for i, row := range r.wanted {
				copy(out[i*width:(i+1)*width], from[int(row)*width:])
			}
		})
	case kernels.OpPool:
		r.lowerPool(op)
	default:
		return fmt.Errorf("the simd device has no such operation")
	}
	return nil
}

// vectorUnlessMatrix decodes weight k where it is one that is read as floats.
func (r *runner) vectorUnlessMatrix(op *kernels.Op, k int) ([]float32, error) {
	if op.Code == kernels.OpEmbed || op.Code == kernels.OpExperts {
		return nil, nil
	}
	return r.vector(op, k)
}

// lowerEmbed decodes the rows' tokens.
func (r *runner) lowerEmbed(op *kernels.Op) error {
	w, y := &r.prog.Weights[op.W[0]], op.Out[0]
	width := r.prog.Values[y].Width
	rowBytes := w.Type.RowBytes(width)
	r.serial(func() {
		out := r.value(y)
		for i := range r.batch.Rows {
			at := int(r.batch.Rows[i].Token) * rowBytes
			if err := gguf.Dequantize(w.Type, out[i*width:(i+1)*width], w.Data[at:at+rowBytes]); err != nil {
				r.err = err
			}
		}
	})
	return nil
}

func (r *runner) lowerMul(op *kernels.Op) {
	x, z, y := op.In[0], op.In[1], op.Out[0]
	width := r.prog.Values[x].Width
	if r.prog.Values[z].Width == 1 && width != 1 {
		r.eachRow(x, func(row, _ int) {
			scale(r.value(y)[row*width:(row+1)*width], r.value(x)[row*width:(row+1)*width], r.value(z)[row])
		})
		return
	}
	r.eachPart(x, func(from, to int) { mul(r.value(y)[from:to], r.value(x)[from:to], r.value(z)[from:to]) })
}

func (r *runner) lowerView(op *kernels.Op) {
	a, x, y := op.View(), op.In[0], op.Out[0]
	width := r.prog.Values[x].Width
	group := a.Group
	if group == 0 {
		group = width
	}
	groups := width / group
	r.eachRow(x, func(row, _ int) {
		from, to := r.value(x)[row*width:(row+1)*width], r.value(y)[row*groups*a.Width:]
		for g := range groups {
			copy(to[g*a.Width:(g+1)*a.Width], from[g*group+a.Offset:])
		}
	})
}

func (r *runner) lowerConcat(op *kernels.Op) {
	a, y := op.Concat(), op.Out[0]
	total := r.prog.Values[y].Width
	r.eachRow(y, func(row, _ int) {
		to := r.value(y)[row*total : (row+1)*total]
		for h := range a.Heads {
			for k, x := range op.In {
				if x < 0 {
					continue
				}
				width := r.prog.Values[x].Width
				from, part := r.value(x)[row*width:(row+1)*width], width
				if a.Shared>>k&1 == 0 {
					part = width / a.Heads
					from = from[h*part:]
				}
				to = to[copy(to, from[:part]):]
			}
		}
	})
}

func (r *runner) lowerPool(op *kernels.Op) {
	kind, x, y := op.Pool().Kind, op.In[0], op.Out[0]
	width := r.prog.Values[x].Width
	r.serial(func() {
		for i, u := range r.runs {
			to, from := r.value(y)[i*width:(i+1)*width], r.value(x)
			switch kind {
			case kernels.PoolKindFirst:
				copy(to, from[u.first*width:])
			case kernels.PoolKindLast:
				copy(to, from[(u.first+u.n-1)*width:])
			default:
				clear(to)
				for row := u.first; row < u.first+u.n; row++ {
					add(to, to, from[row*width:(row+1)*width])
				}
				scale(to, to, 1/float32(u.n))
			}
		}
	})
}

// lowerRope turns pairs; cos and sin are made once a row and shared by its heads.
func (r *runner) lowerRope(op *kernels.Op, factors []float32) {
	a, x, y := op.Rope(), op.In[0], op.Out[0]
	width, pairs := r.prog.Values[x].Width, a.NRot/2
	table := r.ropeTable(a, factors)
	whole := a.First == 0 && a.NRot == a.HeadDim // nothing is left as it is
	r.eachRow(x, func(row, _ int) {
		from, to := r.value(x)[row*width:(row+1)*width], r.value(y)[row*width:(row+1)*width]
		cs := table.rows[row*2*pairs : (row+1)*2*pairs]
		if !whole {
			copy(to, from)
		}
		for head := a.First; head < width; head += a.HeadDim {
			if a.Mode == kernels.RopeModeHalves {
				rotateHalves(to[head:head+a.NRot], from[head:head+a.NRot], cs)
			} else {
				rotatePairs(to[head:head+a.NRot], from[head:head+a.NRot], cs)
			}
		}
	})
}
