package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels that multiply one panel of 16 weight rows with 4 (or 1) activation rows. The integer sums of a block stay in
// registers, 2 vectors of 8 weight rows times 4 activation rows; the float sums stay in the stack frame, since a block is
// long enough to hide that. No lane of a vector is ever added to another: it is a weight row from the first load to the
// store. The lanes of the float order are block 0 of every group, block 1 of every group and so on, which are summed one
// after the other.
//
// AVX2 adds the int16 results of VPMADDUBSW before it widens them, as many as cannot overflow: with u at most 15 a whole
// block (8 x 2 x 15 x 127 = 30480), with 31 half of it (31496), with 63 two steps (32004). A u of 8 bits is two of 4, whose sums
// are put together when they are wide: two multiplications, where signed bytes need a sign, two multiplications and a wide
// addition every time.

type gemm struct {
	name  string
	kind  panelKind
	steps int // of 4 k that fit int16 (AVX2)
	rows  int
}

func emitGemmsAVX2(e *emitter) {
	for _, n := range []int{4, 1} {
		for _, g := range []gemm{
			{name: "Off8", kind: kindOff, steps: 8},
			{name: "Off4", kind: kindOff, steps: 4},
			{name: "Planes", kind: kindPlanes, steps: 8},
			{name: "Min8", kind: kindMin, steps: 8},
			{name: "Min4", kind: kindMin, steps: 4},
			{name: "MinTwo", kind: kindMin2, steps: 2},
			{name: "Half", kind: kindHalf, steps: 2},
		} {
			g.rows = n
			emitGemm(e, g)
		}
	}
}

func emitGemmsVNNI(e *emitter) {
	e.vnni = true
	for _, n := range []int{4, 1} {
		for _, g := range []gemm{
			{name: "Off", kind: kindOff, steps: 8},
			{name: "Min", kind: kindMin, steps: 8},
			{name: "MinTwo", kind: kindMin2, steps: 8},
			{name: "Half", kind: kindHalf, steps: 4},
		} {
			g.rows = n
			emitGemm(e, g)
		}
	}
}

// gemmState is what the parts of one kernel share.
type gemmState struct {
	gemm
	*emitter
	panel       operand.Mem
	act         func(j, disp int) operand.Mem
	acc         [2][4]vec // int32, or int16 on AVX2 until widened
	ones, shift vec
	// In the frame, 32 bytes for each of acc: the float sums of a lane and of all lanes, and spilled int32 sums.
	sums, totals, wide operand.Mem
}

func (g *gemmState) slot(m operand.Mem, v, j int) operand.Mem { return m.Offset(32 * (g.rows*v + j)) }

func (g *gemmState) each(do func(v, j int)) {
	for j := range g.rows {
		for v := range 2 {
			do(v, j)
		}
	}
}

