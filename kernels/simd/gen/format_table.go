package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The formats whose 4 bits index a table: IQ4_NL and IQ4_XS share one that fills 8 bits, MXFP4 has the doubled values of
// a 4-bit float (1 sign, 2 exponent, 1 mantissa bit) and a power of two, halved, as its scale.
func tableFormats() []*format {
	iq4 := [16]int{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
	fp4 := [16]int{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
	var mask, table vec
	begin := func(name string, values [16]int, offset func(*emitter) int) func(*emitter) {
		return func(e *emitter) {
			mask = e.nibbleMask()
			off := offset(e)
			var b [32]byte
			for i := range b {
				b[i] = byte(values[i%16] + off)
			}
			if off == 128 {
				name += "Unsigned"
			}
			table = e.load(e.constant(name, b))
		}
	}
	full := func(e *emitter) int {
		if e.vnni {
			return 128
		}
		return 0
	}
	lookup := func(at func(b int) int) func(*emitter, *piece, int) (lo, hi vec) {
		return func(e *emitter, p *piece, b int) (lo, hi vec) {
			lo, hi = e.nibblePair(p, at(b), mask)
			e.VPSHUFB(lo, table, lo)
			e.VPSHUFB(hi, table, hi)
			return lo, hi
		}
	}
	var sizes, signs vec
	// Without VNNI a dot kernel multiplies the values' sizes. Values from index 8 on are positive, those before it negative, and so
	// is 135-index as a signed byte.
	beginSized := func(e *emitter) {
		if e.vnni {
			begin("tableIQ4", iq4, full)(e)
			return
		}
		var b [32]byte
		for i := range b {
			b[i] = byte(max(iq4[i%16], -iq4[i%16]))
		}
		mask, sizes, signs = e.nibbleMask(), e.load(e.constant("sizesIQ4", b)), e.load(e.bytes8("signsIQ4", 135))
	}
	sized := func(at func(b int) int) func(*emitter, *piece, int) (size, sign [2]vec) {
		return func(e *emitter, p *piece, b int) (size, sign [2]vec) {
			size[0], size[1] = e.nibblePair(p, at(b), mask)
			for h, v := range size {
				sign[h] = e.vec()
				e.VPSUBB(v, signs, sign[h])
				e.VPSHUFB(v, sizes, v)
			}
			return size, sign
		}
	}
	xs := &rowXS{}
	after2, after1 := func(int) int { return 2 }, func(int) int { return 1 }
	after8 := func(b int) int { return 8 + 16*b }
	return []*format{
		{
			name: "IQ4_NL", bytes: 18, sub: 1, kind: kindOff, top: 255, signed: true, shared: 1,
			begin: begin("tableIQ4", iq4, full), beginDot: beginSized,
			header: func(e *emitter, r addresses, s sink) {
				d, _ := e.gatherHalves(r, false)
				s.dw(0, d)
			},
			nibbles: lookup(after2), sized: sized(after2),
		},
		{
			name: "MXFP4", bytes: 17, sub: 1, kind: kindOff, top: 28, shift: 4, shared: 1,
			begin: begin("tableFP4", fp4, func(*emitter) int { return 16 }),
			header: func(e *emitter, r addresses, s sink) {
				// 2^(x-128) as bits: (x-1) << 23, and for x below 2 the denormals (x+1) << 21, which are less from there on.
				x, small := e.gatherBytes(r), e.vec()
				e.VPSLLD(imm(21), x, small)
				e.VPSLLD(imm(23), x, x)
				e.VPADDD(e.dwords("exponentSmall", 1<<21), small, small)
				e.VPSUBD(e.dwords("exponentOne", 1<<23), x, x)
				e.VPMAXSD(small, x, x)
				s.dw(0, x)
			},
			nibbles: lookup(after1),
		},
		{
			// d, 8 times the two high bits of a scale, 8 low nibbles of them, 8 times 16 bytes; scales are less 32.
			name: "IQ4_XS", bytes: 136, sub: 8, kind: kindOff, top: 255, signed: true, shared: 1,
			begin: begin("tableIQ4", iq4, full), beginDot: func(e *emitter) { beginSized(e); xs.begin(e) },
			header: func(e *emitter, r addresses, s sink) {
				head, low := e.gather(r, 0), e.gather(r, 4)
				d, _ := e.halves(head, false)
				high := e.vec()
				e.VPSRLD(imm(16), head, high)
				fifteen, three := e.load(e.dwords("dwordFifteen", 15)), e.load(e.dwords("dwordThree", 3))
				bias := e.load(e.dwords("dwordThirtyTwo", 32))
				for b := range 8 {
					l, h := e.vec(), e.vec()
					e.VPSRLD(imm(4*b), low, l)
					e.and(fifteen, l, l)
					e.VPSRLD(imm(2*b), high, h)
					e.and(three, h, h)
					e.VPSLLD(imm(4), h, h)
					e.or(h, l, l)
					e.VPSUBD(bias, l, l)
					e.VCVTDQ2PS(l, l)
					e.VMULPS(d, l, l)
					s.dw(b, l)
				}
			},
			row: xs.row,
			nibbles: lookup(after8), sized: sized(after8),
		},
	}
}

// rowXS reads the scales of the 8 blocks of an IQ4_XS super-block.
type rowXS struct{ low, fifteen, high, upper, bias operand.Op }

func (r *rowXS) begin(e *emitter) {
	r.low = e.pin(e.dwordList("rowXSLow", [8]uint32{0, 4, 8, 12, 16, 20, 24, 28}))
	r.fifteen = e.pin(e.dwords("dwordFifteen", 15))
	// The high bits are moved to where they belong, above the low ones.
	r.high = e.pin(e.dwordList("rowXSHigh", [8]uint32{12, 14, 16, 18, 20, 22, 24, 26}))
	r.upper, r.bias = e.pin(e.dwords("dwordBits45", 48)), e.pin(e.dwords("dwordThirtyTwo", 32))
}

func (r *rowXS) row(e *emitter, p reg.GPVirtual, s *dotSink) {
	low, high := e.YMM(), e.YMM()
	e.VPBROADCASTD(operand.Mem{Base: p, Disp: 4}, low)
	e.VPSRLVD(r.low, low, low)
	e.and(r.fifteen, low, low)
	e.VPBROADCASTD(operand.Mem{Base: p}, high) // d, and above it the high bits
	e.VPSRLVD(r.high, high, high)
	low = e.masked(high, r.upper, low)
	e.VPSUBD(r.bias, low, low)
	e.VCVTDQ2PS(low, low)
	e.VMULPS(e.halfAt(operand.Mem{Base: p}), low, low)
	s.dw(0, low)
}
