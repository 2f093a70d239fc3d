package main

// The formats of one block of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. A block opens with d (and m) as float16; the nibbles of
// byte i are values i and i+16; the fifth bits lie in one dword in the order of the values.
func legacyFormats() []*format {
	scale := func(e *emitter, r rows, s sink) {
		d, _ := e.halves(e.gather(r, 0), false)
		s.dw(0, d)
	}
	scaleMin := func(e *emitter, r rows, s sink) {
		d, m := e.halves(e.gather(r, 0), true)
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
	var mask ymm
	f.sub, f.top = 1, 15
	f.begin = func(e *emitter) { mask = e.nibbleMask() }
	f.unpack = func(e *emitter, r rows, _, i int) ymm { return e.nibbles16(r.at(i, disp), mask) }
	f.pair = func(e *emitter, r rows, _, i int) (lo, hi ymm) { return e.nibblePair(r, i, disp, mask) }
	return f
}

// fifthFormat completes a format with its fifth bits at disp and its nibbles after them.
func fifthFormat(f *format, disp int) *format {
	var mask, bit ymm
	var wide, low, high, bits [32]byte
	for i := range wide {
		wide[i], low[i], high[i], bits[i] = byte(i/8), byte(i%16/8), byte(i%16/8+2), 1<<(i%8)
	}
	fifth := func(e *emitter, spread, v ymm) {
		e.VPAND(bit, spread, spread)
		e.VPCMPEQB(bit, spread, spread)
		e.VPAND(e.bytes8("sixteen", 16), spread, spread)
		e.VPOR(spread, v, v)
	}
	f.sub, f.top = 1, 31
	f.begin = func(e *emitter) { mask, bit = e.nibbleMask(), e.load(e.constant("fifthBit", bits)) }
	f.unpack = func(e *emitter, r rows, _, i int) ymm {
		v, h := e.nibbles16(r.at(i, disp+4), mask), e.YMM()
		e.VPBROADCASTD(r.at(i, disp), h)
		e.VPSHUFB(e.constant("fifthWide", wide), h, h)
		fifth(e, h, v)
		return v
	}
	f.pair = func(e *emitter, r rows, _, i int) (lo, hi ymm) {
		lo, hi = e.nibblePair(r, i, disp+4, mask)
		h := e.two(r, i, disp)
		for j, v := range []ymm{lo, hi} {
			spread := e.YMM()
			if j == 0 {
				e.VPSHUFB(e.constant("fifthLow", low), h, spread)
			} else {
				e.VPSHUFB(e.constant("fifthHigh", high), h, spread)
			}
			fifth(e, spread, v)
		}
		return lo, hi
	}
	return f
}

func formatQ80(scale func(*emitter, rows, sink)) *format {
	var flip ymm
	return &format{
		name: "Q8_0", bytes: 34, sub: 1, kind: kindOff, top: 255, signed: true,
		begin: func(e *emitter) {
			if e.vnni {
				flip = e.load(e.bytes8("signBit", 128))
			}
		},
		header: scale,
		unpack: func(e *emitter, r rows, _, i int) ymm {
			v := e.YMM()
			if e.vnni {
				e.VPXOR(r.at(i, 2), flip, v)
			} else {
				e.VMOVDQU(r.at(i, 2), v)
			}
			return v
		},
	}
}
