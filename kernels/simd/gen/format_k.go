package main

import (
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

// load16 loads 16 bytes; the rest of the vector is zero.
func (e *emitter) load16(m operand.Mem) vec {
	v := e.YMM()
	e.loadLane(m, v)
	return v
}

// wordPairs gives the low words of dwords and the high words, both with their sign.
func (e *emitter) wordPairs(v vec) [2]vec {
	low, high := e.YMM(), e.YMM()
	e.VPSLLD(imm(16), v, low)
	e.VPSRAD(imm(16), low, low)
	e.VPSRAD(imm(16), v, high)
	return [2]vec{low, high}
}

// row45 is header45 for the 8 blocks of one row. The 12 bytes are three dwords S0, S1, S2: scales 0-3 are the low 6 bits of
// S0, minimums 0-3 those of S1; the low halves of S2 and the high 2 bits of S0 make scales 4-7, the other bits minimums 4-7.
func row45(e *emitter, p reg.GPVirtual, s sink) {
	x, a, b := e.load16(operand.Mem{Base: p}), e.YMM(), e.YMM()
	e.VPSHUFD(imm(0xed), x, a) // S0, S2, S1, S2
	e.VPSRLVD(e.dwordList("row45Shift", [8]uint32{3: 4}), a, a)
	e.VPAND(e.dwordList("row45Low", [8]uint32{0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f}), a, a)
	e.VPSHUFD(imm(0x84), x, b) // -, S0, -, S1
	e.VPSRLD(imm(2), b, b)
	e.VPAND(e.dwordList("row45High", [8]uint32{1: 0x30303030, 3: 0x30303030}), b, b)
	e.VPOR(b, a, a)
	d, dmin := e.halfAt(operand.Mem{Base: p}), e.halfAt(operand.Mem{Base: p, Disp: 2})
	e.negate(dmin)
	for i, scale := range []vec{d, dmin} {
		v := e.YMM()
		if i == 1 {
			e.VPSRLDQ(imm(8), a, a)
		}
		e.VPMOVZXBD(a.AsX(), v)
		e.VCVTDQ2PS(v, v)
		e.VMULPS(scale, v, v)
		if i == 0 {
			s.dw(0, v)
		} else {
			s.min(0, 0, v)
		}
	}
}

func formatQ4K() *format {
	var mask vec
	return &format{
		name: "Q4_K", bytes: 144, sub: 8, shared: 2, kind: kindMin, top: 15,
		begin:  func(e *emitter) { mask = e.nibbleMask() },
		header: header45,
		row:    row45,
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			return e.maskShift(at(16+b/2*32), b%2*4, mask)
		},
	}
}

func formatQ5K() *format {
	var mask vec
	var sixteen operand.Op
	return &format{
		name: "Q5_K", bytes: 176, sub: 8, shared: 2, kind: kindMin, top: 31,
		begin:  func(e *emitter) { mask, sixteen = e.nibbleMask(), e.keep(e.bytes8("sixteen", 16)) },
		header: header45,
		row:    row45,
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			v := e.maskShift(at(48+b/2*32), b%2*4, mask)
			h := e.maskShift(at(16), b-4, sixteen)
			e.or(h, v, v)
			return v
		},
	}
}

func formatQ6K() *format {
	var low, high vec
	return &format{
		name: "Q6_K", bytes: 210, sub: 8, shared: 4, kind: kindHalf, top: 63, shift: 5,
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
		row: func(e *emitter, p reg.GPVirtual, s sink) {
			s.dw(0, e.halfAt(operand.Mem{Base: p, Disp: 208}))
			v := e.YMM()
			e.VPMOVSXBW(operand.Mem{Base: p, Disp: 192}, v)
			s.scales(0, e.wordPairs(v))
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

func formatQ3K() *format {
	var low, four vec
	return &format{
		name: "Q3_K", bytes: 110, sub: 8, shared: 4, kind: kindHalf, top: 7, shift: 2,
		begin: func(e *emitter) { low, four = e.load(e.bytes8("low2", 3)), e.load(e.bytes8("bit2", 4)) },
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
		row: func(e *emitter, p reg.GPVirtual, s sink) {
			// Three dwords: the low halves of S0 and S1 are the low 4 bits of scales 0-7, the high ones those of 8-15, and S2
			// has 2 bits more of scales n, n+4, n+8 and n+12 in byte n.
			s.dw(0, e.halfAt(operand.Mem{Base: p, Disp: 108}))
			x, a, b := e.load16(operand.Mem{Base: p, Disp: 94}), e.YMM(), e.YMM()
			e.VPSRLDQ(imm(2), x, x)
			e.VPSHUFD(imm(0x44), x, a)
			e.VPSRLVD(e.dwordList("rowQ3Low", [8]uint32{2: 4, 3: 4}), a, a)
			e.VPAND(e.bytes8("nibbleMask", 15), a, a)
			e.VPSHUFD(imm(0xaa), x, b)
			e.VPSRLVD(e.dwordList("rowQ3High", [8]uint32{0, 2, 4, 6}), b, b)
			e.VPAND(e.bytes8("low2", 3), b, b)
			e.VPSLLD(imm(4), b, b)
			e.VPOR(b, a, a)
			e.VPSUBB(e.bytes8("thirtyTwo", 32), a, a)
			v := e.YMM()
			e.VPMOVSXBW(a.AsX(), v)
			s.scales(0, e.wordPairs(v))
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
	return &format{
		name: "Q2_K", bytes: 84, sub: 8, shared: 4, kind: kindMin2, top: 3,
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
		row: func(e *emitter, p reg.GPVirtual, s sink) {
			s.dw(0, e.halfAt(operand.Mem{Base: p, Disp: 80}))
			dmin := e.halfAt(operand.Mem{Base: p, Disp: 82})
			e.negate(dmin)
			x, v := e.load16(operand.Mem{Base: p}), e.YMM()
			e.VPAND(e.bytes8("nibbleMask", 15), x, v)
			e.VPMOVZXBW(v.AsX(), v)
			s.scales(0, e.wordPairs(v))
			e.VPSRLW(imm(4), x, x)
			e.VPAND(e.bytes8("nibbleMask", 15), x, x)
			e.VPMOVZXBW(x.AsX(), x)
			for half, m := range e.wordPairs(x) {
				e.VCVTDQ2PS(m, m)
				e.VMULPS(dmin, m, m)
				s.min(0, half, m)
			}
		},
		bits: func(e *emitter, at func(int) operand.Op, b int) vec {
			return e.maskShift(at(16+b/4*32), b%4*2, low)
		},
	}
}
