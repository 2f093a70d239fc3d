#!/bin/sh
# Builds a guest that is a Go package: build.sh FOLDER OUT.wasm. The compiler writes no manifest: put manifest.toml in with
# forge plugin stamp, and grant the plugin wasi.
set -eu
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$1"
GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags="-s -w -buildid=" -o "$out" .
chmod 644 "$out"
