package host

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"forge/abi"
	"forge/gguf"
	"forge/host/plugin"
	"forge/kernels"
)

// routing is how an open model's layers with experts are routed: by a router guest that is asked at every step, or by the
// plan that it gave at load, which the device then runs as attributes of the operation.
type routing struct {
	layers  map[int]*routedLayer // by operation, those that are asked
	routers map[*plugin.Module]*plugin.Router

	// of the step
	seqs   []uint64      // by Batch.Seqs
	failed map[int]error // by Batch.Seqs: the router failed for these alone; their rows went the model's own way
}

// routedLayer is one route operation whose router is asked.
type routedLayer struct {
	routing *routing
	module  *plugin.Module
	own     plugin.RouteLayer
	attrs   kernels.RouteAttrs // own, as the device has it

	// windows that grow to the most rows seen
	seqs      []uint64
	positions []uint32
	ids       []uint32
	weights   []float32
	native    []kernels.Route
}

func (l *routedLayer) router() *plugin.Router { return l.routing.routers[l.module] }

// routeScores names the values of route_score as a router's manifest provides them.
func routeScores() []string { return kernels.Specs[kernels.OpRoute].Attr[0].Names }

// routed finds a router for every route operation of a program. Where it has a plan, this is compared with the guest and
// takes the place of the operation's attributes in the program that is returned; the others are asked through the device's
// options. A score that no plugin provides is the device's own matter: the operation says all of it.
func (s *moduleSet) routed(ctx context.Context, p *kernels.Program, byCall bool) (*kernels.Program, *routing, error) {
	r := &routing{layers: map[int]*routedLayer{}, routers: map[*plugin.Module]*plugin.Router{}, failed: map[int]error{}}
	layers := map[*plugin.Module][]plugin.RouteLayer{}
	planned := *p
	planned.Ops = slices.Clone(p.Ops)
	for i := range p.Ops {
		op := &planned.Ops[i]
		if op.Code != kernels.OpRoute {
			continue
		}
		own, err := ownRouting(p, op)
		if err != nil {
			return nil, nil, err
		}
		module, err := s.router(ctx, routeScores()[own.Score])
		if err != nil {
			return nil, nil, err
		}
		if module == nil {
			continue
		}
		if !byCall {
			done, err := plan(ctx, module, op, &own)
			if err != nil {
				return nil, nil, err
			}
			if done {
				continue
			}
		}
		r.layers[i] = &routedLayer{routing: r, module: module, own: own, attrs: attrsOf(&own)}
		layers[module] = append(layers[module], own)
	}
	for module, list := range layers {
		router, err := module.NewRouter(ctx, list, nil)
		if err != nil {
			r.close()
			return nil, nil, err
		}
		r.routers[module] = router
	}
	if err := planned.Check(); err != nil {
		return nil, nil, fmt.Errorf("the router's plan does not fit the model: %w", err)
	}
	return &planned, r, nil
}

// router finds the plugin that routes layers of a score: the set's own choice, or the first that provides it; nil if none.
func (s *moduleSet) router(ctx context.Context, score string) (*plugin.Module, error) {
	if s.cfg.Router == "" {
		m, _, err := s.serving(ctx, abi.KindRouter, score)
		return m, err
	}
	if err := s.cfg.CheckRouter(); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.cfg.Plugins, func(p plugin.Spec) bool { return p.Kind == abi.KindRouter && p.Name == s.cfg.Router })
	return s.load(ctx, i)
}

// ownRouting is a route operation as a router is told of it.
func ownRouting(p *kernels.Program, op *kernels.Op) (plugin.RouteLayer, error) {
	a := op.Route()
	l := plugin.RouteLayer{
		Layer: op.Layer, NExperts: p.Values[op.In[0]].Width, TopK: a.TopK, Score: uint32(a.Score), NGroup: a.NGroup, NGroupUsed: a.NGroupUsed,
		Renormalise: a.Renormalise != 0, Factor: a.Factor,
	}
	if op.W[0] >= 0 {
		w := &p.Weights[op.W[0]]
		l.Bias = make([]float32, l.NExperts)
		if err := gguf.Dequantize(w.Type, l.Bias, w.Data); err != nil {
			return l, fmt.Errorf("weight %s: %w", w.Name, err)
		}
	}
	return l, nil
}

