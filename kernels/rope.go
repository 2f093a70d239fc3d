package kernels

import "math"

// rope rotates pairs of entries of each head by an angle that grows with the row's position.
func (r *scalar) rope(y, x []float32, op *Op) {
	a, width := op.Rope(), r.p.Values[op.In[0]].Width
	turn := turns(a, r.vector(op, 0))
	copy(y, x)
	for i, row := range r.batch.Rows {
		for p, speed := range turn {
			sin, cos := math.Sincos(float64(row.Pos) * speed)
			sin, cos = sin*float64(a.AttnFactor), cos*float64(a.AttnFactor)
			j, k := a.First+2*p, a.First+2*p+1
			if a.Mode == RopeModeHalves {
				j, k = a.First+p, a.First+p+a.NRot/2
			}
			for head := i * width; head < (i+1)*width; head += a.HeadDim {
				u, v := float64(x[head+j]), float64(x[head+k])
				y[head+j] = float32(u*cos - v*sin)
				y[head+k] = float32(u*sin + v*cos)
			}
		}
	}
}

// turns gives the angle of each pair for one position. Without YaRN it is
//
//	freq_scale * base^(-2i/n_rot) / factors[i]
//
// With it (ext_factor not 0), pairs that turn more than beta_fast times within n_ctx_orig positions keep the unscaled
// angle, those that turn less than beta_slow times take the scaled one, and a linear ramp lies between. The magnitude
// that YaRN gives to cos and sin is the caller's, in attn_factor. Source: Peng et al. 2023, sections 3.2 to 3.4.
func turns(a RopeAttrs, factors []float32) []float64 {
	turn := make([]float64, a.NRot/2)
	low, high := 0.0, 0.0
	if a.ExtFactor != 0 {
		low = max(0, math.Floor(correction(a, float64(a.BetaFast))))
		high = min(float64(a.NRot-1), math.Ceil(correction(a, float64(a.BetaSlow))))
	}
	for i := range turn {
		plain := math.Pow(float64(a.Base), -2*float64(i)/float64(a.NRot))
		if factors != nil {
			plain /= float64(factors[i])
		}
		scaled := plain * float64(a.FreqScale)
		if turn[i] = scaled; a.ExtFactor != 0 {
			ramp := 1 - min(1, max(0, (float64(i)-low)/max(0.001, high-low)))
			mix := ramp * float64(a.ExtFactor)
			turn[i] = scaled*(1-mix) + plain*mix
		}
	}
	return turn
}

// correction is the pair, as a real number, which turns beta times within n_ctx_orig positions.
func correction(a RopeAttrs, beta float64) float64 {
	return float64(a.NRot) * math.Log(float64(a.NCtxOrig)/(beta*2*math.Pi)) / (2 * math.Log(float64(a.Base)))
}

// Turns gives what OpRope's angles are for position 1, one for each pair: other devices make theirs from it.
func Turns(a RopeAttrs, factors []float32) []float64 { return turns(a, factors) }
