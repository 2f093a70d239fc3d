package simd

import (
	"fmt"
	"unsafe"

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
	task := func(worker, from, end int) {
		for row := from; row < end; row++ {
			routers[worker].choose(to.chosen[row*a.TopK:(row+1)*a.TopK], r.value(x)[row*width:(row+1)*width])
		}
	}
	r.addStep(func() {
		if n := resize(); n*width > serialWork/16 { // an exponential is so much dearer than an addition
			r.pool.run(n, task)
		} else {
			r.pool.alone(n, task)
		}
	})
}

// experts is one OpExperts. A step's routes are sorted by expert, so that each expert's weights are read once, and every
// expert that some row chose has its share of two phases: gate, up and their activation together, then down.
type experts struct {
	r              *runner
	work           *expertWork
	act            kernels.Act
	params         *gluParams
	x, routes, out kernels.ValueID
	rows           *acts     // of x
	matrix         [3]matrix // gate, up, down
	n, nFF, count  int       // widths, and how many experts there are
	floats         bool      // gate and up read x as floats
	read           forms     // and in these forms
	mid            forms     // what down reads
}

// matrix is a stack of one matrix for each expert.
type matrix struct {
	product  *product
	data     []byte
	rowBytes int
	nOut     int
	bias     []float32
}

// expertWork is the memory of a step's routes. A route's place is its index in order. Layers take turns with it: there are
// many, and for a long prompt it is large.
type expertWork struct {
	order          []int32 // routes by expert, rows ascending
	start          []int32 // of each expert in order, and the end
	used           []int32 // experts that some row chose
	places         []int32 // of each row's routes, ascending
	filled         []int32 // of each row: how many of its places are known
	in             acts    // rows of x by place
	x              []float32
	mid            acts // gate after its activation
	gate, up, down []float32
}

func (r *runner) lowerExperts(op *kernels.Op) error {
	a := op.Experts()
	if r.expertWork == nil {
		r.expertWork = new(expertWork)
	}
	e := &experts{r: r, work: r.expertWork, x: op.In[0], routes: op.In[1], out: op.Out[0]}
	e.act, e.params = a.Act, newGLUParams(kernels.GLUAttrs{Limit: a.Limit, Alpha: a.Alpha, UpBias: a.UpAdd})
	e.n = r.prog.Values[e.x].Width
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
		e.count = w.Shape[0]
		e.matrix[k] = matrix{p, w.Data, w.Type.RowBytes(w.Shape[2]), w.Shape[1], bias}
		if k < 2 {
			e.floats, e.read = e.floats || p.floats(), e.read.and(r.form(p))
		} else {
			e.mid = r.form(p)
		}
	}
	e.nFF = e.matrix[0].nOut
	e.rows = r.quantised(e.x, 1, e.read)
	r.reads(newStretch(unsafe.Pointer(e), int(unsafe.Sizeof(*e))))
	r.addProduct(e.step())
	r.work = "sum"
	r.eachRow(e.out, e.addUp)
	return nil
}

func (e *experts) step() func() {
	r, w := e.r, e.work
	const some = 8 // places that are filled by one worker
	gather := func(_, from, to int) { e.gather(from*some, min(len(w.order), to*some)) }
	var in *acts // what gate and up read; one row stands for all its places
	gateUp := func(worker, from, to int) {
		e.stretches(e.nFF, from, to, func(expert, o0, o1 int) { e.gateUp(in, expert, o0, o1, worker) })
	}
	down := func(worker, from, to int) {
		e.stretches(e.n, from, to, func(expert, o0, o1 int) { e.multiply(&e.matrix[2], &w.mid, w.down, expert, o0, o1, worker) })
	}
	return func() {
		rows := r.rows(e.x)
		if rows == 0 {
			return
		}
		e.sort()
		in = e.rows
		if rows > 1 {
			in = &w.in
			r.pool.run((len(w.order)+some-1)/some, gather)
		}
		_, per := e.share(e.nFF)
		r.pool.run(per*len(w.used), gateUp)
		_, per = e.share(e.n)
		r.pool.run(per*len(w.used), down)
	}
}

// share cuts nOut outputs of an expert into shares that can be rounded alone: as many as share has for a matrix of all that are
// used, and of every expert at least four, since some have many more rows than others.
func (e *experts) share(nOut int) (size, per int) {
	size = nOut
	if workers := e.r.pool.n; workers > 1 {
		size = min(nOut, max(roundedPart, min(nOut*len(e.work.used)/(8*workers), nOut/4)/roundedPart*roundedPart))
	}
	return size, (nOut + size - 1) / size
}

// stretches calls f for the outputs of each expert in the chunks from .. to-1.
func (e *experts) stretches(nOut, from, to int, f func(expert, o0, o1 int)) {
	size, per := e.share(nOut)
	for from < to {
		k := from / per
		end := min(to, (k+1)*per)
		f(int(e.work.used[k]), (from-k*per)*size, min(nOut, (end-k*per)*size))
		from = end
	}
}

