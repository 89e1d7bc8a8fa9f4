#!/bin/sh
# Prints the folder of BearSSL's source, from which a microcontroller's firmware
# takes what it needs: Debian's copy of the release, unpacked once into the cache.
set -eu
cd "$(dirname "$0")/.."

version=0.6
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pngw
source=$cache/bearssl-$version

if [ ! -d "$source" ]; then
	tarball=$(scripts/debsource.sh bearssl "$version+dfsg.1-3" "bearssl_$version+dfsg.1.orig.tar.xz" \
		102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004 "bearssl-$version.tar.xz")
	work=$(mktemp -d "$cache/bearssl.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	tar -xJf "$tarball" -C "$work"
	# Somebody else's run may have been faster.
	mv -T "$work/bearssl-$version" "$source" 2>/dev/null || [ -d "$source" ]
fi
echo "$source"
