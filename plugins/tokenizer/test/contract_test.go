package test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"forge/abi"
)

// byteVocabulary is the smallest vocabulary of a model: the bytes, a control token and a user-defined one.
func byteVocabulary(name string) *vocabulary {
	v := &vocabulary{model: map[string]string{"spm": "llama", "bpe": "gpt2"}[name], bos: -1, eos: -1, unk: -1, addSpace: 1}
	add := func(s string, ty int32) {
		v.texts, v.types, v.scores = append(v.texts, s), append(v.types, ty), append(v.scores, 0)
	}
	for c := range 256 {
		add(fmt.Sprintf("<0x%02X>", c), 6)
	}
	add("<end>", 3)
	add("[user]", 4)
	add("\u2581a", 1)
	add("a", 1)
	add("b", 1)
	if name == "bpe" {
		v.merges = []string{"a b"}
		v.pre = "gpt-2"
	}
	return v
}

// What is wrong with a vocabulary is said in one sentence.
func TestInitErrors(t *testing.T) {
	for _, c := range []struct {
		guest string
		edit  func(v *vocabulary)
		want  string
	}{
		{"spm", func(v *vocabulary) { v.model = "bert" }, `err_unsupported: tokenizer.ggml.model is "bert", this tokenizer serves "llama"`},
		{"spm", func(v *vocabulary) { v.scores = nil }, `err_arg: tokenizer.ggml.scores is missing, a vocabulary of the model "llama" needs it`},
		{"spm", func(v *vocabulary) { v.texts = nil }, `err_arg: tokenizer.ggml.tokens has 0 entries, it needs 1 to 16777216`},
		{"bpe", func(v *vocabulary) { v.model = "llama" }, `err_unsupported: tokenizer.ggml.model is "llama", this tokenizer serves "gpt2"`},
		{"bpe", func(v *vocabulary) { v.pre = "foo" }, `err_unsupported: pre-tokenizer "foo" is not known: known are default, gpt-2, phi-2, `},
		{"bpe", func(v *vocabulary) { v.merges = nil }, `err_arg: tokenizer.ggml.merges has 0 entries, a vocabulary of the model "gpt2" needs 1 to 16777216`},
		{"bpe", func(v *vocabulary) { v.merges = []string{"a b", "ab"} }, `err_arg: merge 1 is "ab", not two texts with a space between them`},
		{"bpe", func(v *vocabulary) { v.merges = []string{"a "} }, `err_arg: merge 0 is "a ", not two texts with a space between them`},
		{"bpe", func(v *vocabulary) { v.merges = []string{" b"} }, `err_arg: merge 0 is " b", not two texts with a space between them`},
	} {
		v := byteVocabulary(c.guest)
		c.edit(v)
		g := newGuest(t, c.guest, v, 64, 64)
		if err := g.init(t, v); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
		g.close()
	}
}

// Decoding never gives half a character, and repairs what is none: U+FFFD for each longest beginning of a character that
// does not go on (The Unicode Standard, chapter 3.9, tables 3-8 to 3-11).
func TestDecodeRepairs(t *testing.T) {
	g := load(t, "spm", byteVocabulary("spm"), 1024, 1024)
	for _, c := range []struct{ in, want string }{
		{"\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", "\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd"},
		{"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", strings.Repeat("\uFFFD", 8) + "A"},
		{"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", strings.Repeat("\uFFFD", 8) + "A"},
		{"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", strings.Repeat("\uFFFD", 5) + "A\uFFFD\uFFFDB"},
		{"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\uFFFD\uFFFD\uFFFD\uFFFDA"},
		{"é€𝄞", "é€𝄞"},
		{"a\xF0\x9D\x84", "a\uFFFD"},
	} {
		var ids []uint32
		for _, b := range []byte(c.in) {
			ids = append(ids, uint32(b))
		}
		for piece := 1; piece <= len(ids); piece++ {
			got, calls, err := g.decode(t, ids, false, piece, 8+piece)
			if err != nil || got != c.want {
				t.Errorf("% X in pieces of %d: %q %v, want %q", c.in, piece, got, err, c.want)
			}
			for _, s := range calls {
				if !utf8.ValidString(s) {
					t.Errorf("% X in pieces of %d: a call gives %q", c.in, piece, s)
				}
			}
		}
	}
}

// Control tokens are their text or left out; the space that SentencePiece adds is taken off once; a wrong id is an error.
func TestDecodeSpecial(t *testing.T) {
	g := load(t, "spm", byteVocabulary("spm"), 1024, 1024)
	for _, c := range []struct {
		ids  []uint32
		skip bool
		want string
	}{
		{[]uint32{256, 258, 257, 258}, false, "<end> a[user] a"},
		{[]uint32{256, 258, 257, 258}, true, "a[user] a"},
		{[]uint32{258, 256}, false, "a<end>"},
		{[]uint32{' ', ' ', 259}, false, " a"},
	} {
		if got, _, err := g.decode(t, c.ids, c.skip, 1, 8); err != nil || got != c.want {
			t.Errorf("%v: %q %v, want %q", c.ids, got, err, c.want)
		}
	}
	if _, _, err := g.decode(t, []uint32{259, 261}, false, 9, 99); err == nil || err.Error() != "err_arg: token 261 is not in the vocabulary, which has 261" {
		t.Errorf("a wrong id: %v", err)
	}
	if _, _, err := g.decode(t, []uint32{259}, false, 9, 7); err == nil || err.Error() != "err_arg: the output has room for 7 bytes, 8 are the least" {
		t.Errorf("no room: %v", err)
	}
}

