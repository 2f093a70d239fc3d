package main

import "github.com/mmcloughlin/avo/operand"

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

// fifthFormat completes a format with its fifth bits at disp and its nibbles after them.
func fifthFormat(f *format, disp int) *format {
	var mask vec
	var sixteen, bit operand.Op
	var bytes [2]operand.Op // of the lower and upper 16 values: where their bits are
	f.sub, f.top, f.shared = 1, 31, 1
	f.begin = func(e *emitter) {
		mask, sixteen = e.nibbleMask(), e.pinned(e.bytes8("sixteen", 16))
		var low, high, bits [32]byte
		for i := range low {
			low[i], bits[i] = byte(i%16/8), 1<<(i%8)
			if i%8 < 4 && !e.wide && !e.evex { // see below
				low[i], bits[i] = low[i]+4, bits[i]<<4
			}
			high[i] = low[i] + 2
		}
		bit = e.pinned(e.constant("fifthBit", bits))
		bytes = [2]operand.Op{e.keep(e.constant("fifthLow", low)), e.keep(e.constant("fifthHigh", high))}
	}
	f.nibbles = func(e *emitter, p *piece, _ int) (lo, hi vec) {
		lo, hi = e.nibblePair(p, disp+4, mask)
		var bits vec
		switch {
		case e.wide:
			bits = p.at(disp)
		case e.evex:
			bits = p.dwords(disp)
		default: // the second dword of a lane has the low 4 bits of every byte where the first has the high ones
			bits = p.dwords(disp)
			e.VPSLLVD(e.dwordList("secondBy4", [8]uint32{1: 4, 5: 4}), bits, bits)
		}
		for h, v := range []vec{lo, hi} {
			spread := e.vec()
			e.VPSHUFB(bytes[h], bits, spread)
			if e.wide || e.evex {
				k := e.K()
				e.VPTESTMB(bit, spread, k)
				e.VPADDB(sixteen, v, k, v)
				continue
			}
			e.VPAND(bit, spread, spread) // 16 or more where the bit is set
			e.VPMINUB(sixteen, spread, spread)
			e.VPOR(spread, v, v)
		}
		return lo, hi
	}
	return f
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
