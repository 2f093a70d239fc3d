package simd

import (
	"cmp"
	"math"

	"forge/kernels"
)

// router is kernels.ChooseExperts, step by step in the same float64 order, with memory that is kept.
type router struct {
	attrs     kernels.RouteAttrs
	bias      []float32
	p, choice []float64 // [experts]
	sums      []float64 // [groups]
	taken     []bool    // [experts], [groups]
	weights   []float64 // [top_k]
}

func newRouter(a kernels.RouteAttrs, bias []float32, experts int) *router {
	return &router{
		attrs: a, bias: bias, p: make([]float64, experts), choice: make([]float64, experts),
		sums: make([]float64, a.NGroup), taken: make([]bool, max(experts, a.NGroup)), weights: make([]float64, a.TopK),
	}
}

// choose appends one row's choice.
func (r *router) choose(to []kernels.Route, scores []float32) []kernels.Route {
	a := &r.attrs
	for i, v := range scores {
		r.p[i] = float64(v)
	}
	switch a.Score {
	case kernels.RouteScoreSoftmax:
		softmax(r.p)
	case kernels.RouteScoreSigmoid:
		for i, v := range r.p {
			r.p[i] = 1 / (1 + math.Exp(-v))
		}
	}
	copy(r.choice, r.p)
	for i, v := range r.bias {
		r.choice[i] += float64(v)
	}
	r.dropGroups()
	clear(r.taken)
	first := len(to)
	for i := range r.weights {
		e := r.best(r.choice)
		r.weights[i] = r.p[e]
		to = append(to, kernels.Route{Expert: e})
	}
	if a.Score == kernels.RouteScoreSoftmaxChosen {
		softmax(r.weights)
	}
	sum := 1.0
	if a.Renormalise != 0 {
		sum = 0
		for _, v := range r.weights {
			sum += v
		}
	}
	for i, w := range r.weights {
		to[first+i].Weight = float32(w / sum * float64(a.Factor))
	}
	return to
}

// dropGroups sets the choice values of the groups that are not used to -Inf.
func (r *router) dropGroups() {
	if r.attrs.NGroup == 1 {
		return
	}
	size := len(r.choice) / r.attrs.NGroup
	for g := range r.sums {
		group := r.choice[g*size : (g+1)*size]
		clear(r.taken)
		r.sums[g] = 0
		for range min(2, size) {
			r.sums[g] += group[r.best(group)]
		}
	}
	clear(r.taken)
	for range r.attrs.NGroupUsed {
		r.best(r.sums)
	}
	for g := range r.sums {
		if !r.taken[g] {
			for i := g * size; i < (g+1)*size; i++ {
				r.choice[i] = math.Inf(-1)
			}
		}
	}
}

// best takes the highest of x that is not taken, of equal ones the first; NaN is the lowest.
func (r *router) best(x []float64) int {
	best := -1
	for i, v := range x {
		if !r.taken[i] && (best < 0 || cmp.Compare(v, x[best]) > 0) {
			best = i
		}
	}
	r.taken[best] = true
	return best
}

// softmax: x = e^x / sum(e^x)
func softmax(x []float64) {
	most, sum := x[0], 0.0
	for _, v := range x {
		most = max(most, v)
	}
	for i, v := range x {
		x[i] = math.Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
