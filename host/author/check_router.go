package author

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"forge/abi"
	"forge/host/model"
	"forge/host/plugin"
	"forge/kernels"
)

// routerBattery is what routers are put through: layers of 1, 8 and 128 experts, and scores of every shape.
func routerBattery() *battery {
	return &battery{
		shapes: "layers of 1, 8 and 128 experts, with and without bias and groups: scores random, equal, in order, huge and tiny; ids in range and distinct, weights finite",
		trials: routerTrials,
		checks: []check{
			{"plan", routerPlan}, {"batches", routerBatches}, {"sequences", routerSequences}, {"leak", routerLeak},
			{"infinite scores", routerInfinite}, {"hostile host", routerHostile}, {"fuzz", routerFuzz},
		},
	}
}

// namedLayer is the routing of a layer, by what it is.
type namedLayer struct {
	plugin.RouteLayer
	name string
}

// routerLayers are layers of every size in the ways of scoring that a router provides, or all.
func (s *session) routerLayers() []namedLayer {
	names := kernels.Specs[kernels.OpRoute].Attr[0].Names
	var list []namedLayer
	for score, name := range names {
		if !s.mod.Provides(name) && slices.ContainsFunc(names, s.mod.Provides) {
			continue
		}
		for _, size := range []struct{ n, k, groups, used int }{{1, 1, 1, 1}, {8, 1, 1, 1}, {8, 2, 1, 1}, {8, 8, 1, 1}, {128, 8, 1, 1}, {128, 8, 8, 4}} {
			for _, bias := range []bool{false, true} {
				l := plugin.RouteLayer{
					Layer: len(list), NExperts: size.n, TopK: size.k, Score: uint32(score), NGroup: size.groups, NGroupUsed: size.used,
					Renormalise: len(list)%2 == 1, Factor: []float32{1, 2.5}[len(list)/2%2],
				}
				text := fmt.Sprintf("%s, %d of %d experts", name, size.k, size.n)
				if size.groups > 1 {
					text += fmt.Sprintf(" in %d of %d groups", size.used, size.groups)
				}
				if bias {
					text += ", bias"
					l.Bias = make([]float32, size.n)
					for i := range l.Bias {
						l.Bias[i] = float32(i%5-2) / 8
					}
				}
				list = append(list, namedLayer{l, text})
			}
		}
	}
	return list
}

func (s *session) router() (*plugin.Router, error) {
	return open(s, "router", func() (*plugin.Router, error) {
		var layers []plugin.RouteLayer
		for _, l := range s.routerLayers() {
			layers = append(layers, l.RouteLayer)
		}
		return s.mod.NewRouter(s.ctx, layers, nil)
	})
}

func newBatch(l *namedLayer, scores []float32) *plugin.RouteBatch {
	n := len(scores) / l.NExperts
	b := &plugin.RouteBatch{
		N: n, Scores: scores, Seqs: make([]uint64, n), Positions: make([]uint32, n), IDs: make([]uint32, n*l.TopK), Weights: make([]float32, n*l.TopK),
	}
	for i := range n {
		b.Seqs[i], b.Positions[i] = 1, uint32(i)
	}
	return b
}

func routerTrials(s *session) ([]trial, error) {
	var out []trial
	for _, l := range s.routerLayers() {
		out = append(out, trial{l.name, func(s *session) (string, error) { return s.routerTrial(&l) }})
	}
	return out, s.routesSome()
}

// routesSome wants an answer for some layer of 8 experts: who refuses all has not been checked.
func (s *session) routesSome() error {
	var why string
	for _, l := range s.routerLayers() {
		outcome, err := s.settled(s.routerTrial(&l))
		if err != nil {
			return at(l.name, err)
		}
		if l.NExperts == 8 && (len(outcome) < 8 || outcome[:8] != "refused:") {
			return nil
		}
		why = outcome
	}
	return &Fault{"all layers of 8 experts", why, "an answer for some of them: say which scores it takes in provides"}
}

