package gguf

import "math"

// The microscaling format MXFP4 (OCP Microscaling Formats 1.0): 32 elements of E2M1 (sign, two exponent bits, one
// fraction bit) share a power of two in E8M0.
//
//	MXFP4  17 bytes: e | q 16      x = 2^(e-128) * value[q]
//
// Elements j and j+16 are the low and high four bits of byte j. value is twice the E2M1 number, hence 2^(e-128) and not
// 2^(e-127). As ggml does and unlike the OCP text, e = 255 is no NaN but one more power of two.

var e2m1Doubled = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// halfE8M0 is 2^(e-128), subnormal for e 0 and 1.
func halfE8M0(e byte) float32 {
	if e < 2 {
		return math.Float32frombits(0x00200000 << e)
	}
	return math.Float32frombits(uint32(e-1) << 23)
}

func decodeMXFP4(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 17 {
		codebook16((*[32]float32)(dst), (*[16]byte)(src[1:]), halfE8M0(src[0]), &e2m1Doubled)
		dst, src = dst[32:], src[17:]
	}
}

// encodeMXFP4 takes the exponent that puts the largest value on the upper binade of E2M1 (4 and 6, in the doubled numbers 8
// and 12) and the nearest element; a tie goes to the lower code.
func encodeMXFP4(dst []byte, src []float32) error {
	e := byte(0)
	if most := magnitude(src); most > 0 {
		_, exp := math.Frexp(float64(most)) // most = f * 2^exp, f from 0.5, so floor(log2) is exp-1
		e = byte(max(exp-1-2+127, 0))
	}
	dst[0] = e
	d := halfE8M0(e)
	for j := range 16 {
		dst[1+j] = nearest(src[j], d, &e2m1Doubled) | nearest(src[j+16], d, &e2m1Doubled)<<4
	}
	return nil
}
