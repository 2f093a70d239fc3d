#!/bin/sh
# Builds the constraint guest beside its sources and records compiler, command and digest in constraint.wasm.txt. Needs
# clang and wasm-ld 19. The bytes depend on the compiler's version and the sources alone.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
WASM_LD=${WASM_LD:-wasm-ld-19}
# Every feature is named, since the compiler's default set changes between versions and the ABI's does not.
CFLAGS="--target=wasm32 -mcpu=mvp -mmutable-globals -msign-ext -mnontrapping-fptoint -mmultivalue -mbulk-memory -msimd128 \
-std=c17 -ffreestanding -fno-builtin -fno-strict-aliasing -ffp-contract=off -fvisibility=hidden -Wall -Wextra -Werror"
LDFLAGS="--no-entry --strip-all --stack-first -z stack-size=131072"

tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
sources=$(ls *.c)
# What runs for each token is made fast, what reads a grammar once small.
level() {
	case $1 in automaton.c | mask.c | trie.c) echo -O3 ;; *) echo -Os ;; esac
}
for source in $sources; do
	$CLANG $(level "$source") $CFLAGS -c "$source" -o "$tmp/${source%.c}.o"
done
(cd "$tmp" && $WASM_LD $LDFLAGS *.o -o constraint.wasm)
cp "$tmp/constraint.wasm" constraint.wasm
chmod 644 constraint.wasm
{
	echo "compiler: $($CLANG --version | head -n 1)"
	echo "linker: $($WASM_LD --version | head -n 1)"
	for source in $sources; do echo "compile: $CLANG $(level "$source") $CFLAGS -c $source"; done
	echo "link: $WASM_LD $LDFLAGS OBJECTS"
	echo "sha256: $(sha256sum constraint.wasm | cut -d ' ' -f 1)"
} >constraint.wasm.txt
echo "constraint.wasm $(wc -c <constraint.wasm) bytes"
