package main

import (
	"context"
	"encoding/json"
	"maps"
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

// Ensure that a batch's answers have what forge run prints: the model's log probabilities, and by post_sampling_probs those
// that the sampler picked by.
func TestChances_Batch(t *testing.T) {
	var want struct {
		Tokens   []uint32
		Logprobs [][][2]float64
		Chances  []struct {
			Logprob float64
			Top     [][2]float64
		}
	}
	o := forge(t, "", "run", "-m", storiesFile, "-p", "Once upon", "--raw", "-n", "12", "--ignore-eos", "--seed", "7", "--mirostat", "2", "--mirostat-ent", "2",
		"--json", "--chances", "2", "--logprobs", "50").must(t)
	if err := json.Unmarshal([]byte(o.out), &want); err != nil {
		t.Fatal(err)
	}
	const fields = `"max_tokens":12,"ignore_eos":true,"seed":7,"mirostat":2,"mirostat_tau":2`
	prompt := `"prompt":"Once upon",` + fields
	in := write(t, "in.jsonl", strings.Join([]string{
		`{"custom_id":"model","method":"POST","url":"/v1/completions","body":{` + prompt + `,"logprobs":2}}`,
		`{"custom_id":"sampler","method":"POST","url":"/v1/completions","body":{` + prompt + `,"logprobs":2,"post_sampling_probs":true}}`,
		`{"custom_id":"chat","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Once upon"}],` + fields +
			`,"logprobs":true,"top_logprobs":2,"post_sampling_probs":true}}`,
		`{"custom_id":"alone","method":"POST","url":"/v1/completions","body":{` + prompt + `,"post_sampling_probs":true}}`,
	}, "\n"))
	template := write(t, "template.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}") // a chat of the same prompt
	o = forge(t, "", "batch", "-m", storiesFile, "-i", in, "-o", "-", "--chat-template-file", template).must(t)
	var chances, top, model []float64
	for i, c := range want.Chances {
		chances, top = append(chances, c.Logprob), append(top, c.Top[0][1])
		for _, l := range want.Logprobs[i] {
			if uint32(l[0]) == want.Tokens[i] {
				model = append(model, l[1])
			}
		}
	}
	if len(chances) != 12 || len(model) != 12 || slices.Equal(chances, model) {
		t.Fatalf("the sampler picked by %v, the model says %v", chances, model)
	}
	for _, line := range strings.Split(strings.TrimSpace(o.out), "\n") {
		var a struct {
			CustomID string `json:"custom_id"`
			Response struct {
				StatusCode int `json:"status_code"`
				Body       struct {
					Error   struct{ Message string }
					Choices []struct {
						Logprobs struct {
							TokenLogprobs []float64            `json:"token_logprobs"`
							TopLogprobs   []map[string]float64 `json:"top_logprobs"`
							Content       []struct {
								Logprob     float64
								TopLogprobs []struct{ Logprob float64 } `json:"top_logprobs"`
							}
						}
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err, line)
		}
		body := a.Response.Body
		if a.CustomID == "alone" {
			if a.Response.StatusCode != 400 || !strings.Contains(body.Error.Message, "needs") {
				t.Errorf("chances without logprobs: %s", line)
			}
			continue
		}
		if len(body.Choices) != 1 {
			t.Fatal(line)
		}
		l := body.Choices[0].Logprobs
		got, best, expect := l.TokenLogprobs, []float64(nil), chances
		for _, m := range l.TopLogprobs {
			best = append(best, slices.Max(slices.Collect(maps.Values(m))))
		}
		for _, c := range l.Content {
			got, best = append(got, c.Logprob), append(best, c.TopLogprobs[0].Logprob)
		}
		if a.CustomID == "model" {
			expect = model
		} else if !slices.Equal(best, top) {
			t.Errorf("%s: the likeliest have %v, want %v", a.CustomID, best, top)
		}
		if !slices.Equal(got, expect) {
			t.Errorf("%s: %v, want %v", a.CustomID, got, expect)
		}
	}
}
