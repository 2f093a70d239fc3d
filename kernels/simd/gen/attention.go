package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// emitAttention writes what attention consists of: small products of queries, or of weights, with a page of keys or
// values, and the softmax over a page's scores.
func emitAttention(e *emitter) {
	for _, half := range []bool{true, false} {
		for rows := 1; rows <= 6; rows++ {
			emitMultiply(e, rows, half)
		}
	}
	emitSoftmax(e)
}

// emitMultiply: out[i, c] = fma(a[i, t], b[t, c], out[i, c]) for t in order; the columns c are spread over lanes, so that
// no sum ever crosses them. Accumulators for rows times vectors columns stay in registers: as many as there are.
func emitMultiply(e *emitter, rows int, half bool) {
	name, elem, kind := fmt.Sprintf("multiplyFloat%dAVX2", rows), 4, "float32"
	if half {
		name, elem, kind = fmt.Sprintf("multiplyHalf%dAVX2", rows), 2, "float16"
	}
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s adds a[%d, k] * b[k, cols] to out; b is %s, its rows lie ldb bytes apart. cols is a multiple of 16.", name, rows, kind))
	e.SignatureExpr("func(out *float32, ldo int, a *float32, lda int, b *byte, ldb, k, cols int)")
	out, outFar, ldo := e.GP64(), e.GP64(), e.GP64()
	a, lda, b, ldb, k, cols := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("out"), out)
	e.Load(e.Param("ldo"), ldo)
	e.SHLQ(imm(2), ldo)
	e.Load(e.Param("a"), a)
	e.Load(e.Param("lda"), lda)
	e.SHLQ(imm(2), lda)
	e.Load(e.Param("b"), b)
	e.Load(e.Param("ldb"), ldb)
	e.Load(e.Param("k"), k)
	e.Load(e.Param("cols"), cols)
	p, pFar, q, count := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	far := func(base, stride, to reg.GPVirtual) {
		if rows > 3 {
			e.LEAQ(operand.Mem{Base: base, Index: stride, Scale: 2}, to)
			e.ADDQ(stride, to)
		}
	}
	at := func(near, far, stride reg.GPVirtual, i, disp int) operand.Mem {
		m := operand.Mem{Base: near, Disp: disp}
		if i >= 3 {
			m.Base = far
		}
		if i%3 > 0 {
			m.Index, m.Scale = stride, uint8(i%3)
		}
		return m
	}
	tile := func(vectors int) {
		width := 8 * vectors
		tiles, loop, done := e.label("tile"), e.label("step"), e.label("done")
		e.Label(tiles)
		e.CMPQ(cols, operand.I32(int32(width)))
		e.JLT(operand.LabelRef(done))
		far(out, ldo, outFar)
		var acc [6][4]ymm
		for i := range rows {
			for j := range vectors {
				acc[i][j] = e.YMM()
				e.VMOVUPS(at(out, outFar, ldo, i, 32*j), acc[i][j])
			}
		}
		e.MOVQ(a, p)
		far(a, lda, pFar)
		e.MOVQ(b, q)
		e.MOVQ(k, count)
		e.Label(loop)
		column := func(j int) ymm {
			v := e.YMM()
			if half {
				e.VCVTPH2PS(operand.Mem{Base: q, Disp: 16 * j}, v)
			} else {
				e.VMOVUPS(operand.Mem{Base: q, Disp: 32 * j}, v)
			}
			return v
		}
		row := func(i int) ymm {
			v := e.YMM()
			e.VBROADCASTSS(at(p, pFar, lda, i, 0), v)
			return v
		}
		if rows <= 3 {
			var r [3]ymm
			for i := range rows {
				r[i] = row(i)
			}
			for j := range vectors {
				c := column(j)
				for i := range rows {
					e.VFMADD231PS(c, r[i], acc[i][j])
				}
			}
		} else {
			var c [4]ymm
			for j := range vectors {
				c[j] = column(j)
			}
			for i := range rows {
				r := row(i)
				for j := range vectors {
					e.VFMADD231PS(c[j], r, acc[i][j])
				}
			}
		}
		e.ADDQ(operand.I32(4), p)
		if rows > 3 {
			e.ADDQ(operand.I32(4), pFar)
		}
		e.ADDQ(ldb, q)
		e.DECQ(count)
		e.JNZ(operand.LabelRef(loop))
		for i := range rows {
			for j := range vectors {
				e.VMOVUPS(acc[i][j], at(out, outFar, ldo, i, 32*j))
			}
		}
		e.ADDQ(operand.I32(int32(4*width)), out)
		e.ADDQ(operand.I32(int32(elem*width)), b)
		e.SUBQ(operand.I32(int32(width)), cols)
		e.JMP(operand.LabelRef(tiles))
		e.Label(done)
	}
	if rows <= 3 {
		tile(4)
	}
	tile(2)
	e.VZEROUPPER()
	e.RET()
}

