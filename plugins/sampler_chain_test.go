package plugins_test

import (
	"context"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"

	"forge/host/plugin"
)

// Ensure that the host's chain picks what the bare exports pick, and that no table makes a sampler run out of the fuel
// that the host gives it.
func TestChain_Host(t *testing.T) {
	const n = 20011
	history := make([]uint32, maxHistory)
	for i := range history {
		history[i] = uint32(i * i % n)
	}
	for _, c := range []struct {
		names    []string
		settings map[string]any
		params   [nParams]float64
	}{
		{[]string{"penalties", "top_k", "top_p", "min_p", "temperature", "dist"}, map[string]any{"repeat_penalty": 1.1, "repeat_last_n": -1}, params(repeatPenalty, 1.1, repeatLastN, -1)},
		{[]string{"top_k", "penalties", "top_p", "temperature", "greedy"}, map[string]any{"repeat_penalty": 1.1, "top_k": n / 2, "top_p": 0.99999}, params(repeatPenalty, 1.1, topK, n/2, topP, 0.99999)},
		{[]string{"min_p", "top_p", "top_k", "dist"}, map[string]any{"min_p": 0.0001, "top_p": 0.99999, "top_k": 15000}, params(minP, 0.0001, topP, 0.99999, topK, 15000)},
		{[]string{"temperature", "dist"}, nil, params()},
	} {
		bare, host := openChain(t, n), hostChain(t, c.names, n)
		p, err := host.Params(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		for name, logits := range rows(n) {
			for seed := range uint64(2) {
				want := bare.run(table{logits: logits}, rowCase{params: c.params, seed: seed, history: history}, c.names...)
				draw := uint64(0)
				id, err := host.Sample(context.Background(), &plugin.Row{Logits: logits, Seed: seed, Draw: &draw, History: history, Params: p})
				if err != nil {
					t.Fatal(c.names, name, err)
				}
				if want.stop != (id == plugin.Stop) || !want.stop && uint32(id) != want.id(int(want.selected)) || !want.stop && draw != want.draw {
					t.Fatalf("%v %s: the host picks %d, want %d of %d", c.names, name, id, want.selected, len(want.logits))
				}
			}
		}
	}
}

// Ensure that both of wazero's engines give the same bits.
func TestChain_Engines(t *testing.T) {
	const n = 5000
	compiled, interpreted := openChain(t, n), openChainWith(t, wazero.NewRuntimeConfigInterpreter(), "sampler", n, nil)
	for name, logits := range rows(n) {
		for _, names := range [][]string{{"penalties", "top_k", "top_p", "min_p", "temperature", "dist"}, {"top_p", "temperature", "dist"}, {"min_p", "dist"}, {"dist"}} {
			rc := rowCase{params: params(repeatPenalty, 1.1), seed: 3, history: []uint32{1, 2, 3, 2}}
			a, b := compiled.run(table{logits: logits}, rc, names...), interpreted.run(table{logits: logits}, rc, names...)
			if a.selected != b.selected || !slices.Equal(a.ids, b.ids) || string(floatBytes(a.logits)) != string(floatBytes(b.logits)) {
				t.Errorf("%s %v: the engines differ", name, names)
			}
		}
	}
}

// Ensure that a text sampled with Mirostat goes on as it went before after tokens were taken back, and as its parent would
// have after a fork.
func TestChain_Mirostat(t *testing.T) {
	const n = 5000
	ctx := context.Background()
	chain := hostChain(t, nil, n)
	p, err := chain.Params(map[string]any{"mirostat": 2, "mirostat_tau": 3})
	if err != nil {
		t.Fatal(err)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	logits := rows(n)["normal"]
	more := func(seq uint64, from, to int) (out []int32) {
		for i := from; i < to; i++ {
			draw := uint64(i)
			id, err := chain.Sample(ctx, &plugin.Row{Logits: logits, Seq: seq, Seed: 4, Draw: &draw, Params: p})
			do(err)
			do(chain.Accept(ctx, seq, uint32(id)))
			out = append(out, id)
		}
		return out
	}
	do(chain.Begin(ctx, 1, p))
	do(chain.AcceptPrompt(ctx, 1, 9, 9, 9))
	first := more(1, 0, 60)
	do(chain.Rollback(ctx, 1, 40))
	do(chain.Fork(ctx, 2, 1))
	again, forked := more(1, 20, 60), more(2, 20, 60)
	if !slices.Equal(first[20:], again) || !slices.Equal(again, forked) {
		t.Errorf("first %v\nagain %v\nforked %v", first[20:], again, forked)
	}
	// mu has its part in it: begun anew, the same draws pick other tokens.
	do(chain.Begin(ctx, 3, p))
	if slices.Equal(more(3, 20, 60), again) {
		t.Error("mu changes nothing")
	}
}
