package plugin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"forge/abi"
)

// Caps of what a router is given.
const (
	maxExperts     = 1 << 16
	routerScores   = 1 << 17 // f32 of one call, at least one token's
	routerTokens   = 512     // of one call
	maxRouterLayer = 1 << 16
	routeScores    = 3 // values of the ABI's enum route_score
)

// RouteLayer is the routing of one layer as the model has it: the attributes of the operation route.
type RouteLayer struct {
	Layer              int
	NExperts, TopK     int
	Score              uint32 // route_score of abi/v1.toml
	NGroup, NGroupUsed int
	Renormalise        bool
	Factor             float32
	Bias               []float32 // [NExperts], or nil
	UseBias            bool      // in a plan: the choice is by score and bias
}

// check holds a layer to what the operation allows.
func (l *RouteLayer) check() error {
	switch {
	case l.Layer < 0 || l.Layer >= maxRouterLayer:
		return fmt.Errorf("layer %d is out of range", l.Layer)
	case l.NExperts < 1 || l.NExperts > maxExperts:
		return fmt.Errorf("layer %d has %d experts, a router takes 1 to %d", l.Layer, l.NExperts, maxExperts)
	case l.TopK < 1 || l.TopK > l.NExperts:
		return fmt.Errorf("layer %d uses %d of %d experts", l.Layer, l.TopK, l.NExperts)
	case l.Bias != nil && len(l.Bias) != l.NExperts:
		return fmt.Errorf("layer %d has %d experts and a bias of %d", l.Layer, l.NExperts, len(l.Bias))
	}
	return l.checkPlan()
}

// checkPlan is the part of check that a plan may change.
func (l *RouteLayer) checkPlan() error {
	switch {
	case l.Score >= routeScores:
		return fmt.Errorf("layer %d has the score %d, which the operation route does not have", l.Layer, l.Score)
	case l.NGroup < 1 || l.NExperts%l.NGroup != 0:
		return fmt.Errorf("layer %d has %d experts in %d groups", l.Layer, l.NExperts, l.NGroup)
	case l.NGroupUsed < 1 || l.NGroupUsed > l.NGroup:
		return fmt.Errorf("layer %d uses %d of %d groups", l.Layer, l.NGroupUsed, l.NGroup)
	case l.TopK > l.NExperts/l.NGroup*l.NGroupUsed:
		return fmt.Errorf("layer %d uses %d experts of %d groups of %d", l.Layer, l.TopK, l.NGroupUsed, l.NExperts/l.NGroup)
	case math.IsNaN(float64(l.Factor)) || math.IsInf(float64(l.Factor), 0) || l.Factor < 0:
		return fmt.Errorf("layer %d has the factor %v", l.Layer, l.Factor)
	}
	return nil
}

// RouteBatch is the tokens of one step at one layer. IDs and Weights are the answer, TopK for each token.
type RouteBatch struct {
	N         int
	Scores    []float32 // [N * NExperts]
	Seqs      []uint64  // [N], or nil for zeros
	Positions []uint32  // [N], or nil for zeros
	IDs       []uint32  // [N * TopK]
	Weights   []float32 // [N * TopK]
}

// Router is a router guest at work, for the layers of one model. It is safe for concurrent use; calls take turns, so make
// one for each goroutine.
type Router struct {
	mu     sync.Mutex
	t      tenant
	layers map[int]*RouteLayer
	params []value
	closed bool

	maxScores, maxTokens, maxChosen int
	scores, ids, weights            uint32 // offsets in the arena
	seqs, positions                 uint32
	bias                            map[int]uint32
	seen                            []uint32 // by expert: the mark of the token that last chose it
	mark                            uint32
}

const (
	callRoute = iota
	callPlan
)

