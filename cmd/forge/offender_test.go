package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"forge/host"
	"forge/host/plugin"
	"forge/kernels/simd"
)

// Ensure that a sampler which traps for one sequence of a batch disturbs no other, though all share its instance and hang
// on its state: their tokens are those of a run without the offender. The offender fails, or goes on without the sampler,
// as its policy says.
func TestOffender(t *testing.T) {
	wasm, err := os.ReadFile(root("host", "plugin", "testdata", "sway.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(policy string) *host.Engine {
		e, err := openRouted(t, storiesFile, simd.New(), host.Options{Deterministic: true, NSeq: 4}, routerSet(t, func(cfg *plugin.Config) {
			cfg.Plugins = append(cfg.Plugins, plugin.Spec{Name: "sway " + policy, Kind: "sampler", Wasm: wasm, OnError: policy,
				Limits: plugin.Limits{Strikes: 100}})
		}))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	prompts := []string{"Once upon a time", "The little dog", "Tom and Sue went", "One day"}
	for _, policy := range []string{"fail", "skip"} {
		e := open(policy)
		run := func(i int, trapAt int) (*host.Result, error) {
			prompt, err := e.Tokenize(context.Background(), prompts[i], true)
			if err != nil {
				return nil, err
			}
			return e.Generate(context.Background(), &host.Request{Prompt: prompt, MaxTokens: 40, Seed: uint64(i), IgnoreEOS: true,
				Samplers: []string{"sway", "top_k", "temperature", "dist"}, Settings: map[string]any{"trap_at": trapAt, "temp": 1.0}})
		}
		var want [][]uint32
		for i := range prompts {
			r, err := run(i, -1)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r.Tokens)
		}
		if r, err := run(0, 100); err != nil || !slices.Equal(r.Tokens, want[0]) { // the setting alone changes nothing
			t.Fatal(err)
		}
		results, errs := make([]*host.Result, len(prompts)), make([]error, len(prompts))
		var wg sync.WaitGroup
		for i := range prompts {
			wg.Go(func() {
				trapAt := -1
				if i == 1 {
					trapAt = 12
				}
				results[i], errs[i] = run(i, trapAt)
			})
		}
		wg.Wait()
		if r := results[0]; r == nil || r.Timings.SequencesPeak < 2 {
			t.Errorf("no two sequences shared a step: %v", r)
		}
		for i := range prompts {
			switch {
			case i != 1:
				if errs[i] != nil || !slices.Equal(results[i].Tokens, want[i]) {
					t.Errorf("%s: beside the offender %q gives %v, alone %v; %v", policy, prompts[i], results[i], want[i], errs[i])
				}
			case policy == "fail":
				if text := fmt.Sprint(errs[i]); !strings.Contains(text, "plugin sway fail: sampler_sway gave up (unreachable") {
					t.Errorf("the offender ends with %v", errs[i])
				}
			default:
				if errs[i] != nil || len(results[i].Tokens) != 40 || !slices.Equal(results[i].Tokens[:12], want[i][:12]) || slices.Equal(results[i].Tokens, want[i]) {
					t.Errorf("the offender, skipped: %v, alone %v; %v", results[i], want[i], errs[i])
				}
			}
		}
	}
}
