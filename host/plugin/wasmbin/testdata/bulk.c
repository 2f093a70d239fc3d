// clang-19 --target=wasm32 -nostdlib -O3 -msimd128 -mbulk-memory -ffreestanding -fno-builtin -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o bulk.wasm bulk.c
// memory.fill and memory.copy of runtime sizes, and memory.grow.
#define EXPORT(name) __attribute__((export_name(#name))) name
static unsigned char a[65536], b[65536];

unsigned EXPORT(run)(unsigned rounds) {
	unsigned sum = 0;
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned n = 1; n <= sizeof a; n *= 2) {
			__builtin_memset(a, (int)(r + n), n);
			__builtin_memcpy(b + (sizeof b - n), a, n);
			__builtin_memmove(b + 1, b, n - 1);
			sum = sum * 31 + b[n / 2] + b[sizeof b - 1];
		}
	return sum;
}

unsigned EXPORT(grow)(unsigned pages) {
	unsigned old = __builtin_wasm_memory_grow(0, pages);
	return old == -1u ? 0 : old;
}
