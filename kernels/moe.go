package kernels

import (
	"cmp"
	"math"
	"slices"
)

// route is one chosen expert and its weight.
type route struct {
	expert int
	weight float64
}

// route chooses experts for each row.
func (r *scalar) route(op *Op) {
	a, n, bias := op.Route(), r.p.Values[op.In[0]].Width, r.vector(op, 0)
	x, chosen := r.values[op.In[0]], r.routes[op.Out[0]][:0]
	for i := range r.rows(op.In[0]) {
		chosen = append(chosen, chooseExperts(x[i*n:(i+1)*n], bias, a)...)
	}
	r.routes[op.Out[0]] = chosen
}

// chooseExperts: p = softmax(scores), sigmoid(scores) or the scores; the top_k highest p + bias are chosen, among the
// n_group_used groups of experts whose two best p + bias sum highest; equal ones go to the lower index. Weights are p of
// the chosen (a softmax over them for softmax_chosen), divided by their sum if renormalise, times factor. They stand in
// descending order of p + bias. Sources: Shazeer et al. 2017; DeepSeek-AI 2024 (bias and groups, V3 section 2.1).
func chooseExperts(scores, bias []float32, a RouteAttrs) []route {
	p := make([]float64, len(scores))
	widen(p, scores)
	switch a.Score {
	case RouteScoreSoftmax:
		softmax(p)
	case RouteScoreSigmoid:
		for i, v := range p {
			p[i] = activate(ActSigmoid, v)
		}
	}
	choice := slices.Clone(p)
	for i := range bias {
		choice[i] += float64(bias[i])
	}
	dropGroups(choice, a)
	chosen := make([]route, 0, a.TopK)
	for _, e := range descending(choice)[:a.TopK] {
		chosen = append(chosen, route{e, p[e]})
	}
	weigh(chosen, a)
	return chosen
}

// dropGroups sets the choice values of the groups that are not used to -Inf.
func dropGroups(choice []float64, a RouteAttrs) {
	if a.NGroup == 1 {
		return
	}
	size, sums := len(choice)/a.NGroup, make([]float64, a.NGroup)
	for g := range sums {
		group := choice[g*size : (g+1)*size]
		for _, i := range descending(group)[:min(2, size)] {
			sums[g] += group[i]
		}
	}
	for _, g := range descending(sums)[a.NGroupUsed:] {
		for i := g * size; i < (g+1)*size; i++ {
			choice[i] = math.Inf(-1)
		}
	}
}

// weigh turns the p of the chosen into their weights.
func weigh(chosen []route, a RouteAttrs) {
	w := make([]float64, len(chosen))
	for i := range chosen {
		w[i] = chosen[i].weight
	}
	if a.Score == RouteScoreSoftmaxChosen {
		softmax(w)
	}
	sum := 1.0
	if a.Renormalise != 0 {
		sum = 0
		for _, v := range w {
			sum += v
		}
	}
	for i := range chosen {
		chosen[i].weight = w[i] / sum * float64(a.Factor)
	}
}

// softmax: x = e^x / sum(e^x)
func softmax(x []float64) {
	most, sum := slices.Max(x), 0.0
	for i, v := range x {
		x[i] = math.Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// descending lists the indices of x from the highest value to the lowest, equal ones by index. NaN comes last.
func descending(x []float64) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(x[j], x[i]) })
	return order
}

// experts: y = sum over the row's routes of weight * (down_e (glu(gate_e x + gate_bias_e, up_e x + up_bias_e)) + down_bias_e)
//
// Experts are taken one after the other, each for all rows that chose it; a row's sum runs in the order of experts.
func (r *scalar) experts(y, x []float32, op *Op) error {
	routes, a := r.routes[op.In[1]], op.Experts()
	gate, up, down := &r.p.Weights[op.W[0]], &r.p.Weights[op.W[1]], &r.p.Weights[op.W[2]]
	n, nFF, topK := r.p.Values[op.In[0]].Width, gate.Shape[1], r.p.Values[op.In[1]].Width
	r.sums = grow(r.sums, len(y))
	clear(r.sums)
	byExpert := make([][]int, gate.Shape[0]) // indices of routes
	for i, c := range routes {
		byExpert[c.expert] = append(byExpert[c.expert], i)
	}
	for e, mine := range byExpert {
		if len(mine) == 0 {
			continue
		}
		r.x64 = grow(r.x64, len(mine)*n)
		for j, i := range mine {
			widen(r.x64[j*n:(j+1)*n], x[i/topK*n:(i/topK+1)*n])
		}
		g, err := r.expert(r.x64, len(mine), gate, e, r.vector(op, 3))
		if err != nil {
			return err
		}
		u, err := r.expert(r.x64, len(mine), up, e, r.vector(op, 4))
		if err != nil {
			return err
		}
		glu(g, g, u, GLUAttrs{Act: a.Act, Limit: a.Limit, Alpha: a.Alpha, UpBias: a.UpAdd})
		r.x64 = grow(r.x64, len(mine)*nFF)
		widen(r.x64, g)
		d, err := r.expert(r.x64, len(mine), down, e, r.vector(op, 5))
		if err != nil {
			return err
		}
		for j, i := range mine {
			sum := r.sums[i/topK*n : (i/topK+1)*n]
			for k := range sum {
				sum[k] += routes[i].weight * float64(d[j*n+k])
			}
		}
	}
	for i, v := range r.sums {
		y[i] = float32(v)
	}
	return nil
}

// expert: w_e x + bias_e for m rows of x.
func (r *scalar) expert(x []float64, m int, w *Weight, e int, bias []float32) ([]float32, error) {
	part := w.head(e)
	y := make([]float32, m*part.nOut)
	if err := r.product(y, activations{x, part.nIn, m}, part, 0, part.nOut); err != nil {
		return nil, err
	}
	if bias != nil {
		for j := range m {
			row := y[j*part.nOut : (j+1)*part.nOut]
			add(row, row, bias[e*part.nOut:(e+1)*part.nOut])
		}
	}
	return y, nil
}

// Route is one chosen expert of a row and its weight.
type Route struct {
	Expert int
	Weight float32
}

// ChooseExperts appends the choice of OpRoute for one row's scores.
func ChooseExperts(to []Route, scores, bias []float32, a RouteAttrs) []Route {
	for _, c := range chooseExperts(scores, bias, a) {
		to = append(to, Route{c.expert, float32(c.weight)})
	}
	return to
}
