package main

import (
	"bufio"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"forge/host"
	"forge/host/plugin"
	"forge/kernels"
	"forge/kernels/simd"
	"forge/plugins"
)

// The numbers of an independent engine; testdata/golden/README.md says which.

type golden struct {
	Name      string   `json:"name"`
	Prompt    string   `json:"prompt"`
	PromptIDs []uint32 `json:"prompt_ids"`
	AddBOS    bool     `json:"add_bos"`
	MaxDiff   float64  `json:"max_logit_diff_exact"`
	Exact     struct {
		Tokens []uint32       `json:"tokens"`
		Gaps   []float64      `json:"gaps"`
		Top    [][][2]float64 `json:"top"`
	} `json:"exact"`
}

// realModel is a model with its bounds.
type realModel struct {
	file, golden string
	tie          float64 // exact: tokens may differ after a step whose two best logits are closer
	most, mean   float64 // exact: logit differences
	least        float64 // simd: the least of the largest differences that is allowed
	kl           float64 // simd: llama.cpp's own mean divergence from exact
}

var realModels = []realModel{
	{"SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2.jsonl", 0.005, 0.001, 0.001, 0.55, 0.0024},
	{"gemma-3-270m-q4_k_m.gguf", "gemma3.jsonl", 0.06, 0.05, 0.006, 0.9, 0.0046},
}

func root(parts ...string) string { return filepath.Join(append([]string{"..", ".."}, parts...)...) }

// testAll tells whether the long forms of tests are asked for (make test-all).
func testAll() bool { return os.Getenv("FORGE_TEST_ALL") != "" }

// modelPath finds a model; one that is missing is a failure where everything is expected, else a skip that says so.
func modelPath(t testing.TB, file string) string {
	t.Helper()
	path := root("models", file)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("FORGE_REQUIRE_SHARED") != "" {
			t.Fatalf("%s is missing: make models", path)
		}
		t.Skipf("%s is missing: make models fetches it", path)
	}
	return path
}

func (m *realModel) load(t testing.TB) []golden {
	t.Helper()
	f, err := os.Open(root("testdata", "golden", m.golden))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []golden
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var g golden
		if err := json.Unmarshal(lines.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		out = append(out, g)
	}
	return out
}

// testRuntime is shared by all tests of the package: each guest is compiled once.
var testRuntime *plugin.Runtime

