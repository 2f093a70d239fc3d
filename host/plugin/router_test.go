package plugin

import (
	"math"
	"os"
	"slices"
	"testing"
)

func routeLayers() []RouteLayer {
	bias := make([]float32, 128)
	for i := range bias {
		bias[i] = float32(i%7) / 3
	}
	plain := func(layer, n, k int) RouteLayer {
		return RouteLayer{Layer: layer, NExperts: n, TopK: k, NGroup: 1, NGroupUsed: 1, Factor: 1}
	}
	biased := plain(7, 128, 8)
	biased.Bias = bias
	return []RouteLayer{plain(0, 8, 2), plain(3, 128, 8), biased}
}

func newRouter(t testing.TB, r *Runtime, mode int) *Router {
	t.Helper()
	// It searches the whole row for each expert, and so wants more fuel than others.
	m := load(t, r, "route", "router", func(s *Spec) { s.Name, s.Limits = "r", Limits{Strikes: 100, Fuel: 10} })
	s, err := m.Settings(map[string]any{"mode": mode})
	if err != nil {
		t.Fatal(err)
	}
	router, err := m.NewRouter(ctx, routeLayers(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(router.Close)
	for seq := uint64(90); seq < 90+1300; seq++ {
		if err := router.Begin(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	return router
}

func routeBatch(l RouteLayer, n int) *RouteBatch {
	b := &RouteBatch{N: n, Scores: make([]float32, n*l.NExperts), Seqs: make([]uint64, n), Positions: make([]uint32, n),
		IDs: make([]uint32, n*l.TopK), Weights: make([]float32, n*l.TopK)}
	for i := range b.Scores {
		b.Scores[i] = float32((i*7919+13)%10007) / 10007
	}
	for i := range b.Seqs {
		b.Seqs[i], b.Positions[i] = uint64(90+i), uint32(i)
	}
	return b
}

// Ensure that scores, bias, sequences and positions arrive and the answers come back, over more tokens than one call has.
func TestRouter(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		router := newRouter(t, r, 0)
		for _, l := range routeLayers() {
			for _, n := range []int{0, 1, 7, 1300} {
				if r.opt.Interpreter && n > 600 {
					n = 600
				}
				b := routeBatch(l, n)
				if err := router.Route(ctx, l.Layer, b); err != nil {
					t.Fatal(err)
				}
				step := router.tokensOf(&l)
				for i := range n {
					order := make([]uint32, l.NExperts)
					x := slices.Clone(b.Scores[i*l.NExperts : (i+1)*l.NExperts])
					for e := range order {
						order[e] = uint32(e)
						if l.Bias != nil {
							x[e] += l.Bias[e]
						}
					}
					slices.SortStableFunc(order, func(a, b uint32) int {
						switch {
						case x[a] > x[b]:
							return -1
						case x[a] < x[b]:
							return 1
						}
						return 0
					})
					if got := b.IDs[i*l.TopK : (i+1)*l.TopK]; !slices.Equal(got, order[:l.TopK]) {
						t.Fatalf("layer %d, token %d: experts %v, want %v", l.Layer, i, got, order[:l.TopK])
					}
					want := float32(i%step+1) / 2
					if b.Seqs[i] > 100 {
						want += float32(b.Positions[i])
					}
					if got := b.Weights[i*l.TopK+1]; got != want {
						t.Fatalf("layer %d, token %d: weight %v, want %v", l.Layer, i, got, want)
					}
				}
			}
		}
	})
}

func TestRouterRefuses(t *testing.T) {
	const call = "plugin r: router_route "
	r := newRuntime(t, RuntimeOptions{})
	for mode, want := range map[int]string{
		1:  call + "layer 0, token 2: chose the expert 8 of 8",
		2:  call + "layer 0, token 2: chose the expert 4 twice",
		3:  call + "layer 0, token 2: gave the weight NaN; it must be finite and not negative",
		4:  call + "layer 0, token 2: gave the weight +Inf; it must be finite and not negative",
		5:  call + "layer 0, token 2: gave the weight -1; it must be finite and not negative",
		6:  call + "gave up (unreachable: an assertion or a panic in the plugin)...",
		7:  call + "ran out of fuel: raise limits.fuel, which multiplies the 1,460,000 units of such a call...",
		8:  call + "returned the status 4",
		9:  call + "layer 0, token 0: chose the expert 4294967295 of 8",
		10: "no error",
	} {
		router := newRouter(t, r, mode)
		l := routeLayers()[0]
		for range 2 {
			wantError(t, router.Route(ctx, 0, routeBatch(l, 3)), want)
		}
		if err := newRouter(t, r, 0).Route(ctx, 0, routeBatch(l, 3)); err != nil {
			t.Errorf("beside mode %d: %v", mode, err)
		}
	}
	router := newRouter(t, r, 0)
	wantError(t, router.Route(ctx, 5, routeBatch(routeLayers()[0], 1)), "the router was not made for layer 5")
	short := routeBatch(routeLayers()[0], 2)
	short.IDs = short.IDs[1:]
	wantError(t, router.Route(ctx, 0, short), "a batch of 2 tokens has slices of other lengths: 16 scores for 8 experts, 3 ids and 4 weights for 2")
	m := load(t, r, "route", "router", nil)
	good := routeLayers()[0]
	for _, k := range []struct {
		change func(*RouteLayer)
		want   string
	}{
		{func(l *RouteLayer) { l.TopK = 9 }, "plugin route: layer 0 uses 9 of 8 experts"},
		{func(l *RouteLayer) { l.NExperts = 1 << 20 }, "plugin route: layer 0 has 1048576 experts, a router takes 1 to 65536"},
		{func(l *RouteLayer) { l.NGroup = 3 }, "plugin route: layer 0 has 8 experts in 3 groups"},
		{func(l *RouteLayer) { l.Score = 3 }, "plugin route: layer 0 has the score 3, which the operation route does not have"},
		{func(l *RouteLayer) { l.Factor = float32(math.NaN()) }, "plugin route: layer 0 has the factor NaN"},
		{func(l *RouteLayer) { l.Bias = make([]float32, 3) }, "plugin route: layer 0 has 8 experts and a bias of 3"},
		{func(l *RouteLayer) { l.NGroup, l.NGroupUsed, l.TopK = 4, 1, 3 }, "plugin route: layer 0 uses 3 experts of 1 groups of 2"},
	} {
		l := good
		k.change(&l)
		_, err := m.NewRouter(ctx, []RouteLayer{l}, nil)
		wantError(t, err, k.want)
	}
	_, err := m.NewRouter(ctx, []RouteLayer{good, good}, nil)
	wantError(t, err, "plugin route: layer 0 is there twice")
	_, err = m.NewRouter(ctx, nil, nil)
	wantError(t, err, "plugin route: the model has no layers with experts")
	_, err = load(t, r, "pair", "sampler", nil).NewRouter(ctx, routeLayers(), nil)
	wantError(t, err, "plugin pair is a sampler and not a router")
}

func TestRouterPlan(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	const call = "plugin r: router_plan gave a plan "
	for mode, want := range map[int]string{
		21: call + "that cannot be: layer 7 has the score 9, which the operation route does not have",
		22: call + "that cannot be: layer 7 has 128 experts in 3 groups",
		23: call + "that cannot be: layer 7 uses 0 of 1 groups",
		24: call + "that cannot be: layer 7 has the factor NaN",
		25: call + "for layer 7 whose switches are not 0 or 1, or that uses a bias where there is none",
	} {
		_, ok, err := newRouter(t, r, mode).Plan(ctx, 7)
		wantError(t, err, want)
		if ok {
			t.Errorf("mode %d has a plan", mode)
		}
	}
	if _, ok, err := newRouter(t, r, 0).Plan(ctx, 7); ok || err != nil {
		t.Errorf("skip: %v, %v", ok, err)
	}
	p, ok, err := newRouter(t, r, 20).Plan(ctx, 7)
	if err != nil || !ok || p.Score != 1 || !p.Renormalise || p.Factor != 2.5 || p.UseBias || p.TopK != 8 || p.Bias == nil {
		t.Errorf("plan %+v, %v, %v", p, ok, err)
	}
	if p, ok, err = newRouter(t, r, 26).Plan(ctx, 3); err != nil || !ok || p.NGroup != 4 || p.NGroupUsed != 1 || p.UseBias {
		t.Errorf("plan %+v, %v, %v", p, ok, err)
	}
}

func TestRouterAllocatesNothing(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	router := newRouter(t, r, 0)
	b := routeBatch(routeLayers()[2], 3)
	if a := testing.AllocsPerRun(100, func() { router.Route(ctx, 7, b) }); a != 0 {
		t.Errorf("%v allocations in a call", a)
	}
}

// Ensure that a router with state hears of sequences, also one that was made anew, and is asked of none that was not begun.
func TestRouterState(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	l := routeLayers()[0]
	router := newRouter(t, r, 12)
	b := routeBatch(l, 2)
	for step, want := range []float32{1300, 1299, 2} {
		switch step {
		case 1:
			if err := router.End(ctx, 1000); err != nil {
				t.Fatal(err)
			}
		case 2: // as after a fault: only the sequences of the call are told again
			router.t.main.discard()
		}
		if err := router.Route(ctx, l.Layer, b); err != nil {
			t.Fatal(err)
		}
		if got := b.Weights[len(b.Weights)-1]; got != want {
			t.Errorf("step %d: %v sequences, want %v", step, got, want)
		}
	}
	b.Seqs[1] = 1000
	wantError(t, router.Route(ctx, l.Layer, b), "plugin r: sequence 1000 was not begun")
	if !router.Stateful() {
		t.Error("it has no state")
	}
}

// Ensure that scores which are not finite are not held against the guest.
func TestRouterScores(t *testing.T) {
	router := newRouter(t, newRuntime(t, RuntimeOptions{}), 0)
	l := routeLayers()[0]
	for at := range 2 * l.NExperts {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			b := routeBatch(l, 2)
			b.Scores[at] = float32(bad)
			wantError(t, router.Route(ctx, 0, b), "the router's scores of layer 0 are not finite: the model file is damaged, or its numbers overflow")
		}
	}
	b := routeBatch(l, 2)
	for i := range b.Scores {
		b.Scores[i] = math.MaxFloat32
	}
	if err := router.Route(ctx, 0, b); err != nil || router.t.m.Stats().Traps != 0 {
		t.Error(err, router.t.m.Stats())
	}
}

// shippedRouter makes one of the shipped routers for a layer.
func shippedRouter(t testing.TB, r *Runtime, name string, l RouteLayer) *Router {
	t.Helper()
	wasm, err := os.ReadFile("../../plugins/router/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Load(ctx, Spec{Name: name, Kind: "router", Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	router, err := m.NewRouter(ctx, []RouteLayer{l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(router.Close)
	return router
}

// Ensure that the fuel of the kind is enough for the shipped routers whatever the sizes and the order of the scores, and
// about ten times what they need where these are as models have them.
func TestRouterFuel(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	for _, c := range []struct {
		guest  string
		layer  RouteLayer
		usual  bool
		biased bool
	}{
		{"softmax", RouteLayer{NExperts: 128, TopK: 8, NGroup: 1, NGroupUsed: 1, Renormalise: true}, true, false},
		{"softmax", RouteLayer{NExperts: 60, TopK: 4, NGroup: 1, NGroupUsed: 1}, true, false},
		{"sigmoid", RouteLayer{NExperts: 256, TopK: 8, NGroup: 8, NGroupUsed: 4, Renormalise: true, Score: 1}, true, true},
		{"softmax", RouteLayer{NExperts: 2, TopK: 1, NGroup: 1, NGroupUsed: 1}, false, false},
		{"softmax", RouteLayer{NExperts: 256, TopK: 256, NGroup: 1, NGroupUsed: 1}, false, true},
		{"softmax", RouteLayer{NExperts: 4096, TopK: 32, NGroup: 1, NGroupUsed: 1}, false, true},
		{"sigmoid", RouteLayer{NExperts: 256, TopK: 256, NGroup: 256, NGroupUsed: 256, Score: 1}, false, true},
	} {
		if c.layer.Factor = 1; c.biased {
			c.layer.Bias = make([]float32, c.layer.NExperts)
		}
		router := shippedRouter(t, r, c.guest, c.layer)
		m := router.t.m
		for order, score := range map[string]func(i int) float32{
			"ascending": func(i int) float32 { return float32(i%c.layer.NExperts) / 20 },
			"equal":     func(int) float32 { return 1 },
			"mixed":     func(i int) float32 { return float32(i*37%101) / 20 },
		} {
			b := routeBatch(c.layer, 16)
			for i := range b.Scores {
				b.Scores[i] = score(i)
			}
			before := m.Stats().Fuel
			if err := router.Route(ctx, 0, b); err != nil {
				t.Fatalf("%s, %s scores: %v", c.guest, order, err)
			}
			used, budget := m.Stats().Fuel-before, m.budget(len(b.Scores))
			t.Logf("%s, %d of %d, %s scores: %d units a token of %d", c.guest, c.layer.TopK, c.layer.NExperts, order, used/16, budget/16)
			if c.usual && order == "mixed" && used > budget/10 {
				t.Errorf("%s: %d of %d units", c.guest, used, budget)
			}
		}
	}
}

// BenchmarkRouter is one token through the shipped routers, 128 experts to 8.
func BenchmarkRouter(b *testing.B) {
	r := newRuntime(b, RuntimeOptions{})
	for _, c := range []struct {
		name, guest string
		layer       RouteLayer
	}{
		{"softmax", "softmax", RouteLayer{NGroup: 1, NGroupUsed: 1, Renormalise: true}},
		{"softmax over all", "softmax", RouteLayer{NGroup: 1, NGroupUsed: 1}},
		{"sigmoid", "sigmoid", RouteLayer{NGroup: 1, NGroupUsed: 1, Renormalise: true, Score: 1}},
		{"sigmoid, bias, groups", "sigmoid", RouteLayer{NGroup: 8, NGroupUsed: 4, Renormalise: true, Score: 1, Bias: make([]float32, 128)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.layer.NExperts, c.layer.TopK, c.layer.Factor = 128, 8, 1
			router, batch := shippedRouter(b, r, c.guest, c.layer), routeBatch(c.layer, 1)
			for i := range batch.Scores {
				batch.Scores[i] = float32(i*37%101) / 20
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := router.Route(ctx, 0, batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
