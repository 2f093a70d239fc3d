package simd

import (
	"fmt"

	"forge/gguf"
)

// The float order. For a quantised weight type, one output o and one activation row r:
//
//	acc = 0
//	for each block b of 32 in order:
//	    acc = fma(dw*da, float32(isum), acc)
//	    acc = fma(m, da*float32(asum), acc)           Q4_1, Q5_1, Q4_K, Q5_K
//	    acc = fma(m0, da*float32(asum0), acc)         Q2_K: the minimums of the first and
//	    acc = fma(m1, da*float32(asum1), acc)               the second 16
//
// where every operation rounds to float32 once, da, asum, asum0 and asum1 are the activation block's scale and sums (of
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
// share a call, the split into shares, and the CPU.

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
	panel []byte     // unpacked weights
	out8  [8]float32 // the results of a group that is wider than the share
	row   genericRow
}

const (
	wideRows    = 16         // weight rows of a kernel of 512 bits
	groupRows   = 8          // weight rows of a kernel
	panelRows   = 16         // weight rows of a panel
	minGemmRows = 3          // activation rows from which unpacking to a panel pays
	manyRows    = 16         // activation rows from which panels are unpacked in batches
	panelBudget = 256 * 1024 // bytes of such a batch
	pieceBlocks = 16         // blocks of a panel that are unpacked at once, a multiple of 8
)

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
	} else {
		_ = a.blocks[r0*a.stride()]
		_ = a.blocks[r1*a.stride()-1]
	}
	switch {
	case p.asm.dot == nil || a.k%p.asm.elems != 0:
		p.rowsGeneric(out, ldo, w, rowBytes, o0, o1, a, r0, r1, &s.row)
	case p.asm.wide.dot != nil && o1-o0 >= wideRows && r1-r0 < minGemmRows:
		p.rowsDotWide(out, ldo, w, rowBytes, o0, o1, a, r0, r1)
	case p.asm.wide.gemm[0] != nil && o1-o0 >= 2*wideRows && r1-r0 >= 8:
		p.rowsGemmWide(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	case r1-r0 < minGemmRows || o1-o0 < groupRows:
		p.rowsDot(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	case p.asm.gemmFloat != nil:
		p.rowsGemmFloat(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	default:
		p.rowsGemm(out, ldo, w, rowBytes, o0, o1, a, r0, r1, s)
	}
}

// act returns row r in the form that the kernels read.
func (p *product) act(a *acts, r int) *byte {
	if p.asm.gemmFloat != nil {
		return bytesOf(&a.x[r*a.k])
	}
	return &a.blocks[r*a.stride()]
}

// rowsDot multiplies row by row, 8 weight rows at once. What is left over is done by going back: the last 8 rows again. A
// share of fewer than 8 rows takes each of them 8 times, with a distance of 0 between them.
func (p *product) rowsDot(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	n, steps := o1-o0, a.k/p.asm.elems
	for r := r0; r < r1; r++ {
		act := p.act(a, r)
		if n < groupRows {
			for o := o0; o < o1; o++ {
				p.asm.dot(&s.out8[0], &w[o*rowBytes], 0, 1, act, steps)
				out[r*ldo+o] = s.out8[0]
			}
			continue
		}
		p.asm.dot(&out[r*ldo+o0], &w[o0*rowBytes], rowBytes, n/groupRows, act, steps)
		if n%groupRows != 0 {
			p.asm.dot(&out[r*ldo+o1-groupRows], &w[(o1-groupRows)*rowBytes], rowBytes, 1, act, steps)
		}
	}
}

// rowsGemm unpacks panels of 16 weight rows and multiplies them with the activation rows, 4 at a time. The last 8 weight
// rows of a share go back like rowsDot's, and an odd group of 8 is unpacked twice to make a panel.
//
// For many activation rows as many panels are unpacked as fit the second-level cache, so that 4 activation rows meet them
// all while they are in the first. For few, a panel is made and used in pieces of k that never leave the first-level cache;
// the float sums wait in the outputs meanwhile.
func (p *product) rowsGemm(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	blocks := a.k / 32
	panels := ((o1-o0+groupRows-1)/groupRows + 1) / 2
	size := blocks * p.asm.panelBytes
	batch, piece := min(max(panelBudget/size, 1), panels), blocks
	if r1-r0 < manyRows {
		batch, piece = 1, min(pieceBlocks, blocks)
	}
	if need := batch * piece * p.asm.panelBytes; cap(s.panel) < need {
		s.panel = alignedBytes(need)
	}
	panel := s.panel[:cap(s.panel)]
	stride := a.stride()
	for first := 0; first < panels; first += batch {
		last := min(first+batch, panels)
		for b := 0; b < blocks; b += piece {
			n := min(piece, blocks-b)
			for i := first; i < last; i++ {
				p.packPanel(panel[(i-first)*size:], w, rowBytes, o0, o1, i, b, n)
			}
			for r := r0; r < r1; {
				gemm, many := p.asm.gemm4, 4
				if r1-r < 4 {
					gemm, many = p.asm.gemm1, 1
				}
				act := &a.blocks[r*stride+b*actBlock]
				for i := first; i < last; i++ {
					s0, s1 := groupStart(o0, o1, 2*i), groupStart(o0, o1, 2*i+1)
					gemm(&out[r*ldo+s0], &out[r*ldo+s1], ldo, &panel[(i-first)*size], act, stride, n, p.asm.shift, b)
				}
				r += many
			}
		}
	}
}

// groupStart is the first row of group g of 8 in [o0, o1).
func groupStart(o0, o1, g int) int { return min(o0+groupRows*g, o1-groupRows) }

// packPanel unpacks blocks [b, b+n) of panel i. Both halves of a cache line are written while it is in the first-level cache.
func (p *product) packPanel(dst, w []byte, rowBytes, o0, o1, i, b, n int) {
	sub := p.asm.elems / 32
	for end := b + n; b < end; b += pieceBlocks {
		steps := min(pieceBlocks, end-b) / sub
		for half := range 2 {
			o := groupStart(o0, o1, 2*i+half)
			p.asm.pack(&dst[32*half], &w[o*rowBytes+b/sub*p.typ.BlockBytes()], rowBytes, steps)
		}
		dst = dst[min(pieceBlocks, end-b)*p.asm.panelBytes:]
	}
}

// rowsGemmFloat multiplies pairs of weight rows with 4 activation rows at a time, as many weights at once as fit the
// second-level cache.
func (p *product) rowsGemmFloat(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	steps, stride := a.k/p.asm.elems, 4*a.k
	batch := max(panelBudget/rowBytes, 2) &^ 1
	rest := r1 - (r1-r0)%4
	for o := o0; o < o1; o += batch {
		n := min(batch, o1-o)
		for r := r0; r < rest; r += 4 {
			act := p.act(a, r)
			if n > 1 {
				p.asm.gemmFloat(&out[r*ldo+o], ldo, &w[o*rowBytes], rowBytes, n/2, act, stride, steps)
			}
			if n%2 != 0 {
				p.asm.gemmFloat(&out[r*ldo+o1-2], ldo, &w[(o1-2)*rowBytes], rowBytes, 1, act, stride, steps)
			}
		}
	}
	p.rowsDot(out, ldo, w, rowBytes, o0, o1, a, rest, r1, s)
}
