package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernel for one activation row. 8 weight rows are read at once (16 where vectors are wide); a row's block of 32 bytes
// times the activation's 32 gives partial sums, and the rows' partials are added across in a tree that ends with one sum a
// lane: lane i is weight row i. From there on nothing is horizontal: convert, multiply by dw*da, accumulate.

// prefetchRow is the longest row, in bytes, for which the next group is asked for: 8 of them must leave room in the
// first-level cache. The streams of longer rows the hardware follows by itself; asking slowed 4 KiB rows by a sixth.
const prefetchRow = 2560

func emitDots(e *emitter, formats []*format) {
	for _, f := range formats {
		for _, e.vnni = range []bool{false, true} {
			emitDot(e, f)
		}
	}
	e.vnni = false
}

func emitWideDots(e *emitter, formats []*format) {
	for _, f := range formats {
		emitDot(e, f)
	}
}

// frame is memory of a kernel for vectors, aligned for them.
type frame struct {
	e    *emitter
	base operand.Mem
	used int
}

// newFrame reserves room for n vectors.
func (e *emitter) newFrame(n int) *frame {
	f := &frame{e: e}
	if n == 0 {
		return f
	}
	if !e.wide {
		f.base = e.AllocLocal(32 * n)
		return f
	}
	base := e.GP64()
	e.LEAQ(e.AllocLocal(64*n+64).Offset(63), base)
	e.ANDQ(operand.I32(-64), base)
	f.base = operand.Mem{Base: base}
	return f
}

// take gives room for n vectors.
func (f *frame) take(n int) operand.Mem {
	m := f.base.Offset(f.used)
	f.used += n * f.e.size()
	return m
}

// dotSink keeps the scales in registers (one block) or in the frame (eight).
type dotSink struct {
	e      *emitter
	f      *format
	kept   map[string]vec
	places map[string]operand.Mem
}

// fields are the vectors that a block's scales make.
func (f *format) fields() []string {
	switch f.kind {
	case kindMin:
		return []string{"dw", "min0"}
	case kindMin2:
		return []string{"dw", "min0", "min1", "scale0", "scale1"}
	case kindHalf:
		return []string{"dw", "scale0", "scale1"}
	}
	return []string{"dw"}
}

// sinkVectors is how many vectors of the frame a dotSink takes.
func (f *format) sinkVectors() int {
	if f.sub == 1 {
		return 0
	}
	return f.sub * len(f.fields())
}

func newDotSink(e *emitter, f *format, m *frame) *dotSink {
	s := &dotSink{e: e, f: f, kept: map[string]vec{}, places: map[string]operand.Mem{}}
	if f.sub > 1 {
		for _, field := range f.fields() {
			s.places[field] = m.take(f.sub)
		}
	}
	return s
}

func (s *dotSink) put(field string, b int, v vec) {
	if s.f.sub == 1 {
		s.kept[field] = v
		return
	}
	s.e.store(v, s.slot(field, b))
}

func (s *dotSink) slot(field string, b int) operand.Mem {
	return s.places[field].Offset(s.e.size() * b)
}

// get is an operand: a register or a place in the frame.
func (s *dotSink) get(field string, b int) operand.Op {
	if s.f.sub == 1 {
		return s.kept[field]
	}
	return s.slot(field, b)
}

func (s *dotSink) dw(b int, v vec)        { s.put("dw", b, v) }
func (s *dotSink) min(b, half int, v vec) { s.put(fmt.Sprintf("min%d", half), b, v) }
func (s *dotSink) scales(b int, v [2]vec) {
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
	group := e.groupRows()
	e.Doc(fmt.Sprintf("%s multiplies groups of %d rows of n %s blocks with one activation row: %d*groups floats at out.",
		name, group, f.name, group))
	e.SignatureExpr("func(out *float32, w *byte, rowBytes, groups int, a *byte, n int)")
	r := e.newRows()
	w, a, out, groups, n := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("w"), w)
	e.Load(e.Param("out"), out)
	e.Load(e.Param("groups"), groups)
	s := newDotSink(e, f, e.newFrame(f.sinkVectors()))
	f.begin(e)
	ones := e.load(e.onesWords())
	again, loop := e.label("group"), e.label("block")
	next := e.GP64()
	e.Label(again)
	e.start(r, w)
	e.skip(r, w, next)
	e.CMPQ(r.rb, operand.I32(int32(prefetchRow*groupRows/group)))
	e.CMOVQGT(r.p, next) // ask for what is there already
	e.Load(e.Param("a"), a)
	e.Load(e.Param("n"), n)
	acc := e.zero()

	e.Label(loop)
	e.prefetch(next, group*f.bytes)
	f.header(e, r, s)
	for b := 0; b < f.sub; b += f.shared {
		for i, sums := range e.blockSums(f, r, b, a, ones) {
			at := operand.Mem{Base: a, Disp: actBlock * (b + i)}
			e.accumulate(f, b+i, at, s, e.scaled(f, b+i, at, s, sums), acc)
		}
	}
	e.advance(r, f.bytes)
	e.ADDQ(operand.I32(int32(actBlock*f.sub)), a)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))

	e.VMOVUPS(acc, operand.Mem{Base: out})
	e.ADDQ(operand.I32(int32(4*group)), out)
	e.skip(r, w, w)
	e.DECQ(groups)
	e.JNZ(operand.LabelRef(again))
	e.VZEROUPPER()
	e.RET()
}

