package randmodel

import (
	"bytes"
	"math"
	"testing"

	"forge/gguf"
)

// Ensure that a pooled model is a file of the stated formats whose numbers have the stated deviation, and that the same
// shape gives the same bytes.
func TestPooled(t *testing.T) {
	s := Large()["moe-q4_k_m"]
	s.NVocab, s.NEmbd, s.NLayer, s.NFFExp, s.NExpert = 300, 256, 3, 256, 4
	var images [2]bytes.Buffer
	for i := range images {
		if _, err := s.writer().WriteTo(&images[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0].Bytes(), images[1].Bytes()) {
		t.Error("two writings differ")
	}
	f, err := gguf.Parse("test", images[0].Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]gguf.Type{
		"blk.0.ffn_gate_exps.weight": gguf.Q4_K, "blk.2.ffn_down_exps.weight": gguf.Q6_K, "blk.2.attn_v.weight": gguf.Q6_K, "output.weight": gguf.Q6_K,
		"blk.1.ffn_gate_inp.weight": gguf.F32, "token_embd.weight": gguf.Q4_K,
	} {
		if got := f.Tensor(name).Type; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	gate := f.Tensor("blk.1.ffn_gate_exps.weight")
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
	if mean, deviation := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.002 || math.Abs(deviation-1.0/16) > 0.002 {
		t.Errorf("numbers of mean %g and deviation %g, 0 and 1/16 were asked for", mean, deviation)
	}
}

// Ensure that Q6_K stands where llama.cpp's Q4_K_M puts it in a model of 22 layers. With these layers 1b-q4_k_m has the
// 717.4 million bytes of the file that llama-quantize makes of 1b-f16.
func TestMixQ4KM(t *testing.T) {
	more := map[int]bool{0: true, 1: true, 4: true, 7: true, 10: true, 13: true, 16: true, 19: true, 20: true, 21: true}
	for layer := range 22 {
		for _, tensor := range []string{"attn_q", "attn_v", "ffn_down", "ffn_up"} {
			want := gguf.Q4_K
			if more[layer] && (tensor == "attn_v" || tensor == "ffn_down") {
				want = gguf.Q6_K
			}
			if got := mixQ4KM(tensor, layer, 22); got != want {
				t.Errorf("layer %d %s: %v, want %v", layer, tensor, got, want)
			}
		}
	}
}
