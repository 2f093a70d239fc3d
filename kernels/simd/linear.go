package simd

import (
	"fmt"

	"forge/kernels"
)

// sharedActs is a value as the products read it, rounded once a step. Values that do not live at once share it.
type sharedActs struct {
	acts
	width int // of a row at first
	// At compile time: the value that it holds after the steps so far, in rows of how many numbers, and whether rounded.
	of       kernels.ValueID
	rowWidth int
	rounded  bool
}

// actsOf gives a value the memory of its activations; dropActs gives it back at compile time.
func (r *runner) actsOf(id kernels.ValueID, width int) *sharedActs {
	if a := r.acts[id]; a != nil {
		return a
	}
	for i, a := range r.freeActs {
		if a.width == width {
			r.freeActs = append(r.freeActs[:i], r.freeActs[i+1:]...)
			r.acts[id], a.of = a, -1
			return a
		}
	}
	a := &sharedActs{width: width, of: -1}
	r.acts[id] = a
	return a
}

func (r *runner) dropActs(id kernels.ValueID) {
	if a := r.acts[id]; a != nil {
		r.freeActs = append(r.freeActs, a)
		delete(r.acts, id)
	}
}

// quantised gives a value's activations, one row for each head, and adds the step that makes them: rounded unless all their
// products read floats or a step before has done so.
func (r *runner) quantised(id kernels.ValueID, heads int, round bool) *acts {
	width := r.prog.Values[id].Width / heads
	a := r.actsOf(id, width)
	if a.of == id && a.rowWidth == width && (a.rounded || !round) {
		return &a.acts
	}
	a.of, a.rowWidth, a.rounded = id, width, round
	work := r.work
	r.work = "quantise"
	alias := func() { a.alias(r.value(id), r.rows(id)*heads, width) }
	switch {
	case !round:
		r.addRowWork(rowWork{work: r.work, selected: r.prog.Values[id].Selected, before: alias, row: func(int, int) {}})
	case width > serialWork && width%cacheBlock == 0:
		r.serial(alias)
		r.eachPart(id, func(from, to int) {
			quantize(level, a.blocks[from/cacheBlock*actBlock:to/cacheBlock*actBlock], a.x[from:to])
		})
	default:
		r.addRowWork(rowWork{work: r.work, selected: r.prog.Values[id].Selected, width: r.prog.Values[id].Width, before: alias, row: func(row, _ int) {
			for h := row * heads; h < (row+1)*heads; h++ {
				a.round(h)
			}
		}})
	}
	r.work = work
	return &a.acts
}

// linear is one matrix of a phase.
type linear struct {
	product  *product
	data     []byte
	rowBytes int
	out      kernels.ValueID
	nOut     int
	bias     []float32
}

// chunk is a share of a phase: outputs o0 to o1-1 of a matrix.
type chunk struct {
	linear int
	o0, o1 int
}

// lowerLinear lowers products of one value.
func (r *runner) lowerLinear(ops []kernels.Op) error {
	heads := ops[0].Linear().Heads
	for k := range ops {
		if ops[k].Linear().Heads != heads || heads > 1 && len(ops) > 1 {
			for k := range ops {
				if err := r.lowerLinear(ops[k : k+1]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if heads > 1 {
		return r.lowerHeads(&ops[0], heads)
	}
	x := ops[0].In[0]
	var ls []linear
	for k := range ops {
		w := &r.prog.Weights[ops[k].W[0]]
		p, err := productFor(w.Type)
		if err != nil {
			return fmt.Errorf("weight %s: %w", w.Name, err)
		}
		bias, err := r.vector(&ops[k], 1)
		if err != nil {
			return err
		}
		ls = append(ls, linear{product: p, data: w.Data, rowBytes: w.Type.RowBytes(r.prog.Values[x].Width), out: ops[k].Out[0],
			nOut: r.prog.Values[ops[k].Out[0]].Width, bias: bias})
	}
	chunks := share(ls, r.pool.n)
	round := false
	for i := range ls {
		round = round || !ls[i].product.floats()
	}
	a := r.quantised(x, 1, round)
	task := func(worker int) {
		for t := r.pool.take(); t < len(chunks); t = r.pool.take() {
			c := &chunks[t]
			l := &ls[c.linear]
			out, n := r.value(l.out), r.rows(x)
			l.product.rows(out, l.nOut, l.data, l.rowBytes, c.o0, c.o1, a, 0, n, &r.scratch[worker].products)
			if l.bias != nil {
				for row := range n {
					y := out[row*l.nOut+c.o0 : row*l.nOut+c.o1]
					add(y, y, l.bias[c.o0:c.o1])
				}
			}
		}
	}
	r.addStep(func() {
		if r.rows(x) == 0 {
			return
		}
		r.pool.run(task)
	})
	return nil
}

// share cuts matrices into chunks of whole panels: enough that a worker that is held up holds up little, not so small
// that taking them costs.
func share(ls []linear, workers int) []chunk {
	total := 0
	for i := range ls {
		total += ls[i].nOut
	}
	size := total
	if workers > 1 {
		size = max(2*panelRows, total/(8*workers)/panelRows*panelRows)
	}
	var chunks []chunk
	for i := range ls {
		for o := 0; o < ls[i].nOut; o += size {
			chunks = append(chunks, chunk{i, o, min(ls[i].nOut, o+size)})
		}
	}
	return chunks
}

// lowerHeads multiplies each head's part of a row with the head's own matrix.
func (r *runner) lowerHeads(op *kernels.Op, heads int) error {
	w, x, y := &r.prog.Weights[op.W[0]], op.In[0], op.Out[0]
	p, err := productFor(w.Type)
	if err != nil {
		return fmt.Errorf("weight %s: %w", w.Name, err)
	}
	nOut, k := w.Shape[1], r.prog.Values[x].Width/heads
	rowBytes := w.Type.RowBytes(k)
	a := r.quantised(x, heads, !p.floats())
	task := func(worker int) {
		n := r.rows(x) * heads
		for t := r.pool.take(); t < n; t = r.pool.take() {
			h := t % heads
			// Row t of the activations is head h of its row; its outputs stand at the same place of y.
			p.rows(r.value(y), nOut, w.Data[h*nOut*rowBytes:], rowBytes, 0, nOut, a, t, t+1, &r.scratch[worker].products)
		}
	}
	r.addStep(func() {
		if r.rows(x) > 0 {
			r.pool.run(task)
		}
	})
	return nil
}
