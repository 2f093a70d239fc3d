package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"forge/host"
	"forge/host/plugin"
	"forge/host/plugin/hostile"
	"forge/kernels/simd"
)

// hostileSamplers are the hostile modules that serve good sequences beside a bad one, each with an entry name of its own.
func hostileSamplers() (list []hostile.Module, entries []string) {
	for _, h := range hostile.Modules() {
		if h.Tamed {
			entry := fmt.Sprintf("h%03d", len(list))
			h.Wasm, h.Want = hostile.Renamed(h.Wasm, entry), strings.ReplaceAll(h.Want, "sampler_"+hostile.Entry, "sampler_"+entry)
			list, entries = append(list, h), append(entries, entry)
		}
	}
	return list, entries
}

// batchOf runs a request for each prompt at the same time, with harm in that of one of them; -1 is for chains without
// a hostile sampler.
func batchOf(t *testing.T, e *host.Engine, prompts [][]uint32, samplers []string, harmed int) (results []*host.Result, errs []error) {
	t.Helper()
	results, errs = make([]*host.Result, len(prompts)), make([]error, len(prompts))
	var wg sync.WaitGroup
	for i, prompt := range prompts {
		wg.Go(func() {
			settings := map[string]any{"temp": 1.0}
			if harmed >= 0 {
				settings["harm"] = 0.0
			}
			if i == harmed {
				settings["harm"] = 1.0
			}
			results[i], errs[i] = e.Generate(context.Background(), &host.Request{Prompt: prompt, MaxTokens: 6, Seed: uint64(i), IgnoreEOS: true,
				Samplers: samplers, Settings: settings})
		})
	}
	wg.Wait()
	return results, errs
}

// Ensure that every hostile sampler, doing its harm to one sequence of a batch whose sequences all pass through it, leaves
// the tokens of the others as they are without the harm; and that its own sequence fails with one sentence, or goes on as
// if the sampler were not there, as its policy says. What is allowed to a sampler gives the same tokens each time.
func TestHostile_Batch(t *testing.T) {
	if testing.Short() {
		t.Skip("a batch for every hostile sampler")
	}
	list, entries := hostileSamplers()
	for _, policy := range []string{"fail", "skip"} {
		t.Run(policy, func(t *testing.T) {
			e, err := openRouted(t, storiesFile, simd.New(), host.Options{Deterministic: true, NSeq: 3}, routerSet(t, func(cfg *plugin.Config) {
				for i, h := range list {
					cfg.Plugins = append(cfg.Plugins, plugin.Spec{Name: entries[i], Kind: h.Kind, Wasm: h.Wasm, Grants: h.Grants, OnError: policy,
						Limits: plugin.Limits{Strikes: 1000}})
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			var prompts [][]uint32
			for _, text := range []string{"Once upon a time", "The little dog", "Tom and Sue went"} {
				prompt, err := e.Tokenize(context.Background(), text, true)
				if err != nil {
					t.Fatal(err)
				}
				prompts = append(prompts, prompt)
			}
			behind := []string{"top_k", "temperature", "dist"}
			want, errs := batchOf(t, e, prompts, behind, -1)
			if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
				t.Fatal(errs)
			}
			shared := 0
			for i, h := range list {
				const bad = 1
				results, errs := batchOf(t, e, prompts, append([]string{entries[i]}, behind...), bad)
				for k, r := range results {
					if k == bad {
						continue
					}
					if errs[k] != nil || !slices.Equal(r.Tokens, want[k].Tokens) {
						t.Errorf("%s: disturbs sequence %d: %v, %v", h.Name, k, r, errs[k])
						continue
					}
					shared = max(shared, r.Timings.SequencesPeak)
				}
				holdOffender(t, h, policy, entries[i], results[bad], errs[bad], want[bad])
				if h.Want == "" {
					again, errs := batchOf(t, e, prompts, append([]string{entries[i]}, behind...), bad)
					if errs[bad] != nil || results[bad] != nil && !slices.Equal(again[bad].Tokens, results[bad].Tokens) {
						t.Errorf("%s: another run gives %v, %v", h.Name, again[bad], errs[bad])
					}
				}
			}
			if shared < 2 {
				t.Error("no two sequences shared a step")
			}
			t.Logf("%d samplers, up to %d sequences in a step", len(list), shared)
		})
	}
}

// holdOffender holds the sequence that was harmed to the policy: plain is what it gives without the sampler.
func holdOffender(t *testing.T, h hostile.Module, policy, name string, r *host.Result, err error, plain *host.Result) {
	t.Helper()
	switch {
	case h.Want == "":
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
		} else if h.Shrugged && !slices.Equal(r.Tokens, plain.Tokens) {
			t.Errorf("%s: has an effect: %v", h.Name, r.Tokens)
		}
	case policy == "fail":
		if text := fmt.Sprint(err); !strings.HasPrefix(text, "plugin "+name+": ") || !strings.Contains(text, h.Want) || strings.Contains(text, "\n") {
			t.Errorf("%s: %q, want %q", h.Name, text, h.Want)
		}
	case err != nil || !slices.Equal(r.Tokens, plain.Tokens):
		t.Errorf("%s: is not left out: %v, %v", h.Name, r, err)
	}
}
