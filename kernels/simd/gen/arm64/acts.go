package main

// The layout of rounded activations; package simd's acts.go has the same.
const (
	actBlock    = 64
	actScale    = 32
	actDSum     = 36
	actNegSum   = 40
	actNegPr    = 44
	actNeg16    = 48
	actDSum16   = 56
	groupBlocks = 8
	actGroup    = groupBlocks * actBlock
	laneScale   = 0
	laneDSum    = 32
	laneNegSum  = 64
	laneNeg16   = 96
	laneDSum16  = 160
	lanePairs   = 256
)

// emitActs writes what stands around the products: rounding an activation row, and float16 to float32 and back.
func emitActs(a *asm) {
	emitQuantize(a)
	a.convert("halfToFloatNEON", "converts n groups of 8 float16.", "dst *float32", "src *uint16", func(src, dst R, x []V) {
		a.ins("VLD1.P", mem(src, 16), list("H8", x[0]))
		a.widenHigh(x[0], x[1])
		a.widen(x[0], x[0])
		a.ins("VST1.P", list("S4", x[0], x[1]), mem(dst, 32))
	})
	nearest := "rounds n groups of 8 floats to the nearest float16, ties to even."
	a.convert("floatToHalfNEON", nearest, "dst *uint16", "src *float32", func(src, dst R, x []V) {
		a.ins("VLD1.P", mem(src, 32), list("S4", x[0], x[1]))
		a.narrow(x[0], x[0])
		a.narrowHigh(x[1], x[0])
		a.ins("VST1.P", list("H8", x[0]), mem(dst, 16))
	})
	a.convert("int8ToFloatNEON", "converts n groups of 8 signed bytes.", "dst *float32", "src *byte", func(src, dst R, x []V) {
		a.ins("VLD1.P", mem(src, 8), list("B8", x[0]))
		a.signed(x[0], x[0])
		a.signed16High(x[0], x[1])
		a.signed16(x[0], x[0])
		a.toFloat(x[0], x[0])
		a.toFloat(x[1], x[1])
		a.ins("VST1.P", list("S4", x[0], x[1]), mem(dst, 32))
	})
}

// convert is a loop over groups of 8 numbers, which one reads and writes with two vectors.
func (a *asm) convert(name, doc, dst, src string, one func(src, dst R, x []V)) {
	a.function(name, doc, dst, src, "n int")
	to, from, n := a.param("dst"), a.param("src"), a.param("n")
	x := a.sequence(2)
	a.loop("group", n, func() { one(from, to, x) })
	a.ret()
}

// emitQuantize rounds 32 floats to an activation block at a time; package simd's acts.go has the formula.
func emitQuantize(a *asm) {
	a.function("quantizeNEON", "rounds n blocks of 32 floats, which stand from block first of a group on; blocks and lanes point at\n// the "+
		"group.",
		"blocks *byte", "lanes *byte", "x *float32", "first int", "n int")
	dst, lanes, x, l, n := a.param("blocks"), a.param("lanes"), a.param("x"), a.param("first"), a.param("n")
	a.addShifted(l, 6, dst, dst)
	abs, lowest := a.vec(), a.vec()
	a.dwords(abs, 0x7fffffff)
	a.dwords(lowest, uint32(0xffffff81)) // -127
	c127, tiny := a.constant(127), a.constant(0x1p-126)
	at, pair, count := a.gp(), a.gp(), a.gp()
	a.loop("block", n, func() {
		v := a.sequence(4)
		w := a.sequence(4)
		v = append(v, w...)
		a.ins("VLD1.P", mem(x, 64), list("S4", v[:4]...))
		a.ins("VLD1.P", mem(x, 64), list("S4", v[4:]...))
		// The bits of |x| order like the numbers, and put a NaN above them all, so that it reaches d.
		d, t := a.vec(), a.vec()
		a.and(v[0], abs, d)
		for _, u := range v[1:] {
			a.and(u, abs, t)
			a.ins("VUMAX", t.at("S4"), d.at("S4"), d.at("S4"))
		}
		a.word(0x6eb0a800|uint32(d)<<5|uint32(d), "umaxv s%d, v%d.4s", d, d)
		a.dup(d, 0, d)
		a.fdiv(d, c127, d)
		a.fmax(d, tiny, d)
		for _, u := range v {
			// No number becomes -127; the conversion alone would make it 0.
			a.fdiv(u, d, u)
			a.equal(u, u, t)
			a.toInt(u, u)
			a.keepWhere(t, lowest, u)
		}
		for i := 0; i < 8; i += 2 {
			a.cut32(v[i], v[i])
			a.cut32High(v[i+1], v[i])
		}
		low, high := v[0], v[4]
		for i := 0; i < 8; i += 4 {
			a.cut16(v[i], v[i])
			a.cut16High(v[i+2], v[i])
		}
		a.storePair(low, high, mem(dst, 0))

		// The same in the group's pairs: block l has part l%4, and half l/4 of it.
		a.ins("AND", 3, l, pair)
		a.addShifted(pair, 6, lanes, pair)
		a.ins("AND", 4, l, at)
		a.addShifted(at, 2, pair, pair)
		a.store(low, mem(pair, lanePairs))
		a.store(high, mem(pair, lanePairs+32))

		// The sums of 16, and of both: s has 0, 1, both.
		s, f := v[1], v[2]
		a.sumBytes(low, v[1])
		a.sumBytes(high, v[2])
		a.ins("VMOV", v[2].lane("H", 0), v[1].lane("H", 1))
		a.signed16(v[1], s)
		a.ins("VADDP", s.at("S4"), s.at("S4"), f.at("S4"))
		a.ins("VMOV", f.lane("S", 0), s.lane("S", 2))
		a.toFloat(s, f)
		a.fmul(f, d, f)
		a.negInt(s, s)
		a.addShifted(l, 2, lanes, at)
		part := func(v V, i, offset, laneOffset int) {
			a.add(offset, dst, count)
			a.ins("VST1", v.lane("S", i), mem(count, 0))
			a.add(laneOffset, at, count)
			a.ins("VST1", v.lane("S", i), mem(count, 0))
		}
		part(d, 0, actScale, laneScale)
		part(f, 2, actDSum, laneDSum)
		part(s, 2, actNegSum, laneNegSum)
		for i := range 2 {
			part(f, i, actDSum16+4*i, laneDSum16+32*i)
			part(s, i, actNeg16+4*i, laneNeg16+32*i)
		}
		a.cut32(s, s)
		a.add(actNegPr, dst, count)
		a.ins("VST1", s.lane("S", 0), mem(count, 0))

		a.add(actBlock, dst, dst)
		same := a.newLabel("same")
		a.add(1, l, l)
		a.ins("CMP", groupBlocks, l)
		a.ins("BNE", same)
		a.ins("MOVD", 0, l)
		a.add(actGroup, lanes, lanes)
		a.label(same)
		a.free(v...)
		a.free(d, t)
	})
	a.ret()
}
