// Package examples_test builds and runs what a third party copies.
package examples_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"forge/gguf"
	"forge/host"
	"forge/host/plugin"
	"forge/kernels"
	"forge/kernels/simd"
	"forge/plugins"
)

// open opens a model with the shipped plugins and, before them, one module of the examples.
func open(t *testing.T, model, module string, dev kernels.Device) *host.Engine {
	t.Helper()
	wasm, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	m, err := plugin.ReadManifest(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return openSpec(t, model, plugin.Spec{Name: m.Name, Kind: m.Kind, Wasm: wasm}, dev)
}

func openSpec(t *testing.T, model string, spec plugin.Spec, dev kernels.Device) *host.Engine {
	t.Helper()
	ctx := context.Background()
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := plugin.ParseConfig("default.toml", plugins.Default(), func(file string) ([]byte, error) {
		return plugins.Shipped()[file[len("shipped:"):]], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Plugins = append([]plugin.Spec{spec}, cfg.Plugins...)
	e, err := host.Open(ctx, model, host.Options{Device: dev, Runtime: rt, Plugins: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		rt.Close(ctx)
	})
	return e
}

// Ensure that the committed modules in C are what their sources give, where the compiler is the recorded one.
func TestBuild(t *testing.T) {
	out, err := exec.Command("clang-19", "--version").Output()
	if err != nil || !bytes.Contains(out, []byte("19.1.7")) {
		t.Skip("clang 19.1.7, which the committed modules were built with, is not here")
	}
	for _, source := range []string{"sampler-c/margin.c", "sampler-watermark/watermark.c", "sampler-entropy/entropy.c", "arch-c/parallel.c", "tokenizer-bytes/bytes.c", "constraint-move/move.c", "router-record/record.c", "router-balance/balance.c"} {
		name := strings.TrimSuffix(source, ".c") + ".wasm"
		file := filepath.Join(t.TempDir(), "guest.wasm")
		if out, err := exec.Command("../plugins/sdk/c/build.sh", source, file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		fresh(t, name, file)
	}
}

// Ensure that the committed module in Rust is what its source gives with Debian's compiler. Its core library takes a while to build.
func TestBuild_Rust(t *testing.T) {
	out, err := exec.Command("/usr/bin/rustc", "--version").Output()
	if err != nil || !bytes.HasPrefix(out, []byte("rustc 1.96.0 ")) {
		t.Skip("Debian's rustc 1.96, which the committed module was built with, is not here")
	}
	if os.Getenv("FORGE_TEST_ALL") == "" {
		t.Skip("set FORGE_TEST_ALL")
	}
	file := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("../plugins/sdk/rust/build.sh", "sampler-rust", file)
	cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fresh(t, "sampler-rust/margin.wasm", file)
}

// Ensure that the committed module in AssemblyScript is what its source gives with the compiler that package.json names.
func TestBuild_AssemblyScript(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if os.Getenv("FORGE_TEST_ALL") == "" || err != nil {
		t.Skip("set FORGE_TEST_ALL: npm fetches the compiler")
	}
	dir := t.TempDir()
	text, err := os.ReadFile("sampler-assemblyscript/package.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", dir)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("../plugins/sdk/assemblyscript/build.sh", "sampler-assemblyscript/margin.ts", file)
	cmd.Env = append(os.Environ(), "ASC="+filepath.Join(dir, "node_modules", ".bin", "asc"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(file, stamped(t, "sampler-assemblyscript", file), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh(t, "sampler-assemblyscript/margin.wasm", file)
}

// fresh compares a committed module with one just built.
func fresh(t *testing.T, name, built string) {
	t.Helper()
	a, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(built)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s is not what its source gives: run examples/build.sh %s", name, filepath.Dir(name))
	}
}

const stories = "../testdata/stories260K/stories260K.gguf"

// Ensure that a third party's sampler works in the chain: with a margin of 0 only the best is left.
func TestMargin(t *testing.T) {
	e := open(t, stories, "sampler-c/margin.wasm", simd.New())
	ctx := context.Background()
	prompt, err := e.Tokenize(ctx, "Once upon", true)
	if err != nil {
		t.Fatal(err)
	}
	run := func(samplers []string, settings map[string]any) string {
		res, err := e.Generate(ctx, &host.Request{Prompt: prompt, MaxTokens: 40, Samplers: samplers, Settings: settings, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		return res.Text
	}
	greedy := run([]string{"greedy"}, nil)
	for _, chain := range [][]string{{"margin", "dist"}, {"top_k", "margin", "top_p", "dist"}} {
		if got := run(chain, map[string]any{"margin": 0}); got != greedy {
			t.Errorf("%v: %q, greedy gives %q", chain, got, greedy)
		}
	}
	if run([]string{"margin", "dist"}, map[string]any{"margin": 50}) == greedy {
		t.Error("a margin of 50 draws like greedy")
	}
}

// Sizes of the random model; none is a power of two or a multiple of another by accident.
const (
	nEmbd, nHead, nHeadKV, headDim, nFF, nLayer, nVocab = 36, 6, 2, 6, 52, 3, 512
	eps                                                 = 1e-3
)

// randomModel writes a file of the architecture "parallel" with the vocabulary of stories260K and gives its tensors.
func randomModel(t *testing.T) (path string, tensors map[string][]float32) {
	t.Helper()
	f, err := gguf.Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := gguf.NewWriter()
	w.Set("general.architecture", "parallel")
	for key, v := range map[string]uint32{
		"context_length": 128, "embedding_length": nEmbd, "block_count": nLayer, "attention.head_count": nHead, "attention.head_count_kv": nHeadKV,
		"attention.key_length": headDim, "attention.value_length": headDim,
	} {
		w.Set("parallel."+key, v)
	}
	w.Set("parallel.attention.layer_norm_epsilon", float32(eps))
	for _, key := range f.Keys {
		if len(key) > 10 && key[:10] == "tokenizer." {
			v, _ := f.Get(key)
			w.Set(key, v)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	tensors = map[string][]float32{}
	add := func(name string, dims ...uint64) {
		n := uint64(1)
		for _, d := range dims {
			n *= d
		}
		x, data := make([]float32, n), make([]byte, 4*n)
		for i := range x {
			x[i] = float32(rng.NormFloat64() * 0.3)
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x[i]))
		}
		tensors[name] = x
		w.AddTensor(name, gguf.F32, dims, data)
	}
	add("token_embd.weight", nEmbd, nVocab)
	add("output.weight", nEmbd, nVocab)
	add("output_norm.weight", nEmbd)
	add("output_norm.bias", nEmbd)
	for i := range nLayer {
		p := "blk." + string(rune('0'+i)) + "."
		add(p+"attn_norm.weight", nEmbd)
		add(p+"attn_norm.bias", nEmbd)
		add(p+"attn_q.weight", nEmbd, nHead*headDim)
		add(p+"attn_k.weight", nEmbd, nHeadKV*headDim)
		add(p+"attn_v.weight", nEmbd, nHeadKV*headDim)
		add(p+"attn_output.weight", nHead*headDim, nEmbd)
		add(p+"ffn_up.weight", nEmbd, nFF)
		add(p+"ffn_down.weight", nFF, nEmbd)
	}
	path = filepath.Join(t.TempDir(), "parallel.gguf")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(out); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path, tensors
}

// formula is the architecture in float64, as its guest's first comment has it.
func formula(w map[string][]float32, tokens []uint32) [][]float64 {
	x := make([][]float64, len(tokens))
	for i, t := range tokens {
		x[i] = widen(w["token_embd.weight"][int(t)*nEmbd : (int(t)+1)*nEmbd])
	}
	for il := range nLayer {
		p := "blk." + string(rune('0'+il)) + "."
		var q, k, v, ff [][]float64
		for i := range x {
			h := layerNorm(x[i], w[p+"attn_norm.weight"], w[p+"attn_norm.bias"])
			q, k, v = append(q, times(w[p+"attn_q.weight"], h)), append(k, times(w[p+"attn_k.weight"], h)), append(v, times(w[p+"attn_v.weight"], h))
			up := times(w[p+"ffn_up.weight"], h)
			for j, u := range up {
				up[j] = u / 2 * (1 + math.Erf(u/math.Sqrt2))
			}
			ff = append(ff, times(w[p+"ffn_down.weight"], up))
		}
		for i := range x {
			y := make([]float64, nHead*headDim)
			for h := range nHead {
				kv := h / (nHead / nHeadKV) * headDim
				total := 0.0
				for j := 0; j <= i; j++ {
					score := 0.0
					for d := range headDim {
						score += q[i][h*headDim+d] * k[j][kv+d]
					}
					e := math.Exp(score / math.Sqrt(headDim))
					total += e
					for d := range headDim {
						y[h*headDim+d] += e * v[j][kv+d]
					}
				}
				for d := range headDim {
					y[h*headDim+d] /= total
				}
			}
			for d, a := range times(w[p+"attn_output.weight"], y) {
				x[i][d] += a + ff[i][d]
			}
		}
	}
	var logits [][]float64
	for i := range x {
		logits = append(logits, times(w["output.weight"], layerNorm(x[i], w["output_norm.weight"], w["output_norm.bias"])))
	}
	return logits
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func times(w []float32, x []float64) []float64 {
	y := make([]float64, len(w)/len(x))
	for i := range y {
		for j, v := range x {
			y[i] += float64(w[i*len(x)+j]) * v
		}
	}
	return y
}

func layerNorm(x []float64, weight, bias []float32) []float64 {
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / nEmbd
	}
	for _, v := range x {
		square += (v - mean) * (v - mean) / nEmbd
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v-mean)/math.Sqrt(square+eps)*float64(weight[i]) + float64(bias[i])
	}
	return y
}

// Ensure that an architecture that forge has never heard of runs on both devices as its formula says.
func TestParallel(t *testing.T) {
	path, tensors := randomModel(t)
	tokens := []uint32{1, 400, 17, 3, 255, 511, 40, 41, 42, 43, 9, 77}
	for len(tokens) < 70 {
		tokens = append(tokens, uint32(len(tokens)*37%nVocab))
	}
	want := formula(tensors, tokens)
	for _, c := range []struct {
		dev   kernels.Device
		bound float64
	}{{kernels.Scalar{}, 1e-4}, {simd.New(), 1e-2}} {
		t.Run(c.dev.Name(), func(t *testing.T) {
			e := open(t, path, "arch-c/parallel.wasm", c.dev)
			most := 0.0
			err := e.Score(context.Background(), tokens, 0, func(pos int, logits []float32) error {
				for i, l := range logits {
					most = max(most, math.Abs(float64(l)-want[pos][i]))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("logits differ by %.2g at most", most)
			if !(most < c.bound) {
				t.Errorf("logits differ by %g, bound %g", most, c.bound)
			}
		})
	}
}
