package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
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
		w, a, out, groups, n, ahead := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
		e.Load(e.Param("w"), w)
		e.Load(e.Param("out"), out)
		e.Load(e.Param("groups"), groups)
		group := e.label("group")
		e.Label(group)
		// Rows often lie a multiple of 4096 bytes apart, and a first-level cache of 8 ways has no room for a line of 8 of them.
		const together = 4
		var sums [8]ymm
		for first := 0; first < len(sums); first += together {
			e.start(r, w)
			e.Load(e.Param("a"), a)
			e.Load(e.Param("n"), n)
			e.LEAQ(operand.Mem{Base: w, Index: r.rb, Scale: 4}, ahead)
			if first > 0 {
				e.LEAQ(operand.Mem{Base: ahead, Index: r.rb, Scale: 4}, ahead)
			}
			some := sums[first:][:together]
			for i := range some {
				some[i] = e.zero()
			}
			loop := e.label("step")
			e.Label(loop)
			for at := 0; at < together*f.bytes; at += 64 {
				e.PREFETCHT1(operand.Mem{Base: ahead, Disp: at})
			}
			e.ADDQ(operand.I32(int32(together*f.bytes)), ahead)
			x := e.load(operand.Mem{Base: a})
			for i := range some {
				if f.name == "F32" {
					e.VFMADD231PS(r.at(first+i, 0), x, some[i])
					continue
				}
				e.VFMADD231PS(f.load(e, r.at(first+i, 0)), x, some[i])
			}
			e.advance(r, f.bytes)
			e.ADDQ(operand.I32(32), a)
			e.DECQ(n)
			e.JNZ(operand.LabelRef(loop))
		}
		e.VMOVUPS(e.reduce(sums), operand.Mem{Base: out})
		e.ADDQ(operand.I32(32), out)
		e.LEAQ(operand.Mem{Base: w, Index: r.rb, Scale: 8}, w)
		e.DECQ(groups)
		e.JNZ(operand.LabelRef(group))
		e.VZEROUPPER()
		e.RET()
	}
}

// emitFloatStreams: one activation row, and many weight rows. They are read in four stretches side by side, as many as hide the
// latency of a sum's multiply-adds. A stretch goes on from row to row in one straight line, which is what the hardware's own prefetching
// follows; neighbours side by side would be streams that end after a page or two.
func emitFloatStreams(e *emitter) {
	for _, f := range floatFormats() {
		emitFloatStream(e, f)
	}
}

// floatStretches is the number of stretches; two rows of each are added up together.
const floatStretches = 4

func emitFloatStream(e *emitter, f floatFormat) {
	name := "stream" + f.name + "AVX2"
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(name + " multiplies groups of 8 rows of 8*n " + f.name + " with one row of floats.")
	e.SignatureExpr("func(out *float32, w *byte, rowBytes, groups int, a *byte, n int)")
	out, w, groups, a, n := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	stretch, third, ldo, gap := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("out"), out)
	e.Load(e.Param("w"), w)
	e.Load(e.Param("groups"), groups)
	e.Load(e.Param("rowBytes"), stretch)
	e.Load(e.Param("n"), n)
	e.IMUL3Q(operand.I32(int32(f.bytes)), n, gap)
	e.NEGQ(gap)
	e.ADDQ(stretch, gap) // from the end of a row to the beginning of the next
	e.IMULQ(groups, stretch)
	e.ADDQ(stretch, stretch)
	e.LEAQ(operand.Mem{Base: stretch, Index: stretch, Scale: 2}, third)
	e.MOVQ(groups, ldo)
	e.SHLQ(imm(3), ldo)
	at := fourRows(w, stretch, third)
	pair := e.label("pair")
	e.Label(pair)
	var sums [2 * floatStretches]ymm
	for row := range 2 {
		some := sums[floatStretches*row:][:floatStretches]
		for s := range some {
			some[s] = e.zero()
		}
		e.Load(e.Param("a"), a)
		e.Load(e.Param("n"), n)
		e.unrolled(n, func(i int) {
			x := e.load(operand.Mem{Base: a, Disp: 32 * i})
			for s := range some {
				if f.name == "F32" {
					e.VFMADD231PS(at(s, f.bytes*i), x, some[s])
					continue
				}
				e.VFMADD231PS(f.load(e, at(s, f.bytes*i)), x, some[s])
			}
		}, func(times int) {
			e.ADDQ(operand.I32(int32(f.bytes*times)), w)
			e.ADDQ(operand.I32(int32(32*times)), a)
		})
		e.ADDQ(gap, w)
	}
	sum, high := e.reduce(sums), e.XMM()
	e.VEXTRACTF128(imm(1), sum, high)
	for row, v := range []reg.Register{sum.AsX(), high} {
		to := e.GP64()
		e.LEAQ(operand.Mem{Base: out, Disp: 4 * row}, to)
		for s := range floatStretches {
			e.VEXTRACTPS(imm(s), v, operand.Mem{Base: to})
			if s < floatStretches-1 {
				e.ADDQ(ldo, to)
			}
		}
	}
	e.ADDQ(imm(8), out)
	e.DECQ(groups)
	e.JNZ(operand.LabelRef(pair))
	e.VZEROUPPER()
	e.RET()
}

