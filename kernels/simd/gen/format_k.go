package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The K formats: super-blocks of 256 = 8 blocks of 32. Q4_K and Q5_K have a 6-bit scale and minimum a block, Q2_K 4-bit
// ones for 16 values, Q3_K a 6-bit and Q6_K an 8-bit scale for 16. The 16 bytes that hold the scales are read for 8 rows at
// once and transposed, so that the scales of a block are one shift and one mask away for all 8 rows.
func kFormats() []*format {
	return []*format{formatQ2K(), formatQ3K(), formatQ4K(), formatQ5K(), formatQ6K()}
}

// byteOf returns byte n of every dword as an int32.
func (e *emitter) byteOf(v vec, n int) vec {
	o := e.vec()
	if n == 3 {
		e.VPSRLD(imm(24), v, o)
		return o
	}
	e.VPSLLD(imm(24-8*n), v, o)
	e.VPSRLD(imm(24), o, o)
	return o
}

func (e *emitter) signedByteOf(v vec, n int) vec {
	o := e.vec()
	if n == 3 {
		e.VPSRAD(imm(24), v, o)
		return o
	}
	e.VPSLLD(imm(24-8*n), v, o)
	e.VPSRAD(imm(24), o, o)
	return o
}

// maskShift returns v >> n (n < 0: << -n) with the bits of m kept. Words are shifted, so m must drop what crosses bytes.
func (e *emitter) maskShift(v operand.Op, n int, m operand.Op) vec {
	o := e.vec()
	if w, ok := v.(vec); ok && n == 0 {
		e.and(m, w, o)
		return o
	}
	if n == 0 {
		kept, ok := m.(vec)
		if !ok {
			kept = e.load(m.(operand.Mem))
		}
		e.and(v, kept, o)
		return o
	}
	if m, ok := v.(operand.Mem); ok {
		e.VMOVDQU(m, o)
		v = o
	}
	if n > 0 {
		e.VPSRLW(imm(n), v, o)
	} else {
		e.VPSLLW(imm(-n), v, o)
	}
	e.and(m, o, o)
	return o
}

// header45 reads d, dmin and the eight pairs of 6-bit scale and minimum that Q4_K and Q5_K share.
func header45(e *emitter, r addresses, s sink) {
	h := e.gather16(r, 0)
	d, dmin := e.halves(h[0], true)
	e.negate(dmin)
	low6, low4, high2 := e.bytes8("low6", 63), e.bytes8("nibbleMask", 15), e.bytes8("bits45", 48)
	pair := func(first, last vec, shift int) [2]vec {
		a, b, c := e.vec(), e.vec(), e.vec()
		e.and(low6, first, a)
		e.VPSRLD(imm(2), first, b)
		e.and(high2, b, b)
		if shift == 0 {
			e.and(low4, last, c)
		} else {
			e.VPSRLD(imm(shift), last, c)
			e.and(low4, c, c)
		}
		e.or(c, b, b)
		return [2]vec{a, b}
	}
	sc := pair(h[1], h[3], 0)
	for b := range 8 {
		v := e.byteOf(sc[b/4], b%4)
		e.VCVTDQ2PS(v, v)
		e.VMULPS(d, v, v)
		s.dw(b, v)
	}
	mn := pair(h[2], h[3], 4)
	for b := range 8 {
		v := e.byteOf(mn[b/4], b%4)
		e.VCVTDQ2PS(v, v)
		e.VMULPS(dmin, v, v)
		s.min(b, 0, v)
	}
}

// halfAt returns the float16 at m in all 8 lanes.
func (e *emitter) halfAt(m operand.Mem) vec {
	v := e.YMM()
	e.VPBROADCASTW(m, v)
	e.VCVTPH2PS(v.AsX(), v)
	return v
}

