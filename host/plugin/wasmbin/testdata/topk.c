// clang-19 --target=wasm32 -nostdlib -O3 -msimd128 -mbulk-memory -ffreestanding -fno-builtin -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o topk.wasm topk.c
// The 40 largest of a row of logits, found four lanes at a time: the hot loop of a sampler.
#include <wasm_simd128.h>
#define EXPORT(name) __attribute__((export_name(#name))) name
enum { N = 131072, K = 40 };
static float row[N] __attribute__((aligned(64)));
static float top[K];
static int ids[K];

void EXPORT(setup)(unsigned seed) {
	for (int i = 0; i < N; i++) {
		seed = seed * 1664525u + 1013904223u;
		row[i] = (float)(int)(seed >> 8) / 65536.0f;
	}
}

static void insert(float v, int id) {
	int j = K - 1;
	for (; j > 0 && top[j - 1] < v; j--) {
		top[j] = top[j - 1];
		ids[j] = ids[j - 1];
	}
	top[j] = v;
	ids[j] = id;
}

unsigned EXPORT(run)(unsigned rounds) {
	unsigned sum = 0;
	for (unsigned r = 0; r < rounds; r++) {
		for (int j = 0; j < K; j++) {
			top[j] = -1e30f;
			ids[j] = -1;
		}
		v128_t floor = wasm_f32x4_splat(top[K - 1]);
		for (int i = 0; i < N; i += 4) {
			v128_t v = wasm_v128_load(row + i);
			if (wasm_v128_any_true(wasm_f32x4_gt(v, floor))) {
				for (int l = 0; l < 4; l++)
					if (row[i + l] > top[K - 1])
						insert(row[i + l], i + l);
				floor = wasm_f32x4_splat(top[K - 1]);
			}
		}
		for (int j = 0; j < K; j++)
			sum = sum * 31 + (unsigned)ids[j];
	}
	return sum;
}
