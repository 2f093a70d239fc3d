#!/bin/sh
# Builds template.wasm, and template.wasm.txt with what it was built by. The bytes depend on the sources, Cargo.lock
# and the compiler alone, not on where the tree or the registry's cache lies.
#
# Needs Debian's packages rustc-web, cargo-web, rust-web-src (1.96) and lld-19. Another toolchain may be named by
# RUSTC, CARGO and WASM_LD, but its bytes will differ from the committed ones.
set -eu
cd "$(dirname "$0")"
export RUSTC="${RUSTC:-/usr/bin/rustc}"
CARGO="${CARGO:-/usr/bin/cargo}"
WASM_LD="${WASM_LD:-wasm-ld-19}"
CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}"
export CARGO_HOME
target="${CARGO_TARGET_DIR:-target}"

# Registry folders carry the index's name; the remap drops it.
"$CARGO" fetch --quiet --locked
remap="--remap-path-prefix=$(pwd)=template --remap-path-prefix=$("$RUSTC" --print sysroot)=rust"
for registry in "$CARGO_HOME"/registry/src/*; do
	remap="$remap --remap-path-prefix=$registry=crates"
done

# The features are those that abi/v1.toml lets a guest use.
export RUSTFLAGS="-Clinker-flavor=wasm-ld -Clink-arg=-zstack-size=4194304 -Ctarget-cpu=mvp \
-Ctarget-feature=+mutable-globals,+sign-ext,+nontrapping-fptoint,+multivalue,+bulk-memory $remap"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$WASM_LD"
export RUSTC_BOOTSTRAP=1 # Debian's compiler is a stable one; building std is not
# A panic traps at once: its message would have nowhere to go.
"$CARGO" build --quiet --locked --lib --release --target wasm32-unknown-unknown \
	-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size \
	-Zpanic-immediate-abort --config 'profile.release.panic="immediate-abort"'
cp "$target/wasm32-unknown-unknown/release/template.wasm" template.wasm
chmod 644 template.wasm
{
	echo "compiler: $("$RUSTC" --version)"
	echo "linker: $("$WASM_LD" --version | head -n 1)"
	echo "command: plugins/template/build.sh"
	echo "sha256: $(sha256sum template.wasm | cut -d ' ' -f 1)"
} >template.wasm.txt
