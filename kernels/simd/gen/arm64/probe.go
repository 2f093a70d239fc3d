package main

import "fmt"

// The kernels that measure what a machine can do, as those of amd64: loops that only multiply and add, and one that only reads.

// probeSums is how many independent sums a loop has: four units with a latency of 4 have 16 in flight.
const probeSums = 16

func emitProbes(a *asm) {
	emitProbeRead(a)
	emitProbeLoop(a, "probeFMANEON", fmt.Sprintf("does n times %d FP32 multiply-adds.", 4*probeSums), func(zero V, sums []V) {
		for _, sum := range sums {
			a.fmla(zero, zero, sum)
		}
	})
	bytes := fmt.Sprintf("does n times %d multiply-adds of bytes.", 16*probeSums)
	emitProbeLoop(a, "probeBytesDotProd", bytes, func(zero V, sums []V) {
		for _, sum := range sums {
			a.sdot(zero, zero, sum)
		}
	})
	// As the dot kernel of 4-bit weights: four products in 16 bits before they are widened.
	emitProbeLoop(a, "probeBytesNEON", bytes, func(zero V, sums []V) {
		for i := 0; i < probeSums; i += 2 {
			t := a.vec()
			a.mulBytes(zero, zero, t)
			a.mulAddBytesHigh(zero, zero, t)
			a.mulAddBytes(zero, zero, t)
			a.mulAddBytesHigh(zero, zero, t)
			a.addPairs(t, sums[i])
			a.free(t)
		}
	})
}

// emitProbeRead adds up memory.
func emitProbeRead(a *asm) {
	a.function("probeReadNEON", "reads n pages of 4 KiB at p.", "p *byte", "n int")
	p, n, steps := a.param("p"), a.param("n"), a.gp()
	x, sums := a.vecs(8), a.vecs(8)
	for _, sum := range sums {
		a.zero(sum)
	}
	a.loop("page", n, func() {
		a.ins("MOVD", 32, steps)
		a.loop("step", steps, func() {
			for i := 0; i < len(x); i += 2 {
				a.loadPair(mem(p, 16*i), x[i], x[i+1])
			}
			for i, sum := range sums {
				a.addInt(x[i], sum, sum)
			}
			a.add(128, p, p)
		})
	})
	a.ret()
}

// emitProbeLoop writes a function that does step n times with probeSums sums.
func emitProbeLoop(a *asm, name, doc string, step func(zero V, sums []V)) {
	a.function(name, doc, "n int")
	n, zero, sums := a.param("n"), a.vec(), a.vecs(probeSums)
	a.zero(zero)
	for _, sum := range sums {
		a.zero(sum)
	}
	a.loop("loop", n, func() { step(zero, sums) })
	a.ret()
}
