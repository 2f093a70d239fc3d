#!/bin/sh
# Builds the examples with the SDKs' scripts, which say what they need.
#   examples/build.sh                    all in C
#   examples/build.sh sampler-rust       one, by its folder
# What Go and AssemblyScript compile is stamped with its manifest by forge: FORGE names the program, else it runs from source.
set -eu
cd "$(dirname "$0")"
sdk=../plugins/sdk

stamp() {
	if [ -n "${FORGE:-}" ]; then "$FORGE" plugin stamp "$1/$2.wasm" --manifest "$1/manifest.toml"
	else go run ../cmd/forge plugin stamp "$1/$2.wasm" --manifest "$1/manifest.toml"; fi
}

for folder in ${*:-sampler-c sampler-watermark sampler-entropy arch-c tokenizer-bytes constraint-move router-record router-balance}; do
	case $folder in
	sampler-c) $sdk/c/build.sh sampler-c/margin.c sampler-c/margin.wasm ;;
	sampler-watermark) $sdk/c/build.sh sampler-watermark/watermark.c sampler-watermark/watermark.wasm ;;
	sampler-entropy) $sdk/c/build.sh sampler-entropy/entropy.c sampler-entropy/entropy.wasm ;;
	arch-c) $sdk/c/build.sh arch-c/parallel.c arch-c/parallel.wasm ;;
	constraint-move) $sdk/c/build.sh constraint-move/move.c constraint-move/move.wasm ;;
	tokenizer-bytes) $sdk/c/build.sh tokenizer-bytes/bytes.c tokenizer-bytes/bytes.wasm ;;
	router-record) $sdk/c/build.sh router-record/record.c router-record/record.wasm ;;
	router-balance) $sdk/c/build.sh router-balance/balance.c router-balance/balance.wasm ;;
	sampler-rust) $sdk/rust/build.sh sampler-rust sampler-rust/margin.wasm ;;
	sampler-assemblyscript)
		$sdk/assemblyscript/build.sh sampler-assemblyscript/margin.ts sampler-assemblyscript/margin.wasm
		stamp sampler-assemblyscript margin ;;
	sampler-go)
		$sdk/go/build.sh sampler-go sampler-go/margin.wasm
		stamp sampler-go margin ;;
	*) echo "examples/build.sh: there is no example $folder" >&2; exit 1 ;;
	esac
done
