// What the faulty guests of the tests share. Samplers have a fault each: a manifest, and a loop over rows in which it lies.
#ifndef FAULTY_H
#define FAULTY_H
#include "guest.h"
#include <wasm_simd128.h>

#define FAULTY(NAME) \
	FORGE_MANIFEST("name = \"" NAME "\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[entries]]\nname = \"" NAME "\"\n") \
	FORGE_MARKER(sampler) \
	FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) { return frame->accepted = 0, FORGE_OK; }
#define ROWS(row) for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++)

// nan_bit differs between wazero's engines: in a vector's minimum one keeps all bits of a NaN, the other not.
static inline uint32_t nan_bit(void) {
	volatile uint32_t nan = 0xFFC00001;
	return (uint32_t)wasm_i32x4_extract_lane(wasm_f32x4_min(wasm_i32x4_splat((int32_t)nan), wasm_f32x4_splat(1)), 0) & 1;
}
#endif
