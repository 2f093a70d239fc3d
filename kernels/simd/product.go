package simd

import (
	"fmt"

	"forge/gguf"
)

// The float order. A row's blocks of 32 come in groups of 8; if the last group is incomplete, its blocks are that group's
// last. Lane l has block l of every group. For a quantised weight type, one output o and one activation row r:
//
//	for each lane l:
//	    acc[l] = 0
//	    for each block of the lane, in order:
//	        acc[l] = fma(dw*da, float32(isum), acc[l])
//	        acc[l] = fma(m, da*float32(asum), acc[l])       Q4_1, Q5_1, Q4_K, Q5_K
//	        acc[l] = fma(m0, da*float32(asum0), acc[l])     Q2_K: the minimums of the first
//	        acc[l] = fma(m1, da*float32(asum1), acc[l])           and the second 16
//	result = 0 + acc[0] + acc[1] + ... + acc[7]
//
// so that a kernel for one activation row can read a weight row from its beginning to its end, which is what memory is
// fastest at, with a lane of a vector for each block of a group, and a kernel for many can have a lane for each weight row.
// It holds for all finite weights; a block whose scale is no number may spoil a row in other ways.
//
// Every operation rounds to float32 once; da, asum, asum0 and asum1 are the activation block's scale and sums (of
// all 32, of the first and of the last 16), and of the weights
//
//	        dw                   isum, exact in int32                  m
//	Q4_0    d                    sum (u-8)*a
//	Q4_1    d                    sum u*a                               m
//	Q5_0    d                    sum (u-16)*a
//	Q5_1    d                    sum u*a                               m
//	Q8_0    d                    sum q*a
//	IQ4_NL  d                    sum table[u]*a
//	IQ4_XS  d*(s-32)             sum table[u]*a
//	MXFP4   2^(e-128)            sum doubled[u]*a
//	Q2_K    d                    s0*sum0 u*a + s1*sum1 u*a             -(dmin*m0), -(dmin*m1)
//	Q3_K    d                    s0*sum0 (u-4)*a + s1*sum1 (u-4)*a
//	Q4_K    d*s                  sum u*a                               -(dmin*m)
//	Q5_K    d*s                  sum u*a                               -(dmin*m)
//	Q6_K    d                    s0*sum0 (u-32)*a + s1*sum1 (u-32)*a
//
// For float weights (F32, F16, BF16) there are eight sums, acc[l] = fma(w[k], x[k], acc[l]) over the k with k%8 == l in
// order, and the result is ((acc0+acc1) + (acc2+acc3)) + ((acc4+acc5) + (acc6+acc7)).
//
// Every kernel of every instruction set keeps to this, so a result has the same bits whatever the number of rows that
// share a call, the split into shares, and the CPU. One thing departs from it: on amd64, fixedRows and more activation rows
// that come with their fixed point (acts) meet F16 and BF16 weights in the order of product_fixed.go. That too is the same
// for every share and instruction set, but not for every number of rows, and Options.Deterministic forbids it.

// product multiplies the rows of a weight matrix, as they lie in the file, with activation rows.
type product struct {
	typ gguf.Type
	row generic // the plain Go form
	isa isa
	asm kernelSet // without dot: plain Go
}

// products holds what productFor returns, by instruction set and type.
var products = func() (t [isaCount]map[gguf.Type]*product) {
	for i := range t {
		t[i] = map[gguf.Type]*product{}
		for typ, g := range generics {
			t[i][typ] = &product{typ: typ, row: g, isa: isa(i), asm: kernelsFor(typ, isa(i))}
		}
	}
	return t
}()

// productFor returns the product for weights of type t on this CPU.
func productFor(t gguf.Type) (*product, error) {
	if levelErr != nil {
		return nil, levelErr
	}
	p, ok := products[level][t]
	if !ok {
		return nil, fmt.Errorf("no product for weights of type %v: requantise the model to one of Q4_K, Q6_K or Q8_0", t)
	}
	return p, nil
}

// floats tells that the product reads activations as floats, not rounded.
func (p *product) floats() bool { return p.row.float != nil }

