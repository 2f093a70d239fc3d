package simd

import "forge/kernels"

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
