#!/bin/sh
# Builds the examples in C. Needs clang and wasm-ld 19. The bytes depend on the compiler's version and the sources alone.
#   examples/build.sh                    all
#   examples/build.sh sampler-c/margin   one
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
WASM_LD=${WASM_LD:-wasm-ld-19}
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
for guest in ${*:-sampler-c/margin arch-c/parallel tokenizer-bytes/bytes router-record/record router-balance/balance}; do
	$CLANG --target=wasm32 -mcpu=mvp -mbulk-memory -msimd128 -O2 -std=c17 -ffreestanding -fno-builtin -fvisibility=hidden \
		-I../plugins/sdk/c -c "$guest.c" -o "$tmp/guest.o"
	$WASM_LD --no-entry --strip-all --stack-first -z stack-size=65536 "$tmp/guest.o" -o "$guest.wasm"
	chmod 644 "$guest.wasm"
done
