package simd

import (
	"encoding/binary"
	"math"
)

// One block of 32 of each format. The layouts are those of gguf, which decodes them to floats; here the integers matter.

// nibbles: byte i of 16 holds value i in its low and value i+16 in its high half.
func (u *unpacked) nibbles(b []byte, off int16) {
	for i, x := range b[:16] {
		u.v[i], u.v[i+16] = int16(x&15)-off, int16(x>>4)-off
	}
}

// fifths adds bit i of h to value i, as its fifth.
func (u *unpacked) fifths(b []byte) {
	h := binary.LittleEndian.Uint32(b)
	for i := range u.v {
		u.v[i] += int16(h>>i&1) << 4
	}
}

func (u *unpacked) table(b []byte, t *[16]int16) {
	u.nibbles(b, 0)
	for i, v := range u.v {
		u.v[i] = t[v]
	}
}

func unpackQ4_0(w []byte, u *unpacked, _ int) {
	u.dw = halfAt(w, 0)
	u.nibbles(w[2:], 8)
}

func unpackQ4_1(w []byte, u *unpacked, _ int) {
	u.dw, u.m[0] = halfAt(w, 0), halfAt(w, 2)
	u.nibbles(w[4:], 0)
}

func unpackQ5_0(w []byte, u *unpacked, _ int) {
	u.dw = halfAt(w, 0)
	u.nibbles(w[6:], 16)
	u.fifths(w[2:])
}

func unpackQ5_1(w []byte, u *unpacked, _ int) {
	u.dw, u.m[0] = halfAt(w, 0), halfAt(w, 2)
	u.nibbles(w[8:], 0)
	u.fifths(w[4:])
}

func unpackQ8_0(w []byte, u *unpacked, _ int) {
	u.dw = halfAt(w, 0)
	for i, x := range w[2:34] {
		u.v[i] = int16(int8(x))
	}
}

var (
	tableIQ4 = [16]int16{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
	tableFP4 = [16]int16{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
)

func unpackIQ4_NL(w []byte, u *unpacked, _ int) {
	u.dw = halfAt(w, 0)
	u.table(w[2:], &tableIQ4)
}

// unpackMXFP4: the table is doubled and the power of two halved.
func unpackMXFP4(w []byte, u *unpacked, _ int) {
	u.dw = float32(math.Ldexp(1, int(w[0])-128))
	u.table(w[1:], &tableFP4)
}

func unpackIQ4_XS(w []byte, u *unpacked, b int) {
	high := binary.LittleEndian.Uint16(w[2:])
	scale := int(w[4+b/2]>>(b%2*4)&15) | int(high>>(2*b)&3)<<4
	u.dw = halfAt(w, 0) * float32(scale-32)
	u.table(w[8+16*b:], &tableIQ4)
}

// pair45 is the 6-bit scale and minimum of block b of Q4_K and Q5_K.
func pair45(s []byte, b int) (scale, min float32) {
	if b < 4 {
		return float32(s[b] & 63), float32(s[b+4] & 63)
	}
	return float32(s[b+4]&15 | s[b-4]>>6<<4), float32(s[b+4]>>4 | s[b]>>6<<4)
}

func unpackQ4_K(w []byte, u *unpacked, b int) {
	scale, min := pair45(w[4:16], b)
	u.dw, u.m[0] = halfAt(w, 0)*scale, -(halfAt(w, 2) * min)
	for i, x := range w[16+b/2*32:][:32] {
		u.v[i] = int16(x >> (b % 2 * 4) & 15)
	}
}

func unpackQ5_K(w []byte, u *unpacked, b int) {
	scale, min := pair45(w[4:16], b)
	u.dw, u.m[0] = halfAt(w, 0)*scale, -(halfAt(w, 2) * min)
	for i, x := range w[48+b/2*32:][:32] {
		u.v[i] = int16(x>>(b%2*4)&15 | w[16+i]>>b&1<<4)
	}
}

func unpackQ6_K(w []byte, u *unpacked, b int) {
	u.dw = halfAt(w, 208)
	n, j := b/4, b%4
	for i, x := range w[64*n+j%2*32:][:32] {
		u.v[i] = int16(x>>(j/2*4)&15|w[128+32*n+i]>>(2*j)&3<<4) - 32
	}
	u.s = [2]int32{int32(int8(w[192+2*b])), int32(int8(w[193+2*b]))}
}

func unpackQ3_K(w []byte, u *unpacked, b int) {
	u.dw = halfAt(w, 108)
	for i, x := range w[32+b/4*32:][:32] {
		u.v[i] = int16(x>>(b%4*2)&3|w[i]>>b&1<<2) - 4
	}
	for i := range u.s {
		n := 2*b + i // 16 scales: 4 low bits in 8 bytes, 2 high bits in 4
		u.s[i] = int32(w[96+n%8]>>(n/8*4)&15|w[104+n%4]>>(n/4*2)&3<<4) - 32
	}
}

func unpackQ2_K(w []byte, u *unpacked, b int) {
	u.dw = halfAt(w, 80)
	for i, x := range w[16+b/4*32:][:32] {
		u.v[i] = int16(x >> (b % 4 * 2) & 3)
	}
	for i := range u.s {
		x := w[2*b+i]
		u.s[i] = int32(x & 15)
		u.m[i] = -(halfAt(w, 82) * float32(x>>4))
	}
}