func attrsOf(l *plugin.RouteLayer) kernels.RouteAttrs {
	a := kernels.RouteAttrs{Score: kernels.RouteScore(l.Score), TopK: l.TopK, NGroup: l.NGroup, NGroupUsed: l.NGroupUsed, Factor: l.Factor}
	if l.Renormalise {
		a.Renormalise = 1
	}
	return a
}

// plan asks a router for the plan of a layer, holds it to the router's own answers, and writes it into the operation; done
// is false where there is none. The router that answers is one of its own, so that probes leave no trace in the one that works.
func plan(ctx context.Context, m *plugin.Module, op *kernels.Op, own *plugin.RouteLayer) (done bool, err error) {
	router, err := m.NewRouter(ctx, []plugin.RouteLayer{*own}, nil)
	if err != nil {
		return false, err
	}
	defer router.Close()
	planned, ok, err := router.Plan(ctx, own.Layer)
	if err != nil || !ok {
		return false, err
	}
	if err := comparePlan(ctx, router, &planned); err != nil {
		return false, fmt.Errorf("plugin %s: its plan for layer %d is not what it answers: %w: it has a bug and is not used", m.Name(), own.Layer, err)
	}
	attrsOf(&planned).Set(op)
	if !planned.UseBias {
		op.W = slices.Clone(op.W)
		op.W[0] = -1
	}
	return true, nil
}

// probes is how many rows a plan is compared on.
const probes = 64

// comparePlan wants the same experts from plan and guest for rows of all kinds, and weights that differ by roundings at most.
func comparePlan(ctx context.Context, router *plugin.Router, planned *plugin.RouteLayer) error {
	n, k := planned.NExperts, planned.TopK
	b := plugin.RouteBatch{N: probes, Scores: probeScores(n), Seqs: make([]uint64, probes), Positions: make([]uint32, probes),
		IDs: make([]uint32, probes*k), Weights: make([]float32, probes*k)}
	for i := range b.Positions {
		b.Positions[i] = uint32(i)
	}
	if err := router.Begin(ctx, 0); err != nil {
		return err
	}
	if err := router.Route(ctx, planned.Layer, &b); err != nil {
		return err
	}
	var bias []float32
	if planned.UseBias {
		bias = planned.Bias
	}
	answer, weightOf := make([]kernels.Route, 0, k), make(map[int]float32, k)
	for row := range probes {
		scores := b.Scores[row*n : (row+1)*n]
		answer = kernels.ChooseExperts(answer[:0], scores, bias, attrsOf(planned))
		clear(weightOf)
		for i := row * k; i < (row+1)*k; i++ {
			weightOf[int(b.IDs[i])] = b.Weights[i]
		}
		for _, want := range answer {
			got, chosen := weightOf[want.Expert]
			if !chosen {
				return fmt.Errorf("the plan chooses expert %d for row %d of the probes, the router does not", want.Expert, row)
			}
			if d := math.Abs(float64(got) - float64(want.Weight)); !(d <= 1e-6*math.Abs(float64(want.Weight))+1e-30) {
				return fmt.Errorf("the plan gives expert %d the weight %v for row %d of the probes, the router %v", want.Expert, want.Weight, row, got)
			}
		}
	}
	return nil
}

// probeScores are rows of n scores: normal ones of several sizes, with ties, all the same, in order, one that stands out, and
// numbers as large and as small as there are.
func probeScores(n int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	x := make([]float32, probes*n)
	for row := range probes {
		for i := range n {
			v := &x[row*n+i]
			switch row % 8 {
			case 0, 1, 2:
				*v = float32(rng.NormFloat64() * []float64{0.1, 1, 8}[row%8])
			case 3:
				*v = float32(rng.IntN(4) - 2)
			case 4:
				*v = float32(row-4) * -3
			case 5:
				if *v = float32(i) / 8; row%16 > 8 {
					*v = -*v
				}
			case 6:
				if i == row%n {
					*v = float32(row)
				}
			default:
				*v = float32([]float64{3e38, -3e38, 1e-40, -1e-40, 700, -700, 0, 88}[rng.IntN(8)])
			}
		}
	}
	return x
}

