package plugin

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// routerModule loads testdata/router.c with config values.
func routerModule(t testing.TB, r *Runtime, config map[string]any) *Module {
	return load(t, r, "router", "router", func(s *Spec) { s.Config = config })
}

func newRouter(t testing.TB, m *Module, experts, topK, rows int) *Router {
	t.Helper()
	r, err := m.NewRouter(context.Background(), experts, topK, rows)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// routeCall is a call of some rows, of the sequences 7, 8, 9 ... at the positions 100, 101 ...
func routeCall(own *Routing, rows int) *RouteCall {
	c := &RouteCall{Own: own, Scores: make([]float32, rows*own.Experts), Seqs: make([]uint64, rows), Positions: make([]uint32, rows),
		IDs: make([]uint32, rows*own.TopK), Weights: make([]float32, rows*own.TopK)}
	for i := range rows {
		c.Seqs[i], c.Positions[i] = uint64(7+i), uint32(100+i)
	}
	return c
}

// Ensure that what a guest answers reaches the caller for any number of rows, that it is told of each row, and that a
// router with state hears of sequences.
func TestRouter(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		ctx := context.Background()
		router := newRouter(t, routerModule(t, r, nil), 4096, 3, 512)
		own := &Routing{Experts: 4096, TopK: 3, NGroup: 1, NGroupUsed: 1, Factor: 1}
		c := routeCall(own, 50) // in pieces: a call has at most 65536 scores
		if err := router.Route(ctx, c); err != nil {
			t.Fatal(err)
		}
		for i := range c.IDs {
			if c.IDs[i] != uint32(i%3) || c.Weights[i] != float32(1)/3 {
				t.Fatalf("answer %d is expert %d at %v", i, c.IDs[i], c.Weights[i])
			}
		}
		tells := newRouter(t, routerModule(t, r, map[string]any{"mode": 11}), 10, 2, 8)
		own = &Routing{Experts: 10, TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1, Bias: make([]float32, 10)}
		for step, do := range []func(context.Context, uint64) error{nil, tells.Begin, tells.Begin, tells.End} {
			if do != nil {
				if err := do(ctx, 7); err != nil {
					t.Fatal(err)
				}
			}
			c := routeCall(own, 2)
			if err := tells.Route(ctx, c); err != nil {
				t.Fatal(err)
			}
			// Its first token: position 100, sequence 7, a bias; the last expert less the sequences begun.
			if want := []uint32{9, 8, 7, 8}[step]; c.IDs[1] != want || c.Weights[1] != 7100.5 {
				t.Errorf("step %d: expert %d at %v, expected %d at 7100.5", step, c.IDs[1], c.Weights[1], want)
			}
		}
	})
}

// Ensure that an answer which the ABI forbids is an error that names plugin and call, costs the instance and a strike, and
// that the next call works.
func TestRouter_Hostile(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	ctx := context.Background()
	own := &Routing{Layer: 3, Experts: 8, TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1}
	for _, c := range []struct {
		mode    int
		want    string
		trapped bool
	}{
		{1, "chose expert 8, layer 3 has 8", true},
		{2, "chose expert 0 twice for one token of layer 3", true},
		{3, "gave expert 1 of layer 3 the weight NaN", true},
		{4, "gave expert 1 of layer 3 the weight -1", true},
		{5, "gave expert 1 of layer 3 the weight +Inf", true},
		{6, "gave up (unreachable: an assertion or a panic in the plugin)", true},
		{7, "ran out of fuel", true},
		{8, "says: nothing is known of this sequence", false},
		{9, "returned the status", true},
		{10, "", false},
		{12, "chose expert 4294967295, layer 3 has 8", true},
	} {
		t.Run(fmt.Sprint(c.mode), func(t *testing.T) {
			m := routerModule(t, r, map[string]any{"mode": c.mode})
			router := newRouter(t, m, 8, 2, 4)
			for range 2 {
				err := router.Route(ctx, routeCall(own, 3))
				if c.want == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				if err == nil || !strings.HasPrefix(err.Error(), "plugin router: router_route "+c.want) {
					t.Errorf("got %v\nwant %s", err, c.want)
				}
			}
			want := int64(0)
			if c.trapped {
				want = 2
			}
			if got := m.Stats().Traps; got != want {
				t.Errorf("%d strikes, expected %d", got, want)
			}
		})
	}
}

