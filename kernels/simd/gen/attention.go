package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tileKind is how the numbers of a page of keys or values are stored.
type tileKind struct {
	name string
	size int // bytes of a number
}

var tileKinds = []tileKind{{"Half", 2}, {"Float", 4}, {"Int8", 1}}

// emitAttention writes what attention consists of: small products of queries, or of weights, with a page of keys or
// values, and the softmax over the scores of some pages.
func emitAttention(e *emitter) {
	rows := 6
	if e.wide {
		rows = 8
	}
	for _, kind := range tileKinds {
		for n := 1; n <= rows; n++ {
			emitMultiply(e, n, kind)
		}
	}
	emitSoftmax(e)
	if !e.wide {
		emitInt8ToFloat(e)
	}
}

// isaName ends a kernel's name.
func (e *emitter) isaName() string {
	if e.wide {
		return "AVX512"
	}
	return "AVX2"
}

// numbers loads a vector of numbers of a page as floats.
func (e *emitter) numbers(kind tileKind, m operand.Mem) vec {
	v := e.vec()
	switch kind.name {
	case "Half":
		e.VCVTPH2PS(m, v)
	case "Int8":
		e.VPMOVSXBD(m, v)
		e.VCVTDQ2PS(v, v)
	default:
		e.VMOVUPS(m, v)
	}
	return v
}

// matrixRows addresses up to 8 rows of floats that lie stride bytes apart.
type matrixRows struct{ near, mid, far, stride reg.GPVirtual }

func (r matrixRows) at(i, disp int) operand.Mem {
	m := operand.Mem{Base: []reg.GPVirtual{r.near, r.mid, r.far}[i/3], Disp: disp}
	if i%3 > 0 {
		m.Index, m.Scale = r.stride, uint8(i%3)
	}
	return m
}

// pointers is how many registers n rows need.
func (r matrixRows) pointers(n int) []reg.GPVirtual {
	return []reg.GPVirtual{r.near, r.mid, r.far}[:(n+2)/3]
}

// start points r at the rows that begin at p.
func (r matrixRows) start(e *emitter, p reg.GPVirtual, n int) {
	if p != r.near {
		e.MOVQ(p, r.near)
	}
	all := r.pointers(n)
	for i := 1; i < len(all); i++ {
		e.LEAQ(operand.Mem{Base: all[i-1], Index: r.stride, Scale: 2}, all[i])
		e.ADDQ(r.stride, all[i])
	}
}

