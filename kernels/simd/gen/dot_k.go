package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The dot kernels of the K formats. Blocks i and i+4 of a group lie at the same distance in every field of a super-block, so a
// vector that has 16 values of one in its low lane and of the other in its high lane is unpacked as a whole, and the second 16
// values are added to the same partial sums. That halves the tree, and its last level ends in the order of the blocks.

// rowPieces reads the super-block at p, and remembers what it has read.
type rowPieces struct {
	e    *emitter
	p    reg.GPVirtual
	have map[string]vec
}

func (e *emitter) rowPieces(p reg.GPVirtual) *rowPieces {
	return &rowPieces{e: e, p: p, have: map[string]vec{}}
}

// at returns the 16 bytes at disp and those that are apart bytes behind them, as the lanes of a vector.
func (r *rowPieces) at(disp, apart int) vec {
	return r.once(fmt.Sprint("at", disp), func() vec {
		low, v := operand.Mem{Base: r.p, Disp: disp}, r.e.YMM()
		r.e.loadLane(low, v)
		r.e.VPBLENDD(imm(0xf0), low.Offset(apart-16), v, v) // any unit can; not so an insertion
		return v
	})
}

// both returns the 16 bytes at disp in both lanes.
func (r *rowPieces) both(disp int) vec {
	return r.once(fmt.Sprint("both", disp), func() vec {
		v := r.e.YMM()
		r.e.VBROADCASTI128(operand.Mem{Base: r.p, Disp: disp}, v)
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

// bitTables take single bits from a field of 32 bytes that has bit b of byte k for value k of block b. There is a table for each
// of blocks i, for the lower and the higher half.
type bitTables struct {
	shift, nibble operand.Op
	tables        []operand.Op
	name          string
}

// begin loads the constants for tables of which number i gives what byteOf(i, n) says for the bits n of blocks 0 to 3.
func (t *bitTables) begin(e *emitter, name string, many int, byteOf func(i, n int) int) {
	t.name, t.tables = name, nil
	t.shift = e.pin(e.dwordList("upperBy4", [8]uint32{4: 4, 5: 4, 6: 4, 7: 4}))
	t.nibble = e.pin(e.bytes8("nibbleMask", 15))
	for i := range many {
		var b [32]byte
		for n := range b {
			b[n] = byte(byteOf(i, n%16))
		}
		t.tables = append(t.tables, e.pin(e.constant(fmt.Sprint(name, i), b)))
	}
}

// look returns what table i has for the 16 bytes at disp, for blocks 0 to 3 in the low lane and for blocks 4 to 7 in the high.
func (t *bitTables) look(e *emitter, r *rowPieces, disp, i int) vec {
	bits := r.once(fmt.Sprint("bits", disp), func() vec {
		v := e.YMM()
		e.VPSRLVD(t.shift, r.both(disp), v)
		e.and(t.nibble, v, v)
		return v
	})
	v := e.YMM()
	if m, ok := t.tables[i].(operand.Mem); ok {
		e.VPSHUFB(bits, r.once(fmt.Sprint(t.name, i), func() vec { return e.load(m) }), v)
	} else {
		e.VPSHUFB(bits, t.tables[i], v)
	}
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
