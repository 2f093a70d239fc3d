package plugins_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"forge/host/plugin"
)

// BenchmarkThirdParty reports what a stranger's module between top_k and top_p adds to the default chain: the medians'
// difference, with and without in turn.
func BenchmarkThirdParty(b *testing.B) {
	const n = 131072
	wasm, err := os.ReadFile(filepath.Join("..", "examples", "sampler-c", "margin.wasm"))
	if err != nil {
		b.Fatal(err)
	}
	margin := plugin.Spec{Name: "margin", Kind: "sampler", Wasm: wasm}
	row, draw := &plugin.Row{Logits: peaked(rand.New(rand.NewPCG(5, 5)), n), History: make([]uint32, 64)}, uint64(0)
	row.Draw = &draw
	timed := func(names ...string) func() time.Duration {
		c := hostChain(b, names, n, margin)
		params, err := c.Params(nil)
		if err != nil {
			b.Fatal(err)
		}
		return func() time.Duration {
			row.Params = params
			start := time.Now()
			if _, err := c.Sample(context.Background(), row); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
	}
	shipped := timed("penalties", "top_k", "top_p", "min_p", "temperature", "dist")
	mixed := timed("penalties", "top_k", "margin", "top_p", "min_p", "temperature", "dist")
	var without, with []time.Duration
	for b.Loop() {
		without, with = append(without, shipped()), append(with, mixed())
	}
	b.ReportMetric(float64(median(without))/1e3, "µs/shipped")
	b.ReportMetric(float64(median(with)-median(without))/1e3, "µs/added")
	b.ReportMetric(0, "ns/op")
}
