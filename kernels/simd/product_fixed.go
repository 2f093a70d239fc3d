package simd

import (
	"encoding/binary"
	"math"

	"forge/gguf"
)

// Block fixed point. Many activation rows meet weights of F16 and BF16 not as floats but as integers of 16 bits, of which a CPU
// multiplies up to twice as many in a cycle. A block of 64 weights, or of 64 activations, is measured by its Euclidean norm:
//
//	n = max(sum of x^2, 2^-100)
//	q = round-to-nearest-even(x * (32767 / sqrt(n)))
//	d = sqrt(n) * (1/32767)
//
// in float32, and a product is, block after block,
//
//	acc = 0
//	acc = fma(dw*da, float32(sum of qw*qa), acc)
//
// No sum of products leaves int32, however long the block and whatever its values: it is at most the product of the two norms,
// which are 32767 and what rounding adds, so about 2^30. And the error of rounding is 7e-5 of the norm (64 errors of
// 1/sqrt(12) to 32767), whether the numbers of a block are alike or one stands out. To round to float16, as others do with
// activations, is an error of 2e-4, to bfloat16 one of 1.6e-3.
//
// A block with a NaN or an infinity, or with a norm of 2^64 or more, has the scale NaN and makes NaN of every result that it has a
// part in. A block whose norm is below 2^-50 loses bits, and at last becomes 0.
//
// The sum of squares has its own order. Of weights, acc[0] = fma(x[k], x[k], acc[0]) over the even k and acc[1] over the odd,
// then acc[0]+acc[1]; of activations eight such sums, acc[l] over the k with k%8 == l, then l with l+4, l with l+2, l with l+1.
//
// Whether rows are multiplied like this depends on their number alone, fixedRows, not on the instruction set or the share.

const (
	fixedElems = 64 // of a block
	fixedScale = 2 * fixedElems
	fixedBlock = 2*fixedElems + 4 // bytes of an activation block: int16 and the scale; the generator has the same
	fixedTop   = 32767
	fixedFloor = 0x1p-100
)

// fixed tells whether the product is one of those.
func (p *product) fixed() bool { return p.typ == gguf.F16 || p.typ == gguf.BF16 }

// fixedScales gives the factor and the scale of a block by its sum of squares.
func fixedScales(squares float32) (factor, scale float32) {
	if squares < fixedFloor {
		squares = fixedFloor
	}
	norm := float32(math.Sqrt(float64(squares)))
	factor, scale = fixedTop/norm, norm*(float32(1)/fixedTop)
	if squares-squares != 0 {
		scale = float32(math.NaN())
	}
	return factor, scale
}

// fixedRound is one number of a block; it does not matter what becomes of a NaN, since the scale is one.
func fixedRound(x, factor float32) int16 {
	v := float64(x * factor)
	if math.IsNaN(v) {
		return math.MinInt16
	}
	return int16(math.RoundToEven(v))
}

// roundFixedGeneric rounds blocks of activations.
func roundFixedGeneric(dst []byte, x []float32) {
	le := binary.LittleEndian
	for ; len(x) > 0; dst, x = dst[fixedBlock:], x[fixedElems:] {
		var sum [8]float32
		for k, v := range x[:fixedElems] {
			sum[k%8] = fma32(v, v, sum[k%8])
		}
		for n := 4; n > 0; n /= 2 {
			for l := range n {
				sum[l] += sum[l+n]
			}
		}
		factor, scale := fixedScales(sum[0])
		for k, v := range x[:fixedElems] {
			le.PutUint16(dst[2*k:], uint16(fixedRound(v, factor)))
		}
		le.PutUint32(dst[fixedScale:], math.Float32bits(scale))
	}
}

// roundFixedWeights rounds a block of weights to q and returns its scale.
func roundFixedWeights(q []int16, w []float32) float32 {
	var sum [2]float32
	for k, v := range w {
		sum[k%2] = fma32(v, v, sum[k%2])
	}
	factor, scale := fixedScales(sum[0] + sum[1])
	for k, v := range w {
		q[k] = fixedRound(v, factor)
	}
	return scale
}

// fixedGeneric is the plain Go form for one weight row, w, and some activation rows.
func (p *product) fixedGeneric(out []float32, ldo, o int, w []float32, a *acts, r0, r1 int) {
	le := binary.LittleEndian
	for r := r0; r < r1; r++ {
		out[r*ldo+o] = 0
	}
	for b := 0; b < a.k/fixedElems; b++ {
		var q [fixedElems]int16
		scale := roundFixedWeights(q[:], w[fixedElems*b:][:fixedElems])
		for r := r0; r < r1; r++ {
			block := a.fixedRow(r)[b*fixedBlock:][:fixedBlock]
			var sum int32
			for k, v := range q {
				sum += int32(v) * int32(int16(le.Uint16(block[2*k:])))
			}
			acc := &out[r*ldo+o]
			*acc = fma32(scale*math.Float32frombits(le.Uint32(block[fixedScale:])), float32(sum), *acc)
		}
	}
}

// rowsFixed is rows in block fixed point.
func (p *product) rowsFixed(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	k := p.asm.fixed
	if k.rows == 0 {
		s.row.f = grow(s.row.f, a.k)
		for o := o0; o < o1; o++ {
			for i := range s.row.f {
				s.row.f[i] = p.row.float(w[o*rowBytes:], i)
			}
			p.fixedGeneric(out, ldo, o, s.row.f, a, r0, r1)
		}
		return
	}
	panels := (o1 - o0) / k.rows
	p.fixedPanels(out[r0*ldo+o0:], ldo, w[o0*rowBytes:], rowBytes, panels, a, r0, r1, s)
	if o0 += panels * k.rows; o0 == o1 {
		return
	}
	// The rest are the first rows of a panel of their own.
	n := o1 - o0
	s.rest = grow(s.rest, k.rows*rowBytes)
	clear(s.rest[copy(s.rest, w[o0*rowBytes:o1*rowBytes]):])
	s.restOut = grow(s.restOut, (r1-r0)*k.rows)
	p.fixedPanels(s.restOut, k.rows, s.rest, rowBytes, 1, a, r0, r1, s)
	for r := r0; r < r1; r++ {
		copy(out[r*ldo+o0:r*ldo+o1], s.restOut[(r-r0)*k.rows:][:n])
	}
}

// fixedPanels multiplies panels of weight rows, two at a time; an odd one stands for two. Row r0's first result is out[0].
func (p *product) fixedPanels(out []float32, ldo int, w []byte, rowBytes, panels int, a *acts, r0, r1 int, s *scratch) {
	k, stride := p.asm.fixed, a.fixedStride()
	size := a.k / fixedElems * k.panelBytes
	batch := max(panelBudget/(2*size), 1) * 2
	panel := s.panels(min(batch, panels) * size)
	tiles := (r1 - r0 + wideTile - 1) / wideTile
	for first := 0; first < panels; first += batch {
		last := min(first+batch, panels)
		for i := first; i < last; i++ {
			k.pack(&panel[(i-first)*size], &w[i*k.rows*rowBytes], rowBytes, a.k/fixedElems)
		}
		for t, r := 0, 0; t < tiles; t++ {
			many := (r1 - r0 - r + tiles - t - 1) / (tiles - t)
			tile := k.tiles[many-wideTileMin]
			for i := first; i < last; i += 2 {
				second := min(i+1, last-1)
				tile(&out[r*ldo+i*k.rows], &out[r*ldo+second*k.rows], ldo, &panel[(i-first)*size], (second-i)*size, &a.fixed[(r0+r)*stride],
					stride, a.k/fixedElems)
			}
			r += many
		}
	}
}
