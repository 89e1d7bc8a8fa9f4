#!/bin/sh
# Packs cpns-server, with pne, and pngw for machines with systemd, as .deb and .rpm, into
# build/out/packages/linux. pngw is build/out/pngw-linux-ARCH-usb, or, where there is none,
# the one without USB: run make cross first. cpns-server is built here.
#   scripts/package-linux.sh [-d FOLDER] [ARCHITECTURE]…
# ARCHITECTURE is amd64, arm64 or armv7, all of them unless given; FOLDER takes the place
# of build/out. PROGRAMS names a folder that has cpns-server and pne already, for a test.
set -eu
cd "$(dirname "$0")/.."

bin=build/out
if [ "${1:-}" = -d ]; then
	bin=$2
	shift 2
fi
[ $# -gt 0 ] || set -- amd64 arm64 armv7
root=$PWD
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH="$time"

# A tag is the version as it is. Behind one, or without, the commit's time makes later ones
# greater.
tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null || echo v0.0.0)
VERSION=${tag#v}
if [ "$(git describe --tags --match 'v[0-9]*' --exact-match 2>/dev/null)" != "$tag" ]; then
	VERSION=$VERSION+git$(date -u -d "@$time" +%Y%m%d%H%M)
fi
export VERSION

go build -C build/tools -o "$PWD/build/out/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
ldflags=$(scripts/ldflags.sh)
# What somebody has set for other builds is not for these.
. scripts/pin.sh
stage=$(mktemp -d)
trap 'rm -rf "$stage" "$stage.log"' EXIT
mkdir -p "$bin/packages/linux"
out=$(cd "$bin/packages/linux" && pwd)
bin=$(cd "$bin" && pwd)

# begin NAME NEXT: an empty stage for a package, whose scripts end with what to do NEXT.
begin() {
	rm -rf "${stage:?}"/*
	export NAME="$1"
	cp build/package/linux/nfpm.yaml "$stage/"
	printf '%s\n' "$2" >"$stage/next"
	for script in postinst prerm postrm; do
		sed -e "s/@NAME@/$1/g" -e "/^@NEXT@\$/{r $stage/next
d}" "build/package/linux/$script.sh" >"$stage/$script.sh"
	done
	place 644 LICENSE "usr/share/doc/$1/copyright"
	sed 's,/usr/local/bin/,/usr/bin/,' "build/systemd/$1.service" >"$stage/unit"
	place 644 "$stage/unit" "usr/lib/systemd/system/$1.service"
}

# place MODE FILE PATH
place() {
	mkdir -p "$(dirname "$stage/root/$3")"
	install -m "$1" "$2" "$stage/root/$3"
}

# page PROGRAM FILE: its manual page, which it prints; or one of this machine's kind does.
page() {
	if [ "$arch" = "$(go env GOHOSTARCH)" ]; then
		"$2" man >"$stage/$1.1"
	else
		go run -ldflags "$ldflags" "./cmd/$1" man >"$stage/$1.1"
	fi
	gzip -9n "$stage/$1.1"
	place 644 "$stage/$1.1.gz" "usr/share/man/man1/$1.1.gz"
}

# pack ARCH: as deb and as rpm, which name them by their own names of ARCH.
pack() {
	export ARCH="$1"
	find "$stage" -type d -exec chmod 0755 {} +
	find "$stage" -exec touch -h -d "@$time" {} +
	for kind in deb rpm; do
		if ! (cd "$stage" && "$root/build/out/nfpm" package --config nfpm.yaml --packager "$kind" --target "$out/" >"$stage.log" 2>&1); then
			cat "$stage.log" >&2
			exit 1
		fi
	done
}

server() {
	export DESCRIPTION='CPNS Server: assigns keys to headless devices behind gateways'
	begin cpns-server "cpns-server: not started yet. First, with the name that gateways reach it by:
  cpns-server init --data /var/lib/cpns-server/data --host NAME
  systemctl enable --now cpns-server"
	programs=${PROGRAMS:-$bin/server-$1}
	if [ -z "${PROGRAMS:-}" ]; then
		GOOS=linux GOARCH=$1 CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$programs/" ./cmd/cpns-server ./cmd/pne
	fi
	for program in cpns-server pne; do
		place 755 "$programs/$program" "usr/bin/$program"
		page "$program" "$programs/$program"
	done
	pack "$1"
}

gateway() {
	program=$bin/pngw-linux-$1-usb
	[ -f "$program" ] || program=$bin/pngw-linux-$1
	if [ ! -f "$program" ]; then
		echo "package: there is no $program: run make cross first" >&2
		exit 1
	fi
	export DESCRIPTION='CPNS gateway for headless devices'
	begin pngw "pngw: not started yet. First set it up, in /etc/config/pngw; then
  systemctl enable --now pngw
  pngw status"
	page pngw "$program"
	place 755 "$program" usr/bin/pngw
	place 644 build/package/linux/60-pngw.rules usr/lib/udev/rules.d/60-pngw.rules
	install -m 640 build/package/linux/pngw.config "$stage/config"
	sed -i '/^contents:/a\  - {src: config, dst: /etc/config/pngw, type: "config|noreplace", file_info: {mode: 0640}}' "$stage/nfpm.yaml"
	case $1 in
	armv7) pack arm7 ;;
	*) pack "$1" ;;
	esac
}

rm -f "$out"/*.deb "$out"/*.rpm
for arch in "$@"; do
	case $arch in
	amd64 | arm64) server "$arch" ;;
	armv7) ;;
	*)
		echo "package: unknown architecture $arch: want amd64, arm64 or armv7" >&2
		exit 2
		;;
	esac
	gateway "$arch"
done
(cd "$out" && sha256sum -- *.deb *.rpm >SHA256SUMS && wc -c -- *.deb *.rpm | sed '$d')
