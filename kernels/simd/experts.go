package simd

import (
	"fmt"

	"forge/kernels"
)

// experts is one OpExperts. The routes of all rows are sorted by expert, and the rows copied in that order, so that each
// expert's weights are read once a step and meet all their rows. A single row is not copied: its experts' matrices are the
// chunks of one phase, as the matrices of a dense layer are.
type experts struct {
	r              *runner
	act            kernels.Act
	params         *gluParams
	x, routes, out kernels.ValueID
	matrix         [3]matrix // gate, up, down
	n, nFF         int       // widths
	rows           *acts     // the rows of x
	start          []int32   // of each expert in order, and the end
	used           []int32   // experts that some row chose
	order          []int32   // routes by expert, rows ascending
	place          []int32   // for each row, where its routes are in order: by expert, ascending
	placed         []int32   // how many of each row are there so far
	in, mid        acts      // by order
	gate, up, down []float32 // by order
	chunks         int       // of the phase, for each used expert
}

// matrix is a stack of one matrix for each expert.
type matrix struct {
	product  *product
	data     []byte
	rowBytes int
	nOut     int
	bias     []float32
}

func (r *runner) lowerExperts(op *kernels.Op) error {
	a := op.Experts()
	e := &experts{r: r, x: op.In[0], routes: op.In[1], out: op.Out[0]}
	e.act, e.params = a.Act, newGLUParams(kernels.GLUAttrs{Limit: a.Limit, Alpha: a.Alpha, UpBias: a.UpAdd})
	e.n = r.prog.Values[e.x].Width
	count := 0
	for k := range e.matrix {
		w := &r.prog.Weights[op.W[k]]
		p, err := productFor(w.Type)
		if err != nil {
			return fmt.Errorf("weight %s: %w", w.Name, err)
		}
		bias, err := r.vector(op, 3+k)
		if err != nil {
			return err
		}
		count = w.Shape[0]
		e.matrix[k] = matrix{p, w.Data, w.Type.RowBytes(w.Shape[2]), w.Shape[1], bias}
	}
	e.nFF = e.matrix[0].nOut
	e.start = make([]int32, count+1)
	e.rows = r.quantised(e.x, 1, e.rounds(0) || e.rounds(1))
	r.addStep(e.step())
	return nil
}

// rounds tells whether matrix k reads activations of 8 bits.
func (e *experts) rounds(k int) bool { return !e.matrix[k].product.floats() }

// step sorts, multiplies, and adds up.
func (e *experts) step() func() {
	r := e.r
	gather := e.each(e.gather)
	gateUp := func(worker int) {
		per := e.chunks
		for t := r.pool.take(); t < 2*per*len(e.used); t = r.pool.take() {
			k, rest := t%2, t/2
			out := e.gate
			if k == 1 {
				out = e.up
			}
			e.multiply(&e.matrix[k], &e.in, out, int(e.used[rest/per]), rest%per, per, worker)
		}
	}
	mid := e.each(e.activate)
	down := func(worker int) {
		per := e.chunks
		for t := r.pool.take(); t < per*len(e.used); t = r.pool.take() {
			e.multiply(&e.matrix[2], &e.mid, e.down, int(e.used[t/per]), t%per, per, worker)
		}
	}
	addUp := func(int) {
		for row := r.pool.take(); row < r.rows(e.x); row = r.pool.take() {
			e.addUp(row)
		}
	}
	return func() {
		if r.rows(e.x) == 0 {
			return
		}
		e.sort()
		if !e.single() {
			r.share(len(e.order)*e.n, gather)
		}
		r.pool.run(gateUp)
		r.share(len(e.order)*e.nFF, mid)
		r.pool.run(down)
		r.share(len(e.order)*e.n, addUp)
	}
}

// each is a task that does f for every route in order.
func (e *experts) each(f func(t int)) func(int) {
	return func(int) {
		for t := e.r.pool.take(); t < len(e.order); t = e.r.pool.take() {
			f(t)
		}
	}
}

// share runs a light task on all workers if it goes through many numbers.
func (r *runner) share(numbers int, task func(worker int)) {
	if numbers > serialWork {
		r.pool.run(task)
		return
	}
	r.pool.alone(task)
}

