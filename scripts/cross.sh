#!/bin/sh
# Builds a static pngw for each kind of router, and their SHA-256 sums. Those
# targets that end in -usb have USB, and a C compiler that cross-usb.sh fetches;
# USB=0 leaves them out.
#   scripts/cross.sh [TARGET]…     default: all of build/size-budget
set -eu
cd "$(dirname "$0")/.."

. scripts/pin.sh
out=build/out
newline='
'
mkdir -p "$out"
ldflags=$(scripts/ldflags.sh)
gcflags=$(scripts/gcflags.sh lines)
overlay=$(scripts/overlay.sh "$out/overlay.json")

if [ $# -eq 0 ]; then
	# shellcheck disable=SC2046 # a list of words
	set -- $(awk -v usb="${USB:-1}" '!/^#/ && NF && (usb != 0 || $1 !~ /-usb$/) { print $1 }' build/size-budget)
fi

for target in "$@"; do
	case $target in
	*-usb)
		scripts/cross-usb.sh "${target%-usb}" "$out/pngw-$target"
		continue
		;;
	esac
	os=${target%%-*}
	arch=${target#*-}
	arm=
	case $arch in
	armv5 | armv7)
		arm=${arch#armv}
		arch=arm
		;;
	mips | mipsle | arm64 | amd64) ;;
	*)
		echo "cross: unknown target $target" >&2
		exit 2
		;;
	esac
	(
		IFS=$newline
		# shellcheck disable=SC2086 # a list of flags, a line each
		GOOS=$os GOARCH=$arch GOARM=$arm CGO_ENABLED=0 \
			go build -trimpath -buildvcs=false -tags nethttpomithttp2 -ldflags "$ldflags" "$overlay" $gcflags \
			-o "$out/pngw-$target" ./cmd/pngw
	)
done

# From here on the list is of files.
for target in "$@"; do
	shift
	set -- "$@" "pngw-$target"
done
go build -o "$out/elfcheck" ./scripts/elfcheck
top=$PWD
cd "$out"
./elfcheck -path "$top/" -path "${HOME:-/root}/" -path "${TMPDIR:-/tmp}/go-" "$@"
sha256sum "$@" >SHA256SUMS
cat SHA256SUMS
