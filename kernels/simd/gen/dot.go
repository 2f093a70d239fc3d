package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels for one activation row, and for two. They read a weight row from its beginning to its end, a group of 8 blocks
// at a time: a block of 32 bytes times the activation's 32 gives partial sums, and the 8 blocks' partials are added across
// in a tree that ends with one sum a lane: lane i is block i. From there on nothing is horizontal: convert, multiply by
// dw*da, accumulate; the lanes of a row are added when it ends, for 8 rows at once.
//
// Reading one row after the other is one straight line through memory, which the hardware's own prefetching follows; a page
// is touched some way ahead, so that its address is translated and its stream begun before the loads arrive.

// farAhead is the distance of that touch; with pages of 4 KiB it is worth a sixth to a half of the speed of a plain read.
const farAhead = 64 * 1024

// nearAhead is how far ahead the lines of a row are asked for, into the second-level cache: more than a core reads in the time
// that memory takes to answer, since the hardware by itself keeps too few lines of one stream on their way. See RATIONALE.md
// for what other distances and the first level cost.
const nearAhead = 8192

// dotRows are the numbers of activation rows that there are kernels for.
var dotRows = []int{1, 2}

// emitDots writes the kernels of AVX2 and AVX-VNNI, emitDots512 those of the AVX-512 rung, which have VPDPBUSD in another form,
// more registers for constants and VPTERNLOGD, but vectors of 256 bits too: these suffice to keep up with memory.
func emitDots(e *emitter, formats []*format) {
	for _, f := range formats {
		for _, e.vnni = range []bool{false, true} {
			for _, rows := range dotRows {
				emitDot(e, f, rows, true)
			}
			if f.unasked {
				emitDot(e, f, 1, false)
			}
		}
	}
	e.vnni = false
}

func emitDots512(e *emitter, formats []*format) {
	for _, f := range formats {
		for _, rows := range dotRows {
			emitDot(e, f, rows, true)
		}
		if f.unasked {
			emitDot(e, f, 1, false)
		}
	}
}

// blockRow addresses the 8 blocks of a group in one weight row.
type blockRow struct {
	p     reg.GPVirtual
	bytes int
}

func (r blockRow) at(i, disp int) operand.Mem {
	return operand.Mem{Base: r.p, Disp: i*r.bytes + disp}
}

// dotSink keeps the scales of a group.
type dotSink struct {
	d     vec
	m     [2]vec
	pairs vec // of integer scales, as words
}

func (s *dotSink) dw(_ int, v vec)        { s.d = v }
func (s *dotSink) min(_, half int, v vec) { s.m[half] = v }
func (s *dotSink) scales(int, [2]vec) {
	panic("the header of a format with integer scales, in place of its row")
}

// dot is what the parts of one kernel share.
type dot struct {
	*emitter
	f             *format
	rows          int  // of activations
	asks          bool // for lines ahead, as all do but those for processors that see far enough by themselves
	w             blockRow
	blocks, lanes reg.GPVirtual
	stride        reg.GPVirtual // between activation rows
	ones          operand.Op
	factor        operand.Op // of the activations' sums
	down          operand.Op // shifts of the blocks' sums, see oddShift
	heads         *heads     // of the group that is being opened, if the format wants them
	acc           []vec
}

func (g *dot) act(base reg.GPVirtual, j, disp int) operand.Mem {
	m := operand.Mem{Base: base, Disp: disp}
	if j > 0 {
		m.Index, m.Scale = g.stride, 1
	}
	return m
}

