package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const nosplit = attr.NOSPLIT

// A panel is 16 weight rows unpacked for gemm, block after block, first all of lane 0, then of lane 1 and so on, as gemm
// reads them. In a block of 32: eight times 64 bytes, each the four
// values k..k+3 of row 0, of row 1, ... of row 15 (so that one broadcast of 4 activations meets the rows of a whole vector),
// then dw of the 16 rows, then what the kind needs: minimums, integer scales, or the upper halves of bytes whose lower halves
// come first. AVX2 wants those as pairs of words (s0,s0),
// (s1,s1), (s0,s1); a wide panel has s0 and s1 as int32. A pack kernel of AVX2 fills 8 of the 16 rows: dst points at the
// first or the second 32 bytes of the panel.

const (
	panelScale = 512
	panelMore  = 576
)

func emitPacks(e *emitter, formats []*format) {
	for _, f := range formats {
		emitPack(e, f)
		if f.signed && !e.wide {
			e.vnni = true
			emitPack(e, f)
			e.vnni = false
		}
	}
}

// packSink writes the scales to their places in a panel.
type packSink struct {
	e    *emitter
	f    *format
	at   func(b, off int) operand.Mem // byte off of block b
	pair operand.Mem                  // of a folding format: the scales of the 8 blocks
}

// lanePlaces addresses a block in each lane of a panel.
type lanePlaces struct {
	near, far  reg.GPVirtual // lanes 0 and 4
	one, three reg.GPVirtual // the distance of lanes, and three times that
}

func (p *lanePlaces) at(b, off int) operand.Mem {
	m := operand.Mem{Base: p.near, Disp: off}
	if b >= 4 {
		m.Base, b = p.far, b-4
	}
	switch b {
	case 1, 2:
		m.Index, m.Scale = p.one, uint8(b)
	case 3:
		m.Index, m.Scale = p.three, 1
	}
	return m
}

func (s *packSink) dw(b int, v vec)        { s.e.VMOVUPS(v, s.at(b, panelScale)) }
func (s *packSink) min(b, half int, v vec) { s.e.VMOVUPS(v, s.at(b, panelMore+64*half)) }

func (s *packSink) scales(b int, v [2]vec) {
	e := s.e
	switch {
	case s.f.kind == kindMin2:
		for i := range v {
			e.store(e.twice(v[i]), s.folded(b, i))
		}
	case e.wide:
		for i := range v {
			e.store(v[i], s.at(b, panelMore+64*i))
		}
	default:
		for i := range v {
			e.VMOVDQU(e.twice(v[i]), s.at(b, panelMore+64*i))
		}
		high := e.YMM()
		e.VPSLLD(imm(16), v[1], high)
		e.VPBLENDW(imm(0xaa), high, v[0], high)
		e.VMOVDQU(high, s.at(b, panelMore+128))
	}
}

// folded is the place of the scales of half i of block b, as both words of a dword.
func (s *packSink) folded(b, i int) operand.Mem { return s.pair.Offset(s.e.size() * (2*b + i)) }

// twice returns the low words of v in both words.
func (e *emitter) twice(v vec) vec {
	high, both := e.vec(), e.vec()
	e.VPSLLD(imm(16), v, high)
	if e.wide { // scales that are folded are not negative
		e.or(high, v, both)
	} else {
		e.VPBLENDW(imm(0xaa), high, v, both)
	}
	return both
}

