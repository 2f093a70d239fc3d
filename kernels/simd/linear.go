package simd

import (
	"fmt"
	"slices"

	"forge/kernels"
)

// sharedActs is a value as the products read it, rounded once a step. Values that do not live at once share it.
type sharedActs struct {
	acts
	width int // of a row at first
	// At compile time: the value that it holds after the steps so far, in rows of how many numbers, and in which forms.
	of       kernels.ValueID
	rowWidth int
	rounded  forms
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

// quantised gives a value's activations, one row for each head, and adds the step that makes them: rounded to
// the forms that their products read unless a step before has done so.
func (r *runner) quantised(id kernels.ValueID, heads int, round forms) *acts {
	width := r.prog.Values[id].Width / heads
	round.lanes = heads > 1 && round.blocks // its product takes the rows one by one
	a := r.actsOf(id, width)
	if a.of == id && a.rowWidth == width && a.rounded.has(round) {
		return &a.acts
	}
	a.of, a.rowWidth, a.rounded = id, width, round
	work := r.work
	r.work = "quantise"
	alias := func() { a.alias(r.value(id), r.rows(id)*heads, width, round) }
	switch {
	case !round.any():
		r.addRowWork(rowWork{work: r.work, selected: r.prog.Values[id].Selected, before: alias, row: func(int, int) {}})
	case width > serialWork && width%cacheBlock == 0:
		r.serial(alias)
		r.eachPart(id, func(from, to int) {
			for from < to {
				row := from / width
				end := min(to, (row+1)*width)
				a.roundPart(row, from-row*width, end-row*width)
				from = end
			}
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
	ls, err := r.linears(ops)
	if err != nil {
		return err
	}
	chunks := share(ls, r.pool.n)
	a := r.quantised(x, 1, r.formsOf(ls))
	task := func(worker, from, to int) {
		for from < to {
			c := chunks[from]
			// Those of one matrix stand side by side.
			for from++; from < to && chunks[from].linear == c.linear; from++ {
				c.o1 = chunks[from].o1
			}
			r.multiply(&ls[c.linear], a, c.o0, c.o1, 0, a.n, worker)
		}
	}
	// Matrices with few outputs, as routers have them, are shared out by rows too.
	parts := func(worker, from, to int) {
		for n := a.n / partRows; from < to; from++ {
			c, part := chunks[from%len(chunks)], from/len(chunks)
			r.multiply(&ls[c.linear], a, c.o0, c.o1, part*a.n/n, (part+1)*a.n/n, worker)
		}
	}
	r.reads(stretchOf(ls), stretchOf(chunks))
	readsFunc(r, task)
	r.addProduct(func() {
		switch n := r.rows(x); {
		case n == 0:
		case n >= 2*partRows && len(chunks) < r.pool.n:
			r.pool.run(n/partRows*len(chunks), parts)
		default:
			r.pool.run(len(chunks), task)
		}
	})
	return nil
}

// partRows is how many rows a part of a product has at least whose outputs are too few to be shared out: they make little of
// unpacking the weights for each part anew, and no part has too few for the form that all would be multiplied in.
const partRows = 48

// linears gathers what the products of one value need.
func (r *runner) linears(ops []kernels.Op) ([]linear, error) {
	var ls []linear
	for k := range ops {
		w := &r.prog.Weights[ops[k].W[0]]
		p, err := productFor(w.Type)
		if err != nil {
			return nil, fmt.Errorf("weight %s: %w", w.Name, err)
		}
		bias, err := r.vector(&ops[k], 1)
		if err != nil {
			return nil, err
		}
		ls = append(ls, linear{product: p, data: w.Data, rowBytes: w.Type.RowBytes(r.prog.Values[ops[k].In[0]].Width), out: ops[k].Out[0],
			nOut: r.prog.Values[ops[k].Out[0]].Width, bias: bias})
	}
	return ls, nil
}

// formsOf are the forms that products read.
func (r *runner) formsOf(ls []linear) (f forms) {
	for i := range ls {
		f = f.and(r.form(ls[i].product))
	}
	return f
}

// form is what a product reads besides floats.
func (r *runner) form(p *product) forms {
	return forms{blocks: !p.floats(), fixed: p.fixed() && !r.deterministic}
}

// multiply computes outputs o0 to o1-1 of a product for the rows r0 to r1-1.
func (r *runner) multiply(l *linear, a *acts, o0, o1, r0, r1, worker int) {
	out := r.value(l.out)
	l.product.rows(out, l.nOut, l.data, l.rowBytes, o0, o1, a, r0, r1, &r.scratch[worker].products)
	if l.bias != nil {
		for row := r0; row < r1; row++ {
			y := out[row*l.nOut+o0 : row*l.nOut+o1]
			add(y, y, l.bias[o0:o1])
		}
	}
}

// gated tells whether two products are the gate and the other input of op and nothing else reads them: then one phase
// computes all three. It is for matrices of rows that can be cut at blocks.
func (r *runner) gated(ops []kernels.Op, op *kernels.Op, last []int, at int) bool {
	if len(ops) != 2 || op.Code != kernels.OpGLU {
		return false
	}
	a, b := ops[0].Out[0], ops[1].Out[0]
	reads := op.In[0] == a && op.In[1] == b || op.In[0] == b && op.In[1] == a
	return reads && last[a] == at && last[b] == at && a != r.seg.Out && b != r.seg.Out &&
		ops[0].Linear().Heads == 1 && ops[1].Linear().Heads == 1 && r.prog.Values[a].Width%cacheBlock == 0
}

// lowerGated lowers the products that a gated unit reads together with it. A worker that has a part of both applies the
// unit to it and, if only products read the result, rounds it for them.
func (r *runner) lowerGated(ops []kernels.Op, op *kernels.Op) error {
	x, y := ops[0].In[0], op.Out[0]
	ls, err := r.linears(ops)
	if err != nil {
		return err
	}
	gate, up := &ls[0], &ls[1]
	if gate.out != op.In[0] {
		gate, up = up, gate
	}
	act, params, nOut := op.GLU().Act, newGLUParams(op.GLU()), gate.nOut
	a := r.quantised(x, 1, r.formsOf(ls))
	rounded := r.actsOf(y, nOut)
	made := r.readByProducts(y)
	rounded.of, rounded.rowWidth, rounded.rounded = y, nOut, made
	size := nOut
	if r.pool.n > 1 {
		size = max(roundedPart, nOut/(chunksPerWorker*r.pool.n)/roundedPart*roundedPart)
	}
	task := func(worker, from, to int) {
		out, g, u := r.value(y), r.value(gate.out), r.value(up.out)
		o, end := from*size, min(to*size, nOut)
		r.multiply(gate, a, o, end, 0, a.n, worker)
		r.multiply(up, a, o, end, 0, a.n, worker)
		for row := range a.n {
			i, j := row*nOut+o, row*nOut+end
			glu(out[i:j], g[i:j], u[i:j], act, params)
			rounded.roundPart(row, o, end)
		}
	}
	r.reads(stretchOf(ls), stretchOf(params[:]))
	readsFunc(r, task)
	r.addProduct(func() {
		if n := r.rows(x); n > 0 {
			rounded.alias(r.value(y), n, nOut, made)
			r.pool.run((nOut+size-1)/size, task)
		}
	})
	return nil
}

// readByProducts gives the forms in which products read a value, if nothing else reads it and none reads floats alone.
func (r *runner) readByProducts(id kernels.ValueID) (f forms) {
	if id == r.seg.Out {
		return forms{}
	}
	for i := r.seg.First; i < r.seg.Last; i++ {
		op := &r.prog.Ops[i]
		if !slices.Contains(op.In, id) {
			continue
		}
		if op.Code != kernels.OpLinear || op.Linear().Heads != 1 {
			return forms{}
		}
		read := r.form(products[level][r.prog.Weights[op.W[0]].Type])
		if !read.any() {
			return forms{}
		}
		f = f.and(read)
	}
	return f
}

// chunksPerWorker is how many chunks of a phase there are for each worker: enough that a worker that is held up holds up
// little, not so many that taking them costs.
const chunksPerWorker = 8

// share cuts matrices into chunks of whole pairs of panels.
func share(ls []linear, workers int) []chunk {
	total := 0
	for i := range ls {
		total += ls[i].nOut
	}
	size := total
	if workers > 1 {
		size = max(2*panelRows, total/(chunksPerWorker*workers)/(2*panelRows)*2*panelRows)
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
	a := r.quantised(x, heads, forms{blocks: !p.floats()}) // a row at a time
	task := func(worker, from, to int) {
		for t := from; t < to; t++ {
			h := t % heads
			// Row t of the activations is head h of its row; its outputs stand at the same place of y.
			p.rows(r.value(y), nOut, w.Data[h*nOut*rowBytes:], rowBytes, 0, nOut, a, t, t+1, &r.scratch[worker].products)
		}
	}
	readsFunc(r, task)
	r.addProduct(func() { r.pool.run(r.rows(x)*heads, task) })
	return nil
}