func emitDot(e *emitter, f *format, rows int, asks bool) {
	g := &dot{emitter: e, f: f, rows: rows, asks: asks}
	e.pins = map[string]operand.Op{}
	name := fmt.Sprintf("dot%sx%d", f.name, rows)
	if !asks {
		name += "Unasked"
	}
	name += e.isa()
	e.Function(name)
	e.Pragma("noescape")
	e.Doc(fmt.Sprintf("%s multiplies octets of 8 rows of n groups of %s blocks with activation rows (%d) that lie stride bytes", name,
		f.name, rows), "apart: 8*octets floats at out[j*ldo:]. The last group begins back bytes before the end of the one before.")
	e.SignatureExpr("func(out *float32, ldo int, w *byte, rowBytes, octets int, blocks, lanes *byte, stride, n, back int)")
	w, out, octets, row, touch := e.GP64(), e.GP64(), e.GP64(), e.GP64(), e.GP64()
	e.Load(e.Param("w"), w)
	e.Load(e.Param("out"), out)
	e.Load(e.Param("octets"), octets)
	if rows > 1 {
		g.stride = e.GP64()
		e.Load(e.Param("stride"), g.stride)
	}
	sums := e.AllocLocal(8 * 32 * rows)
	if f.beginDot != nil {
		f.beginDot(e)
	} else {
		f.begin(e)
	}
	if !e.vnni || f.products()*f.top*127 <= 32767 {
		if g.ones = e.onesWords(); !g.headed() { // with heads registers are short
			g.ones = e.pinned(e.onesWords())
		}
	}
	if shift, ok := f.offset(e.vnni); ok {
		g.factor = e.pin(e.dwords(fmt.Sprint("offset", shift), 1<<shift))
	}
	if f.kind == kindMin2 {
		g.down = e.pin(e.dwordList("oddShifts", [8]uint32{1: oddShift, 3: oddShift, 5: oddShift, 7: oddShift}))
	}
	e.MOVQ(w, touch)
	octet, oneRow := e.label("octet"), e.label("row")
	n := e.GP64()
	e.Label(octet)
	e.XORQ(row, row)

	e.Label(oneRow)
	g.touchPages(w, touch)
	g.w, g.lanes = blockRow{e.GP64(), f.blockBytes()}, e.GP64()
	e.MOVQ(w, g.w.p)
	if f.inOrder() {
		g.blocks = e.GP64()
		e.Load(e.Param("blocks"), g.blocks)
	}
	e.Load(e.Param("lanes"), g.lanes)
	e.Load(e.Param("n"), n)
	g.acc = make([]vec, rows)
	for j := range g.acc {
		g.acc[j] = e.zero()
	}
	if rows == 1 {
		g.overlappedLoop(n)
	} else { // registers are short
		g.plainLoop(n)
	}
	for j, acc := range g.acc {
		m := sums.Offset(8 * 32 * j)
		m.Index, m.Scale = row, 1
		e.VMOVUPS(acc, m)
	}
	by := e.GP64()
	e.Load(e.Param("rowBytes"), by)
	e.ADDQ(by, w)
	e.ADDQ(imm(32), row)
	e.CMPQ(row, operand.I32(8*32))
	e.JNE(operand.LabelRef(oneRow))

	for j := range rows {
		to := operand.Mem{Base: out}
		if j > 0 {
			ldo := e.GP64()
			e.Load(e.Param("ldo"), ldo)
			to.Index, to.Scale = ldo, 4
		}
		e.VMOVUPS(e.addLanes(sums.Offset(8*32*j)), to)
	}
	e.ADDQ(imm(32), out)
	e.DECQ(octets)
	e.JNZ(operand.LabelRef(octet))
	e.VZEROUPPER()
	e.RET()
}

// plainLoop adds n groups.
func (g *dot) plainLoop(n reg.GPVirtual) {
	loop, done := g.label("group"), g.label("done")
	g.Label(loop)
	g.ask()
	o := g.open()
	g.scales(o)
	g.close(o, 0)
	g.next(n, loop, done)
	g.Label(done)
}

// overlappedLoop adds n groups, each while the next is being multiplied: the last steps wait for one another, and what waits
// keeps the processor from looking further ahead.
func (g *dot) overlappedLoop(n reg.GPVirtual) {
	loop, last := g.label("group"), g.label("last")
	g.ask()
	o := g.open()
	g.scales(o)
	g.next(n, loop, last)
	g.Label(loop)
	g.ask()
	next := g.open()
	g.close(o, -actGroup)
	g.scales(next)
	to := o.vectors()
	for i, v := range next.vectors() {
		g.VMOVDQA(*v, *to[i])
	}
	g.next(n, loop, last)
	g.Label(last)
	g.close(o, -actGroup)
}

