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
