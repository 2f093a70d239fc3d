package main

// The formats with a block of 256, which is a group.

func kFormats() []*format {
	return []*format{
		{name: "Q4_K", elems: 256, bytes: 144, minimums: 1, constants: nibbleConstants,
			values: func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
				a.halfBytes(k, p, 16+b/2*32, b%2, low, high)
			},
			scales: scales45},
		{name: "Q5_K", elems: 256, bytes: 176, minimums: 1,
			constants: func(a *asm, k *constants) {
				nibbleConstants(a, k)
				k.sixteen = a.vec()
				a.bytes(k.sixteen, 16)
			},
			values: func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
				a.halfBytes(k, p, 48+b/2*32, b%2, low, high)
				a.highBits(p, 16, 4-b, k.sixteen, low, high)
			},
			scales: scales45},
		{name: "IQ4_XS", elems: 256, bytes: 136, full: true,
			constants: func(a *asm, k *constants) {
				tableConstants(tableIQ4)(a, k)
				k.shifts, k.thirty, k.offset = a.vec(), a.vec(), a.vec()
				a.words8(k.shifts, [8]int16{4, 2, 0, -2, -4, -6, -8, -10})
				a.words8(k.thirty, [8]int16{0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30})
				a.words8(k.offset, [8]int16{32, 32, 32, 32, 32, 32, 32, 32})
			},
			values: func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
				a.load(mem(p, 8+16*b), high)
				a.nibbles(k, low, high)
				a.lookup(k.table, low, high)
			},
			scales: scalesXS},
	}
}

// halfBytes are the low or the high halves of 32 bytes.
func (a *asm) halfBytes(k *constants, p R, at, which int, low, high V) {
	a.loadPair(mem(p, at), low, high)
	for _, v := range []V{low, high} {
		if which == 0 {
			a.and(v, k.nibble, v)
		} else {
			a.ins("VUSHR", 4, v.at("B16"), v.at("B16"))
		}
	}
}

// highBits adds the bits of 32 bytes that mask has after a shift to the left, or to the right if it is negative.
func (a *asm) highBits(p R, at, shift int, mask V, low, high V) {
	t := a.vecs(2)
	a.loadPair(mem(p, at), t[0], t[1])
	for i, v := range []V{low, high} {
		switch {
		case shift > 0:
			a.ins("VSHL", shift, t[i].at("B16"), t[i].at("B16"))
		case shift < 0:
			a.ins("VUSHR", -shift, t[i].at("B16"), t[i].at("B16"))
		}
		a.and(t[i], mask, t[i])
		a.or(v, t[i], v)
	}
	a.free(t...)
}

// words8 fills a vector with 16-bit numbers.
func (a *asm) words8(v V, w [8]int16) {
	var b [16]byte
	for i, x := range w {
		b[2*i], b[2*i+1] = byte(x), byte(x>>8)
	}
	a.bytes16(v, b)
}

// scales45 are the 8 scales and minimums of 6 bits in 12 bytes of Q4_K and Q5_K. The first 4 of each have their bits in 8 bytes,
// and the high two bits of the last 4 there too; the low bits of these are in the other 4 bytes.
func scales45(a *asm, _ *constants, p R, s *groupScales) {
	x, y, t := a.gp(), a.gp(), a.gp()
	a.ins("MOVD", mem(p, 4), x)
	a.ins("MOVWU", mem(p, 12), y)
	a.ins("LSR", 6, x, t)
	a.ins("AND", "$0x3f3f3f3f3f3f3f3f", x, x)
	a.ins("AND", "$0x0303030303030303", t, t)
	four := a.gp()
	a.ins("LSR", 4, y, four)
	a.ins("ORR", four.shifted(32), y, y)
	a.ins("AND", "$0x0f0f0f0f0f0f0f0f", y, y)
	a.ins("ORR", t.shifted(4), y, y)
	a.freeGP(x, y, t, four)
	d := a.vec()
	a.ins("FMOVS", mem(p, 0), d.q())
	a.widen(d, d)
	for i, r := range []R{x, y} { // 4 scales, 4 minimums
		v := s[i].d
		a.ins("FMOVD", r, v.q())
		a.ins("VUXTL", v.at("B8"), v.at("H8"))
		a.ins("VUXTL2", v.at("H8"), s[i].m[0].at("S4"))
		a.ins("VUXTL", v.at("H4"), v.at("S4"))
		a.toFloat(v, v)
		a.toFloat(s[i].m[0], s[i].m[0])
		a.fmulPart(v, d, 0, v)
		a.fmulPart(s[i].m[0], d, 1, s[i].m[0])
		a.fneg(s[i].m[0], s[i].m[0])
	}
	a.free(d)
}

// scalesXS: 8 scales of 6 bits less 32, the low 4 in nibbles, the high 2 in 16 bits.
func scalesXS(a *asm, k *constants, p R, s *groupScales) {
	d, high, t := a.vec(), a.vec(), a.vec()
	a.ins("FMOVS", mem(p, 0), d.q()) // d, high bits
	a.ins("FMOVS", mem(p, 4), t.q())
	a.ins("VDUP", d.lane("H", 1), high.at("H8"))
	a.word(0x6e604400|uint32(k.shifts)<<16|uint32(high)<<5|uint32(high), "ushl v%d.8h, v%d.8h, v%d.8h", high, high, k.shifts)
	a.and(high, k.thirty, high)
	a.widen(d, d)
	low := s[0].d
	a.and(t, k.nibble, low)
	a.ins("VUSHR", 4, t.at("B16"), t.at("B16"))
	a.ins("VZIP1", t.at("B16"), low.at("B16"), t.at("B16"))
	a.ins("VUXTL", t.at("B8"), t.at("H8"))
	a.or(t, high, t)
	a.ins("VSUB", k.offset.at("H8"), t.at("H8"), t.at("H8"))
	a.signed16(t, s[0].d)
	a.signed16High(t, s[1].d)
	for i := range s {
		a.toFloat(s[i].d, s[i].d)
		a.fmulPart(s[i].d, d, 0, s[i].d)
	}
	a.free(d, high, t)
}
