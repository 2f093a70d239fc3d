package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
)

// The scales of 8 neighbouring blocks of one row lie a block's size apart. A load of 32 bytes has two of them where a block
// is smaller than that: one in its low 128 bits and the next in its high ones. Blends, which any unit executes and which
// load by themselves, put them together: the even blocks' scales in the low half of a vector, the odd ones' in the high half.
// Where a scale stands within its half is decided by the address that is loaded from.

// blockLoad is a load of 32 bytes, or of 16, and the places, words or dwords, that are kept of it: low ones of the low half
// and high ones of the high half.
type blockLoad struct {
	at        int
	low, high uint8
}

// blockPlaces tells where the scales stand: even[t] is the place of block 2t's in the low half, odd[t] that of block 2t+1's in
// the high half.
type blockPlaces struct {
	even, odd [4]int
	loads     []blockLoad
}

// placeBlocks places scales of size bytes that are stride bytes apart. A place is used in one half alone, if apart, as a blend
// of words cannot tell the halves from each other.
func placeBlocks(stride, size int, apart bool) *blockPlaces {
	p, n := &blockPlaces{}, 16/size
	low, high := make([]bool, n), make([]bool, n)
	free := func(i int, half []bool) bool { return i < n && !half[i] && !(apart && (low[i] || high[i])) }
	take := func(half []bool) int {
		i := 0
		for !free(i, half) {
			i++
		}
		half[i] = true
		return i
	}
	var rest []int
	for t := range p.even {
		// Both in one load: the odd block's place is further by what its distance is more than half a vector.
		both := (stride - 16) / size
		i := 0
		for i < n && !(free(i, low) && free(i+both, high)) {
			i++
		}
		if i == n {
			rest = append(rest, t)
			continue
		}
		p.even[t], p.odd[t] = i, i+both
		low[i], high[i+both] = true, true
		p.loads = append(p.loads, blockLoad{2*t*stride - i*size, 1 << i, 1 << (i + both)})
	}
	for _, t := range rest {
		i, j := take(low), take(high)
		p.even[t], p.odd[t] = i, j
		p.loads = append(p.loads, blockLoad{2*t*stride - i*size, 1 << i, 0},
			blockLoad{(2*t+1)*stride - j*size - 16, 0, 1 << j})
	}
	return p
}

// gatherHalves converts the float16 at the beginning of each of 8 or 16 things, and where wanted the one behind it.
func (e *emitter) gatherHalves(r addresses, high bool) (lo, hi vec) {
	b, ok := r.(blockRow)
	switch {
	case !ok:
		return e.halves(e.gather(r, 0), high)
	case high:
		return e.blockPairs(b)
	case b.bytes < 32:
		return e.blockHalves(b), nil
	}
	// A load has one scale. The place of block i's is the i-th word.
	v := e.YMM()
	e.loadLane(r.at(0, 0), v)
	for i := 1; i < groupBlocks; i++ {
		e.VPBLENDW(imm(1<<i), r.at(i, -2*i), v.AsX(), v.AsX())
	}
	e.VCVTPH2PS(v.AsX(), v)
	return v, nil
}

// blockHalves converts one float16 of each of 8 blocks.
func (e *emitter) blockHalves(r blockRow) vec {
	p := placeBlocks(r.bytes, 2, true)
	v := e.load(r.at(0, p.loads[0].at))
	for _, l := range p.loads[1:] {
		e.VPBLENDW(operand.U8(l.low|l.high), r.at(0, l.at), v, v)
	}
	var odd uint8
	inOrder, order := true, [32]byte{}
	for t := range p.even {
		odd |= 1 << p.odd[t]
		for i, place := range []int{p.even[t], p.odd[t]} {
			inOrder = inOrder && place == 2*t+i
			order[4*t+2*i], order[4*t+2*i+1] = byte(2*place), byte(2*place+1)
		}
	}
	x, o := v.AsX(), e.XMM()
	e.VEXTRACTI128(imm(1), v, o)
	e.VPBLENDW(operand.U8(odd), o, x, x)
	if !inOrder {
		e.VPSHUFB(e.constant(fmt.Sprint("halvesOrder", r.bytes), order), x, x)
	}
	e.VCVTPH2PS(x, v)
	return v
}

