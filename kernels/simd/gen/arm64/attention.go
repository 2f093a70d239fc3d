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

// multiplication is what a kernel of attention's products keeps in registers.
type multiplication struct {
	kind                          tileKind
	out, ldo, b, ldb, cols, ahead R
	lda, four, one                R
	in, at                        []R  // the rows of a and of out
	q                             [2]R // the row of b, and 16 columns further on
}

// emitMultiply: out[i, c] = fma(a[i, t], b[t, c], out[i, c]) for t in order; the columns c are spread over lanes, so that no sum
// ever crosses them. 16 columns of all rows stay in registers, or 32 of one or two rows, which alone would have too few sums in
// flight. With every step the kernel asks for a cache line ahead of its time: what the caller will multiply next lies somewhere
// else.
func emitMultiply(a *asm, rows int, kind tileKind) {
	a.function(fmt.Sprintf("multiply%s%dNEON", kind.name, rows),
		fmt.Sprintf("adds a[%d, k] * b[k, cols] to out, or to 0 if add is 0. Rows of b lie ldb bytes apart; cols is a\n// multiple of 16.", rows),
		"out *float32", "ldo int", "a *float32", "lda int", "b *byte", "ldb int", "k int", "cols int", "add int", "ahead *byte")
	m := &multiplication{
		kind: kind, out: a.param("out"), ldo: a.param("ldo"), b: a.param("b"), ldb: a.param("ldb"), cols: a.param("cols"),
		ahead: a.param("ahead"), lda: a.gp(), four: a.gp(), one: a.gp(), in: a.gps(rows), at: a.gps(rows), q: [2]R{a.gp(), a.gp()},
	}
	for _, halves := range []int{2, 1} {
		if halves == 2 && rows > 2 {
			continue
		}
		tile, narrower := a.newLabel("tile"), a.newLabel("narrower")
		a.label(tile)
		a.ins("CMP", 16*halves, m.cols)
		a.ins("BLT", narrower)
		m.tile(a, halves)
		a.add(64*halves, m.out, m.out)
		a.add(16*halves*kind.size, m.b, m.b)
		a.ins("SUB", 16*halves, m.cols, m.cols)
		a.ins("JMP", tile)
		a.label(narrower)
	}
	a.ret()
}

// tile makes 16 columns, or twice as many, of all rows.
func (m *multiplication) tile(a *asm, halves int) {
	rows := len(m.in)
	acc, c, x := make([][]V, rows), make([][]V, halves), a.vecs(rows)
	for h := range c {
		c[h] = a.sequence(4)
	}
	for i := range acc {
		acc[i] = a.vecs(4 * halves)
		if i == 0 {
			a.ins("MOVD", m.out, m.at[0])
			a.reload("a", m.in[0])
			a.reload("lda", m.lda)
		} else {
			a.addShifted(m.ldo, 2, m.at[i-1], m.at[i])
			a.addShifted(m.lda, 2, m.in[i-1], m.in[i])
		}
		for _, v := range acc[i] {
			a.zero(v)
		}
	}
	begin, rest, some, done := a.newLabel("begin"), a.newLabel("rest"), a.newLabel("some"), a.newLabel("done")
	a.reload("add", m.one)
	a.ins("CBZ", m.one, begin)
	for i := range acc {
		for j := 0; j < len(acc[i]); j += 2 {
			a.loadPair(mem(m.at[i], 16*j), acc[i][j], acc[i][j+1])
		}
	}
	a.label(begin)
	for h := range c {
		a.add(16*h*m.kind.size, m.b, m.q[h])
	}
	a.reload("k", m.one)
	a.ins("LSR", 2, m.one, m.four)
	a.ins("AND", 3, m.one, m.one)
	step := func(t int) {
		a.prefetch(m.ahead)
		a.add(64, m.ahead, m.ahead)
		for h := range c {
			a.columns(m.kind, m.q[h], m.ldb, c[h])
		}
		for i := range acc {
			for j, v := range acc[i] {
				a.fmlaPart(c[j/4][j%4], x[i], t, v)
			}
		}
	}
	a.ins("CBZ", m.four, rest)
	a.loop("four", m.four, func() {
		for i := range rows {
			a.ins("VLD1.P", mem(m.in[i], 16), list("S4", x[i]))
		}
		for t := range 4 {
			step(t)
		}
	})
	a.label(rest)
	a.ins("CBZ", m.one, done)
	a.label(some)
	for i := range rows {
		a.ins("FMOVS.P", mem(m.in[i], 4), x[i].q())
	}
	step(0)
	a.ins("SUBS", 1, m.one, m.one)
	a.ins("BNE", some)
	a.label(done)
	for i := range acc {
		for j := 0; j < len(acc[i]); j += 2 {
			a.storePair(acc[i][j], acc[i][j+1], mem(m.at[i], 16*j))
		}
		a.free(acc[i]...)
	}
	for h := range c {
		a.free(c[h]...)
	}
	a.free(x...)
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