// halfPair returns the two float16 at m, each in all 8 lanes.
func (e *emitter) halfPair(m operand.Mem) (first, second vec) {
	v, first, second := e.YMM(), e.YMM(), e.YMM()
	e.VPBROADCASTD(m, v.AsX())
	e.VCVTPH2PS(v.AsX(), v)
	e.VMOVSLDUP(v, first)
	e.VMOVSHDUP(v, second)
	return first, second
}

// wordPairs gives the low words of dwords and the high words, both with their sign.
func (e *emitter) wordPairs(v vec) [2]vec {
	low, high := e.YMM(), e.YMM()
	e.VPSLLD(imm(16), v, low)
	e.VPSRAD(imm(16), low, low)
	e.VPSRAD(imm(16), v, high)
	return [2]vec{low, high}
}

// A splice makes words of bit fields that lie anywhere in 16 bytes: word w is the sum of two bytes, each with a mask and then a
// factor, which serves as a shift to the left. A word that would need shifts to the right comes out too large instead.
type splice [16][2]spliceByte

type spliceByte struct {
	at           int
	mask, factor byte
}

// begin loads the splice's constants; what it returns applies it to the 16 bytes at m.
func (p *splice) begin(e *emitter, name string) func(m operand.Mem) vec {
	var orders, masks, factors [32]byte
	for i := range orders {
		b := p[i/2][i%2]
		orders[i], masks[i], factors[i] = byte(b.at), b.mask, b.factor
	}
	order, mask := e.pin(e.constant(name+"Order", orders)), e.pin(e.constant(name+"Mask", masks))
	factor := e.pin(e.constant(name+"Factor", factors))
	return func(m operand.Mem) vec {
		v := e.YMM()
		e.VBROADCASTI128(m, v)
		e.VPSHUFB(order, v, v)
		e.and(mask, v, v)
		e.VPMADDUBSW(factor, v, v)
		return v
	}
}

// splice45 makes 4 times the scale and 16 times the minimum of blocks 0 to 7. The 12 bytes are three dwords S0, S1, S2: scales
// 0-3 are the low 6 bits of S0, minimums 0-3 those of S1; the low halves of S2 and the high 2 bits of S0 make scales 4-7, the
// high halves and those of S1 minimums 4-7.
func splice45() (p splice) {
	for b := range 4 {
		s0, s1, s2 := 4+b, 8+b, 12+b
		p[2*b] = [2]spliceByte{{s0, 0x3f, 4}}
		p[2*b+1] = [2]spliceByte{{s1, 0x3f, 16}}
		p[8+2*b] = [2]spliceByte{{s2, 0x0f, 4}, {s0, 0xc0, 1}}
		p[8+2*b+1] = [2]spliceByte{{s2, 0xf0, 1}, {s1, 0xc0, 4}}
	}
	return p
}

// row45 is header45 for the 8 blocks of one row.
type row45 struct{ words func(operand.Mem) vec }

func (r *row45) begin(e *emitter) {
	table := splice45()
	r.words = table.begin(e, "splice45")
}

func (r *row45) row(e *emitter, p reg.GPVirtual, s *dotSink) {
	scales, mins := r.words(operand.Mem{Base: p}), e.YMM()
	e.VPSRLW(imm(2), scales, scales)
	e.VPSRLD(imm(16+2), scales, mins)
	e.VPBLENDW(imm(0xaa), e.zero(), scales, scales)
	e.VCVTDQ2PS(scales, scales)
	e.VCVTDQ2PS(mins, mins)
	d, dmin := e.halfPair(operand.Mem{Base: p})
	e.VMULPS(d, scales, scales)
	e.VMULPS(dmin, mins, mins)
	s.dw(0, scales)
	s.min(0, 0, mins)
}

