package main

import "github.com/mmcloughlin/avo/operand"

// Kinds of correction and scale that a format needs besides d.
type panelKind int

const (
	kindOff  panelKind = iota // value = d * (u - 2^shift); shift < 0: u is the value
	kindMin                   // value = d * u + m
	kindMin2                  // the same with one scale and one m for 16 values; a panel holds u * scale
	kindHalf                  // value = d * s * (u - 2^shift), an integer s for 16 values
)

// panelBytes is the size of one block of a 16-row panel; the same numbers stand in product.go.
func (k panelKind) panelBytes() int { return [...]int{576, 640, 704, 768}[k] }

// sink takes the scales of 8 rows for block b of the format's block. Every argument is a vector of 8 rows.
type sink interface {
	dw(b int, v ymm)        // float32
	min(b, half int, v ymm) // float32, added: already negative where the format subtracts
	scales(b int, s [2]ymm) // int32
}

// format is one quantised type as the emitters see it.
type format struct {
	name  string
	bytes int // of a block of 32*sub values
	sub   int
	kind  panelKind
	shift int // of kindOff and kindHalf
	top   int // the largest u
	// signed formats have values that fill 8 bits: AVX2 multiplies them by the sign trick, VNNI as u8 with shift 7.
	signed bool
	// begin loads constants before the loop.
	begin func(e *emitter)
	// header reads the scales of the block of 8 rows.
	header func(e *emitter, r rows, s sink)
	// unpack returns the 32 bytes of block b of row i, in order.
	unpack func(e *emitter, r rows, b, i int) ymm
	// pair, which formats of 16 bytes of nibbles have, returns values 0-15 and 16-31 of block b, of row i in the low and of
	// row i+4 in the high half: half the work of unpack and half the sums to add across.
	pair func(e *emitter, r rows, b, i int) (lo, hi ymm)
}

// effective shift for the instruction set: signed formats are unsigned with an offset of 128 where VNNI multiplies.
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
	if e.vnni {
		return "VNNI"
	}
	return "AVX2"
}

// nibbles16 unpacks 16 bytes: low nibbles are values 0-15, high ones 16-31.
func (e *emitter) nibbles16(m operand.Mem, mask ymm) ymm {
	v := e.YMM()
	e.VBROADCASTI128(m, v)
	e.VPSRLVD(e.dwordList("nibbleShift", [8]uint32{4: 4, 5: 4, 6: 4, 7: 4}), v, v)
	e.and(mask, v)
	return v
}

// nibblePair is nibbles16 for two rows.
func (e *emitter) nibblePair(r rows, i, disp int, mask ymm) (lo, hi ymm) {
	lo, hi = e.two(r, i, disp), e.YMM()
	e.VPSRLW(imm(4), lo, hi)
	e.and(mask, lo)
	e.and(mask, hi)
	return lo, hi
}

func (e *emitter) nibbleMask() ymm { return e.load(e.bytes8("nibbleMask", 15)) }