func emitPack(e *emitter, f *format) {
	name := "pack" + f.name
	if f.signed || e.wide {
		name += e.isa()
	}
	e.Function(name)
	if f.kind != kindMin2 { // no frame
		e.Attributes(nosplit)
	}
	e.Pragma("noescape")
	if e.wide {
		e.Doc(name+" unpacks 16 rows of n "+f.name+" blocks into a panel whose lanes lie lane bytes apart, from lane 0 on or", "until lane 7.")
	} else {
		e.Doc(name+" unpacks 8 rows of n "+f.name+" blocks into one half of a panel whose lanes lie lane bytes apart, from lane 0",
			"on or until lane 7.")
	}
	e.SignatureExpr("func(dst, w *byte, rowBytes, n, lane int)")
	r := e.newRows()
	n, lane := e.GP64(), e.GP64()
	to := &lanePlaces{near: e.GP64(), one: lane}
	s := &packSink{e: e, f: f, at: to.at}
	kind := f.panelKind(e)
	size := operand.I32(int32(e.panelBytes(kind)))
	e.Load(e.Param("w"), n)
	e.start(r, n)
	var next *ahead
	if e.wide {
		next = e.newAhead(r, n, f.bytes, f.sub)
	}
	e.Load(e.Param("dst"), to.near)
	e.Load(e.Param("n"), n)
	e.Load(e.Param("lane"), lane)
	if f.sub > 1 {
		to.far, to.three = e.GP64(), e.GP64()
		e.LEAQ(operand.Mem{Base: lane, Index: lane, Scale: 2}, to.three)
		e.LEAQ(operand.Mem{Base: to.near, Index: lane, Scale: 4}, to.far)
	}
	if f.kind == kindMin2 {
		s.pair = e.newFrame(2 * f.sub).take(2 * f.sub)
	}
	f.begin(e)
	loop := e.label("block")
	left, wrap := e.GP64(), e.GP64()
	if f.sub == 1 {
		e.MOVQ(operand.I32(groupBlocks), left)
		e.MOVQ(lane, wrap)
		e.SHLQ(imm(3), wrap)
		e.SUBQ(size, wrap)
	}
	e.Label(loop)
	if e.wide {
		next.begin()
	}
	f.header(e, r, s)
	for b := 0; b < f.sub; b += f.shared {
		if e.wide {
			next.ask(b + f.shared)
		}
		e.columns(f, r, b, func(j, k int, v vec) {
			switch kind {
			case kindMin2:
				e.fold(s.folded(b+j, k/4), v)
			case kindPlanes:
				high := e.planes(v)
				e.store(high, s.at(b+j, panelMore+64*k))
			}
			e.store(v, s.at(b+j, 64*k))
		})
	}
	e.advance(r, f.bytes)
	if e.wide {
		next.end()
	}
	if f.sub > 1 {
		e.ADDQ(size, to.near)
		e.ADDQ(size, to.far)
	} else {
		same := e.label("same")
		e.ADDQ(lane, to.near)
		e.DECQ(left)
		e.JNZ(operand.LabelRef(same))
		e.MOVQ(operand.I32(groupBlocks), left)
		e.SUBQ(wrap, to.near)
		e.Label(same)
	}
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

// fold multiplies bytes by the scales of their rows: values up to 3 times scales up to 15 do not carry into their neighbours.
func (e *emitter) fold(scales operand.Mem, v vec) { e.VPMULLW(scales, v, v) }

// planes adds 128 to signed bytes, leaves their lower halves in v and returns the upper ones.
func (e *emitter) planes(v vec) (high vec) {
	mask := e.keep(e.bytes8("nibbleMask", 15))
	high = e.YMM()
	e.VPXOR(e.keep(e.bytes8("signBit", 128)), v, v)
	e.VPSRLW(imm(4), v, high)
	e.VPAND(mask, v, v)
	e.VPAND(mask, high, high)
	return high
}

// columns unpacks the blocks from b on that share bytes and hands put the four values from 4*k on of block b+j, 4 bytes for
// each row.
func (e *emitter) columns(f *format, r rows, b int, put func(j, k int, v vec)) {
	if !e.wide {
		for j := range f.shared {
			e.columnsAVX2(f, r, b+j, func(k int, v vec) { put(j, k, v) })
		}
		return
	}
	if f.nibbles != nil {
		var half [2][4]vec
		for i := range 4 {
			half[0][i], half[1][i] = f.pair(e, e.piece(r, i), b)
		}
		for h, part := range half {
			for k, v := range e.transpose4(part) {
				put(0, 4*h+k, v)
			}
		}
		return
	}
	for h := range 2 {
		part := make([][4]vec, f.shared)
		for i := range 4 {
			p := e.piece(r, i)
			for j := range f.shared {
				part[j][i] = f.half(e, p, b+j, h)
			}
		}
		for j := range f.shared {
			for k, v := range e.transpose4(part[j]) {
				put(j, 4*h+k, v)
			}
		}
	}
}

// columnsAVX2 transposes 8 rows x 8 dwords of unpacked bytes: a row and the one 4 below it share a vector's halves first.
func (e *emitter) columnsAVX2(f *format, r rows, b int, put func(k int, v vec)) {
	var lo, hi [4]vec
	for i := range lo {
		if f.nibbles != nil {
			lo[i], hi[i] = f.pair(e, e.piece(r, i), b)
			continue
		}
		u, v := f.bytes32(e, r, b, i), f.bytes32(e, r, b, i+4)
		lo[i], hi[i] = e.YMM(), u
		e.VINSERTI128(imm(1), v.AsX(), u, lo[i])
		e.VPERM2I128(imm(0x31), v, u, hi[i])
	}
	for h, part := range [2][4]vec{lo, hi} {
		for k, v := range e.transpose4(part) {
			put(4*h+k, v)
		}
	}
}
