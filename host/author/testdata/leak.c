// leak takes a page of memory at each call.
#include "faulty.h"
FAULTY("leak")
FORGE_EXPORT(sampler_leak) int32_t sample(forge_rows *frame) {
	ROWS(row) if (row->n == 1000 && row->pos == 0) __builtin_wasm_memory_grow(0, 1);
	return FORGE_OK;
}