// routerTrial routes a sequence of tokens whose scores have every shape.
func (s *session) routerTrial(l *namedLayer) (string, error) {
	r, err := s.router()
	if err != nil {
		return "", err
	}
	b := newBatch(l, model.ProbeScores(l.NExperts))
	if err := s.routeAll(r, l, b); err != nil {
		return "", err
	}
	return digest(b.IDs, weightBits(b.Weights)), nil
}

// routeAll routes a batch of the sequence 1, from its beginning to its end.
func (s *session) routeAll(r *plugin.Router, l *namedLayer, b *plugin.RouteBatch) error {
	if err := r.Begin(s.ctx, 1); err != nil {
		return err
	}
	if err := r.Route(s.ctx, l.Layer, b); err != nil {
		return err
	}
	return r.End(s.ctx, 1)
}

func weightBits(w []float32) []uint32 {
	bits := make([]uint32, len(w))
	for i := range w {
		bits[i] = math.Float32bits(w[i])
	}
	return bits
}

// eachLayer runs f with the layers that are not refused.
func (s *session) eachLayer(f func(r *plugin.Router, l *namedLayer) error) error {
	for _, l := range s.routerLayers() {
		r, err := s.router()
		if err != nil {
			return err
		}
		if _, err := s.routerTrial(&l); s.refusal(err) != nil {
			continue
		}
		if err := f(r, &l); err != nil {
			return at(l.name, err)
		}
	}
	return nil
}

// routerPlan holds the plans to what is answered by call.
func routerPlan(s *session) (string, error) {
	n := 0
	err := s.eachLayer(func(r *plugin.Router, l *namedLayer) error {
		planned, ok, err := r.Plan(s.ctx, l.Layer)
		if err != nil {
			_, err = s.settled("", err)
			return err
		}
		if !ok {
			return nil
		}
		n++
		if err := model.ComparePlan(s.ctx, r, &planned); err != nil {
			return &Fault{"", err.Error(), "the plan and the call to give the same experts, and the same weights but for rounding"}
		}
		return nil
	})
	if n == 0 {
		return "it has no plan for any layer: it is called at every step", err
	}
	return fmt.Sprintf("the plans of %d layers are what it answers by call", n), err
}

// routerBatches routes tokens one by one that were routed together.
func routerBatches(s *session) (string, error) {
	return "a token's experts do not depend on which others are in the call", s.eachLayer(func(r *plugin.Router, l *namedLayer) error {
		whole := newBatch(l, model.ProbeScores(l.NExperts))
		if err := s.routeAll(r, l, whole); err != nil {
			return err
		}
		if err := r.Begin(s.ctx, 1); err != nil {
			return err
		}
		for i := range whole.N {
			one := newBatch(l, whole.Scores[i*l.NExperts:(i+1)*l.NExperts])
			one.Positions[0] = uint32(i)
			if err := r.Route(s.ctx, l.Layer, one); err != nil {
				return s.fault(err)
			}
			ids, weights := whole.IDs[i*l.TopK:(i+1)*l.TopK], whole.Weights[i*l.TopK:(i+1)*l.TopK]
			if !slices.Equal(one.IDs, ids) || !slices.Equal(weightBits(one.Weights), weightBits(weights)) {
				return &Fault{fmt.Sprintf("token %d of 64 by itself", i), fmt.Sprintf("goes to %v with %v", one.IDs, one.Weights), fmt.Sprintf("as among the others, to %v with %v", ids, weights)}
			}
		}
		return r.End(s.ctx, 1)
	})
}

