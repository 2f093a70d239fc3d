package main

// The formats with a block of 32.

func legacyFormats() []*format {
	return []*format{
		{name: "Q4_0", elems: 32, bytes: 18, shift: 3, constants: offsetConstants(8), values: nibbleValues(18, 2),
			gather: (*asm).loadHalf, parts: 16, gathered: halfScale},
		{name: "Q4_1", elems: 32, bytes: 20, minimums: 1, constants: nibbleConstants, values: nibbleValues(20, 4),
			gather: loadPairOfHalves, parts: 32, gathered: pairScale},
		{name: "Q5_0", elems: 32, bytes: 22, shift: 4, constants: fifthConstants(16), values: fifthValues(22, 2),
			gather: (*asm).loadHalf, parts: 16, gathered: halfScale},
		{name: "Q5_1", elems: 32, bytes: 24, minimums: 1, constants: fifthConstants(0), values: fifthValues(24, 4),
			gather: loadPairOfHalves, parts: 32, gathered: pairScale},
		{name: "Q8_0", elems: 32, bytes: 34, full: true, constants: func(*asm, *constants) {},
			values: func(a *asm, _ *constants, p R, b int, low, high V, _ bool) {
				a.load(mem(p, 34*b+2), low)
				a.load(mem(p, 34*b+18), high)
			},
			gather: (*asm).loadHalf, parts: 16, gathered: halfScale},
		{name: "IQ4_NL", elems: 32, bytes: 18, full: true, constants: tableConstants(tableIQ4), values: tableValues(18, 2),
			gather: (*asm).loadHalf, parts: 16, gathered: halfScale},
		{name: "MXFP4", elems: 32, bytes: 17, constants: powerConstants, values: tableValues(17, 1),
			gather: (*asm).loadByte, parts: 32, gathered: powerScale},
	}
}

func offsetConstants(offset byte) func(*asm, *constants) {
	return func(a *asm, k *constants) {
		nibbleConstants(a, k)
		k.offset = a.vec()
		a.bytes(k.offset, offset)
	}
}

func nibbleValues(bytes, at int) func(*asm, *constants, R, int, V, V, bool) {
	return func(a *asm, k *constants, p R, b int, low, high V, plain bool) {
		a.load(mem(p, bytes*b+at), high)
		a.nibbles(k, low, high)
		if k.offset != 0 && !plain {
			a.lift(k, low, high)
		}
	}
}

// fifthConstants: bit i of 4 bytes is the fifth of value i.
func fifthConstants(offset byte) func(*asm, *constants) {
	return func(a *asm, k *constants) {
		nibbleConstants(a, k)
		if offset != 0 {
			k.offset = a.vec()
			a.bytes(k.offset, offset)
		}
		k.spread = [2]V{a.vec(), a.vec()}
		k.bits, k.sixteen = a.vec(), a.vec()
		a.bytes16(k.spread[0], [16]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1})
		a.bytes16(k.spread[1], [16]byte{2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3})
		a.bytes16(k.bits, [16]byte{1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128})
		a.bytes(k.sixteen, 16)
	}
}

func fifthValues(bytes, at int) func(*asm, *constants, R, int, V, V, bool) {
	return func(a *asm, k *constants, p R, b int, low, high V, plain bool) {
		h, t := a.vec(), a.vec()
		a.ins("FMOVS", mem(p, bytes*b+at), h.q())
		a.load(mem(p, bytes*b+at+4), high)
		a.nibbles(k, low, high)
		for i, v := range []V{low, high} {
			a.ins("VTBL", k.spread[i].at("B16"), list("B16", h), t.at("B16"))
			a.ins("VCMTST", k.bits.at("B16"), t.at("B16"), t.at("B16"))
			a.and(t, k.sixteen, t)
			a.or(v, t, v)
		}
		if k.offset != 0 && !plain {
			a.lift(k, low, high)
		}
		a.free(h, t)
	}
}

var (
	tableIQ4 = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
	tableFP4 = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
)

func tableConstants(table [16]int8) func(*asm, *constants) {
	return func(a *asm, k *constants) {
		nibbleConstants(a, k)
		k.table = a.vec()
		var b [16]byte
		for i, v := range table {
			b[i] = byte(v)
		}
		a.bytes16(k.table, b)
	}
}

func tableValues(bytes, at int) func(*asm, *constants, R, int, V, V, bool) {
	return func(a *asm, k *constants, p R, b int, low, high V, _ bool) {
		a.load(mem(p, bytes*b+at), high)
		a.nibbles(k, low, high)
		a.lookup(k.table, low, high)
	}
}

func halfScale(a *asm, _ *constants, from V, s *scales) { a.widen(from, s.d) }

// loadPairOfHalves: a scale and a minimum, both float16.
func loadPairOfHalves(a *asm, p R, offset int, to V) { a.ins("FMOVS", mem(p, offset), to.q()) }

func pairScale(a *asm, _ *constants, from V, s *scales) {
	a.ins("VUZP2", from.at("H8"), from.at("H8"), s.m[0].at("H8"))
	a.ins("VUZP1", from.at("H8"), from.at("H8"), s.d.at("H8"))
	a.widen(s.m[0], s.m[0])
	a.widen(s.d, s.d)
}

// powerConstants: a scale is 2^(e-128), which has an exponent of its own from e = 2 on.
func powerConstants(a *asm, k *constants) {
	tableConstants(tableFP4)(a, k)
	k.one, k.smallest = a.vec(), a.vec()
	a.dwords(k.one, 1)
	a.dwords(k.smallest, 0x00200000)
}

func powerScale(a *asm, k *constants, from V, s *scales) {
	small, e := a.vec(), a.vec()
	a.word(0x6ea04400|uint32(from)<<16|uint32(k.smallest)<<5|uint32(small), "ushl v%d.4s, v%d.4s, v%d.4s", small, k.smallest, from)
	a.ins("VSUB", k.one.at("S4"), from.at("S4"), e.at("S4"))
	a.ins("VSHL", 23, e.at("S4"), s.d.at("S4"))
	a.word(0x4ea03400|uint32(k.one)<<16|uint32(from)<<5|uint32(e), "cmgt v%d.4s, v%d.4s, v%d.4s", e, from, k.one)
	a.keepWhere(e, small, s.d)
	a.free(small, e)
}
