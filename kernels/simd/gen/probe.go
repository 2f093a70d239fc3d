package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// The kernels that measure what a machine can do: loops that only multiply and add, with as many sums as hide the latency
// and nothing to wait for, and one that only reads. The numbers are zeros, which never become denormal.

// probeSums is how many independent sums a loop has: no CPU needs more to keep its multipliers busy.
const probeSums = 12

// emitProbes writes the loops of the AVX2 and AVX-VNNI rungs, emitWideProbes those of AVX-512.
func emitProbes(e *emitter) {
	emitProbeRead(e)
	emitProbeFMA(e)
	emitProbeBytes(e)
	emitProbeWords(e)
	e.vnni = true
	emitProbeBytes(e)
	emitProbeWords(e)
	e.vnni = false
}

func emitWideProbes(e *emitter) {
	emitProbeRead(e)
	emitProbeFMA(e)
	emitProbeBytes(e)
	emitProbeWords(e)
}

// emitProbeRead adds up memory. One prefetch a page, far ahead, has the page's address translated and the hardware's stream
// begun before the loads arrive.
func emitProbeRead(e *emitter) {
	name := "probeRead" + e.isa()
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(name + " reads n pages of 4 KiB at p.")
	e.SignatureExpr("func(p *byte, n int)")
	p, n, steps := e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("p"), p)
	e.Load(e.Param("n"), n)
	var sums [4]vec
	for i := range sums {
		sums[i] = e.zero()
	}
	page, loop := e.label("page"), e.label("step")
	e.Label(page)
	e.PREFETCHT0(operand.Mem{Base: p, Disp: farAhead})
	e.MOVQ(operand.I32(8), steps)
	e.Label(loop)
	for at := 0; at < 512; at += e.size() {
		sum := sums[at/e.size()%len(sums)]
		e.VPADDD(operand.Mem{Base: p, Disp: at}, sum, sum)
	}
	e.ADDQ(operand.I32(512), p)
	e.DECQ(steps)
	e.JNZ(operand.LabelRef(loop))
	e.DECQ(n)
	e.JNZ(operand.LabelRef(page))
	e.VZEROUPPER()
	e.RET()
}

// emitProbeLoop writes a function that does step n times with probeSums sums.
func emitProbeLoop(e *emitter, name, doc string, step func(zero vec, sums []vec)) {
	e.Function(name)
	e.Attributes(nosplit)
	e.Doc(name + doc)
	e.SignatureExpr("func(n int)")
	n, zero, sums := e.GP64(), e.zero(), make([]vec, probeSums)
	e.Load(e.Param("n"), n)
	for i := range sums {
		sums[i] = e.zero()
	}
	loop := e.label("loop")
	e.Label(loop)
	step(zero, sums)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

func emitProbeFMA(e *emitter) {
	doc := fmt.Sprintf(" does n times %d FP32 multiply-adds.", probeSums*e.size()/4)
	emitProbeLoop(e, "probeFMA"+e.isa(), doc, func(zero vec, sums []vec) {
		for _, sum := range sums {
			e.VFMADD231PS(zero, zero, sum)
		}
	})
}

// emitProbeBytes multiplies bytes as the fastest tile does: VPDPBUSD, or on AVX2 eight products of 4-bit weights added in 16
// bits before they are widened.
func emitProbeBytes(e *emitter) {
	if e.vnni {
		doc := fmt.Sprintf(" does n times %d multiply-adds of bytes.", probeSums*e.size())
		emitProbeLoop(e, "probeBytes"+e.isa(), doc, func(zero vec, sums []vec) {
			for _, sum := range sums {
				e.VPDPBUSD(zero, zero, sum)
			}
		})
		return
	}
	const parallel, steps = 4, 8 // of int16 sums in registers, and of products in one
	doc := fmt.Sprintf(" does n times %d multiply-adds of bytes.", parallel*steps*e.size())
	emitProbeLoop(e, "probeBytes"+e.isa(), doc, func(zero vec, sums []vec) {
		for k := range steps {
			for i := range parallel {
				if k == 0 {
					e.VPMADDUBSW(zero, zero, sums[i])
					continue
				}
				p := e.vec()
				e.VPMADDUBSW(zero, zero, p)
				e.VPADDW(p, sums[i], sums[i])
			}
		}
		for i := range parallel {
			e.VPMADDWD(zero, sums[i], sums[i])
			e.VPADDD(sums[i], sums[parallel+i], sums[parallel+i])
		}
	})
}

// emitProbeWords multiplies words as the tiles of block fixed point do.
func emitProbeWords(e *emitter) {
	doc := fmt.Sprintf(" does n times %d multiply-adds of words.", probeSums*e.size()/2)
	emitProbeLoop(e, "probeWords"+e.isa(), doc, func(zero vec, sums []vec) {
		for _, sum := range sums {
			if e.vnni {
				e.VPDPWSSD(zero, zero, sum)
				continue
			}
			p := e.vec()
			e.VPMADDWD(zero, zero, p)
			e.VPADDD(p, sum, sum)
		}
	})
}
