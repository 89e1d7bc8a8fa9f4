#!/bin/sh
# Builds one static pngw with USB: cgo by zig and musl, libusb from source.
#   scripts/cross-usb.sh TARGET FILE      TARGET as in build/size-budget
set -eu
cd "$(dirname "$0")/.."

. scripts/pin.sh
target=$1 file=$2

# The C side must match what Go compiles for: no FPU on MIPS and ARM v5.
arm=
case $target in
linux-mips) arch=mips c='mips-linux-musl -mcpu=mips32r2+soft_float' ;;
linux-mipsle) arch=mipsle c='mipsel-linux-musl -mcpu=mips32r2+soft_float' ;;
linux-armv5) arch=arm arm=5 c='arm-linux-musleabi -mcpu=arm926ej_s+soft_float' ;;
linux-armv7) arch=arm arm=7 c='arm-linux-musleabihf -mcpu=generic+v7a' ;;
linux-arm64) arch=arm64 c=aarch64-linux-musl ;;
linux-amd64) arch=amd64 c='x86_64-linux-musl -mcpu=x86_64' ;;
*)
	echo "cross-usb: unknown target $target" >&2
	exit 2
	;;
esac

zig=$(scripts/zig.sh)
# shellcheck disable=SC2086 # the target and its flags
libusb=$(scripts/libusb.sh $c)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ZIG_LOCAL_CACHE_DIR="$work" ZIG_GLOBAL_CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/pngw/zig-cache"

link='-static -s'
if [ "$arm" = 5 ]; then
	# shellcheck disable=SC2086
	"$zig" cc -target $c -O2 -g0 -c -o "$work/sync.o" build/tools/zig/sync-armv5.c
	link="$link $work/sync.o"
fi

# Only USB is C's: names are looked up by Go, as in the builds without USB.
# The build id would tell where the compiler is, and differ with it.
ldflags="$(scripts/ldflags.sh) -buildid= -linkmode external -extldflags '$link'"
gcflags=$(scripts/gcflags.sh lines)
overlay=$(scripts/overlay.sh "$work/overlay.json")
IFS='
'
# shellcheck disable=SC2086 # a list of flags, a line each
PKG_CONFIG_LIBDIR=$libusb PKG_CONFIG_PATH='' CC="$zig cc -target $c" CGO_CFLAGS='-O2 -g0' \
	GOOS=linux GOARCH=$arch GOARM=$arm CGO_ENABLED=1 \
	go build -trimpath -buildvcs=false -tags nethttpomithttp2,usb,netgo,osusergo "$overlay" $gcflags -o "$file" \
	-ldflags "$ldflags" ./cmd/pngw
