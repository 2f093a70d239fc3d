package main

import "fmt"

// rung is an instruction set that products of integers have a form for.
type rung struct {
	name string
	sdot bool
}

var neon, dotProd = rung{"NEON", false}, rung{"DotProd", true}

func formats() []*format { return append(legacyFormats(), kFormats()...) }

// emitDots writes the kernels for one activation row, which take two weight rows at a time, and those for two, which take one.
func emitDots(a *asm, r rung) {
	for _, f := range formats() {
		emitDot(a, f, r, 2, 1)
		emitDot(a, f, r, 1, 2)
	}
}

// dotter is what a dot kernel keeps in registers. Its sums are of pairs, of a weight row and an activation row: weight rows times
// activation rows is 2.
type dotter struct {
	*format
	rung
	k            constants
	w            []R // the weight rows' group
	blocks, lane []R // the activation rows' group
	acc          [2][2]V
}

func emitDot(a *asm, f *format, r rung, rows, acts int) {
	a.function(fmt.Sprintf("dot%sx%d%s", f.name, acts, r.name),
		fmt.Sprintf("computes 8*octets outputs of activation rows (%d) from n groups of 8 blocks a row, the last of\n// which begins back "+
			"bytes before the end of the one before.", acts),
		"out *float32", "ldo int", "w *byte", "rowBytes int", "octets int", "blocks *byte", "lanes *byte", "stride int", "n int",
		"back int")
	d := &dotter{format: f, rung: r, w: a.gps(rows), blocks: a.gps(acts), lane: a.gps(acts)}
	out, w, rowBytes, times, n, back := a.param("out"), a.param("w"), a.param("rowBytes"), a.param("octets"), a.gp(), a.gp()
	other := a.gp()
	if acts == 2 {
		a.reload("ldo", back)
		a.addShifted(back, 2, out, other)
	}
	f.constants(a, &d.k)
	for i := range d.acc {
		d.acc[i] = [2]V{a.vec(), a.vec()}
	}
	a.ins("LSL", 4-rows, times, times) // octets*8/rows
	a.loop("rows", times, func() {
		for _, p := range d.w {
			a.ins("MOVD", w, p)
			a.add(rowBytes, w, w)
		}
		a.reload("blocks", d.blocks[0])
		a.reload("lanes", d.lane[0])
		if acts == 2 {
			a.reload("stride", back)
			a.add(back, d.blocks[0], d.blocks[1])
			a.add(back, d.lane[0], d.lane[1])
		}
		for i := range d.acc {
			a.zero(d.acc[i][0])
			a.zero(d.acc[i][1])
		}
		a.reload("n", n)
		a.reload("back", back)
		a.loop("group", n, func() {
			whole := a.newLabel("whole")
			a.ins("CMP", 1, n)
			a.ins("BNE", whole)
			for _, p := range d.w {
				a.ins("SUB", back, p, p)
			}
			a.label(whole)
			d.group(a)
		})
		d.finish(a, out, other)
	})
	a.ret()
}

// group adds the products of 8 blocks.
func (d *dotter) group(a *asm) {
	var all []groupScales
	for _, p := range d.w {
		if d.format.scales != nil {
			s := groupScales{d.newScales(a), d.newScales(a)}
			d.format.scales(a, &d.k, p, &s)
			all = append(all, s)
		}
	}
	for half := range 2 {
		d.half(a, half, all)
	}
	for i, p := range d.w {
		a.add(d.groupBytes(), p, p)
		if all != nil {
			d.freeScales(a, all[i][0])
			d.freeScales(a, all[i][1])
		}
	}
	for i := range d.blocks {
		a.add(actGroup, d.blocks[i], d.blocks[i])
		a.add(actGroup, d.lane[i], d.lane[i])
	}
}

// half adds the products of 4 blocks: their sums stand beside each other in the end.
func (d *dotter) half(a *asm, half int, all []groupScales) {
	s := make([]scales, len(d.w))
	for i, p := range d.w {
		switch {
		case all != nil:
			s[i] = all[i][half]
		case d.halfScales != nil:
			s[i] = d.newScales(a)
			d.halfScales(a, &d.k, p, half, &s[i])
		default:
			at := 4 * half * d.bytes
			s[i] = d.gatherFour(a, &d.k, [4]R{p, p, p, p}, [4]int{at, at + d.bytes, at + 2*d.bytes, at + 3*d.bytes})
		}
	}
	var sums [2][4]V
	for b := range 4 {
		d.sums(a, 4*half+b, &sums, s)
	}
	for pair := range sums {
		s := &sums[pair]
		a.addNeighbours(s[0], s[1], s[0])
		a.addNeighbours(s[2], s[3], s[2])
		a.addNeighbours(s[0], s[2], s[0])
		a.free(s[1:]...)
	}
	for i := range d.w {
		for j := range d.lane {
			d.scale(a, i+j, half, j, sums[i+j][0], &s[i])
			a.free(sums[i+j][0])
		}
		if all == nil {
			d.freeScales(a, s[i])
		}
	}
}

