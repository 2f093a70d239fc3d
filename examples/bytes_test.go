package examples_test

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"

	"forge/gguf/randmodel"
	"forge/host"
	"forge/host/plugin"
	"forge/kernels"
	"forge/kernels/simd"
)

// bytesModel writes a small model with random weights whose tokens are the 256 bytes.
func bytesModel(t *testing.T) string {
	t.Helper()
	s := randmodel.Models()["qwen3"]
	s.NVocab, s.BytesVocab = 256, true
	path := filepath.Join(t.TempDir(), "bytes.gguf")
	if err := s.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Ensure that ids are the bytes and come back as the text, whatever it is and however it is cut, and that what is no UTF-8
// becomes U+FFFD (The Unicode Standard, chapter 3.9: one for each longest beginning of a character).
func TestBytes(t *testing.T) {
	e := open(t, bytesModel(t), "tokenizer-bytes/bytes.wasm", kernels.Null{})
	ctx := context.Background()
	long := string(bytes.Repeat([]byte("a\x00ä€𝄞\r\n"), 20000))
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"plain", "plain"}, {"ä€𝄞", "ä€𝄞"}, {long, long},
		{"\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64", "\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd"},
		{"\xED\xA0\x80\xF4\x91\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA"}, {"a\xF0\x9D\x84", "a\uFFFD"},
	} {
		ids, err := e.Tokenize(ctx, c.text, false)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]uint32, len(c.text))
		for i := range want {
			want[i] = uint32(c.text[i])
		}
		if !slices.Equal(ids, want) {
			t.Fatalf("%.20q: %d ids, not its %d bytes", c.text, len(ids), len(want))
		}
		for _, piece := range []int{1, 2, 3, len(ids)} {
			if piece == 0 || len(ids) > 1000 && piece < 4 {
				continue
			}
			var got []byte
			var st plugin.DecodeState
			for rest := ids; ; rest = rest[piece:] {
				piece, flags := min(piece, len(rest)), plugin.DecodeFlags(0)
				if piece == len(rest) {
					flags = plugin.Last
				}
				if got, err = e.Tokenizer().Decode(ctx, got, rest[:piece], &st, flags); err != nil {
					t.Fatal(err)
				}
				if !utf8.Valid(got) {
					t.Fatalf("%.20q: decoding gave half a character", c.text)
				}
				if piece == len(rest) {
					break
				}
			}
			if string(got) != c.want {
				t.Errorf("%.20q in pieces of %d: %.40q, want %.40q", c.text, piece, got, c.want)
			}
		}
	}
}

// Ensure that a model of bytes writes text, the same on both devices.
func TestBytes_Run(t *testing.T) {
	path := bytesModel(t)
	var texts []string
	for _, dev := range []kernels.Device{kernels.Scalar{}, simd.New()} {
		e := open(t, path, "tokenizer-bytes/bytes.wasm", dev)
		prompt, err := e.Tokenize(context.Background(), "Zwölf", true)
		if err != nil {
			t.Fatal(err)
		}
		res, err := e.Generate(context.Background(), &host.Request{Prompt: prompt, MaxTokens: 40, Samplers: []string{"greedy"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(prompt) != 6 || len(res.Tokens) != 40 || !utf8.ValidString(res.Text) {
			t.Errorf("%d prompt tokens, %d tokens, text %q", len(prompt), len(res.Tokens), res.Text)
		}
		texts = append(texts, res.Text)
	}
	if texts[0] != texts[1] {
		t.Errorf("scalar writes %q, simd %q", texts[0], texts[1])
	}
}
