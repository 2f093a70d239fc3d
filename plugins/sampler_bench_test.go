package plugins_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"forge/abi"
	"forge/host/plugin"
)

// benchRows gives rows of n logits: synthetic ones, and those of the file that FORGE_LOGITS names (float32, little
// endian, one row after the other) if its rows have that length.
func benchRows(b *testing.B, n int) map[string][]float32 {
	rng := rand.New(rand.NewPCG(11, 11))
	normal := make([]float32, n)
	for i := range normal {
		normal[i] = float32(3 * rng.NormFloat64())
	}
	rs := map[string][]float32{"peaked": peaked(rng, n), "normal": normal}
	if file := os.Getenv("FORGE_LOGITS"); file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		for r := 0; (r+1)*4*n <= len(data); r++ {
			x := make([]float32, n)
			for i := range x {
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*(r*n+i):]))
			}
			rs[fmt.Sprintf("file row %d", r)] = x
		}
	}
	return rs
}

func median(x []time.Duration) time.Duration {
	slices.Sort(x)
	return x[len(x)/2]
}

// report gives the median of the rows as a multiple of a copy's.
func report(b *testing.B, rows, copies []time.Duration) {
	m, k := median(rows), median(copies)
	b.ReportMetric(float64(m)/float64(k), "copies")
	b.ReportMetric(float64(m)/1e3, "µs/row")
	b.ReportMetric(float64(k)/1e3, "µs/copy")
	b.ReportMetric(0, "ns/op")
}

// A copier copies 512 KiB in host memory, the unit of the benchmarks, right after a copy that warms the caches.
type copier struct{ from, to []byte }

func newCopier() copier {
	c := copier{make([]byte, 512<<10), make([]byte, 512<<10)}
	rand.NewChaCha8([32]byte{}).Read(c.from)
	return c
}

func (c copier) time() time.Duration {
	copy(c.to, c.from)
	start := time.Now()
	copy(c.to, c.from)
	return time.Since(start)
}

var benchChains = []struct {
	name  string
	names []string
}{
	{"default", nil},
	{"no_top_k", []string{"penalties", "top_p", "min_p", "temperature", "dist"}},
	{"no_cut", []string{"temperature", "dist"}},
}

// BenchmarkChain times chains as the host calls them: metered, the row's copy into the guest included. It reports them
// as multiples of a copy of 512 KiB in host memory, made in turn with them.
func BenchmarkChain(b *testing.B) {
	for _, n := range []int{49152, 131072, 262144} {
		history := make([]uint32, 64)
		for i := range history {
			history[i] = uint32(i * 37 % n)
		}
		for name, logits := range benchRows(b, n) {
			for _, ch := range benchChains {
				b.Run(fmt.Sprintf("%s/%d/%s", ch.name, n, name), func(b *testing.B) {
					host, unit := hostChain(b, ch.names, n), newCopier()
					settings := map[string]any{}
					if ch.names == nil || ch.names[0] == "penalties" {
						settings["repeat_penalty"] = 1.1
					}
					p, err := host.Params(settings)
					if err != nil {
						b.Fatal(err)
					}
					draw := uint64(0)
					row := &plugin.Row{Logits: logits, Draw: &draw, History: history, Params: p}
					var rows, copies []time.Duration
					for range b.N {
						copies = append(copies, unit.time())
						start := time.Now()
						if _, err := host.Sample(context.Background(), row); err != nil {
							b.Fatal(err)
						}
						rows = append(rows, time.Since(start))
					}
					report(b, rows, copies)
				})
			}
		}
	}
}

// BenchmarkSampler times each sampler alone on a whole row, without the meter.
func BenchmarkSampler(b *testing.B) {
	for _, n := range []int{131072, 262144} {
		c := openChain(b, n)
		for name, logits := range benchRows(b, n) {
			for _, sampler := range []string{"greedy", "top_k", "top_p", "min_p", "temperature", "dist"} {
				b.Run(fmt.Sprintf("%s/%d/%s", sampler, n, name), func(b *testing.B) {
					unit, data := newCopier(), floatBytes(logits)
					c.load(table{logits: logits}, rowCase{params: params()})
					saved := slices.Clone(c.Bytes(c.row, abi.RowSize))
					var rows, copies []time.Duration
					for range b.N {
						copies = append(copies, unit.time())
						copy(c.Bytes(c.row, abi.RowSize), saved)
						copy(c.Bytes(c.logits, uint32(4*n)), data)
						start := time.Now()
						c.step(sampler)
						rows = append(rows, time.Since(start))
					}
					report(b, rows, copies)
				})
			}
		}
	}
}