// emitMultiply: out[i, c] = fma(a[i, t], b[t, c], out[i, c]) for t in order; the columns c are spread over lanes, so that
// no sum ever crosses them. The sums of all rows and of as many columns as there are registers for stay in registers. With
// every step the kernel asks for as much memory from ahead on as it reads: what the caller will multiply next lies somewhere
// else, and is fetched once and whole. It is fetched to the second-level cache, which waits for more lines at a time than the
// first.
func emitMultiply(e *emitter, rows int, kind tileKind) {
	name := fmt.Sprintf("multiply%s%d%s", kind.name, rows, e.isaName())
	lanes := e.size() / 4
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s adds a[%d, k] * b[k, cols] to out, or to 0 if add is 0. Rows of b lie ldb bytes apart; cols is a multiple of 16.", name, rows))
	e.SignatureExpr("func(out *float32, ldo int, a *float32, lda int, b *byte, ldb, k, cols, add int, ahead *byte)")
	newRows := func(param string) matrixRows {
		r := matrixRows{near: e.GP64(), mid: e.GP64(), far: e.GP64(), stride: e.GP64()}
		e.Load(e.Param(param), r.stride)
		e.SHLQ(imm(2), r.stride)
		return r
	}
	out, p := newRows("ldo"), newRows("lda")
	e.Load(e.Param("out"), out.near)
	b, ldb, cols, ahead := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("b"), b)
	e.Load(e.Param("ldb"), ldb)
	e.Load(e.Param("cols"), cols)
	e.Load(e.Param("ahead"), ahead)
	tile := func(vectors int) {
		width := lanes * vectors
		tiles, loop, done, first := e.label("tile"), e.label("step"), e.label("done"), e.label("first")
		e.Label(tiles)
		e.CMPQ(cols, operand.I32(int32(width)))
		e.JLT(operand.LabelRef(done))
		out.start(e, out.near, rows)
		var acc [8][4]vec
		for i := range rows {
			for j := range vectors {
				acc[i][j] = e.zero()
			}
		}
		scratch := e.GP64()
		e.Load(e.Param("add"), scratch)
		e.TESTQ(scratch, scratch)
		e.JZ(operand.LabelRef(first))
		for i := range rows {
			for j := range vectors {
				e.VMOVUPS(out.at(i, e.size()*j), acc[i][j])
			}
		}
		e.Label(first)
		a := e.GP64()
		e.Load(e.Param("a"), a)
		p.start(e, a, rows)
		q, count := e.GP64(), e.GP64()
		e.MOVQ(b, q)
		e.Load(e.Param("k"), count)
		e.Label(loop)
		fetched := e.fetchAhead(kind, width, ahead)
		column := func(j int) vec { return e.numbers(kind, operand.Mem{Base: q, Disp: lanes * kind.size * j}) }
		row := func(i int) vec {
			v := e.vec()
			e.VBROADCASTSS(p.at(i, 0), v)
			return v
		}
		if rows <= 3 && !e.wide {
			var r [3]vec
			for i := range rows {
				r[i] = row(i)
			}
			for j := range vectors {
				c := column(j)
				for i := range rows {
					e.VFMADD231PS(c, r[i], acc[i][j])
				}
			}
		} else {
			var c [4]vec
			for j := range vectors {
				c[j] = column(j)
			}
			for i := range rows {
				r := row(i)
				for j := range vectors {
					e.VFMADD231PS(c[j], r, acc[i][j])
				}
			}
		}
		e.ADDQ(operand.I32(int32(fetched)), ahead)
		for _, r := range p.pointers(rows) {
			e.ADDQ(operand.I32(4), r)
		}
		e.ADDQ(ldb, q)
		e.DECQ(count)
		e.JNZ(operand.LabelRef(loop))
		for i := range rows {
			for j := range vectors {
				e.VMOVUPS(acc[i][j], out.at(i, e.size()*j))
			}
		}
		e.ADDQ(operand.I32(int32(4*width)), out.near)
		e.ADDQ(operand.I32(int32(kind.size*width)), b)
		e.SUBQ(operand.I32(int32(width)), cols)
		e.JMP(operand.LabelRef(tiles))
		e.Label(done)
	}
	switch {
	case e.wide && rows <= 6:
		tile(4)
		tile(2)
		tile(1)
	case e.wide:
		tile(2)
		tile(1)
	case rows <= 3:
		tile(4)
		tile(2)
	default:
		tile(2)
	}
	e.VZEROUPPER()
	e.RET()
}

// fetchAhead asks for what lies ahead while the kernel reads a row of so many numbers, and tells how many bytes it is. Where
// numbers are floats, what lies ahead is not: it has half their size.
func (e *emitter) fetchAhead(kind tileKind, width int, ahead reg.GPVirtual) (bytes int) {
	const line = 64
	bytes = width * min(kind.size, 2)
	for at := 0; at < bytes; at += line {
		e.PREFETCHT1(operand.Mem{Base: ahead, Disp: at})
	}
	return bytes
}

