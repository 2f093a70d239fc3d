// math.h: exp and log for freestanding guests, in float64 and, for whole rows, in SIMD float32. Deterministic: plain
// multiplications and additions, each rounded once, in a fixed order, so that every machine gives the same bits.
#ifndef FORGE_MATH_H
#define FORGE_MATH_H

#include <stdint.h>

static inline uint64_t forge_bits(double x) { return __builtin_bit_cast(uint64_t, x); }
static inline double forge_from_bits(uint64_t b) { return __builtin_bit_cast(double, b); }

#define FORGE_LN2_HI 6.93147180369123816490e-01 // its last 32 bits are 0, so that k * hi is exact
#define FORGE_LN2_LO 1.90821492927058770002e-10

// forge_log gives ln x with an error below 1 ulp; log 0 = -inf, and NaN for negative x.
// x = m 2^e with m in [sqrt 1/2, sqrt 2); ln m = 2 atanh s = 2 (s + s^3/3 + s^5/5 + ...), s = (m-1)/(m+1).
static inline double forge_log(double x) {
	if (!(x > 0)) return x == 0 ? -__builtin_inf() : __builtin_nan("");
	if (x == __builtin_inf()) return x;
	int64_t e = 0;
	if (x < 0x1p-1022) x *= 0x1p54, e = -54;
	uint64_t b = forge_bits(x);
	e += (int64_t)(b >> 52) - 1023;
	double m = forge_from_bits((b & 0xfffffffffffffull) | 0x3ff0000000000000ull);
	if (m > 1.4142135623730951) m *= 0.5, e++;
	double f = m - 1, s = f / (m + 1), z = s * s;
	double r = 1.0 / 23;
	for (int k = 21; k >= 3; k -= 2) r = r * z + 1.0 / k;
	// ln m = f - f^2/2 + s (f^2/2 + 2 z r) keeps the leading term exact.
	double h = 0.5 * f * f;
	return (double)e * FORGE_LN2_HI - ((h - (s * (h + 2 * z * r) + (double)e * FORGE_LN2_LO)) - f);
}

// forge_exp gives e^x with an error below 1 ulp (2 where the result is subnormal); +inf above 709.79, 0 below -745.14.
// x = k ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial of degree 13.
static inline double forge_exp(double x) {
	if (x != x) return x;
	if (x > 709.782712893384) return __builtin_inf();
	if (x < -745.1332191019412) return 0;
	double k = __builtin_nearbyint(x * 1.44269504088896338700);
	double hi = x - k * FORGE_LN2_HI, lo = k * FORGE_LN2_LO, r = hi - lo;
	double p = 1.0 / 6227020800;
	double d = 479001600; // 12!
	for (int n = 12; n >= 2; n--) p = p * r + 1.0 / d, d /= n;
	double tail = r * r * p - lo; // e^r - 1 - hi
	double y = 1 + (hi + tail);
	int64_t e = (int64_t)k;
	if (e > 1023) y *= 2, e--;
	if (e < -1021) y *= forge_from_bits((uint64_t)(e + 54 + 1023) << 52), e = -54;
	return y * forge_from_bits((uint64_t)(e + 1023) << 52);
}

#ifdef __wasm_simd128__
#include <wasm_simd128.h>

// forge_exp_rest gives e^(x - k ln 2), forge_exp_two 2^k: adding 1.5 * 2^52 leaves an exponent in the low bits, from where it
// is moved to its place.
static inline v128_t forge_exp_rest(v128_t x, v128_t k) {
	v128_t hi = wasm_f64x2_sub(x, wasm_f64x2_mul(k, wasm_f64x2_splat(FORGE_LN2_HI))), lo = wasm_f64x2_mul(k, wasm_f64x2_splat(FORGE_LN2_LO));
	v128_t r = wasm_f64x2_sub(hi, lo), p = wasm_f64x2_splat(1.0 / 6227020800);
	double d = 479001600; // 12!
	for (int n = 12; n >= 2; n--) p = wasm_f64x2_add(wasm_f64x2_mul(p, r), wasm_f64x2_splat(1.0 / d)), d /= n;
	v128_t tail = wasm_f64x2_sub(wasm_f64x2_mul(wasm_f64x2_mul(r, r), p), lo);
	return wasm_f64x2_add(wasm_f64x2_splat(1), wasm_f64x2_add(hi, tail));
}
static inline v128_t forge_exp_two(v128_t k) { return wasm_i64x2_shl(wasm_f64x2_add(k, wasm_f64x2_splat(0x1.8p52 + 1023)), 52); }

// forge_exp_pair_near gives e^x of two float64 lanes, each with the bits of forge_exp, for |x| below FORGE_EXP_NEAR: the
// result is then a normal number, and 2^k one factor.
#define FORGE_EXP_NEAR 700.0
static inline v128_t forge_exp_pair_near(v128_t x) {
	v128_t k = wasm_f64x2_nearest(wasm_f64x2_mul(x, wasm_f64x2_splat(1.44269504088896338700)));
	return wasm_f64x2_mul(forge_exp_rest(x, k), forge_exp_two(k));
}

// forge_exp_pair gives e^x of two float64 lanes, each with the bits of forge_exp.
static inline v128_t forge_exp_pair(v128_t x) {
	v128_t k = wasm_f64x2_nearest(wasm_f64x2_mul(x, wasm_f64x2_splat(1.44269504088896338700)));
	k = wasm_f64x2_pmax(wasm_f64x2_splat(-1076), wasm_f64x2_pmin(wasm_f64x2_splat(1025), k)); // beyond, the result is replaced
	// 2^k by two factors: the first product is exact, the second rounds once, also where the result is subnormal.
	v128_t k1 = wasm_f64x2_floor(wasm_f64x2_mul(k, wasm_f64x2_splat(0.5)));
	v128_t y = wasm_f64x2_mul(wasm_f64x2_mul(forge_exp_rest(x, k), forge_exp_two(k1)), forge_exp_two(wasm_f64x2_sub(k, k1)));
	y = wasm_v128_bitselect(wasm_f64x2_splat(__builtin_inf()), y, wasm_f64x2_gt(x, wasm_f64x2_splat(709.782712893384)));
	y = wasm_v128_andnot(y, wasm_f64x2_lt(x, wasm_f64x2_splat(-745.1332191019412)));
	return wasm_v128_bitselect(y, x, wasm_f64x2_eq(x, x)); // NaN stays
}
#endif

#endif
