package simd

// rowsFloat multiplies float weights: pairs of weight rows with 4 activation rows at a time, as many weights at once as fit
// the second-level cache, and the activation rows that are left one by one.
func (p *product) rowsFloat(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int, s *scratch) {
	rest := r1
	if o1-o0 >= octet {
		rest = r1 - (r1-r0)%4
		p.rowsGemmFloat(out, ldo, w, rowBytes, o0, o1, a, r0, rest)
	} else {
		rest = r0
	}
	for r := rest; r < r1; r++ {
		p.rowDotFloat(out[r*ldo:], w, rowBytes, o0, o1, bytesOf(&a.x[r*a.k]), a.k/p.asm.elems, s)
	}
}

func (p *product) rowsGemmFloat(out []float32, ldo int, w []byte, rowBytes, o0, o1 int, a *acts, r0, r1 int) {
	steps, stride := a.k/p.asm.elems, 4*a.k
	batch := max(panelBudget/rowBytes, 2) &^ 1
	for o := o0; o < o1; o += batch {
		n := min(batch, o1-o)
		for r := r0; r < r1; r += 4 {
			act := bytesOf(&a.x[r*a.k])
			if n > 1 {
				p.asm.gemmFloat(&out[r*ldo+o], ldo, &w[o*rowBytes], rowBytes, n/2, act, stride, steps)
			}
			if n%2 != 0 {
				p.asm.gemmFloat(&out[r*ldo+o1-2], ldo, &w[(o1-2)*rowBytes], rowBytes, 1, act, stride, steps)
			}
		}
	}
}

// rowDotFloat is rowsDot for one activation row.
func (p *product) rowDotFloat(out []float32, w []byte, rowBytes, o0, o1 int, act *byte, steps int, s *scratch) {
	n := o1 - o0
	if n < octet {
		for o := o0; o < o1; o++ {
			p.asm.dotFloat(&s.out8[0], &w[o*rowBytes], 0, 1, act, steps)
			out[o] = s.out8[0]
		}
		return
	}
	p.asm.dotFloat(&out[o0], &w[o0*rowBytes], rowBytes, n/octet, act, steps)
	if n%octet != 0 {
		p.asm.dotFloat(&out[o1-octet], &w[(o1-octet)*rowBytes], rowBytes, 1, act, steps)
	}
}