// routerSequences routes two sequences mixed, and each by itself.
func routerSequences(s *session) (string, error) {
	return "a sequence's tokens go where they go without others beside it", s.eachLayer(func(r *plugin.Router, l *namedLayer) error {
		alone := newBatch(l, model.ProbeScores(l.NExperts))
		if err := s.routeAll(r, l, alone); err != nil {
			return err
		}
		mixed := newBatch(l, make([]float32, 2*len(alone.Scores)))
		for i := range alone.N { // the other has the scores from the end to the beginning
			copy(mixed.Scores[2*i*l.NExperts:], alone.Scores[i*l.NExperts:(i+1)*l.NExperts])
			copy(mixed.Scores[(2*i+1)*l.NExperts:], alone.Scores[(alone.N-1-i)*l.NExperts:(alone.N-i)*l.NExperts])
			mixed.Seqs[2*i], mixed.Seqs[2*i+1] = 7, 8
			mixed.Positions[2*i], mixed.Positions[2*i+1] = uint32(i), uint32(i)
		}
		for _, seq := range []uint64{7, 8} {
			if err := r.Begin(s.ctx, seq); err != nil {
				return err
			}
		}
		if err := r.Route(s.ctx, l.Layer, mixed); err != nil {
			return s.fault(err)
		}
		for i := range alone.N {
			if want, got := alone.IDs[i*l.TopK:(i+1)*l.TopK], mixed.IDs[2*i*l.TopK:(2*i+1)*l.TopK]; !slices.Equal(want, got) {
				return &Fault{fmt.Sprintf("token %d with another sequence's between", i), fmt.Sprintf("goes to %v", got), fmt.Sprintf("%v, as without: keep what is known by sequence", want)}
			}
		}
		for _, seq := range []uint64{7, 8} {
			if err := r.End(s.ctx, seq); err != nil {
				return err
			}
		}
		return nil
	})
}

// routeFrame lays a call down for as many tokens as there are scores; ids and weights are the outputs.
func (d *desk) routeFrame(l *namedLayer, scores []float32, size uint32) (f abi.Route, ids, weights output) {
	d.wipe()
	n := uint32(len(scores) / l.NExperts)
	raw := d.Frame(max(size, abi.RouteSize))
	abi.Head(raw).SetSize(size)
	f = abi.Route(raw)
	f.SetLayer(int32(l.Layer))
	f.SetNTokens(n)
	f.SetNExperts(uint32(l.NExperts))
	f.SetTopK(uint32(l.TopK))
	f.SetScores(d.put(floatBytes(scores)))
	if l.Bias != nil {
		f.SetBias(d.put(floatBytes(l.Bias)))
	}
	ids, weights = d.out("the ids", 4*n*uint32(l.TopK)), d.out("the weights", 4*n*uint32(l.TopK))
	f.SetIDs(d.addr(ids))
	f.SetWeights(d.addr(weights))
	seqs, positions := make([]byte, 8*n), make([]byte, 4*n)
	for i := range n {
		seqs[8*i] = 1
		binary.LittleEndian.PutUint32(positions[4*i:], i)
	}
	f.SetSeqs(d.put(seqs))
	f.SetPositions(d.put(positions))
	f.SetParams(d.Params())
	f.SetScore(l.Score)
	f.SetNGroup(uint32(l.NGroup))
	f.SetNGroupUsed(uint32(l.NGroupUsed))
	if l.Renormalise {
		f.SetRenormalise(1)
	}
	f.SetFactor(l.Factor)
	return f, ids, weights
}

