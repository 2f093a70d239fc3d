package host

import (
	"context"
	"fmt"
	"slices"

	"forge/abi"
	"forge/gguf"
	"forge/host/model"
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
		r.layers[i] = &routedLayer{routing: r, module: module, own: own, attrs: model.RouteAttrs(&own)}
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
	if err := model.ComparePlan(ctx, router, &planned); err != nil {
		return false, fmt.Errorf("plugin %s: its plan for layer %d is not what it answers: %w: it has a bug and is not used", m.Name(), own.Layer, err)
	}
	model.RouteAttrs(&planned).Set(op)
	if !planned.UseBias {
		op.W = slices.Clone(op.W)
		op.W[0] = -1
	}
	return true, nil
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