// Ensure that scores which are not finite are not held against the guest.
func TestRouter_Scores(t *testing.T) {
	m := routerModule(t, newRuntime(t, RuntimeOptions{}), nil)
	router := newRouter(t, m, 7, 2, 4)
	for at := range 14 {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			c := routeCall(&Routing{Layer: 2, Experts: 7, TopK: 2}, 2)
			c.Scores[at] = float32(bad)
			err := router.Route(context.Background(), c)
			if want := "the router's scores of layer 2 are not finite: the model file is damaged, or its numbers overflow"; err == nil || err.Error() != want {
				t.Fatalf("score %d is %v: %v", at, bad, err)
			}
		}
	}
	c := routeCall(&Routing{Layer: 2, Experts: 7, TopK: 2}, 2)
	for i := range c.Scores {
		c.Scores[i] = math.MaxFloat32
	}
	if err := router.Route(context.Background(), c); err != nil || m.Stats().Traps != 0 {
		t.Error(err, m.Stats())
	}
}

// Ensure that plans are read, and that those which no host could run are refused.
func TestRouter_Plan(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	ctx := context.Background()
	own := &Routing{Layer: 3, Experts: 8, TopK: 2, NGroup: 1, NGroupUsed: 1, Factor: 1, Score: 2}
	for plan, want := range map[int]string{
		2: "planned 5 groups of 8 experts", 3: "planned 3 of 2 groups", 4: "planned the factor -1", 5: "planned the factor NaN",
		6: "planned use_bias 1 and renormalise 0", 7: "planned use_bias 0 and renormalise 2", 8: "says: no such plan", 10: "returned the status",
	} {
		router := newRouter(t, routerModule(t, r, map[string]any{"plan": plan}), 8, 2, 4)
		if _, ok, err := router.Plan(ctx, own); ok || err == nil || !strings.HasPrefix(err.Error(), "plugin router: router_plan "+want) {
			t.Errorf("plan %d: got %v\nwant %s", plan, err, want)
		}
	}
	if _, ok, err := newRouter(t, routerModule(t, r, nil), 8, 2, 4).Plan(ctx, own); ok || err != nil {
		t.Errorf("a router without a plan: %t %v", ok, err)
	}
	own.Bias = make([]float32, 8)
	plan, ok, err := newRouter(t, routerModule(t, r, map[string]any{"plan": 9}), 8, 2, 4).Plan(ctx, own)
	if !ok || err != nil || !plan.Renormalise || plan.Factor != 2 || plan.Bias == nil || plan.Score != 2 || plan.Layer != 3 {
		t.Errorf("%+v %t %v", plan, ok, err)
	}
}

// Ensure that calls which do not fit the router are refused before the guest sees them.
func TestRouter_Misuse(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	m := routerModule(t, r, nil)
	ctx := context.Background()
	router := newRouter(t, m, 8, 2, 4)
	for _, own := range []*Routing{{Experts: 9, TopK: 2}, {Experts: 8, TopK: 3}, {Experts: 0, TopK: 0}, {Experts: 8, TopK: 2, Bias: make([]float32, 7)}, {Experts: 1, TopK: 2}} {
		if err := router.Route(ctx, routeCall(own, 1)); err == nil {
			t.Errorf("%+v was routed", own)
		}
	}
	short := routeCall(&Routing{Experts: 8, TopK: 2}, 2)
	short.IDs = short.IDs[:3]
	if err := router.Route(ctx, short); err == nil {
		t.Error("a call without room was made")
	}
	for _, c := range [][3]int{{0, 1, 1}, {8, 9, 1}, {8, 0, 1}, {8, 2, 0}, {1 << 20, 2, 1}, {300, 300, 1}} {
		if _, err := m.NewRouter(ctx, c[0], c[1], c[2]); err == nil {
			t.Errorf("a router for %v", c)
		}
	}
	if _, err := load(t, r, "halve", "processor", nil).NewRouter(ctx, 8, 2, 1); err == nil {
		t.Error("a processor routes")
	}
}

