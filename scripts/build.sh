#!/bin/sh
# Builds the programs for this machine. pngw has USB where libusb's headers and a C
# compiler are here; USB=0 leaves it out, USB=1 insists.
#   scripts/build.sh [FOLDER]      default build/out/bin
set -eu
cd "$(dirname "$0")/.."

out=${1:-build/out/bin}
mkdir -p "$out"
tags=nethttpomithttp2
export CGO_ENABLED=0
if [ "${USB:-}" = 1 ] || [ "${USB:-}" != 0 ] && scripts/libusb-here.sh; then
	tags=$tags,usb
	CGO_ENABLED=1
	usb='with USB'
else
	usb='without USB'
fi
go build -trimpath -buildvcs=false -tags "$tags" -ldflags "$(scripts/ldflags.sh)" -o "$out/" ./cmd/...
echo "built into $out, $usb: $(cd "$out" && echo *)"
