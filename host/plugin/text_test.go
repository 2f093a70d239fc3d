package plugin

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// echoVocab is 256 bytes and two control tokens.
func echoVocab() *Vocab {
	var texts [][]byte
	for i := range 256 {
		texts = append(texts, []byte{byte(i)})
	}
	texts = append(texts, []byte("<special>"), []byte("<other>"))
	return &Vocab{N: len(texts), Texts: slices.Values(texts), BOS: 256, EOS: -1, UNK: -1, SEP: -1, PAD: -1}
}

func newTokenizer(t testing.TB, r *Runtime, mode int64) *Tokenizer {
	t.Helper()
	m := load(t, r, "echo", "tokenizer", func(s *Spec) { s.Config = map[string]any{"mode": mode} })
	tok, err := m.NewTokenizer(ctx, echoVocab())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tok.Close)
	return tok
}

func ids(text string) []uint32 {
	var out []uint32
	for _, b := range []byte(text) {
		out = append(out, uint32(b))
	}
	return out
}

func TestTokenizer(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		tok := newTokenizer(t, r, 0)
		for _, text := range []string{"", "a", "héllo ☃ 🦀", strings.Repeat("0123456789", 60000)} {
			got, err := tok.Encode(ctx, []uint32{7}, []byte(text), false)
			if err != nil || !slices.Equal(got, append([]uint32{7}, ids(text)...)) {
				t.Errorf("%.20q: %d ids, %v", text, len(got), err)
			}
			back, err := tok.Decode(ctx, []byte("x"), ids(text), nil, Last)
			if err != nil || string(back) != "x"+text {
				t.Errorf("%.20q: back %.20q, %v", text, back, err)
			}
		}
		// A special token that lies across the windows' border is one token.
		text := strings.Repeat("-", textIn-4) + "<special>" + strings.Repeat("+", 10)
		got, err := tok.Encode(ctx, nil, []byte(text), true)
		want := append(append(ids(strings.Repeat("-", textIn-4)), 256), ids(strings.Repeat("+", 10))...)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("across the border: %d ids, want %d; %v", len(got), len(want), err)
		}
		if back, err := tok.Decode(ctx, nil, []uint32{'a', 256, 'b', 257}, nil, Last|SkipSpecial); err != nil || string(back) != "ab" {
			t.Errorf("skip special: %q, %v", back, err)
		}
		if back, err := tok.Decode(ctx, nil, []uint32{'a', 256, 'b'}, nil, Last); err != nil || string(back) != "a<special>b" {
			t.Errorf("keep special: %q, %v", back, err)
		}
		_, err = tok.Decode(ctx, nil, []uint32{258}, nil, Last)
		wantError(t, err, "token 258 does not exist, the vocabulary has 258")
	})
}

func TestDecodeStreams(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		tok := newTokenizer(t, r, 0)
		const text = "a☃é🦀z"
		// Two texts interleaved: each has its own state.
		var a, b DecodeState
		var gotA, gotB []byte
		var err error
		for _, id := range ids(text) {
			if gotA, err = tok.Decode(ctx, gotA, []uint32{id}, &a, 0); err != nil {
				t.Fatal(err)
			}
			if gotB, err = tok.Decode(ctx, gotB, []uint32{id}, &b, 0); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(text, string(gotA)) || strings.ToValidUTF8(string(gotA), "?") != string(gotA) {
				t.Fatalf("half a character: %q", gotA)
			}
		}
		if string(gotA) != text || string(gotB) != text {
			t.Errorf("%q and %q", gotA, gotB)
		}
		var cut DecodeState
		got, err := tok.Decode(ctx, nil, ids("☃")[:2], &cut, 0)
		if err != nil || len(got) != 0 {
			t.Errorf("%q, %v", got, err)
		}
		if got, err = tok.Decode(ctx, nil, nil, &cut, Last); err != nil || string(got) != "☃"[:2] {
			t.Errorf("the end of a cut text is %q, %v", got, err)
		}
	})
}

