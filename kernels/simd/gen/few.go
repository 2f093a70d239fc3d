package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels for a few activation rows: too many to add partial sums across for each, as the dot kernels do, too few to pay
// for a panel in memory. 8 weight rows, or 16 where vectors are wide, are unpacked block by block to the columns of a panel;
// these stay in registers while all activation rows are multiplied with them. The float sums of the activation rows lie in
// memory, a vector for each lane of the float order.

func emitFews(e *emitter, formats []*format) {
	for _, f := range formats {
		emitFew(e, f)
		if !e.wide {
			e.vnni = true
			emitFew(e, f)
			e.vnni = false
		}
	}
}

// few is what the parts of one kernel share.
type few struct {
	*emitter
	f       *format
	w       rows
	a, sums reg.GPVirtual // of block and lane 0, or of the one block
	scales  *packSink
	columns operand.Mem // of the blocks that share bytes, where registers do not suffice
	ahead   *ahead
}

func emitFew(e *emitter, f *format) {
	g := &few{emitter: e, f: f, a: e.GP64(), sums: e.GP64()}
	name := "few" + f.name + e.isa()
	e.Function(name)
	e.Pragma("noescape")
	doc := []string{
		fmt.Sprintf("%s multiplies %d rows of n %s blocks with activation rows that lie stride bytes apart, and adds to sums: for", name,
			e.groupRows(), f.name),
		fmt.Sprintf("each activation row 8 lanes of %d floats.", e.groupRows())}
	if f.sub == 1 {
		doc[1] += " The first block is in the given lane."
	}
	e.Doc(doc...)
	e.SignatureExpr("func(sums *float32, w *byte, rowBytes int, a *byte, stride, rows, n, lane int)")
	g.w = e.newRows()
	n, lane := e.GP64(), e.GP64()
	e.Load(e.Param("w"), n)
	e.start(g.w, n)
	g.ahead = e.newAhead(g.w, n, f.bytes, f.sub)
	e.Load(e.Param("a"), g.a)
	e.Load(e.Param("sums"), g.sums)
	e.Load(e.Param("n"), n)
	if f.sub == 1 {
		at := e.GP64()
		e.Load(e.Param("lane"), lane)
		e.IMUL3Q(imm(e.size()), lane, at)
		e.ADDQ(at, g.sums)
		e.SUBQ(imm(groupBlocks), lane) // counts up to 0
	}
	g.newScales()
	f.begin(e)
	loop := e.label("block")
	e.Label(loop)
	g.ahead.begin()
	f.header(e, g.w, g.scales)
	if e.wide {
		for b := 0; b < f.sub; b += f.shared {
			g.sharedBlocks(b)
		}
	} else {
		for b := range f.sub {
			g.oneBlock(b)
		}
	}
	e.advance(g.w, f.bytes)
	g.ahead.end()
	e.ADDQ(operand.I32(int32(actBlock*f.sub)), g.a)
	if f.sub == 1 {
		same := e.label("same")
		e.ADDQ(operand.I32(int32(e.size())), g.sums)
		e.INCQ(lane)
		e.JNZ(operand.LabelRef(same))
		e.SUBQ(operand.I32(int32(groupBlocks*e.size())), g.sums)
		e.MOVQ(operand.I32(-groupBlocks), lane)
		e.Label(same)
	}
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

// newScales makes places in the frame for the scales, laid out as in a panel, and for columns.
func (g *few) newScales() {
	size := g.panelBytes(g.f.kind) - panelScale // of a block
	vectors, pairs, columns := g.f.sub*size/g.size(), 0, 0
	if g.f.kind == kindMin2 {
		pairs = 2 * g.f.sub
	}
	if g.wide && g.f.shared > 2 {
		columns = 8 * g.f.shared
	}
	f := g.newFrame(vectors + pairs + columns)
	m := f.take(vectors)
	g.scales = &packSink{e: g.emitter, f: g.f, pair: f.take(pairs), at: func(b, off int) operand.Mem {
		return m.Offset(b*size + off - panelScale)
	}}
	g.columns = f.take(columns)
}

// oneBlock multiplies block b.
func (g *few) oneBlock(b int) {
	g.ahead.ask(b + 1)
	var c [8]vec
	g.columnsAVX2(g.f, g.w, b, func(k int, v vec) {
		g.folded(b, k, v)
		c[k] = v
	})
	g.multiply(b, c)
}

// sharedBlocks multiplies the blocks from b on that share bytes.
func (g *few) sharedBlocks(b int) {
	g.ahead.ask(b + g.f.shared)
	c := make([][8]vec, g.f.shared)
	place := func(j, k int) operand.Mem { return g.columns.Offset(64 * (8*j + k)) }
	inFrame := g.f.shared > 2
	g.emitter.columns(g.f, g.w, b, func(j, k int, v vec) {
		g.folded(b+j, k, v)
		if c[j][k] = v; inFrame {
			g.store(v, place(j, k))
		}
	})
	for j := range c {
		if inFrame {
			for k := range c[j] {
				c[j][k] = g.load(place(j, k))
			}
		}
		g.multiply(b+j, c[j])
	}
}

// folded multiplies column k of block b by its scales, if the format has them folded in.
func (g *few) folded(b, k int, v vec) {
	if g.f.kind == kindMin2 {
		g.fold(g.scales.folded(b, k/4), v)
	}
}

// multiply multiplies the columns of block b with all activation rows.
func (g *few) multiply(b int, c [8]vec) {
	e, f := g.emitter, g.f
	a, sum, count := e.GP64(), e.GP64(), e.GP64()
	lane := b
	if f.sub == 1 {
		lane = 0
	}
	e.LEAQ(operand.Mem{Base: g.a, Disp: actBlock * b}, a)
	e.LEAQ(operand.Mem{Base: g.sums, Disp: e.size() * lane}, sum)
	e.Load(e.Param("rows"), count)
	dw := e.load(g.scales.at(b, panelScale))
	mins := map[panelKind]int{kindMin: 1, kindMin2: 2}[f.kind]
	var m [2]vec
	for h := range mins {
		m[h] = e.load(g.scales.at(b, panelMore+64*h))
	}
	row := e.label("row")
	e.Label(row)
	at := func(disp int) operand.Mem { return operand.Mem{Base: a, Disp: disp} }
	var acc vec
	if e.vnni {
		acc = g.productVNNI(b, c, at)
	} else {
		acc = g.productAVX2(b, c, at)
	}
	e.VCVTDQ2PS(acc, acc)
	d := e.vec()
	s := operand.Mem{Base: sum}
	if e.wide {
		e.VMULPS_BCST(at(actScale), dw, d)
	} else {
		e.VBROADCASTSS(at(actScale), d)
		e.VMULPS(dw, d, d)
	}
	e.VFMADD213PS(s, acc, d)
	for h := range mins {
		off := actDSum
		if f.kind == kindMin2 {
			off = actDSum16 + 4*h
		}
		if e.wide {
			e.VFMADD231PS_BCST(at(off), m[h], d)
			continue
		}
		t := e.vec()
		e.VBROADCASTSS(at(off), t)
		e.VFMADD231PS(m[h], t, d)
	}
	e.VMOVUPS(d, s)
	stride, err := e.Param("stride").Resolve()
	if err != nil {
		panic(err)
	}
	e.ADDQ(stride.Addr, a)
	e.ADDQ(operand.I32(int32(groupBlocks*e.size())), sum)
	e.DECQ(count)
	e.JNZ(operand.LabelRef(row))
}

// productVNNI gives the integer sums of a block of one activation row.
func (g *few) productVNNI(b int, c [8]vec, at func(disp int) operand.Mem) vec {
	e, f := g.emitter, g.f
	shift, corrected := f.offset(true)
	part := func(from, to, neg int) vec {
		acc := e.zero()
		if corrected {
			acc = e.vec()
			e.VPBROADCASTD(at(neg), acc)
			e.VPSLLD(imm(shift), acc, acc)
		}
		for k := from; k < to; k++ {
			if e.wide {
				e.VPDPBUSD_BCST(at(4*k), c[k], acc)
				continue
			}
			x := e.vec()
			e.VPBROADCASTD(at(4*k), x)
			e.VPDPBUSD(x, c[k], acc)
		}
		return acc
	}
	if f.kind != kindHalf {
		return part(0, 8, actNegSum)
	}
	var half [2]vec
	for h := range half {
		half[h] = part(4*h, 4*h+4, actNeg16+4*h)
		if e.wide {
			e.VPMULLD(g.scales.at(b, panelMore+64*h), half[h], half[h])
			continue
		}
		s := e.load(g.scales.at(b, panelMore+64*h)) // twice the scale as a word
		e.VPSRAD(imm(16), s, s)
		e.VPMULLD(s, half[h], half[h])
	}
	e.VPADDD(half[1], half[0], half[0])
	return half[0]
}

// productAVX2 does the same as gemm.go: as many products are added in int16 as cannot overflow.
func (g *few) productAVX2(b int, c [8]vec, at func(disp int) operand.Mem) vec {
	e, f := g.emitter, g.f
	steps := g.steps()
	var acc vec
	for from := 0; from < 8; from += steps {
		var sum vec
		for k := from; k < from+steps; k++ {
			x, p := e.YMM(), e.YMM()
			e.VPBROADCASTD(at(4*k), x)
			if f.signed {
				e.VPSIGNB(c[k], x, x)
				e.VPABSB(c[k], p)
				e.VPMADDUBSW(x, p, p)
			} else {
				e.VPMADDUBSW(x, c[k], p)
			}
			if sum == nil {
				sum = p
			} else {
				e.VPADDW(p, sum, sum)
			}
		}
		if f.kind == kindHalf {
			e.VPMADDWD(g.scales.at(b, panelMore+64*(from/4)), sum, sum)
		} else {
			e.VPMADDWD(e.onesWords(), sum, sum)
		}
		if acc == nil {
			acc = sum
		} else {
			e.VPADDD(sum, acc, acc)
		}
	}
	if shift, corrected := f.offset(false); corrected {
		t := e.YMM()
		if f.kind == kindHalf {
			e.VPBROADCASTD(at(actNegPr), t)
			e.VPMADDWD(g.scales.at(b, panelMore+128), t, t)
		} else {
			e.VPBROADCASTD(at(actNegSum), t)
		}
		e.VPSLLD(imm(shift), t, t)
		e.VPADDD(t, acc, acc)
	}
	return acc
}

// steps is how many products of pairs of columns fit 16 bits.
func (g *few) steps() int {
	top := g.f.top
	if g.f.kind == kindMin2 {
		top *= 15 // the largest scale
	}
	steps := 1
	for n := 2; n <= 8 && n*2*top*127 <= 32767; n *= 2 {
		steps = n
	}
	if g.f.kind == kindHalf {
		steps = min(steps, 4)
	}
	return steps
}

// emitAddLanes writes the kernel that ends what the others began.
func emitAddLanes(e *emitter) {
	name := "addLanes" + e.isa()
	doc := fmt.Sprintf("%s adds the 8 lanes of %d floats of each of the rows at sums, and clears them: row j's results go to out[j*ldo:].",
		name, e.groupRows())
	e.emitRowSums(name, doc, groupBlocks*e.size(), func(sums reg.GPVirtual) vec {
		t, zero := e.zero(), e.zero()
		for l := range groupBlocks {
			m := operand.Mem{Base: sums, Disp: e.size() * l}
			e.VADDPS(m, t, t)
			e.store(zero, m)
		}
		return t
	})
}

// emitRowSums writes a kernel that makes a vector of results of each row's size bytes at sums.
func (e *emitter) emitRowSums(name, doc string, size int, add func(sums reg.GPVirtual) vec) {
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(doc)
	e.SignatureExpr("func(out *float32, ldo int, sums *float32, rows int)")
	out, ldo, sums, n := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("out"), out)
	e.Load(e.Param("ldo"), ldo)
	e.SHLQ(imm(2), ldo)
	e.Load(e.Param("sums"), sums)
	e.Load(e.Param("rows"), n)
	row := e.label("row")
	e.Label(row)
	e.VMOVUPS(add(sums), operand.Mem{Base: out})
	e.ADDQ(ldo, out)
	e.ADDQ(operand.I32(int32(size)), sums)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(row))
	e.VZEROUPPER()
	e.RET()
}
