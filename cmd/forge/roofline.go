package main

import (
	"fmt"
	"time"

	"forge/gguf"
	"forge/kernels"
	"forge/kernels/simd"
)

// benchLimits is what the machine could do with a model: no engine decodes faster than memory gives its weights, nor reads a
// prompt faster than the processor's units multiply.
type benchLimits struct {
	Read   float64 `json:"bytes_per_second"`
	FMA    float64 `json:"float_macs_per_second"`
	Halves float64 `json:"half_macs_per_second"`
	Bytes  float64 `json:"int8_macs_per_second"`
	Rate   float64 `json:"limit_ts"` // tokens a second
	Share  float64 `json:"share"`    // of it that the median sample reaches
	Memory bool    `json:"memory_bound"`
}

// probeTime is how long each limit is measured after each sample: machines with other users change from minute to minute.
const probeTime = 100 * time.Millisecond

// measure takes the best of all measurements; nil does nothing, as the other methods.
func (l *benchLimits) measure(threads int) {
	if l == nil {
		return
	}
	m := simd.MeasureLimits(threads, probeTime)
	l.Read, l.FMA, l.Halves, l.Bytes = max(l.Read, m.Read), max(l.FMA, m.FMA), max(l.Halves, m.Halves), max(l.Bytes, m.Bytes)
}

// conclude says how many tokens a second these limits allow: of a step's memory and arithmetic what takes longer.
func (l *benchLimits) conclude(row *benchRow, t *benchTest, cost *kernels.Cost) {
	if l == nil {
		return
	}
	rows := float64(t.n)
	bytes := float64(cost.WeightBytes)
	if t.decodes() {
		// Sequences share one reading of the weights; each reads its own cache.
		rows = float64(t.nSeq)
		bytes += rows * float64(row.Bytes-cost.WeightBytes)
	}
	memory := bytes / l.Read
	arithmetic := rows * (float64(cost.BlockMACs)/l.Bytes + float64(cost.HalfMACs)/l.Halves + float64(cost.FloatMACs)/l.FMA)
	l.Memory = memory > arithmetic
	l.Rate = rows / max(memory, arithmetic)
	l.Share = median(row.Samples) / l.Rate
}

func (l *benchLimits) print(row *benchRow) {
	if l == nil {
		return
	}
	by := fmt.Sprintf("multiplying %.2f G numbers a token", float64(row.MACs)/1e9)
	if l.Memory {
		by = fmt.Sprintf("reading %.0f MB a token", float64(row.Bytes)/1e6)
	}
	fmt.Printf("\n%s: memory gives %.1f GB/s, %d threads multiply %.0f G float32, %.0f G 16-bit and %.0f G int8 numbers/s.\n", row.Test, l.Read/1e9, row.Threads, l.FMA/1e9, l.Halves/1e9, l.Bytes/1e9)
	fmt.Printf("%s: %s, this machine can do %.1f tokens/s at most; forge reaches %.0f %% of it.\n", row.Test, by, l.Rate, 100*l.Share)
}

// printLargePages says how much of the model lies in large pages, where the system tells. A small model has few that could be
// large and stays in the processor's caches.
func printLargePages(f *gguf.File, copied bool) {
	if large, resident, ok := f.LargePages(); ok && resident >= 32<<20 {
		fmt.Printf("\n%s\n", largePagesLine(f.Name, float64(large)/float64(resident), copied))
	}
}

// largePagesLine gives the mend beside a share under a half: another way to open the file, or for a copy the system's switch.
func largePagesLine(file string, share float64, copied bool) string {
	line := fmt.Sprintf("%.0f %% of the model lies in large pages", 100*share)
	switch {
	case share >= 0.5:
		return line + "."
	case copied:
		return line + ": does /sys/kernel/mm/transparent_hugepage/enabled say never?"
	}
	return line + fmt.Sprintf(": use --no-mmap, or have the system's cache forget the file, so that it is read anew, with dd if=%s iflag=nocache count=0", file)
}