func emitGemm(e *emitter, k gemm) {
	g := &gemmState{gemm: k, emitter: e}
	name := fmt.Sprintf("gemm%sx%d%s", k.name, k.rows, e.isa())
	e.Function(name)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s multiplies a panel of full groups and, if rest is not 0, one of rest blocks with %d activation rows that", name, k.rows),
		"lie stride bytes apart. Row j's results go to out0[j*ldo:][:8] and out1[j*ldo:][:8]; the offset subtracted from a weight",
		"is 1 << shift.")
	e.SignatureExpr("func(out0, out1 *float32, ldo int, panel, a *byte, stride, full, rest, shift int)")

	stride, stride3 := e.GP64(), e.GP64()
	if k.rows > 1 {
		e.Load(e.Param("stride"), stride)
		e.LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	}
	panel, a := e.GP64(), e.GP64()
	g.panel = operand.Mem{Base: panel}
	g.act = fourRows(a, stride, stride3)
	corrected := k.kind == kindOff || k.kind == kindHalf || k.kind == kindPlanes
	if corrected {
		g.shift = e.YMM()
		m, err := e.Param("shift").Resolve()
		if err != nil {
			panic(err)
		}
		e.VPBROADCASTD(m.Addr, g.shift)
	}
	if !e.vnni && k.kind != kindHalf {
		g.ones = e.load(e.onesWords())
	}
	g.sums, g.totals = e.AllocLocal(64*k.rows), e.AllocLocal(64*k.rows)
	z := g.zero()
	g.each(func(v, j int) { g.VMOVUPS(z, g.slot(g.totals, v, j)) })
	groups := 8 / k.steps
	if groups == 2 {
		g.wide = e.AllocLocal(64 * k.rows)
	}

	e.eachLane(e.panelBytes(k.kind), panel, a, func() {
		z := g.zero()
		g.each(func(v, j int) { g.VMOVUPS(z, g.slot(g.sums, v, j)) })
	}, func() {
		if !e.vnni && (groups > 2 || k.kind == kindPlanes) {
			// Sums of both vectors would go to memory and back too often: one vector after the other.
			for v := range 2 {
				if k.kind == kindPlanes {
					g.planes(v)
				} else {
					g.groupsAVX2(v, groups)
				}
				if corrected {
					g.correctAVX2(v)
				}
				g.finish(v)
			}
			return
		}
		for i := range groups {
			if e.vnni {
				g.groupVNNI(i, groups, corrected)
			} else {
				g.groupAVX2(i, groups)
			}
		}
		if corrected && !e.vnni {
			g.correctAVX2(0, 1)
		}
		g.finish(0)
		g.finish(1)
	}, func() {
		g.each(func(v, j int) {
			t := g.load(g.slot(g.totals, v, j))
			g.VADDPS(g.slot(g.sums, v, j), t, t)
			g.VMOVUPS(t, g.slot(g.totals, v, j))
		})
	})
	g.outputs(func(out operand.Mem, v, j int) {
		t := g.load(g.slot(g.totals, v, j))
		e.VMOVUPS(t, out)
	})
	e.VZEROUPPER()
	e.RET()
}

// eachLane goes through the lanes of the float order: start, block for every block of the lane with panel and a pointing at
// it, end. A lane without blocks adds nothing. The parameters panel, a, full and rest say where and how many.
func (e *emitter) eachLane(panelBytes int, panel, a reg.GPVirtual, start, block, end func()) {
	firstPanel, firstAct, left, n := e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("panel"), firstPanel)
	e.Load(e.Param("a"), firstAct)
	lane, loop, complete, next := e.label("lane"), e.label("block"), e.label("complete"), e.label("next")
	// The distance of lanes: as many blocks as there are groups.
	size := e.GP64()
	e.Load(e.Param("rest"), n)
	e.NEGQ(n)
	e.SBBQ(size, size) // -1 if rest is not 0
	e.NEGQ(size)
	e.Load(e.Param("full"), n)
	e.ADDQ(n, size)
	e.IMUL3Q(operand.I32(int32(panelBytes)), size, size)
	e.MOVQ(operand.I32(groupBlocks), left)
	e.Label(lane)
	rest := e.GP64()
	e.Load(e.Param("full"), n)
	e.Load(e.Param("rest"), rest)
	e.CMPQ(left, rest) // the blocks of an incomplete group are in the last lanes
	e.JGT(operand.LabelRef(complete))
	e.INCQ(n)
	e.Label(complete)
	e.TESTQ(n, n)
	e.JZ(operand.LabelRef(next))
	e.MOVQ(firstPanel, panel)
	e.MOVQ(firstAct, a)
	start()
	e.Label(loop)
	block()
	e.ADDQ(operand.I32(int32(panelBytes)), panel)
	e.ADDQ(operand.I32(actGroup), a)
	e.DECQ(n)
	e.JNZ(operand.LabelRef(loop))
	end()
	e.Label(next)
	e.ADDQ(size, firstPanel)
	e.ADDQ(operand.I32(actBlock), firstAct)
	e.DECQ(left)
	e.JNZ(operand.LabelRef(lane))
}

