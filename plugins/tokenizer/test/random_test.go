package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// subject is a vocabulary with its guest and its reference.
type subject struct {
	name, guest string
	path        func(t testing.TB) string
	reference   func(v *vocabulary) reference
}

var subjects = []subject{
	{"gemma", "spm", func(t testing.TB) string { return model(t, "gemma-3-270m-q4_k_m.gguf") }, spmRef},
	{"llama-spm", "spm", func(t testing.TB) string { return shared(t, "vocab/llama-spm.gguf") }, spmRef},
	{"phi-3", "spm", func(t testing.TB) string { return shared(t, "vocab/phi-3.gguf") }, spmRef},
	{"smollm2", "bpe", func(t testing.TB) string { return model(t, "SmolLM2-135M-Instruct.Q4_1.gguf") }, bpeRef},
	{"gpt-2", "bpe", func(t testing.TB) string { return shared(t, "vocab/gpt-2.gguf") }, bpeRef},
	{"falcon", "bpe", func(t testing.TB) string { return shared(t, "vocab/falcon.gguf") }, bpeRef},
	{"starcoder", "bpe", func(t testing.TB) string { return shared(t, "vocab/starcoder.gguf") }, bpeRef},
	{"deepseek-llm", "bpe", func(t testing.TB) string { return shared(t, "vocab/deepseek-llm.gguf") }, bpeRef},
}

func spmRef(v *vocabulary) reference { return newSPMReference(v) }
func bpeRef(v *vocabulary) reference { return newBPEReference(v) }

// randomText joins pieces of several kinds, so that tokens, special tokens, scripts and broken bytes meet.
func randomText(rng *rand.Rand, v *vocabulary, broken bool) string {
	var b strings.Builder
	for range 1 + rng.IntN(12) {
		switch rng.IntN(13) {
		case 0, 1, 2:
			b.WriteString(strings.NewReplacer("\u2581", " ", "Ġ", " ", "Ċ", "\n").Replace(v.texts[rng.IntN(len(v.texts))]))
		case 3:
			for range rng.IntN(40) {
				b.WriteByte(" \n\t\r"[rng.IntN(4)])
			}
		case 4:
			b.WriteString(strings.Repeat([]string{" ", "\n", "a", "=", "ab", "é", "1"}[rng.IntN(7)], rng.IntN(90)))
		case 5:
			for range rng.IntN(10) {
				b.WriteRune(rune(rng.IntN(0x3000)))
			}
		case 6:
			r := rune(rng.IntN(0x110000))
			if !utf8.ValidRune(r) {
				r = '€'
			}
			b.WriteRune(r)
		case 7:
			b.WriteString([]string{"'s", "'re", "'LL", "don't", " 've", "''d", "\u2581", "\u00a0", "\u3000", "\u0085", "\u2028"}[rng.IntN(11)])
		case 8:
			for range rng.IntN(12) {
				b.WriteByte("0123456789"[rng.IntN(10)])
			}
		case 9:
			for range rng.IntN(8) {
				b.WriteRune(rune(0x4E00 + rng.IntN(0x5200)))
			}
		case 10:
			b.WriteString([]string{"<s>", "</s>", "<bos>", "<|im_start|>", "<|im_end|>", "<start_of_turn>", "<unused12>", "<unused", "[PAD100015]", "<|end|>", "<|user|>", "<|end|>\n", "<0x41>", "<", "||"}[rng.IntN(15)])
		case 11:
			for range rng.IntN(20) {
				b.WriteByte(byte(33 + rng.IntN(94)))
			}
		case 12:
			if broken {
				for range 1 + rng.IntN(5) {
					b.WriteByte(byte(128 + rng.IntN(128)))
				}
			}
		}
	}
	return b.String()
}

// Random texts, whole and in random pieces with little room, give the reference's ids, and decode to themselves if valid.
func TestRandomTexts(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			v := readVocabulary(t, s.path(t))
			compareRandom(t, s.guest, v, s.reference(v), 400)
		})
	}
}

// Every pre-tokenizer on the words of a vocabulary that was made for another.
func TestPreTokenizers(t *testing.T) {
	v := readVocabulary(t, shared(t, "vocab/gpt-2.gguf"))
	for pre := range expressions {
		t.Run(pre, func(t *testing.T) {
			w := *v
			w.pre = pre
			compareRandom(t, "bpe", &w, newBPEReference(&w), 1500)
		})
	}
}

