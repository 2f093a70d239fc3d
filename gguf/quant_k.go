package gguf

import "encoding/binary"

// The K formats of ggml: a super-block of 256 elements in sub-blocks of 16 or 32, whose scales are themselves quantised
// and share one or two half-precision numbers. Layouts and formulas are those of ggml's public block structures. Products of
// an 11-bit d, a scale of 6 or 8 bits and a code of 6 or fewer are exact in float32: their order and fusing change no bits.
//
//	Q2_K   84 bytes: s 16 | q 64 | d f16 | m f16               x = (d*sc) * q - m*mn     sub-blocks of 16, q 0..3
//	Q3_K  110 bytes: h 32 | q 64 | s 12 | d f16                x = (d*(sc-32)) * (q-4)   sub-blocks of 16, q 0..7
//	Q4_K  144 bytes: d f16 | m f16 | s 12 | q 128              x = (d*sc) * q - m*mn     sub-blocks of 32, q 0..15
//	Q5_K  176 bytes: d f16 | m f16 | s 12 | h 32 | q 128       x = (d*sc) * q - m*mn     sub-blocks of 32, q 0..31
//	Q6_K  210 bytes: q 128 | h 64 | s 16 signed | d f16        x = (d*sc) * (q-32)       sub-blocks of 16, q 0..63
//
// Where the bits are. Q2_K and Q3_K: elements 128n+32k+l, l 0..31, are bits 2k and 2k+1 of q byte 32n+l; Q3_K's third bit
// is bit 4n+k of h byte l. Q4_K and Q5_K: elements 64n+l are the low and 64n+32+l the high four bits of q byte 32n+l;
// Q5_K's fifth bit is bit i of h byte l for sub-block i. Q6_K: elements 128n+32k+l have their four low bits in q byte
// 64n+32(k%2)+l, low half for k 0 and 1, and their two high bits at bit 2k of h byte 32n+l.
//
// Scales. Q2_K: sc is the low and mn the high half of s byte i. Q3_K: sc has 6 bits, four in the low (i < 8) or high half
// of byte i%8, two at bit 2(i/4) of byte 8+i%4. Q4_K and Q5_K: see scaleMin. Q6_K: sc is s byte i.

// Codes are taken out of eight bytes at a time: shift and mask the word, then peel bytes off its low end.
const (
	lowBits2 = 0x0303030303030303
	lowBits4 = 0x0f0f0f0f0f0f0f0f
	lowBit   = 0x0101010101010101
)

func decodeQ2_K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 84 {
		b := (*[84]byte)(src)
		d, m := scaleAt(b[80:]), scaleAt(b[82:])
		for i, s := range b[:16] {
			y := (*[16]float32)(dst[16*i:])
			dl, ml := d*float32(s&15), m*float32(s>>4)
			x := [4]float32{0*dl - ml, dl - ml, 2*dl - ml, 3*dl - ml}
			q0, q1 := words(b[16+i/8*32+i%2*16:], i/2%4*2, lowBits2)
			for l := range 8 {
				y[l], y[l+8] = x[q0&3], x[q1&3]
				q0, q1 = q0>>8, q1>>8
			}
		}
		dst, src = dst[256:], src[84:]
	}
}

func decodeQ3_K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 110 {
		b := (*[110]byte)(src)
		d := scaleAt(b[108:])
		for i := range 16 {
			y := (*[16]float32)(dst[16*i:])
			sc := b[96+i%8]>>(i/8*4)&15 | b[104+i%4]>>(i/4*2)&3<<4
			dl := d * float32(int(sc)-32)
			x := [8]float32{-4 * dl, -3 * dl, -2 * dl, -1 * dl, 0 * dl, dl, 2 * dl, 3 * dl}
			q0, q1 := words(b[32+i/8*32+i%2*16:], i/2%4*2, lowBits2)
			h0, h1 := words(b[i%2*16:], i/2, lowBit)
			q0, q1 = q0|h0<<2, q1|h1<<2
			for l := range 8 {
				y[l], y[l+8] = x[q0&7], x[q1&7]
				q0, q1 = q0>>8, q1>>8
			}
		}
		dst, src = dst[256:], src[110:]
	}
}

// words loads 16 bytes and keeps, of each byte, the bits of mask from bit shift up.
func words(b []byte, shift int, mask uint64) (uint64, uint64) {
	return binary.LittleEndian.Uint64(b) >> uint(shift) & mask, binary.LittleEndian.Uint64(b[8:]) >> uint(shift) & mask
}

