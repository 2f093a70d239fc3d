package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/mmcloughlin/avo/x86"
)

// Offsets inside one activation block; the same numbers stand in acts.go.
const (
	actBlock  = 64 // bytes of a block
	actScale  = 32 // d, float32
	actDSum   = 36 // d * sum of q, float32
	actNegSum = 40 // -(sum of q), int32
	actNegPr  = 44 // -(sum of q[0:16]), -(sum of q[16:32]), int16 each
	actNeg16  = 48 // the same two as int32
	actDSum16 = 56 // d * sum of q[0:16], d * sum of q[16:32], float32 each

	// And of a group of 8 blocks: what the blocks have, as vectors.
	groupBlocks = 8
	actGroup    = 512
	laneScale   = 0
	laneDSum    = 32
	laneNegSum  = 64
	laneNeg16   = 96
	laneDSum16  = 160
	lanePairs   = 256
)

// groupRows is the number of weight rows that a kernel takes at once: the lanes of an AVX2 vector.
const groupRows = 8

// emitter is an avo context with the few parts that kernels share.
type emitter struct {
	*build.Context
	vnni   bool                  // the kernel being written may use VPDPBUSD
	evex   bool                  // and in the form of AVX-512
	wide   bool                  // and has vectors of 512 bits; then 16 weight rows stand where AVX2 has 8
	pins   map[string]operand.Op // see pin
	labels int
	data   map[string]operand.Mem
}

type ymm = reg.VecVirtual

// vec is a vector register of the kernel's width.
type vec = reg.VecVirtual

func (e *emitter) vec() vec {
	if e.wide {
		return e.ZMM()
	}
	return e.YMM()
}

// size is the number of bytes of a vector.
func (e *emitter) size() int { return 16 * e.lanes() }

// groupRows is the number of weight rows that a kernel takes at once.
func (e *emitter) groupRows() int {
	if e.wide {
		return 16
	}
	return groupRows
}

// lanes is the number of 128-bit lanes of a vector: as many rows as share one when 16 bytes of each are loaded.
func (e *emitter) lanes() int {
	if e.wide {
		return 4
	}
	return 2
}

func imm(v int) operand.Constant { return operand.U8(uint8(v)) }

// label returns a name unique in the file.
func (e *emitter) label(base string) string {
	e.labels++
	return fmt.Sprintf("%s%d", base, e.labels)
}

// constant returns 32 bytes of read-only data, twice the same 32 for wide vectors.
func (e *emitter) constant(name string, b [32]byte) operand.Mem {
	if m, ok := e.data[name]; ok {
		return m
	}
	if e.data == nil {
		e.data = map[string]operand.Mem{}
	}
	m := e.StaticGlobal(name)
	e.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := 0; i < e.size(); i += 8 {
		var v uint64
		for j := 7; j >= 0; j-- {
			v = v<<8 | uint64(b[i%32+j])
		}
		e.AddDatum(i, operand.U64(v))
	}
	e.data[name] = m
	return m
}

// bytes8 is a constant whose every byte is v, dwords one whose every dword is v.
func (e *emitter) bytes8(name string, v byte) operand.Mem {
	var b [32]byte
	for i := range b {
		b[i] = v
	}
	return e.constant(name, b)
}

func (e *emitter) dwords(name string, v uint32) operand.Mem {
	var d [8]uint32
	for i := range d {
		d[i] = v
	}
	return e.dwordList(name, d)
}

func (e *emitter) dwordList(name string, v [8]uint32) operand.Mem {
	var b [32]byte
	for i := range b {
		b[i] = byte(v[i/4] >> (8 * (i % 4)))
	}
	return e.constant(name, b)
}

// load brings a vector of memory into a register.
func (e *emitter) load(m operand.Mem) vec {
	v := e.vec()
	if e.wide {
		e.VMOVDQU32(m, v)
	} else {
		e.VMOVDQU(m, v)
	}
	return v
}

func (e *emitter) store(v vec, m operand.Mem) {
	if e.wide {
		e.VMOVDQU32(v, m)
	} else {
		e.VMOVDQU(v, m)
	}
}

