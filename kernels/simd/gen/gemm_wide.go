package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels of 512 bits multiply two panels, 32 weight rows, with 4, 5 or 6 activation rows: a step of 4 k is two loads of
// weights, one broadcast a row and two VPDPBUSD a row. Integer and float sums of 6 rows fill 24 of the 32 registers, which is
// why there are no more; 4 and 5 are there so that any number of rows from 8 on can be cut into such tiles. With integer
// scales the first half's sums take registers too, and the float sums wait in the frame. The lanes of the float order are
// summed one after the other, as in gemm.go. While a tile is multiplied, its results' lines and the activations of the next
// are on their way into the cache.

// wideRows are the numbers of activation rows that there are kernels for.
var wideRows = []int{4, 5, 6}

func emitGemmsWide(e *emitter) {
	for _, rows := range wideRows {
		for _, g := range []wideGemm{
			{name: "Off", kind: kindOff},
			{name: "Min", kind: kindMin},
			{name: "MinTwo", kind: kindMin2},
			{name: "Half", kind: kindHalf},
		} {
			g.rows, g.emitter = rows, e
			g.emit()
		}
	}
}

// wideGemm is what the parts of one kernel share.
type wideGemm struct {
	*emitter
	name  string
	kind  panelKind
	rows  int
	panel [2]operand.Mem
	act   func(j, disp int) operand.Mem
	next  func(j, disp int) operand.Mem // the rows of the next tile
	acc   [2][]vec                      // int32
	first [2][]vec                      // of kindHalf: the scaled sums of the first half
	sum   [2][]vec                      // float32 of a lane, but of kindHalf
	// In the frame: the float sums of all lanes, and of kindHalf those of a lane.
	totals, sums operand.Mem
	shift        vec
}

func (g *wideGemm) each(do func(v, j int)) {
	for j := range g.rows {
		for v := range 2 {
			do(v, j)
		}
	}
}

func (g *wideGemm) slot(m operand.Mem, v, j int) operand.Mem { return m.Offset(64 * (2*j + v)) }

// tileRows addresses up to 6 activation rows that lie stride apart: third is row 3, since an address has no more than 2 strides
// to add.
func tileRows(a, third, stride reg.GPVirtual) func(j, disp int) operand.Mem {
	return func(j, disp int) operand.Mem {
		m := operand.Mem{Base: a, Disp: disp}
		if j >= 3 {
			m.Base, j = third, j-3
		}
		if j > 0 {
			m.Index, m.Scale = stride, uint8(j)
		}
		return m
	}
}

// startTile makes third row 3 of a tile whose first row is at a, and next and nextThird rows 0 and 3 of the one behind it.
func (e *emitter) startTile(rows int, a, third, next, nextThird, stride reg.GPVirtual) {
	three := e.GP64()
	e.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, three)
	e.LEAQ(operand.Mem{Base: a, Index: three, Scale: 1}, third)
	e.LEAQ(operand.Mem{Base: third, Index: stride, Scale: 1}, next)
	for range rows - 4 {
		e.ADDQ(stride, next)
	}
	e.LEAQ(operand.Mem{Base: next, Index: three, Scale: 1}, nextThird)
}

func (g *wideGemm) emit() {
	e := g.emitter
	name := fmt.Sprintf("gemm%sx%dAVX512", g.name, g.rows)
	e.Function(name)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s multiplies two panels that lie size bytes apart, of full groups and, if rest is not 0, one of rest", name),
		fmt.Sprintf("blocks, with %d activation rows that lie stride bytes apart. Row j's results go to out0[j*ldo:][:16] and", g.rows),
		"out1[j*ldo:][:16]; the offset subtracted from a weight is 1 << shift.")
	e.SignatureExpr("func(out0, out1 *float32, ldo int, panel *byte, size int, a *byte, stride, full, rest, shift int)")

	panel, size, a, stride := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("size"), size)
	e.Load(e.Param("stride"), stride)
	g.panel = [2]operand.Mem{{Base: panel}, {Base: panel, Index: size, Scale: 1}}
	third, nextFirst, nextThird := e.GP64(), e.GP64(), e.GP64()
	g.act, g.next = tileRows(a, third, stride), tileRows(nextFirst, nextThird, stride)
	corrected := g.kind == kindOff || g.kind == kindHalf
	if corrected {
		g.shift = e.ZMM()
		m, err := e.Param("shift").Resolve()
		if err != nil {
			panic(err)
		}
		e.VPBROADCASTD(m.Addr, g.shift)
	}
	for v := range 2 {
		g.acc[v], g.first[v], g.sum[v] = make([]vec, g.rows), make([]vec, g.rows), make([]vec, g.rows)
	}
	f := e.newFrame(4 * g.rows)
	g.totals, g.sums = f.take(2*g.rows), f.take(2*g.rows)
	z := e.zero()
	g.each(func(v, j int) { e.VMOVUPS(z, g.slot(g.totals, v, j)) })

	g.outputs(func(out operand.Mem, v, j int) { e.PREFETCHT0(out) })
	e.eachLane(e.panelBytes(g.kind), panel, a, func() {
		e.startTile(g.rows, a, third, nextFirst, nextThird, stride)
		if g.kind == kindHalf {
			z := e.zero()
			g.each(func(v, j int) { e.VMOVUPS(z, g.slot(g.sums, v, j)) })
			return
		}
		g.each(func(v, j int) { g.sum[v][j] = e.zero() })
	}, func() {
		for j := range g.rows {
			e.PREFETCHT0(g.next(j, 0))
		}
		g.block()
		for _, p := range []reg.GPVirtual{third, nextFirst, nextThird} {
			e.ADDQ(operand.I32(actGroup), p)
		}
	}, func() {
		g.each(func(v, j int) {
			if g.kind == kindHalf {
				g.sum[v][j] = e.load(g.slot(g.sums, v, j))
			}
			e.VADDPS(g.slot(g.totals, v, j), g.sum[v][j], g.sum[v][j])
			e.VMOVUPS(g.sum[v][j], g.slot(g.totals, v, j))
		})
	})
	g.outputs(func(out operand.Mem, v, j int) { e.VMOVUPS(e.load(g.slot(g.totals, v, j)), out) })
	e.VZEROUPPER()
	e.RET()
}

