package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kernels around the products: quantising an activation row, and float16 to float32 and back.
func emitActs(e *emitter) {
	emitQuantize(e, true)
	emitQuantize(e, false)
	emitHalfToFloat(e)
	emitFloatToHalf(e)
}

// emitQuantize rounds 32 floats to an activation block at a time; acts.go has the layout and the formula.
func emitQuantize(e *emitter, withLanes bool) {
	name, doc := "quantizeBlocksAVX2", "quantizeBlocksAVX2 rounds n blocks of 32 floats."
	signature := "func(blocks *byte, x *float32, n int)"
	if withLanes {
		name, doc = "quantizeAVX2", "quantizeAVX2 rounds n blocks of 32 floats to blocks and lanes of groups, from block first of a group on."
		signature = "func(blocks, lanes *byte, x *float32, first, n int)"
	}
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(doc)
	e.SignatureExpr(signature)
	dst, x, n := e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("blocks"), dst)
	e.Load(e.Param("x"), x)
	e.Load(e.Param("n"), n)
	var lanes, l reg.GPVirtual
	if withLanes {
		lanes, l = e.GP64(), e.GP64()
		e.Load(e.Param("lanes"), lanes)
		e.Load(e.Param("first"), l)
		skip := e.GP64()
		e.MOVQ(l, skip)
		e.SHLQ(imm(6), skip)
		e.ADDQ(skip, dst)
	}
	abs := e.load(e.dwords("floatAbs", 0x7fffffff))
	order := e.load(e.dwordList("packOrder", [8]uint32{0, 4, 1, 5, 2, 6, 3, 7}))
	lowest := e.load(e.bytes8("minus127", 129))
	ones8 := e.load(e.bytes8("onesBytes", 1))
	ones16 := e.load(e.onesWords())
	c127, tiny := e.XMM(), e.XMM()
	e.VMOVUPS(e.dwords("float127", math.Float32bits(127)), c127)
	e.VMOVUPS(e.dwords("minNormal", 0x00800000), tiny)

	loop := e.label("block")
	e.Label(loop)
	var v [4]ymm
	for i := range v {
		v[i] = e.YMM()
		e.VMOVUPS(operand.Mem{Base: x, Disp: 32 * i}, v[i])
	}
	// The bits of |x| order like the numbers, and put a NaN above them all, so that it reaches d.
	m, t := e.YMM(), e.YMM()
	e.VPAND(abs, v[0], m)
	for _, u := range v[1:] {
		e.VPAND(abs, u, t)
		e.VPMAXUD(t, m, m)
	}
	mx, tx := m.AsX(), t.AsX()
	e.VEXTRACTI128(imm(1), m, tx)
	e.VPMAXUD(tx, mx, mx)
	e.VPSHUFD(imm(0x4e), mx, tx)
	e.VPMAXUD(tx, mx, mx)
	e.VPSHUFD(imm(0xb1), mx, tx)
	e.VPMAXUD(tx, mx, mx)
	e.VDIVPS(c127, mx, mx)
	e.VMAXPS(mx, tiny, mx) // keeps a NaN: the second source wins
	d := e.YMM()
	e.VBROADCASTSS(mx, d)
	for i := range v {
		e.VDIVPS(d, v[i], v[i])
		e.VCVTPS2DQ(v[i], v[i])
	}
	e.VPACKSSDW(v[1], v[0], v[0])
	e.VPACKSSDW(v[3], v[2], v[2])
	e.VPACKSSWB(v[2], v[0], v[0])
	e.VPERMD(v[0], order, v[0])
	e.VPMAXSB(lowest, v[0], v[0])
	at := func(off int) operand.Mem { return operand.Mem{Base: dst, Disp: off} }
	// toLane stores to the block's lane.
	toLane := func(off int, store func(to operand.Mem)) {
		if withLanes {
			store(operand.Mem{Base: lanes, Index: l, Scale: 4, Disp: off})
		}
	}
	e.VMOVDQU(v[0], at(0))

	if withLanes {
		storePairs(e, v[0], lanes, l)
	}

	// Sums of 16: in both halves of s at once.
	s := e.YMM()
	e.VPMADDUBSW(v[0], ones8, s)
	e.VPMADDWD(ones16, s, s)
	e.VPHADDD(s, s, s)
	e.VPHADDD(s, s, s)
	hi, both, zero := e.XMM(), e.XMM(), e.XMM()
	e.VEXTRACTI128(imm(1), s, hi)
	e.VPUNPCKLDQ(hi, s.AsX(), both) // sum 0, sum 1, sum 0, sum 1
	total := e.XMM()
	e.VPADDD(hi, s.AsX(), total)
	e.VPXOR(zero, zero, zero)
	two := func(x reg.Register, off, laneOff int) {
		e.VMOVQ(x, at(off))
		toLane(laneOff, func(to operand.Mem) { e.VMOVD(x, to) })
		toLane(laneOff+32, func(to operand.Mem) { e.VPEXTRD(imm(1), x, to) })
	}
	one := func(x reg.Register, off, laneOff int) {
		e.VMOVD(x, at(off))
		toLane(laneOff, func(to operand.Mem) { e.VMOVD(x, to) })
	}
	one(mx, actScale, laneScale)
	f := e.XMM()
	e.VCVTDQ2PS(total, f)
	e.VMULPS(d.AsX(), f, f)
	one(f, actDSum, laneDSum)
	e.VPSUBD(total, zero, total)
	one(total, actNegSum, laneNegSum)
	e.VCVTDQ2PS(both, f)
	e.VMULPS(d.AsX(), f, f)
	two(f, actDSum16, laneDSum16)
	e.VPSUBD(both, zero, both)
	two(both, actNeg16, laneNeg16)
	e.VPACKSSDW(both, both, both)
	e.VMOVD(both, at(actNegPr))

	e.ADDQ(operand.I32(128), x)
	e.ADDQ(operand.I32(actBlock), dst)
	if withLanes {
		same := e.label("same")
		e.INCQ(l)
		e.CMPQ(l, imm(groupBlocks))
		e.JNE(operand.LabelRef(same))
		e.XORQ(l, l)
		e.ADDQ(operand.I32(actGroup), lanes)
		e.Label(same)
	}
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

