package simd

import (
	"fmt"

	"forge/kernels"
)

// routing is what OpRoute chose: for each row topK experts.
type routing struct {
	topK   int
	chosen []kernels.Route
}

// lowerRoute shares the rows among the workers, or asks the router that the options have for this operation.
func (r *runner) lowerRoute(i int, op *kernels.Op, bias []float32) {
	a, x, y := op.Route(), op.In[0], op.Out[0]
	width := r.prog.Values[x].Width
	to := &r.routes[y]
	to.topK = a.TopK
	resize := func() int {
		n := r.rows(x)
		to.chosen = grow(to.chosen, n*a.TopK)
		return n
	}
	if ask := r.routers[i]; ask != nil {
		var call kernels.RouteCall
		r.serial(func() {
			if resize() > 0 {
				call = kernels.RouteCall{Scores: r.value(x), Batch: r.batch, Rows: r.indices(x), Out: to.chosen}
				r.err = call.Ask(ask, width)
			}
		})
		return
	}
	routers := make([]*router, r.pool.n)
	for k := range routers {
		routers[k] = newRouter(a, bias, width)
	}
	task := func(worker int) {
		for row := r.pool.take(); row < r.rows(x); row = r.pool.take() {
			routers[worker].choose(to.chosen[row*a.TopK:(row+1)*a.TopK], r.value(x)[row*width:(row+1)*width])
		}
	}
	r.addStep(func() {
		n := resize()
		if n*width > serialWork/16 { // an exponential is so much dearer than an addition
			r.pool.run(task)
			return
		}
		for row := range n {
			routers[0].choose(to.chosen[row*a.TopK:(row+1)*a.TopK], r.value(x)[row*width:(row+1)*width])
		}
	})
}

// experts is the state of one OpExperts: rows gathered by expert, so that each expert's weights are read once a step.
type experts struct {
	r              *runner
	act            kernels.Act
	params         *gluParams
	x, routes, out kernels.ValueID
	matrix         [3]matrix // gate, up, down
	n, nFF         int       // widths
	order          []int32   // route indices by expert, rows ascending
	start          []int32   // of each expert in order
	used           []int32   // experts that some row chose
	in, mid        acts
	gate, up, down []float32
	chunks         int // of the phase, for each used expert
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
	r.addStep(e.step())
	return nil
}

// step gathers, multiplies, and adds up.
func (e *experts) step() func() {
	r := e.r
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
	mid := func(int) {
		for t := r.pool.take(); t < len(e.order); t = r.pool.take() {
			g, u := e.gate[t*e.nFF:(t+1)*e.nFF], e.up[t*e.nFF:(t+1)*e.nFF]
			glu(g, g, u, e.act, e.params)
			e.mid.set(t, g)
		}
	}
	down := func(worker int) {
		per := e.chunks
		for t := r.pool.take(); t < per*len(e.used); t = r.pool.take() {
			e.multiply(&e.matrix[2], &e.mid, e.down, int(e.used[t/per]), t%per, per, worker)
		}
	}
	return func() {
		if r.rows(e.x) == 0 {
			return
		}
		e.gather()
		r.pool.run(gateUp)
		r.pool.run(mid)
		r.pool.run(down)
		e.addUp()
	}
}

// gather sorts the routes by expert and copies each route's row to its place.
func (e *experts) gather() {
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
	if cap(e.order) < n {
		e.order = make([]int32, n)
	}
	e.order = e.order[:n]
	for i := n - 1; i >= 0; i-- {
		// Filling from the end keeps rows ascending; start ends as the beginning of each expert's part.
		c := routes.chosen[i].Expert
		e.start[c+1]--
		e.order[e.start[c+1]] = int32(i)
	}
	copy(e.start, e.start[1:])
	e.start[len(e.start)-1] = int32(n)
	e.in.resize(n, e.n)
	x := e.r.value(e.x)
	for t, i := range e.order {
		row := int(i) / routes.topK
		e.in.set(t, x[row*e.n:(row+1)*e.n])
	}
	e.mid.resize(n, e.nFF)
	e.gate, e.up, e.down = grow(e.gate, n*e.nFF), grow(e.up, n*e.nFF), grow(e.down, n*e.n)
	e.chunks = max(1, 4*e.r.pool.n/len(e.used))
}

// multiply computes share i of per of one expert's outputs for the rows that chose it.
func (e *experts) multiply(m *matrix, a *acts, out []float32, expert, i, per, worker int) {
	size := (m.nOut/per + panelRows) / panelRows * panelRows
	o0, o1 := min(i*size, m.nOut), min((i+1)*size, m.nOut)
	r0, r1 := int(e.start[expert]), int(e.start[expert+1])
	if o0 >= o1 {
		return
	}
	m.product.rows(out, m.nOut, m.data[expert*m.nOut*m.rowBytes:], m.rowBytes, o0, o1, a, r0, r1, &e.r.scratch[worker].products)
	if m.bias != nil {
		for t := r0; t < r1; t++ {
			y := out[t*m.nOut+o0 : t*m.nOut+o1]
			add(y, y, m.bias[expert*m.nOut+o0:][:o1-o0])
		}
	}
}

// addUp sums each row's experts in ascending order of expert.
func (e *experts) addUp() {
	routes, y := &e.r.routes[e.routes], e.r.value(e.out)
	clear(y)
	for t, i := range e.order {
		row, w := int(i)/routes.topK, routes.chosen[i].Weight
		to := y[row*e.n : (row+1)*e.n]
		for d, v := range e.down[t*e.n : (t+1)*e.n] {
			to[d] += w * v
		}
	}
}
