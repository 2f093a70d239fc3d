package main

import (
	"fmt"
	"math"
)

// tileKind is how the numbers of a page of keys or values are stored.
type tileKind struct {
	name string
	size int // bytes of a number
}

var tileKinds = []tileKind{{"Half", 2}, {"Float", 4}, {"Int8", 1}}

// multiplyRows is how many rows of the largest product's tile there are: with 16 columns their sums take half of the registers.
const multiplyRows = 4

// emitAttention writes what attention consists of: small products of queries, or of weights, with a page of keys or values, and
// the softmax over the scores of some pages.
func emitAttention(a *asm) {
	for _, kind := range tileKinds {
		for rows := 1; rows <= multiplyRows; rows++ {
			emitMultiply(a, rows, kind)
		}
	}
	emitSoftmax(a)
}

// columns loads successive numbers of a page at p as floats, 4 to a vector of to, and adds step to p.
func (a *asm) columns(kind tileKind, p, step R, to []V) {
	from := fmt.Sprintf("%s(%v)", mem(p, 0), step)
	n := len(to)
	switch kind.name {
	case "Half":
		in := to[:n/2]
		a.ins("VLD1.P", from, list("H8", in...))
		for i := n/2 - 1; i >= 0; i-- { // from behind: nothing is overwritten before it is read
			a.widenHigh(in[i], to[2*i+1])
			a.widen(in[i], to[2*i])
		}
	case "Int8":
		in := to[:n/4]
		a.ins("VLD1.P", from, list("B16", in...))
		for i := n/4 - 1; i >= 0; i-- {
			four := to[4*i : 4*i+4]
			t := a.vec()
			a.signed(in[i], t)
			a.signedHigh(in[i], four[3])
			a.signed16(four[3], four[2])
			a.signed16High(four[3], four[3])
			a.signed16High(t, four[1])
			a.signed16(t, four[0])
			a.free(t)
			for _, v := range four {
				a.toFloat(v, v)
			}
		}
	default:
		a.ins("VLD1.P", from, list("S4", to...))
	}
}

// emitMultiply: out[i, c] = fma(a[i, t], b[t, c], out[i, c]) for t in order; the columns c are spread over lanes, so that no sum
// ever crosses them. 16 columns of all rows stay in registers. With every step the kernel asks for a cache line ahead of its
// time: what the caller will multiply next lies somewhere else.
func emitMultiply(a *asm, rows int, kind tileKind) {
	const vectors = 4
	a.function(fmt.Sprintf("multiply%s%dNEON", kind.name, rows),
		fmt.Sprintf("adds a[%d, k] * b[k, cols] to out, or to 0 if add is 0. Rows of b lie ldb bytes apart; cols is a multiple of 16.", rows),
		"out *float32", "ldo int", "a *float32", "lda int", "b *byte", "ldb int", "k int", "cols int", "add int", "ahead *byte")
	out, ldo, b, ldb, cols, ahead := a.param("out"), a.param("ldo"), a.param("b"), a.param("ldb"), a.param("cols"), a.param("ahead")
	in, at := a.gps(rows), a.gps(rows)
	lda, q, four, one := a.gp(), a.gp(), a.gp(), a.gp()
	acc := make([][]V, rows)
	for i := range acc {
		acc[i] = a.sequence(vectors)
	}
	c, x := a.sequence(vectors), a.vecs(rows)
	tile := a.newLabel("tile")
	a.label(tile)
	for i := range rows {
		if i == 0 {
			a.ins("MOVD", out, at[0])
			a.reload("a", in[0])
			a.reload("lda", lda)
		} else {
			a.addShifted(ldo, 2, at[i-1], at[i])
			a.addShifted(lda, 2, in[i-1], in[i])
		}
		for _, v := range acc[i] {
			a.zero(v)
		}
	}
	begin := a.newLabel("begin")
	a.reload("add", one)
	a.ins("CBZ", one, begin)
	for i := range rows {
		a.ins("VLD1", mem(at[i], 0), list("S4", acc[i]...))
	}
	a.label(begin)
	a.ins("MOVD", b, q)
	a.reload("k", one)
	a.ins("LSR", 2, one, four)
	a.ins("AND", 3, one, one)
	step := func(t int) {
		a.prefetch(ahead)
		a.add(64, ahead, ahead)
		a.columns(kind, q, ldb, c)
		for i := range rows {
			for j := range vectors {
				a.fmlaPart(c[j], x[i], t, acc[i][j])
			}
		}
	}
	some, rest, done := a.newLabel("some"), a.newLabel("rest"), a.newLabel("done")
	a.ins("CBZ", four, rest)
	a.loop("four", four, func() {
		for i := range rows {
			a.ins("VLD1.P", mem(in[i], 16), list("S4", x[i]))
		}
		for t := range 4 {
			step(t)
		}
	})
	a.label(rest)
	a.ins("CBZ", one, done)
	a.label(some)
	for i := range rows {
		a.ins("FMOVS.P", mem(in[i], 4), x[i].q())
	}
	step(0)
	a.ins("SUBS", 1, one, one)
	a.ins("BNE", some)
	a.label(done)
	for i := range rows {
		a.ins("VST1", list("S4", acc[i]...), mem(at[i], 0))
	}
	a.add(16*vectors, out, out)
	a.add(4*vectors*kind.size, b, b)
	a.ins("SUBS", 4*vectors, cols, cols)
	a.ins("BNE", tile)
	a.ret()
}

