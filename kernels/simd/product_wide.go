package simd

const (
	wideTile    = 6 // activation rows of the largest gemm kernel of 512 bits
	wideTileMin = 4 // and of the smallest
)

// rowsGemmWide unpacks panels of 16 weight rows, and multiplies two panels with 4 to 6 activation rows at a time, as rowsGemm
// does. A share has 32 weight rows or more, and 8 activation rows or more, which is what can be cut into such tiles.
func (p *product) rowsGemmWide(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	k, stride := &p.asm.wide, a.stride()
	full, rest := a.k/32/groupBlocks, a.k/32%groupBlocks
	size := a.groups() * groupBlocks * k.panelBytes
	pairs := (o1 - o0 + 2*panelRows - 1) / (2 * panelRows)
	batch := min(max(panelBudget/(2*size), 1), pairs)
	panel := s.panels(2 * batch * size)
	start := func(i int) int { return min(o0+panelRows*i, o1-panelRows) }
	tiles := (r1 - r0 + wideTile - 1) / wideTile
	for first := 0; first < pairs; first += batch {
		last := min(first+batch, pairs)
		for i := 2 * first; i < 2*last; i++ {
			p.packWide(panel[(i-2*first)*size:], w[start(i)*rowBytes:], rowBytes, full, rest)
		}
		for t, r := 0, r0; t < tiles; t++ {
			many := (r1 - r + tiles - t - 1) / (tiles - t)
			gemm := k.gemm[many-wideTileMin]
			for i := first; i < last; i++ {
				gemm(&out[r*ldo+start(2*i)], &out[r*ldo+start(2*i+1)], ldo, &panel[2*(i-first)*size], size, &a.blocks[r*stride], stride,
					full, rest, k.shift)
			}
			r += many
		}
	}
}

// packWide unpacks 16 rows to a panel.
func (p *product) packWide(dst, w []byte, rowBytes, full, rest int) {
	k, sub := &p.asm.wide, p.asm.elems/32
	lane := lanePlaces(full, rest) * k.panelBytes
	blocks := full * groupBlocks
	if full > 0 {
		k.pack(&dst[0], &w[0], rowBytes, blocks/sub, lane)
	}
	if rest != 0 {
		k.pack(&dst[(groupBlocks-rest)*lane+full*k.panelBytes], &w[blocks/sub*p.typ.BlockBytes()], rowBytes, rest/sub, lane)
	}
}
