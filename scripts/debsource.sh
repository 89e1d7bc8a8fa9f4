#!/bin/sh
# Prints the path of a file of a Debian source package, which is held by its hash. It
# is fetched once, into the cache.
#   scripts/debsource.sh PACKAGE VERSION FILE SHA256 NAME
# FILE is what Debian calls it, NAME what it is called in the cache: who has no
# apt-get puts it there.
set -eu

package=$1 version=$2 file=$3 sha256=$4
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pngw
tarball=$cache/$5

# fetch takes the source from where this machine has its Debian packages from,
# in an apt state of its own: the machine's has no deb-src, and keeps none.
fetch() {
	if ! command -v apt-get >/dev/null; then
		echo "$package: no apt-get here: put the released source at $tarball" >&2
		exit 1
	fi
	echo "$package: fetching the source, once" >&2
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/sources"
	: >"$work/apt/status"
	# Both ways of writing sources, each turned from binaries to sources.
	for sources in /etc/apt/sources.list.d/*.sources; do
		[ -f "$sources" ] || continue
		awk 'BEGIN { RS = ""; ORS = "\n\n" } /debian/' "$sources" |
			sed 's/^Types:.*/Types: deb-src/' >"$work/apt/sources/$(basename "$sources")"
	done
	for sources in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -f "$sources" ] || continue
		sed -n '/debian/s/^deb /deb-src /p' "$sources" >"$work/apt/sources/$(basename "$sources" .list).list"
	done
	cat >"$work/apt/conf" <<-END
		Dir::State "$work/apt";
		Dir::State::lists "$work/apt/lists";
		Dir::State::status "$work/apt/status";
		Dir::Cache "$work/apt/cache";
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$work/apt/sources";
		APT::Sandbox::User "";
		Acquire::Languages "none";
	END
	(
		cd "$work"
		export APT_CONFIG="$work/apt/conf"
		apt-get update -q -o APT::Update::Error-Mode=any
		apt-get source -q --download-only "$package=$version"
	) >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		echo "$package: the source could not be fetched; put it, as released, at $tarball" >&2
		exit 1
	}
	# Somebody else's run may have been faster, with the same bytes.
	mv "$work/$file" "$tarball"
}

if [ ! -f "$tarball" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/$package.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	fetch
fi
if ! echo "$sha256  $tarball" | sha256sum --check --status; then
	echo "$package: $tarball is not the release that its script names: remove it" >&2
	exit 1
fi
echo "$tarball"
