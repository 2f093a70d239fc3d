#!/bin/sh
# Builds the guests of this folder's tests: sh build.sh. The results are committed.
set -e
cd "$(dirname "$0")"
build() { # source, output, flags
	src=$1 out=$2
	shift 2
	clang-19 --target=wasm32 -nostdlib -O2 -ffreestanding -fno-builtin -msimd128 -mbulk-memory -Wall -Wno-unused-function \
		-I../../../plugins/sdk/c -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 "$@" -o "$out.wasm" "$src.c"
}
for guest in echo pair second halve hostile arch template granted route count plan sway; do build $guest $guest; done
build mask mask_explicit -DEXPLICIT
build mask mask_bare -DBARE
build mask mask_image -DIMAGE
build mask mask_stateless
build arena arena_none -DPTR=0
build arena arena_crooked -DPTR=4096
build arena arena_beyond -DPTR=0x40000000
build arena signature -DPTR=0 -DSIGNATURE
chmod 644 *.wasm
