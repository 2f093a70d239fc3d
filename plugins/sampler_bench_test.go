package plugins_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"forge/abi"
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

// BenchmarkChain times the default chain, the row's copy into the guest included, and reports it as a multiple of a copy
// of 512 KiB in host memory made in turn with it.
func BenchmarkChain(b *testing.B) {
	chains := []struct {
		name  string
		names []string
	}{
		{"default", []string{"penalties", "top_k", "top_p", "min_p", "temperature", "dist"}},
		{"no_top_k", []string{"penalties", "top_p", "min_p", "temperature", "dist"}},
		{"no_cut", []string{"temperature", "dist"}},
		{"top_k", []string{"top_k"}},
		{"top_p", []string{"top_p"}},
		{"min_p", []string{"min_p"}},
		{"dist", []string{"dist"}},
	}
	for _, n := range []int{49152, 131072, 262144} {
		c := openChain(b, n)
		history := make([]uint32, 64)
		for i := range history {
			history[i] = uint32(i * 37 % n)
		}
		for name, logits := range benchRows(b, n) {
			for _, ch := range chains {
				b.Run(fmt.Sprintf("%s/%d/%s", ch.name, n, name), func(b *testing.B) {
					from, to := make([]byte, 512<<10), make([]byte, 512<<10)
					rand.NewChaCha8([32]byte{}).Read(from)
					data := floatBytes(logits)
					c.load(table{logits: logits}, rowCase{params: params(repeatPenalty, 1.1), history: history})
					saved := slices.Clone(c.Bytes(c.row, abi.RowSize))
					row, dst := c.Bytes(c.row, abi.RowSize), c.Bytes(c.logits, uint32(4*n))
					for _, s := range ch.names {
						c.step(s)
					}
					var chain, copies []time.Duration
					b.ResetTimer()
					for i := range b.N {
						start := time.Now()
						copy(to, from)
						copies = append(copies, time.Since(start))
						copy(row, saved)
						abi.Row(row).SetDraw(uint64(i))
						start = time.Now()
						copy(dst, data)
						for _, s := range ch.names {
							c.step(s)
						}
						chain = append(chain, time.Since(start))
					}
					m, k := median(chain), median(copies)
					b.ReportMetric(float64(m)/float64(k), "copies")
					b.ReportMetric(float64(m)/1e3, "µs/row")
					b.ReportMetric(float64(k)/1e3, "µs/copy")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