// keep is m in a register where there are enough of them, else m itself.
func (e *emitter) keep(m operand.Mem) operand.Op {
	if e.wide {
		return e.load(m)
	}
	return e.pin(m)
}

// pin is the constant m in one of the registers that AVX-512 has more of than AVX2, where it is written for AVX-512, else m
// itself. Only what has an EVEX form takes these. A function begins with no pins.
func (e *emitter) pin(m operand.Mem) operand.Op {
	if !e.evex {
		return m
	}
	v, ok := e.pins[m.Symbol.Name]
	if !ok {
		v = highRegisters[len(e.pins)]
		e.VMOVDQU32(m, v)
		e.pins[m.Symbol.Name] = v
	}
	return v
}

var highRegisters = []reg.VecPhysical{reg.Y16, reg.Y17, reg.Y18, reg.Y19, reg.Y20, reg.Y21, reg.Y22, reg.Y23, reg.Y24, reg.Y25,
	reg.Y26, reg.Y27, reg.Y28, reg.Y29, reg.Y30, reg.Y31}

// pinned is the same for what should be in a register in any case.
func (e *emitter) pinned(m operand.Mem) operand.Op {
	if e.evex {
		return e.pin(m)
	}
	return e.load(m)
}

func (e *emitter) zero() vec {
	v := e.vec()
	if !e.wide {
		e.VPXOR(v, v, v)
		return v
	}
	i, err := x86.VPXORD(v, v, v)
	if err != nil {
		panic(err)
	}
	i.CancellingInputs = true // avo does not know that of VPXORD, and would keep v alive from the start of the function
	e.Instruction(i)
	return v
}

// and, or and xor are the bit operations, whose names differ between AVX2 and AVX-512.
func (e *emitter) and(a operand.Op, b, to vec) {
	if _, pinned := a.(reg.VecPhysical); pinned || e.wide {
		e.VPANDD(a, b, to)
	} else {
		e.VPAND(a, b, to)
	}
}

func (e *emitter) or(a operand.Op, b, to vec) {
	if e.wide {
		e.VPORD(a, b, to)
	} else {
		e.VPOR(a, b, to)
	}
}

func (e *emitter) xor(a operand.Op, b, to vec) {
	if e.wide {
		e.VPXORD(a, b, to)
	} else {
		e.VPXOR(a, b, to)
	}
}

// negate changes the sign of floats.
func (e *emitter) negate(v vec) {
	if e.wide {
		e.VPXORD(e.dwords("floatSign", 1<<31), v, v)
	} else {
		e.VXORPS(e.dwords("floatSign", 1<<31), v, v)
	}
}

// addresses tells where the bytes at disp of the i-th of 8 or 16 things begin: of weight rows, or of a row's blocks.
type addresses interface {
	at(i, disp int) operand.Mem
}

// rows addresses 8 weight rows that lie rb bytes apart, with two pointers and two strides; in a wide kernel high has 8 more.
type rows struct {
	p, q, rb, rb3 reg.GPVirtual
	high          *rows
}

func (r rows) at(i, disp int) operand.Mem {
	if i >= 8 {
		return r.high.at(i-8, disp)
	}
	m := operand.Mem{Base: r.p, Disp: disp, Scale: 1}
	switch i {
	case 1:
		m.Index = r.rb
	case 2:
		m.Index, m.Scale = r.rb, 2
	case 3:
		m.Base = r.q
	case 4:
		m.Index, m.Scale = r.rb, 4
	case 5:
		m.Base, m.Index, m.Scale = r.q, r.rb, 2
	case 6:
		m.Index, m.Scale = r.rb3, 2
	case 7:
		m.Base, m.Index, m.Scale = r.q, r.rb, 4
	}
	return m
}

// skip makes to the address behind the rows that begin at w.
func (e *emitter) skip(r rows, w, to reg.GPVirtual) {
	e.LEAQ(operand.Mem{Base: w, Index: r.rb, Scale: 8}, to)
	if e.wide {
		e.LEAQ(operand.Mem{Base: to, Index: r.rb, Scale: 8}, to)
	}
}