func compareRandom(t *testing.T, guest string, v *vocabulary, ref reference, rounds int) {
	t.Helper()
	if testing.Short() {
		rounds /= 10
	}
	g := load(t, guest, v, 1<<16, 1<<16)
	rng := rand.New(rand.NewPCG(7, 11))
	for range rounds {
		text := randomText(rng, v, rng.IntN(4) == 0)
		special := rng.IntN(2) == 0
		want := ref.encode(text, special)
		if got := g.mustEncode(t, text, special); !slices.Equal(got, want) {
			t.Fatalf("%q special %v\n got %v\nwant %v", text, special, got, want)
		}
		most := 1 + rng.IntN(20)
		got, err := g.encode(t, text, special, func() int { return rng.IntN(most) + rng.IntN(2) }, 1+rng.IntN(4))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q special %v in pieces\n got %v %v\nwant %v", text, special, got, err, want)
		}
		if back, ok := plain(v, ref, text); ok && !special {
			if got, _, err := g.decode(t, want, false, 1+rng.IntN(5), 8+rng.IntN(20)); err != nil || got != back {
				t.Fatalf("%q decodes to %q, %v", text, got, err)
			}
		}
	}
}

// plain is what a text comes back as, where that is the text: SentencePiece's pieces cannot tell U+2581 from a space, and
// after a user-defined token in the text the space that is added stays. A byte without a token is lost in BPE.
func plain(v *vocabulary, ref reference, text string) (string, bool) {
	if !utf8.ValidString(text) || v.model == "llama" && v.addSpace != 0 && len(partition(v, text, false)) > 1 {
		return "", false
	}
	if r, ok := ref.(*bpeReference); ok {
		for _, c := range []byte(text) {
			if _, ok := r.ids[r.mapped[c]]; !ok {
				return "", false
			}
		}
	}
	if v.model == "llama" {
		text = strings.ReplaceAll(text, "\u2581", " ")
	}
	return text, true
}

// Texts of special tokens that overlap in every way are split as by searching for one token after the other.
func TestOverlappingSpecialTokens(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	for round := range 60 {
		v := &vocabulary{model: "llama", bos: -1, eos: -1, unk: 0, addSpace: int32(round % 2)}
		add := func(s string, ty int32) {
			v.texts, v.types, v.scores = append(v.texts, s), append(v.types, ty), append(v.scores, float32(-len(v.texts)))
		}
		add("<unk>", 2)
		for c := range 256 {
			add(fmt.Sprintf("<0x%02X>", c), 6)
		}
		for _, s := range []string{"a", "b", "\u2581", "ab", "\u2581a", "ba", "aab"} {
			add(s, 1)
		}
		for range 1 + rng.IntN(12) {
			var s []byte
			for range 1 + rng.IntN(6) {
				s = append(s, "abc"[rng.IntN(3)])
			}
			if !slices.Contains(v.texts, string(s)) {
				add(string(s), int32(3+rng.IntN(2)))
			}
		}
		ref := newSPMReference(v)
		g := load(t, "spm", v, 4096, 4096)
		for range 60 {
			var s []byte
			for range rng.IntN(40) {
				s = append(s, "abc "[rng.IntN(4)])
			}
			special := rng.IntN(2) == 0
			want := ref.encode(string(s), special)
			got, err := g.encode(t, string(s), special, func() int { return rng.IntN(5) }, 1+rng.IntN(4))
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q special %v with %q\n got %v %v\nwant %v", s, special, v.texts[257:], got, err, want)
			}
		}
	}
}

// A long stretch without a place to split goes the way of the heap and gives what scanning gives.
func TestLongStretch(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			v := readVocabulary(t, s.path(t))
			ref := s.reference(v)
			g := load(t, s.guest, v, 1<<16, 1<<16)
			rng := rand.New(rand.NewPCG(9, 1))
			for range 6 {
				var b []byte
				for range 300 + rng.IntN(1500) {
					b = append(b, "aabcdeiomnrst"[rng.IntN(13)])
				}
				want := ref.encode(string(b), false)
				got, err := g.encode(t, string(b), false, func() int { return 1 + rng.IntN(300) }, 1+rng.IntN(90))
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("%q\n got %v %v\nwant %v", b, got, err, want)
				}
			}
		})
	}
}

// goComments gives the comment lines of Go's own source tree, each once, up to size bytes.
func goComments(t testing.TB, size int) string {
	t.Helper()
	var b strings.Builder
	seen := map[string]bool{}
	root := filepath.Join(goroot(t), "src")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || b.Len() >= size || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "//") && !seen[trimmed] && utf8.ValidString(trimmed) {
				seen[trimmed] = true
				b.WriteString(trimmed + "\n")
			}
		}
		return nil
	})
	if err != nil {
		t.Skipf("Go's source tree cannot be read: %v", err)
	}
	return b.String()[:min(size, b.Len())]
}