// sums makes the products of block b, of every pair: 4 sums each, that add up to the block's.
func (d *dotter) sums(a *asm, b int, sums *[2][4]V, s []scales) {
	acts := make([][2]V, len(d.blocks))
	for j, p := range d.blocks {
		acts[j] = [2]V{a.vec(), a.vec()}
		a.loadPair(mem(p, actBlock*b), acts[j][0], acts[j][1])
	}
	low, high := a.vec(), a.vec()
	for i, p := range d.w {
		d.values(a, &d.k, p, b, low, high, true)
		for j, x := range acts {
			sum := a.vec()
			sums[i+j][b%4] = sum
			if !d.halves {
				d.multiply(a, [2]V{low, high}, x, sum)
				continue
			}
			t := a.vec()
			d.multiplyHalf(a, low, x[0], t)
			ints := s[i].ints[b%4/2]
			a.mulPart(t, ints, b%2*2, sum)
			d.multiplyHalf(a, high, x[1], t)
			a.mulAddPart(t, ints, b%2*2+1, sum)
			a.free(t)
		}
	}
	a.free(low, high)
	for _, x := range acts {
		a.free(x[:]...)
	}
}

// multiply makes 4 sums of 32 products.
func (d *dotter) multiply(a *asm, w, x [2]V, sum V) {
	if d.sdot {
		a.zero(sum)
		a.sdot(w[0], x[0], sum)
		a.sdot(w[1], x[1], sum)
		return
	}
	t := a.vec()
	a.mulBytes(w[0], x[0], t)
	a.mulAddBytesHigh(w[0], x[0], t)
	if d.full {
		a.pairs(t, sum)
		a.mulBytes(w[1], x[1], t)
		a.mulAddBytesHigh(w[1], x[1], t)
		a.addPairs(t, sum)
	} else {
		a.mulAddBytes(w[1], x[1], t)
		a.mulAddBytesHigh(w[1], x[1], t)
		a.pairs(t, sum)
	}
	a.free(t)
}

// multiplyHalf makes 4 sums of 16 products.
func (d *dotter) multiplyHalf(a *asm, w, x, sum V) {
	if d.sdot {
		a.zero(sum)
		a.sdot(w, x, sum)
		return
	}
	a.mulBytes(w, x, sum)
	a.mulAddBytesHigh(w, x, sum)
	a.pairs(sum, sum)
}

// scale adds the integer sums of 4 blocks, which sum has, to the floats of a pair.
func (d *dotter) scale(a *asm, pair, half, act int, sum V, s *scales) {
	lane, t, acc := d.lane[act], a.vec(), d.acc[pair][half]
	if d.shift > 0 {
		a.load(mem(lane, laneNegSum+16*half), t)
		a.ins("VSHL", d.shift, t.at("S4"), t.at("S4"))
		a.addInt(sum, t, sum)
	}
	a.toFloat(sum, sum)
	a.load(mem(lane, laneScale+16*half), t)
	a.fmul(t, s.d, t)
	a.fmla(t, sum, acc)
	for i := range d.minimums {
		at := laneDSum
		if d.minimums == 2 {
			at = laneDSum16 + 32*i
		}
		a.load(mem(lane, at+16*half), t)
		a.fmla(t, s.m[i], acc)
	}
	a.free(t)
}

// finish adds the lanes of both pairs, 0 + lane 0 + ... + lane 7, side by side, and stores them: two successive outputs of one
// activation row, or one of each.
func (d *dotter) finish(a *asm, out, other R) {
	sum, z, t := a.vec(), a.vec(), a.vec()
	a.zero(sum)
	for half := range 2 {
		for _, zip := range []string{"VZIP1", "VZIP2"} {
			a.ins(zip, d.acc[1][half].at("S4"), d.acc[0][half].at("S4"), z.at("S4"))
			a.ins("VEXT", 8, z.at("B16"), z.at("B16"), t.at("B16"))
			a.fadd(sum, z, sum)
			a.fadd(sum, t, sum)
		}
	}
	if len(d.w) == 2 {
		a.ins("FMOVD.P", sum.q(), mem(out, 8))
	} else {
		a.ins("FMOVS.P", sum.q(), mem(out, 4))
		a.ins("VST1.P", sum.lane("S", 1), mem(other, 4))
	}
	a.free(sum, z, t)
}
