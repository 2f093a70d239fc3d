package main

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"forge/host"
	"forge/kernels/simd"
)

// Ensure that a request for chances gives for each token what it was picked by: the softmax of the row's logits as the
// samplers before the last left them.
func TestChances(t *testing.T) {
	e := openEngine(t, storiesFile, simd.New(), host.Options{})
	ctx := context.Background()
	prompt, err := e.Tokenize(ctx, "Once upon a time", true)
	if err != nil {
		t.Fatal(err)
	}
	const k, temp = 6, 1.5
	var rows [][]float32
	req := &host.Request{Prompt: prompt, MaxTokens: 30, IgnoreEOS: true, Seed: 5, Samplers: []string{"top_k", "temperature", "dist"},
		Settings: map[string]any{"top_k": k, "temp": temp}, Chances: 4, Logprobs: 1,
		OnLogits: func(l []float32) { rows = append(rows, slices.Clone(l)) }}
	res, err := e.Generate(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Chances) != 30 || len(rows) != 30 {
		t.Fatalf("%d chances for %d rows", len(res.Chances), len(rows))
	}
	unlikely := 0
	for i, c := range res.Chances {
		id := res.Tokens[i]
		if got, want := res.TokenLogprobs[i], float64(rows[i][id])-host.LogSumExp(rows[i]); math.Abs(got-want) > 1e-9 {
			t.Errorf("token %d has the log probability %v, want %v", i, got, want)
		}
		if res.Logprobs[i][0].ID != id {
			unlikely++
		}
		best := make([]uint32, len(rows[i]))
		for id := range best {
			best[id] = uint32(id)
		}
		slices.SortStableFunc(best, func(a, b uint32) int {
			switch x, y := rows[i][a], rows[i][b]; {
			case x > y:
				return -1
			case x < y:
				return 1
			}
			return 0
		})
		sum := 0.0
		for _, id := range best[:k] {
			sum += math.Exp(float64(rows[i][id]) / temp)
		}
		logprob := func(id uint32) float64 { return float64(rows[i][id])/temp - math.Log(sum) }
		if math.Abs(c.Logprob-logprob(res.Tokens[i])) > 1e-4 || len(c.Top) != 4 {
			t.Fatalf("token %d was picked by %v, want %v; %v", i, c.Logprob, logprob(res.Tokens[i]), c.Top)
		}
		for n, l := range c.Top {
			if l.ID != best[n] || math.Abs(l.Logprob-logprob(best[n])) > 1e-4 {
				t.Fatalf("token %d: the most probable are %v, want %d by %v", i, c.Top, best[n], logprob(best[n]))
			}
		}
	}

	if unlikely == 0 {
		t.Error("every token was the likeliest")
	}

	silent := shippedPlugins(t)
	for i := range silent.Plugins {
		p := &silent.Plugins[i]
		p.Grants = slices.DeleteFunc(slices.Clone(p.Grants), func(g string) bool { return g == "logprobs" })
	}
	e, err = host.Open(ctx, storiesFile, host.Options{Device: simd.New(), Runtime: testRuntime, Plugins: silent})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Generate(ctx, req); err == nil || !strings.Contains(err.Error(), "does not tell the probabilities that it picks by") {
		t.Errorf("a sampler that tells nothing: %v", err)
	}
}

// Ensure that Mirostat tells its own: the softmax of the candidates whose surprise is at most mu, which each pick moves.
func TestChances_Mirostat(t *testing.T) {
	e := openEngine(t, storiesFile, simd.New(), host.Options{})
	ctx := context.Background()
	prompt, err := e.Tokenize(ctx, "Once upon a time", true)
	if err != nil {
		t.Fatal(err)
	}
	const tau, eta, temp = 2.0, 0.3, 1.5
	var rows [][]float32
	res, err := e.Generate(ctx, &host.Request{Prompt: prompt, MaxTokens: 30, IgnoreEOS: true, Seed: 5, Samplers: []string{"mirostat"},
		Settings: map[string]any{"mirostat": 2, "mirostat_tau": tau, "mirostat_eta": eta, "temp": temp}, Chances: 3,
		OnLogits: func(l []float32) { rows = append(rows, slices.Clone(l)) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Chances) != 30 || len(rows) != 30 {
		t.Fatalf("%d chances for %d rows", len(res.Chances), len(rows))
	}
	mu, listed := 2*tau, 0
	for i, c := range res.Chances {
		all := 0.0
		for _, l := range rows[i] {
			all += math.Exp(float64(l) / temp)
		}
		kept := 0.0
		for _, l := range rows[i] {
			if p := math.Exp(float64(l)/temp) / all; -math.Log2(p) <= mu {
				kept += p
			}
		}
		logprob := func(id uint32) float64 { return float64(rows[i][id])/temp - math.Log(all) - math.Log(kept) }
		if math.Abs(c.Logprob-logprob(res.Tokens[i])) > 1e-3 {
			t.Fatalf("token %d was picked by %v, want %v", i, c.Logprob, logprob(res.Tokens[i]))
		}
		for _, l := range c.Top {
			listed++
			if math.Abs(l.Logprob-logprob(l.ID)) > 1e-3 {
				t.Fatalf("token %d: candidate %d has %v, want %v", i, l.ID, l.Logprob, logprob(l.ID))
			}
		}
		mu -= eta * (-logprob(res.Tokens[i])/math.Ln2 - tau)
	}
	if listed < 40 {
		t.Errorf("only %d candidates are listed", listed)
	}
}

// Ensure that forge run --chances prints them, and says what it needs.
func TestChances_CLI(t *testing.T) {
	run := []string{"run", "-m", storiesFile, "-p", "Once upon", "--raw", "-n", "9", "--ignore-eos", "--seed", "7"}
	o := forge(t, "", append(run, "--json", "--chances", "2", "--logprobs", "1")...).must(t)
	var r struct {
		Tokens  []uint32
		Chances []struct {
			Logprob float64
			Top     [][2]float64
		}
	}
	if err := json.Unmarshal([]byte(o.out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Tokens) != 9 || len(r.Chances) != 9 {
		t.Fatalf("%d chances for %d tokens", len(r.Chances), len(r.Tokens))
	}
	for i, c := range r.Chances {
		if c.Logprob > 0 || len(c.Top) < 1 || len(c.Top) > 2 {
			t.Errorf("token %d: %+v", i, c)
		}
		for _, l := range c.Top {
			if uint32(l[0]) == r.Tokens[i] && l[1] != c.Logprob {
				t.Errorf("token %d has %v in the list and %v", i, l[1], c.Logprob)
			}
		}
	}
	if o := forge(t, "", append(run, "--chances", "2")...); o.status == 0 || !strings.Contains(o.err, "--chances takes a number of 1 to 128 and needs --json") {
		t.Errorf("without --json: %d, %s", o.status, o.err)
	}
}
