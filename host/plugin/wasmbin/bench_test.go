package wasmbin

import (
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// overhead runs the plain and the metered guests in turns and returns the best time of each: what else the machine does
// only ever adds to it.
func overhead(tb testing.TB, mods []api.Module, rounds uint64, turns int) []time.Duration {
	best := make([]time.Duration, len(mods))
	for turn := range turns {
		for i, mod := range mods {
			if f := mod.ExportedGlobal(FuelExport); f != nil {
				f.(api.MutableGlobal).Set(uint64(tank))
			}
			f := mod.ExportedFunction("run")
			start := time.Now()
			if _, err := f.Call(ctx, rounds); err != nil {
				tb.Fatal(err)
			}
			if took := time.Since(start); turn == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	return best
}

// BenchmarkOverhead reports metered over plain time of each guest: what fuel costs, and what it costs with refills.
func BenchmarkOverhead(b *testing.B) {
	for _, name := range guestNames {
		b.Run(name, func(b *testing.B) {
			wasm := guest(b, name)
			r := engine(b, "compiler")
			(&refiller{}).install(b, r)
			mods := []api.Module{
				anonymous(b, r, wasm),
				anonymous(b, r, metered(b, wasm, MeterOptions{InitialFuel: tank})),
				anonymous(b, r, metered(b, wasm, MeterOptions{InitialFuel: tank, Refill: true})),
			}
			for _, mod := range mods {
				if f := mod.ExportedFunction("setup"); f != nil {
					f.Call(ctx, 7)
				}
			}
			for b.Loop() {
				m := overhead(b, mods, 10, 31)
				b.ReportMetric(float64(m[1])/float64(m[0]), "metered/plain")
				b.ReportMetric(float64(m[2])/float64(m[0]), "refill/plain")
				_, used := spend(b, mods[1], "run", 10)
				b.ReportMetric(float64(m[1].Nanoseconds())/float64(used), "ns/unit")
			}
		})
	}
}