// NewRouter starts a router guest for the layers of a model, with its settings; nil is what plugins.toml and the manifest
// say.
func (m *Module) NewRouter(ctx context.Context, layers []RouteLayer, s *Settings) (*Router, error) {
	switch {
	case m.kind.Name != abi.KindRouter:
		return nil, fmt.Errorf("plugin %s is a %s and not a router", m.spec.Name, m.kind.Name)
	case m.code.manifest.State == "image":
		return nil, fmt.Errorf("plugin %s keeps its state as an image; a call has tokens of many sequences and wants state explicit",
			m.spec.Name)
	case len(layers) == 0:
		return nil, fmt.Errorf("plugin %s: the model has no layers with experts", m.spec.Name)
	}
	params, err := s.of(m)
	if err != nil {
		return nil, err
	}
	r := &Router{layers: map[int]*RouteLayer{}, bias: map[int]uint32{}, params: params}
	r.t = tenant{m: m, arena: r.layOut, stringRoom: uint32(textBytes(params)), names: []string{"router_route", "router_plan"}}
	for i := range layers {
		l := layers[i]
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", m.spec.Name, err)
		}
		if r.layers[l.Layer] != nil {
			return nil, fmt.Errorf("plugin %s: layer %d is there twice", m.spec.Name, l.Layer)
		}
		r.layers[l.Layer] = &l
		tokens := r.tokensOf(&l)
		r.maxScores = max(r.maxScores, tokens*l.NExperts)
		r.maxChosen = max(r.maxChosen, tokens*l.TopK)
		r.maxTokens = max(r.maxTokens, tokens)
		if l.NExperts > len(r.seen) {
			r.seen = make([]uint32, l.NExperts)
		}
	}
	if err := r.t.ready(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// tokensOf is how many tokens of a layer go into one call.
func (r *Router) tokensOf(l *RouteLayer) int {
	return min(max(1, routerScores/l.NExperts), routerTokens)
}

func (r *Router) layOut(l *layout) (func(*instance, abi.Init), error) {
	r.scores = l.take(4*uint64(r.maxScores), 64)
	r.ids = l.take(4*uint64(r.maxChosen), 64)
	r.weights = l.take(4*uint64(r.maxChosen), 64)
	r.seqs = l.take(8*uint64(r.maxTokens), 64)
	r.positions = l.take(4*uint64(r.maxTokens), 64)
	for n, layer := range r.layers {
		if layer.Bias != nil {
			r.bias[n] = l.take(4*uint64(len(layer.Bias)), 64)
		}
	}
	return func(in *instance, init abi.Init) {
		init.SetMaxRows(uint32(r.maxTokens))
		in.putSlots(r.t.params, r.t.strings, r.params)
		for n, at := range r.bias {
			copy(in.at(at, 4*uint32(len(r.layers[n].Bias))), bytesOf(r.layers[n].Bias))
		}
	}, nil
}

// Close frees the instance.
func (r *Router) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.t.close()
}

// begin gives the instance and the layer for a call.
func (r *Router) begin(ctx context.Context, layer int) (*instance, *RouteLayer, error) {
	l := r.layers[layer]
	switch {
	case r.closed:
		return nil, nil, errors.New("the router is closed")
	case l == nil:
		return nil, nil, fmt.Errorf("the router was not made for layer %d", layer)
	}
	if err := r.t.ready(ctx); err != nil {
		return nil, nil, err
	}
	return r.t.main, l, nil
}

// Route asks the guest where the tokens of a layer go. It allocates nothing. Scores that are not finite are an error that
// is not the guest's.
func (r *Router) Route(ctx context.Context, layer int, b *RouteBatch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.layers[layer]
	if l == nil {
		return fmt.Errorf("the router was not made for layer %d", layer)
	}
	if len(b.Scores) != b.N*l.NExperts || len(b.IDs) != b.N*l.TopK || len(b.Weights) != b.N*l.TopK ||
		b.Seqs != nil && len(b.Seqs) != b.N || b.Positions != nil && len(b.Positions) != b.N {
		return fmt.Errorf("a batch of %d tokens has slices of other lengths: %d scores for %d experts, %d ids and %d weights for %d",
			b.N, len(b.Scores), l.NExperts, len(b.IDs), len(b.Weights), l.TopK)
	}
	if !finite(b.Scores) {
		return fmt.Errorf("the router's scores of layer %d are not finite: the model file is damaged, or its numbers overflow", layer)
	}
	if err := r.known(ctx, b.Seqs); err != nil {
		return err
	}
	for from, step := 0, r.tokensOf(l); from < b.N; from += step {
		if err := r.route(ctx, layer, b, from, min(from+step, b.N)); err != nil {
			return err
		}
	}
	return nil
}