// outputs calls do with the place of each vector of results.
func (g *gemmState) outputs(do func(out operand.Mem, v, j int)) {
	for v, p := range []string{"out0", "out1"} {
		out, ldo := g.GP64(), g.GP64()
		g.Load(g.Param(p), out)
		if g.rows > 1 {
			g.Load(g.Param("ldo"), ldo)
			g.SHLQ(imm(2), ldo)
		}
		for j := range g.rows {
			do(operand.Mem{Base: out}, v, j)
			if j < g.rows-1 {
				g.ADDQ(ldo, out)
			}
		}
	}
}

// weights loads the two vectors of step k4.
func (g *gemmState) weights(k4 int) [2]vec {
	return [2]vec{g.load(g.panel.Offset(64 * k4)), g.load(g.panel.Offset(64*k4 + 32))}
}

// groupVNNI: VPDPBUSD adds to sums that start from the correction -(2^shift * sum of a).
func (g *gemmState) groupVNNI(i, groups int, corrected bool) {
	e := g.emitter
	for j := range g.rows {
		g.acc[0][j], g.acc[1][j] = e.YMM(), e.YMM()
		if corrected {
			at := actNegSum
			if g.kind == kindHalf {
				at = actNeg16 + 4*i
			}
			e.VPBROADCASTD(g.act(j, at), g.acc[0][j])
			e.VPSLLVD(g.shift, g.acc[0][j], g.acc[0][j])
			e.VMOVDQA(g.acc[0][j], g.acc[1][j])
		} else {
			e.VPXOR(g.acc[0][j], g.acc[0][j], g.acc[0][j])
			e.VPXOR(g.acc[1][j], g.acc[1][j], g.acc[1][j])
		}
	}
	for k4 := i * g.steps; k4 < (i+1)*g.steps; k4++ {
		w := g.weights(k4)
		for j := range g.rows {
			a := e.YMM()
			e.VPBROADCASTD(g.act(j, 4*k4), a)
			for v := range w {
				e.VPDPBUSD(a, w[v], g.acc[v][j])
			}
		}
	}
	if g.kind != kindHalf {
		return
	}
	for v := range 2 {
		s := e.YMM()
		e.VMOVDQU(g.panel.Offset(panelMore+64*i+32*v), s)
		e.VPSRAD(imm(16), s, s)
		for j := range g.rows {
			e.VPMULLD(s, g.acc[v][j], g.acc[v][j])
		}
	}
	g.spill(i, groups)
}

// spill keeps the first half's sums in the frame and adds them to the last group's.
func (g *gemmState) spill(i, groups int) {
	g.each(func(v, j int) {
		if i > 0 {
			g.VPADDD(g.slot(g.wide, v, j), g.acc[v][j], g.acc[v][j])
		}
		if i < groups-1 {
			g.VMOVDQU(g.acc[v][j], g.slot(g.wide, v, j))
		}
	})
}

// groupAVX2 adds g.steps products in int16, then widens.
func (g *gemmState) groupAVX2(i, groups int) {
	e := g.emitter
	for k4 := i * g.steps; k4 < (i+1)*g.steps; k4++ {
		w := g.weights(k4)
		for j := range g.rows {
			a := e.YMM()
			e.VPBROADCASTD(g.act(j, 4*k4), a)
			for v := range w {
				g.product(k4 == i*g.steps, &g.acc[v][j], w[v], a)
			}
		}
	}
	g.each(func(v, j int) { e.VPMADDWD(g.ones, g.acc[v][j], g.acc[v][j]) })
	if groups > 1 {
		g.spill(i, groups)
	}
}

// product adds the pairs of products of w and a to the int16 of sum, or begins them.
func (g *gemmState) product(first bool, sum *vec, w, a vec) {
	p := g.YMM()
	g.VPMADDUBSW(a, w, p)
	if first {
		*sum = p
	} else {
		g.VPADDW(p, *sum, *sum)
	}
}

