#!/bin/sh
# Builds template.wasm, and template.wasm.txt with what it was built by. The bytes depend on the sources, crates.txt
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

# crates.txt names the crates: version and sha256 of each. The lock that cargo reads is made from it and held to it, so the
# tree names no registry.
locked() { awk '/^name = /{n=$3} /^version = /{v=$3} /^checksum = /{print n, v, $3}' Cargo.lock | tr -d '"'; }
lock() {
	if [ -f Cargo.lock ] && [ "$(locked)" = "$(cat crates.txt)" ]; then return; fi
	rm -f Cargo.lock
	"$CARGO" generate-lockfile --quiet
	for pass in 1 2; do
		if [ "$(locked)" = "$(cat crates.txt)" ]; then break; fi
		# A crate that another holds to its own version gives way in the second pass.
		while read -r name version _; do "$CARGO" update --quiet "$name" --precise "$version" 2>/dev/null || true; done <crates.txt
	done
	[ "$(locked)" = "$(cat crates.txt)" ] || { echo "the crates are not those of crates.txt:" >&2; locked | diff crates.txt - >&2; exit 1; }
}
lock
"$CARGO" fetch --quiet --locked

# Registry folders carry the index's name; the remap drops it.
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
