package gguf

import (
	"encoding/binary"
	"math"
)

// Plain numbers, little-endian: F32 and F16 are IEEE 754 binary32 and binary16, BF16 is the upper half of a binary32.

// F16ToF32 widens an IEEE half-precision number; exact, a NaN keeps its payload.
//
//	sign 1 | exponent 5, bias 15 | fraction 10;  exponent 0: fraction * 2^-24, exponent 31: infinity or NaN
func F16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h >> 10 & 0x1f)
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// F32ToF16 rounds to the nearest half-precision number, ties to even. From 65520 on it is infinity; a NaN keeps the
// upper bits of its payload, and stays a NaN if those are zero.
func F32ToF16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		h := uint16(b >> 13 & 0x3ff)
		if h == 0 {
			h = 1
		}
		return sign | 0x7c00 | h
	case b >= 0x47800000: // 65536 and infinity
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: the result counts steps of 2^-24, and adding 2^-1 to the value leaves them rounded
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-math.Float32bits(0.5))
	}
	// Half a unit less one, plus the lowest kept bit, carries exactly when nearest-even rounds up, into the exponent too.
	return sign | uint16((b-(127-15)<<23+0xfff+b>>13&1)>>13)
}

// BF16ToF32 widens a bfloat16; exact.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even; a NaN keeps the upper bits of its payload and becomes quiet.
func F32ToBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func decodeF32(dst []float32, src []byte) {
	for len(dst) >= 8 && len(src) >= 32 { // eight at a time need one check of bounds
		y, b := (*[8]float32)(dst), (*[32]byte)(src)
		for j := range y {
			y[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:]))
		}
		dst, src = dst[8:], src[32:]
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func encodeF32(dst []byte, src []float32) error {
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
	return nil
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		h := uint32(binary.LittleEndian.Uint16(src[2*i:]))
		if exp := h >> 10 & 0x1f; exp-1 < 30 { // neither zero, subnormal, infinity nor NaN
			dst[i] = math.Float32frombits(h&0x8000<<16 | h&0x7fff<<13 + (127-15)<<23)
			continue
		}
		dst[i] = F16ToF32(uint16(h))
	}
}

func encodeF16(dst []byte, src []float32) error {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], F32ToF16(x))
	}
	return nil
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = BF16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func encodeBF16(dst []byte, src []float32) error {
	for i, x := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], F32ToBF16(x))
	}
	return nil
}

// scaleAt reads the half-precision scale at the head of b.
func scaleAt(b []byte) float32 { return F16ToF32(binary.LittleEndian.Uint16(b)) }
