package simd

import (
	"math"

	"forge/kernels"
)

// add: y = a + b
func add(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

// mul: y = a * b
func mul(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] * b[i]
	}
}

// scale: y = f * x
func scale(y, x []float32, f float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = f * x[i]
	}
}

// softcap: y = c * tanh(x / c)
func softcap(y, x []float32, c float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = float32(float64(c) * math.Tanh(float64(x[i])/float64(c)))
	}
}

// norm normalises each group of x; the sums run in 8 lanes.
func norm(y, x, weight, bias []float32, group int, eps float32, layer bool) {
	for at := 0; at < len(x); at += group {
		from, to := x[at:at+group], y[at:at+group]
		mean := float32(0)
		if layer {
			mean = sum(from) / float32(group)
		}
		f := float32(1 / math.Sqrt(float64(sumSquares(from, mean)/float32(group)+eps)))
		normalise(to, from, mean, f, weight, bias)
	}
}

// normalise: y = (x - mean) * f * weight + bias; weight and bias may be nil.
func normalise(y, x []float32, mean, f float32, weight, bias []float32) {
	for i := range y {
		y[i] = (x[i] - mean) * f
	}
	if weight != nil {
		mul(y, y, weight)
	}
	if bias != nil {
		add(y, y, bias)
	}
}

// sum adds in 8 lanes, then the lanes pairwise.
func sum(x []float32) float32 {
	var s [8]float32
	for i, v := range x {
		s[i&7] += v
	}
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

// sumSquares is the sum of (x-mean)^2, in the order of sum.
func sumSquares(x []float32, mean float32) float32 {
	var s [8]float32
	for i, v := range x {
		v -= mean
		s[i&7] += v * v
	}
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

// glu is kernels.OpGLU on a span.
func glu(y, gate, up []float32, a kernels.GLUAttrs) {
	gate, up = gate[:len(y)], up[:len(y)]
	for i := range y {
		g, u := gate[i], up[i]
		if a.Limit != 0 {
			g, u = min(g, a.Limit), max(-a.Limit, min(u, a.Limit))
		}
		y[i] = activation(a.Act, a.Alpha*g) / a.Alpha * (u + a.UpBias)
	}
}

// activate is kernels.OpAct on a span.
func activate(y, x []float32, act kernels.Act) {
	x = x[:len(y)]
	for i := range y {
		y[i] = activation(act, x[i])
	}
}

func activation(act kernels.Act, x float32) float32 {
	switch v := float64(x); act {
	case kernels.ActSiLU:
		return float32(v / (1 + math.Exp(-v)))
	case kernels.ActGELU:
		return float32(v / 2 * (1 + math.Erf(v/math.Sqrt2)))
	case kernels.ActGELUTanh:
		return float32(v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))))
	case kernels.ActReLU:
		return max(x, 0)
	case kernels.ActSigmoid:
		return float32(1 / (1 + math.Exp(-v)))
	case kernels.ActReLUSquared:
		v = max(v, 0)
		return float32(v * v)
	}
	return x
}