// emitSoftmax turns each query's scores into weights, with their maximum and sum.
func emitSoftmax(e *emitter) {
	name := "softmaxRange" + e.isaName()
	e.Function(name)
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc(name + " is softmaxRangeGeneric for n queries of 32*pages scores, whose rows lie stride bytes apart.")
	e.SignatureExpr("func(scores *float32, stride, n, pages int, top, sum *float32)")
	scores, stride, n, pages, top, sum := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("scores"), scores)
	e.Load(e.Param("stride"), stride)
	e.Load(e.Param("n"), n)
	e.Load(e.Param("pages"), pages)
	e.Load(e.Param("top"), top)
	e.Load(e.Param("sum"), sum)
	vectors := 128 / e.size()
	query := e.label("query")
	e.Label(query)
	p, count := e.GP64(), e.GP64()

	// The highest score.
	m, t := e.vec(), e.vec()
	e.VMOVUPS(operand.Mem{Base: scores}, m)
	e.MOVQ(scores, p)
	e.MOVQ(pages, count)
	page := e.label("most")
	e.Label(page)
	for j := range vectors {
		e.VMAXPS(operand.Mem{Base: p, Disp: e.size() * j}, m, m)
	}
	e.ADDQ(operand.I32(128), p)
	e.DECQ(count)
	e.JNZ(operand.LabelRef(page))
	max := func(a, to reg.Register) { e.VMAXPS(a, to, to) }
	e.acrossLanes(m, t, max)
	e.VMOVSS(m.AsX(), operand.Mem{Base: top})
	// Where nothing is seen all scores are -Inf: less than the lowest number, so that their weights are 0.
	e.VBROADCASTSS(m.AsX(), m)
	e.VMAXPS(e.floats("lowestFloat", -3.4028234663852886e38), m, m)

	// The weights, and their sum in 16 lanes.
	totals := make([]vec, 16*4/e.size())
	for j := range totals {
		totals[j] = e.zero()
	}
	e.MOVQ(scores, p)
	e.MOVQ(pages, count)
	page = e.label("weights")
	e.Label(page)
	w := make([]vec, vectors)
	for j := range w {
		w[j] = e.vec()
		e.VMOVUPS(operand.Mem{Base: p, Disp: e.size() * j}, w[j])
		e.VSUBPS(m, w[j], w[j])
		e.exp(w[j])
		e.VMOVUPS(w[j], operand.Mem{Base: p, Disp: e.size() * j})
	}
	for j, total := range totals {
		e.VADDPS(w[j+len(totals)], w[j], w[j])
		e.VADDPS(w[j], total, total)
	}
	e.ADDQ(operand.I32(128), p)
	e.DECQ(count)
	e.JNZ(operand.LabelRef(page))
	add := func(a, to reg.Register) { e.VADDPS(a, to, to) }
	if len(totals) == 2 {
		add(totals[1], totals[0])
	}
	e.acrossLanes(totals[0], t, add)
	e.VMOVSS(totals[0].AsX(), operand.Mem{Base: sum})
	e.ADDQ(stride, scores)
	e.ADDQ(operand.I32(4), top)
	e.ADDQ(operand.I32(4), sum)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(query))
	e.VZEROUPPER()
	e.RET()
}

// acrossLanes brings all lanes of v together in lane 0: those at a distance of 8 in a wide vector, then of 4, 2 and 1.
func (e *emitter) acrossLanes(v, t vec, one func(a, to reg.Register)) {
	if e.wide {
		e.VEXTRACTF64X4(imm(1), v, t.AsY())
		one(t.AsY(), v.AsY())
	}
	e.VEXTRACTF128(imm(1), v.AsY(), t.AsX())
	one(t.AsX(), v.AsX())
	e.VPERMILPS(imm(0x4e), v.AsX(), t.AsX())
	one(t.AsX(), v.AsX())
	e.VPERMILPS(imm(0xb1), v.AsX(), t.AsX())
	one(t.AsX(), v.AsX())
}

func emitInt8ToFloat(e *emitter) {
	e.Function("int8ToFloatAVX2")
	e.Attributes(nosplit)
	e.Pragma("noescape")
	e.Doc("int8ToFloatAVX2 converts n groups of 8 signed bytes.")
	e.SignatureExpr("func(dst *float32, src *byte, n int)")
	convert(e, 32, 8, func(dst, src operand.Mem) { e.VMOVUPS(e.numbers(tileKinds[2], src), dst) })
}
