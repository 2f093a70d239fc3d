#!/bin/sh
# Builds the faulty guests of the tests. Needs clang and wasm-ld 19.
set -eu
cd "$(dirname "$0")"
for source in *.c; do
	../../../plugins/sdk/c/build.sh "$source" "${source%.c}.wasm"
done
