package simd

import (
	"encoding/binary"
	"math"

	"forge/gguf"
)

// The plain Go form of every product: the definition of the integers and floats that the kernels must reproduce bit for bit,
// and what runs on CPUs without kernels. A weight row is unpacked once and used for all activation rows.

// generic unpacks one block of a type.
type generic struct {
	unpack func(block []byte, u *unpacked, b int) // nil: a float type
	float  func(w []byte, k int) float32
	sub    int // blocks of 32 in the type's block
}

// unpacked is one block of 32 weights: value i is dw * s[i/16] * v[i] + m[i/16].
type unpacked struct {
	v  [32]int16
	s  [2]int32
	dw float32
	m  [2]float32
}

// genericRow is scratch for one unpacked row.
type genericRow struct {
	u []unpacked
	f []float32
}

// generics has an entry for every type that has a product.
var generics = map[gguf.Type]generic{
	gguf.F32:    {float: func(w []byte, k int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(w[4*k:])) }},
	gguf.F16:    {float: func(w []byte, k int) float32 { return halfAt(w, 2*k) }},
	gguf.BF16:   {float: func(w []byte, k int) float32 { return gguf.BF16ToF32(binary.LittleEndian.Uint16(w[2*k:])) }},
	gguf.Q4_0:   {sub: 1, unpack: unpackQ4_0},
	gguf.Q4_1:   {sub: 1, unpack: unpackQ4_1},
	gguf.Q5_0:   {sub: 1, unpack: unpackQ5_0},
	gguf.Q5_1:   {sub: 1, unpack: unpackQ5_1},
	gguf.Q8_0:   {sub: 1, unpack: unpackQ8_0},
	gguf.IQ4_NL: {sub: 1, unpack: unpackIQ4_NL},
	gguf.MXFP4:  {sub: 1, unpack: unpackMXFP4},
	gguf.Q2_K:   {sub: 8, unpack: unpackQ2_K},
	gguf.Q3_K:   {sub: 8, unpack: unpackQ3_K},
	gguf.Q4_K:   {sub: 8, unpack: unpackQ4_K},
	gguf.Q5_K:   {sub: 8, unpack: unpackQ5_K},
	gguf.Q6_K:   {sub: 8, unpack: unpackQ6_K},
	gguf.IQ4_XS: {sub: 8, unpack: unpackIQ4_XS},
}

func (p *product) rowsGeneric(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *genericRow) {
	for o := o0; o < o1; o++ {
		row := w[o*rowBytes:]
		if p.row.float != nil {
			s.f = grow(s.f, a.k)
			for k := range s.f {
				s.f[k] = p.row.float(row, k)
			}
			for r := r0; r < r1; r++ {
				out[r*ldo+o] = dotFloats(s.f, a.x[r*a.k:(r+1)*a.k])
			}
			continue
		}
		s.u = grow(s.u, a.k/32)
		size := p.typ.BlockBytes()
		for b := range s.u {
			s.u[b] = unpacked{s: [2]int32{1, 1}}
			p.row.unpack(row[b/p.row.sub*size:], &s.u[b], b%p.row.sub)
		}
		stride := a.stride()
		for r := r0; r < r1; r++ {
			out[r*ldo+o] = p.dotUnpacked(s.u, a.blocks[r*stride:(r+1)*stride])
		}
	}
}

// place is where block b of a row of n stands in groups of 8: the blocks of an incomplete last group are its last.
func place(b, n int) int {
	if rest := n % groupBlocks; b >= n-rest {
		return b + (groupBlocks-rest)%groupBlocks
	}
	return b
}

// dotUnpacked is the float order of product.go.
func (p *product) dotUnpacked(u []unpacked, a []byte) float32 {
	var lanes [groupBlocks]float32
	le := binary.LittleEndian
	for i := range u {
		w, at := &u[i], place(i, len(u))
		block := a[at*actBlock:][:actBlock]
		float := func(at int) float32 { return math.Float32frombits(le.Uint32(block[at:])) }
		acc := &lanes[at%groupBlocks]
		*acc = fma32(w.dw*float(actScale), float32(w.isum(block)), *acc)
		switch p.typ {
		case gguf.Q4_1, gguf.Q5_1, gguf.Q4_K, gguf.Q5_K:
			*acc = fma32(w.m[0], float(actDSum), *acc)
		case gguf.Q2_K:
			*acc = fma32(w.m[0], float(actDSum16), *acc)
			*acc = fma32(w.m[1], float(actDSum16+4), *acc)
		}
	}
	var sum float32
	for _, t := range lanes {
		sum += t
	}
	return sum
}

// isum is the integer sum of a block.
func (u *unpacked) isum(a []byte) int32 {
	var sum [2]int32
	for i, v := range u.v {
		sum[i/16] += int32(v) * int32(int8(a[i]))
	}
	return u.s[0]*sum[0] + u.s[1]*sum[1]
}

func dotFloats(w, x []float32) float32 {
	var acc [8]float32
	for k, v := range w {
		acc[k%8] = fma32(v, x[k], acc[k%8])
	}
	return ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]))
}

// fma32 is a*b+c rounded once. The product of two float32 is exact in float64; the sum is rounded there to odd (an inexact
// result gets its last bit set), after which rounding to float32 cannot go wrong by rounding twice.
func fma32(a, b, c float32) float32 {
	p, q := float64(a)*float64(b), float64(c)
	s := p + q
	t := s - p
	rest := (p - (s - t)) + (q - t)
	if bits := math.Float64bits(s); bits&1 == 0 && (rest < 0 || rest > 0) {
		if (rest > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}

// grow returns s with length n and no promise about its contents.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func halfAt(b []byte, at int) float32 { return gguf.F16ToF32(binary.LittleEndian.Uint16(b[at:])) }
