package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kinds of correction and scale that a format needs besides d.
type panelKind int

const (
	kindOff    panelKind = iota // value = d * (u - 2^shift); shift < 0: u is the value
	kindMin                     // value = d * u + m
	kindMin2                    // the same with one scale and one m for 16 values; a panel holds u * scale
	kindHalf                    // value = d * s * (u - 2^shift), an integer s for 16 values
	kindPlanes                  // kindOff with a u of 8 bits, whose halves lie apart
)

// panelBytes is the size of one block of a 16-row panel; the same numbers stand in package simd's kernel tables.
func (e *emitter) panelBytes(k panelKind) int {
	if e.wide && k == kindHalf {
		return 704
	}
	return [...]int{576, 640, 704, 768, 1088}[k]
}

// sink takes the scales for block b of the format's block. Every argument is a vector with a lane for each weight row, or for
// each of 8 blocks of one row.
type sink interface {
	dw(b int, v vec)        // float32
	min(b, half int, v vec) // float32, added: already negative where the format subtracts
	scales(b int, s [2]vec) // int32
}

// format is one quantised type as the emitters see it.
type format struct {
	name  string
	bytes int // of a block of 32*sub values
	sub   int
	kind  panelKind
	shift int // of kindOff and kindHalf
	top   int // the largest u
	// signed formats have values that fill 8 bits. As u8 with shift 7 VNNI multiplies them, and AVX2 the halves of panels; its
	// other kernels use the sign trick.
	signed bool
	// unasked formats have one more dot kernel, which leaves prefetching to the processor.
	unasked bool
	// begin loads constants before the loop.
	begin func(e *emitter)
	// beginDot, which may be nil, does so in a dot kernel.
	beginDot func(e *emitter)
	// header reads the scales of the block of all rows; with one block to a format's block also those of 8 blocks of one row.
	header func(e *emitter, r addresses, s sink)
	// row, of formats with 8 blocks in theirs, reads the scales of the 8 blocks at p. The minimums that it gives are subtracted.
	row func(e *emitter, p reg.GPVirtual, s *dotSink)

	// A format has one of the two that follow. bits is for values that stand in order: it makes bytes of values of block b,
	// from the bytes that at returns for a place in the format's block; 32 values where at gives 32 bytes, the first or the
	// last 16 of several rows where it gives those. shared is the number of blocks whose values are in the same bytes.
	bits   func(e *emitter, at func(disp int) operand.Op, b int) vec
	shared int
	// quarter, beside bits, is for the dot kernels: values 16*h to 16*h+15 of blocks i and i+4 of one row, a block to a lane of 128
	// bits. A result with a shift is as many bits too large, which is for the sums to mend.
	quarter func(e *emitter, r *rowPieces, i, h int) (v vec, shift int)
	// nibbles is for 16 bytes whose low halves are values 0-15 and whose high halves are values 16-31.
	nibbles func(e *emitter, p *piece, b int) (lo, hi vec)
	// headed, beside nibbles, is for AVX2's dot kernels: the values, and the 16 bytes with which blocks begin. The scales, float16
	// that come first, are taken from those in place of the header.
	headed func(e *emitter, p *piece) (lo, hi, head vec)
	// sized, beside nibbles of a signed format, is for AVX2's dot kernels: sizes of the same values, and bytes with their signs, of
	// which none is 0.
	sized func(e *emitter, p *piece, b int) (size, sign [2]vec)
}

// halved tells that the format has integer scales for 16 values.
func (f *format) halved() bool { return f.kind == kindHalf || f.kind == kindMin2 }

// piece reads 16 bytes of the rows i, i+4, ..., and remembers what it has read.
type piece struct {
	e    *emitter
	r    addresses
	i    int
	have map[int]vec
}

func (e *emitter) piece(r addresses, i int) *piece {
	return &piece{e: e, r: r, i: i, have: map[int]vec{}}
}

func (p *piece) at(disp int) vec {
	v, ok := p.have[disp]
	if !ok {
		v = p.e.laneRows(p.r, p.i, disp)
		p.have[disp] = v
	}
	return v
}

// dwords repeats the dword at disp of each of the two rows over the row's lane.
func (p *piece) dwords(disp int) vec {
	low, high := p.e.YMM(), p.e.YMM()
	p.e.VPBROADCASTD(p.r.at(p.i, disp), low)
	p.e.VPBROADCASTD(p.r.at(p.i+4, disp), high)
	p.e.VPBLENDD(imm(0xf0), high, low, low)
	return low
}

// pair returns values 0-15 and 16-31 of block b of p's rows, a row to a lane.
func (f *format) pair(e *emitter, p *piece, b int) (lo, hi vec) {
	if f.nibbles != nil {
		return f.nibbles(e, p, b)
	}
	return f.half(e, p, b, 0), f.half(e, p, b, 1)
}

// half returns values 0-15 (h 0) or 16-31 of block b of p's rows, for formats with values in order.
func (f *format) half(e *emitter, p *piece, b, h int) vec {
	return f.bits(e, func(disp int) operand.Op { return p.at(disp + 16*h) }, b)
}

// bytes32 returns the 32 bytes of block b of row i, in order.
func (f *format) bytes32(e *emitter, r addresses, b, i int) vec {
	return f.bits(e, func(disp int) operand.Op { return r.at(i, disp) }, b)
}

// panelKind is the kind of the format's panels for the instruction set.
func (f *format) panelKind(e *emitter) panelKind {
	if f.signed && !e.vnni && !e.wide {
		return kindPlanes
	}
	return f.kind
}

// offset is the effective shift for the instruction set: signed formats are unsigned with an offset of 128 where VNNI
// multiplies.
func (f *format) offset(vnni bool) (shift int, ok bool) {
	if f.kind != kindOff && f.kind != kindHalf {
		return 0, false
	}
	if f.signed {
		return 7, vnni
	}
	return f.shift, true
}

// isa is the suffix of a kernel's name.
func (e *emitter) isa() string {
	switch {
	case e.wide:
		return "AVX512"
	case e.evex:
		return "VL"
	case e.vnni:
		return "VNNI"
	}
	return "AVX2"
}

// nibblePair takes the halves of the bytes at disp apart.
func (e *emitter) nibblePair(p *piece, disp int, mask vec) (lo, hi vec) {
	v := p.at(disp)
	lo, hi = e.vec(), e.vec()
	e.VPSRLW(imm(4), v, hi)
	e.and(mask, v, lo)
	e.and(mask, hi, hi)
	return lo, hi
}

func (e *emitter) nibbleMask() vec { return e.load(e.bytes8("nibbleMask", 15)) }
