package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
)

const nosplit = attr.NOSPLIT

// A panel is 16 weight rows unpacked for gemm, block after block. In a block of 32: eight times 64 bytes, each the four
// values k..k+3 of row 0, of row 1, ... of row 15 (so that one broadcast of 4 activations meets 8 rows in a vector), then
// dw of the 16 rows, then what the kind needs: minimums, or integer scales as pairs of words (s0,s0), (s1,s1), (s0,s1). A
// pack kernel fills 8 of the 16 rows: dst points at the first or the second 32 bytes of the panel.

const (
	panelScale = 512
	panelMore  = 576
)

func emitPacks(e *emitter, formats []*format) {
	for _, f := range formats {
		emitPack(e, f)
		if f.signed {
			e.vnni = true
			emitPack(e, f)
			e.vnni = false
		}
	}
}

// packSink writes the scales into the panel.
type packSink struct {
	e    *emitter
	f    *format
	dst  operand.Mem
	pair operand.Mem // of a folding format: the scales of the 8 blocks
}

func (s *packSink) at(b, off int) operand.Mem { return s.dst.Offset(b*s.f.kind.panelBytes() + off) }
func (s *packSink) dw(b int, v vec)           { s.e.VMOVUPS(v, s.at(b, panelScale)) }
func (s *packSink) min(b, half int, v vec)    { s.e.VMOVUPS(v, s.at(b, panelMore+64*half)) }
func (s *packSink) scales(b int, v [2]vec) {
	e := s.e
	var p [2]vec
	for i := range v {
		p[i] = e.YMM()
		e.VPSLLD(imm(16), v[i], p[i])
		t := e.YMM()
		e.VPBLENDW(imm(0xaa), p[i], v[i], t)
		if s.f.kind == kindMin2 {
			e.VMOVDQU(t, s.pair.Offset(32*(2*b+i)))
			continue
		}
		e.VMOVDQU(t, s.at(b, panelMore+64*i))
	}
	if s.f.kind == kindHalf {
		e.VPBLENDW(imm(0xaa), p[1], v[0], p[1])
		e.VMOVDQU(p[1], s.at(b, panelMore+128))
	}
}

func emitPack(e *emitter, f *format) {
	name := "pack" + f.name
	if f.signed {
		name += e.isa()
	}
	e.Function(name)
	if f.kind != kindMin2 { // no frame
		e.Attributes(nosplit)
	}
	e.Pragma("noescape")
	e.Doc(name + " unpacks 8 rows of n " + f.name + " blocks into one half of a panel.")
	e.SignatureExpr("func(dst, w *byte, rowBytes, n int)")
	r := e.newRows()
	dst, n := e.GP64(), e.GP64()
	e.Load(e.Param("w"), n)
	e.start(r, n)
	e.Load(e.Param("dst"), dst)
	e.Load(e.Param("n"), n)
	s := &packSink{e: e, f: f, dst: operand.Mem{Base: dst}}
	if f.kind == kindMin2 {
		s.pair = e.AllocLocal(32 * 2 * f.sub)
	}
	f.begin(e)
	loop := e.label("block")
	e.Label(loop)
	f.header(e, r, s)
	for b := range f.sub {
		e.packBlock(f, r, b, s)
	}
	e.advance(r, f.bytes)
	e.ADDQ(operand.I32(int32(f.sub*f.kind.panelBytes())), dst)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	e.VZEROUPPER()
	e.RET()
}

// packBlock transposes 8 rows x 8 dwords of unpacked bytes: a row and the one 4 below it share a vector's halves first.
func (e *emitter) packBlock(f *format, r rows, b int, s *packSink) {
	var lo, hi [4]vec
	for i := range lo {
		if f.nibbles != nil {
			lo[i], hi[i] = f.pair(e, e.piece(r, i), b)
			continue
		}
		u, v := f.row(e, r, b, i), f.row(e, r, b, i+4)
		lo[i], hi[i] = e.YMM(), u
		e.VINSERTI128(imm(1), v.AsX(), u, lo[i])
		e.VPERM2I128(imm(0x31), v, u, hi[i])
	}
	for h, part := range [2][4]vec{lo, hi} {
		for k, v := range e.transpose4(part) {
			if f.kind == kindMin2 {
				// Values up to 3 times scales up to 15: bytes do not carry into their neighbours.
				e.VPMULLW(s.pair.Offset(32*(2*b+h)), v, v)
			}
			e.VMOVDQU(v, s.at(b, 64*(4*h+k)))
		}
	}
}
