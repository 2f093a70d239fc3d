package plugin

import (
	"testing"
	"time"
)

// bestOf reports the best of many runs of f, divided by its calls: what else the machine does only ever adds to it.
func bestOf(b *testing.B, unit string, calls int, f func()) {
	best := time.Duration(1 << 62)
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Nanoseconds())/float64(calls), unit)
}

// BenchmarkEmptyCall is what a call costs that does nothing: in the guest alone (bare), and with the host's fuel and
// accounts (invoke).
func BenchmarkEmptyCall(b *testing.B) {
	r := newRuntime(b, RuntimeOptions{})
	m := load(b, r, "pair", "sampler", nil)
	c := newChain(b, r, 30, ChainEntry{m, "idle"})
	in := c.units[0].main
	e := in.fns[0]
	const calls = 1000
	b.Run("bare", func(b *testing.B) {
		stack := []uint64{0}
		bestOf(b, "ns/call", calls, func() {
			for range calls {
				stack[0] = uint64(in.base)
				if err := e.fn.CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("invoke", func(b *testing.B) {
		b.ReportAllocs()
		bestOf(b, "ns/call", calls, func() {
			for range calls {
				if _, err := in.invoke(ctx, e, in.base, 1000); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkRefill is the shipped chain on a row with tanks as they are and with larger ones, in turns: what safe points
// cost of its time.
func BenchmarkRefill(b *testing.B) {
	r := newRuntime(b, RuntimeOptions{})
	c, mods := loadShipped(b, r)
	entries, err := Resolve(mods, c.Chain)
	if err != nil {
		b.Fatal(err)
	}
	const n = 131072
	chain := newChain(b, r, n, entries...)
	row := &Row{Logits: logits(n), History: make([]uint32, 100)}
	best := [2]time.Duration{1 << 62, 1 << 62}
	refills := 0
	r.onRefill = func() { refills++ }
	for b.Loop() {
		for i, tank := range []int64{tankCompiled, 1 << 40} {
			for _, u := range chain.units {
				u.main.tank = tank
			}
			refills = 0
			start := time.Now()
			if _, err := chain.Sample(ctx, row); err != nil {
				b.Fatal(err)
			}
			best[i] = min(best[i], time.Since(start))
			if i == 0 {
				b.ReportMetric(float64(refills), "refills")
			}
		}
	}
	b.ReportMetric(float64(best[0])/float64(best[1]), "tanks/none")
	b.ReportMetric(float64(best[0]), "ns/row")
}