// start points r at the rows that begin at w.
func (e *emitter) start(r rows, w reg.Register) {
	e.MOVQ(w, r.p)
	e.LEAQ(operand.Mem{Base: r.p, Index: r.rb3, Scale: 1}, r.q)
	if r.high != nil {
		e.LEAQ(operand.Mem{Base: r.p, Index: r.rb, Scale: 8}, r.high.p)
		e.LEAQ(operand.Mem{Base: r.q, Index: r.rb, Scale: 8}, r.high.q)
	}
}

// newRows reserves the registers and loads the stride.
func (e *emitter) newRows() rows {
	r := rows{p: e.GP64(), q: e.GP64(), rb: e.GP64(), rb3: e.GP64()}
	if e.wide {
		r.high = &rows{p: e.GP64(), q: e.GP64(), rb: r.rb, rb3: r.rb3}
	}
	e.Load(e.Param("rowBytes"), r.rb)
	e.LEAQ(operand.Mem{Base: r.rb, Index: r.rb, Scale: 2}, r.rb3)
	return r
}

// fourRows addresses rows 0 to 3 that lie stride apart from p on; third is three strides.
func fourRows(p, stride, third reg.GPVirtual) func(i, disp int) operand.Mem {
	return func(i, disp int) operand.Mem {
		m := operand.Mem{Base: p, Disp: disp}
		switch i {
		case 1, 2:
			m.Index, m.Scale = stride, uint8(i)
		case 3:
			m.Index, m.Scale = third, 1
		}
		return m
	}
}

// laneRows loads the 16 bytes at disp of rows i, i+4, ... into the lanes of a vector.
func (e *emitter) laneRows(r addresses, i, disp int) vec {
	v := e.vec()
	e.loadLane(r.at(i, disp), v)
	if !e.wide {
		e.VINSERTI128(imm(1), r.at(i+4, disp), v, v)
		return v
	}
	// Two vectors of 256 bits and one insertion between them cost Zen 4 less than three insertions into 512 bits.
	high := e.YMM()
	e.VINSERTI32X4(imm(1), r.at(i+4, disp), v.AsY(), v.AsY())
	e.loadLane(r.at(i+8, disp), high)
	e.VINSERTI32X4(imm(1), r.at(i+12, disp), high, high)
	e.VINSERTI64X4(imm(1), high, v, v)
	return v
}

// loadLane loads 16 bytes into the first lane of v and clears the others, which avo must be told: it would keep the rest of v
// alive from before.
func (e *emitter) loadLane(m operand.Mem, v vec) {
	if e.wide {
		e.whole(v)(x86.VMOVDQU32(m, v.AsX()))
	} else {
		e.whole(v)(x86.VMOVDQU(m, v.AsX()))
	}
}

// whole adds an instruction that writes all of v, whatever its operands say.
func (e *emitter) whole(v vec) func(*ir.Instruction, error) {
	return func(i *ir.Instruction, err error) {
		if err != nil {
			panic(err)
		}
		i.Outputs = []operand.Op{v}
		e.Instruction(i)
	}
}

func (e *emitter) advance(r rows, n int) {
	e.ADDQ(operand.I32(int32(n)), r.p)
	e.ADDQ(operand.I32(int32(n)), r.q)
	if r.high != nil {
		e.advance(*r.high, n)
	}
}

// ahead asks for the rows after those that a kernel is working on, which lie behind them in one straight line: the hardware's
// own prefetching does not see that behind 8 or 16 short streams. It asks into the second-level cache, since two groups of
// rows need not fit the first, and evenly over a step, since misses that come all at once hold up the loads behind them.
// Asking beyond the mapped memory does no harm.
type ahead struct {
	e     *emitter
	bytes int         // of a row in a step
	parts int         // that a step is asked for in
	next  operand.Mem // where to ask, in the frame
	asked int         // lines in this step
}