// unrolled does step n times, four at once while there are so many; next goes on by so many of them.
func (e *emitter) unrolled(n reg.GPVirtual, step, next func(i int)) {
	const many = 4
	loop, rest, one, done := e.label("steps"), e.label("rest"), e.label("one"), e.label("done")
	e.SUBQ(imm(many), n)
	e.JL(operand.LabelRef(rest))
	e.Label(loop)
	for i := range many {
		step(i)
	}
	next(many)
	e.SUBQ(imm(many), n)
	e.JGE(operand.LabelRef(loop))
	e.Label(rest)
	e.ADDQ(imm(many), n)
	e.JZ(operand.LabelRef(done))
	e.Label(one)
	step(0)
	next(1)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(one))
	e.Label(done)
}

// A float panel is pairs of weight rows as float32: for every 8 values 32 bytes of the one and 32 of the other, which is one
// vector where vectors are wide. The tiles multiply it with up to 6 activation rows and keep their sums in memory between
// pieces of k: for each activation row 8 lanes of 8 weight rows.

// floatTileRows is the largest number of activation rows of a tile.
const floatTileRows = 6

// emitFloatPacks: 2 weight rows.
func emitFloatPacks(e *emitter) {
	for _, f := range floatFormats() {
		name := fmt.Sprintf("pack%sAVX2", f.name)
		e.Function(name)
		e.Attributes(nosplit)
		e.Pragma("noescape")
		e.Doc(name + " converts 8*n values of 2 rows of " + f.name + " to a pair of a float panel.")
		e.SignatureExpr("func(dst, w *byte, rowBytes, n int)")
		dst, w, rb, n := e.GP64(), e.GP64(), e.GP64(), e.GP64()
		e.Load(e.Param("dst"), dst)
		e.Load(e.Param("w"), w)
		e.Load(e.Param("rowBytes"), rb)
		e.Load(e.Param("n"), n)
		loop := e.label("step")
		e.Label(loop)
		e.VMOVUPS(f.load(e, operand.Mem{Base: w}), operand.Mem{Base: dst})
		e.VMOVUPS(f.load(e, operand.Mem{Base: w, Index: rb, Scale: 1}), operand.Mem{Base: dst, Disp: 32})
		e.ADDQ(operand.I32(int32(f.bytes)), w)
		e.ADDQ(imm(64), dst)
		e.DECQ(n)
		e.JNZ(operand.LabelRef(loop))
		e.VZEROUPPER()
		e.RET()
	}
}

