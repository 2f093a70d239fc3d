package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Products of F16 and BF16 weights in block fixed point; package simd's product_fixed.go has the definition. A multiplication takes a
// pair of neighbours of 16 bits and adds both products to 32 bits. So a panel has a weight row in each lane of a vector, like
// those of the block formats: of a block of 64 as many vectors as it has pairs, then one of scales. A tile multiplies two panels,
// with 8 or 16 weight rows each, with 4, 5 or 6 activation rows.

const (
	fixedPairs = 32               // of a block
	fixedScale = 4 * fixedPairs   // where the scale of an activation block is
	fixedBlock = 4*fixedPairs + 4 // bytes of an activation block
	fixedTop   = 32767
	fixedFloor = 0x1p-100 // the least sum of squares that a scale is made of
)

// emitFixed: what AVX2 has, and the tiles of AVX-VNNI.
func emitFixed(e *emitter) {
	emitFixedRound(e)
	emitFixedPacks(e)
	emitFixedTiles(e)
	e.vnni = true
	emitFixedTiles(e)
}

// emitFixedWide: what AVX-512 has.
func emitFixedWide(e *emitter) {
	emitFixedPacks(e)
	emitFixedTiles(e)
}

// fixedScales turns a sum of squares into the factor that makes integers and the scale that makes numbers of them again: NaN
// where the sum is not finite.
func (e *emitter) fixedScales(squares vec) (factor, scale vec) {
	factor, scale = e.vec(), e.vec()
	e.VMOVUPS(e.dwords("fixedFloor", math.Float32bits(fixedFloor)), scale)
	e.VMAXPS(squares, scale, squares)
	e.VSQRTPS(squares, scale)
	e.VMOVUPS(e.dwords("fixedTop", math.Float32bits(fixedTop)), factor)
	e.VDIVPS(scale, factor, factor)
	e.VMULPS(e.dwords("fixedStep", math.Float32bits(float32(1)/fixedTop)), scale, scale)
	e.VSUBPS(squares, squares, squares) // 0 or NaN
	e.VADDPS(squares, scale, scale)
	return factor, scale
}

// emitFixedRound: activations.
func emitFixedRound(e *emitter) {
	e.Function("roundFixedAVX2")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("roundFixedAVX2 rounds n blocks of 64 floats to block fixed point.")
	e.SignatureExpr("func(dst *byte, x *float32, n int)")
	dst, x, n := e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("dst"), dst)
	e.Load(e.Param("x"), x)
	e.Load(e.Param("n"), n)
	loop := e.label("block")
	e.Label(loop)
	const vectors = 2 * fixedPairs / 8
	at := func(i int) operand.Mem { return operand.Mem{Base: x, Disp: 32 * i} }
	sum, other := e.zero(), e.YMM()
	for i := range vectors {
		v := e.load(at(i))
		e.VFMADD231PS(v, v, sum)
	}
	e.VPERM2F128(imm(1), sum, sum, other)
	for _, order := range []int{0x4e, 0xb1, 0} { // lane l and l+4, then l+2, then l+1
		e.VADDPS(other, sum, sum)
		if order != 0 {
			e.VPERMILPS(imm(order), sum, other)
		}
	}
	factor, scale := e.fixedScales(sum)
	for i := 0; i < vectors; i += 2 {
		q := [2]vec{e.YMM(), e.YMM()}
		for h := range q {
			e.VMULPS(at(i+h), factor, q[h])
			e.VCVTPS2DQ(q[h], q[h])
		}
		e.VPACKSSDW(q[1], q[0], q[0])
		e.VPERMQ(imm(0xd8), q[0], q[0])
		e.store(q[0], operand.Mem{Base: dst, Disp: 16 * i})
	}
	e.VMOVSS(scale.AsX(), operand.Mem{Base: dst, Disp: fixedScale})
	e.ADDQ(operand.I32(8*fixedPairs), x)
	e.ADDQ(operand.I32(fixedBlock), dst)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

// inOrder addresses rows in the order that a pack wants to gather them in.
type inOrder struct {
	rows
	row func(position int) int
}

func (r inOrder) at(i, disp int) operand.Mem { return r.rows.at(r.row(i), disp) }