func TestMain(m *testing.M) {
	if os.Getenv("FORGE_BE_FORGE") != "" {
		main()
	}
	var err error
	if testRuntime, err = plugin.NewRuntime(context.Background(), plugin.RuntimeOptions{}); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func shippedPlugins(t testing.TB) *plugin.Config {
	t.Helper()
	cfg, err := plugin.ParseConfig("default.toml", plugins.Default(), func(file string) ([]byte, error) {
		return plugins.Shipped()[file[len("shipped:"):]], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func openEngine(t testing.TB, path string, dev kernels.Device, opt host.Options) *host.Engine {
	t.Helper()
	opt.Device, opt.Runtime, opt.Plugins = dev, testRuntime, shippedPlugins(t)
	e, err := host.Open(context.Background(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// forced feeds a prompt and the recorded exact tokens and gives the logits of the steps.
func forced(t *testing.T, e *host.Engine, g *golden, f func(step int, logits []float32)) {
	t.Helper()
	n := len(g.PromptIDs)
	tokens := append(slices.Clone(g.PromptIDs), g.Exact.Tokens[:len(g.Exact.Tokens)-1]...)
	err := e.Score(context.Background(), tokens, n-1, func(pos int, logits []float32) error {
		f(pos-n+1, logits)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func argMax(v []float32) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

// Ensure that the scalar device gives the recorded tokens and logits of exact arithmetic. Every step is fed the recorded
// tokens, so each is judged by itself.
func TestGolden_Scalar(t *testing.T) {
	for _, m := range realModels {
		t.Run(m.file, func(t *testing.T) {
			e := openEngine(t, modelPath(t, m.file), kernels.Scalar{}, host.Options{})
			for _, g := range m.load(t) {
				if !testAll() && !slices.Contains([]string{"json", "emoji"}, g.Name) {
					continue
				}
				var most, sum float64
				count := 0
				forced(t, e, &g, func(step int, logits []float32) {
					if got := argMax(logits); uint32(got) != g.Exact.Tokens[step] && g.Exact.Gaps[step] >= m.tie {
						t.Errorf("%s: step %d: token %d, recorded %d with a gap of %g", g.Name, step, got, g.Exact.Tokens[step], g.Exact.Gaps[step])
					}
					if step >= len(g.Exact.Top) {
						return
					}
					for _, top := range g.Exact.Top[step] {
						d := math.Abs(float64(logits[int(top[0])]) - top[1])
						most, sum, count = max(most, d), sum+d, count+1
					}
				})
				t.Logf("%s: logits differ by %.6f at most, %.6f on average", g.Name, most, sum/float64(count))
				if most > m.most || sum/float64(count) > m.mean {
					t.Errorf("%s: logits differ by %.6f at most, %.6f on average; bounds %g, %g", g.Name, most, sum/float64(count), m.most, m.mean)
				}
			}
		})
	}
}

// Ensure that the simd device, whose activations have 8 bits, stays as near to exact arithmetic as the engine that made
// the records does with its own 8-bit activations: on all but 2 of the 24 prompts.
func TestGolden_SIMD(t *testing.T) {
	missed := 0
	for _, m := range realModels {
		t.Run(m.file, func(t *testing.T) {
			e := openEngine(t, modelPath(t, m.file), simd.New(), host.Options{})
			for _, g := range m.load(t) {
				most := 0.0
				forced(t, e, &g, func(step int, logits []float32) {
					if step >= len(g.Exact.Top) {
						return
					}
					top := g.Exact.Top[step]
					base := float64(logits[int(top[0][0])])
					for _, v := range top {
						most = max(most, math.Abs((float64(logits[int(v[0])])-base)-(v[1]-top[0][1])))
					}
				})
				bound := 1.5 * max(g.MaxDiff, m.least)
				t.Logf("%s: %.3f, bound %.3f", g.Name, most, bound)
				if most > bound {
					missed++
				}
			}
		})
	}
	if missed > 2 {
		t.Errorf("%d prompts are farther from exact arithmetic than allowed, at most 2 may be", missed)
	}
}

type textNLL struct {
	Models map[string]struct {
		IDs     []uint32  `json:"ids"`
		Exact   []float64 `json:"nll_exact"`
		MeanNLL struct {
			Exact float64 `json:"exact"`
		} `json:"mean_nll"`
	} `json:"models"`
}

func loadText(t *testing.T) textNLL {
	t.Helper()
	b, err := os.ReadFile(root("testdata", "golden", "text-nll.json"))
	if err != nil {
		t.Fatal(err)
	}
	var text textNLL
	if err := json.Unmarshal(b, &text); err != nil {
		t.Fatal(err)
	}
	return text
}

func mean(v []float64) float64 {
	m, _ := meanStddev(v)
	return m
}

// Ensure that the mean negative log-likelihood of the text is the recorded one, within 0.05 % on scalar and 0.3 % on simd,
// and that simd's distributions diverge from scalar's no more than 1.2 times what the recording engine's own 8-bit path
// diverges from its exact one. The whole text counts: its first hundred positions lie well above its mean.
func TestGolden_Text(t *testing.T) {
	text := loadText(t)
	for _, m := range realModels {
		t.Run(m.file, func(t *testing.T) {
			rec := text.Models[m.file]
			path := modelPath(t, m.file)
			scalar := openEngine(t, path, kernels.Scalar{}, host.Options{})
			fast := openEngine(t, path, simd.New(), host.Options{})
			var kl, scalarNLL, fastNLL []float64
			err := host.Divergence(context.Background(), scalar, fast, rec.IDs, func(_ int, d, p, q float64) {
				kl, scalarNLL, fastNLL = append(kl, d), append(scalarNLL, p), append(fastNLL, q)
			})
			if err != nil {
				t.Fatal(err)
			}
			want := mean(rec.Exact)
			for _, c := range []struct {
				device string
				got    float64
				bound  float64
			}{{"scalar", mean(scalarNLL), 0.0005}, {"simd", mean(fastNLL), 0.003}} {
				t.Logf("%s: mean NLL %.6f, recorded %.6f", c.device, c.got, want)
				if !(math.Abs(c.got/want-1) <= c.bound) {
					t.Errorf("%s: mean NLL %.6f, recorded %.6f: %.3f %% apart", c.device, c.got, want, 100*math.Abs(c.got/want-1))
				}
			}
			t.Logf("%d positions: mean KL %.6f", len(kl), mean(kl))
			if len(kl) != len(rec.Exact) || !(mean(kl) <= 1.2*m.kl) {
				t.Errorf("%d positions of %d: mean KL %.6f, bound %.6f", len(kl), len(rec.Exact), mean(kl), 1.2*m.kl)
			}
		})
	}
}

// Ensure that prompts get the recorded ids through the tokenizer guests, and the text its own.
func TestGolden_PromptIDs(t *testing.T) {
	text, err := os.ReadFile(root("testdata", "golden", "text.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids := loadText(t)
	for _, m := range realModels {
		t.Run(m.file, func(t *testing.T) {
			e := openEngine(t, modelPath(t, m.file), kernels.Null{}, host.Options{})
			for _, g := range m.load(t) {
				got, err := e.Tokenize(context.Background(), g.Prompt, true)
				if err != nil || !slices.Equal(got, g.PromptIDs) {
					t.Errorf("%s: ids %v, recorded %v (%v)", g.Name, got, g.PromptIDs, err)
				}
			}
			if got, err := e.Tokenize(context.Background(), string(text), true); err != nil || !slices.Equal(got, ids.Models[m.file].IDs) {
				t.Errorf("text.txt: %d ids, recorded %d (%v)", len(got), len(ids.Models[m.file].IDs), err)
			}
		})
	}
}

// Ensure that the real 1 MB model writes its reference program's text on every device, mapped or copied.
func TestStories(t *testing.T) {
	want, err := os.ReadFile(root("testdata", "stories260K", "stories260K.greedy200.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		dev  kernels.Device
		opt  host.Options
	}{
		{"scalar", kernels.Scalar{}, host.Options{}},
		{"simd", simd.New(), host.Options{}},
		{"simd, copied", simd.New(), host.Options{NoMmap: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, "stories260K.gguf", string(mustRead(t, storiesFile)))
			e := openEngine(t, path, c.dev, c.opt)
			if c.opt.NoMmap { // what becomes of the file does not matter then
				if err := os.Truncate(path, 0); err != nil {
					t.Fatal(err)
				}
			}
			prompt, err := e.Tokenize(context.Background(), "", true)
			if err != nil {
				t.Fatal(err)
			}
			res, err := e.Generate(context.Background(), &host.Request{Prompt: prompt, MaxTokens: 200, Samplers: []string{"greedy"}})
			if err != nil {
				t.Fatal(err)
			}
			if got := trim(res.Text); got != trim(string(want)) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// trim takes off what the reference program adds or leaves out at the ends: a blank before, a line end after.
func trim(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\n') {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
	}
	return s
}
