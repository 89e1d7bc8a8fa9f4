#!/bin/sh
# Builds libusb for a target, static, with zig, and prints the folder of its
# libusb-1.0.pc.
#   scripts/libusb.sh ZIGTARGET [ZIGFLAG…]   such as mips-linux-musl -mcpu=mips32r2+soft_float
# The source is Debian's copy of the release, held by the hash below. Source and
# results are cached.
set -eu
cd "$(dirname "$0")/.."

version=1.0.26
sha256=12ce7a61fc9854d1d2a1ffe095f7b5fac19ddba095c259e6067a46500381b5a5
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pngw

target=$1
flags="-target $*"
zig=$(scripts/zig.sh)

# What comes out depends on this script and on what it is given.
key=$({ cat scripts/libusb.sh; echo "$flags"; } | sha256sum | cut -c 1-12)
built=$cache/libusb-$version-$target-$key

if [ ! -d "$built" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/libusb.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	tarball=$(scripts/debsource.sh libusb-1.0 "2:$version-1" "libusb-1.0_$version.orig.tar.bz2" $sha256 "libusb-$version.tar.bz2") || {
		echo 'libusb: or build without USB: make cross USB=0' >&2
		exit 1
	}
	tar -xjf "$tarball" -C "$work"
	echo "libusb: building for $target" >&2
	(
		cd "$work/libusb-$version"
		export ZIG_LOCAL_CACHE_DIR="$work/zig" ZIG_GLOBAL_CACHE_DIR="$cache/zig-cache"
		# No udev on a router: libusb listens to the kernel itself. The prefix is
		# where it is going to stand, also for the .pc file.
		./configure --host="$target" --prefix="$built" --quiet \
			--disable-udev --disable-shared --enable-static --disable-dependency-tracking \
			CC="$zig cc $flags" AR="$zig ar" RANLIB="$zig ranlib" \
			CFLAGS="-O2 -g0 -ffile-prefix-map=$work/libusb-$version=libusb"
		make --quiet -C libusb install DESTDIR="$work/root"
		make --quiet install-pkgconfigDATA DESTDIR="$work/root"
	) >"$work/log" 2>&1 || {
		tail -30 "$work/log" >&2
		echo 'libusb: the build failed, see above' >&2
		exit 1
	}
	# Somebody else's run may have been faster.
	mv -T "$work/root$built" "$built" 2>/dev/null || [ -d "$built" ]
fi
echo "$built/lib/pkgconfig"