// fixedFormat tells how a vector of the pairs of 8 or 16 rows becomes floats: two vectors that have a row's two numbers side by
// side, and which VPACKSSDW puts together again. It leaves rows in another order than they had, so that they are gathered in
// the order that ends as 0, 1, 2 and so on.
type fixedFormat struct {
	name   string
	row    func(e *emitter, position int) int
	floats func(e *emitter, v vec) (first, second vec)
}

var fixedFormats = []fixedFormat{
	{"F16", func(e *emitter, position int) int {
		half := e.groupRows() / 2
		return position%half/2*4 + position/half*2 + position%2
	}, func(e *emitter, v vec) (first, second vec) {
		first, second = e.vec(), e.vec()
		if e.wide {
			high := e.YMM()
			e.VEXTRACTI64X4(imm(1), v, high)
			e.VCVTPH2PS(v.AsY(), first)
			e.VCVTPH2PS(high, second)
			return first, second
		}
		high := e.XMM()
		e.VEXTRACTI128(imm(1), v, high)
		e.VCVTPH2PS(v.AsX(), first)
		e.VCVTPH2PS(high, second)
		return first, second
	}},
	{"BF16", func(_ *emitter, position int) int { return position }, func(e *emitter, v vec) (first, second vec) {
		first, second = e.vec(), e.vec()
		zero := e.zero()
		e.VPUNPCKLWD(v, zero, first)
		e.VPUNPCKHWD(v, zero, second)
		return first, second
	}},
}

func emitFixedPacks(e *emitter) {
	for _, f := range fixedFormats {
		emitFixedPack(e, f)
	}
}