// block adds one block's part to the float sums.
func (g *wideGemm) block() {
	if g.kind != kindHalf {
		g.products(0, 8, actNegSum)
		g.finish()
		return
	}
	g.products(0, 4, actNeg16)
	g.scale(0)
	g.first, g.acc = g.acc, g.first
	g.products(4, 8, actNeg16+4)
	g.scale(1)
	g.each(func(v, j int) { g.VPADDD(g.first[v][j], g.acc[v][j], g.acc[v][j]) })
	g.finish()
}

// outputs calls do with the place of each vector of results.
func (g *wideGemm) outputs(do func(out operand.Mem, v, j int)) {
	ldo := g.GP64()
	g.Load(g.Param("ldo"), ldo)
	g.SHLQ(imm(2), ldo)
	for v, p := range []string{"out0", "out1"} {
		out := g.GP64()
		g.Load(g.Param(p), out)
		for j := range g.rows {
			do(operand.Mem{Base: out}, v, j)
			if j < g.rows-1 {
				g.ADDQ(ldo, out)
			}
		}
	}
}

// products adds the products of steps from to to-1 to sums that start from the correction -(2^shift * sum of a), which the
// activation blocks hold at neg.
func (g *wideGemm) products(from, to, neg int) {
	e := g.emitter
	for j := range g.rows {
		if g.shift == nil {
			g.acc[0][j], g.acc[1][j] = e.zero(), e.zero()
			continue
		}
		g.acc[0][j], g.acc[1][j] = e.ZMM(), e.ZMM()
		e.VPBROADCASTD(g.act(j, neg), g.acc[0][j])
		e.VPSLLVD(g.shift, g.acc[0][j], g.acc[0][j])
		e.VMOVDQA32(g.acc[0][j], g.acc[1][j])
	}
	for k4 := from; k4 < to; k4++ {
		w := [2]vec{e.load(g.panel[0].Offset(64 * k4)), e.load(g.panel[1].Offset(64 * k4))}
		for j := range g.rows {
			a := e.ZMM()
			e.VPBROADCASTD(g.act(j, 4*k4), a)
			for v := range w {
				e.VPDPBUSD(a, w[v], g.acc[v][j])
			}
		}
	}
}

// scale multiplies the sums of half i by their integer scales.
func (g *wideGemm) scale(i int) {
	e := g.emitter
	for v := range 2 {
		s := e.load(g.panel[v].Offset(panelMore + 64*i))
		for j := range g.rows {
			e.VPMULLD(s, g.acc[v][j], g.acc[v][j])
		}
	}
}

// finish turns the block's sums into floats and adds them: sum = fma(dw*da, acc, sum), then the minimums.
func (g *wideGemm) finish() {
	e := g.emitter
	mins := map[panelKind]int{kindMin: 1, kindMin2: 2}[g.kind]
	for v := range 2 {
		dw := e.load(g.panel[v].Offset(panelScale))
		var m [2]vec
		for h := range mins {
			m[h] = e.load(g.panel[v].Offset(panelMore + 64*h))
		}
		for j := range g.rows {
			acc, d := g.acc[v][j], e.ZMM()
			e.VCVTDQ2PS(acc, acc)
			e.VMULPS_BCST(g.act(j, actScale), dw, d)
			if g.kind == kindHalf {
				e.VFMADD213PS(g.slot(g.sums, v, j), acc, d)
				e.VMOVUPS(d, g.slot(g.sums, v, j))
				continue
			}
			e.VFMADD231PS(acc, d, g.sum[v][j])
			for h := range mins {
				at := actDSum
				if g.kind == kindMin2 {
					at = actDSum16 + 4*h
				}
				e.VFMADD231PS_BCST(g.act(j, at), m[h], g.sum[v][j])
			}
		}
	}
}