// known sees to it that an instance with state knows the sequences, also one that was made anew.
func (r *Router) known(ctx context.Context, seqs []uint64) error {
	if !r.t.stateful() {
		return nil
	}
	for i, id := range seqs {
		if i > 0 && id == seqs[i-1] {
			continue
		}
		if _, err := r.t.of(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// finite tells whether all numbers are: those that are not have the largest exponent, whatever their sign.
func finite(x []float32) bool {
	const sign, infinite = 1 << 31, 0x7f800000
	var a, b, c, d uint32
	for ; len(x) >= 4; x = x[4:] {
		a = max(a, math.Float32bits(x[0])&^sign)
		b = max(b, math.Float32bits(x[1])&^sign)
		c = max(c, math.Float32bits(x[2])&^sign)
		d = max(d, math.Float32bits(x[3])&^sign)
	}
	for _, v := range x {
		a = max(a, math.Float32bits(v)&^sign)
	}
	return max(a, b, c, d) < infinite
}

// route is one call for the tokens from .. to-1.
func (r *Router) route(ctx context.Context, layer int, b *RouteBatch, from, to int) error {
	in, l, err := r.begin(ctx, layer)
	if err != nil {
		return err
	}
	n := uint32(to - from)
	scores := b.Scores[from*l.NExperts : to*l.NExperts]
	chosen := n * uint32(l.TopK)
	f := abi.Route(in.frame(abi.RouteSize))
	copy(in.at(r.scores, 4*uint32(len(scores))), bytesOf(scores))
	tokens := func(at uint32, size uint32, raw []byte) uint32 {
		w := in.at(at, size*n)
		if raw == nil {
			clear(w)
		} else {
			copy(w, raw[size*uint32(from):size*uint32(to)])
		}
		return in.base + at
	}
	f.SetLayer(int32(layer))
	f.SetNTokens(n)
	f.SetNExperts(uint32(l.NExperts))
	f.SetTopK(uint32(l.TopK))
	f.SetScores(in.base + r.scores)
	if l.Bias != nil {
		f.SetBias(in.base + r.bias[layer])
	}
	// What the guest does not write is no expert.
	ids := in.at(r.ids, 4*chosen)
	for i := 0; i < len(ids); i += 4 {
		putU32(ids[i:], math.MaxUint32)
	}
	f.SetIDs(in.base + r.ids)
	f.SetWeights(in.base + r.weights)
	f.SetSeqs(tokens(r.seqs, 8, bytesOf(b.Seqs)))
	f.SetPositions(tokens(r.positions, 4, bytesOf(b.Positions)))
	f.SetParams(in.base+r.t.params, uint32(len(r.params)))
	f.SetScore(l.Score)
	f.SetNGroup(uint32(l.NGroup))
	f.SetNGroupUsed(uint32(l.NGroupUsed))
	f.SetRenormalise(flag(l.Renormalise))
	f.SetFactor(l.Factor)
	e := in.fns[callRoute]
	status, err := in.call(ctx, e, r.t.m.budget(len(scores)))
	if err != nil {
		return err
	}
	if status != abi.StatusOk {
		return in.fault(e.name, status, "returned the status %s", status)
	}
	outIDs, outWeights := b.IDs[from*l.TopK:to*l.TopK], b.Weights[from*l.TopK:to*l.TopK]
	copy(bytesOf(outIDs), in.at(r.ids, 4*chosen))
	copy(bytesOf(outWeights), in.at(r.weights, 4*chosen))
	for t := range int(n) {
		if why := r.hold(l, outIDs[t*l.TopK:(t+1)*l.TopK], outWeights[t*l.TopK:(t+1)*l.TopK]); why != "" {
			return in.fault(e.name, status, "layer %d, token %d: %s", layer, from+t, why)
		}
	}
	return nil
}

// hold says what is wrong with the answer for one token.
func (r *Router) hold(l *RouteLayer, ids []uint32, weights []float32) string {
	if r.mark++; r.mark == 0 {
		clear(r.seen)
		r.mark = 1
	}
	for i, id := range ids {
		if id >= uint32(l.NExperts) {
			return fmt.Sprintf("chose the expert %d of %d", id, l.NExperts)
		}
		if r.seen[id] == r.mark {
			return fmt.Sprintf("chose the expert %d twice", id)
		}
		r.seen[id] = r.mark
		if w := weights[i]; !(w >= 0 && w <= math.MaxFloat32) {
			return fmt.Sprintf("gave the weight %v; it must be finite and not negative", w)
		}
	}
	return ""
}

// Plan asks for the routing of a layer as attributes of the operation route. ok is false where the guest has none: then
// Route is the only way. The plan's ranges are checked; whether it does what the guest does, its user has to try.
func (r *Router) Plan(ctx context.Context, layer int) (plan RouteLayer, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in, l, err := r.begin(ctx, layer)
	if err != nil {
		return RouteLayer{}, false, err
	}
	e := in.fns[callPlan]
	if e.fn == nil {
		return RouteLayer{}, false, nil
	}
	f := abi.RoutePlan(in.frame(abi.RoutePlanSize))
	f.SetLayer(int32(layer))
	f.SetNExperts(uint32(l.NExperts))
	f.SetParams(in.base+r.t.params, uint32(len(r.params)))
	f.SetTopK(uint32(l.TopK))
	f.SetHasBias(flag(l.Bias != nil))
	f.SetUseBias(flag(l.Bias != nil))
	f.SetScore(l.Score)
	f.SetNGroup(uint32(l.NGroup))
	f.SetNGroupUsed(uint32(l.NGroupUsed))
	f.SetRenormalise(flag(l.Renormalise))
	f.SetFactor(l.Factor)
	status, err := in.call(ctx, e, r.t.m.budget(0))
	if err != nil {
		return RouteLayer{}, false, err
	}
	f = abi.RoutePlan(in.at(0, abi.RoutePlanSize))
	plan = *l
	plan.Score, plan.Factor = f.Score(), f.Factor()
	plan.NGroup, plan.NGroupUsed = int(f.NGroup()), int(f.NGroupUsed())
	plan.Renormalise, plan.UseBias = f.Renormalise() != 0, f.UseBias() != 0
	switch {
	case status == abi.StatusSkip:
		return RouteLayer{}, false, nil
	case status != abi.StatusOk:
		return RouteLayer{}, false, in.fault(e.name, status, "returned the status %s", status)
	case f.Renormalise() > 1 || f.UseBias() > 1 || plan.UseBias && l.Bias == nil:
		return RouteLayer{}, false, in.fault(e.name, status, "gave a plan for layer %d whose switches are not 0 or 1, or that uses a bias where there is none", layer)
	}
	if err := plan.checkPlan(); err != nil {
		return RouteLayer{}, false, in.fault(e.name, status, "gave a plan that cannot be: %s", err)
	}
	return plan, true, nil
}

// Stateful tells whether the router keeps something of each sequence: it must then see all of a sequence's tokens.
func (r *Router) Stateful() bool { return r.t.stateful() }

// Begin tells a router with state that a sequence starts, End that it is over.
func (r *Router) Begin(ctx context.Context, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.t.stateful() {
		return nil
	}
	return r.t.begin(ctx, seq, r.params)
}

// End is Begin's counterpart.
func (r *Router) End(ctx context.Context, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.t.end(ctx, seq)
}

// Skips tells whether an error of the router is to be passed over (on_error = "skip"): the model then routes by itself.
func (r *Router) Skips(ctx context.Context, err error) bool {
	m := r.t.m
	if !m.skips(ctx, err) {
		return false
	}
	if !errors.Is(err, ErrQuarantined) { // that was said when it came to it
		m.log("skipped: " + err.Error())
	}
	return true
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