// newAhead begins behind the rows r that start at w; it changes w. A step takes so many bytes of each row, in parts.
func (e *emitter) newAhead(r rows, w reg.GPVirtual, bytes, parts int) *ahead {
	a := &ahead{e: e, bytes: bytes, parts: parts, next: e.AllocLocal(8)}
	e.skip(r, w, w)
	e.MOVQ(w, a.next)
	return a
}

func (a *ahead) begin() { a.asked = 0 }

// ask asks for what corresponds to the parts before b of the step. Once a step it touches something far ahead too,
// as the dot kernels do.
func (a *ahead) ask(b int) {
	p, first := a.e.GP64(), a.asked
	lines := (a.e.groupRows()*a.bytes + 63) / 64
	a.e.MOVQ(a.next, p)
	for ; a.asked < lines*b/a.parts; a.asked++ {
		a.e.PREFETCHT1(operand.Mem{Base: p, Disp: 64 * a.asked})
	}
	if first == 0 {
		a.e.PREFETCHT1(operand.Mem{Base: p, Disp: farAhead})
	}
}

// end goes on to the next step.
func (a *ahead) end() {
	a.e.ADDQ(operand.I32(int32(a.e.groupRows()*a.bytes)), a.next)
}

// gather collects the dword at disp of each row: lane i holds row i's.
func (e *emitter) gather(r addresses, disp int) vec {
	v := e.vec()
	if !e.wide {
		e.VPBROADCASTD(r.at(0, disp), v)
		for i := 1; i < 8; i++ {
			t := e.YMM()
			e.VPBROADCASTD(r.at(i, disp), t)
			e.VPBLENDD(imm(1<<i), t, v, v)
		}
		return v
	}
	// Four rows to a lane, then the lanes together.
	var x [4]vec
	for l := range x {
		x[l] = e.ZMM()
		e.whole(x[l])(x86.VMOVD(r.at(4*l, disp), x[l].AsX()))
		for i := 1; i < 4; i++ {
			e.VPINSRD(imm(i), r.at(4*l+i, disp), x[l].AsX(), x[l].AsX())
		}
	}
	e.VINSERTI32X4(imm(1), x[1].AsX(), x[0].AsY(), x[0].AsY())
	e.VINSERTI32X4(imm(1), x[3].AsX(), x[2].AsY(), x[2].AsY())
	e.VINSERTI64X4(imm(1), x[2].AsY(), x[0], v)
	return v
}

// gather16 collects the 16 bytes at disp of each row: lane i of vector j holds dword j of row i.
func (e *emitter) gather16(r addresses, disp int) [4]vec {
	var t [4]vec
	for i := range t {
		t[i] = e.laneRows(r, i, disp)
	}
	return e.transpose4(t)
}

// transpose4 transposes 4x4 dwords in each 128-bit lane.
func (e *emitter) transpose4(t [4]vec) [4]vec {
	a, b, c, d := e.vec(), e.vec(), e.vec(), e.vec()
	e.VPUNPCKLDQ(t[1], t[0], a)
	e.VPUNPCKHDQ(t[1], t[0], b)
	e.VPUNPCKLDQ(t[3], t[2], c)
	e.VPUNPCKHDQ(t[3], t[2], d)
	o := [4]vec{e.vec(), e.vec(), e.vec(), e.vec()}
	e.VPUNPCKLQDQ(c, a, o[0])
	e.VPUNPCKHQDQ(c, a, o[1])
	e.VPUNPCKLQDQ(d, b, o[2])
	e.VPUNPCKHQDQ(d, b, o[3])
	return o
}

// halves converts the float16 in the low word of every dword, and where wanted the one in the high word.
func (e *emitter) halves(v vec, high bool) (lo, hi vec) {
	if e.wide {
		return e.halvesWide(v, high)
	}
	a, b := e.YMM(), e.YMM()
	e.VPBLENDW(imm(0xaa), e.zero(), v, a)
	if high {
		e.VPSRLD(imm(16), v, b)
		e.VPACKUSDW(b, a, a)
	} else {
		e.VPACKUSDW(a, a, a)
	}
	e.VPERMQ(imm(0xd8), a, a)
	lo = e.YMM()
	e.VCVTPH2PS(a.AsX(), lo)
	if high {
		hi = e.YMM()
		x := e.XMM()
		e.VEXTRACTI128(imm(1), a, x)
		e.VCVTPH2PS(x, hi)
	}
	return lo, hi
}

