package plugins_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"forge/abi"
	"forge/host/plugin"
	"forge/kernels"
	"forge/plugins"
)

// hostRouter is a shipped router as the host calls it, for one layer.
func hostRouter(tb testing.TB, name string, layer plugin.RouteLayer) *plugin.Router {
	tb.Helper()
	ctx := context.Background()
	rt, err := plugin.NewRuntime(ctx, plugin.RuntimeOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { rt.Close(ctx) })
	m, err := rt.Load(ctx, plugin.Spec{Name: name, Kind: abi.KindRouter, Wasm: plugins.Shipped()[name]})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := m.NewRouter(ctx, []plugin.RouteLayer{layer}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.Close)
	return r
}

// routeForms are the forms of routing that the shipped routers have, for 128 experts of which 8 are chosen.
func routeForms(rng *rand.Rand) map[string]plugin.RouteLayer {
	bias := make([]float32, 128)
	for i := range bias {
		bias[i] = float32(0.1 * rng.NormFloat64())
	}
	forms := map[string]plugin.RouteLayer{}
	for _, score := range []kernels.RouteScore{kernels.RouteScoreSoftmax, kernels.RouteScoreSigmoid, kernels.RouteScoreSoftmaxChosen} {
		for _, renormalise := range []bool{false, true} {
			for _, groups := range []int{1, 8} {
				for _, biased := range []bool{false, true} {
					l := plugin.RouteLayer{NExperts: 128, TopK: 8, Score: uint32(score), NGroup: groups, NGroupUsed: (groups + 1) / 2, Renormalise: renormalise, Factor: 2.5}
					if biased {
						l.Bias, l.UseBias = bias, true
					}
					name := []string{"softmax", "sigmoid", "softmax_chosen"}[score]
					forms[fmt.Sprintf("%s/renormalise=%t/groups=%d/bias=%t", name, renormalise, groups, biased)] = l
				}
			}
		}
	}
	return forms
}

// BenchmarkRouter times the choice of 8 of 128 experts for one token as the host makes it: metered, scores and answer
// copied and checked. Every call has other scores, so that no branch is known beforehand. The time is the thread's own.
func BenchmarkRouter(b *testing.B) {
	const rows = 1024
	rng := rand.New(rand.NewPCG(1, 1))
	scores := make([]float32, rows*128)
	for i := range scores {
		scores[i] = float32(rng.NormFloat64())
	}
	for name, layer := range routeForms(rng) {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			guest := "softmax"
			if layer.Score == uint32(kernels.RouteScoreSigmoid) {
				guest = "sigmoid"
			}
			r := hostRouter(b, guest, layer)
			batch := &plugin.RouteBatch{N: 1, IDs: make([]uint32, 8), Weights: make([]float32, 8)}
			var times []time.Duration
			for b.Loop() {
				began := cpuTime()
				for row := range rows {
					batch.Scores = scores[row*128 : (row+1)*128]
					if err := r.Route(context.Background(), 0, batch); err != nil {
						b.Fatal(err)
					}
				}
				times = append(times, (cpuTime()-began)/rows)
			}
			b.ReportMetric(float64(median(times)), "median-ns")
			b.ReportMetric(float64(times[0]), "best-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}
