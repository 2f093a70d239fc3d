package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The first block formats of ggml: 32 elements and one or two half-precision numbers. Element j is in the low four bits
// of byte j and element j+16 in the high four bits, so that both halves come out of one load. Layouts and formulas are
// those of ggml's public block structures. A half-precision number has 11 bits, so d * q is exact in float32, and a CPU that
// fuses it with the sum gets the same bits.
//
//	Q4_0  18 bytes: d f16 | q 16 bytes                      x = d * (q - 8)            q 0..15
//	Q4_1  20 bytes: d f16 | m f16 | q 16 bytes              x = d * q + m              q 0..15
//	Q5_0  22 bytes: d f16 | h 4 bytes | q 16 bytes          x = d * (q - 16)           q 0..31, its fifth bit is bit j of h
//	Q5_1  24 bytes: d f16 | m f16 | h 4 bytes | q 16 bytes  x = d * q + m              q 0..31, its fifth bit is bit j of h
//	Q8_0  34 bytes: d f16 | q 32 signed bytes               x = d * q

func decodeQ4_0(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 18 {
		y, b := (*[32]float32)(dst), (*[18]byte)(src)
		d := scaleAt(b[:])
		for j, q := range b[2:] {
			y[j] = d * float32(int(q&15)-8)
			y[j+16] = d * float32(int(q>>4)-8)
		}
		dst, src = dst[32:], src[18:]
	}
}

func decodeQ4_1(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 20 {
		y, b := (*[32]float32)(dst), (*[20]byte)(src)
		d, m := scaleAt(b[:]), scaleAt(b[2:])
		for j, q := range b[4:] {
			y[j] = d*float32(q&15) + m
			y[j+16] = d*float32(q>>4) + m
		}
		dst, src = dst[32:], src[20:]
	}
}

func decodeQ5_0(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 22 {
		y, b := (*[32]float32)(dst), (*[22]byte)(src)
		d, h := scaleAt(b[:]), binary.LittleEndian.Uint32(b[2:])
		for j, q := range b[6:] {
			y[j] = d * float32(int(q&15|byte(h>>j<<4)&16)-16)
			y[j+16] = d * float32(int(q>>4|byte(h>>j>>12)&16)-16)
		}
		dst, src = dst[32:], src[22:]
	}
}

func decodeQ5_1(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 24 {
		y, b := (*[32]float32)(dst), (*[24]byte)(src)
		d, m, h := scaleAt(b[:]), scaleAt(b[2:]), binary.LittleEndian.Uint32(b[4:])
		for j, q := range b[8:] {
			y[j] = d*float32(q&15|byte(h>>j<<4)&16) + m
			y[j+16] = d*float32(q>>4|byte(h>>j>>12)&16) + m
		}
		dst, src = dst[32:], src[24:]
	}
}

func decodeQ8_0(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 34 {
		y, b := (*[32]float32)(dst), (*[34]byte)(src)
		d := scaleAt(b[:])
		for j, q := range b[2:] {
			y[j] = d * float32(int8(q))
		}
		dst, src = dst[32:], src[34:]
	}
}

// The encoders below make the bytes of ggml's reference quantisers. The symmetric ones put the value of largest
// magnitude, with its sign, on the lowest code (-8, -16), which has no positive equal; the others span minimum to maximum.
// Codes are computed from the scale before it is rounded to half precision. The conversions to float32 of products keep Go
// from fusing them with the sum, which would round ties otherwise on some CPUs.

func encodeQ4_0(dst []byte, src []float32) error {
	d := largest(src) / -8
	if err := putScale(dst, d); err != nil {
		return err
	}
	id := inverse(d)
	for j := range 16 {
		dst[2+j] = code(src[j], id, 8.5, 15) | code(src[j+16], id, 8.5, 15)<<4
	}
	return nil
}

func encodeQ4_1(dst []byte, src []float32) error {
	lo, hi := bounds(src)
	d := (hi - lo) / 15
	if err := putScales(dst, d, lo); err != nil {
		return err
	}
	id := inverse(d)
	for j := range 16 {
		dst[4+j] = code(src[j]-lo, id, 0.5, 15) | code(src[j+16]-lo, id, 0.5, 15)<<4
	}
	return nil
}

func encodeQ5_0(dst []byte, src []float32) error {
	d := largest(src) / -16
	if err := putScale(dst, d); err != nil {
		return err
	}
	id, h := inverse(d), uint32(0)
	for j := range 16 {
		a, b := code(src[j], id, 16.5, 31), code(src[j+16], id, 16.5, 31)
		dst[6+j] = a&15 | b<<4
		h |= uint32(a>>4)<<j | uint32(b>>4)<<(j+16)
	}
	binary.LittleEndian.PutUint32(dst[2:], h)
	return nil
}

func encodeQ5_1(dst []byte, src []float32) error {
	lo, hi := bounds(src)
	d := (hi - lo) / 31
	if err := putScales(dst, d, lo); err != nil {
		return err
	}
	id, h := inverse(d), uint32(0)
	for j := range 16 {
		a, b := code(src[j]-lo, id, 0.5, 31), code(src[j+16]-lo, id, 0.5, 31)
		dst[8+j] = a&15 | b<<4
		h |= uint32(a>>4)<<j | uint32(b>>4)<<(j+16)
	}
	binary.LittleEndian.PutUint32(dst[4:], h)
	return nil
}

func encodeQ8_0(dst []byte, src []float32) error {
	d := magnitude(src) / 127
	if err := putScale(dst, d); err != nil {
		return err
	}
	id := inverse(d)
	for j, x := range src {
		dst[2+j] = byte(int8(round(float32(x * id))))
	}
	return nil
}

// code is trunc(x*id + bias), the nearest code when bias is its zero point and a half, held to 0..limit.
func code(x, id, bias float32, limit byte) byte {
	q := int32(float32(x*id) + bias)
	return byte(min(max(q, 0), int32(limit)))
}

// round is the nearest integer, halves away from zero. Adding a half first would carry 0.49999997 to 1.
func round(x float32) int32 {
	q := int32(x)
	switch f := x - float32(q); {
	case f >= 0.5:
		q++
	case f <= -0.5:
		q--
	}
	return q
}

// inverse is 1/d, or 0 where that is not finite: such a scale is 0 in half precision and all codes are worth the same.
func inverse(d float32) float32 {
	if id := 1 / d; math.Abs(float64(id)) <= math.MaxFloat32 {
		return id
	}
	return 0
}

// largest is the first value of largest magnitude, with its sign.
func largest(xs []float32) float32 {
	most, at := abs(xs[0]), xs[0]
	for _, x := range xs[1:] {
		if a := abs(x); a > most {
			most, at = a, x
		}
	}
	return at
}

func magnitude(xs []float32) float32 { return abs(largest(xs)) }

func bounds(xs []float32) (lo, hi float32) {
	lo, hi = xs[0], xs[0]
	for _, x := range xs[1:] {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// putScale writes d in half precision and refuses one that would become infinite.
func putScale(dst []byte, d float32) error {
	h := F32ToF16(d)
	if h&0x7c00 == 0x7c00 {
		return fmt.Errorf("scale %g is beyond a 16-bit float", d)
	}
	binary.LittleEndian.PutUint16(dst, h)
	return nil
}

func putScales(dst []byte, d, m float32) error {
	if err := putScale(dst, d); err != nil {
		return err
	}
	return putScale(dst[2:], m)
}
