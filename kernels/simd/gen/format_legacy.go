package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The formats of one block of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. A block opens with d (and m) as float16; the nibbles of
// byte i are values i and i+16; the fifth bits lie in one dword in the order of the values.
func legacyFormats() []*format {
	scale := func(e *emitter, r addresses, s sink) {
		d, _ := e.gatherHalves(r, false)
		s.dw(0, d)
	}
	scaleMin := func(e *emitter, r addresses, s sink) {
		d, m := e.gatherHalves(r, true)
		s.dw(0, d)
		s.min(0, 0, m)
	}
	return []*format{
		nibbleFormat(&format{name: "Q4_0", bytes: 18, kind: kindOff, shift: 3, header: scale}, 2),
		nibbleFormat(&format{name: "Q4_1", bytes: 20, kind: kindMin, header: scaleMin}, 4),
		fifthFormat(&format{name: "Q5_0", bytes: 22, kind: kindOff, shift: 4, header: scale}, 2),
		fifthFormat(&format{name: "Q5_1", bytes: 24, kind: kindMin, header: scaleMin}, 4),
		formatQ80(scale),
	}
}

// nibbleFormat completes a format with its nibbles at disp.
func nibbleFormat(f *format, disp int) *format {
	var mask vec
	f.sub, f.top, f.shared = 1, 15, 1
	f.begin = func(e *emitter) { mask = e.nibbleMask() }
	f.nibbles = func(e *emitter, p *piece, _ int) (lo, hi vec) { return e.nibblePair(p, disp, mask) }
	return f
}

// fifthFormat completes a format with its fifth bits at disp, behind its scales, and its nibbles after them.
func fifthFormat(f *format, disp int) *format {
	var mask vec
	var sixteen, bit operand.Op
	var bytes [2]operand.Op // of the lower and upper 16 values: where their bits are
	begin := func(e *emitter, from int) {
		mask = e.nibbleMask()
		if e.wide || e.evex {
			sixteen = e.pinned(e.bytes8("sixteen", 16))
		}
		if e.evex {
			return
		}
		var low, high, bits, signed [32]byte
		for i := range low {
			low[i], bits[i], signed[i] = byte(from+i%16/8), 1<<(i%8), 16
			if i%8 == 7 { // see below
				signed[i] = 256 - 16
			}
			high[i] = low[i] + 2
		}
		if !e.wide {
			sixteen = e.load(e.constant("fifthSixteen", signed))
		}
		bit = e.pinned(e.constant("fifthBit", bits))
		bytes[0] = e.keep(e.constant(fmt.Sprint("fifthLow", from), low))
		bytes[1] = e.keep(e.constant(fmt.Sprint("fifthHigh", from), high))
	}
	// add adds the fifth bits; every lane of v has those of its row.
	add := func(e *emitter, v, lo, hi vec) {
		for h, to := range []vec{lo, hi} {
			spread := e.vec()
			e.VPSHUFB(bytes[h], v, spread)
			if e.wide {
				k := e.K()
				e.VPTESTMB(bit, spread, k)
				e.VPADDB(sixteen, to, k, to)
				continue
			}
			e.VPAND(bit, spread, spread)
			e.VPSIGNB(spread, sixteen.(vec), spread) // -(-16) where the bit is a byte's sign
			e.VPOR(spread, to, to)
		}
	}
	f.sub, f.top, f.shared = 1, 31, 1
	f.begin = func(e *emitter) { begin(e, 0) }
	f.nibbles = func(e *emitter, p *piece, _ int) (lo, hi vec) {
		lo, hi = e.nibblePair(p, disp+4, mask)
		switch {
		case e.wide:
			add(e, p.at(disp), lo, hi)
		case e.evex: // blocks of one row, and a mask from units that are idle
			for h, v := range []vec{lo, hi} {
				e.VPADDB(sixteen, v, e.maskOfWords(p.r.at(p.i, disp+2*h), p.r.at(p.i+4, disp+2*h)), v)
			}
		default:
			add(e, p.dwords(disp), lo, hi)
		}
		return lo, hi
	}
	f.beginDot = func(e *emitter) { begin(e, disp) }
	f.headed = func(e *emitter, p *piece) (lo, hi, head vec) {
		lo, hi = e.nibblePair(p, disp+4, mask)
		head = p.at(0)
		add(e, head, lo, hi)
		return lo, hi, head
	}
	return f
}

// maskOfWords has the word at low in its low half and the one at high in its high half. What lies before that is read too.
func (e *emitter) maskOfWords(low, high operand.Mem) reg.OpmaskVirtual {
	r, k := e.GP32(), e.K()
	e.MOVL(high.Offset(-2), r)
	e.MOVW(low, r.As16())
	e.KMOVD(r, k)
	return k
}

func formatQ80(scale func(*emitter, addresses, sink)) *format {
	var flip vec
	return &format{
		name: "Q8_0", bytes: 34, sub: 1, kind: kindOff, top: 255, signed: true, shared: 1, unasked: true,
		begin: func(e *emitter) {
			if e.vnni {
				flip = e.load(e.bytes8("signBit", 128))
			}
		},
		header: scale,
		bits: func(e *emitter, at func(int) operand.Op, _ int) vec {
			v := e.vec()
			if e.vnni {
				e.xor(at(2), flip, v)
			} else {
				e.VMOVDQU(at(2), v)
			}
			return v
		},
	}
}
