package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// The kernel for one activation row. 8 weight rows are read at once; a row's block of 32 bytes times the activation's 32
// gives 8 partial sums, and the 8 rows' partials are added across in a tree that ends with one sum a lane: lane i is
// weight row i. From there on nothing is horizontal: convert, multiply by dw*da, accumulate.

func emitDots(e *emitter, formats []*format) {
	for _, f := range formats {
		for _, e.vnni = range []bool{false, true} {
			emitDot(e, f)
		}
	}
	e.vnni = false
}

// dotSink keeps the scales in registers (one block) or on the stack (eight).
type dotSink struct {
	e      *emitter
	f      *format
	kept   map[string]ymm
	frame  operand.Mem
	fields []string
}

func newDotSink(e *emitter, f *format) *dotSink {
	s := &dotSink{e: e, f: f, kept: map[string]ymm{}}
	s.fields = []string{"dw"}
	switch f.kind {
	case kindMin:
		s.fields = append(s.fields, "min0")
	case kindMin2:
		s.fields = append(s.fields, "min0", "min1", "scale0", "scale1")
	case kindHalf:
		s.fields = append(s.fields, "scale0", "scale1")
	}
	if f.sub > 1 {
		s.frame = e.AllocLocal(32 * f.sub * len(s.fields))
	}
	return s
}

func (s *dotSink) put(field string, b int, v ymm) {
	if s.f.sub == 1 {
		s.kept[field] = v
		return
	}
	s.e.VMOVDQU(v, s.slot(field, b))
}

func (s *dotSink) slot(field string, b int) operand.Mem {
	for i, f := range s.fields {
		if f == field {
			return s.frame.Offset(32 * (i*s.f.sub + b))
		}
	}
	panic("no field " + field)
}

// get is an operand: a register or a place on the stack.
func (s *dotSink) get(field string, b int) operand.Op {
	if s.f.sub == 1 {
		return s.kept[field]
	}
	return s.slot(field, b)
}

func (s *dotSink) dw(b int, v ymm)        { s.put("dw", b, v) }
func (s *dotSink) min(b, half int, v ymm) { s.put(fmt.Sprintf("min%d", half), b, v) }
func (s *dotSink) scales(b int, v [2]ymm) {
	s.put("scale0", b, v[0])
	s.put("scale1", b, v[1])
}

func emitDot(e *emitter, f *format) {
	name := "dot" + f.name + e.isa()
	e.Function(name)
	if f.sub == 1 { // no frame
		e.Attributes(nosplit)
	}
	e.Pragma("noescape")
	e.Doc(name + " multiplies groups of 8 rows of n " + f.name + " blocks with one activation row: 8*groups floats at out.")
	e.SignatureExpr("func(out *float32, w *byte, rowBytes, groups int, a *byte, n int)")
	r := e.newRows()
	w, a, out, groups, n := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("w"), w)
	e.Load(e.Param("out"), out)
	e.Load(e.Param("groups"), groups)
	s := newDotSink(e, f)
	f.begin(e)
	ones := e.load(e.onesWords())
	group, loop := e.label("group"), e.label("block")
	e.Label(group)
	e.start(r, w)
	e.Load(e.Param("a"), a)
	e.Load(e.Param("n"), n)
	acc := e.zero()

	e.Label(loop)
	f.header(e, r, s)
	for b := range f.sub {
		e.dotBlock(f, r, b, operand.Mem{Base: a, Disp: actBlock * b}, s, ones, acc)
	}
	e.advance(r, f.bytes)
	e.ADDQ(operand.I32(int32(actBlock*f.sub)), a)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))

	e.VMOVUPS(acc, operand.Mem{Base: out})
	e.ADDQ(operand.I32(32), out)
	e.LEAQ(operand.Mem{Base: w, Index: r.rb, Scale: 8}, w)
	e.DECQ(groups)
	e.JNZ(operand.LabelRef(group))
	e.VZEROUPPER()
	e.RET()
}