// emitFixedPack: a panel. The pairs of 8 or 16 rows are transposed as they are; then every row has lanes of its own, and its
// sum of squares is one addition across lanes. Meanwhile it asks for the rows behind.
func emitFixedPack(e *emitter, f fixedFormat) {
	name := "packFixed" + f.name + e.isa()
	e.Function(name)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s rounds n blocks of %d rows of %s to a panel of block fixed point.", name, e.groupRows(), f.name))
	e.SignatureExpr("func(dst, w *byte, rowBytes, n int)")
	r := inOrder{e.newRows(), func(i int) int { return f.row(e, i) }}
	dst, n := e.GP64(), e.GP64()
	e.Load(e.Param("w"), n)
	e.start(r.rows, n)
	next := e.newAhead(r.rows, n, 4*fixedPairs, fixedPairs)
	e.Load(e.Param("dst"), dst)
	e.Load(e.Param("n"), n)
	floats := e.newFrame(2 * fixedPairs).take(2 * fixedPairs)
	at := func(i int) operand.Mem { return floats.Offset(e.size() * i) }
	loop := e.label("block")
	e.Label(loop)
	next.begin()
	sum := [2]vec{e.zero(), e.zero()}
	e.eachPair(r, func(i int, v vec) {
		var x [2]vec
		x[0], x[1] = f.floats(e, v)
		next.ask(i + 1)
		for h := range x {
			e.VFMADD231PS(x[h], x[h], sum[h])
			e.VMOVUPS(x[h], at(2*i+h))
		}
	})
	squares, odd := e.vec(), e.vec()
	e.VSHUFPS(imm(0x88), sum[1], sum[0], squares)
	e.VSHUFPS(imm(0xdd), sum[1], sum[0], odd)
	e.VADDPS(odd, squares, squares)
	factor, scale := e.fixedScales(squares)
	e.VMOVUPS(scale, operand.Mem{Base: dst, Disp: e.size() * fixedPairs})
	both := [2]vec{e.vec(), e.vec()}
	e.VUNPCKLPS(factor, factor, both[0])
	e.VUNPCKHPS(factor, factor, both[1])
	for i := range fixedPairs {
		var q [2]vec
		for h := range q {
			q[h] = e.vec()
			e.VMULPS(at(2*i+h), both[h], q[h])
			e.VCVTPS2DQ(q[h], q[h])
		}
		e.VPACKSSDW(q[1], q[0], q[0])
		e.store(q[0], operand.Mem{Base: dst, Disp: e.size() * i})
	}
	e.advance(r.rows, 4*fixedPairs)
	next.end()
	e.ADDQ(operand.I32(int32(e.size()*(fixedPairs+1))), dst)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

// eachPair hands put the block's pairs in order: v has number i of each row. Of 16 rows it loads a cache line at once: rows often lie
// a multiple of 4096 bytes apart, and then a first-level cache of 8 ways cannot keep 16 lines until they are needed again.
func (e *emitter) eachPair(r addresses, put func(i int, v vec)) {
	if !e.wide {
		for q := 0; q < fixedPairs; q += 4 {
			for i, v := range e.gather16(r, 4*q) {
				put(q+i, v)
			}
		}
		return
	}
	for q := 0; q < fixedPairs; q += 16 {
		var quads [4][4]vec // of rows 4g to 4g+3: vector j has number 4l+j of each in its part l
		for g := range quads {
			for i := range 4 {
				quads[g][i] = e.load(r.at(4*g+i, 4*q))
			}
			quads[g] = e.transpose4(quads[g])
		}
		var pairs [16]vec
		for j := range 4 {
			for l, v := range e.transposeLanes([4]vec{quads[0][j], quads[1][j], quads[2][j], quads[3][j]}) {
				pairs[4*l+j] = v
			}
		}
		for i, v := range pairs {
			put(q+i, v)
		}
	}
}

// transposeLanes transposes 4x4 parts of 128 bits.
func (e *emitter) transposeLanes(t [4]vec) [4]vec {
	a, b, c, d := e.ZMM(), e.ZMM(), e.ZMM(), e.ZMM()
	e.VSHUFI32X4(imm(0x44), t[1], t[0], a) // parts 0 and 1 of the first and of the second
	e.VSHUFI32X4(imm(0xee), t[1], t[0], b) // 2 and 3
	e.VSHUFI32X4(imm(0x44), t[3], t[2], c)
	e.VSHUFI32X4(imm(0xee), t[3], t[2], d)
	o := [4]vec{e.ZMM(), e.ZMM(), e.ZMM(), e.ZMM()}
	e.VSHUFI32X4(imm(0x88), c, a, o[0])
	e.VSHUFI32X4(imm(0xdd), c, a, o[1])
	e.VSHUFI32X4(imm(0x88), d, b, o[2])
	e.VSHUFI32X4(imm(0xdd), d, b, o[3])
	return o
}

func emitFixedTiles(e *emitter) {
	for _, rows := range wideRows {
		t := &fixedTile{emitter: e, rows: rows}
		t.emit()
	}
}

// fixedTile is what the parts of one kernel share.
type fixedTile struct {
	*emitter
	rows  int
	panel [2]operand.Mem
	act   func(j, disp int) operand.Mem
	next  func(j, disp int) operand.Mem // the rows of the next tile
	acc   [2][]vec                      // int32
	sum   [2][]vec                      // float32 where there are registers for them
	sums  operand.Mem                   // in the frame elsewhere
}

func (t *fixedTile) each(do func(v, j int)) {
	for j := range t.rows {
		for v := range 2 {
			do(v, j)
		}
	}
}

func (t *fixedTile) slot(v, j int) operand.Mem { return t.sums.Offset(t.size() * (2*j + v)) }

func (t *fixedTile) emit() {
	e := t.emitter
	name := fmt.Sprintf("tileFixedx%d%s", t.rows, e.isa())
	e.Function(name)
	if e.wide {
		e.Attributes(nosplit)
	}
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s multiplies two panels of block fixed point, which lie size bytes apart, with %d activation rows that lie", name, t.rows),
		fmt.Sprintf("stride bytes apart. Row j's results go to out0[j*ldo:][:%d] and out1[j*ldo:][:%d].", e.groupRows(), e.groupRows()))
	e.SignatureExpr("func(out0, out1 *float32, ldo int, panel *byte, size int, a *byte, stride, blocks int)")
	panel, size, a, stride, third, blocks := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("panel"), panel)
	e.Load(e.Param("size"), size)
	e.Load(e.Param("a"), a)
	e.Load(e.Param("stride"), stride)
	e.Load(e.Param("blocks"), blocks)
	nextFirst, nextThird := e.GP64(), e.GP64()
	e.startTile(t.rows, a, third, nextFirst, nextThird, stride)
	t.panel = [2]operand.Mem{{Base: panel}, {Base: panel, Index: size, Scale: 1}}
	t.act, t.next = tileRows(a, third, stride), tileRows(nextFirst, nextThird, stride)
	for v := range 2 {
		t.acc[v], t.sum[v] = make([]vec, t.rows), make([]vec, t.rows)
	}
	if e.wide {
		t.each(func(v, j int) { t.sum[v][j] = e.zero() })
	} else {
		t.sums = e.AllocLocal(2 * t.rows * e.size())
		z := e.zero()
		t.each(func(v, j int) { e.VMOVUPS(z, t.slot(v, j)) })
	}
	t.outputs(func(out operand.Mem, v, j int) { e.PREFETCHT0(out) })
	loop := e.label("block")
	e.Label(loop)
	for j := range t.rows {
		for at := 0; at < fixedBlock; at += 64 {
			e.PREFETCHT0(t.next(j, at))
		}
	}
	t.products()
	t.finish()
	e.ADDQ(operand.I32(int32(e.size()*(fixedPairs+1))), panel)
	for _, p := range []reg.GPVirtual{a, third, nextFirst, nextThird} {
		e.ADDQ(operand.I32(fixedBlock), p)
	}
	e.DECQ(blocks)
	e.JNZ(operand.LabelRef(loop))
	t.outputs(func(out operand.Mem, v, j int) {
		sum := t.sum[v][j]
		if !e.wide {
			sum = e.load(t.slot(v, j))
		}
		e.VMOVUPS(sum, out)
	})
	e.VZEROUPPER()
	e.RET()
}