// shippedRouter loads a shipped router.
func shippedRouter(t testing.TB, r *Runtime, name string) *Module {
	t.Helper()
	wasm, err := os.ReadFile("../../plugins/router/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Load(context.Background(), Spec{Name: name, Kind: "router", Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Ensure that the fuel of the kind is enough for the shipped routers whatever the sizes and the order of the scores, and
// about ten times what they need where these are as models have them.
func TestRouter_Fuel(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	for _, c := range []struct {
		guest  string
		own    Routing
		usual  bool
		biased bool
	}{
		{"softmax", Routing{Experts: 128, TopK: 8, NGroup: 1, NGroupUsed: 1, Renormalise: true}, true, false},
		{"softmax", Routing{Experts: 60, TopK: 4, NGroup: 1, NGroupUsed: 1}, true, false},
		{"sigmoid", Routing{Experts: 256, TopK: 8, NGroup: 8, NGroupUsed: 4, Renormalise: true}, true, true},
		{"softmax", Routing{Experts: 2, TopK: 1, NGroup: 1, NGroupUsed: 1}, false, false},
		{"softmax", Routing{Experts: 256, TopK: 256, NGroup: 1, NGroupUsed: 1}, false, true},
		{"softmax", Routing{Experts: 4096, TopK: 32, NGroup: 1, NGroupUsed: 1}, false, true},
		{"sigmoid", Routing{Experts: 256, TopK: 256, NGroup: 256, NGroupUsed: 256}, false, true},
	} {
		m := shippedRouter(t, r, c.guest)
		if c.own.Factor = 1; c.biased {
			c.own.Bias = make([]float32, c.own.Experts)
		}
		router := newRouter(t, m, c.own.Experts, c.own.TopK, 16)
		for order, score := range map[string]func(i int) float32{
			"ascending": func(i int) float32 { return float32(i%c.own.Experts) / 20 },
			"equal":     func(int) float32 { return 1 },
			"mixed":     func(i int) float32 { return float32(i*37%101) / 20 },
		} {
			call := routeCall(&c.own, 16)
			for i := range call.Scores {
				call.Scores[i] = score(i)
			}
			before := m.Stats().Fuel
			if err := router.Route(context.Background(), call); err != nil {
				t.Fatalf("%s, %s scores: %v", c.guest, order, err)
			}
			used, budget := m.Stats().Fuel-before, m.budget(len(call.Scores))
			t.Logf("%s, %d of %d, %s scores: %d units a token of %d", c.guest, c.own.TopK, c.own.Experts, order, used/16, budget/16)
			if c.usual && order == "mixed" && used > budget/10 {
				t.Errorf("%s: %d of %d units", c.guest, used, budget)
			}
		}
	}
}

// Ensure that a call allocates nothing.
func TestRouter_AllocatesNothing(t *testing.T) {
	router := newRouter(t, shippedRouter(t, newRuntime(t, RuntimeOptions{}), "softmax"), 128, 8, 16)
	c := routeCall(&Routing{Experts: 128, TopK: 8, NGroup: 1, NGroupUsed: 1, Renormalise: true, Factor: 1}, 16)
	for i := range c.Scores {
		c.Scores[i] = float32(i * 37 % 101)
	}
	ctx := context.Background()
	n := testing.AllocsPerRun(200, func() {
		if err := router.Route(ctx, c); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if c.Scores[c.IDs[0]] != 100 {
		t.Errorf("expert %d with score %v is chosen first", c.IDs[0], c.Scores[c.IDs[0]])
	}
}

// BenchmarkRouter is one token through the shipped routers, 128 experts to 8.
func BenchmarkRouter(b *testing.B) {
	r := newRuntime(b, RuntimeOptions{})
	bias := make([]float32, 128)
	for _, c := range []struct {
		name, guest string
		own         Routing
	}{
		{"softmax", "softmax", Routing{NGroup: 1, NGroupUsed: 1, Renormalise: true}},
		{"softmax over all", "softmax", Routing{NGroup: 1, NGroupUsed: 1}},
		{"sigmoid", "sigmoid", Routing{NGroup: 1, NGroupUsed: 1, Renormalise: true}},
		{"sigmoid, bias, groups", "sigmoid", Routing{NGroup: 8, NGroupUsed: 4, Renormalise: true, Bias: bias}},
	} {
		b.Run(c.name, func(b *testing.B) {
			router := newRouter(b, shippedRouter(b, r, c.guest), 128, 8, 16)
			c.own.Experts, c.own.TopK, c.own.Factor = 128, 8, 1
			call := routeCall(&c.own, 1)
			for i := range call.Scores {
				call.Scores[i] = float32(i*37%101) / 20
			}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := router.Route(ctx, call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
