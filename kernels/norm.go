package kernels

import "math"

// norm normalises each group of each row.
func (r *scalar) norm(y, x []float32, op *Op) {
	a, weight, bias := op.Norm(), r.vector(op, 0), r.vector(op, 1)
	group := a.Group
	if group == 0 {
		group = r.p.Values[op.In[0]].Width
	}
	for at := 0; at < len(x); at += group {
		if a.Kind == NormKindRMS {
			rmsNorm(y[at:at+group], x[at:at+group], weight, bias, float64(a.Eps))
		} else {
			layerNorm(y[at:at+group], x[at:at+group], weight, bias, float64(a.Eps))
		}
	}
}

// rmsNorm: y = x / sqrt(mean(x^2) + eps) * weight + bias. Source: Zhang and Sennrich 2019.
func rmsNorm(y, x, weight, bias []float32, eps float64) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	inv := 1 / math.Sqrt(sum/float64(len(x))+eps)
	for i, v := range x {
		y[i] = affine(float64(v)*inv, weight, bias, i)
	}
}

// layerNorm: y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias. Source: Ba et al. 2016.
func layerNorm(y, x, weight, bias []float32, eps float64) {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean)
	}
	inv := 1 / math.Sqrt(variance/float64(len(x))+eps)
	for i, v := range x {
		y[i] = affine((float64(v)-mean)*inv, weight, bias, i)
	}
}

// affine: v * weight[i] + bias[i]; a missing one changes nothing.
func affine(v float64, weight, bias []float32, i int) float32 {
	if weight != nil {
		v *= float64(weight[i])
	}
	if bias != nil {
		v += float64(bias[i])
	}
	return float32(v)
}
