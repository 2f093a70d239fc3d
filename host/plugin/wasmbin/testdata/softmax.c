// clang-19 --target=wasm32 -nostdlib -O3 -msimd128 -mbulk-memory -ffreestanding -fno-builtin -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o softmax.wasm softmax.c
// Softmax of a row with a polynomial exponential, then a draw: a loop of float vectors, dense in arithmetic.
#include <wasm_simd128.h>
#define EXPORT(name) __attribute__((export_name(#name))) name
enum { N = 32768 };
static float row[N] __attribute__((aligned(64)));
static float p[N] __attribute__((aligned(64)));

void EXPORT(setup)(unsigned seed) {
	for (int i = 0; i < N; i++) {
		seed = seed * 1664525u + 1013904223u;
		row[i] = (float)(int)(seed >> 20) / 256.0f - 8.0f;
	}
}

static v128_t exp4(v128_t x) {
	v128_t t = wasm_f32x4_mul(x, wasm_f32x4_splat(1.44269504f));
	v128_t n = wasm_f32x4_nearest(t);
	v128_t f = wasm_f32x4_sub(t, n), y = wasm_f32x4_splat(0.00133336f);
	const float c[] = {0.00961813f, 0.0555041f, 0.240227f, 0.693147f, 1.0f};
	for (int i = 0; i < 5; i++)
		y = wasm_f32x4_add(wasm_f32x4_mul(y, f), wasm_f32x4_splat(c[i]));
	return wasm_i32x4_add(y, wasm_i32x4_shl(wasm_i32x4_trunc_sat_f32x4(n), 23));
}

unsigned EXPORT(run)(unsigned rounds) {
	unsigned picked = 0;
	for (unsigned r = 0; r < rounds; r++) {
		float max = row[0];
		for (int i = 1; i < N; i++)
			max = row[i] > max ? row[i] : max;
		v128_t sum = wasm_f32x4_splat(0);
		for (int i = 0; i < N; i += 4) {
			v128_t e = exp4(wasm_f32x4_sub(wasm_v128_load(row + i), wasm_f32x4_splat(max)));
			wasm_v128_store(p + i, e);
			sum = wasm_f32x4_add(sum, e);
		}
		float total = wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) +
			wasm_f32x4_extract_lane(sum, 2) + wasm_f32x4_extract_lane(sum, 3);
		float left = total * 0.75f;
		unsigned i = 0;
		while (i < N - 1 && (left -= p[i]) > 0)
			i++;
		picked = picked * 31 + i;
	}
	return picked;
}