// storePairs stores the 32 values of block l in the group's pairs, where it has part l%4, and half l/4 of it.
func storePairs(e *emitter, v ymm, lanes, l reg.GPVirtual) {
	pair, half := e.GP64(), e.GP64()
	e.MOVQ(l, pair)
	e.ANDQ(imm(3), pair)
	e.SHLQ(imm(6), pair)
	e.MOVQ(l, half)
	e.ANDQ(imm(4), half)
	e.LEAQ(operand.Mem{Base: pair, Index: half, Scale: 4}, pair)
	e.ADDQ(lanes, pair)
	e.VMOVDQU(v.AsX(), operand.Mem{Base: pair, Disp: lanePairs})
	e.VEXTRACTI128(imm(1), v, operand.Mem{Base: pair, Disp: lanePairs + 32})
}

func emitHalfToFloat(e *emitter) {
	e.Function("halfToFloatAVX2")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("halfToFloatAVX2 converts n groups of 8 float16.")
	e.SignatureExpr("func(dst *float32, src *uint16, n int)")
	convert(e, 32, 16, func(dst, src operand.Mem) {
		v := e.YMM()
		e.VCVTPH2PS(src, v)
		e.VMOVUPS(v, dst)
	})
}

func emitFloatToHalf(e *emitter) {
	e.Function("floatToHalfAVX2")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("floatToHalfAVX2 rounds n groups of 8 floats to the nearest float16, ties to even.")
	e.SignatureExpr("func(dst *uint16, src *float32, n int)")
	convert(e, 16, 32, func(dst, src operand.Mem) {
		v := e.YMM()
		e.VMOVUPS(src, v)
		e.VCVTPS2PH(imm(0), v, dst)
	})
}

// convert is a loop over groups of 8 values.
func convert(e *emitter, dstBytes, srcBytes int, one func(dst, src operand.Mem)) {
	dst, src, n := e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("dst"), dst)
	e.Load(e.Param("src"), src)
	e.Load(e.Param("n"), n)
	loop := e.label("group")
	e.Label(loop)
	one(operand.Mem{Base: dst}, operand.Mem{Base: src})
	e.ADDQ(operand.I32(int32(dstBytes)), dst)
	e.ADDQ(operand.I32(int32(srcBytes)), src)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}