// emitSoftmax turns each query's scores into weights, with their maximum and sum.
func emitSoftmax(a *asm) {
	a.function("softmaxRangeNEON", "is softmaxRangeGeneric for n queries of 32*pages scores, whose rows lie stride bytes apart.",
		"scores *float32", "stride int", "n int", "pages int", "top *float32", "sum *float32")
	scores, stride, n, pages, top, sum := a.param("scores"), a.param("stride"), a.param("n"), a.param("pages"), a.param("top"), a.param("sum")
	p, count := a.gp(), a.gp()
	e := a.exponential()
	lowest := a.constant(-math.MaxFloat32)
	m, total := a.vec(), a.vecs(4)
	a.loop("query", n, func() {
		// The highest score.
		x := a.sequence(4)
		a.ins("VLD1R", mem(scores, 0), list("S4", m))
		a.ins("MOVD", scores, p)
		a.ins("LSL", 1, pages, count)
		a.loop("most", count, func() {
			a.ins("VLD1.P", mem(p, 64), list("S4", x...))
			a.fmax(x[0], x[1], x[0])
			a.fmax(x[2], x[3], x[2])
			a.fmax(x[0], m, m)
			a.fmax(x[2], m, m)
		})
		a.fmaxv(m, m)
		a.ins("FMOVS.P", m.q(), mem(top, 4))
		a.dup(m, 0, m)
		// Where nothing is seen all scores are -Inf: less than the lowest number, so that their weights are 0.
		a.fmax(m, lowest, m)

		// The weights, and their sum in 16 lanes.
		for _, v := range total {
			a.zero(v)
		}
		a.ins("MOVD", scores, p)
		a.ins("MOVD", pages, count)
		a.loop("weights", count, func() {
			for j := range total {
				for i, half := range []int{0, 64} {
					a.load(mem(p, 16*j+half), x[i])
					a.fsub(x[i], m, x[i])
					a.exp(e, x[i])
					a.store(x[i], mem(p, 16*j+half))
				}
				a.fadd(x[0], x[1], x[0])
				a.fadd(total[j], x[0], total[j])
			}
			a.add(128, p, p)
		})
		a.fadd(total[0], total[2], total[0])
		a.fadd(total[1], total[3], total[1])
		a.fadd(total[0], total[1], total[0])
		a.ins("VEXT", 8, total[0].at("B16"), total[0].at("B16"), x[0].at("B16"))
		a.fadd(total[0], x[0], total[0])
		a.faddp(total[0], total[0], total[0])
		a.ins("FMOVS.P", total[0].q(), mem(sum, 4))
		a.add(stride, scores, scores)
		a.free(x...)
	})
	a.ret()
}
