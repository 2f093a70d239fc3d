// Package test checks the shipped tokenizer guests against ids that the models' own tokenizers, llama.cpp or an
// independent implementation in this folder's tests gave.
package test

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// published lists the vocabularies with test strings and the guest that serves each.
var published = []struct{ name, guest string }{
	{"llama-spm", "spm"}, {"phi-3", "spm"},
	{"gpt-2", "bpe"}, {"falcon", "bpe"}, {"starcoder", "bpe"}, {"deepseek-llm", "bpe"},
}

// readCases reads the test strings of a published vocabulary and their ids.
func readCases(t testing.TB, name string) (texts []string, ids [][]uint32) {
	t.Helper()
	in, err := os.ReadFile(shared(t, "vocab/"+name+".gguf.inp"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(shared(t, "vocab/"+name+".gguf.out"))
	if err != nil {
		t.Fatal(err)
	}
	texts = strings.Split(string(in), "\n__ggml_vocab_test__\n")
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(texts) == len(lines)+1 && texts[len(lines)] == "" {
		texts = texts[:len(lines)]
	}
	if len(texts) != len(lines) {
		t.Fatalf("%s: %d texts, %d lines of ids", name, len(texts), len(lines))
	}
	for _, line := range lines {
		row := []uint32{}
		for _, s := range strings.Fields(line) {
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, uint32(n))
		}
		ids = append(ids, row)
	}
	return texts, ids
}

// Every test string gives the ids of the model's own tokenizer: whole, cut at every place, and cut at random with little
// room for ids; and the ids give the text again.
func TestPublishedVocabularies(t *testing.T) {
	for _, p := range published {
		t.Run(p.name, func(t *testing.T) {
			v := readVocabulary(t, shared(t, "vocab/"+p.name+".gguf"))
			g := load(t, p.guest, v, 1<<16, 1<<16)
			texts, want := readCases(t, p.name)
			rng := rand.New(rand.NewPCG(1, 2))
			for i, text := range texts {
				if got := g.mustEncode(t, text, false); !slices.Equal(got, want[i]) {
					t.Errorf("%q\n got %v\nwant %v", text, got, want[i])
					continue
				}
				for cut := range len(text) {
					sizes := []int{cut, len(text)}
					next := func() int { n := sizes[0]; sizes = sizes[min(1, len(sizes)-1):]; return n }
					if got, err := g.encode(t, text, false, next, 1000); err != nil || !slices.Equal(got, want[i]) {
						t.Errorf("%q cut at %d\n got %v %v\nwant %v", text, cut, got, err, want[i])
						break
					}
				}
				for range 20 {
					if got, err := g.encode(t, text, false, func() int { return rng.IntN(9) }, 1+rng.IntN(4)); err != nil || !slices.Equal(got, want[i]) {
						t.Errorf("%q in random pieces\n got %v %v\nwant %v", text, got, err, want[i])
						break
					}
				}
				if got, _, err := g.decode(t, want[i], false, 1+rng.IntN(4), 8+rng.IntN(9)); err != nil || got != text {
					t.Errorf("%q decodes to %q, %v", text, got, err)
				}
			}
		})
	}
}

// The prompts of the golden files, special tokens parsed, and the long text.
func TestGolden(t *testing.T) {
	for _, m := range []struct{ file, jsonl, guest string }{
		{"SmolLM2-135M-Instruct.Q4_1.gguf", "golden/smollm2.jsonl", "bpe"},
		{"gemma-3-270m-q4_k_m.gguf", "golden/gemma3.jsonl", "spm"},
	} {
		t.Run(m.guest, func(t *testing.T) {
			v := readVocabulary(t, model(t, m.file))
			g := load(t, m.guest, v, 1<<16, 1<<18)
			file, err := os.Open(shared(t, m.jsonl))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			n, s := 0, bufio.NewScanner(file)
			for s.Buffer(nil, 1<<24); s.Scan(); n++ {
				var row struct {
					Name, Prompt string
					AddBOS       bool     `json:"add_bos"`
					PromptIDs    []uint32 `json:"prompt_ids"`
				}
				if err := json.Unmarshal(s.Bytes(), &row); err != nil {
					t.Fatal(err)
				}
				want := row.PromptIDs
				if row.AddBOS {
					want = want[1:]
				}
				if got := g.mustEncode(t, row.Prompt, true); !slices.Equal(got, want) {
					t.Errorf("%s: %q\n got %v\nwant %v", row.Name, row.Prompt, got, want)
				}
			}
			if n != 12 {
				t.Errorf("%d prompts, want 12", n)
			}
			text, err := os.ReadFile(shared(t, "golden/text.txt"))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(shared(t, "golden/text-nll.json"))
			if err != nil {
				t.Fatal(err)
			}
			var nll struct {
				Models map[string]struct {
					IDs    []uint32 `json:"ids"`
					AddBOS bool     `json:"add_bos"`
				} `json:"models"`
			}
			if err := json.Unmarshal(raw, &nll); err != nil {
				t.Fatal(err)
			}
			want := nll.Models[m.file].IDs
			if nll.Models[m.file].AddBOS {
				want = want[1:]
			}
			if got := g.mustEncode(t, string(text), false); !slices.Equal(got, want) {
				t.Errorf("text.txt: %d ids, want %d", len(got), len(want))
			}
		})
	}
}
