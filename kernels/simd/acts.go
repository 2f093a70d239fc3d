package simd

import (
	"encoding/binary"
	"math"
	"unsafe"

	"forge/gguf"
)

// Layout of rounded activations. A row's blocks of 32 come in groups of 8 (see product.go); blocks that do not fill a group
// stand at the end of the last one, behind blocks of zeros. The generator has the same offsets.
//
// A block is a cache line: 32 values at 8 bits with what a gemm kernel needs about them. A group has 512 bytes more, in
// memory of their own, with the same for a dot kernel: a lane of a vector for each block.
const (
	actBlock  = 64 // bytes; q int8 [32] comes first
	actScale  = 32 // d float32
	actDSum   = 36 // d * sum(q) float32
	actNegSum = 40 // -sum(q) int32
	actNegPr  = 44 // -sum(q[:16]), -sum(q[16:]) int16 each
	actNeg16  = 48 // the same two as int32
	actDSum16 = 56 // d*sum(q[:16]), d*sum(q[16:]) float32 each

	groupBlocks = 8
	actGroup    = groupBlocks * actBlock // bytes of a group, of blocks as of lanes
	laneScale   = 0                      // d float32 [8]
	laneDSum    = 32                     // d * sum(q) float32 [8]
	laneNegSum  = 64                     // -sum(q) int32 [8]
	laneNeg16   = 96                     // -sum(q[:16]) int32 [8], then -sum(q[16:])
	laneDSum16  = 160                    // d*sum(q[:16]) float32 [8], then d*sum(q[16:])
	lanePairs   = 256                    // for i in 0..3: q[:16] of block i, q[:16] of block i+4, q[16:] of i, q[16:] of i+4
)

// minNormal is the smallest normal float32; a block's d is never below it, so that x/d is at most 127.
const minNormal = 0x1p-126

// acts holds n activation rows of k floats, as floats and, where k is a multiple of 32, rounded to 8 bits a block of 32:
//
//	d = max(max|x| / 127, 2^-126), q = max(round-to-nearest-even(x / d), -127)
//
// in float32. A NaN among the 32 makes d a NaN, and with it every product of the block.
type acts struct {
	n, k          int
	forms         forms
	x             []float32 // [n, k]
	blocks, lanes []byte    // [n, groups], aligned to 64 bytes
	fixed         []byte    // [n, k/fixedElems] blocks of fixed point, for fixedRows or more
}

// forms are the ways in which products read activations, besides as floats.
type forms struct{ blocks, fixed bool }

func (f forms) and(g forms) forms { return forms{f.blocks || g.blocks, f.fixed || g.fixed} }

// has tells whether f has all that g has.
func (f forms) has(g forms) bool { return f.and(g) == f }

func (f forms) any() bool { return f != forms{} }

// alias makes x, n rows of k floats, the floats of a, with room for its other forms; nothing is rounded yet.
func (a *acts) alias(x []float32, n, k int, f forms) {
	a.n, a.k, a.x, a.forms = n, k, x, f
	size := 0
	if f.blocks {
		size = n * a.stride()
	}
	if cap(a.blocks) < size {
		a.blocks, a.lanes = alignedBytes(size), alignedBytes(size)
	}
	a.blocks, a.lanes = a.blocks[:size], a.lanes[:size]
	size = 0
	if f.fixed && n >= fixedRows && k%fixedElems == 0 {
		size = n * a.fixedStride()
	}
	a.fixed = grow(a.fixed, size)
}

// groups is the number of groups of a row: 0 where k is no multiple of 32 and only the floats are kept.
func (a *acts) groups() int {
	if a.k%32 != 0 {
		return 0
	}
	return (a.k/32 + groupBlocks - 1) / groupBlocks
}

// stride is the size in bytes of a row of groups, of blocks as of lanes.
func (a *acts) stride() int { return a.groups() * actGroup }

// fixedStride is the size in bytes of a row in fixed point.
func (a *acts) fixedStride() int { return a.k / fixedElems * fixedBlock }

func (a *acts) fixedRow(r int) []byte { return a.fixed[r*a.fixedStride():][:a.fixedStride()] }

// round makes the blocks of row r.
func (a *acts) round(r int) { a.roundPart(r, 0, a.k) }

// roundedPart is what parts of a row are cut at to be rounded apart: the larger of the blocks.
const roundedPart = fixedElems

