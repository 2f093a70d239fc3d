package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The dot kernels of the K formats. Blocks i and i+4 of a group lie at the same distance in every field of a super-block, so a
// vector that has 16 values of one in its low lane and of the other in its high lane is unpacked as a whole, and the second 16
// values are added to the same partial sums. That halves the tree, and its last level ends in the order of the blocks.

// rowPieces reads 16 bytes of the super-block at p and 16 more behind them as the two lanes of a vector, and remembers what it
// has read.
type rowPieces struct {
	e    *emitter
	p    reg.GPVirtual
	have map[string]vec
}

func (e *emitter) rowPieces(p reg.GPVirtual) *rowPieces {
	return &rowPieces{e: e, p: p, have: map[string]vec{}}
}

// at returns the 16 bytes at disp and those that are apart bytes behind.
func (r *rowPieces) at(disp, apart int) vec {
	return r.once(fmt.Sprint("at", disp), func() vec {
		low := operand.Mem{Base: r.p, Disp: disp}
		v := r.e.YMM()
		if apart == 0 {
			r.e.VBROADCASTI128(low, v)
			return v
		}
		r.e.loadLane(low, v)
		r.e.VPBLENDD(imm(0xf0), low.Offset(apart-16), v, v) // any unit can; not so an insertion
		return v
	})
}

// once returns what make returned the first time.
func (r *rowPieces) once(name string, make func() vec) vec {
	v, ok := r.have[name]
	if !ok {
		v = make()
		r.have[name] = v
	}
	return v
}

// multiplyQuarters multiplies the given halves of blocks i and i+4.
func (g *dot) multiplyQuarters(r *rowPieces, i int, halves ...int) []vec {
	var w [2]vec
	var shift int
	for k, h := range halves {
		w[k], shift = g.f.quarter(g.emitter, r, i, h)
	}
	var sums []vec
	if place := lanePairs + 64*i; len(halves) == 2 {
		sums = g.multiplyPair(w[0], w[1], place)
	} else {
		sums = g.multiplyBlock(w[0], g.lanes, place+32*halves[0])
	}
	for _, v := range sums {
		if shift > 0 {
			g.VPSRAD(imm(shift), v, v)
		}
	}
	return sums
}

// bitTable looks up bits of a field of 32 bytes, which has bit b of byte k for value k of block b: the 16 bytes at disp give for
// blocks i and i+4 a byte with the value bit where the bit is set. bit 4 makes 0x44: blocks i and i+2 at once.
func (r *rowPieces) bitTable(disp, i, bit int) vec {
	e := r.e
	nibble := r.once(fmt.Sprint("nibble", disp), func() vec {
		v := e.YMM()
		e.VPSRLVD(e.dwordList("upperBy4", [8]uint32{4: 4, 5: 4, 6: 4, 7: 4}), r.at(disp, 0), v)
		e.VPAND(e.bytes8("nibbleMask", 15), v, v)
		return v
	})
	var table [32]byte
	for n := range table {
		table[n] = byte(n >> i & 1 * bit)
		if bit == 4 {
			table[n] += byte(n >> (i + 2) & 1 * bit << 4)
		}
	}
	v := e.load(e.constant(fmt.Sprintf("bits%dOf%d", bit, i), table))
	e.VPSHUFB(nibble, v, v)
	return v
}

// masked returns v & mask | more, and may take more's register.
func (e *emitter) masked(v vec, mask operand.Op, more vec) vec {
	if e.evex {
		e.VPTERNLOGD(imm(ternOrAnd), mask, v, more)
		return more
	}
	t := e.YMM()
	e.VPAND(mask, v, t)
	e.VPOR(more, t, t)
	return t
}

// What VPTERNLOGD makes of its operands mask, b and a, the result's register.
const (
	ternOrAnd  = 0xf8 // a | b & mask
	ternSelect = 0xe4 // a & mask | b &^ mask
	ternOther  = 0xd8 // b & mask | a &^ mask
)
