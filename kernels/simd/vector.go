package simd

import (
	"math"

	"forge/kernels"
)

// add: y = a + b
func add(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := addGroups(level, y, a, b); i < len(y); i++ {
		y[i] = a[i] + b[i]
	}
}

// mul: y = a * b
func mul(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := mulGroups(level, y, a, b); i < len(y); i++ {
		y[i] = a[i] * b[i]
	}
}

// scale: y = f * x
func scale(y, x []float32, f float32) {
	x = x[:len(y)]
	for i := scaleGroups(level, y, x, f); i < len(y); i++ {
		y[i] = f * x[i]
	}
}

// scaleMul: y = f * x * w
func scaleMul(y, x, w []float32, f float32) {
	x, w = x[:len(y)], w[:len(y)]
	for i := scaleMulGroups(level, y, x, w, f); i < len(y); i++ {
		y[i] = float32(f*x[i]) * w[i]
	}
}

// mulAdd: y = fma(a, b, y)
func mulAdd(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := mulAddGroups(level, y, a, b); i < len(y); i++ {
		y[i] = fma32(a[i], b[i], y[i])
	}
}

// foldInto: y = fma(g, x, f*y)
func foldInto(y, x []float32, f, g float32) {
	x = x[:len(y)]
	for i := foldGroups(level, y, x, f, g); i < len(y); i++ {
		y[i] = fma32(g, x[i], float32(f*y[i]))
	}
}

// softcap: y = c * tanh(x / c)
func softcap(y, x []float32, c float32) {
	x = x[:len(y)]
	for i := tanhGroups(level, y, x, c); i < len(y); i++ {
		y[i] = tanh32(x[i], c)
	}
}

// norm normalises each group of x.
func norm(y, x, weight, bias []float32, group int, eps float32, layer bool) {
	for at := 0; at < len(x); at += group {
		from, to := x[at:at+group], y[at:at+group]
		if layer {
			layerNorm(to, from, eps)
		} else {
			f := float32(1 / math.Sqrt(float64(sumSquares(from)/float32(group)+eps)))
			if weight != nil && bias == nil {
				scaleMul(to, from, weight, f)
				continue
			}
			scale(to, from, f)
		}
		if weight != nil {
			mul(to, to, weight)
		}
		if bias != nil {
			add(to, to, bias)
		}
	}
}

// layerNorm: y = (x - mean) / sqrt(variance + eps)
func layerNorm(y, x []float32, eps float32) {
	mean := lanesOf(x, func(sum, v float32) float32 { return sum + v }) / float32(len(x))
	variance := lanesOf(x, func(sum, v float32) float32 { v -= mean; return sum + float32(v*v) }) / float32(len(x))
	f := float32(1 / math.Sqrt(float64(variance+eps)))
	for i := range y {
		y[i] = float32(x[i]-mean) * f
	}
}

// lanesOf adds up in 8 lanes, then the lanes pairwise.
func lanesOf(x []float32, more func(sum, v float32) float32) float32 {
	var s [8]float32
	for i, v := range x {
		s[i&7] = more(s[i&7], v)
	}
	return addLanes(&s)
}

func addLanes(s *[8]float32) float32 {
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

// sumSquares is the sum of x^2, in the order of lanesOf.
func sumSquares(x []float32) float32 {
	var s [8]float32
	for i := sumSquaresGroups(level, &s, x); i < len(x); i++ {
		s[i&7] += float32(x[i] * x[i])
	}
	return addLanes(&s)
}

// gluParams is what OpGLU's kernels read: alpha, limit, -limit and the bias of up, each 16 times.
type gluParams [4][16]float32

func newGLUParams(a kernels.GLUAttrs) *gluParams {
	p, limit := new(gluParams), a.Limit
	if limit == 0 {
		limit = float32(math.Inf(1))
	}
	for i := range p[0] {
		p[0][i], p[1][i], p[2][i], p[3][i] = a.Alpha, limit, -limit, a.UpBias
	}
	return p
}

// glu is kernels.OpGLU on a span. act(alpha g) / alpha is g sigmoid(alpha g) for silu, so that nothing is divided twice.
func glu(y, gate, up []float32, act kernels.Act, p *gluParams) {
	gate, up = gate[:len(y)], up[:len(y)]
	alpha, limit, bias := p[0][0], p[1][0], p[3][0]
	for i := gluGroups(level, y, gate, up, act, p); i < len(y); i++ {
		g, u := gate[i], up[i]
		// Written so that a NaN stays.
		if g > limit {
			g = limit
		}
		if u > limit {
			u = limit
		} else if u < -limit {
			u = -limit
		}
		switch act {
		case kernels.ActSiLU, kernels.ActGELUTanh:
			y[i] = gated32(g, alpha*g, act == kernels.ActGELUTanh) * (u + bias)
		default:
			y[i] = activation(act, alpha*g) / alpha * (u + bias)
		}
	}
}

// activate is kernels.OpAct on a span.
func activate(y, x []float32, act kernels.Act) {
	x = x[:len(y)]
	for i := actGroups(level, y, x, act); i < len(y); i++ {
		y[i] = activation(act, x[i])
	}
}

func activation(act kernels.Act, x float32) float32 {
	switch v := float64(x); act {
	case kernels.ActSiLU:
		return gated32(x, x, false)
	case kernels.ActGELUTanh:
		return gated32(x, x, true)
	case kernels.ActGELU:
		return float32(v / 2 * math.Erfc(-v/math.Sqrt2))
	case kernels.ActReLU:
		return max(x, 0)
	case kernels.ActSigmoid:
		return float32(1 / (1 + math.Exp(-v)))
	case kernels.ActReLUSquared:
		x = max(x, 0)
		return x * x
	}
	return x
}