// next goes to the label loop for the next of n groups, or to done. The last group of blocks begins back bytes before the end of
// the one before it.
func (g *dot) next(n reg.GPVirtual, loop, done string) {
	g.ADDQ(operand.I32(int32(g.step())), g.w.p)
	if g.blocks != nil {
		g.ADDQ(operand.I32(actGroup), g.blocks)
	}
	g.ADDQ(operand.I32(actGroup), g.lanes)
	g.DECQ(n)
	g.JZ(operand.LabelRef(done))
	if g.f.sub == 1 {
		g.CMPQ(n, imm(1))
		g.JNE(operand.LabelRef(loop))
		by := g.GP64()
		g.Load(g.Param("back"), by)
		g.SUBQ(by, g.w.p)
	}
	g.JMP(operand.LabelRef(loop))
}

// step is the number of bytes of a group.
func (g *dot) step() int { return g.f.bytes * groupBlocks / g.f.sub }

// ask asks for the lines of a group ahead.
func (g *dot) ask() {
	if !g.asks {
		return
	}
	for at := 0; at < g.step(); at += 64 {
		g.PREFETCHT1(operand.Mem{Base: g.w.p, Disp: nearAhead + at})
	}
}

// touchPages asks for a line of every page up to farAhead behind w; touch is where it has got to. A kernel that leaves the rest to
// the processor does not have them in the first level, where they would look like a stream of their own.
func (g *dot) touchPages(w, touch reg.GPVirtual) {
	e, prefetch := g.emitter, g.PREFETCHT0
	if !g.asks {
		prefetch = g.PREFETCHT1
	}
	again, done := e.label("touch"), e.label("touched")
	end := e.GP64()
	e.LEAQ(operand.Mem{Base: w, Disp: farAhead}, end)
	e.Label(again)
	e.CMPQ(touch, end)
	e.JGE(operand.LabelRef(done))
	prefetch(operand.Mem{Base: touch})
	e.ADDQ(operand.I32(4096), touch)
	e.JMP(operand.LabelRef(again))
	e.Label(done)
}

// addLanes adds the 8 lanes of each of 8 vectors at m, from the first on: lane i of the result is vector i's sum.
func (e *emitter) addLanes(m operand.Mem) vec {
	half := func(first int) [4]vec {
		var t [4]vec
		for i := range t {
			t[i] = e.load(m.Offset(32 * (first + i)))
		}
		return e.transpose4(t)
	}
	a, b := half(0), half(4) // lane k and lane k+4 of vectors 0-3, and of 4-7
	sum := e.zero()
	for _, part := range []uint8{0x20, 0x31} {
		for k := range a {
			t := e.YMM()
			e.VPERM2F128(operand.U8(part), b[k], a[k], t)
			e.VADDPS(t, sum, sum)
		}
	}
	return sum
}

// openGroup is a group that is multiplied, and not added to the sums yet.
type openGroup struct {
	dotSink
	sums [][]vec                // partial integer sums, for each activation row
	end  func(sums []vec) []vec // adds them up to a lane for each block: one vector, or one for each 16 values
}

// vectors are the registers that o holds.
func (o *openGroup) vectors() []*vec {
	var all []*vec
	for _, s := range o.sums {
		for i := range s {
			all = append(all, &s[i])
		}
	}
	for _, v := range []*vec{&o.d, &o.m[0], &o.m[1], &o.pairs} {
		if *v != nil {
			all = append(all, v)
		}
	}
	return all
}

// open multiplies a group.
func (g *dot) open() *openGroup {
	o := &openGroup{}
	g.heads = &heads{pairs: g.f.kind == kindMin}
	o.sums, o.end = g.sums()
	return o
}