// emitSoftmax turns the 32 scores of each query into weights, and brings its maximum and sum up to date.
func emitSoftmax(e *emitter) {
	e.Function("softmaxPageAVX2")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("softmaxPageAVX2 is softmaxPageGeneric for n queries.")
	e.SignatureExpr("func(scores *float32, n int, top, sum, factor *float32)")
	scores, n, top, sum, factor := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("scores"), scores)
	e.Load(e.Param("n"), n)
	e.Load(e.Param("top"), top)
	e.Load(e.Param("sum"), sum)
	e.Load(e.Param("factor"), factor)
	loop, same := e.label("query"), e.label("same")
	e.Label(loop)
	var s [4]ymm
	for j := range s {
		s[j] = e.YMM()
		e.VMOVUPS(operand.Mem{Base: scores, Disp: 32 * j}, s[j])
	}
	m, t := e.YMM(), e.YMM()
	e.VMAXPS(s[1], s[0], m)
	e.VMAXPS(s[3], s[2], t)
	e.VMAXPS(t, m, m)
	e.VEXTRACTF128(imm(1), m, t.AsX())
	e.VMAXPS(t.AsX(), m.AsX(), m.AsX())
	e.VPERMILPS(imm(0x4e), m.AsX(), t.AsX())
	e.VMAXPS(t.AsX(), m.AsX(), m.AsX())
	e.VPERMILPS(imm(0xb1), m.AsX(), t.AsX())
	e.VMAXPS(t.AsX(), m.AsX(), m.AsX())
	old, f := e.YMM(), e.YMM()
	e.VBROADCASTSS(operand.Mem{Base: top}, old)
	e.VMAXSS(old.AsX(), m.AsX(), m.AsX())
	e.VMOVSS(m.AsX(), operand.Mem{Base: top})
	e.VBROADCASTSS(m.AsX(), m)
	e.VMOVUPS(e.floats("one", 1), f)
	e.VUCOMISS(old.AsX(), m.AsX())
	e.JEQ(operand.LabelRef(same))
	e.VSUBPS(m, old, f)
	e.exp(f)
	e.Label(same)
	e.VMOVSS(f.AsX(), operand.Mem{Base: factor})
	for j := range s {
		e.VSUBPS(m, s[j], s[j])
		e.exp(s[j])
		e.VMOVUPS(s[j], operand.Mem{Base: scores, Disp: 32 * j})
	}
	total := s[0]
	e.VADDPS(s[1], s[0], total)
	e.VADDPS(s[3], s[2], t)
	e.VADDPS(t, total, total)
	x, u := total.AsX(), t.AsX()
	e.VEXTRACTF128(imm(1), total, u)
	e.VADDPS(u, x, x)
	e.VPERMILPS(imm(0x4e), x, u)
	e.VADDPS(u, x, x)
	e.VPERMILPS(imm(0xb1), x, u)
	e.VADDPS(u, x, x)
	e.VMULSS(operand.Mem{Base: sum}, f.AsX(), f.AsX())
	e.VADDSS(x, f.AsX(), f.AsX())
	e.VMOVSS(f.AsX(), operand.Mem{Base: sum})
	e.ADDQ(operand.I32(128), scores)
	for _, p := range []reg.GPVirtual{top, sum, factor} {
		e.ADDQ(operand.I32(4), p)
	}
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}
