package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
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
)

// emitter is an avo context with the few parts that kernels share.
type emitter struct {
	*build.Context
	vnni   bool // the kernel being written may use VPDPBUSD
	labels int
	data   map[string]operand.Mem
}

type ymm = reg.VecVirtual

func imm(v int) operand.Constant { return operand.U8(uint8(v)) }

// label returns a name unique in the file.
func (e *emitter) label(base string) string {
	e.labels++
	return fmt.Sprintf("%s%d", base, e.labels)
}

// constant returns 32 bytes of read-only data.
func (e *emitter) constant(name string, b [32]byte) operand.Mem {
	if m, ok := e.data[name]; ok {
		return m
	}
	if e.data == nil {
		e.data = map[string]operand.Mem{}
	}
	m := e.StaticGlobal(name)
	e.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := 0; i < 32; i += 8 {
		var v uint64
		for j := 7; j >= 0; j-- {
			v = v<<8 | uint64(b[i+j])
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

// load brings a constant into a register.
func (e *emitter) load(m operand.Mem) ymm {
	y := e.YMM()
	e.VMOVDQU(m, y)
	return y
}

func (e *emitter) zero() ymm {
	y := e.YMM()
	e.VPXOR(y, y, y)
	return y
}

// rows addresses 8 weight rows that lie rb bytes apart, with two pointers and two strides.
type rows struct{ p, q, rb, rb3 reg.GPVirtual }

func (r rows) at(i, disp int) operand.Mem {
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

// start points r at the 8 rows that begin at w.
func (e *emitter) start(r rows, w reg.Register) {
	e.MOVQ(w, r.p)
	e.LEAQ(operand.Mem{Base: r.p, Index: r.rb3, Scale: 1}, r.q)
}

// newRows reserves the registers and loads the stride.
func (e *emitter) newRows() rows {
	r := rows{p: e.GP64(), q: e.GP64(), rb: e.GP64(), rb3: e.GP64()}
	e.Load(e.Param("rowBytes"), r.rb)
	e.LEAQ(operand.Mem{Base: r.rb, Index: r.rb, Scale: 2}, r.rb3)
	return r
}

// two loads the 16 bytes at disp of row i into the low and those of row i+4 into the high half.
func (e *emitter) two(r rows, i, disp int) ymm {
	v := e.YMM()
	e.VBROADCASTI128(r.at(i, disp), v) // writes all of v, which a 16-byte load would not in the allocator's eyes
	e.VINSERTI128(imm(1), r.at(i+4, disp), v, v)
	return v
}

func (e *emitter) advance(r rows, n int) {
	e.ADDQ(operand.I32(int32(n)), r.p)
	e.ADDQ(operand.I32(int32(n)), r.q)
}

// gather collects the dword at disp of each row: lane i holds row i's.
func (e *emitter) gather(r rows, disp int) ymm {
	v := e.YMM()
	e.VPBROADCASTD(r.at(0, disp), v)
	for i := 1; i < 8; i++ {
		t := e.YMM()
		e.VPBROADCASTD(r.at(i, disp), t)
		e.VPBLENDD(imm(1<<i), t, v, v)
	}
	return v
}

// gather16 collects the 16 bytes at disp of each row: lane i of vector j holds dword j of row i.
func (e *emitter) gather16(r rows, disp int) [4]ymm {
	var t [4]ymm
	for i := range t {
		t[i] = e.two(r, i, disp)
	}
	return e.transpose4(t)
}

// transpose4 transposes 4x4 dwords in each 128-bit half.
func (e *emitter) transpose4(t [4]ymm) [4]ymm {
	a, b, c, d := e.YMM(), e.YMM(), e.YMM(), e.YMM()
	e.VPUNPCKLDQ(t[1], t[0], a)
	e.VPUNPCKHDQ(t[1], t[0], b)
	e.VPUNPCKLDQ(t[3], t[2], c)
	e.VPUNPCKHDQ(t[3], t[2], d)
	o := [4]ymm{e.YMM(), e.YMM(), e.YMM(), e.YMM()}
	e.VPUNPCKLQDQ(c, a, o[0])
	e.VPUNPCKHQDQ(c, a, o[1])
	e.VPUNPCKLQDQ(d, b, o[2])
	e.VPUNPCKHQDQ(d, b, o[3])
	return o
}

// halves converts the float16 in the low word of every dword, and where wanted the one in the high word.
func (e *emitter) halves(v ymm, high bool) (lo, hi ymm) {
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

// addInt adds neighbours among int32. While all fit int16, packing and VPMADDWD are cheaper than VPHADDD; products is
// how many products of a weight up to top and an activation a lane of level 0 has summed.
func (e *emitter) addInt(top, products int, ones ymm) func(b, a ymm, level int) {
	return func(b, a ymm, level int) {
		if top*127*products<<level > 32767 {
			e.VPHADDD(b, a, a)
			return
		}
		e.VPACKSSDW(b, a, a)
		e.VPMADDWD(ones, a, a)
	}
}

func (e *emitter) addFloat(b, a ymm, _ int) { e.VHADDPS(b, a, a) }

// split returns the two halves' sums in row order, and is what formats with 16-wide scales need.
func (e *emitter) split(t treeHalves) (first, second ymm) {
	first, second = e.YMM(), e.YMM()
	e.VPERM2I128(imm(0x20), t.b, t.a, first)
	e.VPERM2I128(imm(0x31), t.b, t.a, second)
	return first, second
}

// and keeps the bits of m in v.
func (e *emitter) and(m operand.Op, v ymm) { e.VPAND(m, v, v) }
