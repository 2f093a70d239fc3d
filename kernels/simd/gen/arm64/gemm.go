package main

import "fmt"

// panelKind is what the blocks of a panel have, whatever format they came from.
type panelKind struct {
	name string
	format
}

var panelKinds = []panelKind{
	{"Plain", format{}},
	{"Min", format{minimums: 1}},
	{"Half", format{halves: true}},
	{"MinTwo", format{halves: true, minimums: 2}},
}

// emitGemms writes the kernels that multiply a panel with activation rows, four of them or one.
func emitGemms(a *asm, r rung) {
	for i := range panelKinds {
		emitGemm(a, &panelKinds[i], r, 4)
		emitGemm(a, &panelKinds[i], r, 1)
	}
}

// multiplier is what a gemm kernel keeps in registers: for 8 weight rows, two vectors, and each activation row.
type multiplier struct {
	*panelKind
	rung
	panel R   // the block
	acts  []R // of each row, the block
	acc   [][2]V
}

// emitGemm takes one half of the panel after the other, and of each one lane after the other.
func emitGemm(a *asm, kind *panelKind, r rung, acts int) {
	a.function(fmt.Sprintf("gemm%sx%d%s", kind.name, acts, r.name),
		fmt.Sprintf("multiplies a panel of full groups of blocks and an incomplete one of rest with activation rows (%d)\n// that lie stride "+
			"bytes apart. shift is not used.", acts),
		"out0 *float32", "out1 *float32", "ldo int", "panel *byte", "a *byte", "stride int", "full int", "rest int", "shift int")
	m := &multiplier{panelKind: kind, rung: r, panel: a.gp(), acts: a.gps(acts)}
	outs, panels, blocks, lane, halves := a.gps(acts), a.gp(), a.gp(), a.gp(), a.gp()
	n, step, stride, full, last := a.gp(), a.gp(), a.param("stride"), a.param("full"), a.gp()
	m.acc = make([][2]V, acts)
	for i := range m.acc {
		m.acc[i] = [2]V{a.vec(), a.vec()}
	}
	// The first lane that has a block of the incomplete group, and a lane's bytes.
	rest := n
	a.reload("rest", rest)
	a.ins("MOVD", groupBlocks, last)
	a.ins("SUB", rest, last, last)
	a.ins("CMP", 0, rest)
	a.ins("CSET", "NE", lane)
	a.add(full, lane, lane)
	a.ins("MOVD", kind.panelBytes(), step)
	a.ins("MUL", step, lane, step)

	a.reload("out0", outs[0])
	a.reload("panel", panels)
	a.ins("MOVD", 2, halves)
	a.loop("half", halves, func() {
		a.reload("ldo", n)
		zero := m.acc[0][0]
		a.zero(zero)
		for i, out := range outs {
			if i > 0 {
				a.addShifted(n, 2, outs[i-1], out)
			}
			a.storePair(zero, zero, mem(out, 0))
		}
		a.ins("MOVD", panels, m.panel)
		a.reload("a", blocks)
		a.ins("MOVD", 0, lane)
		next, none := a.newLabel("lane"), a.newLabel("none")
		a.label(next)
		a.ins("CMP", last, lane)
		a.ins("CSET", "GE", n)
		a.add(full, n, n)
		a.ins("CBZ", n, none)
		for i, x := range m.acts {
			if i == 0 {
				a.ins("MOVD", blocks, x)
			} else {
				a.add(stride, m.acts[i-1], x)
			}
			a.zero(m.acc[i][0])
			a.zero(m.acc[i][1])
		}
		at := a.gp()
		a.ins("MOVD", m.panel, at)
		a.loop("block", n, func() {
			m.block(a)
			a.add(kind.panelBytes(), m.panel, m.panel)
			for _, x := range m.acts {
				a.add(actGroup, x, x)
			}
		})
		a.ins("MOVD", at, m.panel)
		a.freeGP(at)
		t := [2]V{a.vec(), a.vec()}
		for i, out := range outs {
			a.loadPair(mem(out, 0), t[0], t[1])
			a.fadd(t[0], m.acc[i][0], t[0])
			a.fadd(t[1], m.acc[i][1], t[1])
			a.storePair(t[0], t[1], mem(out, 0))
		}
		a.free(t[:]...)
		a.label(none)
		a.add(step, m.panel, m.panel)
		a.add(actBlock, blocks, blocks)
		a.add(1, lane, lane)
		a.ins("CMP", groupBlocks, lane)
		a.ins("BNE", next)
		a.reload("out1", outs[0])
		a.add(32, panels, panels)
	})
	a.ret()
}

