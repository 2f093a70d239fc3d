package main

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"forge/gguf"
)

// vocabulary is a file with a tokenizer of three tokens.
func vocabulary(t *testing.T) *gguf.File {
	w := gguf.NewWriter()
	w.Set("general.architecture", "any")
	w.Set("tokenizer.ggml.model", "gpt2")
	w.Set("tokenizer.ggml.tokens", []string{"a", "b", "c"})
	return written(t, w)
}

func written(t *testing.T, w *gguf.Writer) *gguf.File {
	t.Helper()
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse("test", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Ensure that a model has the tokenizer, normal weights of the stated deviation, and the same bytes for the same seed.
func TestModel(t *testing.T) {
	var images [3][]byte
	for i, seed := range []uint64{7, 7, 8} {
		w, err := model(find("tiny-q4_k_m"), vocabulary(t), seed)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := w.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		images[i] = b.Bytes()
	}
	if !bytes.Equal(images[0], images[1]) || bytes.Equal(images[0], images[2]) {
		t.Error("the seed does not decide the bytes")
	}
	f, err := gguf.Parse("test", images[0])
	if err != nil {
		t.Fatal(err)
	}
	if tokens, _, _ := f.Array("tokenizer.ggml.tokens"); tokens.Len() != 3 {
		t.Errorf("%d tokens were copied, not 3", tokens.Len())
	}
	gate := f.Tensor("blk.1.ffn_gate.weight")
	x := make([]float32, gate.Elems())
	if err := gguf.Dequantize(gate.Type, x, gate.Data()); err != nil {
		t.Fatal(err)
	}
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(x))
	if mean, deviation := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.001 || math.Abs(deviation-0.02) > 0.001 {
		t.Errorf("weights of mean %g and deviation %g", mean, deviation)
	}
}

// Ensure that Q6_K stands where llama.cpp's Q4_K_M puts it in a model of 22 layers. With these layers 1b-q4_k_m has 717.43
// million bytes, as the file that llama-quantize makes of 1b-f16.
func TestMixQ4KM(t *testing.T) {
	more := map[int]bool{0: true, 1: true, 4: true, 7: true, 10: true, 13: true, 16: true, 19: true, 20: true, 21: true}
	for layer := range 22 {
		for tensor, want := range map[string]gguf.Type{"attn_q": gguf.Q4_K, "attn_v": gguf.Q4_K, "ffn_down": gguf.Q4_K, "ffn_up": gguf.Q4_K} {
			if more[layer] && (tensor == "attn_v" || tensor == "ffn_down") {
				want = gguf.Q6_K
			}
			if got := mixQ4KM(tensor, layer, 22); got != want {
				t.Errorf("layer %d %s: %v, want %v", layer, tensor, got, want)
			}
		}
	}
	if fmt.Sprint(mixQ4KM("output", -1, 22), mixQ4KM("token_embd", -1, 22)) != "Q6_K Q4_K" {
		t.Error("the output matrix is Q6_K, the embeddings are Q4_K")
	}
}
