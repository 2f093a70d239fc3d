package simd

import "math"

// The functions here are what the assembly computes in 8 lanes, operation by operation, so that every rung has the same
// bits. Products that are added to something are rounded by a conversion first: Go may fuse them otherwise on some CPUs.

// exp32 is e^x with a relative error below 2^-23: x = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial of degree 7 for e^r
// (coefficients: S. Moshier's Cephes library, expf). Below -87.33654, where float32 has no normal result, it is 0, and from
// 88.376, where n reaches 128, infinite.
func exp32(x float32) float32 {
	const low = -87.33654
	switch {
	case x != x:
		return x
	case x < low:
		return 0
	}
	x = min(x, 89)
	n := float32(math.RoundToEven(float64(float32(x * math.Log2E))))
	r := fma32(-n, 0.693359375, x)
	r = fma32(-n, -2.12194440e-4, r)
	p := float32(1.9875691500e-4)
	for _, c := range [...]float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		p = fma32(p, r, c)
	}
	p = fma32(p, float32(r*r), r) + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// tanh32 is f tanh(x / f) with an error below 2^-22 f, and relative to the result below 2^-21: 1 - 2/(e^2x + 1), or for
// |x/f| < 0.625 a polynomial (Cephes, tanhf).
func tanh32(x, f float32) float32 {
	x /= f
	a := math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
	t := 1 - 2/(exp32(a+a)+1)
	if a < 0.625 {
		z := float32(a * a)
		p := float32(-5.70498872745e-3)
		for _, c := range [...]float32{2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1} {
			p = fma32(p, z, c)
		}
		t = fma32(p, float32(z*a), a)
	}
	return math.Float32frombits(math.Float32bits(t)|math.Float32bits(x)&(1<<31)) * f
}

// gated32 is g sigmoid(x), or, for gelu, g sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)): with x = g these are silu and gelu_tanh,
// since (1 + tanh(u)) / 2 = sigmoid(2u).
func gated32(g, x float32, gelu bool) float32 {
	z := -x
	if gelu {
		t := float32(float32(x*x) * 0.071354816)
		z *= t + 1.5957691
	}
	return g / (exp32(z) + 1)
}