func formatQ4K() *format {
	var mask vec
	var low, high operand.Op
	var r row45
	return &format{
		name: "Q4_K", bytes: 144, sub: 8, shared: 2, kind: kindMin, top: 15,
		begin: func(e *emitter) { mask = e.nibbleMask() },
		beginDot: func(e *emitter) {
			r.begin(e)
			low = e.pinned(e.bytes8("nibbleMask", 15))
			if e.vnni {
				high = e.pinned(e.bytes8("highNibble", 0xf0))
			}
		},
		header: header45,
		row:    r.row,
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			return e.maskShift(at(16+b/2*32), b%2*4, mask)
		},
		quarter: func(e *emitter, p *rowPieces, i, h int) (vec, int) {
			v := p.at(16+i/2*32+16*h, 64)
			if i%2 == 1 && e.vnni {
				return e.maskShift(v, 0, high), 4
			}
			return e.maskShift(v, i%2*4, low), 0
		},
	}
}

func formatQ5K() *format {
	var mask vec
	var sixteen, low operand.Op
	var r row45
	var fifth bitTables
	return &format{
		name: "Q5_K", bytes: 176, sub: 8, shared: 2, kind: kindMin, top: 31,
		begin: func(e *emitter) { mask, sixteen = e.nibbleMask(), e.keep(e.bytes8("sixteen", 16)) },
		beginDot: func(e *emitter) {
			r.begin(e)
			low = e.pinned(e.bytes8("nibbleMask", 15))
			fifth.begin(e, "fifth", 4, func(i, n int) int { return n >> i & 1 << 4 })
		},
		header: header45,
		row:    r.row,
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			v := e.maskShift(at(48+b/2*32), b%2*4, mask)
			h := e.maskShift(at(16), b-4, sixteen)
			e.or(h, v, v)
			return v
		},
		quarter: func(e *emitter, p *rowPieces, i, h int) (vec, int) {
			v := p.at(48+i/2*32+16*h, 64)
			if i%2 == 1 {
				t := e.YMM()
				e.VPSRLW(imm(4), v, t)
				v = t
			}
			return e.masked(v, low, fifth.look(e, p, 16+16*h, i)), 0
		},
	}
}

func formatQ6K() *format {
	var low, high vec
	var nibble, bits, even, odd operand.Op
	return &format{
		name: "Q6_K", bytes: 210, sub: 8, shared: 4, kind: kindHalf, top: 63, shift: 5,
		beginDot: func(e *emitter) {
			nibble = e.pinned(e.bytes8("nibbleMask", 15))
			if e.evex {
				even, odd = e.pin(e.bytes8("evenBits", 0x33)), e.pin(e.bytes8("oddBits", 0xcc))
			} else {
				bits = e.load(e.bytes8("bits45", 48))
			}
		},
		begin: func(e *emitter) { low, high = e.nibbleMask(), e.load(e.bytes8("bits45", 48)) },
		header: func(e *emitter, r addresses, s sink) {
			v := e.gather(r, 206)
			e.VPSRLD(imm(16), v, v)
			d, _ := e.halves(v, false)
			for b := range 8 {
				s.dw(b, d)
			}
			h := e.gather16(r, 192)
			for b := range 8 {
				s.scales(b, [2]vec{e.signedByteOf(h[b/2], b%2*2), e.signedByteOf(h[b/2], b%2*2+1)})
			}
		},
		row: func(e *emitter, p reg.GPVirtual, s *dotSink) {
			s.dw(0, e.halfAt(operand.Mem{Base: p, Disp: 208}))
			s.pairs = e.YMM()
			e.VPMOVSXBW(operand.Mem{Base: p, Disp: 192}, s.pairs)
		},
		quarter: func(e *emitter, p *rowPieces, i, h int) (vec, int) {
			n, b := p.at(i%2*32+16*h, 64), p.at(128+16*h, 32)
			if !e.evex {
				n, b = e.maskShift(n, i/2*4, nibble), e.maskShift(b, 2*i-4, bits)
				e.VPOR(b, n, n)
				return n, 0
			}
			// Two bits in every nibble, so that a shift brings zeros above the ones wanted.
			b = p.once(fmt.Sprint("high", h, i%2), func() vec {
				return e.maskShift(b, 0, []operand.Op{even, odd}[i%2])
			})
			v := e.YMM()
			switch i {
			case 0, 1:
				e.VPSLLW(imm(4-2*i), b, v)
				e.VPTERNLOGD(imm(ternOther), nibble, n, v)
			case 2, 3:
				if i == 3 {
					e.VPSRLW(imm(2), b, b)
				}
				e.VPSRLW(imm(4), n, v)
				e.VPTERNLOGD(imm(ternSelect), nibble, b, v)
			}
			return v, 0
		},
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			n, j := b/4, b%4
			v := e.maskShift(at(64*n+j%2*32), j/2*4, low)
			h := e.maskShift(at(128+32*n), 2*j-4, high)
			e.or(h, v, v)
			return v
		},
	}
}

