#!/bin/sh
# Makes what a release consists of, into build/out/release/VERSION, from the
# tag vVERSION in a folder of its own, so that nothing uncommitted gets in:
# archives of pngw for each router and of cpns-server and pne for servers, one for who
# builds devices (the conformance kit, vectors, the PNE in C: scripts/conform-archive.sh),
# OpenWrt packages, .deb and .rpm, the notes of CHANGELOG.md, and the SHA-256 sums of all.
#   scripts/release.sh vVERSION       USB=0 leaves the builds with USB out
set -eu
cd "$(dirname "$0")/.."

tag=${1:-}
case $tag in
v[0-9]*.[0-9]*.[0-9]*) ;;
*)
	echo 'usage: scripts/release.sh vMAJOR.MINOR.PATCH, the name of a tag' >&2
	exit 2
	;;
esac
if ! git rev-parse -q --verify "refs/tags/$tag^{commit}" >/dev/null; then
	echo "release: there is no tag $tag: git tag -a $tag, at the commit that is to be released" >&2
	exit 1
fi
version=${tag#v}
out=$PWD/build/out/release/$version
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree/src" 2>/dev/null || true; rm -rf "$tree"' EXIT
git worktree add -q --detach "$tree/src" "$tag"
rm -rf "$out"
mkdir -p "$out"
cd "$tree/src"

# notes: what CHANGELOG.md says under this version, and nothing of the next.
awk -v head="## $version" '
	index($0, head) == 1 && (length($0) == length(head) || substr($0, length(head) + 1, 1) == " ") { on = 1; next }
	on && /^## / { exit }
	on' CHANGELOG.md >"$out/NOTES.md"
if ! grep -q '[^[:space:]]' "$out/NOTES.md"; then
	echo "release: CHANGELOG.md of $tag has no section \"## $version\" with something in it" >&2
	exit 1
fi

time=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH="$time"

# archive NAME FILE…: NAME.tar.gz of a folder NAME, the same bytes each time.
archive() {
	name=$1
	shift
	mkdir "$tree/$name"
	cp "$@" README.md LICENSE CHANGELOG.md "$tree/$name/"
	tar -C "$tree" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner -cf - "$name" |
		gzip -9n >"$out/$name.tar.gz"
}

scripts/cross.sh
for program in build/out/pngw-linux-*; do
	target=${program#build/out/pngw-}
	mkdir -p "$tree/bin/$target"
	cp "$program" "$tree/bin/$target/pngw"
	archive "pngw-$version-$target" "$tree/bin/$target/pngw"
done

. scripts/pin.sh
for arch in amd64 arm64; do
	mkdir -p "$tree/bin/server-$arch"
	GOOS=linux GOARCH=$arch CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags "$(scripts/ldflags.sh)" -o "$tree/bin/server-$arch/" ./cmd/cpns-server ./cmd/pne
	archive "cpns-server-$version-linux-$arch" "$tree/bin/server-$arch/cpns-server" "$tree/bin/server-$arch/pne" \
		build/systemd/cpns-server.service docs/server.md
done

VERSION=$version scripts/conform-archive.sh "$out"

scripts/package.sh
scripts/package-linux.sh
# A folder for each architecture: apk's packages do not have it in their names.
for folder in build/out/packages/*/; do
	cp -R "$folder" "$out/$(basename "$folder")"
done
cd "$out"
# shellcheck disable=SC2035 # the names are ours
sha256sum -- *.tar.gz */*.ipk */*.apk */*.deb */*.rpm NOTES.md >SHA256SUMS
echo "released into $out:"
ls -l
