#!/bin/sh
# Builds a guest that is a crate: build.sh CRATE OUT.wasm, where CRATE is the folder of its Cargo.toml.
#
# Needs Debian's packages rustc-web, cargo-web, rust-web-src and lld-19, whose core library is built on the way (half a minute the
# first time), or a rustc that has the target wasm32-unknown-unknown. RUSTC, CARGO and WASM_LD name others. The bytes depend on the
# compiler's version and the sources alone, not on where they lie.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
crate=$(cd "$1" && pwd)
out=$2
target=wasm32-unknown-unknown
if [ -z "${RUSTC:-}" ]; then
	RUSTC=/usr/bin/rustc # Debian's; another may stand first in the path
	[ -x "$RUSTC" ] || RUSTC=$(command -v rustc)
fi
export RUSTC
sysroot=$("$RUSTC" --print sysroot)
std=
if [ ! -d "$sysroot/lib/rustlib/$target" ]; then
	std=-Zbuild-std=core
	export RUSTC_BOOTSTRAP=1 # Debian's compiler is a stable one; building core is not
fi
if [ -z "${CARGO:-}" ]; then
	CARGO=$(dirname "$RUSTC")/cargo
	[ -x "$CARGO" ] || CARGO=$(command -v cargo)
fi
# The features are those that the ABI lets a guest use.
RUSTFLAGS="-Clinker-flavor=wasm-ld -Clink-arg=-zstack-size=65536 -Ctarget-cpu=mvp \
-Ctarget-feature=+mutable-globals,+sign-ext,+nontrapping-fptoint,+multivalue,+bulk-memory,+simd128 \
--remap-path-prefix=$crate=guest --remap-path-prefix=$sdk=sdk --remap-path-prefix=$sysroot=rust"
export RUSTFLAGS
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="${WASM_LD:-wasm-ld-19}"
dir=${CARGO_TARGET_DIR:-$crate/target}
export CARGO_TARGET_DIR="$dir"
"$CARGO" build --quiet --release --manifest-path "$crate/Cargo.toml" --target $target $std
name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$crate/Cargo.toml" | head -n 1 | tr - _)
cp "$dir/$target/release/$name.wasm" "$out"
chmod 644 "$out"