// scales reads the scales of a group.
func (g *dot) scales(o *openGroup) {
	switch {
	case g.headed():
		g.heads.scales(g.emitter, &o.dotSink)
	case g.f.row != nil:
		g.f.row(g.emitter, g.w.p, &o.dotSink)
	default:
		g.f.header(g.emitter, g.w, &o.dotSink)
	}
}

// close adds a group to the sums; its lanes are at bytes behind those of g.
func (g *dot) close(o *openGroup, at int) {
	scale := g.scaler(&o.dotSink, at)
	for j := range o.sums {
		g.accumulate(&o.dotSink, j, at, scale(j, o.end(o.sums[j])))
	}
}

// scaledWords tells that the sums of 16 fit words, so that scaling them is soon done.
func (f *format) scaledWords() bool { return f.halved() && 16*127*f.top <= 32767 }

// scaler returns what corrects the sums of activation row j for the offset of the weights and applies integer scales.
func (g *dot) scaler(s *dotSink, at int) func(j int, sums []vec) vec {
	e := g.emitter
	shift, corrected := g.f.offset(e.vnni)
	correct := func(j, place int, sum vec) {
		m := g.act(g.lanes, j, at+place)
		switch {
		case !corrected:
		case e.evex: // the low words have all of a sum of activations
			e.VPDPWSSD(m, g.factor, sum)
		default:
			c := e.load(m)
			e.VPSLLD(imm(shift), c, c)
			e.VPADDD(c, sum, sum)
		}
	}
	if !g.f.halved() {
		return func(j int, sums []vec) vec {
			correct(j, laneNegSum, sums[0])
			return sums[0]
		}
	}
	var scales [2]vec
	if !g.f.scaledWords() {
		scales = e.wordPairs(s.pairs)
	}
	return func(j int, sums []vec) vec {
		for i, sum := range sums {
			correct(j, laneNeg16+32*i, sum)
		}
		if g.f.kind == kindMin2 {
			e.VPACKSSDW(sums[1], sums[0], sums[0])
			e.VPMADDWD(s.pairs, sums[0], sums[0])
			e.VPSRAVD(g.down, sums[0], sums[0])
			return sums[0]
		}
		if g.f.scaledWords() {
			e.VPSLLD(imm(16), sums[1], sums[1])
			e.VPBLENDW(imm(0xaa), sums[1], sums[0], sums[0])
			e.VPMADDWD(s.pairs, sums[0], sums[0])
			return sums[0]
		}
		for i, sum := range sums {
			e.VPMULLD(scales[i], sum, sum)
		}
		e.VPADDD(sums[1], sums[0], sums[0])
		return sums[0]
	}
}

func (g *dot) accumulate(s *dotSink, j, at int, sum vec) {
	e := g.emitter
	e.VCVTDQ2PS(sum, sum)
	d := e.YMM()
	e.VMULPS(g.act(g.lanes, j, at+laneScale), s.d, d)
	e.VFMADD231PS(sum, d, g.acc[j])
	switch {
	case g.f.kind == kindMin && g.f.row == nil:
		e.VFMADD231PS(g.act(g.lanes, j, at+laneDSum), s.m[0], g.acc[j])
	case g.f.kind == kindMin:
		e.VFNMADD231PS(g.act(g.lanes, j, at+laneDSum), s.m[0], g.acc[j])
	case g.f.kind == kindMin2:
		for half := range 2 {
			e.VFNMADD231PS(g.act(g.lanes, j, at+laneDSum16+32*half), s.m[half], g.acc[j])
		}
	}
}

// blockBytes is the distance of the bytes of neighbouring blocks, where they do not share bytes.
func (f *format) blockBytes() int {
	if f.sub > 1 {
		return 16
	}
	return f.bytes
}

// oddShift is how many bits the values of blocks 1, 3, 5 and 7 are too large when a format of kindMin2 is multiplied: they stand
// above those of other blocks, and moving a sum down is cheaper. The sums of 16 still fit words.
const oddShift = 2

