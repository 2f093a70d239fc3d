package plugin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"forge/abi"
)

// Caps of what a router is asked about.
const (
	maxExperts   = 1 << 16
	maxTopK      = 256
	maxRouteRows = 1 << 16
	routeScores  = 1 << 16 // scores of one call, unless a single row has more
)

// Routing is how a layer routes: the attributes of the operation route.
type Routing struct {
	Layer         int
	Experts, TopK int
	Score         uint32 // route_score
	NGroup        int
	NGroupUsed    int
	Renormalise   bool
	Factor        float32
	Bias          []float32 // [Experts], nil: none
}

// RouteCall are rows of one layer that want experts.
type RouteCall struct {
	Own       *Routing  // the model's own routing of the layer
	Scores    []float32 // [rows, experts]
	Seqs      []uint64  // [rows]
	Positions []uint32  // [rows]
	IDs       []uint32  // [rows, top_k]: the answer
	Weights   []float32 // [rows, top_k]: the answer
}

// Router is a router guest at work, for layers of at most some experts and rows. It is safe for concurrent use; calls take
// turns.
type Router struct {
	m             *Module
	experts, topK int
	rows          int // of one call to the guest

	mu         sync.Mutex
	in         *instance
	route      export
	begin, end export
	taken      []uint32 // [experts]: the last row, counted over all calls, that chose the expert
	row        uint32

	params, strings, scores, bias, ids, weights, seqs, positions uint32 // offsets in the arena
}

// NewRouter starts a router guest for layers of at most this many experts, of which top_k are chosen, and calls of at most
// so many rows.
func (m *Module) NewRouter(ctx context.Context, experts, topK, rows int) (*Router, error) {
	switch {
	case m.kind.Name != abi.KindRouter:
		return nil, fmt.Errorf("plugin %s is a %s and not a router", m.spec.Name, m.kind.Name)
	case experts < 1 || experts > maxExperts || topK < 1 || topK > min(maxTopK, experts) || rows < 1 || rows > maxRouteRows:
		return nil, fmt.Errorf("plugin %s: routing %d rows to %d of %d experts is out of range: %d rows, %d of %d experts are the most",
			m.spec.Name, rows, topK, experts, maxRouteRows, maxTopK, maxExperts)
	case m.code.manifest.State == "image":
		return nil, fmt.Errorf("plugin %s keeps its state as an image; a router has one instance for many sequences and wants state explicit",
			m.spec.Name)
	}
	r := &Router{m: m, experts: experts, topK: topK, rows: min(rows, max(1, routeScores/experts)), taken: make([]uint32, experts)}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r, r.ready(ctx)
}

// ready makes an instance if there is none that can be used.
func (r *Router) ready(ctx context.Context) error {
	if r.in != nil && !r.in.dead {
		return r.m.quarantined()
	}
	l := newLayout()
	texts := 0
	for _, v := range r.m.slots {
		texts += len(v.str)
	}
	r.params, r.strings = l.take(8*uint64(len(r.m.slots)), 64), l.take(uint64(texts), 64)
	rows := uint64(r.rows)
	r.scores, r.bias = l.take(4*rows*uint64(r.experts), 64), l.take(4*uint64(r.experts), 64)
	r.ids, r.weights = l.take(4*rows*uint64(r.topK), 64), l.take(4*rows*uint64(r.topK), 64)
	r.seqs, r.positions = l.take(8*rows, 64), l.take(4*rows, 64)
	var err error
	r.in, err = r.m.start(ctx, l, func(_ *instance, init abi.Init) { init.SetMaxRows(uint32(r.rows)) })
	if err != nil {
		return err
	}
	r.route, r.begin, r.end = r.in.export("router_route"), r.in.export("forge_begin"), r.in.export("forge_end")
	return nil
}