// scratch is one worker's memory for products. It grows to the largest product seen and stays.
type scratch struct {
	panel []byte // unpacked weights
	// The sums of a few activation rows, with room to align them.
	few  [fewMost*groupBlocks*panelRows + 16]float32
	sums []float32   // of a float panel
	out8 [16]float32 // the results of an octet that is wider than the share, for two activation rows
	row  genericRow
	// Of block fixed point: the last weight rows of a share where they fill no panel, and their results.
	rest    []byte
	restOut []float32
}

const (
	octet       = 8          // weight rows of a dot kernel
	panelRows   = 16         // weight rows of a panel
	dotRows     = 2          // activation rows of a dot kernel, at most
	panelBudget = 256 * 1024 // bytes of panels that are unpacked at once
	pieceBlocks = 16         // blocks of a panel of which both halves are unpacked together, a multiple of 8
)

// dotMax is the largest number of activation rows for which dot kernels are best, where there are few kernels and where there are
// none.
func dotMax(few bool) int {
	if few {
		return dotRows
	}
	return 2 * dotRows
}

// fewMax is the largest number of activation rows for which unpacking into registers beats panels, with the kernels of 512
// bits and without.
func fewMax(wide bool) int {
	if wide {
		return fewMost
	}
	return fewMost * 3 / 4
}

const fewMost = 32