// options are the routers for the device.
func (r *routing) options() map[int]kernels.Router {
	all := map[int]kernels.Router{}
	for i, l := range r.layers {
		all[i] = l.ask
	}
	return all
}

// stateful tells whether some router keeps something of each sequence, so that it must see all of a sequence's rows.
func (r *routing) stateful() bool {
	for _, router := range r.routers {
		if router.Stateful() {
			return true
		}
	}
	return false
}

// start tells the routers with state that a sequence starts, end that it is over.
func (r *routing) start(ctx context.Context, seq uint64) error {
	return r.tell(ctx, func(router *plugin.Router) error { return router.Begin(ctx, seq) })
}

func (r *routing) end(ctx context.Context, seq uint64) error {
	return r.tell(ctx, func(router *plugin.Router) error { return router.End(ctx, seq) })
}

func (r *routing) tell(ctx context.Context, f func(*plugin.Router) error) error {
	for _, router := range r.routers {
		if err := f(router); err != nil && !router.Skips(ctx, err) {
			return err
		}
	}
	return nil
}

// close ends the routers.
func (r *routing) close() {
	for _, router := range r.routers {
		router.Close()
	}
}

// compute runs a step; seqs are the ids of the batch's sequences. Where the routers failed for some of them only,
// routing.failed says for which.
func (e *Engine) compute(b *kernels.Batch, seqs []uint64) ([]float32, error) {
	e.routing.seqs = seqs
	clear(e.routing.failed)
	return e.runner.Step(b)
}

// ask answers the device. A router that fails is asked again for each sequence by itself, so that only those for which it
// fails feel it; these, for the rest of the step, go the model's own way.
func (l *routedLayer) ask(c *kernels.RouteCall) error {
	rows, k, r := len(c.Rows), l.own.TopK, l.routing
	l.seqs, l.positions = slices.Grow(l.seqs[:0], rows)[:rows], slices.Grow(l.positions[:0], rows)[:rows]
	l.ids, l.weights = slices.Grow(l.ids[:0], rows*k)[:rows*k], slices.Grow(l.weights[:0], rows*k)[:rows*k]
	for i, row := range c.Rows {
		b := &c.Batch.Rows[row]
		l.seqs[i], l.positions[i] = r.seqs[b.Seq], uint32(b.Pos)
	}
	var err error
	if len(r.failed) == 0 {
		if err = l.route(c, 0, rows); err == nil {
			return nil
		}
	}
	for from, to := 0, 0; from < rows; from = to {
		seq := int(c.Batch.Rows[c.Rows[from]].Seq)
		for to = from + 1; to < rows && int(c.Batch.Rows[c.Rows[to]].Seq) == seq; {
			to++
		}
		if r.failed[seq] == nil && (err == nil || to-from < rows) { // a single sequence was asked for already
			if err = l.route(c, from, to); err == nil {
				continue
			}
		}
		if err != nil && !l.router().Skips(context.Background(), err) && r.failed[seq] == nil {
			r.failed[seq] = err
		}
		l.byModel(c, from, to)
	}
	return nil
}

// byModel routes some of the rows as the model's own operation does.
func (l *routedLayer) byModel(c *kernels.RouteCall, from, to int) {
	n, k := l.own.NExperts, l.own.TopK
	for i := from; i < to; i++ {
		l.native = kernels.ChooseExperts(l.native[:0], c.Scores[i*n:(i+1)*n], l.own.Bias, l.attrs)
		copy(c.Out[i*k:], l.native)
	}
}

// route asks the router for some of the rows.
func (l *routedLayer) route(c *kernels.RouteCall, from, to int) error {
	n, k := l.own.NExperts, l.own.TopK
	b := plugin.RouteBatch{N: to - from, Scores: c.Scores[from*n : to*n], Seqs: l.seqs[from:to], Positions: l.positions[from:to],
		IDs: l.ids[from*k : to*k], Weights: l.weights[from*k : to*k]}
	if err := l.router().Route(context.Background(), l.own.Layer, &b); err != nil {
		return err
	}
	for i := range b.IDs {
		c.Out[from*k+i] = kernels.Route{Expert: int(b.IDs[i]), Weight: b.Weights[i]}
	}
	return nil
}
