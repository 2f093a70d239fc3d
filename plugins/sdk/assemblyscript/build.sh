#!/bin/sh
# Builds a guest of one AssemblyScript file: build.sh SOURCE.ts OUT.wasm. Needs node, and asc 0.27 or 0.28 from npm: ASC names it,
# else the one of the source's folder is used, which npm installs there. The compiler writes no manifest: put manifest.toml in with
# forge plugin stamp.
set -eu
source=$1
out=$2
dir=$(dirname "$source")
if [ -z "${ASC:-}" ]; then
	ASC=$dir/node_modules/.bin/asc
	[ -x "$ASC" ] || npm install --prefix "$dir" --no-package-lock --no-audit --no-fund --silent
fi
"$ASC" "$source" -O3 --noAssert --runtime stub --use abort= --enable simd,bulk-memory -o "$out"
chmod 644 "$out"