// Raw, a token is its bytes: nothing is held back, repaired or taken off.
func TestDecodeRaw(t *testing.T) {
	for name, space := range map[string]string{"spm": " a", "bpe": "\u2581a"} {
		g := load(t, name, byteVocabulary(name), 1024, 1024)
		want := ""
		for id := range uint32(261) {
			piece := string([]byte{byte(id)})
			if id > 255 {
				piece = []string{"<end>", "[user]", space, "a", "b"}[id-256]
			}
			want += piece
			if got, _, err := g.decodeWith(t, []uint32{id}, abi.TextFlagRaw, 1, 64); err != nil || got != piece {
				t.Errorf("%s: token %d alone: %q %v, want %q", name, id, got, err, piece)
			}
		}
		var ids []uint32
		for id := range uint32(261) {
			ids = append(ids, id)
		}
		for _, piece := range []int{1, 7, 261} {
			if got, _, err := g.decodeWith(t, ids, abi.TextFlagRaw, piece, 8+piece); err != nil || got != want {
				t.Errorf("%s: all tokens in pieces of %d: %q %v", name, piece, got, err)
			}
		}
	}
}

// A stretch that may not be split is held back up to a limit, which is an error that the next text does not feel.
func TestTooLongStretch(t *testing.T) {
	for _, s := range subjects {
		if s.name != "llama-spm" && s.name != "gpt-2" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			v := readVocabulary(t, s.path(t))
			g := load(t, s.guest, v, 1<<16, 1<<16)
			most := strings.Repeat("a", 1<<20-1)
			if got, _, err := g.decode(t, g.mustEncode(t, most, false), false, math.MaxInt, 1<<16); err != nil || got != most {
				t.Errorf("the longest stretch: %d bytes, %v", len(got), err)
			}
			_, err := g.encode(t, strings.Repeat("a", 1<<20+2), false, whole, 1<<14)
			if err == nil || err.Error() != "err_unsupported: the text has more than 1048576 bytes in a row without a place where it may be split" {
				t.Errorf("got %v", err)
			}
			if got := g.mustEncode(t, "Hello world", false); len(got) != 2 {
				t.Errorf("then: %v", got)
			}
		})
	}
}

// The texts of the golden continuations, special tokens written out.
func TestGoldenTexts(t *testing.T) {
	for _, m := range []struct{ file, jsonl, guest string }{
		{"SmolLM2-135M-Instruct.Q4_1.gguf", "golden/smollm2.jsonl", "bpe"},
		{"gemma-3-270m-q4_k_m.gguf", "golden/gemma3.jsonl", "spm"},
	} {
		t.Run(m.guest, func(t *testing.T) {
			g := load(t, m.guest, readVocabulary(t, model(t, m.file)), 1<<16, 1<<16)
			file, err := os.Open(shared(t, m.jsonl))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			n, s := 0, bufio.NewScanner(file)
			for s.Buffer(nil, 1<<24); s.Scan(); n++ {
				var row struct {
					Name   string
					Tokens []uint32
					Hex    string `json:"text_hex"`
				}
				if err := json.Unmarshal(s.Bytes(), &row); err != nil {
					t.Fatal(err)
				}
				raw, err := hex.DecodeString(row.Hex)
				if err != nil {
					t.Fatal(err)
				}
				want := string(raw)
				for i := 1; i < 4 && i <= len(raw); i++ { // a character that the end cuts
					if c := raw[len(raw)-i]; c >= 0xC0 && !utf8.FullRune(raw[len(raw)-i:]) {
						want = string(raw[:len(raw)-i]) + "\uFFFD"
					}
				}
				if got, _, err := g.decode(t, row.Tokens, false, 3, 40); err != nil || got != want {
					t.Errorf("%s: %q %v, want %q", row.Name, got, err, want)
				}
			}
			if n != 12 {
				t.Errorf("%d rows, want 12", n)
			}
		})
	}
}

// Merges and bytes whose texts are no tokens: what they join falls back to the bytes that are, as the reference has it.
func TestTextsThatAreNoTokens(t *testing.T) {
	v := &vocabulary{model: "gpt2", pre: "gpt-2", bos: -1, eos: -1, unk: -1, addSpace: -1}
	for _, s := range []string{"a", "b", "c", "abc", "bb", "a"} { // the last "a" counts
		v.texts, v.types = append(v.texts, s), append(v.types, 1)
	}
	v.merges = []string{"a b", "b b", "ab c", "a b", "c c", "cc c", "c d"}
	g := load(t, "bpe", v, 4096, 4096)
	ref := newBPEReference(v)
	for _, text := range []string{"abc", "abb", "abcc", "ccc", "cccc", "cd", "dcdab", strings.Repeat("cab", 40), strings.Repeat("ab", 90)} {
		if got, want := g.mustEncode(t, text, false), ref.encode(text, false); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
