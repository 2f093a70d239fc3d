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
	var mask, bit vec
	var sixteen, lowBytes, highBytes operand.Op
	var low, high, bits [32]byte
	for i := range low {
		low[i], high[i], bits[i] = byte(i%16/8), byte(i%16/8+2), 1<<(i%8)
	}
	f.sub, f.top, f.shared = 1, 31, 1
	f.begin = func(e *emitter) {
		mask, bit = e.nibbleMask(), e.load(e.constant("fifthBit", bits))
		sixteen = e.keep(e.bytes8("sixteen", 16))
		lowBytes, highBytes = e.keep(e.constant("fifthLow", low)), e.keep(e.constant("fifthHigh", high))
	}
	f.nibbles = func(e *emitter, p *piece, _ int) (lo, hi vec) {
		lo, hi = e.nibblePair(p, disp+4, mask)
		h := p.at(disp)
		for _, x := range []struct {
			v     vec
			bytes operand.Op
		}{{lo, lowBytes}, {hi, highBytes}} {
			spread := e.vec()
			e.VPSHUFB(x.bytes, h, spread)
			if e.wide {
				k := e.K()
				e.VPTESTMB(bit, spread, k)
				e.VPADDB(sixteen, x.v, k, x.v)
				continue
			}
			e.VPAND(bit, spread, spread)
			e.VPCMPEQB(bit, spread, spread)
			e.VPAND(sixteen, spread, spread)
			e.VPOR(spread, x.v, x.v)
		}
		return lo, hi
	}
	return f
}

func formatQ80(scale func(*emitter, addresses, sink)) *format {
	var flip vec
	return &format{
		name: "Q8_0", bytes: 34, sub: 1, kind: kindOff, top: 255, signed: true, shared: 1,
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
