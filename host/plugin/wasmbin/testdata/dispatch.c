// clang-19 --target=wasm32 -nostdlib -O3 -msimd128 -mbulk-memory -ffreestanding -fno-builtin -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o dispatch.wasm dispatch.c
// A bytecode loop: br_table over a switch, and call_indirect through a table of operations.
#define EXPORT(name) __attribute__((export_name(#name))) name
typedef unsigned (*op2)(unsigned, unsigned);

static unsigned add(unsigned a, unsigned b) { return a + b; }
static unsigned mix(unsigned a, unsigned b) { return (a ^ b) * 2654435761u; }
static unsigned rot(unsigned a, unsigned b) { return a << (b & 31) | a >> (-b & 31); }
static unsigned low(unsigned a, unsigned b) { return a < b ? a : b; }
static op2 volatile ops[4] = {add, mix, rot, low};

unsigned EXPORT(run)(unsigned rounds) {
	unsigned a = 1, b = 2, c = 3;
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned i = 0; i < 20000; i++) {
			switch ((a ^ i) & 7) {
			case 0: a += b * 3; break;
			case 1: b ^= a >> 3; break;
			case 2: c = c * 7 + i; break;
			case 3: a = ops[i & 3](b, c); break;
			case 4: b = ops[c & 3](a, i); break;
			case 5: c += a / ((b & 15) + 1); a++; break;
			case 6: a = (a << 5) - a + i; break;
			default: a ^= c; b++;
			}
		}
	return a ^ b ^ c;
}