// roundPart makes the blocks, in every form, of entries from .. to-1 of row r, whole blocks. Several workers may make parts of one
// row.
func (a *acts) roundPart(r, from, to int) {
	if from < to && len(a.fixed) > 0 {
		roundFixed(level, a.fixedRow(r)[from/fixedElems*fixedBlock:], a.x[r*a.k+from:r*a.k+to])
	}
	s := a.stride()
	if s == 0 || from >= to || !a.forms.blocks {
		return
	}
	blocks, lanes, x := a.blocks[r*s:(r+1)*s], a.lanes[r*s:(r+1)*s], a.x[r*a.k:(r+1)*a.k]
	b0, b1, full := from/32, to/32, a.k/32/groupBlocks*groupBlocks
	if end := min(b1, full); b0 < end {
		g := b0 / groupBlocks * actGroup
		quantize(level, blocks[g:], lanes[g:], x[32*b0:32*end], b0%groupBlocks)
	}
	if b1 <= full {
		return
	}
	b0 = max(b0, full)
	unused, last := groupBlocks-(a.k/32-full), full*actBlock
	if b0 == full {
		clear(blocks[last : last+unused*actBlock])
		clearLanes(lanes[last:], unused)
	}
	quantize(level, blocks[last:], lanes[last:], x[32*b0:32*b1], unused+b0-full)
}

// clearLanes makes the first n lanes of a group those of blocks of zeros.
func clearLanes(group []byte, n int) {
	for l := range n {
		for at := laneScale; at < lanePairs; at += 4 * groupBlocks {
			clear(group[at+4*l:][:4])
		}
		for half := range 2 {
			clear(group[lanePairs+l%4*64+half*32+l/4*16:][:16])
		}
	}
}

// alignedBytes allocates size bytes that start on a cache line.
func alignedBytes(size int) []byte {
	b := make([]byte, size+63)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[skip : skip+size : skip+size]
}

// quantizeGeneric rounds the blocks of x, which stand from block first of a group on. It is the definition of an activation
// block, and the form for other CPUs.
func quantizeGeneric(blocks, lanes []byte, x []float32, first int) {
	le := binary.LittleEndian
	for b := first; len(x) > 0; b, x = b+1, x[32:] {
		block, lane := blocks[b*actBlock:][:actBlock], lanes[b/groupBlocks*actGroup:][:actGroup]
		l := b % groupBlocks
		var top uint32
		for _, v := range x[:32] {
			top = max(top, math.Float32bits(v)&0x7fffffff)
		}
		d := math.Float32frombits(top) / 127
		if d < minNormal {
			d = minNormal
		}
		var sums [2]int32
		for i, v := range x[:32] {
			q := int32(-127) // a NaN, as the hardware's conversion ends
			if v = v / d; v == v {
				q = int32(math.RoundToEven(float64(v)))
			}
			block[i] = byte(q)
			lane[lanePairs+l%4*64+i/16*32+l/4*16+i%16] = byte(q)
			sums[i/16] += q
		}
		// Every number about the block stands in both.
		put := func(at, laneAt int, v uint32) {
			le.PutUint32(block[at:], v)
			le.PutUint32(lane[laneAt+4*l:], v)
		}
		put(actScale, laneScale, math.Float32bits(d))
		put(actDSum, laneDSum, math.Float32bits(d*float32(sums[0]+sums[1])))
		put(actNegSum, laneNegSum, uint32(-(sums[0] + sums[1])))
		for i, s := range sums {
			le.PutUint16(block[actNegPr+2*i:], uint16(-s))
			put(actNeg16+4*i, laneNeg16+32*i, uint32(-s))
			put(actDSum16+4*i, laneDSum16+32*i, math.Float32bits(d*float32(s)))
		}
	}
}

// halfToFloat converts src to dst, which is as long.
func halfToFloat(dst []float32, src []uint16) {
	src = src[:len(dst)]
	for i := convertHalf(level, dst, src); i < len(dst); i++ {
		dst[i] = gguf.F16ToF32(src[i])
	}
}

// floatToHalf rounds src to the nearest float16, ties to even; dst is as long.
func floatToHalf(dst []uint16, src []float32) {
	src = src[:len(dst)]
	for i := roundHalf(level, dst, src); i < len(dst); i++ {
		dst[i] = gguf.F32ToF16(src[i])
	}
}

func bytesOf(x *float32) *byte { return (*byte)(unsafe.Pointer(x)) }

// aligned drops floats from the beginning of x, 15 at most, to start on a cache line.
func aligned(x []float32) []float32 {
	return x[-uintptr(unsafe.Pointer(unsafe.SliceData(x)))&63/4:]
}

func floatsOf(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