// blockSums are the integer sums of the blocks from b on that share bytes: one vector a block, or two with scales of 16.
func (e *emitter) blockSums(f *format, r rows, b int, a reg.GPVirtual, ones vec) [][]vec {
	if e.wide {
		return e.wideSums(f, r, b, a, ones)
	}
	var all [][]vec
	for i := range f.shared {
		at := operand.Mem{Base: a, Disp: actBlock * (b + i)}
		if f.nibbles != nil {
			all = append(all, []vec{e.sumPairs(f, r, b+i, at, ones)})
			continue
		}
		first, second := e.split(e.sumHalves(f, r, b+i, at, ones))
		if !f.halved() {
			e.VPADDD(second, first, first)
			all = append(all, []vec{first})
			continue
		}
		all = append(all, []vec{first, second})
	}
	return all
}

// halved tells that the format has integer scales for 16 values.
func (f *format) halved() bool { return f.kind == kindHalf || f.kind == kindMin2 }

// scaled corrects the sums of block b for the offset of the weights and applies integer scales.
func (e *emitter) scaled(f *format, b int, at operand.Mem, s *dotSink, sums []vec) vec {
	shift, corrected := f.offset(e.vnni)
	for i, sum := range sums {
		if corrected {
			place := actNegSum
			if f.halved() {
				place = actNeg16 + 4*i
			}
			c := e.vec()
			e.VPBROADCASTD(at.Offset(place), c)
			e.VPSLLD(imm(shift), c, c)
			e.VPADDD(c, sum, sum)
		}
		if f.halved() {
			e.VPMULLD(s.get(fmt.Sprintf("scale%d", i), b), sum, sum)
		}
	}
	if len(sums) == 2 {
		e.VPADDD(sums[1], sums[0], sums[0])
	}
	return sums[0]
}

// accumulate adds block b's part to acc.
func (e *emitter) accumulate(f *format, b int, at operand.Mem, s *dotSink, sum, acc vec) {
	e.VCVTDQ2PS(sum, sum)
	d := e.vec()
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

// wideSums reads 16 bytes of four rows at a time. With 8 products in a lane of a vector, or 4 from each half where the
// halves have scales of their own, a row has four partial sums in a lane of 128 bits. Vector i has the rows i, i+4, i+8 and
// i+12, so that the tree over four vectors ends with the rows in order.
func (e *emitter) wideSums(f *format, r rows, b int, a reg.GPVirtual, ones vec) [][]vec {
	act := e.wideActs(f, b, a)
	products := 8
	if f.halved() {
		products = 4
	}
	add := e.addInt(f.top, products, ones)
	levels := map[bool]int{true: 1}[f.halved()] // the first is the halves' then
	partial := make([][4]vec, f.shared)
	for i := range 4 {
		p := e.piece(r, i)
		for j := range f.shared {
			lo, hi := f.pair(e, p, b+j)
			sum := e.zero()
			e.VPDPBUSD(act(j, 0), lo, sum)
			if f.halved() {
				second := e.zero()
				e.VPDPBUSD(act(j, 1), hi, second)
				add(second, sum, 0)
			} else {
				e.VPDPBUSD(act(j, 1), hi, sum)
			}
			partial[j][i] = sum
			if i%2 == 1 {
				add(sum, partial[j][i-1], levels)
			}
		}
	}
	all := make([][]vec, f.shared)
	for j, p := range partial {
		if !f.halved() {
			add(p[2], p[0], levels+1)
			all[j] = []vec{p[0]}
			continue
		}
		first, second := e.vec(), e.vec()
		e.VSHUFPS(imm(0x88), p[2], p[0], first)
		e.VSHUFPS(imm(0xdd), p[2], p[0], second)
		all[j] = []vec{first, second}
	}
	return all
}

// wideActs returns halves of the activation blocks from b on, in all lanes: from registers as far as they go round.
func (e *emitter) wideActs(f *format, b int, a reg.GPVirtual) func(j, half int) vec {
	load := func(j, half int) vec {
		v := e.vec()
		e.VBROADCASTI32X4(operand.Mem{Base: a, Disp: actBlock*(b+j) + 16*half}, v)
		return v
	}
	if f.shared > 2 {
		return load
	}
	var kept [2][2]vec
	for j := range f.shared {
		kept[j] = [2]vec{load(j, 0), load(j, 1)}
	}
	return func(j, half int) vec { return kept[j][half] }
}

// sumHalves are the integer sums of block b of 8 rows, for both halves of k.
func (e *emitter) sumHalves(f *format, r rows, b int, at operand.Mem, ones vec) treeHalves {
	act := e.load(at)
	return e.tree(func(i int) vec {
		w := f.row(e, r, b, i)
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
func (e *emitter) sumPairs(f *format, r rows, b int, at operand.Mem, ones vec) vec {
	var act [2]vec
	for i := range act {
		act[i] = e.YMM()
		e.VBROADCASTI128(at.Offset(16*i), act[i])
	}
	return e.quad(func(i int) vec {
		lo, hi := f.pair(e, e.piece(r, i), b)
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
func (e *emitter) multiply(f *format, act, w vec) {
	if f.signed {
		s := e.YMM()
		e.VPSIGNB(w, act, s)
		e.VPABSB(w, w)
		act = s
	}
	e.VPMADDUBSW(act, w, w)
}

func (e *emitter) onesWords() operand.Mem { return e.dwords("onesWords", 0x00010001) }
