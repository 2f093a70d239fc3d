// clang-19 --target=wasm32 -nostdlib -O3 -msimd128 -mbulk-memory -ffreestanding -fno-builtin -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o fib.wasm fib.c
// Fibonacci by double recursion: nothing but calls, the dearest case for the meter.
#define EXPORT(name) __attribute__((export_name(#name))) name

__attribute__((noinline)) static unsigned fib(unsigned n) {
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

unsigned EXPORT(run)(unsigned rounds) {
	unsigned sum = 0;
	for (unsigned r = 0; r < rounds; r++)
		sum += fib(20);
	return sum;
}

// deep recurses n times and needs every frame on the way back.
__attribute__((noinline)) unsigned EXPORT(deep)(unsigned n) {
	return n == 0 ? 0 : (deep(n - 1) ^ n) + 1;
}