// Plan asks for a layer's routing as attributes that the host can run itself; ok is false where the router has none. The
// bias of the answer is the model's, or nil where it is not to count.
func (r *Router) Plan(ctx context.Context, own *Routing) (plan Routing, ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fits(own); err != nil {
		return Routing{}, false, err
	}
	if _, has := r.m.code.exports["router_plan"]; !has {
		return Routing{}, false, nil
	}
	if err := r.ready(ctx); err != nil {
		return Routing{}, false, err
	}
	in, call := r.in, r.in.export("router_plan")
	r.in.putSlots(r.params, r.strings, r.m.slots)
	f := abi.RoutePlan(in.frame(abi.RoutePlanSize))
	f.SetLayer(int32(own.Layer))
	f.SetNExperts(uint32(own.Experts))
	f.SetParams(in.base+r.params, uint32(len(r.m.slots)))
	f.SetTopK(uint32(own.TopK))
	if own.Bias != nil {
		f.SetHasBias(1)
		f.SetUseBias(1)
	}
	f.SetScore(own.Score)
	f.SetNGroup(uint32(own.NGroup))
	f.SetNGroupUsed(uint32(own.NGroupUsed))
	f.SetRenormalise(flag(own.Renormalise))
	f.SetFactor(own.Factor)
	status, err := in.call(ctx, call, r.m.budget(own.Experts))
	if err != nil || status == abi.StatusSkip {
		return Routing{}, false, err
	}
	f = abi.RoutePlan(in.at(0, abi.RoutePlanSize))
	plan = *own
	plan.Score, plan.Renormalise, plan.Factor = f.Score(), f.Renormalise() != 0, f.Factor()
	plan.NGroup, plan.NGroupUsed = int(f.NGroup()), int(f.NGroupUsed())
	if f.UseBias() == 0 {
		plan.Bias = nil
	}
	why := ""
	switch {
	case status != abi.StatusOk:
		why = fmt.Sprintf("returned the status %s", status)
	case f.UseBias() > 1 || f.Renormalise() > 1 || f.UseBias() != 0 && own.Bias == nil:
		why = fmt.Sprintf("planned use_bias %d and renormalise %d", f.UseBias(), f.Renormalise())
	case f.NGroup() < 1 || f.NGroup() > uint32(own.Experts) || own.Experts%plan.NGroup != 0:
		why = fmt.Sprintf("planned %d groups of %d experts", f.NGroup(), own.Experts)
	case f.NGroupUsed() < 1 || f.NGroupUsed() > f.NGroup() || own.Experts/plan.NGroup*plan.NGroupUsed < own.TopK:
		why = fmt.Sprintf("planned %d of %d groups", f.NGroupUsed(), f.NGroup())
	case !(plan.Factor >= 0 && plan.Factor <= 1e6):
		why = fmt.Sprintf("planned the factor %v", plan.Factor)
	}
	if why != "" {
		return Routing{}, false, in.fault(call.name, status, "%s", why)
	}
	return plan, true, nil
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// fits holds a layer to what the router was made for.
func (r *Router) fits(own *Routing) error {
	if own.Experts < 1 || own.Experts > r.experts || own.TopK < 1 || own.TopK > min(r.topK, own.Experts) ||
		own.Bias != nil && len(own.Bias) != own.Experts {
		return fmt.Errorf("plugin %s: layer %d routes to %d of %d experts, the router was made for %d of %d",
			r.m.spec.Name, own.Layer, own.TopK, own.Experts, r.topK, r.experts)
	}
	return nil
}

// Route asks which experts the rows go to. It allocates nothing. An answer that the ABI does not allow is the guest's fault:
// an expert that there is not, one twice for a row, a weight that is negative or not finite. Scores that are not finite
// are nobody's here, and an error that says so.
func (r *Router) Route(ctx context.Context, c *RouteCall) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, rows := c.Own, len(c.Seqs)
	if err := r.fits(own); err != nil {
		return err
	}
	if len(c.Scores) != rows*own.Experts || len(c.Positions) != rows || len(c.IDs) != rows*own.TopK || len(c.Weights) != rows*own.TopK {
		return fmt.Errorf("plugin %s: a route call of %d rows has %d scores, %d positions and room for %d experts",
			r.m.spec.Name, rows, len(c.Scores), len(c.Positions), len(c.IDs))
	}
	if !finite(c.Scores) {
		return fmt.Errorf("the router's scores of layer %d are not finite: the model file is damaged, or its numbers overflow", own.Layer)
	}
	for at := 0; at < rows; at += r.rows {
		if err := r.piece(ctx, c, at, min(r.rows, rows-at)); err != nil {
			return err
		}
	}
	return nil
}

// finite tells whether all numbers are: 0 times one that is not is NaN.
func finite(x []float32) bool {
	var a, b, c, d float32
	for ; len(x) >= 4; x = x[4:] {
		a += x[0] * 0
		b += x[1] * 0
		c += x[2] * 0
		d += x[3] * 0
	}
	for _, v := range x {
		a += v * 0
	}
	sum := a + b + c + d
	return sum == sum
}

