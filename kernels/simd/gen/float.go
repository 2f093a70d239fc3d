package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// Products of float weights (F32, F16, BF16) with float activations. Lane l of a sum takes the k with k%8 == l in order;
// the eight lanes are then added as ((0+1)+(2+3)) + ((4+5)+(6+7)), which the tree of horizontal adds gives for free.

type floatFormat struct {
	name  string
	bytes int // of 8 weights
	load  func(e *emitter, m operand.Mem) ymm
}

func floatFormats() []floatFormat {
	return []floatFormat{
		{"F32", 32, func(e *emitter, m operand.Mem) ymm { v := e.YMM(); e.VMOVUPS(m, v); return v }},
		{"F16", 16, func(e *emitter, m operand.Mem) ymm { v := e.YMM(); e.VCVTPH2PS(m, v); return v }},
		{"BF16", 16, func(e *emitter, m operand.Mem) ymm {
			v := e.YMM()
			e.VPMOVZXWD(m, v)
			e.VPSLLD(imm(16), v, v)
			return v
		}},
	}
}

// reduce adds the lanes of 8 sums: lane i of the result is sum i's.
func (e *emitter) reduce(sums [8]ymm) ymm {
	t := e.tree(func(i int) ymm { return sums[i] }, e.addFloat)
	first, second := e.split(t)
	e.VADDPS(second, first, first)
	return first
}

// emitFloatDots: 8 weight rows, one activation row.
func emitFloatDots(e *emitter) {
	for _, f := range floatFormats() {
		name := "dot" + f.name + "AVX2"
		e.Function(name)
		e.Attributes(nosplit)
		e.Pragma("noescape")
		e.Doc(name + " multiplies groups of 8 rows of 8*n " + f.name + " with one row of floats.")
		e.SignatureExpr("func(out *float32, w *byte, rowBytes, groups int, a *byte, n int)")
		r := e.newRows()
		w, a, out, groups, n := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
		e.Load(e.Param("w"), w)
		e.Load(e.Param("out"), out)
		e.Load(e.Param("groups"), groups)
		group, loop := e.label("group"), e.label("step")
		e.Label(group)
		e.start(r, w)
		e.Load(e.Param("a"), a)
		e.Load(e.Param("n"), n)
		var sums [8]ymm
		for i := range sums {
			sums[i] = e.zero()
		}
		e.Label(loop)
		x := e.load(operand.Mem{Base: a})
		for i := range sums {
			if f.name == "F32" {
				e.VFMADD231PS(r.at(i, 0), x, sums[i])
				continue
			}
			e.VFMADD231PS(f.load(e, r.at(i, 0)), x, sums[i])
		}
		e.advance(r, f.bytes)
		e.ADDQ(operand.I32(32), a)
		e.DECQ(n)
		e.JNZ(operand.LabelRef(loop))
		e.VMOVUPS(e.reduce(sums), operand.Mem{Base: out})
		e.ADDQ(operand.I32(32), out)
		e.LEAQ(operand.Mem{Base: w, Index: r.rb, Scale: 8}, w)
		e.DECQ(groups)
		e.JNZ(operand.LabelRef(group))
		e.VZEROUPPER()
		e.RET()
	}
}

// emitFloatGemms: 2 weight rows, 4 activation rows.
func emitFloatGemms(e *emitter) {
	for _, f := range floatFormats() {
		name := fmt.Sprintf("gemm%sAVX2", f.name)
		e.Function(name)
		e.Attributes(nosplit)
		e.Pragma("noescape")
		e.Doc(name+" multiplies pairs of rows of 8*n "+f.name+" with 4 rows of floats that lie stride bytes apart:",
			"2*pairs results at out, out[ldo:], out[2*ldo:], out[3*ldo:].")
		e.SignatureExpr("func(out *float32, ldo int, w *byte, rowBytes, pairs int, a *byte, stride, n int)")
		out, ldo, ldo3 := e.GP64(), e.GP64(), e.GP64()
		e.Load(e.Param("out"), out)
		e.Load(e.Param("ldo"), ldo)
		e.LEAQ(operand.Mem{Base: ldo, Index: ldo, Scale: 2}, ldo3)
		w, rb, pairs := e.GP64(), e.GP64(), e.GP64()
		e.Load(e.Param("w"), w)
		e.Load(e.Param("rowBytes"), rb)
		e.Load(e.Param("pairs"), pairs)
		stride, stride3 := e.GP64(), e.GP64()
		e.Load(e.Param("stride"), stride)
		e.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, stride3)
		group, loop := e.label("pair"), e.label("step")
		p, a, n := e.GP64(), e.GP64(), e.GP64()
		e.Label(group)
		e.MOVQ(w, p)
		e.Load(e.Param("a"), a)
		e.Load(e.Param("n"), n)
		var sums [8]ymm // 2*row of activations + row of weights
		for i := range sums {
			sums[i] = e.zero()
		}
		acts := [4]operand.Mem{
			{Base: a},
			{Base: a, Index: stride, Scale: 1},
			{Base: a, Index: stride, Scale: 2},
			{Base: a, Index: stride3, Scale: 1},
		}
		e.Label(loop)
		w0, w1 := f.load(e, operand.Mem{Base: p}), f.load(e, operand.Mem{Base: p, Index: rb, Scale: 1})
		for j, m := range acts {
			x := e.load(m)
			e.VFMADD231PS(w0, x, sums[2*j])
			e.VFMADD231PS(w1, x, sums[2*j+1])
		}
		e.ADDQ(operand.I32(int32(f.bytes)), p)
		e.ADDQ(operand.I32(32), a)
		e.DECQ(n)
		e.JNZ(operand.LabelRef(loop))
		v, hi := e.reduce(sums), e.XMM()
		e.VEXTRACTF128(imm(1), v, hi)
		e.VMOVLPS(v.AsX(), operand.Mem{Base: out})
		e.VMOVHPS(v.AsX(), operand.Mem{Base: out, Index: ldo, Scale: 4})
		e.VMOVLPS(hi, operand.Mem{Base: out, Index: ldo, Scale: 8})
		e.VMOVHPS(hi, operand.Mem{Base: out, Index: ldo3, Scale: 4})
		e.ADDQ(operand.I32(8), out)
		e.LEAQ(operand.Mem{Base: w, Index: rb, Scale: 2}, w)
		e.DECQ(pairs)
		e.JNZ(operand.LabelRef(group))
		e.VZEROUPPER()
		e.RET()
	}
}
