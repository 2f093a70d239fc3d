// clang-19 --target=wasm32 -nostdlib -O3 -msimd128 -mbulk-memory -ffreestanding -fno-builtin -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o hash.wasm hash.c
// A 64-bit multiply-and-rotate hash: a tight loop of i64 arithmetic without memory.
#define EXPORT(name) __attribute__((export_name(#name))) name

unsigned EXPORT(run)(unsigned rounds) {
	unsigned long long h = 0x9e3779b97f4a7c15ull;
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned i = 0; i < 100000; i++) {
			h ^= i;
			h *= 0xff51afd7ed558ccdull;
			h = h << 31 | h >> 33;
		}
	return (unsigned)(h ^ h >> 32);
}