// piece routes n rows from the first on in one call of the guest.
func (r *Router) piece(ctx context.Context, c *RouteCall, first, n int) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	in, own := r.in, c.Own
	scores := c.Scores[first*own.Experts : (first+n)*own.Experts]
	copy(in.at(r.scores, uint32(4*len(scores))), bytesOf(scores))
	copy(in.at(r.seqs, uint32(8*n)), bytesOf(c.Seqs[first:first+n]))
	copy(in.at(r.positions, uint32(4*n)), bytesOf(c.Positions[first:first+n]))
	in.putSlots(r.params, r.strings, r.m.slots)
	f := abi.Route(in.frame(abi.RouteSize))
	f.SetLayer(int32(own.Layer))
	f.SetNTokens(uint32(n))
	f.SetNExperts(uint32(own.Experts))
	f.SetTopK(uint32(own.TopK))
	f.SetScores(in.base + r.scores)
	if own.Bias != nil {
		copy(in.at(r.bias, uint32(4*own.Experts)), bytesOf(own.Bias))
		f.SetBias(in.base + r.bias)
	}
	f.SetIDs(in.base + r.ids)
	f.SetWeights(in.base + r.weights)
	f.SetSeqs(in.base + r.seqs)
	f.SetPositions(in.base + r.positions)
	f.SetParams(in.base+r.params, uint32(len(r.m.slots)))
	f.SetScore(own.Score)
	f.SetNGroup(uint32(own.NGroup))
	f.SetNGroupUsed(uint32(own.NGroupUsed))
	f.SetRenormalise(flag(own.Renormalise))
	f.SetFactor(own.Factor)
	// What a guest forgets to write must not pass for an answer.
	ids := in.at(r.ids, uint32(4*n*own.TopK))
	for i := range ids {
		ids[i] = 0xff
	}
	status, err := in.call(ctx, r.route, r.m.budget(n*own.Experts))
	if err != nil {
		return err
	}
	if status != abi.StatusOk {
		return in.fault(r.route.name, status, "returned the status %s", status)
	}
	return r.answer(c, first, n)
}

// answer takes the experts and weights of n rows out of the arena and holds them to the ABI.
func (r *Router) answer(c *RouteCall, first, n int) error {
	in, topK := r.in, c.Own.TopK
	ids, weights := c.IDs[first*topK:(first+n)*topK], c.Weights[first*topK:(first+n)*topK]
	copy(bytesOf(ids), in.at(r.ids, uint32(4*len(ids))))
	copy(bytesOf(weights), in.at(r.weights, uint32(4*len(weights))))
	for i, id := range ids {
		if i%topK == 0 {
			if r.row++; r.row == 0 { // the count came round
				clear(r.taken)
				r.row = 1
			}
		}
		switch w := weights[i]; {
		case id >= uint32(c.Own.Experts):
			return in.fault(r.route.name, 0, "chose expert %d, layer %d has %d", id, c.Own.Layer, c.Own.Experts)
		case r.taken[id] == r.row:
			return in.fault(r.route.name, 0, "chose expert %d twice for one token of layer %d", id, c.Own.Layer)
		case !(w >= 0 && w <= math.MaxFloat32):
			return in.fault(r.route.name, 0, "gave expert %d of layer %d the weight %v", id, c.Own.Layer, w)
		}
		r.taken[id] = r.row
	}
	return nil
}

// Stateful tells whether the router keeps something of each sequence.
func (r *Router) Stateful() bool { return r.m.code.manifest.State != "stateless" }

// Begin tells a router with state that a sequence starts, End that it is over.
func (r *Router) Begin(ctx context.Context, seq uint64) error { return r.tell(ctx, &r.begin, seq) }

// End is Begin's counterpart.
func (r *Router) End(ctx context.Context, seq uint64) error { return r.tell(ctx, &r.end, seq) }

func (r *Router) tell(ctx context.Context, e *export, seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.Stateful() {
		return nil
	}
	if err := r.ready(ctx); err != nil {
		return err
	}
	if e.fn == nil {
		return nil
	}
	in := r.in
	f := abi.Seq(in.frame(abi.SeqSize))
	f.SetSeq(seq)
	in.putSlots(r.params, r.strings, r.m.slots)
	f.SetParams(in.base+r.params, uint32(len(r.m.slots)))
	status, err := in.call(ctx, *e, r.m.budget(0))
	if err == nil && status != abi.StatusOk {
		return in.fault(e.name, status, "returned the status %s", status)
	}
	return err
}

// Skips tells whether an error of the router is to be passed over (on_error = "skip"): the model then routes by itself.
func (r *Router) Skips(ctx context.Context, err error) bool {
	if !r.m.skips(ctx, err) {
		return false
	}
	if !errors.Is(err, ErrQuarantined) { // that was said when it came to it
		r.m.log("skipped: " + err.Error())
	}
	return true
}

// Name is the plugin's.
func (r *Router) Name() string { return r.m.spec.Name }

// Close frees the instance.
func (r *Router) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in != nil {
		r.in.discard()
	}
}
