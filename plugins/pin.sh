#!/bin/sh
# Writes the sha256 of every shipped module into default.toml, and copies that to the root's plugins.toml.
#   plugins/pin.sh
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
while IFS= read -r line; do
	case $line in
	'file = "shipped:'*)
		name=${line#*shipped:}
		module=$(ls */"${name%\"*}".wasm)
		;;
	'sha256 = '*) line="sha256 = \"$(sha256sum "$module" | cut -d ' ' -f 1)\"" ;;
	esac
	printf '%s\n' "$line"
done <default.toml >"$tmp"
cat "$tmp" >default.toml
cp default.toml ../plugins.toml