func TestHostileTokenizer(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		for mode, want := range map[int64]string{
			1: "plugin echo: tokenizer_encode wrote more than 16640 bytes for an input of 64",
			2: "plugin echo: tokenizer_encode makes no progress: it took none of 64 elements and wrote nothing",
			3: "plugin echo: tokenizer_encode consumed 65 elements of 64",
			4: "plugin echo: tokenizer_encode wrote 65537 elements, there was room for 65536",
			5: "plugin echo: tokenizer_encode gave the id 258, the vocabulary has 258",
		} {
			tok := newTokenizer(t, r, mode)
			for range 3 {
				got, err := tok.Encode(ctx, []uint32{1}, make([]byte, 64), false)
				wantError(t, err, want)
				if len(got) != 1 {
					t.Errorf("mode %d: %d ids", mode, len(got))
				}
			}
			_, err := tok.Encode(ctx, nil, nil, false)
			wantError(t, err, "plugin is quarantined after 3 strikes, the last: "+want)
		}
		late := newTokenizer(t, r, 6) // its fuel is for the whole text, not for the last piece
		if _, err := late.Encode(ctx, nil, make([]byte, textIn+1), false); err != nil {
			t.Error(err)
		}
		tok := newTokenizer(t, r, 0)
		for range 2 {
			_, err := tok.Encode(ctx, nil, []byte("a\x01"), false)
			wantError(t, err, "plugin echo: tokenizer_encode gave up...")
			if got, err := tok.Encode(ctx, nil, []byte("abc"), false); err != nil || len(got) != 3 {
				t.Errorf("afterwards %v, %v", got, err)
			}
		}
		m := load(t, r, "echo", "tokenizer", nil)
		small := &Vocab{N: 1, Texts: slices.Values([][]byte{{}})}
		_, err := m.NewTokenizer(ctx, small)
		wantError(t, err, "plugin echo: forge_init says: the vocabulary is too small")
		for _, v := range []struct {
			v    Vocab
			want string
		}{
			{Vocab{N: 0}, "plugin echo: a vocabulary of 0 tokens and 0 merges is out of range: 1 to 16777216"},
			{Vocab{N: 2}, "plugin echo: the vocabulary has no texts"},
			{Vocab{N: 2, Texts: small.Texts}, "plugin echo: the vocabulary says 2 tokens and has another number of them"},
			{Vocab{N: 1, Texts: small.Texts, Scores: make([]byte, 3)}, "plugin echo: the vocabulary has 1 tokens and 3 bytes of scores, not 4"},
			{Vocab{N: 1, Texts: small.Texts, NMerges: 1}, "plugin echo: the vocabulary has no texts"},
		} {
			_, err := m.NewTokenizer(ctx, &v.v)
			wantError(t, err, v.want)
		}
		_, err = load(t, r, "pair", "sampler", nil).NewTokenizer(ctx, small)
		wantError(t, err, "plugin pair is a sampler and not a tokenizer")
	})
}

// TestTokenizerConcurrently: calls of several goroutines on one tokenizer, some of which trap, do not mix.
func TestTokenizerConcurrently(t *testing.T) {
	r := newRuntime(t, RuntimeOptions{})
	m := load(t, r, "echo", "tokenizer", func(s *Spec) { s.Limits.Strikes = 1000 })
	tok, err := m.NewTokenizer(ctx, echoVocab())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			text := strings.Repeat(fmt.Sprintf("<%d>", g), 100)
			for i := range 100 {
				got, err := tok.Encode(ctx, nil, []byte(text), i%2 == 0)
				if err != nil || !slices.Equal(got, ids(text)) {
					t.Errorf("goroutine %d: %d ids, %v", g, len(got), err)
					return
				}
				if g == 0 && i%10 == 0 {
					if _, err := tok.Encode(ctx, nil, []byte{1}, false); err == nil {
						t.Error("no trap")
					}
				}
				back, err := tok.Decode(ctx, nil, got, nil, Last)
				if err != nil || string(back) != text {
					t.Errorf("goroutine %d: %q, %v", g, back, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestTemplate(t *testing.T) {
	engines(t, func(t *testing.T, r *Runtime) {
		m := load(t, r, "template", "template", nil)
		tmpl, err := m.NewTemplate(ctx, "TEXT", "<s>", "</s>")
		if err != nil {
			t.Fatal(err)
		}
		defer tmpl.Close()
		now := time.Unix(1234567890, 0)
		for _, json := range []string{"", "{}", strings.Repeat("x", textIn), strings.Repeat("0123456789", 70000)} {
			got, err := tmpl.Render(ctx, []byte(json), now)
			if want := "<s>TEXT" + json + "</s>1234567890"; err != nil || got != want {
				t.Errorf("%d bytes in, %d out, want %d; %v", len(json), len(got), len(want), err)
			}
		}
		_, err = m.NewTemplate(ctx, "{{", "", "")
		wantError(t, err, "plugin template: forge_init says: line 1: the template has a brace")
	})
}

func TestSentence(t *testing.T) {
	for _, k := range []struct{ in, want string }{
		{"plain", "plain"}, {" a\tb\x00\n", "a b"}, {"a\xffb", "a?b"}, {"12345678é", "12345678"}, {"1234567é", "1234567é"}, {"12345678\xe2\x98", "12345678"},
	} {
		if got := sentence([]byte(k.in), 9); got != k.want {
			t.Errorf("%q: %q, want %q", k.in, got, k.want)
		}
	}
	if got := units(-1234567); got != "-1,234,567 units" {
		t.Error(got)
	}
	if got := sentence(bytes.Repeat([]byte("\u202e"), 3), 100); got != "" {
		t.Errorf("%q", got)
	}
}