func (e *emitter) halvesWide(v vec, high bool) (lo, hi vec) {
	words := e.YMM()
	lo = e.ZMM()
	e.VPMOVDW(v, words)
	e.VCVTPH2PS(words, lo)
	if high {
		t := e.ZMM()
		words, hi = e.YMM(), e.ZMM()
		e.VPSRLD(imm(16), v, t)
		e.VPMOVDW(t, words)
		e.VCVTPH2PS(words, hi)
	}
	return lo, hi
}

// treeHalves are sums of 8 rows: a has rows 0-3, b rows 4-7, each over the first half of k in the low 128 bits and over the
// second in the high.
type treeHalves struct{ a, b ymm }

// tree adds the partial sums of 8 rows; next returns row i's, lanes 0-3 for the first half of k and 4-7 for the second.
// add(b, a, level) leaves in a the sums of neighbouring lanes: a's in the low and b's in the high half of each 128 bits.
func (e *emitter) tree(next func(i int) ymm, add func(b, a ymm, level int)) treeHalves {
	return treeHalves{e.quad(func(i int) ymm { return next(i) }, add), e.quad(func(i int) ymm { return next(i + 4) }, add)}
}

// quad is the same for 4 vectors, without any order of lanes but that of 128 bits.
func (e *emitter) quad(next func(i int) ymm, add func(b, a ymm, level int)) ymm {
	var pair [2]ymm
	for j := range pair {
		pair[j] = next(2 * j)
		add(next(2*j+1), pair[j], 0)
	}
	add(pair[1], pair[0], 1)
	return pair[0]
}

// addInt adds neighbours among int32. While all fit int16, packing and VPMADDWD are cheaper than addPairs; products is
// how many products of a weight up to top and an activation a lane of level 0 has summed.
func (e *emitter) addInt(top, products int, ones operand.Op) func(b, a ymm, level int) {
	return func(b, a vec, level int) {
		if top*127*products<<level > 32767 {
			e.addPairs(b, a)
			return
		}
		e.VPACKSSDW(b, a, a)
		e.VPMADDWD(ones, a, a)
	}
}

// addPairs does what VPHADDD does in as many operations, of which Zen 4 takes three in a cycle, and a VPHADDD in two cycles.
func (e *emitter) addPairs(b, a vec) {
	odd := e.vec()
	e.VSHUFPS(imm(0xdd), b, a, odd)
	e.VSHUFPS(imm(0x88), b, a, a)
	e.VPADDD(odd, a, a)
}

func (e *emitter) addFloat(b, a ymm, _ int) { e.VHADDPS(b, a, a) }

// split returns the two halves' sums in row order, and is what formats with 16-wide scales need.
func (e *emitter) split(t treeHalves) (first, second ymm) {
	first, second = e.YMM(), e.YMM()
	e.VPERM2I128(imm(0x20), t.b, t.a, first)
	e.VPERM2I128(imm(0x31), t.b, t.a, second)
	return first, second
}

// frame is memory of a kernel for vectors, aligned for them.
type frame struct {
	e    *emitter
	base operand.Mem
	used int
}

// newFrame reserves room for n vectors.
func (e *emitter) newFrame(n int) *frame {
	f := &frame{e: e}
	if n == 0 {
		return f
	}
	if !e.wide {
		f.base = e.AllocLocal(32 * n)
		return f
	}
	base := e.GP64()
	e.LEAQ(e.AllocLocal(64*n+64).Offset(63), base)
	e.ANDQ(operand.I32(-64), base)
	f.base = operand.Mem{Base: base}
	return f
}

// take gives room for n vectors.
func (f *frame) take(n int) operand.Mem {
	m := f.base.Offset(f.used)
	f.used += n * f.e.size()
	return m
}
