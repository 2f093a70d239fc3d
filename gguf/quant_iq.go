package gguf

import "encoding/binary"

// The IQ4 formats of ggml: a 4-bit code picks one of 16 unevenly spaced values, denser near zero, where weights are.
// Layouts and values are those of ggml's public block structures. Elements j and j+16 of a run of 32 are the low and high
// four bits of byte j.
//
//	IQ4_NL   18 bytes for 32: d f16 | q 16                           x = d * value[q]
//	IQ4_XS  136 bytes for 256: d f16 | sh 2 | sl 4 | q 128           x = (d*(sc-32)) * value[q]
//
// IQ4_XS has 8 sub-blocks of 32. Scale i has 6 bits: four in the low (i even) or high half of sl byte i/2, two at bit 2i
// of the little-endian sh.

var iq4Values = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

// codebook16 fills y by codes of four bits: y[j], y[j+16] = d times the value of the low, high half of q[j].
func codebook16(y *[32]float32, q *[16]byte, d float32, values *[16]float32) {
	var x [16]float32
	for i, v := range values {
		x[i] = d * v
	}
	for j, c := range q {
		y[j] = x[c&15]
		y[j+16] = x[c>>4]
	}
}

func decodeIQ4_NL(dst []float32, src []byte) {
	for len(dst) >= 32 && len(src) >= 18 {
		codebook16((*[32]float32)(dst), (*[16]byte)(src[2:]), scaleAt(src), &iq4Values)
		dst, src = dst[32:], src[18:]
	}
}

func decodeIQ4_XS(dst []float32, src []byte) {
	for len(dst) >= 256 && len(src) >= 136 {
		b := (*[136]byte)(src)
		d, sh := scaleAt(b[:]), binary.LittleEndian.Uint16(b[2:])
		for i := range 8 {
			sc := b[4+i/2]>>(i%2*4)&15 | byte(sh>>(2*i)&3)<<4
			codebook16((*[32]float32)(dst[32*i:]), (*[16]byte)(b[8+16*i:]), d*float32(int(sc)-32), &iq4Values)
		}
		dst, src = dst[256:], src[136:]
	}
}

// nearest is the first code whose value times d is nearest to x.
func nearest(x, d float32, values *[16]float32) byte {
	best, least := 0, abs(d*values[0]-x)
	for i, v := range values {
		if e := abs(d*v - x); e < least {
			best, least = i, e
		}
	}
	return byte(best)
}

// The encoders are plain as those of the K formats: the value of largest magnitude is put on -127.

func encodeIQ4_NL(dst []byte, src []float32) error {
	d := largest(src) / iq4Values[0]
	if err := putScale(dst, d); err != nil {
		return err
	}
	d = scaleAt(dst)
	for j := range 16 {
		dst[2+j] = nearest(src[j], d, &iq4Values) | nearest(src[j+16], d, &iq4Values)<<4
	}
	return nil
}

func encodeIQ4_XS(dst []byte, src []float32) error {
	clear(dst)
	sc, d, err := signedScales(src, 32, 127, 31, func(d float32) error { return putScale(dst, d) })
	if err != nil {
		return err
	}
	sh := uint16(0)
	for i, s := range sc {
		dl := d * float32(s)
		s += 32
		dst[4+i/2] |= byte(s&15) << (i % 2 * 4)
		sh |= uint16(s>>4) << (2 * i)
		for j := range 16 {
			x := src[32*i+j:]
			dst[8+16*i+j] = nearest(x[0], dl, &iq4Values) | nearest(x[16], dl, &iq4Values)<<4
		}
	}
	binary.LittleEndian.PutUint16(dst[2:], sh)
	return nil
}
