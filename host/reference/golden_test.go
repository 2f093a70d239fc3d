package reference_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forge/gguf"
	"forge/gguf/randmodel"
	"forge/host/reference"
)

// golden is one line of testdata/golden/*.jsonl.
type golden struct {
	Model  string
	Name   string
	Prompt []uint32 `json:"prompt_ids"`
	Exact  struct {
		Tokens []uint32
		Top    [][][2]float64
	}
}

// fed is the prompt and the tokens that lead to the given number of steps: logits of position len(Prompt)-1+s are step s.
func (g *golden) fed(steps int) []uint32 {
	return append(append([]uint32{}, g.Prompt...), g.Exact.Tokens[:steps-1]...)
}

// compare gives the largest and the mean difference between rows, one a step, and the golden logits.
func (g *golden) compare(t *testing.T, rows [][]float32) (most, mean float64) {
	t.Helper()
	n := 0
	for s, row := range rows {
		best := 0
		for i := range row {
			if row[i] > row[best] {
				best = i
			}
		}
		top := g.Exact.Top[s]
		for _, c := range top {
			diff := math.Abs(float64(row[int(c[0])]) - c[1])
			most, mean, n = max(most, diff), mean+diff, n+1
		}
		if gap := top[0][1] - top[1][1]; best != int(top[0][0]) && gap > 2*most {
			t.Errorf("%s step %d: best is %d, golden is %v with a margin of %.4f", g.Name, s, best, top[0][0], gap)
		}
	}
	return most, mean / float64(n)
}

func loadGolden(t *testing.T, file string) map[string]*golden {
	t.Helper()
	f, err := os.Open(filepath.Join("../../testdata/golden", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]*golden{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		g := new(golden)
		if err := json.Unmarshal(lines.Bytes(), g); err != nil {
			t.Fatal(err)
		}
		all[g.Name] = g
	}
	if lines.Err() != nil || len(all) == 0 {
		t.Fatal(lines.Err(), len(all))
	}
	return all
}

// openModel opens a file of the tree; the two real models are not part of it, and their tests are skipped without them.
func openModel(t *testing.T, path string) *gguf.File {
	t.Helper()
	if _, err := os.Stat(path); err != nil && strings.Contains(path, "/models/") {
		t.Skipf("no model file: %v", err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

const stories = "../../testdata/stories260K/stories260K.gguf"

type family struct {
	name, golden, model string
	forward             func(*gguf.File, []uint32) ([][]float32, error)
	most, mean          float64 // allowed differences from golden logits
}

var families = []family{
	{"llama", "smollm2.jsonl", "../../models/SmolLM2-135M-Instruct.Q4_1.gguf", reference.Llama, 0.0002, 0.00005},
	{"gemma", "gemma3.jsonl", "../../models/gemma-3-270m-q4_k_m.gguf", reference.Gemma, 0.05, 0.006},
}

func TestGolden(t *testing.T) {
	const steps = 8
	for _, c := range families {
		t.Run(c.name, func(t *testing.T) {
			f, g := openModel(t, c.model), loadGolden(t, c.golden)["prose"]
			logits, err := c.forward(f, g.fed(steps))
			if err != nil {
				t.Fatal(err)
			}
			most, mean := g.compare(t, logits[len(g.Prompt)-1:])
			t.Logf("logits differ by %.6f at most, %.6f on average", most, mean)
			if most > c.most || mean > c.mean {
				t.Errorf("logits differ by %.6f at most, %.6f on average", most, mean)
			}
		})
	}
}

// TestRandom holds forward passes without a real model in the tree to what an independent engine computes from random
// weights; testdata/random/README.md says which engine. All weights are F32.
func TestRandom(t *testing.T) {
	for name, forward := range map[string]func(*gguf.File, []uint32) ([][]float32, error){"qwen3moe": reference.QwenMoE} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name+".gguf")
			if err := randmodel.Models()[name].Write(path); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join("../../testdata/random", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var rec struct {
				Tokens []uint32
				Logits map[int][]float64
			}
			if err := json.Unmarshal(b, &rec); err != nil {
				t.Fatal(err)
			}
			logits, err := forward(openModel(t, path), rec.Tokens)
			if err != nil {
				t.Fatal(err)
			}
			most, n := 0.0, 0
			for pos, want := range rec.Logits {
				for i := range want {
					most, n = max(most, math.Abs(float64(logits[pos][i])-want[i])), n+1
				}
			}
			t.Logf("%d logits differ by %.2g at most", n, most)
			if n < 1000 || !(most < 1e-5) {
				t.Errorf("%d logits differ by %g at most", n, most)
			}
		})
	}
}

// TestStories lets the 260K model write: the text must be what llama2.c prints.
func TestStories(t *testing.T) {
	f := openModel(t, stories)
	want, err := os.ReadFile("../../testdata/stories260K/stories260K.greedy200.txt")
	if err != nil {
		t.Fatal(err)
	}
	vocab, _, err := f.Array("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := vocab.Strings()
	if err != nil {
		t.Fatal(err)
	}
	tokens, text := []uint32{1}, ""
	for range 60 {
		logits, err := reference.Llama(f, tokens)
		if err != nil {
			t.Fatal(err)
		}
		best, last := 0, logits[len(logits)-1]
		for i := range last {
			if last[i] > last[best] {
				best = i
			}
		}
		tokens = append(tokens, uint32(best))
		text += strings.ReplaceAll(pieces[best], "\u2581", " ")
	}
	if text = strings.TrimPrefix(text, " "); !strings.HasPrefix(string(want), text) || len(text) < 100 {
		t.Errorf("wrote %q", text)
	}
}

func TestRefuses(t *testing.T) {
	f := openModel(t, stories)
	for _, c := range []struct {
		name   string
		run    func(*gguf.File, []uint32) ([][]float32, error)
		tokens []uint32
		want   string
	}{
		{"other family", reference.Gemma, []uint32{1}, `reference gemma3: architecture is "llama", this is the forward pass of "gemma3"`},
		{"no tokens", reference.Llama, nil, "reference llama: no tokens"},
		{"unknown token", reference.Llama, []uint32{512}, "reference llama: tensor token_embd.weight has no row 512"},
	} {
		if _, err := c.run(f, c.tokens); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