// products sums the block's products.
func (t *fixedTile) products() {
	e := t.emitter
	t.each(func(v, j int) { t.acc[v][j] = e.vec() })
	for i := range fixedPairs {
		w := [2]vec{e.load(t.panel[0].Offset(e.size() * i)), e.load(t.panel[1].Offset(e.size() * i))}
		for j := range t.rows {
			a := e.vec()
			e.VPBROADCASTD(t.act(j, 4*i), a)
			for v := range w {
				switch {
				case i == 0:
					e.VPMADDWD(a, w[v], t.acc[v][j])
				case e.vnni:
					e.VPDPWSSD(a, w[v], t.acc[v][j])
				default:
					p := e.vec()
					e.VPMADDWD(a, w[v], p)
					e.VPADDD(p, t.acc[v][j], t.acc[v][j])
				}
			}
		}
	}
}

// finish turns the block's sums into floats and adds them.
func (t *fixedTile) finish() {
	e := t.emitter
	dw := func(v int) operand.Mem { return t.panel[v].Offset(e.size() * fixedPairs) }
	if e.wide {
		for v := range 2 {
			w := e.load(dw(v))
			for j := range t.rows {
				d := e.vec()
				e.VCVTDQ2PS(t.acc[v][j], t.acc[v][j])
				e.VMULPS_BCST(t.act(j, fixedScale), w, d)
				e.VFMADD231PS(t.acc[v][j], d, t.sum[v][j])
			}
		}
		return
	}
	for j := range t.rows {
		da := e.vec()
		e.VBROADCASTSS(t.act(j, fixedScale), da)
		for v := range 2 {
			d := e.vec()
			e.VCVTDQ2PS(t.acc[v][j], t.acc[v][j])
			e.VMULPS(dw(v), da, d)
			e.VFMADD213PS(t.slot(v, j), t.acc[v][j], d)
			e.VMOVUPS(d, t.slot(v, j))
		}
	}
}

// outputs calls do with the place of each vector of results.
func (t *fixedTile) outputs(do func(out operand.Mem, v, j int)) {
	e := t.emitter
	ldo := e.GP64()
	e.Load(e.Param("ldo"), ldo)
	e.SHLQ(imm(2), ldo)
	for v, p := range []string{"out0", "out1"} {
		out := e.GP64()
		e.Load(e.Param(p), out)
		for j := range t.rows {
			do(operand.Mem{Base: out}, v, j)
			if j < t.rows-1 {
				e.ADDQ(ldo, out)
			}
		}
	}
}