// splice3 makes 32 more than the scales 0 to 7, and 16 times that of scales 8 to 15. Three dwords: the low halves of S0 and S1
// are the low 4 bits of scales 0-7, the high ones those of 8-15, and S2 has 2 bits more of scales n, n+4, n+8 and n+12 in byte n.
// The 12 bytes are the last of the 16.
func splice3() (p splice) {
	for j := range p {
		half := [2]spliceByte{{4 + j%8, 0x0f, 1}, {12 + j%4, 3 << (j / 4 * 2), [4]byte{16, 4, 16, 4}[j/4]}}
		if j >= 8 {
			half[0].mask = 0xf0
		}
		p[j] = half
	}
	return p
}

func formatQ3K() *format {
	var low, four vec
	var pairs, seven, bias operand.Op
	var words func(operand.Mem) vec
	var third bitTables
	return &format{
		name: "Q3_K", bytes: 110, sub: 8, shared: 4, kind: kindHalf, top: 7, shift: 2,
		begin: func(e *emitter) { low, four = e.load(e.bytes8("low2", 3)), e.load(e.bytes8("bit2", 4)) },
		beginDot: func(e *emitter) {
			table := splice3()
			words, bias = table.begin(e, "splice3"), e.pin(e.dwords("wordThirtyTwo", 32<<16|32))
			third.begin(e, "third", 2, func(i, n int) int { return n>>i&1<<2 | n>>(i+2)&1<<6 })
			pairs, seven = e.pinned(e.bytes8("low2s", 0x33)), e.pinned(e.bytes8("low3", 7))
		},
		header: func(e *emitter, r addresses, s sink) {
			// The 12 scale bytes start at 96; reading from 94 stays inside the block. The last dword ends with d.
			h := e.gather16(r, 94)
			top := e.vec()
			e.VPSRLD(imm(16), h[3], top)
			d, _ := e.halves(top, false)
			for b := range 8 {
				s.dw(b, d)
			}
			var a [3]vec
			for j := range a {
				a[j] = e.vec()
				t := e.vec()
				e.VPSRLD(imm(16), h[j], a[j])
				e.VPSLLD(imm(16), h[j+1], t)
				e.or(t, a[j], a[j])
			}
			low4, high2 := e.bytes8("nibbleMask", 15), e.bytes8("bits45", 48)
			for j := range 4 {
				v, t := e.vec(), e.vec()
				if j < 2 {
					e.and(low4, a[j], v)
				} else {
					e.VPSRLD(imm(4), a[j-2], v)
					e.and(low4, v, v)
				}
				if n := 4 - 2*j; n >= 0 {
					e.VPSLLD(imm(n), a[2], t)
				} else {
					e.VPSRLD(imm(-n), a[2], t)
				}
				e.and(high2, t, t)
				e.or(t, v, v)
				e.VPSUBB(e.bytes8("thirtyTwo", 32), v, v)
				for b := 2 * j; b < 2*j+2; b++ {
					s.scales(b, [2]vec{e.signedByteOf(v, b%2*2), e.signedByteOf(v, b%2*2+1)})
				}
			}
		},
		row: func(e *emitter, p reg.GPVirtual, s *dotSink) {
			s.dw(0, e.halfAt(operand.Mem{Base: p, Disp: 108}))
			v := words(operand.Mem{Base: p, Disp: 92})
			e.VPSRLVD(e.dwordList("upperBy4", [8]uint32{4: 4, 5: 4, 6: 4, 7: 4}), v, v)
			e.VPSUBW(bias, v, v)
			s.pairs = v
		},
		quarter: func(e *emitter, p *rowPieces, i, h int) (vec, int) {
			// Two values of 3 bits in every byte, a nibble each.
			two := p.once(fmt.Sprint("two", h, i%2), func() vec {
				v := p.at(32+16*h, 32)
				if i%2 == 1 {
					t := e.YMM()
					e.VPSRLW(imm(2), v, t)
					v = t
				}
				return e.masked(v, pairs, third.look(e, p, 16*h, i%2))
			})
			return e.maskShift(two, i/2*4, seven), 0
		},
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			v := e.maskShift(at(32+b/4*32), b%4*2, low)
			h := e.maskShift(at(0), b-2, four)
			e.or(h, v, v)
			return v
		},
	}
}

