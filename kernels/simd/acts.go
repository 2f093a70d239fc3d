package simd

import (
	"encoding/binary"
	"math"
	"unsafe"

	"forge/gguf"
)

// Layout of an activation block: 32 values of a row at 8 bits, with everything a product needs about them in one cache
// line. The generator has the same offsets.
const (
	actBlock  = 64 // bytes; q int8 [32] comes first
	actScale  = 32 // d float32
	actDSum   = 36 // d * sum(q) float32
	actNegSum = 40 // -sum(q) int32
	actNegPr  = 44 // -sum(q[:16]), -sum(q[16:]) int16 each
	actNeg16  = 48 // the same two as int32
	actDSum16 = 56 // d*sum(q[:16]), d*sum(q[16:]) float32 each
)

// minNormal is the smallest normal float32; a block's d is never below it, so that x/d is at most 127.
const minNormal = 0x1p-126

// acts holds n activation rows of k floats, as floats and, where k is a multiple of 32, rounded to 8 bits a block of 32:
//
//	d = max(max|x| / 127, 2^-126), q = max(round-to-nearest-even(x / d), -127)
//
// in float32. A NaN among the 32 makes d a NaN, and with it every product of the block.
type acts struct {
	n, k   int
	x      []float32 // [n, k]
	blocks []byte    // [n, k/32] blocks, aligned to 64 bytes
}

// alias makes x, n rows of k floats, the floats of a; nothing is rounded yet.
func (a *acts) alias(x []float32, n, k int) {
	a.n, a.k, a.x = n, k, x
	if size := n * a.stride(); cap(a.blocks) < size {
		a.blocks = alignedBytes(size)
	} else {
		a.blocks = a.blocks[:size]
	}
}

// stride is the size in bytes of a row of blocks: 0 where k is no multiple of 32 and only the floats are kept.
func (a *acts) stride() int {
	if a.k%32 != 0 {
		return 0
	}
	return a.k / 32 * actBlock
}

// round makes the blocks of row r.
func (a *acts) round(r int) {
	if s := a.stride(); s != 0 {
		quantize(level, a.blocks[r*s:(r+1)*s], a.x[r*a.k:(r+1)*a.k])
	}
}

// roundPart makes the blocks of entries from .. to-1 of row r, whole blocks.
func (a *acts) roundPart(r, from, to int) {
	if s := a.stride(); s != 0 {
		quantize(level, a.blocks[r*s+from/32*actBlock:r*s+to/32*actBlock], a.x[r*a.k+from:r*a.k+to])
	}
}

// alignedBytes allocates size bytes that start on a cache line.
func alignedBytes(size int) []byte {
	b := make([]byte, size+63)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[skip : skip+size : skip+size]
}

// quantizeGeneric is the definition of an activation block, and the form for other CPUs.
func quantizeGeneric(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[actBlock:], x[32:] {
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
			dst[i] = byte(q)
			sums[i/16] += q
		}
		le := binary.LittleEndian
		float := func(at int, v float32) { le.PutUint32(dst[at:], math.Float32bits(v)) }
		float(actScale, d)
		float(actDSum, d*float32(sums[0]+sums[1]))
		le.PutUint32(dst[actNegSum:], uint32(-(sums[0] + sums[1])))
		for i, s := range sums {
			le.PutUint16(dst[actNegPr+2*i:], uint16(-s))
			le.PutUint32(dst[actNeg16+4*i:], uint32(-s))
			float(actDSum16+4*i, d*float32(s))
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
