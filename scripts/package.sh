#!/bin/sh
# Packs pngw for OpenWrt, to be installed by hand, as .ipk and .apk, into
# build/out/packages/ARCHITECTURE: from build/out/pngw-TARGET-usb as pngw, and from
# build/out/pngw-TARGET, which has no USB, as pngw-nousb; and beside them, into all,
# luci-app-pngw, which is for every architecture. Run make cross first.
#   scripts/package.sh [-d FOLDER] [ARCHITECTURE]…
# ARCHITECTURE is as in build/package/architectures, the first of each target
# unless given; FOLDER takes the place of build/out.
set -eu
cd "$(dirname "$0")/.."

table=build/package/architectures
bin=build/out
if [ "${1:-}" = -d ]; then
	bin=$2
	shift 2
fi
if [ ! -f "$bin/SHA256SUMS" ]; then
	echo "package: $bin/SHA256SUMS is not there: run make cross first" >&2
	exit 1
fi
out=$bin/packages
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH="$time"

if [ $# -eq 0 ]; then
	# shellcheck disable=SC2046 # a list of words
	set -- $(awk '!/^#/ && NF { print $2 }' $table)
fi

# A tag is the version as it is. Behind one, or without, the commit's time makes
# later ones greater; neither opkg nor apk would take git describe's word.
tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null || echo v0.0.0)
VERSION=${tag#v}
if [ "$(git describe --tags --match 'v[0-9]*' --exact-match 2>/dev/null)" != "$tag" ]; then
	VERSION=${VERSION}_git$(date -u -d "@$time" +%Y%m%d%H%M)
fi
export VERSION

go build -C build/tools -o "$PWD/build/out/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
root=$PWD
stage=$(mktemp -d)
trap 'rm -rf "$stage" "$stage.log" "$stage.po"' EXIT
cp -R build/openwrt/files/. build/package/. "$stage/"
# What sysupgrade keeps, beside the package's own files, as the feed has it.
sed -n '/^define Package\/pngw\/conffiles/,/^endef/{/\/$/p}' build/openwrt/Makefile >"$stage/keep"
mkdir -p "$out"
out=$(cd "$out" && pwd)

# pack NAME ELF WITH OTHER: both kinds of package for ARCH, if ELF has been built.
# They are named as their kind of index wants it, apk's without the architecture.
pack() {
	mkdir -p "$out/$ARCH"
	# What lies there from another run is another version.
	rm -f "$out/$ARCH/$1_"*.ipk "$out/$ARCH/$1-"[0-9]*.apk
	if ! grep -q "  $2\$" "$bin/SHA256SUMS"; then
		return 0
	fi
	cp "$bin/$2" "$stage/pngw"
	sed "s/@ARCH@/$ARCH/" build/package/postinst.sh >"$stage/postinst.sh"
	# Two packages of one commit are the same bytes.
	find "$stage" -exec touch -h -d "@$time" {} +
	export NAME="$1" WITH="$3" OTHER="$4"
	both nfpm.yaml "$1"
	packed=$((packed + 1))
}

# both CONFIG NAME: both kinds, out of what is staged.
both() {
	RELEASE=r1 nfpm ipk "$1" "$2_${VERSION}-r1_$ARCH.ipk"
	RELEASE=1 nfpm apk "$1" "$2-${VERSION}-r1.apk" # nfpm writes the r itself
}

# nfpm KIND CONFIG FILE: what it says is shown if it fails.
nfpm() {
	export RELEASE
	if ! (cd "$stage" && "$root/build/out/nfpm" package --config "$2" --packager "$1" \
		--target "$out/$ARCH/$3" >"$stage.log" 2>&1); then
		cat "$stage.log" >&2
		exit 1
	fi
}

packed=0
for ARCH in "$@"; do
	export ARCH
	target=$(awk -v arch="$ARCH" '!/^#/ { for (i = 2; i <= NF; i++) if ($i == arch) print $1 }' $table)
	if [ -z "$target" ]; then
		echo "package: unknown architecture $ARCH: see $table" >&2
		exit 2
	fi
	pack pngw "pngw-$target-usb" with pngw-nousb
	pack pngw-nousb "pngw-$target" without pngw
done
if [ "$packed" -eq 0 ]; then
	echo 'package: nothing has been built for that: run make cross first' >&2
	exit 1
fi

# LuCI's build puts the parts of an app where they belong, and makes catalogues of its
# translations.
luci() {
	app=build/openwrt/luci-app-pngw
	mkdir -p "$stage/luci/www" "$stage/luci/usr/lib/lua/luci/i18n" "$out/all"
	rm -f "$out/all"/*.ipk "$out/all"/*.apk
	cp -R "$app/root/." "$stage/luci/"
	cp -R "$app/htdocs/." "$stage/luci/www/"
	go build -o "$stage.po" ./scripts/luci
	for po in "$app"/po/*/pngw.po; do
		language=$(basename "$(dirname "$po")")
		"$stage.po" lmo "$po" "$stage/luci/usr/lib/lua/luci/i18n/pngw.$language.lmo"
	done
	find "$stage" -type d -exec chmod 0755 {} +
	find "$stage/luci" -type f -exec chmod 0644 {} +
	chmod 0755 "$stage"/luci/usr/libexec/rpcd/*
	find "$stage" -exec touch -h -d "@$time" {} +
	both luci.yaml luci-app-pngw
}
ARCH=all
luci

(cd "$out" && find . -name '*.[ia]pk' | sed 's,^\./,,' | sort | xargs sha256sum -- >SHA256SUMS)
for ARCH in "$@" all; do
	wc -c "$out/$ARCH"/*.ipk "$out/$ARCH"/*.apk | sed '$d'
done