// sort gives every route its place, by expert, and makes room for what is computed there.
func (e *experts) sort() {
	w, routes := e.work, &e.r.routes[e.routes]
	n, rows := len(routes.chosen), e.r.rows(e.x)
	w.start = grow(w.start, e.count+1)
	clear(w.start)
	for _, c := range routes.chosen {
		w.start[c.Expert+1]++
	}
	w.used = w.used[:0]
	for i := 1; i < len(w.start); i++ {
		if w.start[i] > 0 {
			w.used = append(w.used, int32(i-1))
		}
		w.start[i] += w.start[i-1]
	}
	w.order = grow(w.order, n)
	for i := n - 1; i >= 0; i-- {
		// Filling from the end keeps rows ascending; start ends as the beginning of each expert's part.
		c := routes.chosen[i].Expert
		w.start[c+1]--
		w.order[w.start[c+1]] = int32(i)
	}
	copy(w.start, w.start[1:])
	w.start[len(w.start)-1] = int32(n)
	w.places, w.filled = grow(w.places, n), grow(w.filled, rows)
	clear(w.filled)
	for t, i := range w.order {
		row := int(i) / routes.topK
		w.places[row*routes.topK+int(w.filled[row])] = int32(t)
		w.filled[row]++
	}
	if rows > 1 {
		var x []float32
		if e.floats {
			w.x = grow(w.x, n*e.n)
			x = w.x
		}
		in := e.read
		in.lanes = len(e.rows.lanes) > 0
		w.in.alias(x, n, e.n, in)
	}
	w.gate, w.up, w.down = grow(w.gate, n*e.nFF), grow(w.up, n*e.nFF), grow(w.down, n*e.n)
	mid := e.mid
	mid.lanes = mid.blocks && rows <= lanesMost
	w.mid.alias(w.gate, n, e.nFF, mid)
}

// gather copies the rows of x, as they are rounded, to the places from .. to-1.
func (e *experts) gather(from, to int) {
	w, topK := e.work, e.r.routes[e.routes].topK
	for t := from; t < to; t++ {
		row := int(w.order[t]) / topK
		if e.floats {
			copy(w.in.x[t*e.n:(t+1)*e.n], e.rows.x[row*e.n:(row+1)*e.n])
		}
		if len(e.rows.fixed) > 0 && len(w.in.fixed) > 0 {
			copy(w.in.fixedRow(t), e.rows.fixedRow(row))
		}
		if s := e.rows.stride(); e.read.blocks && s > 0 {
			copy(w.in.blocks[t*s:(t+1)*s], e.rows.blocks[row*s:(row+1)*s])
			if len(e.rows.lanes) > 0 {
				copy(w.in.lanes[t*s:(t+1)*s], e.rows.lanes[row*s:(row+1)*s])
			}
		}
	}
}

// gateUp computes outputs o0 to o1-1 of an expert's gate and up for the rows that chose it, and the activation.
func (e *experts) gateUp(in *acts, expert, o0, o1, worker int) {
	w := e.work
	e.multiply(&e.matrix[0], in, w.gate, expert, o0, o1, worker)
	e.multiply(&e.matrix[1], in, w.up, expert, o0, o1, worker)
	for t := int(w.start[expert]); t < int(w.start[expert+1]); t++ {
		g := w.gate[t*e.nFF+o0 : t*e.nFF+o1]
		glu(g, g, w.up[t*e.nFF+o0:t*e.nFF+o1], e.act, e.params)
		w.mid.roundPart(t, o0, o1)
	}
}

// multiply computes outputs o0 to o1-1 of one expert for the rows that chose it: those at its places, or the only row.
func (e *experts) multiply(m *matrix, a *acts, out []float32, expert, o0, o1, worker int) {
	t0, t1 := int(e.work.start[expert]), int(e.work.start[expert+1])
	r0, r1, to := t0, t1, out
	if a == e.rows {
		r0, r1, to = 0, 1, out[t0*m.nOut:]
	}
	m.product.rows(to, m.nOut, m.data[expert*m.nOut*m.rowBytes:], m.rowBytes, o0, o1, a, r0, r1, &e.r.scratch[worker].products)
	if m.bias != nil {
		for t := t0; t < t1; t++ {
			y := out[t*m.nOut+o0 : t*m.nOut+o1]
			add(y, y, m.bias[expert*m.nOut+o0:][:o1-o0])
		}
	}
}

// addUp sums a row's experts in ascending order of expert.
func (e *experts) addUp(row, _ int) {
	w, routes := e.work, &e.r.routes[e.routes]
	y := e.r.value(e.out)[row*e.n : (row+1)*e.n]
	for k, t := range w.places[row*routes.topK : (row+1)*routes.topK] {
		part := w.down[int(t)*e.n : int(t+1)*e.n]
		if weight := routes.chosen[w.order[t]].Weight; k == 0 {
			scale(y, part, weight)
		} else {
			foldInto(y, part, 1, weight)
		}
	}
}
