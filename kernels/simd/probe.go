package simd

import (
	"time"
	"unsafe"
)

// Limits is what this machine can do with the instruction set in use: no kernel is faster.
type Limits struct {
	Threads int
	Read    float64 // bytes a second, from memory that no cache holds
	FMA     float64 // FP32 multiply-adds a second
	Halves  float64 // multiply-adds a second with weights of F16 and BF16: as FP32, or as 16-bit integers where that is faster
	Bytes   float64 // multiply-adds of 8-bit integers a second, as products of quantised weights need them
}

const (
	probePage  = 4096
	probeBytes = 256 << 20 // read in one round, well above the size of any cache
)

// probes are the loops that measure. fma, words and bytes do fmaOps, wordsOps and bytesOps multiply-adds n times; words is nil
// where integers of 16 bits are not used.
type probes struct {
	read                       func(p *byte, pages int)
	fma, words, bytes          func(n int)
	fmaOps, wordsOps, bytesOps int
}

// MeasureLimits measures with that many threads, each limit for about as long as given. It allocates 256 MiB meanwhile. Other
// programs' work only makes a round slower, so the best of several rounds counts.
func MeasureLimits(threads int, each time.Duration) Limits {
	return measureLimits(probesFor(level), max(threads, 1), each)
}

func measureLimits(k probes, threads int, each time.Duration) Limits {
	p := newPool(threads)
	defer p.close()
	memory := alignedBytes(probeBytes)
	for i := 0; i < len(memory); i += probePage {
		memory[i] = 1 // a page that was never written is all pages' zeros, and no memory
	}
	const share = 64 // pages that a worker takes at once
	l := Limits{Threads: threads}
	l.Read = bestRate(each, probeBytes, func() {
		p.run(probeBytes/probePage/share, func(_, from, to int) { k.read(&memory[from*share*probePage], (to-from)*share) })
	})
	// A worker that comes late leaves its rounds to the others.
	const rounds, chunks = 10_000, 16
	compute := func(ops int, loop func(n int)) float64 {
		return bestRate(each, float64(threads*chunks*rounds*ops), func() {
			p.run(threads*chunks, func(_, from, to int) { loop((to - from) * rounds) })
		})
	}
	l.FMA, l.Bytes = compute(k.fmaOps, k.fma), compute(k.bytesOps, k.bytes)
	if l.Halves = l.FMA; k.words != nil {
		l.Halves = max(l.FMA, compute(k.wordsOps, k.words))
	}
	return l
}

// bestRate is the most work a second of the rounds that fit d, and of at least three.
func bestRate(d time.Duration, work float64, round func()) float64 {
	best := 0.0
	start := time.Now()
	for i := 0; i < 3 || time.Since(start) < d; i++ {
		t := time.Now()
		round()
		best = max(best, work/time.Since(t).Seconds())
	}
	return best
}

// The plain Go loops, for CPUs without kernels.

var scalarProbes = probes{read: readGeneric, fma: fmaGeneric, bytes: bytesGeneric, fmaOps: 4, bytesOps: 4}

// probeSink keeps the compiler from dropping the loops.
var probeSink struct {
	read uint64
	fma  float32
	sum  int32
}

func readGeneric(p *byte, pages int) {
	var sum uint64
	for _, v := range unsafe.Slice((*uint64)(unsafe.Pointer(p)), pages*probePage/8) {
		sum += v
	}
	if sum == 1<<63 { // never, but the compiler cannot know; no store that threads would fight over
		probeSink.read = sum
	}
}

func fmaGeneric(n int) {
	var a, b, c, d, x float32
	for range n {
		a, b, c, d = a*x+x, b*x+x, c*x+x, d*x+x
	}
	if s := a + b + c + d; s != 0 {
		probeSink.fma = s
	}
}

func bytesGeneric(n int) {
	var a, b, c, d int32
	x := int32(n & 1)
	for range n {
		a, b, c, d = a*x+x, b*x+x, c*x+x, d*x+x
	}
	if s := a + b + c + d; s == 1<<30 {
		probeSink.sum = s
	}
}
