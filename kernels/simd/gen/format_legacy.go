package main

// The formats of one block of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. A block opens with d (and m) as float16; the nibbles of
// byte i are values i and i+16; the fifth bits lie in one dword in the order of the values.
func legacyFormats() []*format {
	var shift, mask, spread, bit, sixteen, flip ymm
	nibbles := func(e *emitter) { shift, mask = e.nibbleShift(), e.nibbleMask() }
	fifths := func(e *emitter) {
		nibbles(e)
		var idx, bits [32]byte
		for i := range idx {
			idx[i], bits[i] = byte(i/8), 1<<(i%8)
		}
		spread = e.load(e.constant("fifthSpread", idx))
		bit = e.load(e.constant("fifthBit", bits))
		sixteen = e.load(e.bytes8("sixteen", 16))
	}
	nibbleAt := func(disp int) func(*emitter, rows, int, int) ymm {
		return func(e *emitter, r rows, _, i int) ymm { return e.nibbles16(r.at(i, disp), shift, mask) }
	}
	fifthAt := func(high, low int) func(*emitter, rows, int, int) ymm {
		return func(e *emitter, r rows, _, i int) ymm {
			v := e.nibbles16(r.at(i, low), shift, mask)
			h := e.YMM()
			e.VPBROADCASTD(r.at(i, high), h)
			e.VPSHUFB(spread, h, h)
			e.VPAND(bit, h, h)
			e.VPCMPEQB(bit, h, h)
			e.VPAND(sixteen, h, h)
			e.VPOR(h, v, v)
			return v
		}
	}
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
		{name: "Q4_0", bytes: 18, sub: 1, kind: kindOff, shift: 3, begin: nibbles, header: scale, unpack: nibbleAt(2)},
		{name: "Q4_1", bytes: 20, sub: 1, kind: kindMin, begin: nibbles, header: scaleMin, unpack: nibbleAt(4)},
		{name: "Q5_0", bytes: 22, sub: 1, kind: kindOff, shift: 4, begin: fifths, header: scale, unpack: fifthAt(2, 6)},
		{name: "Q5_1", bytes: 24, sub: 1, kind: kindMin, begin: fifths, header: scaleMin, unpack: fifthAt(4, 8)},
		{
			name: "Q8_0", bytes: 34, sub: 1, kind: kindOff, signed: true,
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
		},
	}
}
