#!/bin/sh
# Builds the tokenizer guests beside their sources and records compiler, command and digest in NAME.wasm.txt. Needs clang
# and wasm-ld 19. The bytes depend on the compiler's version and the sources alone.
#   plugins/tokenizer/build.sh         all
#   plugins/tokenizer/build.sh spm     one
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
WASM_LD=${WASM_LD:-wasm-ld-19}
# Every feature is named, since the compiler's default set changes between versions and the ABI's does not.
CFLAGS="--target=wasm32 -mcpu=mvp -mmutable-globals -msign-ext -mnontrapping-fptoint -mmultivalue -mbulk-memory -msimd128 \
-std=c17 -ffreestanding -fno-builtin -fno-strict-aliasing -ffp-contract=off -fvisibility=hidden -Wall -Wextra -Werror"
LDFLAGS="--no-entry --strip-all --stack-first -z stack-size=65536"

tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
# -Os makes bpe a fifth smaller, which its start feels, and no slower.
level() {
	case $1 in bpe) echo -Os ;; *) echo -O3 ;; esac
}
for name in ${*:-spm bpe}; do
	$CLANG $(level "$name") $CFLAGS -c "$name.c" -o "$tmp/$name.o"
	$WASM_LD $LDFLAGS "$tmp/$name.o" -o "$name.wasm"
	chmod 644 "$name.wasm"
	{
		echo "compiler: $($CLANG --version | head -n 1)"
		echo "linker: $($WASM_LD --version | head -n 1)"
		echo "compile: $CLANG $(level "$name") $CFLAGS -c $name.c"
		echo "link: $WASM_LD $LDFLAGS $name.o"
		echo "sha256: $(sha256sum "$name.wasm" | cut -d ' ' -f 1)"
	} >"$name.wasm.txt"
	echo "$name.wasm $(wc -c <"$name.wasm") bytes"
done
