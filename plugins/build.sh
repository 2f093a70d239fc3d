#!/bin/sh
# Builds the shipped C guests into .wasm files beside their sources, writes NAME.wasm.txt (compiler, command, sha256)
# next to each, and pins the digests in default.toml. Needs clang and wasm-ld 19, and go.
#   plugins/build.sh             all guests
#   plugins/build.sh arch/llama  one
# The bytes depend on the compiler's version and the sources alone.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
WASM_LD=${WASM_LD:-wasm-ld-19}

# Every feature is named, since the compiler's default set changes between versions and the ABI's does not.
CFLAGS="--target=wasm32 -mcpu=mvp -mmutable-globals -msign-ext -mnontrapping-fptoint -mmultivalue -mbulk-memory -msimd128 \
-std=c17 -ffreestanding -fno-builtin -fno-strict-aliasing -ffp-contract=off -fvisibility=hidden -Wall -Wextra -Werror -Isdk/c -Isampler"
LDFLAGS="--no-entry --strip-all --stack-first -z stack-size=65536"

# build OPT OUT SOURCE... compiles and links one guest. Objects are made one by one because clang's own link step would run
# a wasm-opt found on the PATH.
build() {
	flags="$1 $CFLAGS"
	out=$2
	shift 2
	tmp=$(mktemp -d)
	objects=
	for source in "$@"; do
		$CLANG $flags -c "$source" -o "$tmp/$(basename "$source" .c).o"
		objects="$objects $tmp/$(basename "$source" .c).o"
	done
	$WASM_LD $LDFLAGS $objects -o "$out.wasm"
	chmod 644 "$out.wasm"
	rm -r "$tmp"
	{
		echo "compiler: $($CLANG --version | head -n 1)"
		echo "linker: $($WASM_LD --version | head -n 1)"
		echo "compile: $CLANG $flags -c SOURCE, for each of $*"
		echo "link: $WASM_LD $LDFLAGS OBJECTS"
		echo "sha256: $(sha256sum "$out.wasm" | cut -d ' ' -f 1)"
	} >"$out.wasm.txt"
	echo "$out.wasm $(wc -c <"$out.wasm") bytes"
}

$CLANG --version | head -n 1
only=${1:-}
guest() {
	if [ -z "$only" ] || [ "$only" = "$2" ]; then build "$@"; fi
}
# An arch guest runs once, at load.
guest -Os arch/llama arch/llama.c
guest -Os arch/gemma3 arch/gemma3.c
guest -Os arch/qwen2moe arch/qwen2moe.c
guest -Os arch/qwen3moe arch/qwen3moe.c
TABLE="sampler/table.c sampler/select.c sampler/pick.c"
guest -O3 sampler/sampler sampler/sampler.c $TABLE sampler/logit_bias.c sampler/penalties.c sampler/top_n_sigma.c sampler/top_k.c sampler/typ_p.c \
	sampler/top_p.c sampler/min_p.c sampler/xtc.c sampler/dynatemp.c sampler/temperature.c sampler/dist.c sampler/greedy.c sampler/tell.c
guest -O2 sampler/text sampler/text.c sampler/table.c sampler/vocab.c sampler/eog.c sampler/dry.c sampler/infill.c
guest -O2 sampler/mirostat sampler/mirostat.c $TABLE sampler/tell.c
guest -O3 router/softmax router/softmax.c
guest -O3 router/sigmoid router/sigmoid.c
guest -O2 testdata/maths testdata/maths.c sampler/table.c
if [ -z "$only" ]; then
	constraint/build.sh
	tokenizer/build.sh
	if command -v cargo >/dev/null && [ -x template/build.sh ]; then template/build.sh; fi
fi
cd .. && go run ./plugins/pin
