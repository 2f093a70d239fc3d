package plugin

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"forge/abi"
)

// BenchmarkLoadCached is the start of each shipped guest whose compiled form lies in the cache, in a runtime that has not
// seen it: read, hash, check, compile from the cache, instantiate and forge_init. Tokenizers and the constraint are not
// initialised, since they lay out the model's vocabulary then. The time is the thread's own, the best and the median of
// many.
func BenchmarkLoadCached(b *testing.B) {
	dir := b.TempDir()
	files, err := filepath.Glob(filepath.Join(shipped, "*", "*.wasm"))
	if err != nil || len(files) == 0 {
		b.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wasm")
		if strings.Contains(file, "testdata") { // no plugin
			continue
		}
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			wasm, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			man, err := ReadManifest(wasm)
			if err != nil {
				b.Fatal(err)
			}
			s := Spec{Name: name, Kind: man.Kind, Wasm: wasm, Grants: []string{"history", "vocab"}}
			first, err := NewRuntime(ctx, RuntimeOptions{CacheDir: dir})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := first.Load(ctx, s); err != nil { // into the cache
				b.Fatal(err)
			}
			first.Close(ctx)
			var loads, starts []time.Duration
			for b.Loop() {
				r, err := NewRuntime(ctx, RuntimeOptions{CacheDir: dir})
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC() // it is the runtime's and the last round's
				began := threadTime()
				m, err := r.Load(ctx, s)
				if err != nil {
					b.Fatal(err)
				}
				loads = append(loads, threadTime()-began)
				if man.Kind != abi.KindTokenizer && man.Kind != abi.KindConstraint {
					in, err := m.start(ctx, newLayout(), func(_ *instance, init abi.Init) { init.SetNVocab(1000) })
					if err != nil {
						b.Fatal(err)
					}
					starts = append(starts, threadTime()-began)
					in.discard()
				}
				r.Close(ctx)
			}
			slices.Sort(loads)
			slices.Sort(starts)
			micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
			b.ReportMetric(micros(loads[0]), "best-load-µs")
			b.ReportMetric(micros(loads[len(loads)/2]), "median-load-µs")
			if len(starts) > 0 {
				b.ReportMetric(micros(starts[0]), "best-start-µs")
				b.ReportMetric(micros(starts[len(starts)/2]), "median-start-µs")
			}
			b.ReportMetric(float64(len(wasm)), "bytes")
			b.ReportMetric(0, "ns/op")
		})
	}
}
