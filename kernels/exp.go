package kernels

import "math"

// Exp is e^x with an error below 1 ulp (2 where the result is subnormal): the same bits on every machine, and the same as
// forge_exp of the guests' C SDK (plugins/sdk/c/math.h), so that a router's plan and the router itself agree to the last bit.
//
// x = k ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 13. Each product is rounded by itself: the
// conversions forbid the compiler to fuse it with the sum that follows.
func Exp(x float64) float64 {
	const ln2Hi, ln2Lo = 6.93147180369123816490e-01, 1.90821492927058770002e-10 // the last 32 bits of hi are 0: k * hi is exact
	switch {
	case x != x:
		return x
	case x > 709.782712893384:
		return math.Inf(1)
	case x < -745.1332191019412:
		return 0
	}
	k := math.RoundToEven(x * 1.44269504088896338700)
	hi, lo := x-float64(k*ln2Hi), float64(k*ln2Lo)
	r := hi - lo
	p := 1.0 / 6227020800
	for _, c := range expTaylor {
		p = float64(p*r) + c
	}
	y := 1 + (hi + (float64(float64(r*r)*p) - lo)) // e^r - 1 - hi, and the leading terms kept exact
	e := int(k)
	switch {
	case e > 1023:
		y, e = 2*y, e-1
	case e < -1021:
		y, e = y*power(e+54), -54
	}
	return y * power(e)
}

// expTaylor are 1/12!, 1/11!, ..., 1/2!.
var expTaylor = func() (c [11]float64) {
	d := 479001600.0
	for i := range c {
		c[i] = 1 / d
		d /= float64(12 - i)
	}
	return c
}()

// power is 2^e for a normal result.
func power(e int) float64 { return math.Float64frombits(uint64(e+1023) << 52) }
