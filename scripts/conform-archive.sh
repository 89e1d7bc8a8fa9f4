#!/bin/sh
# Packs what whoever builds a device, a server or a gateway needs to try it: the
# conformance kit for three kinds of machine, a PNE to compare with, the vectors, the PNE in
# C, and the pages. Everything lies where it lies in the source, so that the pages' links
# hold; those to what only the source has become words. Then it is unpacked and tried.
#   scripts/conform-archive.sh [FOLDER]       default: build/out; VERSION names it
set -eu
cd "$(dirname "$0")/.."

out=$(realpath -m "${1:-build/out}")
version=${VERSION:-$(git describe --tags --match 'v[0-9]*' --always --abbrev=12 --dirty 2>/dev/null || echo devel)}
name=cpns-conform-${version#v}
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/$name
ldflags=$(scripts/ldflags.sh)
. scripts/pin.sh

# build TARGET GOARCH GOARM
build() {
	GOOS=linux GOARCH=$2 GOARM=$3 CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$ldflags" \
		-o "$tree/bin/$1/" ./cmd/cpns-conform ./cmd/pne
}
build linux-amd64 amd64 ''
build linux-arm64 arm64 ''
build linux-armv7 arm 7

# take FILE…: to the place that it has in the source.
take() {
	for file; do
		mkdir -p "$tree/$(dirname "$file")"
		cp "$file" "$tree/$file"
	done
}
take LICENSE docs/integrating.md docs/conformance.md docs/protocol.md docs/device.md docs/provisioning.md docs/openwrt.md docs/applications.md \
	docs/decisions/0029-pne-in-c.md docs/decisions/0037-conformance-kit.md cpns/testdata/README.md cpns/testdata/protocol.json cpns/testdata/refused.json
# What git knows of, so that nothing that lies about gets in.
git ls-files -- device cpns/pne scripts/device-single.sh scripts/pne-posix.sh | grep -v _test.go | while read -r file; do take "$file"; done

# links FILE: where its relative links lead.
links() { grep -o '](\([^):#]*\)[)#]' "$1" | sed 's/^](//; s/[)#]$//; /^$/d' | sort -u; }

# dangling: the pages' links that lead nowhere, a page and a link a line.
dangling() {
	find "$tree" -name '*.md' | while read -r page; do
		links "$page" | while read -r link; do
			[ -e "$(dirname "$page")/$link" ] || echo "$page $link"
		done
	done
}
dangling | while read -r page link; do
	link=$(printf %s "$link" | sed 's/[].[\*^$/]/\\&/g')
	sed -zi "s/!\{0,1\}\[\([^][]*\)\]($link\(#[^)]*\)\{0,1\})/\1/g" "$page"
done
cat >"$tree/README.txt" <<END
The conformance kit of CPNS, $version, and what goes with it. Linux is all that the
programs need; put their folder into PATH:  export PATH=\$PWD/bin/linux-amd64:\$PATH

  docs/integrating.md   begin here: the path of a day, from the label to a green report
  docs/conformance.md   every case of the kit, and its options
  bin/                  cpns-conform and pne, a device to compare with; static, for Linux on
                        amd64, arm64 and ARMv7. bin/linux-amd64/cpns-conform --help
  device/               the PNE in C for microcontrollers, with its ports and examples:
                        docs/device.md
  cpns/testdata/        vectors: every message with its bytes, and what must be refused
  cpns/pne/             the PNE in Go, to read
  docs/protocol.md      the law

cpns-server and pngw, for the labels and the last hour of the path, are in the source
and in packages of their own; pages that are named here without a link are in the source.
USB takes a build with libusb, from the source: go build -tags usb ./cmd/cpns-conform
END
mkdir -p "$out"
tar -C "$work" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$out/$name.tar.gz"

# Tried as whoever gets it would: unpacked elsewhere.
rm -rf "$tree"
tar -C "$work" -xzf "$out/$name.tar.gz"
kit=$tree/bin/linux-$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/; s/armv7l/armv7/')/cpns-conform
if [ -x "$kit" ]; then
	env -i "$kit" version | head -n 1
	env -i "$kit" pne --list | tail -n 1
fi
broken=$(dangling)
if [ -n "$broken" ]; then
	printf 'conform-archive: links that lead nowhere:\n%s\n' "$broken" >&2
	exit 1
fi
for program in "$tree"/bin/*/*; do
	if readelf -l "$program" | grep -q INTERP; then
		echo "conform-archive: $program needs a dynamic linker" >&2
		exit 1
	fi
done
if command -v cc >/dev/null; then
	for file in "$tree"/device/src/*.c; do
		cc -std=c11 -O1 -Wall -Wextra -Werror -I "$tree/device/include" -c "$file" -o "$work/object.o"
	done
	echo 'the C library compiles by itself'
fi
ls -l "$out/$name.tar.gz"
