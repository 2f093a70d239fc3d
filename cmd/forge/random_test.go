package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"forge/gguf/randmodel"
	"forge/host"
	"forge/kernels"
	"forge/kernels/simd"
)

// recorded are an independent engine's logits of a random-weight model; testdata/random/README.md says which engine.
type recorded struct {
	Model  string               `json:"model"`
	SHA256 string               `json:"sha256"`
	Tokens []uint32             `json:"tokens"`
	Logits map[string][]float64 `json:"logits"` // by position
}

func loadRecorded(t testing.TB, name string) recorded {
	t.Helper()
	b, err := os.ReadFile(root("testdata", "random", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var rec recorded
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// randomModel writes a model of package randmodel.
func randomModel(t testing.TB, s randmodel.Shape) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), s.Arch+".gguf")
	if err := s.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// score gives the logits of all positions.
func score(t testing.TB, e *host.Engine, tokens []uint32) [][]float32 {
	t.Helper()
	var rows [][]float32
	err := e.Score(context.Background(), tokens, 0, func(_ int, logits []float32) error {
		rows = append(rows, slices.Clone(logits))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Ensure that architectures without a model in the tree give the logits that an independent engine gives, on both devices.
// The weights are F32, so that neither device rounds activations; simd's cache is F16.
func TestRandomModels(t *testing.T) {
	for name, shape := range randmodel.Models() {
		t.Run(name, func(t *testing.T) {
			rec, path := loadRecorded(t, name), randomModel(t, shape)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != rec.SHA256 {
				t.Fatalf("the model that is written now is not the recorded one (sha256 %s, recorded %s): record again, tools/peer_logits.py", got, rec.SHA256)
			}
			for _, c := range []struct {
				dev   kernels.Device
				bound float64 // of the largest difference over the largest logit
			}{{kernels.Scalar{}, 3e-6}, {simd.New(), 1e-3}} {
				rows := score(t, openEngine(t, path, c.dev, host.Options{}), rec.Tokens)
				most, size := 0.0, 0.0
				for _, key := range slices.Sorted(maps.Keys(rec.Logits)) {
					pos, err := strconv.Atoi(key)
					if err != nil {
						t.Fatal(err)
					}
					for i, want := range rec.Logits[key] {
						most, size = max(most, math.Abs(float64(rows[pos][i])-want)), max(size, math.Abs(want))
					}
				}
				t.Logf("%s: logits differ by %.2g at most, the largest is %.3g", c.dev.Name(), most, size)
				if !(most < c.bound*size) {
					t.Errorf("%s: logits differ by %g, the bound is %g", c.dev.Name(), most, c.bound*size)
				}
			}
		})
	}
}