// single tells that the step has one row, whose routes need no copies of it.
func (e *experts) single() bool { return e.rows.n == 1 }

// sort lists the routes by expert and makes room for what is computed of them.
func (e *experts) sort() {
	routes := &e.r.routes[e.routes]
	n := len(routes.chosen)
	clear(e.start)
	for _, c := range routes.chosen {
		e.start[c.Expert+1]++
	}
	e.used = e.used[:0]
	for i := 1; i < len(e.start); i++ {
		if e.start[i] > 0 {
			e.used = append(e.used, int32(i-1))
		}
		e.start[i] += e.start[i-1]
	}
	e.order, e.place = grow(e.order, n), grow(e.place, n)
	for i := n - 1; i >= 0; i-- {
		// Filling from the end keeps rows ascending; start ends as the beginning of each expert's part.
		c := routes.chosen[i].Expert
		e.start[c+1]--
		e.order[e.start[c+1]] = int32(i)
	}
	copy(e.start, e.start[1:])
	e.start[len(e.start)-1] = int32(n)
	e.placeRows(routes.topK)
	if !e.single() {
		e.in.resize(n, e.n)
	}
	e.gate, e.up, e.down = grow(e.gate, n*e.nFF), grow(e.up, n*e.nFF), grow(e.down, n*e.n)
	e.mid.alias(e.gate, n, e.nFF)
	e.chunks = max(1, 4*e.r.pool.n/len(e.used))
}

// placeRows fills place: order meets each row's routes by expert, ascending.
func (e *experts) placeRows(topK int) {
	e.placed = grow(e.placed, e.rows.n)
	clear(e.placed)
	for t, i := range e.order {
		row := int(i) / topK
		e.place[row*topK+int(e.placed[row])] = int32(t)
		e.placed[row]++
	}
}

// gather copies a route's row to its place.
func (e *experts) gather(t int) {
	row := int(e.order[t]) / e.r.routes[e.routes].topK
	if s := e.in.stride(); e.rounds(0) || e.rounds(1) {
		copy(e.in.blocks[t*s:(t+1)*s], e.rows.blocks[row*s:])
	}
	if !e.rounds(0) || !e.rounds(1) || e.in.stride() == 0 {
		copy(e.in.x[t*e.n:(t+1)*e.n], e.rows.x[row*e.n:])
	}
}

// activate makes a route's input of the last matrix from the results of the first two.
func (e *experts) activate(t int) {
	g, u := e.gate[t*e.nFF:(t+1)*e.nFF], e.up[t*e.nFF:(t+1)*e.nFF]
	glu(g, g, u, e.act, e.params)
	if e.rounds(2) {
		e.mid.round(t)
	}
}

// multiply computes share i of per of one expert's outputs for the rows that chose it.
func (e *experts) multiply(m *matrix, a *acts, out []float32, expert, i, per, worker int) {
	size := (m.nOut/per + panelRows) / panelRows * panelRows
	o0, o1 := min(i*size, m.nOut), min((i+1)*size, m.nOut)
	r0, r1 := int(e.start[expert]), int(e.start[expert+1])
	if o0 >= o1 {
		return
	}
	if a == &e.in && e.single() {
		// The one row stands for every route.
		a, out, r0, r1 = e.rows, out[r0*m.nOut:], 0, 1
	}
	m.product.rows(out, m.nOut, m.data[expert*m.nOut*m.rowBytes:], m.rowBytes, o0, o1, a, r0, r1, &e.r.scratch[worker].products)
	if m.bias != nil {
		for t := r0; t < r1; t++ {
			y := out[t*m.nOut+o0 : t*m.nOut+o1]
			add(y, y, m.bias[expert*m.nOut+o0:][:o1-o0])
		}
	}
}

// addUp sums a row's experts in ascending order of expert.
func (e *experts) addUp(row int) {
	routes := &e.r.routes[e.routes]
	y := e.r.value(e.out)[row*e.n : (row+1)*e.n]
	clear(y)
	for _, t := range e.place[row*routes.topK : (row+1)*routes.topK] {
		foldInto(y, e.down[int(t)*e.n:(int(t)+1)*e.n], 1, routes.chosen[e.order[t]].Weight)
	}
}