// rows computes out[r*ldo+o] for the weight rows o in [o0, o1) and the activation rows r in [r0, r1): one worker's share.
// Row o of the weights starts at w[o*rowBytes] and has as many values as the rows of a. Nothing outside these weight rows
// is read and nothing outside these outputs is written.
func (p *product) rows(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	if o0 >= o1 || r0 >= r1 {
		return
	}
	// The kernels trust their pointers: let Go check the last of each.
	_ = out[r0*ldo+o0]
	_ = out[(r1-1)*ldo+o1-1]
	_ = w[o0*rowBytes]
	_ = w[(o1-1)*rowBytes+p.typ.RowBytes(a.k)-1]
	if p.floats() {
		_ = a.x[r0*a.k]
		_ = a.x[r1*a.k-1]
		if len(a.fixed) > 0 {
			_ = a.fixed[r1*a.fixedStride()-1]
		}
	} else {
		_ = a.blocks[r0*a.stride()]
		_ = a.blocks[r1*a.stride()-1]
		_ = a.lanes[r1*a.stride()-1]
	}
	n, incomplete := o1-o0, a.k < 32*groupBlocks
	switch {
	case p.fixed() && len(a.fixed) > 0 && r1-r0 >= fixedRows:
		p.rowsFixed(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	case p.asm.elems == 0 || a.k%p.asm.elems != 0 || n < octet && incomplete && !p.floats():
		p.rowsGeneric(out, ldo, w, rowBytes, o0, o1, a, r0, r1, &s.row)
	case p.floats():
		p.rowsFloat(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	case n < octet || r1-r0 <= dotMax(p.asm.narrow.few != nil) && !incomplete:
		p.rowsDot(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	case p.asm.narrow.few != nil && r1-r0 <= fewMax(p.asm.wide.few != nil):
		p.rowsFew(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	case p.asm.wide.pack != nil && n >= 2*panelRows:
		p.rowsGemmWide(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	default:
		p.rowsGemm(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	}
}

// rowsDot reads the weights once for every two activation rows, 8 weight rows in a call at least. What is left over is done by
// going back: the last 8 rows again. A share of fewer than 8 rows takes each of them 8 times, with a distance of 0 between
// them.
func (p *product) rowsDot(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	n, stride, groups, back := o1-o0, a.stride(), a.groups(), 0
	if rest := a.k / 32 % groupBlocks; rest != 0 {
		back = (groupBlocks - rest) * p.typ.BlockBytes()
	}
	for r := r0; r < r1; r += dotRows {
		many := min(dotRows, r1-r)
		dot, blocks, lanes := p.asm.narrow.dot[many-1], &a.blocks[r*stride], &a.lanes[r*stride]
		if n < octet {
			for o := o0; o < o1; o++ {
				dot(&s.out8[0], octet, &w[o*rowBytes], 0, 1, blocks, lanes, stride, groups, back)
				for j := range many {
					out[(r+j)*ldo+o] = s.out8[j*octet]
				}
			}
			continue
		}
		dot(&out[r*ldo+o0], ldo, &w[o0*rowBytes], rowBytes, n/octet, blocks, lanes, stride, groups, back)
		if n%octet != 0 {
			dot(&out[r*ldo+o1-octet], ldo, &w[(o1-octet)*rowBytes], rowBytes, 1, blocks, lanes, stride, groups, back)
		}
	}
}

// rowsFew unpacks 8 or 16 weight rows at a time into registers and multiplies them with all activation rows.
func (p *product) rowsFew(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	few, group, wide := p.asm.narrow.few, octet, false
	if p.asm.wide.few != nil && o1-o0 >= panelRows {
		few, group, wide = p.asm.wide.few, panelRows, true
	}
	rows, stride, sub := r1-r0, a.stride(), p.asm.elems/32
	full, rest := a.k/32/groupBlocks*groupBlocks, a.k/32%groupBlocks
	sums := aligned(s.few[:])[:rows*groupBlocks*group]
	for o := o0; o < o1; o += group {
		o := min(o, o1-group)
		clear(sums)
		at := o * rowBytes
		if full > 0 {
			few(&sums[0], &w[at], rowBytes, &a.blocks[r0*stride], stride, rows, full/sub, 0)
		}
		if rest > 0 {
			lane := groupBlocks - rest
			few(&sums[0], &w[at+full*p.typ.BlockBytes()], rowBytes, &a.blocks[r0*stride+(full+lane)*actBlock], stride, rows, rest, lane)
		}
		endFew(wide, &out[r0*ldo+o], ldo, &sums[0], rows)
	}
}

// rowsGemm unpacks panels of 16 weight rows and multiplies them with the activation rows, 4 at a time: as many panels at once
// as fit the second-level cache, so that 4 activation rows meet them all while they are in the first. The last 8 weight rows of
// a share go back like rowsDot's, and an odd octet is unpacked twice to make a panel.
func (p *product) rowsGemm(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	k, stride := &p.asm.narrow, a.stride()
	full, rest := a.k/32/groupBlocks, a.k/32%groupBlocks
	size := a.groups() * groupBlocks * k.panelBytes
	panels := ((o1-o0+octet-1)/octet + 1) / 2
	batch := min(max(panelBudget/size, 1), panels)
	panel := s.panels(batch * size)
	for first := 0; first < panels; first += batch {
		last := min(first+batch, panels)
		for i := first; i < last; i++ {
			p.packPanel(panel[(i-first)*size:], w, rowBytes, o0, o1, i, full, rest)
		}
		for r := r0; r < r1; {
			gemm, many := k.gemm.four, 4
			if r1-r < 4 {
				gemm, many = k.gemm.one, 1
			}
			for i := first; i < last; i++ {
				s0, s1 := octetStart(o0, o1, 2*i), octetStart(o0, o1, 2*i+1)
				gemm(&out[r*ldo+s0], &out[r*ldo+s1], ldo, &panel[(i-first)*size], &a.blocks[r*stride], stride, full, rest, k.shift)
			}
			r += many
		}
	}
}

// panels is room for unpacked weights.
func (s *scratch) panels(size int) []byte {
	if cap(s.panel) < size {
		s.panel = alignedBytes(size)
	}
	return s.panel[:size]
}

// octetStart is the first row of octet g in [o0, o1).
func octetStart(o0, o1, g int) int { return min(o0+octet*g, o1-octet) }

// packPanel unpacks panel i. Both halves of a cache line are written while it is in the first-level cache.
func (p *product) packPanel(dst, w []byte, rowBytes, o0, o1, i, full, rest int) {
	k, sub := &p.asm.narrow, p.asm.elems/32
	lane := lanePlaces(full, rest) * k.panelBytes
	piece := func(at, b, n int) {
		for half := range 2 {
			o := octetStart(o0, o1, 2*i+half)
			k.pack(&dst[at+32*half], &w[o*rowBytes+b/sub*p.typ.BlockBytes()], rowBytes, n/sub, lane)
		}
	}
	blocks := full * groupBlocks
	for b := 0; b < blocks; b += pieceBlocks {
		piece(b/groupBlocks*k.panelBytes, b, min(pieceBlocks, blocks-b))
	}
	if rest != 0 {
		piece((groupBlocks-rest)*lane+full*k.panelBytes, blocks, rest)
	}
}

// lanePlaces is the number of blocks that a lane of a panel has room for.
func lanePlaces(full, rest int) int {
	if rest != 0 {
		full++
	}
	return full
}