// groupsAVX2 makes the block's sums of vector v: g.steps products at a time in int16, then widened, by ones or by the integer
// scale of these 16 values.
func (g *gemmState) groupsAVX2(v, groups int) {
	e := g.emitter
	for i := range groups {
		var some [4]vec
		for step := range g.steps {
			k4 := i*g.steps + step
			w := g.load(g.panel.Offset(64*k4 + 32*v))
			for j := range g.rows {
				a := e.YMM()
				e.VPBROADCASTD(g.act(j, 4*k4), a)
				g.product(step == 0, &some[j], w, a)
			}
		}
		for j := range g.rows {
			if g.kind == kindHalf {
				e.VPMADDWD(g.panel.Offset(panelMore+64*(i*g.steps/4)+32*v), some[j], some[j])
			} else {
				e.VPMADDWD(g.ones, some[j], some[j])
			}
			if i == 0 {
				g.acc[v][j] = some[j]
			} else {
				e.VPADDD(some[j], g.acc[v][j], g.acc[v][j])
			}
		}
	}
}

// planes makes the block's sums of vector v from those of the lower and of the upper halves.
func (g *gemmState) planes(v int) {
	e := g.emitter
	var upper [4]vec
	lower := &g.acc[v]
	for k4 := range g.steps {
		lo, hi := g.load(g.panel.Offset(64*k4+32*v)), g.load(g.panel.Offset(panelMore+64*k4+32*v))
		for j := range g.rows {
			a := e.YMM()
			e.VPBROADCASTD(g.act(j, 4*k4), a)
			g.product(k4 == 0, &lower[j], lo, a)
			g.product(k4 == 0, &upper[j], hi, a)
		}
	}
	for j := range g.rows {
		e.VPMADDWD(g.ones, lower[j], lower[j])
		e.VPMADDWD(e.dwords("sixteenWords", 0x100010), upper[j], upper[j])
		e.VPADDD(upper[j], lower[j], lower[j])
	}
}

// correctAVX2 adds -(2^shift * sum of a), each half times its scale where there are scales, to the sums of the vectors.
func (g *gemmState) correctAVX2(vectors ...int) {
	e := g.emitter
	for j := range g.rows {
		c := e.YMM()
		if g.kind == kindHalf {
			e.VPBROADCASTD(g.act(j, actNegPr), c)
			e.VPMADDWD(g.panel.Offset(panelMore+128+32*vectors[0]), c, c)
		} else {
			e.VPBROADCASTD(g.act(j, actNegSum), c)
		}
		e.VPSLLVD(g.shift, c, c)
		for _, v := range vectors {
			e.VPADDD(c, g.acc[v][j], g.acc[v][j])
		}
	}
}

// finish turns the block's sums of vector v into floats and adds them: acc = fma(dw*da, sum, acc), then the minimums.
func (g *gemmState) finish(v int) {
	e := g.emitter
	dw := g.load(g.panel.Offset(panelScale + 32*v))
	var m [2]vec
	mins := 0
	if g.kind == kindMin || g.kind == kindMin2 {
		mins = int(g.kind - kindMin + 1)
	}
	for h := range mins {
		m[h] = g.load(g.panel.Offset(panelMore + 64*h + 32*v))
	}
	for j := range g.rows {
		sum, d := g.acc[v][j], e.YMM()
		e.VCVTDQ2PS(sum, sum)
		e.VBROADCASTSS(g.act(j, actScale), d)
		e.VMULPS(dw, d, d)
		e.VFMADD213PS(g.slot(g.sums, v, j), sum, d)
		for h := range mins {
			s := e.YMM()
			at := actDSum
			if g.kind == kindMin2 {
				at = actDSum16 + 4*h
			}
			e.VBROADCASTSS(g.act(j, at), s)
			e.VFMADD231PS(m[h], s, d)
		}
		e.VMOVUPS(d, g.slot(g.sums, v, j))
	}
}