// scaleMin unpacks the scale and minimum, 6 bits each, of sub-block i (0..7) from the 12 bytes of Q4_K and Q5_K. Below 4
// they are the low six bits of bytes i and i+4; from 4 on byte i+4 has both lower halves (scale low, minimum high), and
// the two upper bits are those left over in bytes i-4 and i.
func scaleMin(s *[12]byte, i int) (sc, mn byte) {
	if i < 4 {
		return s[i] & 63, s[i+4] & 63
	}
	return s[i+4]&15 | s[i-4]>>6<<4, s[i+4]>>4 | s[i]>>6<<4
}

func decodeQ4_K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 144 {
		b := (*[144]byte)(src)
		d, m, s := scaleAt(b[:]), scaleAt(b[2:]), (*[12]byte)(b[4:])
		for n := range 4 {
			y := (*[64]float32)(dst[64*n:])
			sc, mn := scaleMin(s, 2*n)
			d0, m0 := d*float32(sc), m*float32(mn)
			sc, mn = scaleMin(s, 2*n+1)
			d1, m1 := d*float32(sc), m*float32(mn)
			for l, q := range (*[32]byte)(b[16+32*n:]) {
				y[l] = d0*float32(q&15) - m0
				y[l+32] = d1*float32(q>>4) - m1
			}
		}
		dst, src = dst[256:], src[144:]
	}
}

func decodeQ5_K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 176 {
		b := (*[176]byte)(src)
		d, m, s := scaleAt(b[:]), scaleAt(b[2:]), (*[12]byte)(b[4:])
		h := (*[32]byte)(b[16:])
		for n := range 4 {
			y := (*[64]float32)(dst[64*n:])
			sc, mn := scaleMin(s, 2*n)
			d0, m0 := d*float32(sc), m*float32(mn)
			sc, mn = scaleMin(s, 2*n+1)
			d1, m1 := d*float32(sc), m*float32(mn)
			for l, q := range (*[32]byte)(b[48+32*n:]) {
				hi := h[l] >> (2 * n)
				y[l] = d0*float32(q&15|hi&1<<4) - m0
				y[l+32] = d1*float32(q>>4|hi&2<<3) - m1
			}
		}
		dst, src = dst[256:], src[176:]
	}
}

func decodeQ6_K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 210 {
		b := (*[210]byte)(src)
		d := scaleAt(b[208:])
		for i, s := range b[192:208] {
			y := (*[16]float32)(dst[16*i:])
			n, k, half := i/8, i/2%4, i%2*16
			q0, q1 := words(b[64*n+k%2*32+half:], k/2*4, lowBits4)
			h0, h1 := words(b[128+32*n+half:], 2*k, lowBits2)
			q0, q1 = q0|h0<<4, q1|h1<<4
			dl := d * float32(int8(s))
			for l := range 8 {
				y[l], y[l+8] = dl*float32(int32(q0&63)-32), dl*float32(int32(q1&63)-32)
				q0, q1 = q0>>8, q1>>8
			}
		}
		dst, src = dst[256:], src[210:]
	}
}

// The encoders below are plain: scales follow from the extremes of each sub-block, and codes are the nearest ones under the
// scales as they will be decoded. ggml's own search for the scales of least error, so its bytes differ and are better.

// rangeScales fits sub-blocks of n elements with codes 0..limit over [min(0, lowest), highest]: d and m in half precision for
// the block, and scales and minimums 0..top for each sub-block.
func rangeScales(src []float32, n int, limit, top float32, put func(d, m float32) error) (sc, mn []byte, d, m float32, err error) {
	count := len(src) / n
	steps, lows := make([]float32, count), make([]float32, count)
	for i := range count {
		lo, hi := bounds(src[i*n : (i+1)*n])
		lo, hi = min(lo, 0), max(hi, 0)
		steps[i], lows[i] = (hi-lo)/limit, -lo
	}
	d, m = magnitude(steps)/top, magnitude(lows)/top
	if err = put(d, m); err != nil {
		return
	}
	d, m = F16ToF32(F32ToF16(d)), F16ToF32(F32ToF16(m))
	sc, mn = make([]byte, count), make([]byte, count)
	for i := range count {
		sc[i] = code(steps[i], inverse(d), 0.5, byte(top))
		mn[i] = code(lows[i], inverse(m), 0.5, byte(top))
	}
	return
}

