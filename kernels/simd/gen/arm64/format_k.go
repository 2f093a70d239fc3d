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
				k.shifts, k.high, k.offset = a.vec(), a.vec(), a.vec()
				a.words8(k.shifts, [8]int16{4, 2, 0, -2, -4, -6, -8, -10})
				a.words8(k.high, [8]int16{0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30})
				a.words8(k.offset, [8]int16{32, 32, 32, 32, 32, 32, 32, 32})
			},
			values: func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
				a.load(mem(p, 8+16*b), high)
				a.nibbles(k, low, high)
				a.lookup(k.table, low, high)
			},
			scales: scalesXS},
		{name: "Q6_K", elems: 256, bytes: 210, halves: true,
			constants: func(a *asm, k *constants) {
				offsetConstants(32)(a, k)
				k.high = a.vec()
				a.bytes(k.high, 0x30)
			},
			values: func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
				n, j := b/4, b%4
				a.halfBytes(k, p, 64*n+j%2*32, j/2, low, high)
				a.highBits(p, 128+32*n, 4-2*j, k.high, low, high)
				a.lift(k, low, high)
			},
			halfScales: func(a *asm, _ *constants, p R, half int, s *scales) {
				a.scaleAt(p, 208, s.d)
				t := a.vec()
				a.ins("FMOVD", mem(p, 192+8*half), t.q())
				a.integers(t, s)
				a.free(t)
			}},
		{name: "Q3_K", elems: 256, bytes: 110, halves: true,
			constants: func(a *asm, k *constants) {
				nibbleConstants(a, k)
				k.offset, k.mask, k.shifts = a.vec(), a.vec(), a.vec()
				a.bytes(k.offset, 4) // the third bit, too
				a.bytes(k.mask, 3)
				const right = 0xfe // by 2
				a.bytes16(k.shifts, [16]byte{4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0, right, right, right, right})
			},
			values: func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
				a.twoBits(k, p, 32, b, low, high)
				a.highBits(p, 0, 2-b, k.offset, low, high)
				a.lift(k, low, high)
			},
			halfScales: scalesQ3},
		{name: "Q2_K", elems: 256, bytes: 84, halves: true, minimums: 2,
			constants: func(a *asm, k *constants) {
				nibbleConstants(a, k)
				k.mask = a.vec()
				a.bytes(k.mask, 3)
			},
			values:     func(a *asm, k *constants, p R, b int, low, high V, _ bool) { a.twoBits(k, p, 16, b, low, high) },
			halfScales: scalesQ2},
	}
}

// twoBits are those of block b, of 4 that share 32 bytes.
func (a *asm) twoBits(k *constants, p R, at, b int, low, high V) {
	a.loadPair(mem(p, at+b/4*32), low, high)
	for _, v := range []V{low, high} {
		if b%4 > 0 {
			a.ins("VUSHR", b%4*2, v.at("B16"), v.at("B16"))
		}
		if b%4 < 3 {
			a.and(v, k.mask, v)
		}
	}
}

// scaleAt fills a vector with a float16 as a float.
func (a *asm) scaleAt(p R, at int, d V) {
	r := a.gp()
	a.add(at, p, r)
	a.ins("VLD1R", mem(r, 0), list("H4", d))
	a.freeGP(r)
	a.widen(d, d)
}

// integers widens 8 signed bytes.
func (a *asm) integers(from V, s *scales) {
	a.signed(from, s.ints[1])
	a.signed16(s.ints[1], s.ints[0])
	a.signed16High(s.ints[1], s.ints[1])
}

// scalesQ3: 16 of 6 bits less 32, the low 4 in halves of 8 bytes, the low halves first, the high 2 in quarters of 4.
func scalesQ3(a *asm, k *constants, p R, half int, s *scales) {
	a.scaleAt(p, 108, s.d)
	t, high := a.vec(), a.vec()
	a.ins("FMOVD", mem(p, 96), t.q())
	a.ins("FMOVS", mem(p, 104), high.q())
	if half == 0 {
		a.and(t, k.nibble, t)
	} else {
		a.ins("VUSHR", 4, t.at("B16"), t.at("B16"))
	}
	a.dup(high, 0, high)
	a.word(0x6e204400|uint32(k.shifts)<<16|uint32(high)<<5|uint32(high), "ushl v%d.16b, v%d.16b, v%d.16b", high, high, k.shifts)
	if half == 1 {
		a.ins("VEXT", 8, high.at("B16"), high.at("B16"), high.at("B16"))
	}
	mask := a.vec()
	a.bytes(mask, 0x30)
	a.and(high, mask, high)
	a.or(t, high, t)
	a.bytes(mask, 32)
	a.ins("VSUB", mask.at("B16"), t.at("B16"), t.at("B16"))
	a.integers(t, s)
	a.free(t, high, mask)
}

// scalesQ2: the low halves of 16 bytes are scales, the high ones minimums.
func scalesQ2(a *asm, k *constants, p R, half int, s *scales) {
	t, d := a.vec(), a.vec()
	a.ins("FMOVD", mem(p, 8*half), t.q())
	a.ins("FMOVS", mem(p, 80), d.q())
	a.widen(d, d)
	a.dup(d, 0, s.d)
	a.ins("VUSHR", 4, t.at("B8"), s.m[1].at("B8"))
	a.and(t, k.nibble, t)
	a.integers(t, s)
	for i, part := range []string{"VUZP1", "VUZP2"} {
		a.ins(part, s.m[1].at("B16"), s.m[1].at("B16"), t.at("B16"))
		if i == 1 {
			s.m[1], t = t, s.m[1]
		} else {
			s.m[0], t = t, s.m[0]
		}
	}
	for _, m := range s.m {
		a.ins("VUXTL", m.at("B8"), m.at("H8"))
		a.ins("VUXTL", m.at("H4"), m.at("S4"))
		a.toFloat(m, m)
		a.fmulPart(m, d, 1, m)
		a.fneg(m, m)
	}
	a.free(t, d)
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
	a.and(high, k.high, high)
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
