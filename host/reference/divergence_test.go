package reference_test

import (
	"math"
	"path/filepath"
	"testing"

	"forge/gguf"
	"forge/gguf/randmodel"
	"forge/kernels"
	"forge/kernels/simd"
)

// divergences are the mean Kullback-Leibler divergence, in nats, of the simd device from the scalar one on a small model of
// each format. Cached keys and values are F16 on both, so F32 differs by the order of sums alone, which may round a cached number
// the other way; F16 and BF16 by block fixed point where many rows are multiplied so, the others by activations that are rounded
// to 8 bits a block of 32. tools/kl_peers.py compares such figures with llama.cpp's.
var divergences = map[gguf.Type]float64{
	gguf.F32: 2e-8, gguf.F16: 3.1e-7, gguf.BF16: 3.2e-7,
	gguf.Q4_0: 7.4e-4, gguf.Q4_1: 7.2e-4, gguf.Q5_0: 6.7e-4, gguf.Q5_1: 7.7e-4, gguf.Q8_0: 8.8e-4,
	gguf.Q2_K: 9.8e-4, gguf.Q3_K: 6.4e-4, gguf.Q4_K: 6.3e-4, gguf.Q5_K: 7.1e-4, gguf.Q6_K: 7.0e-4,
	gguf.IQ4_NL: 8.0e-4, gguf.IQ4_XS: 6.7e-4, gguf.MXFP4: 6.4e-4,
}

// Ensure that fast products are as near to exact ones as they were when recorded: 10 % are for a scalar device
// whose compiler joins multiplications and additions, which rounds some activations the other way.
func TestDivergence(t *testing.T) {
	for _, typ := range gguf.Types() {
		if !typ.Supported() {
			continue
		}
		t.Run(typ.String(), func(t *testing.T) {
			recorded, known := divergences[typ]
			if !known {
				t.Fatal("no divergence is recorded for this format")
			}
			s := randmodel.Peaked()
			s.NVocab, s.NEmbd, s.NLayer, s.NHead, s.NFF, s.Type = 600, 256, 2, 4, 512, typ
			path := filepath.Join(t.TempDir(), "model.gguf")
			if err := s.Write(path); err != nil {
				t.Fatal(err)
			}
			p, tokens := llamaProgram(t, openModel(t, path)), s.Tokens(64)
			var rows [2][][]float32
			for i, device := range []kernels.Device{kernels.Scalar{}, simd.New()} {
				opt := kernels.Options{MaxRows: 40, Threads: 1, KeyType: gguf.F16, ValueType: gguf.F16}
				r, seqs := runnerOn(t, device, p, opt, len(tokens))
				rows[i] = feed(t, r, seqs, tokens, opt.MaxRows, 0)
			}
			sum := 0.0
			for i := range tokens {
				sum += divergence(rows[0][i], rows[1][i])
			}
			kl := sum / float64(len(tokens))
			t.Logf("%.3g nats, recorded %.3g", kl, recorded)
			if !(kl <= 1.1*recorded) {
				t.Errorf("simd diverges from scalar by %.3g nats, recorded are %.3g", kl, recorded)
			}
		})
	}
}

// divergence is sum p ln(p/q) of the distributions that two rows of logits stand for.
func divergence(a, b []float32) float64 {
	p, q := logSoftmax(a), logSoftmax(b)
	sum := 0.0
	for i := range p {
		sum += math.Exp(p[i]) * (p[i] - q[i])
	}
	return sum
}

func logSoftmax(x []float32) []float64 {
	out, sum := make([]float64, len(x)), 0.0
	for i, v := range x {
		out[i] = float64(v)
		sum += math.Exp(out[i])
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}
