package main

import (
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"forge/abi"
	"forge/gguf/randmodel"
	"forge/host"
	"forge/host/plugin"
	"forge/kernels"
	"forge/kernels/simd"
)

// routerSet is the shipped set, changed.
func routerSet(t testing.TB, change func(*plugin.Config)) *plugin.Config {
	t.Helper()
	cfg := shippedPlugins(t)
	if change != nil {
		change(cfg)
	}
	return cfg
}

// withRouter puts a router of the set in charge and sets its config.
func withRouter(name string, config map[string]any) func(*plugin.Config) {
	return func(cfg *plugin.Config) {
		cfg.Router = name
		for i := range cfg.Plugins {
			if cfg.Plugins[i].Name == name {
				cfg.Plugins[i].Config = config
			}
		}
	}
}

// testRouter adds the router of host/plugin/testdata/route.c, which misbehaves as its config says, and puts it in charge.
func testRouter(t testing.TB, config map[string]any, change func(*plugin.Spec)) func(*plugin.Config) {
	t.Helper()
	wasm, err := os.ReadFile(root("host", "plugin", "testdata", "route.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *plugin.Config) {
		spec := plugin.Spec{Name: "odd", Kind: "router", Wasm: wasm, Config: config}
		if change != nil {
			change(&spec)
		}
		cfg.Plugins = append(cfg.Plugins, spec)
		cfg.Router = "odd"
	}
}

func openRouted(t testing.TB, path string, dev kernels.Device, opt host.Options, cfg *plugin.Config) (*host.Engine, error) {
	t.Helper()
	opt.Device, opt.Runtime, opt.Plugins = dev, testRuntime, cfg
	e, err := host.Open(context.Background(), path, opt)
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return e, err
}

func routedLogits(t *testing.T, path string, dev kernels.Device, opt host.Options, change func(*plugin.Config), tokens []uint32) [][]float32 {
	t.Helper()
	e, err := openRouted(t, path, dev, opt, routerSet(t, change))
	if err != nil {
		t.Fatal(err)
	}
	return score(t, e, tokens)
}

func sameBits(a, b [][]float32) bool {
	return slices.EqualFunc(a, b, func(x, y []float32) bool {
		return slices.EqualFunc(x, y, func(u, v float32) bool { return math.Float32bits(u) == math.Float32bits(v) })
	})
}

// Ensure that a router gives the same logits, bit for bit, by its plan and by call, on both devices; that the shipped ones
// left to themselves route as the model does without any; and that their settings change something.
func TestRouters_PlanAndCall(t *testing.T) {
	noRouters := func(cfg *plugin.Config) {
		cfg.Plugins = slices.DeleteFunc(cfg.Plugins, func(s plugin.Spec) bool { return s.Kind == abi.KindRouter })
	}
	for _, model := range []string{"qwen3moe", "qwen2moe"} {
		shape := randmodel.Models()[model]
		path, tokens := randomModel(t, shape), shape.Tokens(50)
		for _, dev := range []kernels.Device{kernels.Scalar{}, simd.New()} {
			native := routedLogits(t, path, dev, host.Options{}, noRouters, tokens)
			for _, c := range []struct {
				name   string
				change func(*plugin.Config)
				same   bool // as the model by itself
			}{
				{"by the score", nil, true},
				{"softmax", withRouter("softmax", nil), true},
				{"softmax over the chosen", withRouter("softmax", map[string]any{"over_chosen": 1, "factor": 0.5}), false},
				{"softmax, the other way round", withRouter("softmax", map[string]any{"renormalise": map[string]int{"qwen3moe": 0, "qwen2moe": 1}[model]}), false},
				{"sigmoid", withRouter("sigmoid", nil), false},
				{"sigmoid, groups", withRouter("sigmoid", map[string]any{"groups": 3, "groups_used": 2, "renormalise": 1}), false},
			} {
				t.Run(model+", "+dev.Name()+", "+c.name, func(t *testing.T) {
					planned := routedLogits(t, path, dev, host.Options{}, c.change, tokens)
					called := routedLogits(t, path, dev, host.Options{RouterCalls: true}, c.change, tokens)
					if !sameBits(planned, called) {
						t.Error("by plan and by call the logits differ")
					}
					if sameBits(planned, native) != c.same {
						t.Errorf("as the model by itself: %t, expected %t", !c.same, c.same)
					}
				})
			}
		}
	}
}

// Ensure that a plan which is not what the router answers is refused with a sentence that names the plugin, and that
// settings which do not fit the model are.
func TestRouters_Refused(t *testing.T) {
	path := randomModel(t, randmodel.Models()["qwen3moe"])
	more := func(s *plugin.Spec) { s.Limits.Fuel = 10 } // it searches the whole row for each expert
	for want, change := range map[string]func(*plugin.Config){
		": plugin odd: its plan for layer 0 is not what it answers: the plan gives expert ": testRouter(t, map[string]any{"mode": 27}, more),
		": plugin odd: router_plan gave a plan that cannot be: layer 0 uses 0 of 1 groups":  testRouter(t, map[string]any{"mode": 23}, nil),
		": plugin sigmoid: router_plan says: the experts do not part into so many groups":   withRouter("sigmoid", map[string]any{"groups": 5}),
		": there is no plugin of kind router named \"sampler\"":                             withRouter("sampler", nil),
	} {
		if _, err := openRouted(t, path, kernels.Scalar{}, host.Options{}, routerSet(t, change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

// answers runs two requests at once, the second after the first has begun, and gives what each got.
func answers(t *testing.T, path string, change func(*plugin.Config)) (texts [2]string, errs [2]error) {
	t.Helper()
	e, err := openRouted(t, path, kernels.Scalar{}, host.Options{NSeq: 2}, routerSet(t, change))
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	var once sync.Once
	run := func(i int, n int) {
		req := &host.Request{Prompt: []uint32{uint32(3 + i), 70, 80, 90}, MaxTokens: n, Samplers: []string{"greedy"}, IgnoreEOS: true,
			OnText: func([]byte) { once.Do(func() { close(begun) }) }}
		res, err := e.Generate(context.Background(), req)
		if errs[i] = err; err == nil {
			texts[i] = res.Text
		}
	}
	var wait sync.WaitGroup
	wait.Go(func() { run(0, 40) })
	<-begun
	wait.Go(func() { run(1, 10) })
	wait.Wait()
	return texts, errs
}

// Ensure that a router which fails for one sequence fails its request alone, with a sentence that names the plugin, and
// that on_error = "skip" lets the model route that sequence by itself.
func TestRouters_Failures(t *testing.T) {
	path := randomModel(t, randmodel.Models()["qwen3moe"])
	more := func(s *plugin.Spec) { s.Limits = plugin.Limits{Strikes: 1000, Fuel: 10} }
	good, errs := answers(t, path, testRouter(t, nil, more))
	if errs[0] != nil || errs[1] != nil || good[0] == "" {
		t.Fatal(good, errs)
	}
	for mode, want := range map[int]string{
		6:  "plugin odd: router_route gave up (unreachable: an assertion or a panic in the plugin)",
		2:  "plugin odd: router_route layer 0, token ",
		11: "plugin odd: router_route says: nothing is known of this sequence",
	} {
		broken := map[string]any{"mode": mode, "seq": 2}
		texts, errs := answers(t, path, testRouter(t, broken, more))
		if errs[0] != nil || texts[0] != good[0] {
			t.Errorf("mode %d: the other sequence's text is %q (%v), without the offender %q", mode, texts[0], errs[0], good[0])
		}
		if errs[1] == nil || !strings.HasPrefix(errs[1].Error(), want) {
			t.Errorf("mode %d: got %v\nwant %s", mode, errs[1], want)
		}
		skip := func(s *plugin.Spec) { more(s); s.OnError = "skip" }
		if texts, errs = answers(t, path, testRouter(t, broken, skip)); errs[0] != nil || errs[1] != nil || texts[0] != good[0] {
			t.Errorf("mode %d, skipped: %q %v", mode, texts, errs)
		}
		native, _ := answers(t, path, nil)
		if texts[1] != native[1] {
			t.Errorf("mode %d, skipped: the text is %q, the model by itself writes %q", mode, texts[1], native[1])
		}
	}
	// After its strikes a router is out for all.
	_, errs = answers(t, path, testRouter(t, map[string]any{"mode": 6, "seq": 2}, func(s *plugin.Spec) { s.Limits = plugin.Limits{Strikes: 1, Fuel: 10} }))
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "quarantined") {
		t.Errorf("after one strike of one: %v", errs[0])
	}
}
