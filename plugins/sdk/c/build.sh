#!/bin/sh
# Builds a guest of one C file: build.sh SOURCE.c OUT.wasm. Needs clang and wasm-ld 19 (CLANG, WASM_LD name others). The bytes
# depend on the compiler's version and the sources alone.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
${CLANG:-clang-19} --target=wasm32 -mcpu=mvp -mbulk-memory -msimd128 -O2 -std=c17 -ffreestanding -fno-builtin -fvisibility=hidden \
	-I"$sdk" -c "$1" -o "$tmp/guest.o"
${WASM_LD:-wasm-ld-19} --no-entry --strip-all --stack-first -z stack-size=65536 "$tmp/guest.o" -o "$2"
chmod 644 "$2"