// emitFloatTiles: a pair of weight rows, or 4 pairs where vectors are wide, and 1 to 6 activation rows.
func emitFloatTiles(e *emitter) {
	for rows := 1; rows <= floatTileRows; rows++ {
		emitFloatTile(e, rows)
	}
	if !e.wide {
		emitFloatSums(e)
	}
}

func emitFloatTile(e *emitter, rows int) {
	pairs, vectors := 1, 2 // of a step: a weight row each, or a pair of them
	if e.wide {
		pairs, vectors = 4, 4
	}
	name := fmt.Sprintf("tileFloatx%d%s", rows, e.isa())
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s multiplies 8*n values of pairs (%d) of a float panel, which lie pair bytes apart, with activation rows (%d)", name, pairs, rows),
		"that lie stride bytes apart. It adds to the sums, or begins them if add is 0.")
	e.SignatureExpr("func(sums *float32, panel *byte, pair int, a *byte, stride, n, add int)")
	sums, panel, a, n := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("sums"), sums)
	e.Load(e.Param("panel"), panel)
	e.Load(e.Param("a"), a)
	e.Load(e.Param("n"), n)
	weight := func(v int) operand.Mem { return operand.Mem{Base: panel, Disp: 32 * v} }
	if e.wide {
		pair, third := e.GP64(), e.GP64()
		e.Load(e.Param("pair"), pair)
		e.LEAQ(operand.Mem{Base: pair, Index: pair, Scale: 2}, third)
		pairAt := fourRows(panel, pair, third)
		weight = func(v int) operand.Mem { return pairAt(v, 0) }
	}
	stride, far := e.GP64(), e.GP64()
	e.Load(e.Param("stride"), stride)
	e.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, far)
	e.ADDQ(a, far)
	act := func(j int) operand.Mem {
		m := operand.Mem{Base: a}
		if j >= 3 {
			m.Base, j = far, j-3
		}
		if j > 0 {
			m.Index, m.Scale = stride, uint8(j)
		}
		return m
	}
	slot := func(j, v int) operand.Mem { return operand.Mem{Base: sums, Disp: 256*j + e.size()*v} }
	acc := make([][]vec, rows)
	for j := range acc {
		acc[j] = make([]vec, vectors)
		for v := range acc[j] {
			acc[j][v] = e.zero()
		}
	}
	ready, add := e.label("ready"), e.GP64()
	e.Load(e.Param("add"), add)
	e.TESTQ(add, add)
	e.JZ(operand.LabelRef(ready))
	for j := range acc {
		for v := range acc[j] {
			e.VMOVUPS(slot(j, v), acc[j][v])
		}
	}
	e.Label(ready)
	loop := e.label("step")
	e.Label(loop)
	w := make([]vec, vectors)
	for v := range w {
		w[v] = e.vec()
		e.VMOVUPS(weight(v), w[v])
	}
	for j := range acc {
		x := e.vec()
		if e.wide {
			e.VBROADCASTF32X8(act(j), x)
		} else {
			e.VMOVUPS(act(j), x)
		}
		for v := range w {
			e.VFMADD231PS(w[v], x, acc[j][v])
		}
	}
	e.ADDQ(imm(64), panel)
	e.ADDQ(imm(32), a)
	e.ADDQ(imm(32), far)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	for j := range acc {
		for v := range acc[j] {
			e.VMOVUPS(acc[j][v], slot(j, v))
		}
	}
	e.VZEROUPPER()
	e.RET()
}

// emitFloatSums adds lanes.
func emitFloatSums(e *emitter) {
	doc := "sumFloatAVX2 adds the 8 lanes of 8 weight rows for each of the rows at sums: row j's results go to out[j*ldo:]."
	e.emitRowSums("sumFloatAVX2", doc, 256, func(sums reg.GPVirtual) vec {
		var v [8]vec
		for i := range v {
			v[i] = e.load(operand.Mem{Base: sums, Disp: 32 * i})
		}
		return e.reduce(v)
	})
}
