package gguf

// The K formats of ggml: a super-block of 256 elements in sub-blocks of 16 or 32, whose scales are themselves quantised
// and share one or two half-precision numbers. Layouts and formulas are those of ggml's public block structures; products
// are taken in the order written, each rounded to float32 (no fused multiply-add).
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

func decodeQ2_K(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 84 {
		b := (*[84]byte)(src)
		d, m := scaleAt(b[80:]), scaleAt(b[82:])
		for i, s := range b[:16] {
			y := (*[16]float32)(dst[16*i:])
			q := (*[16]byte)(b[16+i/8*32+i%2*16:])
			shift := i / 2 % 4 * 2
			dl, ml := d*float32(s&15), m*float32(s>>4)
			x := [4]float32{0*dl - ml, dl - ml, float32(2*dl) - ml, float32(3*dl) - ml}
			for l, v := range q {
				y[l] = x[v>>shift&3]
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
			q := (*[16]byte)(b[32+i/8*32+i%2*16:])
			h := (*[16]byte)(b[i%2*16:])
			shift, bit := i/2%4*2, i/2
			sc := b[96+i%8]>>(i/8*4)&15 | b[104+i%4]>>(i/4*2)&3<<4
			dl := d * float32(int(sc)-32)
			x := [8]float32{-4 * dl, -3 * dl, -2 * dl, -1 * dl, 0 * dl, dl, 2 * dl, 3 * dl}
			for l, v := range q {
				y[l] = x[v>>shift&3|h[l]>>bit&1<<2]
			}
		}
		dst, src = dst[256:], src[110:]
	}
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
				y[l] = float32(d0*float32(q&15)) - m0
				y[l+32] = float32(d1*float32(q>>4)) - m1
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
				y[l] = float32(d0*float32(q&15|hi&1<<4)) - m0
				y[l+32] = float32(d1*float32(q>>4|hi&2<<3)) - m1
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
			q := (*[16]byte)(b[64*n+k%2*32+half:])
			h := (*[16]byte)(b[128+32*n+half:])
			low, high := k/2*4, 2*k
			dl := d * float32(int8(s))
			for l, v := range q {
				y[l] = dl * float32(int(v>>low&15|h[l]>>high&3<<4)-32)
			}
		}
		dst, src = dst[256:], src[210:]
	}
}