// rangeCodes is the nearest code 0..limit of each element, given the scales that rangeScales made.
func rangeCodes(src []float32, n int, limit byte, sc, mn []byte, d, m float32) []byte {
	codes := make([]byte, len(src))
	for i, x := range src {
		dl, ml := d*float32(sc[i/n]), m*float32(mn[i/n])
		codes[i] = code(x+ml, inverse(dl), 0.5, limit)
	}
	return codes
}

func encodeQ2_K(dst []byte, src []float32) error {
	clear(dst)
	sc, mn, d, m, err := rangeScales(src, 16, 3, 15, func(d, m float32) error { return putScales(dst[80:], d, m) })
	if err != nil {
		return err
	}
	for i := range sc {
		dst[i] = sc[i] | mn[i]<<4
	}
	for i, q := range rangeCodes(src, 16, 3, sc, mn, d, m) {
		dst[16+i/128*32+i%32] |= q << (i / 32 % 4 * 2)
	}
	return nil
}

// putScaleMin packs what scaleMin unpacks.
func putScaleMin(s []byte, sc, mn []byte) {
	for i := range 4 {
		s[i] = sc[i] | sc[i+4]>>4<<6
		s[i+4] = mn[i] | mn[i+4]>>4<<6
		s[i+8] = sc[i+4]&15 | mn[i+4]<<4
	}
}

func encodeQ4_K(dst []byte, src []float32) error {
	clear(dst)
	sc, mn, d, m, err := rangeScales(src, 32, 15, 63, func(d, m float32) error { return putScales(dst, d, m) })
	if err != nil {
		return err
	}
	putScaleMin(dst[4:16], sc, mn)
	for i, q := range rangeCodes(src, 32, 15, sc, mn, d, m) {
		dst[16+i/64*32+i%32] |= q << (i / 32 % 2 * 4)
	}
	return nil
}

func encodeQ5_K(dst []byte, src []float32) error {
	clear(dst)
	sc, mn, d, m, err := rangeScales(src, 32, 31, 63, func(d, m float32) error { return putScales(dst, d, m) })
	if err != nil {
		return err
	}
	putScaleMin(dst[4:16], sc, mn)
	for i, q := range rangeCodes(src, 32, 31, sc, mn, d, m) {
		dst[48+i/64*32+i%32] |= q & 15 << (i / 32 % 2 * 4)
		dst[16+i%32] |= q >> 4 << (i / 32)
	}
	return nil
}

// signedScales fits sub-blocks of n elements with codes symmetric but for one more below: the value of largest magnitude is
// put on the lowest code, -low. d is for the block, in half precision as decoded, with signed scales up to top.
func signedScales(src []float32, n int, low, top float32, put func(d float32) error) (sc []int32, d float32, err error) {
	steps := make([]float32, len(src)/n)
	for i := range steps {
		steps[i] = largest(src[i*n:(i+1)*n]) / -low
	}
	d = magnitude(steps) / top
	if err = put(d); err != nil {
		return
	}
	d = F16ToF32(F32ToF16(d))
	sc = make([]int32, len(steps))
	for i, s := range steps {
		sc[i] = min(max(round(float32(s*inverse(d))), int32(-top)), int32(top))
	}
	return
}

func encodeQ3_K(dst []byte, src []float32) error {
	clear(dst)
	sc, d, err := signedScales(src, 16, 4, 31, func(d float32) error { return putScale(dst[108:], d) })
	if err != nil {
		return err
	}
	for i, s := range sc {
		s += 32
		dst[96+i%8] |= byte(s&15) << (i / 8 * 4)
		dst[104+i%4] |= byte(s>>4) << (i / 4 * 2)
	}
	for i, x := range src {
		q := code(x, inverse(d*float32(sc[i/16])), 4.5, 7)
		dst[32+i/128*32+i%32] |= q & 3 << (i / 32 % 4 * 2)
		dst[i%32] |= q >> 2 << (i / 32)
	}
	return nil
}

func encodeQ6_K(dst []byte, src []float32) error {
	clear(dst)
	sc, d, err := signedScales(src, 16, 32, 127, func(d float32) error { return putScale(dst[208:], d) })
	if err != nil {
		return err
	}
	for i, s := range sc {
		dst[192+i] = byte(int8(s))
	}
	for i, x := range src {
		q := code(x, inverse(d*float32(sc[i/16])), 32.5, 63)
		n, k, l := i/128, i/32%4, i%32
		dst[64*n+k%2*32+l] |= q & 15 << (k / 2 * 4)
		dst[128+32*n+l] |= q >> 4 << (2 * k)
	}
	return nil
}