func floatBytes(x []float32) (b []byte) {
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// deskLayers runs f with a desk for each layer of a router.
func (s *session) deskLayers(f func(d *desk, l *namedLayer) error) error {
	d, err := s.desk(plugin.ProbeOptions{MaxRows: 512})
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.life("forge_begin", "a sequence begins", func(f abi.Seq) { f.SetSeq(1); f.SetParams(d.Params()) }); err != nil {
		return err
	}
	for _, l := range s.routerLayers() {
		if err := f(d, &l); err != nil {
			return at(l.name, err)
		}
	}
	return nil
}

func routerLeak(s *session) (tried string, err error) {
	first := s.routerLayers()[0].Score
	err = s.deskLayers(func(d *desk, l *namedLayer) error {
		if l.Score != first || l.Bias == nil {
			return nil // what is kept does not depend on these
		}
		scores := model.ProbeScores(l.NExperts)[:8*l.NExperts]
		tried, err = d.steady(func(int) error {
			d.routeFrame(l, scores, abi.RouteSize)
			_, err := d.call("router_route", len(scores))
			if s.refusal(err) != nil {
				return nil
			}
			return err
		})
		return err
	})
	return tried, err
}

// routerInfinite sends scores that are no finite numbers: the host refuses them before it asks, but a guest must not end in a
// trap, nor name experts that there are not.
func routerInfinite(s *session) (string, error) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	shapes := map[string]func(i int) float32{
		"all NaN": func(int) float32 { return nan }, "all +inf": func(int) float32 { return inf }, "all -inf": func(int) float32 { return -inf },
		"NaN among numbers": func(i int) float32 { return []float32{nan, 1, 2}[i%3] }, "+inf among numbers": func(i int) float32 { return []float32{inf, 1, 2}[i%3] },
		"-inf among numbers": func(i int) float32 { return []float32{-inf, 1, 2}[i%3] }, "all of them": func(i int) float32 { return []float32{nan, inf, -inf, 0, -1}[i%5] },
	}
	return "NaN and infinite scores end in no trap and name experts that there are, once each", s.deskLayers(func(d *desk, l *namedLayer) error {
		for name, shape := range shapes {
			if err := d.routes("scores "+name, l, fill(2*l.NExperts, shape)); err != nil {
				return err
			}
		}
		return nil
	})
}

// routes makes a call whose answer, if there is one, names experts in range, each once for a token.
func (d *desk) routes(input string, l *namedLayer, scores []float32) error {
	_, ids, _ := d.routeFrame(l, scores, abi.RouteSize)
	d.input = input
	if _, err := d.call("router_route", len(scores)); err != nil {
		if d.s.refusal(err) != nil {
			return nil
		}
		return err
	}
	chosen := idsOf(d.bytes(ids))
	for t := 0; t < len(chosen); t += l.TopK {
		seen := map[uint32]bool{}
		for _, id := range chosen[t : t+l.TopK] {
			if id >= uint32(l.NExperts) || seen[id] {
				return &Fault{input, fmt.Sprintf("goes to the experts %v", chosen[t:t+l.TopK]), fmt.Sprintf("%d of 0 to %d, each once", l.TopK, l.NExperts-1)}
			}
			seen[id] = true
		}
	}
	return nil
}

// routerHostile sends frames that no host sends.
func routerHostile(s *session) (string, error) {
	ways := []struct {
		name  string
		spoil func(f abi.Route)
	}{
		{"no tokens", func(f abi.Route) { f.SetNTokens(0) }},
		{"no experts", func(f abi.Route) { f.SetNExperts(0) }},
		{"no experts to choose", func(f abi.Route) { f.SetTopK(0) }},
		{"more experts to choose than there are", func(f abi.Route) { f.SetTopK(f.NExperts() + 1) }},
		{"2^31 experts to choose", func(f abi.Route) { f.SetTopK(1 << 31) }},
		{"2^31 experts", func(f abi.Route) { f.SetNExperts(1 << 31); f.SetNTokens(0) }},
		{"no groups", func(f abi.Route) { f.SetNGroup(0); f.SetNGroupUsed(0) }},
		{"more groups than experts", func(f abi.Route) { f.SetNGroup(1 << 30); f.SetNGroupUsed(1) }},
		{"a score that nobody knows", func(f abi.Route) { f.SetScore(99) }},
		{"the layer -1", func(f abi.Route) { f.SetLayer(-1) }},
		{"the layer 2^31-1", func(f abi.Route) { f.SetLayer(1<<31 - 1) }},
		{"a factor that is no number", func(f abi.Route) { f.SetFactor(float32(math.NaN())) }},
		{"no bias", func(f abi.Route) { f.SetBias(0) }},
		{"flags that nobody knows", func(f abi.Route) { abi.Route(f).SetFlags(1<<32 - 1) }},
	}
	return "empty and absurd layers, cut frames, sequences in the wrong order are borne", s.deskLayers(func(d *desk, l *namedLayer) error {
		scores := model.ProbeScores(l.NExperts)[:2*l.NExperts]
		for _, w := range ways {
			f, _, _ := d.routeFrame(l, scores, abi.RouteSize)
			w.spoil(f)
			if err := d.borne(w.name, "router_route", len(scores)); err != nil {
				return err
			}
		}
		d.routeFrame(l, scores, abi.HeadSize) // a route frame fills all the room, so none of a newer host fits
		if err := d.borne("a frame that ends behind its head", "router_route", len(scores)); err != nil {
			return err
		}
		if err := d.hostilePlan(l); err != nil {
			return err
		}
		return d.wrongOrder(nil)
	})
}

