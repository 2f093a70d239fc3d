#!/bin/sh
# Tests the arm64 kernels on another processor, under qemu's emulation: the tests of kernels/simd, and the logits of the models
# that are in models/, which must be those that this machine computes, bit for bit. Emulation says nothing about speed.
#   tools/test_arm64.sh
set -eu
cd "$(dirname "$0")/.."
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
if [ -z "$qemu" ]; then
	echo "test-arm64: skipped, there is no qemu-aarch64-static (Debian's package qemu-user-static)"
	exit 0
fi
export CGO_ENABLED=0

# The tests of single kernels; with FORGE_TEST_ALL also attention as a whole, which has plain Go compute a lot. The others test
# what is the same on every processor, and take long under emulation.
run='OverLadder$|^TestProductOfDecodedWeights$|^TestIntegerSums$|^TestActs|^TestRoundPart$|^TestHalfConversions$|^TestFMA32|^TestExp$|^TestTile$|^TestSoftmaxRange$|^TestFold$|^TestChooseISA$|^TestDescribe$|^TestProbe'
[ -z "${FORGE_TEST_ALL:-}" ] || run="$run|^TestDeviceLadder\$/^attention"
echo "test-arm64: kernels/simd"
GOARCH=arm64 go test -exec "$qemu" -timeout 60m -run "$run" ./kernels/simd

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
go build -o "$tmp/here" ./cmd/forge
GOARCH=arm64 go build -o "$tmp/arm64" ./cmd/forge

# same MODEL FLAGS... answers a prompt here and at every rung of arm64.
same() {
	model=models/$1
	shift
	if [ ! -e "$model" ]; then
		echo "test-arm64: no $model: skipped"
		return
	fi
	set -- run -m "$model" --plugins plugins.toml -p "Why is the sky blue?" -n 8 -t 1 --temp 0 "$@"
	"$tmp/here" "$@" --save-logits "$tmp/here.npy" >"$tmp/here.txt" 2>"$tmp/log" || { cat "$tmp/log"; exit 1; }
	for rung in neon dotprod; do
		echo "test-arm64: $model, $rung"
		FORGE_SIMD=$rung "$qemu" "$tmp/arm64" "$@" --save-logits "$tmp/arm64.npy" >"$tmp/arm64.txt" 2>"$tmp/log" || { cat "$tmp/log"; exit 1; }
		if ! cmp "$tmp/here.txt" "$tmp/arm64.txt" || ! cmp "$tmp/here.npy" "$tmp/arm64.npy"; then
			echo "test-arm64: $model answers otherwise with the $rung kernels: $(cat "$tmp/arm64.txt"), not $(cat "$tmp/here.txt")"
			exit 1
		fi
	done
}
same SmolLM2-135M-Instruct.Q4_1.gguf
same gemma-3-270m-q4_k_m.gguf --raw --ctk q8_0 --ctv q8_0
