package main

import "fmt"

var floatFormats = []struct {
	name string
	size int
}{{"F32", 4}, {"F16", 2}, {"BF16", 2}}

// floatRows is the largest number of activation rows of a float tile: with two weight rows their sums leave 8 registers.
const floatRows = 6

// emitFloats writes the products of float weights: 8 lanes each, two vectors.
func emitFloats(a *asm) {
	for _, f := range floatFormats {
		emitFloatDot(a, f.name)
	}
	for _, f := range floatFormats {
		emitFloatPack(a, f.name)
	}
	for rows := 1; rows <= floatRows; rows++ {
		emitFloatTile(a, rows)
	}
	emitFloatSum(a)
}

// weights loads 8 float weights and steps on.
func (a *asm) weights(format string, p R, w []V) {
	switch format {
	case "F32":
		a.ins("VLD1.P", mem(p, 32), list("S4", w...))
		return
	case "F16":
		a.ins("VLD1.P", mem(p, 16), list("H8", w[0]))
		a.widenHigh(w[0], w[1])
		a.widen(w[0], w[0])
	default:
		a.ins("VLD1.P", mem(p, 16), list("H8", w[0]))
		a.widenBFHigh(w[0], w[1])
		a.widenBF(w[0], w[0])
	}
}

// emitFloatDot multiplies 8 weight rows with one activation row: 16 sums, as many as the units for them have in flight.
func emitFloatDot(a *asm, format string) {
	a.function("dot"+format+"NEON", "computes 8*octets outputs of one activation row from n groups of 8 values a row.",
		"out *float32", "w *byte", "rowBytes int", "octets int", "a *byte", "n int")
	out, w, rowBytes, octets := a.param("out"), a.param("w"), a.param("rowBytes"), a.param("octets")
	rows, x, n := a.gps(8), a.gp(), a.gp()
	acc, v, in := a.vecs(16), a.sequence(2), a.sequence(2)
	a.loop("octet", octets, func() {
		for i, r := range rows {
			a.ins("MOVD", w, r)
			a.add(rowBytes, w, w)
			a.zero(acc[2*i])
			a.zero(acc[2*i+1])
		}
		a.reload("a", x)
		a.reload("n", n)
		a.loop("group", n, func() {
			a.ins("VLD1.P", mem(x, 32), list("S4", in...))
			for i, r := range rows {
				a.weights(format, r, v)
				a.fmla(v[0], in[0], acc[2*i])
				a.fmla(v[1], in[1], acc[2*i+1])
			}
		})
		a.addRows(acc, out)
	})
	a.ret()
}

// addRows stores the sums of 8 pairs of vectors, ((0+1) + (2+3)) + ((4+5) + (6+7)) each, and steps on.
func (a *asm) addRows(acc []V, out R) {
	for ; len(acc) > 2; acc = acc[:len(acc)/2] {
		for i := 0; i < len(acc); i += 2 {
			a.faddp(acc[i], acc[i+1], acc[i/2])
		}
	}
	a.storePair(acc[0], acc[1], mem(out, 0))
	a.add(32, out, out)
}

func emitFloatPack(a *asm, format string) {
	a.function("pack"+format+"NEON", "converts 8*n values of two rows to a pair of a panel: 8 of the one, 8 of the other.",
		"dst *byte", "w *byte", "rowBytes int", "n int")
	dst, w, rowBytes, n := a.param("dst"), a.param("w"), a.param("rowBytes"), a.param("n")
	other := a.gp()
	a.add(rowBytes, w, other)
	v := a.sequence(4)
	a.loop("group", n, func() {
		a.weights(format, w, v[:2])
		a.weights(format, other, v[2:])
		a.ins("VST1.P", list("S4", v...), mem(dst, 64))
	})
	a.ret()
}

// emitFloatTile multiplies the pair of a panel with activation rows. Row r's sums for two weight rows are 64 bytes at 256*r.
func emitFloatTile(a *asm, rows int) {
	a.function(fmt.Sprintf("tileFloatx%dNEON", rows),
		fmt.Sprintf("multiplies 8*n values of a pair of a panel with %d activation rows, and adds to sums, or begins them if add is 0.", rows),
		"sums *float32", "panel *byte", "pair int", "a *byte", "stride int", "n int", "add int")
	sums, panel, stride, n, add := a.param("sums"), a.param("panel"), a.param("stride"), a.param("n"), a.param("add")
	x, at := a.gps(rows), a.gps(rows)
	w, in := a.sequence(4), a.sequence(2)
	acc := make([][]V, rows)
	for i := range rows {
		acc[i] = a.sequence(4)
		if i == 0 {
			a.reload("a", x[0])
			a.ins("MOVD", sums, at[0])
		} else {
			a.add(stride, x[i-1], x[i])
			a.add(256, at[i-1], at[i])
		}
		for _, v := range acc[i] {
			a.zero(v)
		}
	}
	begin := a.newLabel("begin")
	a.ins("CBZ", add, begin)
	for i := range rows {
		a.ins("VLD1", mem(at[i], 0), list("S4", acc[i]...))
	}
	a.label(begin)
	a.loop("group", n, func() {
		a.ins("VLD1.P", mem(panel, 64), list("S4", w...))
		for i := range rows {
			a.ins("VLD1.P", mem(x[i], 32), list("S4", in...))
			for j := range w {
				a.fmla(w[j], in[j%2], acc[i][j])
			}
		}
	})
	for i := range rows {
		a.ins("VST1", list("S4", acc[i]...), mem(at[i], 0))
	}
	a.ret()
}

func emitFloatSum(a *asm) {
	a.function("sumFloatNEON", "adds the 8 lanes of 8 weight rows for each of the rows at sums: row j's results go to out[j*ldo:].",
		"out *float32", "ldo int", "sums *float32", "rows int")
	out, ldo, sums, rows := a.param("out"), a.param("ldo"), a.param("sums"), a.param("rows")
	acc, at := a.sequence(16), a.gp()
	a.loop("row", rows, func() {
		for i := 0; i < 16; i += 4 {
			a.ins("VLD1.P", mem(sums, 64), list("S4", acc[i:i+4]...))
		}
		a.ins("MOVD", out, at)
		a.addRows(acc, at)
		a.addShifted(ldo, 2, out, out)
	})
	a.ret()
}