// most is the largest value that is multiplied.
func (f *format) most() int {
	if f.kind == kindMin2 {
		return f.top << oddShift
	}
	return f.top
}

// products is how many products of a weight and an activation a lane has when the tree begins.
func (f *format) products() int {
	if f.nibbles != nil || f.quarter != nil && !f.halved() {
		return 8
	}
	return 4
}

// inOrder tells that the kernels read the activations' blocks, not their pairs.
func (f *format) inOrder() bool { return f.nibbles == nil && f.quarter == nil }

// sums begins the integer sums of the 8 blocks; see openGroup.
func (g *dot) sums() (sums [][]vec, end func(sums []vec) []vec) {
	e, f := g.emitter, g.f
	add := g.adder()
	last := func(pair []vec) vec {
		add(pair[1], pair[0], 1)
		return pair[0]
	}
	switch {
	case f.kind == kindMin2: // halves next to each other, as their scales are
		r := e.rowPieces(g.w.p)
		next := func(i int) []vec { return g.multiplyQuarters(r, i/2, i%2) }
		first, second := g.quads(0, next, add), g.quads(4, next, add)
		for j := range first {
			sums = append(sums, []vec{last(first[j]), last(second[j])})
		}
		return sums, func(sums []vec) []vec { return sums }
	case f.quarter != nil && f.halved():
		r, sums := e.rowPieces(g.w.p), make([][]vec, g.rows)
		for h := range 2 {
			for j, pair := range g.quads(0, func(i int) []vec { return g.multiplyQuarters(r, i, h) }, add) {
				sums[j] = append(sums[j], last(pair))
			}
		}
		return sums, func(sums []vec) []vec { return sums }
	case f.quarter != nil:
		r := e.rowPieces(g.w.p)
		sums = g.quads(0, func(i int) []vec { return g.multiplyQuarters(r, i, 0, 1) }, add)
		return sums, func(pair []vec) []vec { return []vec{last(pair)} }
	case f.nibbles != nil:
		// Part i of the activations' pairs has blocks i and i+4, as the weights are loaded.
		sums = g.quads(0, func(i int) []vec {
			p, place := e.piece(g.w, i), lanePairs+64*i
			if f.sized != nil && !e.vnni {
				size, sign := f.sized(e, p, 0)
				return g.multiplySized(size, sign, place)
			}
			if g.headed() {
				lo, hi, head := f.headed(e, p)
				g.heads.add(e, head)
				return g.multiplyPair(lo, hi, place)
			}
			lo, hi := f.pair(e, p, 0)
			return g.multiplyPair(lo, hi, place)
		}, add)
		return sums, func(pair []vec) []vec { return []vec{last(pair)} }
	}
	next := func(i int) []vec { return g.multiplyBlock(f.bytes32(e, g.w, 0, i), g.blocks, actBlock*i) }
	first, second := g.quads(0, next, add), g.quads(4, next, add)
	for j := range first {
		sums = append(sums, []vec{last(first[j]), last(second[j])})
	}
	return sums, func(halves []vec) []vec {
		a, b := e.split(treeHalves{halves[0], halves[1]})
		e.VPADDD(b, a, a)
		return []vec{a}
	}
}

// headed tells that the scales are taken from the heads of blocks.
func (g *dot) headed() bool { return g.f.headed != nil && !g.evex }

// inWords tells that AVX2 adds words at level 0, since these can hold what a lane sums there.
func (g *dot) inWords() bool {
	return !g.vnni && !g.f.signed && g.f.most()*127*g.f.products() <= 32767
}

// adder adds neighbours: see addInt.
func (g *dot) adder() func(b, a vec, level int) {
	e := g.emitter
	add := e.addInt(g.f.most(), g.f.products(), g.ones)
	if !g.inWords() {
		return add
	}
	longer := g.f.most()*127*g.f.products()<<1 <= 32767 // words hold the sums of level 1 too
	return func(b, a vec, level int) {
		t := e.YMM()
		switch {
		case level == 0:
			e.VPBLENDD(imm(0xcc), b, a, t)
			e.VSHUFPD(imm(5), b, a, a)
		case longer:
			e.VSHUFPS(imm(0x88), b, a, t)
			e.VSHUFPS(imm(0xdd), b, a, a)
		default:
			add(b, a, level)
			return
		}
		e.VPADDW(t, a, a)
		if level > 0 || !longer {
			e.VPMADDWD(g.ones, a, a)
		}
	}
}