func formatQ2K() *format {
	var low vec
	var even, odd, nibble, fifteen operand.Op
	return &format{
		name: "Q2_K", bytes: 84, sub: 8, shared: 4, kind: kindMin2, top: 3,
		beginDot: func(e *emitter) {
			even, odd = e.pin(e.bytes8("low2", 3)), e.pin(e.bytes8("bits23", 3<<oddShift))
			nibble, fifteen = e.pin(e.bytes8("nibbleMask", 15)), e.pin(e.dwords("dwordFifteen", 15))
		},
		begin: func(e *emitter) { low = e.load(e.bytes8("low2", 3)) },
		header: func(e *emitter, r addresses, s sink) {
			d, dmin := e.halves(e.gather(r, 80), true)
			e.negate(dmin)
			for b := range 8 {
				s.dw(b, d)
			}
			h := e.gather16(r, 0)
			low4 := e.bytes8("nibbleMask", 15)
			for j := range 4 {
				sc, mn := e.vec(), e.vec()
				e.and(low4, h[j], sc)
				e.VPSRLD(imm(4), h[j], mn)
				e.and(low4, mn, mn)
				for b := 2 * j; b < 2*j+2; b++ {
					s.scales(b, [2]vec{e.byteOf(sc, b%2*2), e.byteOf(sc, b%2*2+1)})
					for half := range 2 {
						m := e.byteOf(mn, b%2*2+half)
						e.VCVTDQ2PS(m, m)
						e.VMULPS(dmin, m, m)
						s.min(b, half, m)
					}
				}
			}
		},
		row: func(e *emitter, p reg.GPVirtual, s *dotSink) {
			d, dmin := e.halfPair(operand.Mem{Base: p, Disp: 80})
			s.dw(0, d)
			x, v, m := e.YMM(), e.YMM(), [2]vec{e.YMM(), e.YMM()}
			e.VPMOVZXBW(operand.Mem{Base: p}, x)
			e.and(nibble, x, v)
			s.pairs = v
			e.VPSRLD(imm(20), x, m[1])
			e.VPSRLD(imm(4), x, m[0])
			e.and(fifteen, m[0], m[0])
			for half := range m {
				e.VCVTDQ2PS(m[half], m[half])
				e.VMULPS(dmin, m[half], m[half])
				s.min(0, half, m[half])
			}
		},
		quarter: func(e *emitter, p *rowPieces, i, h int) (vec, int) {
			v := p.at(16+16*h, 32)
			if i >= 2 {
				v = p.once(fmt.Sprint("upper", h), func() vec {
					t := e.YMM()
					e.VPSRLW(imm(4), v, t)
					return t
				})
			}
			return e.maskShift(v, 0, []operand.Op{even, odd}[i%2]), 0 // of odd blocks oddShift bits too large
		},
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			return e.maskShift(at(16+b/4*32), b%4*2, low)
		},
	}
}
