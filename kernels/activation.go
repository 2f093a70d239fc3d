package kernels

import "math"

// activate is one activation function in float64.
func activate(kind Act, x float64) float64 {
	switch kind {
	case ActSiLU: // x sigmoid(x)
		return x / (1 + math.Exp(-x))
	case ActGELU: // x/2 (1 + erf(x / sqrt 2)); erfc keeps the tail's digits
		return x / 2 * math.Erfc(-x/math.Sqrt2)
	case ActGELUTanh: // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case ActReLU: // max(x, 0)
		return max(x, 0)
	case ActSigmoid: // 1 / (1 + e^-x)
		return 1 / (1 + math.Exp(-x))
	default: // ActReLUSquared: max(x, 0)^2
		return max(x, 0) * max(x, 0)
	}
}

// act: y = act(x)
func act(y, x []float32, kind Act) {
	for i, v := range x {
		y[i] = float32(activate(kind, float64(v)))
	}
}

// glu: y = act(alpha g) / alpha * (u + up_bias) where g = min(gate, limit), u = clamp(up, -limit, limit) if limit is not 0.
// Sources: Shazeer 2020 (GLU variants); the clamped form is gpt-oss's.
func glu(y, gate, up []float32, a GLUAttrs) {
	alpha, limit := float64(a.Alpha), float64(a.Limit)
	for i := range gate {
		g, u := float64(gate[i]), float64(up[i])
		if limit != 0 {
			g, u = min(g, limit), min(max(u, -limit), limit)
		}
		y[i] = float32(activate(a.Act, alpha*g) / alpha * (u + float64(a.UpBias)))
	}
}

// add: y = a + b
func add(y, a, b []float32) {
	for i := range a {
		y[i] = a[i] + b[i]
	}
}

// mul: y = a * b; if single, b has one entry for each row of width entries of a
func mul(y, a, b []float32, single bool, width int) {
	for i := range a {
		if single {
			y[i] = a[i] * b[i/width]
		} else {
			y[i] = a[i] * b[i]
		}
	}
}

// scale: y = factor * x
func scale(y, x []float32, factor float32) {
	for i, v := range x {
		y[i] = factor * v
	}
}

// softcap: y = cap * tanh(x / cap)
func softcap(y, x []float32, limit float32) {
	for i, v := range x {
		y[i] = float32(softcapped(float64(v), float64(limit)))
	}
}

func softcapped(x, limit float64) float64 { return limit * math.Tanh(x/limit) }
