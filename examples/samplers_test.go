package examples_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"forge/host"
	"forge/host/plugin"
	"forge/kernels/simd"
)

// openWith is open with the grants that the module's manifest asks for.
func openWith(t *testing.T, model, module string, grants ...string) *host.Engine {
	t.Helper()
	wasm, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	m, err := plugin.ReadManifest(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return openSpec(t, model, plugin.Spec{Name: m.Name, Kind: m.Kind, Wasm: wasm, Grants: grants}, simd.New())
}

// Ensure that the detector finds the mark in marked texts alone, and only with their key.
func TestWatermark(t *testing.T) {
	e := openWith(t, stories, "sampler-watermark/watermark.wasm", "history")
	ctx := context.Background()
	prompt, err := e.Tokenize(ctx, "Once upon", true)
	if err != nil {
		t.Fatal(err)
	}
	detect := filepath.Join(t.TempDir(), "detect")
	if out, err := exec.Command("go", "build", "-o", detect, "./sampler-watermark/detect").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := regexp.MustCompile(`^green \d+ of (\d+), z (-?[0-9.]+),`)
	z := func(tokens []uint32, key string, gamma float64) (z float64, marked bool) {
		t.Helper()
		cmd := exec.Command(detect, "-key", key, "-gamma", strconv.FormatFloat(gamma, 'g', -1, 64))
		cmd.Stdin = strings.NewReader(fmt.Sprintln(tokens))
		out, err := cmd.Output()
		m := found.FindStringSubmatch(string(out))
		if m == nil {
			t.Fatalf("%q, %v", out, err)
		}
		z, _ = strconv.ParseFloat(m[2], 64)
		return z, err == nil
	}
	for _, gamma := range []float64{0.25, 0.5} {
		generate := func(key, seed int) []uint32 {
			t.Helper()
			res, err := e.Generate(ctx, &host.Request{Prompt: prompt, MaxTokens: 400, IgnoreEOS: true, Seed: uint64(seed), Samplers: []string{"watermark", "temperature", "dist"},
				Settings: map[string]any{"watermark_key": key, "watermark_gamma": gamma, "watermark_delta": 3, "temp": 1.2}})
			if err != nil {
				t.Fatal(err)
			}
			return res.Tokens
		}
		for seed := range 3 {
			with, without := generate(42, seed), generate(0, seed)
			if z, marked := z(with, "42", gamma); z < 6 || !marked {
				t.Errorf("gamma %v: the marked text has z %v", gamma, z)
			}
			for name, c := range map[string]struct {
				tokens []uint32
				key    string
			}{"marked text, another key": {with, "43"}, "text without mark": {without, "42"}} {
				if z, marked := z(c.tokens, c.key, gamma); math.Abs(z) > 3.9 || marked {
					t.Errorf("gamma %v: %s has z %v", gamma, name, z)
				}
			}
		}
	}
	cmd := exec.Command(detect, "-key", "1")
	cmd.Stdin = strings.NewReader("1 2 three")
	if out, err := cmd.CombinedOutput(); err == nil || string(out) != "detect: \"three\" is not a token id\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// Ensure that the entropy sampler scales each table by its formula.
func TestEntropy(t *testing.T) {
	const n = 50
	chain := sampleChain(t, "sampler-entropy/entropy.wasm", n, "entropy", "dist")
	rng := rand.New(rand.NewPCG(4, 4))
	for round := range 60 {
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = float32(rng.NormFloat64() * float64(round%7))
			if round%5 == 1 && i%3 == 0 {
				logits[i] = float32(math.Inf(-1))
			}
		}
		top, theta := 0.2+2*rng.Float64(), 3*rng.Float64()
		top, theta = float64(float32(top)), float64(float32(theta))
		p, err := chain.Params(map[string]any{"entropy_temp": top, "entropy_theta": theta})
		if err != nil {
			t.Fatal(err)
		}
		sum, entropy := 0.0, 0.0
		for _, x := range logits {
			sum += math.Exp(float64(x))
		}
		for _, x := range logits {
			if q := math.Exp(float64(x)) / sum; q > 0 {
				entropy -= q * math.Log(q)
			}
		}
		at := math.Max(1e-4, top*math.Pow(0.8, theta/entropy))
		chain.Observe(func(o plugin.Observation) {
			if o.Entry != "entropy" {
				return
			}
			for i, x := range o.Logits {
				want := float64(logits[i]) / at
				if math.Abs(float64(x)-want) > 1e-6*math.Abs(want) && float64(x) != want {
					t.Fatalf("entropy %v: %v becomes %v, want %v", entropy, logits[i], x, want)
				}
			}
		})
		if _, err := chain.Sample(context.Background(), &plugin.Row{Logits: logits, Params: p}); err != nil {
			t.Fatal(err)
		}
	}
}

// sampleChain opens a chain of a module's entries and shipped ones.
func sampleChain(t *testing.T, module string, nVocab int, names ...string) *plugin.Chain {
	t.Helper()
	ctx := context.Background()
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close(ctx) })
	var mods []*plugin.Module
	for _, file := range []string{module, "../plugins/sampler/sampler.wasm"} {
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := plugin.ReadManifest(wasm)
		if err != nil {
			t.Fatal(err)
		}
		m, err := rt.Load(ctx, plugin.Spec{Name: manifest.Name, Kind: "sampler", Wasm: wasm, Grants: manifest.Grants, Limits: plugin.Limits{Fuel: 4}})
		if err != nil {
			t.Fatal(err)
		}
		mods = append(mods, m)
	}
	entries, err := plugin.Resolve(mods, names)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := rt.NewChain(ctx, entries, nVocab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chain.Close)
	return chain
}
