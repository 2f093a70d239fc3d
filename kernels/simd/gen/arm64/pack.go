package main

// emitPacks writes the kernels that lay 8 weight rows out as half of a panel. A block of a panel of 16 rows has, for every 4 of
// the 32 values, those of row 0, of row 1, ..., a line of 64 bytes; then scales, minimums and integer scales of 16 rows, a line
// each. Half of it is half of every line.
func emitPacks(a *asm) {
	for _, f := range formats() {
		emitPack(a, f)
	}
}

// packer is what a pack kernel keeps in registers.
type packer struct {
	*format
	k   constants
	w   []R // the rows' block
	dst R   // the panel's
}

func emitPack(a *asm, f *format) {
	a.function("pack"+f.name+"NEON",
		"unpacks n of the format's blocks of 8 rows to half of a panel, whose lanes lie lane bytes apart. dst is the\n// place of the first "+
			"block.",
		"dst *byte", "w *byte", "rowBytes int", "n int", "lane int")
	p := &packer{format: f, w: a.gps(8), dst: a.param("dst")}
	rowBytes, n, lane := a.param("rowBytes"), a.param("n"), a.param("lane")
	a.reload("w", p.w[0])
	for i := 1; i < 8; i++ {
		a.add(rowBytes, p.w[i-1], p.w[i])
	}
	f.constants(a, &p.k)
	places, back := a.gp(), a.gp()
	a.ins("LSL", 3, lane, back)
	a.ins("SUB", f.panelBytes(), back, back) // from behind lane 7 to the next place of lane 0
	if f.elems == 256 {
		a.loop("group", n, func() {
			p.group(a, lane)
			a.ins("SUB", back, p.dst, p.dst)
		})
		a.ret()
		return
	}
	a.ins("MOVD", groupBlocks, places)
	a.loop("block", n, func() {
		for four := range 2 {
			p.block(a, four)
		}
		for _, r := range p.w {
			a.add(f.bytes, r, r)
		}
		same := a.newLabel("same")
		a.add(lane, p.dst, p.dst)
		a.ins("SUBS", 1, places, places)
		a.ins("BNE", same)
		a.ins("SUB", back, p.dst, p.dst)
		a.ins("MOVD", groupBlocks, places)
		a.label(same)
	})
	a.ret()
}

// four writes the values of block b of 4 rows.
func (p *packer) four(a *asm, b, four int) {
	var low, high [4]V
	for i := range 4 {
		low[i], high[i] = a.vec(), a.vec()
		p.values(a, &p.k, p.w[4*four+i], b, low[i], high[i], false)
	}
	for half, v := range [][4]V{low, high} {
		a.transpose(v)
		for i := range v {
			a.store(v[i], mem(p.dst, 256*half+64*i+16*four))
		}
		a.free(v[:]...)
	}
}

// block unpacks a block of 4 rows of a format of one block.
func (p *packer) block(a *asm, four int) {
	p.four(a, 0, four)
	s := p.gatherFour(a, &p.k, [4]R(p.w[4*four:]), [4]int{})
	a.store(s.d, mem(p.dst, panelValues+16*four))
	if p.minimums > 0 {
		a.store(s.m[0], mem(p.dst, p.minimumAt(0)+16*four))
	}
	p.freeScales(a, s)
}

// group unpacks the 8 blocks of 8 rows.
func (p *packer) group(a *asm, lane R) {
	d := a.gp()
	a.ins("MOVD", p.dst, d)
	for b := range groupBlocks {
		for four := range 2 {
			p.four(a, b, four)
		}
		a.add(lane, p.dst, p.dst)
	}
	first := a.gp()
	for four := range 2 {
		a.ins("MOVD", d, first)
		p.groupScales(a, first, lane, four)
	}
	a.freeGP(first)
	for _, r := range p.w {
		a.add(p.bytes, r, r)
	}
	a.freeGP(d)
}

// groupScales writes the scales of 4 rows, from the panel's block at d on. A row's vectors have a part for each of 4 blocks,
// or two parts for each of 2: they are turned.
func (p *packer) groupScales(a *asm, d, lane R, four int) {
	if p.halfScales == nil {
		var rows [4]groupScales
		for i := range rows {
			rows[i] = groupScales{p.newScales(a), p.newScales(a)}
			p.scales(a, &p.k, p.w[4*four+i], &rows[i])
		}
		for half := range 2 {
			p.turn(a, d, lane, four, [4]scales{rows[0][half], rows[1][half], rows[2][half], rows[3][half]})
		}
		return
	}
	for half := range 2 {
		var rows [4]scales
		for i := range rows {
			rows[i] = p.newScales(a)
			p.halfScales(a, &p.k, p.w[4*four+i], half, &rows[i])
		}
		p.turn(a, d, lane, four, rows)
	}
}

// turn writes the scales of 4 blocks of 4 rows, and moves d behind these blocks.
func (p *packer) turn(a *asm, d, lane R, four int, rows [4]scales) {
	of := func(f func(s *scales) V) (v [4]V) {
		for i := range v {
			v[i] = f(&rows[i])
		}
		a.transpose(v)
		return v
	}
	turned := [][4]V{of(func(s *scales) V { return s.d })}
	at := []int{panelValues}
	for i := range p.minimums {
		turned, at = append(turned, of(func(s *scales) V { return s.m[i] })), append(at, p.minimumAt(i))
	}
	if p.halves {
		// Block b has parts 2b and 2b+1 of what is turned here.
		two := [2][4]V{of(func(s *scales) V { return s.ints[0] }), of(func(s *scales) V { return s.ints[1] })}
		for i := range 2 {
			turned, at = append(turned, [4]V{two[0][i], two[0][2+i], two[1][i], two[1][2+i]}), append(at, p.integerAt(i))
		}
	}
	for b := range 4 {
		for i, v := range turned {
			a.store(v[b], mem(d, at[i]+16*four))
		}
		a.add(lane, d, d)
	}
	for _, v := range turned {
		a.free(v[:]...)
	}
}
