package simd

const (
	floatRows   = 6    // activation rows of the largest float tile
	floatBlock  = 120  // activation rows that meet a panel before the next is made: their sums must fit the second-level cache
	floatPiece  = 768  // values of a row that are multiplied at once: so much of 6 activation rows fits the first-level cache
	floatOctets = 8    // octets of weight rows in a panel
	floatDots   = 8    // activation rows up to which a panel does not pay
	floatStream = 128  // weight rows from which on one activation row has them read in long stretches
	floatCached = 8192 // bytes of an eighth of the weight rows that several activation rows read one after the other
)

// rowsFloat multiplies float weights.
func (p *product) rowsFloat(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	if o1-o0 < octet || r1-r0 <= floatDots {
		// So many weight rows that the activation rows after the first find them in a cache.
		dot, step := p.asm.dotFloat, max(floatCached/rowBytes, 1)*octet
		if n := o1 - o0; r1-r0 == 1 && n >= floatStream && p.asm.stream != nil {
			dot, step = p.asm.stream, n
		}
		for o := o0; o < o1; o += step {
			for r := r0; r < r1; r++ {
				dot.row(out[r*ldo:], w, rowBytes, o, min(o+step, o1), o1-o0, bytesOf(&a.x[r*a.k]), a.k/p.asm.elems, s)
			}
		}
		return
	}
	for ; r0 < r1; r0 += floatBlock {
		for o := o0; o < o1; o += floatOctets * octet {
			p.rowsGemmFloat(out, ldo, w, rowBytes, o, min(o1, o+floatOctets*octet), o1, a, r0, min(r1, r0+floatBlock), s)
		}
	}
}

// row is rowsDot for one activation row. Of a share of at least 8 rows, [o0, o1) are octets, or its last rows.
func (dot dotFloat) row(out []float32, w []byte, rowBytes, o0, o1, share int, act *byte, steps int, s *scratch) {
	if share < octet {
		for o := o0; o < o1; o++ {
			dot(&s.out8[0], &w[o*rowBytes], 0, 1, act, steps)
			out[o] = s.out8[0]
		}
		return
	}
	n := o1 - o0
	if n >= octet {
		dot(&out[o0], &w[o0*rowBytes], rowBytes, n/octet, act, steps)
	}
	if n%octet != 0 {
		dot(&out[o1-octet], &w[(o1-octet)*rowBytes], rowBytes, 1, act, steps)
	}
}

// rowsGemmFloat multiplies the weight rows [o0, o1), of a share that ends at end, with some activation rows. A piece of k at a
// time, the weights become a panel, which the activation rows meet 6 at a time; the sums wait in memory for the next piece.
// An incomplete octet goes back, into the share's last rows.
func (p *product) rowsGemmFloat(out []float32, ldo int, w []byte, rowBytes, o0, o1, end int, a *acts, r0, r1 int, s *scratch) {
	octets := (o1 - o0 + octet - 1) / octet
	start := func(i int) int { return min(o0+octet*i, end-octet) }
	rows, steps := r1-r0, a.k/8
	pieces := (a.k + floatPiece - 1) / floatPiece
	piece := (steps + pieces - 1) / pieces
	pair := 64 * piece
	panel := s.panels(octets * octet / 2 * pair)
	if need := octets * rows * octet * 8; cap(s.sums) < need {
		s.sums = floatsOf(alignedBytes(4 * need))
	}
	sums := s.sums[:octets*rows*octet*8]
	tiles := (rows + floatRows - 1) / floatRows
	for k := 0; k < steps; k += piece {
		n := min(piece, steps-k)
		for i := range octets * octet / 2 {
			p.asm.packFloat(&panel[i*pair], &w[(start(i/4)+i%4*2)*rowBytes+k*8*p.typ.BlockBytes()], rowBytes, n)
		}
		for t, r := 0, 0; t < tiles; t++ {
			many := (rows - r + tiles - t - 1) / (tiles - t)
			tile := p.asm.tiles.rows[many-1]
			for i := range octets {
				for j := 0; j < octet/2; j += p.asm.tiles.pairs {
					tile(&sums[(i*rows+r)*octet*8+j*16], &panel[(i*octet/2+j)*pair], pair, bytesOf(&a.x[(r0+r)*a.k+8*k]), 4*a.k, n, k)
				}
			}
			r += many
		}
	}
	for i := range octets {
		sumFloat(&out[r0*ldo+start(i)], ldo, &sums[i*rows*octet*8], rows)
	}
}