// quads adds the partial sums of four vectors, first to first+3, to two for every activation row.
func (g *dot) quads(first int, next func(i int) []vec, add func(b, a vec, level int)) [][]vec {
	pairs := make([][]vec, g.rows)
	for i := first; i < first+4; i += 2 {
		a := next(i)
		for j, v := range next(i + 1) {
			add(v, a[j], 0)
			pairs[j] = append(pairs[j], a[j])
		}
	}
	return pairs
}

// multiplyBlock multiplies w with the 32 bytes of activations at disp. The last activation row may take w's register.
func (g *dot) multiplyBlock(w vec, base reg.GPVirtual, disp int) []vec {
	e := g.emitter
	out := make([]vec, g.rows)
	for j := range out {
		act := g.act(base, j, disp)
		if e.vnni {
			out[j] = e.zero()
			e.dpbusd(act, w, out[j])
			continue
		}
		out[j] = g.multiply(w, act)
		if !g.inWords() {
			e.VPMADDWD(g.ones, out[j], out[j])
		}
	}
	return out
}

// multiplyPair does the same for the low and high halves of pairs of blocks.
func (g *dot) multiplyPair(lo, hi vec, disp int) []vec {
	e := g.emitter
	out := make([]vec, g.rows)
	for j := range out {
		first, second := g.act(g.lanes, j, disp), g.act(g.lanes, j, disp+32)
		if e.vnni {
			out[j] = e.zero()
			e.dpbusd(first, lo, out[j])
			e.dpbusd(second, hi, out[j])
			continue
		}
		a, b := g.multiply(lo, first), g.multiply(hi, second)
		if g.f.signed { // two sums of two products, each up to 32512
			e.VPMADDWD(g.ones, a, a)
			e.VPMADDWD(g.ones, b, b)
			e.VPADDD(b, a, a)
		} else {
			e.VPADDW(b, a, a)
			if !g.inWords() {
				e.VPMADDWD(g.ones, a, a)
			}
		}
		out[j] = a
	}
	return out
}

// multiplySized does so for sizes and signs.
func (g *dot) multiplySized(size, sign [2]vec, disp int) []vec {
	e := g.emitter
	out := make([]vec, g.rows)
	for j := range out {
		for h := range size {
			a := e.load(g.act(g.lanes, j, disp+32*h))
			e.VPSIGNB(sign[h], a, a)
			e.VPMADDUBSW(a, size[h], a)
			e.VPMADDWD(g.ones, a, a)
			if h == 0 {
				out[j] = a
			} else {
				e.VPADDD(a, out[j], out[j])
			}
		}
	}
	return out
}

// dpbusd multiplies w with activations in memory. The VEX form of AVX-VNNI is encoded for registers alone.
func (e *emitter) dpbusd(act operand.Mem, w, sum vec) {
	if e.evex {
		e.VPDPBUSD(act, w, sum)
	} else {
		e.VPDPBUSD(e.load(act), w, sum)
	}
}

// multiply gives sums of two products in int16. Signed weights take |w| * (a with the sign of w); |w| may be 128, which is
// right as an unsigned byte.
func (g *dot) multiply(w vec, act operand.Mem) vec {
	e, p := g.emitter, g.YMM()
	if !g.f.signed {
		e.VPMADDUBSW(act, w, p)
		return p
	}
	a := e.load(act)
	e.VPSIGNB(w, a, a)
	e.VPABSB(w, p)
	e.VPMADDUBSW(a, p, p)
	return p
}

func (e *emitter) onesWords() operand.Mem { return e.dwords("onesWords", 0x00010001) }
