package kernels

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Route is one chosen expert of a row and its weight.
type Route struct {
	Expert int
	Weight float32
}

// route chooses experts for each row, or asks the router that the options have for this operation.
func (r *scalar) route(i int, op *Op) error {
	a, n, rows, bias := op.Route(), r.p.Values[op.In[0]].Width, r.rows(op.In[0]), r.vector(op, 0)
	x, chosen := r.values[op.In[0]], r.routes[op.Out[0]][:0]
	if ask := r.routers[i]; ask != nil && rows > 0 {
		chosen = grow(chosen, rows*a.TopK)
		call := RouteCall{Scores: x, Batch: r.batch, Rows: r.indices(op.In[0]), Out: chosen}
		if err := call.Ask(ask, n); err != nil {
			return err
		}
	} else {
		for row := range rows {
			chosen = ChooseExperts(chosen, x[row*n:(row+1)*n], bias, a)
		}
	}
	r.routes[op.Out[0]] = chosen
	return nil
}

// ChooseExperts appends the choice of OpRoute for one row's scores: p = softmax(scores), sigmoid(scores) or the scores; the
// top_k highest p + bias are chosen, among the n_group_used groups of experts whose two best p + bias sum highest; equal ones
// go to the lower index. Where there is neither bias nor group the scores rank, as their p would. The chosen stand in
// descending order.
// Sources: Shazeer et al. 2017; DeepSeek-AI 2024 (bias and groups, V3 section 2.1).
func ChooseExperts(to []Route, scores, bias []float32, a RouteAttrs) []Route {
	x := make([]float64, len(scores))
	widen(x, scores)
	choice := slices.Clone(x)
	if bias != nil || a.NGroup > 1 {
		probabilities(choice, a.Score)
	}
	for i := range bias {
		choice[i] += float64(bias[i])
	}
	dropGroups(choice, a)
	first := len(to)
	for _, e := range descending(choice)[:a.TopK] {
		to = append(to, Route{Expert: e})
	}
	weigh(to[first:], x, a)
	return to
}

// probabilities turns scores into p.
func probabilities(x []float64, score RouteScore) {
	switch score {
	case RouteScoreSoftmax:
		softmax(x)
	case RouteScoreSigmoid:
		for i, v := range x {
			x[i] = sigmoid(v)
		}
	}
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

// MinRouteSum is the least by which the weights of chosen experts are divided, that of other engines.
const MinRouteSum = 1.0 / (1 << 14)

// weigh gives the chosen their weights: p, divided by the sum of the chosen ones' p if renormalise, times factor. For
// softmax that quotient is a softmax over the chosen, which softmax_chosen is in any case.
func weigh(chosen []Route, scores []float64, a RouteAttrs) {
	p := slices.Clone(scores)
	if a.Score == RouteScoreSoftmax && a.Renormalise == 0 || a.Score == RouteScoreSigmoid {
		probabilities(p, a.Score)
	}
	w := make([]float64, len(chosen))
	sum := 0.0
	for i, c := range chosen {
		w[i] = p[c.Expert]
		sum += w[i]
	}
	switch {
	case a.Score == RouteScoreSoftmaxChosen || a.Score == RouteScoreSoftmax && a.Renormalise != 0:
		softmax(w)
	case a.Renormalise != 0:
		for i := range w {
			w[i] /= max(sum, MinRouteSum)
		}
	}
	for i := range chosen {
		chosen[i].Weight = float32(w[i] * float64(a.Factor))
	}
}

// softmax: x = e^x / sum(e^x)
func softmax(x []float64) {
	most, sum := slices.Max(x), 0.0
	for i, v := range x {
		x[i] = Exp(v - most)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// sigmoid: 1 / (1 + e^-x)
func sigmoid(x float64) float64 { return 1 / (1 + Exp(-x)) }

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
		byExpert[c.Expert] = append(byExpert[c.Expert], i)
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
				sum[k] += float64(routes[i].Weight) * float64(d[j*n+k])
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

// RouteCall is what a device asks a router: which experts the rows of one OpRoute go to.
type RouteCall struct {
	Scores []float32 // [rows, n_expert]
	Batch  *Batch    // of the step
	Rows   []int32   // for each row its index in Batch.Rows
	Out    []Route   // [rows, top_k], for the router to fill; what it held is of no meaning
}

// Router answers a RouteCall. It must neither keep nor change what the call points to, Out aside.
type Router func(call *RouteCall) error

// Ask puts the call to a router and holds its answer to the number of experts.
func (c *RouteCall) Ask(router Router, experts int) error {
	if err := router(c); err != nil {
		return err
	}
	for i := range c.Out {
		if e := c.Out[i].Expert; e < 0 || e >= experts {
			return fmt.Errorf("the router chose expert %d, there are %d", e, experts)
		}
	}
	return nil
}