// blockPairs converts two float16 of each of 8 blocks.
func (e *emitter) blockPairs(r blockRow) (lo, hi vec) {
	p := placeBlocks(r.bytes, 4, false)
	v := e.load(r.at(0, p.loads[0].at))
	for _, l := range p.loads[1:] {
		e.VPBLENDD(operand.U8(l.low|l.high<<4), r.at(0, l.at), v, v)
	}
	// In each half the first of all pairs, then the second of all, and then blocks 2t and 2t+1 next to each other.
	var order [32]byte
	for t := range p.even {
		for half, place := range []int{p.even[t], p.odd[t]} {
			for b := range 2 {
				order[16*half+2*t+b], order[16*half+8+2*t+b] = byte(4*place+b), byte(4*place+2+b)
			}
		}
	}
	e.VPSHUFB(e.constant(fmt.Sprint("pairsOrder", r.bytes), order), v, v)
	odd := e.XMM()
	e.VEXTRACTI128(imm(1), v, odd)
	lo, hi = e.YMM(), e.YMM()
	e.VPUNPCKLWD(odd, v.AsX(), lo.AsX())
	e.VPUNPCKHWD(odd, v.AsX(), hi.AsX())
	e.VCVTPH2PS(lo.AsX(), lo)
	e.VCVTPH2PS(hi.AsX(), hi)
	return lo, hi
}

// gatherBytes makes dwords of the first byte of each of 8 or 16 things.
func (e *emitter) gatherBytes(r addresses) vec {
	b, ok := r.(blockRow)
	if !ok {
		x := e.gather(r, 0)
		e.and(e.dwords("lowByte", 255), x, x)
		return x
	}
	// The odd blocks' are a byte further in their dwords, since a block has 17 bytes.
	v := e.load(b.at(0, 0))
	for t := 1; t < groupBlocks/2; t++ {
		e.VPBLENDD(imm(1<<t|16<<t), b.at(2*t, -4*t), v, v)
	}
	order := e.load(e.dwordList("evenOdd", [8]uint32{0, 4, 1, 5, 2, 6, 3, 7}))
	e.VPERMD(v, order, v)
	const none = 0x80808000
	e.VPSHUFB(e.dwordList("bytesOfPairs", [8]uint32{none, none | 5, none | 8, none | 13, none, none | 5, none | 8, none | 13}), v, v)
	return v
}

// heads collects the scales of blocks whose first bytes are needed for more, so that they are loaded anyhow: blocks 0 and 4, then
// 1 and 5, and so on, each in a lane of 128 bits.
type heads struct {
	pairs bool // two scales a block, not one
	last  vec
	two   []vec // the scales of two blocks, and of the two that are 4 further
}

func (h *heads) add(e *emitter, v vec) {
	if h.last == nil {
		h.last = v
		return
	}
	t := e.YMM()
	if h.pairs {
		e.VPUNPCKLDQ(v, h.last, t)
	} else {
		e.VPUNPCKLWD(v, h.last, t)
	}
	h.two, h.last = append(h.two, t), nil
}

// scales converts the scales of all blocks.
func (h *heads) scales(e *emitter, s sink) {
	v, high := h.two[0], e.XMM()
	if !h.pairs {
		e.VPUNPCKLDQ(h.two[1], v, v)
		e.VEXTRACTI128(imm(1), v, high)
		e.VPUNPCKLQDQ(high, v.AsX(), v.AsX())
		e.VCVTPH2PS(v.AsX(), v)
		s.dw(0, v)
		return
	}
	e.VPUNPCKLQDQ(h.two[1], v, v)
	var order [32]byte // the first of every pair, then the second
	for i := range order {
		order[i] = byte(i%8/2*4 + i%16/8*2 + i%2)
	}
	e.VPSHUFB(e.constant("pairsApart", order), v, v)
	e.VEXTRACTI128(imm(1), v, high)
	d, m := e.YMM(), e.YMM()
	e.VPUNPCKLQDQ(high, v.AsX(), d.AsX())
	e.VPUNPCKHQDQ(high, v.AsX(), m.AsX())
	e.VCVTPH2PS(d.AsX(), d)
	e.VCVTPH2PS(m.AsX(), m)
	s.dw(0, d)
	s.min(0, 0, m)
}
