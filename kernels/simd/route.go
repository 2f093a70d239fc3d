package simd

import (
	"math"
	"slices"

	"forge/kernels"
)

// router is kernels.ChooseExperts, step by step in the same float64 order, with memory that is kept.
type router struct {
	attrs     kernels.RouteAttrs
	bias      []float32
	p, choice []float64 // [experts]
	sums      []float64 // [groups]
	best      []int32   // [top_k], [groups]
	weights   []float64 // [top_k]
}

func newRouter(a kernels.RouteAttrs, bias []float32, experts int) *router {
	return &router{
		attrs: a, bias: bias, p: make([]float64, experts), choice: make([]float64, experts), sums: make([]float64, a.NGroup),
		best: make([]int32, max(a.TopK, a.NGroup, 2)), weights: make([]float64, a.TopK),
	}
}

// choose fills to with one row's choice.
func (r *router) choose(to []kernels.Route, scores []float32) {
	a := &r.attrs
	for i, v := range scores {
		r.choice[i] = float64(v)
	}
	if r.bias != nil || a.NGroup > 1 {
		probabilities(r.choice, a.Score)
	}
	for i, v := range r.bias {
		r.choice[i] += float64(v)
	}
	r.dropGroups()
	for i, e := range highest(r.best[:a.TopK], r.choice) {
		to[i].Expert = int(e)
	}
	r.weigh(to, scores)
	for i, w := range r.weights {
		to[i].Weight = float32(w * float64(a.Factor))
	}
}

// weigh gives the chosen their weights before the factor. Only those that count are put through the exponential.
func (r *router) weigh(to []kernels.Route, scores []float32) {
	a, w := &r.attrs, r.weights
	for i := range to {
		w[i] = float64(scores[to[i].Expert])
	}
	switch {
	case a.Score == kernels.RouteScoreSigmoid:
		probabilities(w, a.Score)
		if a.Renormalise != 0 {
			sum := 0.0
			for _, v := range w {
				sum += v
			}
			for i := range w {
				w[i] /= max(sum, kernels.MinRouteSum)
			}
		}
	case a.Score == kernels.RouteScoreSoftmax && a.Renormalise == 0:
		for i, v := range scores {
			r.p[i] = float64(v)
		}
		softmax(r.p)
		for i := range to {
			w[i] = r.p[to[i].Expert]
		}
	default:
		softmax(w)
	}
}

// dropGroups sets the choice values of the groups that are not used to -Inf.
func (r *router) dropGroups() {
	if r.attrs.NGroup == 1 {
		return
	}
	size := len(r.choice) / r.attrs.NGroup
	for g := range r.sums {
		group := r.choice[g*size : (g+1)*size]
		r.sums[g] = 0
		for _, i := range highest(r.best[:min(2, size)], group) {
			r.sums[g] += group[i]
		}
	}
	order := highest(r.best[:r.attrs.NGroup], r.sums)
	for _, g := range order[r.attrs.NGroupUsed:] {
		for i := int(g) * size; i < (int(g)+1)*size; i++ {
			r.choice[i] = math.Inf(-1)
		}
	}
}

// highest fills best with the indices of the highest of x in descending order, of equal ones the first; NaN is the lowest.
func highest(best []int32, x []float64) []int32 {
	n := 0
	for i, v := range x {
		at := n
		for at > 0 && ranks(v, x[best[at-1]]) {
			at--
		}
		if at == len(best) {
			continue
		}
		n = min(n+1, len(best))
		copy(best[at+1:n], best[at:n-1])
		best[at] = int32(i)
	}
	return best
}

// ranks tells whether a stands before an earlier b.
func ranks(a, b float64) bool { return a > b || b != b && a == a }

func probabilities(x []float64, score kernels.RouteScore) {
	switch score {
	case kernels.RouteScoreSoftmax:
		softmax(x)
	case kernels.RouteScoreSigmoid:
		for i, v := range x {
			x[i] = 1 / (1 + kernels.Exp(-v))
		}
	}
}

// softmax: x = e^x / sum(e^x)
func softmax(x []float64) {
	most, sum := slices.Max(x), 0.0
	for i, v := range x {
		x[i] = kernels.Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