func (d *desk) hostilePlan(l *namedLayer) error {
	if !d.Has("router_plan") {
		return nil
	}
	for _, w := range []struct {
		name  string
		size  uint32
		spoil func(f abi.RoutePlan)
	}{
		{"a plan of no experts", abi.RoutePlanSize, func(f abi.RoutePlan) { f.SetNExperts(0); f.SetTopK(0) }},
		{"a plan of no groups", abi.RoutePlanSize, func(f abi.RoutePlan) { f.SetNGroup(0) }},
		{"a plan of an unknown score", abi.RoutePlanSize, func(f abi.RoutePlan) { f.SetScore(77) }},
		{"a plan's frame that ends behind its head", abi.HeadSize, func(abi.RoutePlan) {}},
		{"a plan's frame of a newer host", abi.RoutePlanSize + 32, func(abi.RoutePlan) {}},
	} {
		raw := d.Frame(max(w.size, abi.RoutePlanSize))
		abi.Head(raw).SetSize(w.size)
		f := abi.RoutePlan(raw)
		f.SetLayer(int32(l.Layer))
		f.SetNExperts(uint32(l.NExperts))
		f.SetTopK(uint32(l.TopK))
		f.SetNGroup(1)
		f.SetNGroupUsed(1)
		f.SetFactor(1)
		f.SetParams(d.Params())
		w.spoil(f)
		if err := d.borne(w.name, "router_plan", 0); err != nil {
			return err
		}
	}
	return nil
}

// routerFuzz routes random scores at random sizes.
func routerFuzz(s *session) (tried string, err error) {
	d, err := s.desk(plugin.ProbeOptions{MaxRows: 512})
	if err != nil {
		return "", err
	}
	defer d.Close()
	if err := d.life("forge_begin", "a sequence begins", func(f abi.Seq) { f.SetSeq(1); f.SetParams(d.Params()) }); err != nil {
		return "", err
	}
	scores := s.routerLayers()
	return s.fuzz(func(rng *rand.Rand) error {
		n := 1 + rng.IntN(200)
		l := namedLayer{plugin.RouteLayer{
			Layer: rng.IntN(100), NExperts: n, TopK: 1 + rng.IntN(n), Score: scores[rng.IntN(len(scores))].Score, NGroup: 1, NGroupUsed: 1,
			Renormalise: rng.IntN(2) == 0, Factor: rng.Float32() * 4,
		}, "random"}
		if rng.IntN(2) == 0 {
			l.Bias = fill(n, func(int) float32 { return float32(rng.NormFloat64()) })
		}
		odd := []float32{0, 1e-40, 3e38, -3e38, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
		values := fill(n*(1+rng.IntN(4)), func(int) float32 {
			if rng.IntN(20) == 0 {
				return odd[rng.IntN(len(odd))]
			}
			return float32(5 * rng.NormFloat64())
		})
		return d.routes(fmt.Sprintf("%d of %d experts, score %d", l.TopK, n, l.Score), &l, values)
	})
}