// block multiplies a block of 8 weight rows with all activation rows, and adds the products to the floats.
func (m *multiplier) block(a *asm) {
	sums := make([][2]V, len(m.acts))
	for i := range sums {
		sums[i] = [2]V{a.vec(), a.vec()}
		if !m.halves {
			a.zero(sums[i][0])
			a.zero(sums[i][1])
		}
	}
	for half := range 2 {
		if m.halves {
			m.scaledHalf(a, half, sums)
		} else {
			m.half(a, half, sums)
		}
	}
	m.scale(a, sums)
	for _, s := range sums {
		a.free(s[:]...)
	}
}

// half multiplies 16 values of each row.
func (m *multiplier) half(a *asm, half int, sums [][2]V) {
	x, w := a.vecs(len(m.acts)), [2]V{a.vec(), a.vec()}
	for i, p := range m.acts {
		a.load(mem(p, 16*half), x[i])
	}
	for q := range 4 {
		a.loadPair(mem(m.panel, 256*half+64*q), w[0], w[1])
		for i := range m.acts {
			m.quad(a, w, x[i], q, sums[i])
		}
	}
	a.free(x...)
	a.free(w[:]...)
}

// scaledHalf does that and multiplies by the integer scales: the values stay in registers while the activation rows meet them.
func (m *multiplier) scaledHalf(a *asm, half int, sums [][2]V) {
	var w [4][2]V
	for q := range w {
		w[q] = [2]V{a.vec(), a.vec()}
		a.loadPair(mem(m.panel, 256*half+64*q), w[q][0], w[q][1])
	}
	s, x, t := [2]V{a.vec(), a.vec()}, a.vec(), [2]V{a.vec(), a.vec()}
	a.loadPair(mem(m.panel, m.integerAt(half)), s[0], s[1])
	for i, p := range m.acts {
		a.load(mem(p, 16*half), x)
		a.zero(t[0])
		a.zero(t[1])
		for q := range w {
			m.quad(a, w[q], x, q, t)
		}
		for v := range t {
			if half == 0 {
				a.mulInt(t[v], s[v], sums[i][v])
			} else {
				a.mulAddInt(t[v], s[v], sums[i][v])
			}
		}
	}
	for q := range w {
		a.free(w[q][:]...)
	}
	a.free(s[:]...)
	a.free(t[:]...)
	a.free(x)
}

// quad adds the products of 4 values of 8 rows with part q of x.
func (m *multiplier) quad(a *asm, w [2]V, x V, q int, sum [2]V) {
	if m.sdot {
		a.sdotPart(w[0], x, q, sum[0])
		a.sdotPart(w[1], x, q, sum[1])
		return
	}
	four, low, high := a.vec(), a.vec(), a.vec()
	a.dup(x, q, four)
	for v := range w {
		a.mulBytes(w[v], four, low)
		a.mulBytesHigh(w[v], four, high)
		a.addNeighbours16(low, high, low)
		a.addPairs(low, sum[v])
	}
	a.free(four, low, high)
}

// scale adds the integer sums of a block, times the scales, to the floats.
func (m *multiplier) scale(a *asm, sums [][2]V) {
	d, x, t := [2]V{a.vec(), a.vec()}, a.vecs(len(m.acts)), a.vec()
	a.loadPair(mem(m.panel, panelValues), d[0], d[1])
	for i, p := range m.acts {
		a.ins("FMOVD", mem(p, actScale), x[i].q()) // the scale, and times the sum
		for v := range d {
			a.fmulPart(d[v], x[i], 0, t)
			a.toFloat(sums[i][v], sums[i][v])
			a.fmla(t, sums[i][v], m.acc[i][v])
		}
	}
	for k := range m.minimums {
		a.loadPair(mem(m.panel, m.minimumAt(k)), d[0], d[1])
		for i, p := range m.acts {
			part := 1
			if m.minimums == 2 {
				part = k
				a.ins("FMOVD", mem(p, actDSum16), x[i].q())
			}
			for v := range d {
				a.fmlaPart(d[v], x[i], part, m.acc[i][v])
			}
		}
	}
	a.free(d[:]...)
	a.free(x...)
	a.free(t)
}
