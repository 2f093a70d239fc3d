package simd

// rowsDotWide is rowsDot with kernels of 512 bits, for a share of 16 rows or more.
func (p *product) rowsDotWide(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int) {
	n, steps := o1-o0, a.k/p.asm.elems
	for r := r0; r < r1; r++ {
		act := p.act(a, r)
		p.asm.wide.dot(&out[r*ldo+o0], &w[o0*rowBytes], rowBytes, n/wideRows, act, steps)
		if n%wideRows != 0 {
			p.asm.wide.dot(&out[r*ldo+o1-wideRows], &w[(o1-wideRows)*rowBytes], rowBytes, 1, act, steps)
		}
	}
}

const (
	wideTile    = 6  // activation rows of the largest gemm kernel
	wideTileMin = 4  // and of the smallest
	widePiece   = 64 // blocks of a row that are multiplied at once: so much of 6 activation rows fits the first-level cache
)

// rowsGemmWide unpacks panels of 16 weight rows, and multiplies two panels with 4 to 6 activation rows at a time. A share
// has 32 weight rows or more; what is left over is done by going back, as in rowsDot. Rows are taken in pieces of k, and as
// many panels of one piece at once as fit the second-level cache.
func (p *product) rowsGemmWide(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	k := &p.asm.wide
	sub := p.asm.elems / 32
	blocks := a.k / 32
	pieces := (blocks + widePiece - 1) / widePiece
	piece := ((blocks+pieces-1)/pieces + sub - 1) / sub * sub
	pairs := (o1 - o0 + 2*wideRows - 1) / (2 * wideRows)
	size := piece * k.panelBytes
	batch := min(max(panelBudget/(2*size), 1), pairs)
	if need := 2 * batch * size; cap(s.panel) < need {
		s.panel = alignedBytes(need)
	}
	panel := s.panel[:cap(s.panel)]
	stride := a.stride()
	start := func(i int) int { return min(o0+wideRows*i, o1-wideRows) }
	tiles := (r1 - r0 + wideTile - 1) / wideTile
	for first, last := 0, 0; first < pairs; first = last {
		last = min(first+batch, pairs)
		if last == pairs && first < pairs-1 && (o1-o0)%(2*wideRows) != 0 {
			last-- // the pair that went back shares outputs with the one before, whose pieces must all be added by then
		}
		for b := 0; b < blocks; b += piece {
			n := min(piece, blocks-b)
			for i := 2 * first; i < 2*last; i++ {
				k.pack(&panel[(i-2*first)*size], &w[start(i)*rowBytes+b/sub*p.typ.BlockBytes()], rowBytes, n/sub)
			}
			r := r0
			for t := range tiles {
				many := (r1 - r + tiles - t - 1) / (tiles - t)
				gemm := k.gemm[many-wideTileMin]
				act := &a.blocks[r*stride+b*actBlock]
				for i := first; i < last; i++ {
					at := 2 * (i - first) * size
					gemm(&out[r*ldo+start(2*i)], &out[r*ldo+start(2*i+1)], ldo, &panel[at], &panel[at+size], act, stride, n, k.shift, b)
				}
				r += many
			}
		}
	}
}