// dotBlock adds block b's part to acc.
func (e *emitter) dotBlock(f *format, r rows, b int, at operand.Mem, s *dotSink, ones, acc ymm) {
	var sum ymm
	shift, corrected := f.offset(e.vnni)
	if f.kind == kindHalf || f.kind == kindMin2 {
		var h [2]ymm
		h[0], h[1] = e.split(e.sumHalves(f, r, b, at, ones))
		for i := range h {
			if corrected {
				c := e.YMM()
				e.VPBROADCASTD(at.Offset(actNeg16+4*i), c)
				e.VPSLLD(imm(shift), c, c)
				e.VPADDD(c, h[i], h[i])
			}
			e.VPMULLD(s.get(fmt.Sprintf("scale%d", i), b), h[i], h[i])
		}
		sum = h[0]
		e.VPADDD(h[1], h[0], sum)
	} else {
		if f.pair != nil {
			sum = e.sumPairs(f, r, b, at, ones)
		} else {
			first, second := e.split(e.sumHalves(f, r, b, at, ones))
			sum = first
			e.VPADDD(second, first, sum)
		}
		if corrected {
			c := e.YMM()
			e.VPBROADCASTD(at.Offset(actNegSum), c)
			e.VPSLLD(imm(shift), c, c)
			e.VPADDD(c, sum, sum)
		}
	}
	e.VCVTDQ2PS(sum, sum)
	d := e.YMM()
	e.VBROADCASTSS(at.Offset(actScale), d)
	e.VMULPS(s.get("dw", b), d, d)
	e.VFMADD231PS(sum, d, acc)
	switch f.kind {
	case kindMin:
		e.VBROADCASTSS(at.Offset(actDSum), d)
		e.VFMADD231PS(s.get("min0", b), d, acc)
	case kindMin2:
		for half := range 2 {
			e.VBROADCASTSS(at.Offset(actDSum16+4*half), d)
			e.VFMADD231PS(s.get(fmt.Sprintf("min%d", half), b), d, acc)
		}
	}
}

// sumHalves are the integer sums of block b of 8 rows, for both halves of k.
func (e *emitter) sumHalves(f *format, r rows, b int, at operand.Mem, ones ymm) treeHalves {
	act := e.load(at)
	return e.tree(func(i int) ymm {
		w := f.unpack(e, r, b, i)
		if e.vnni {
			sum := e.zero()
			e.VPDPBUSD(act, w, sum)
			return sum
		}
		e.multiply(f, act, w)
		e.VPMADDWD(ones, w, w)
		return w
	}, e.addInt(f.top, 4, ones))
}

// sumPairs are the integer sums of block b of 8 rows, from vectors of two rows.
func (e *emitter) sumPairs(f *format, r rows, b int, at operand.Mem, ones ymm) ymm {
	var act [2]ymm
	for i := range act {
		act[i] = e.YMM()
		e.VBROADCASTI128(at.Offset(16*i), act[i])
	}
	return e.quad(func(i int) ymm {
		lo, hi := f.pair(e, r, b, i)
		if e.vnni {
			sum := e.zero()
			e.VPDPBUSD(act[0], lo, sum)
			e.VPDPBUSD(act[1], hi, sum)
			return sum
		}
		e.multiply(f, act[0], lo)
		e.multiply(f, act[1], hi)
		if f.signed { // two sums of two products, each up to 32512
			e.VPMADDWD(ones, lo, lo)
			e.VPMADDWD(ones, hi, hi)
			e.VPADDD(hi, lo, lo)
			return lo
		}
		e.VPADDW(hi, lo, lo)
		e.VPMADDWD(ones, lo, lo)
		return lo
	}, e.addInt(f.top, 8, ones))
}

// multiply leaves in w sums of two products in int16. Signed weights take |w| * (a with the sign of w); |w| may be 128, which
// is right as an unsigned byte.
func (e *emitter) multiply(f *format, act, w ymm) {
	if f.signed {
		s := e.YMM()
		e.VPSIGNB(w, act, s)
		e.VPABSB(w, w)
		act = s
	}
	e.VPMADDUBSW(act, w, w)
}

func (e *emitter) onesWords() operand.Mem { return e.dwords("onesWords", 0x00010001) }
