#!/bin/sh
# Prints a folder with Debian's kernel, its modules and a static busybox for a
# kind of board, from the cache or, once, from where this machine has its
# Debian packages from. apt checks their signatures; what was unpacked is held
# by its SHA-256 sums from then on.
#   scripts/qemu-fetch.sh mipsel|armhf|amd64
set -eu

arch=$1
case $arch in
mipsel) kernel=linux-image-4kc-malta ;;
armhf) kernel=linux-image-armmp ;;
amd64) kernel=linux-image-amd64 ;; # the smaller one for clouds has no vhci-hcd
*)
	echo "qemu-fetch: unknown architecture $arch" >&2
	exit 2
	;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pngw
folder=$cache/qemu-$arch

if [ -d "$folder" ]; then
	if ! (cd "$folder" && sha256sum --check --status --strict SHA256SUMS); then
		echo "qemu-fetch: $folder is not what was fetched: remove it" >&2
		exit 1
	fi
	echo "$folder"
	exit 0
fi

for program in apt-get dpkg depmod; do
	if ! command -v $program >/dev/null && ! test -x /usr/sbin/$program; then
		echo "qemu-fetch: $program is missing, and $folder is not there: this takes a Debian, with the package kmod" >&2
		exit 1
	fi
done
mkdir -p "$cache"
work=$(mktemp -d "$cache/qemu.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "qemu-fetch: fetching $kernel and busybox-static for $arch, once" >&2

# An apt state of its own: the machine keeps its architecture. Of its sources
# those of Debian itself count, without the security updates, which a kernel in
# a test has no use for.
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/sources" "$work/debs" "$work/root"
: >"$work/apt/status"
for file in /etc/apt/sources.list.d/*.sources; do
	[ -f "$file" ] || continue
	awk 'BEGIN { RS = ""; ORS = "\n\n" } /debian/ && !/-security/' "$file" |
		sed '/^Architectures/d' >"$work/apt/sources/$(basename "$file")"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	[ -f "$file" ] || continue
	sed -n '/-security/d; /debian/p' "$file" >"$work/apt/sources/$(basename "$file" .list).list"
done
cat >"$work/apt/conf" <<END
Dir::State "$work/apt";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/apt/sources";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
END
(
	export APT_CONFIG="$work/apt/conf"
	cd "$work/debs"
	apt-get update -q -o APT::Update::Error-Mode=any
	# The package names the version that is current; that one has the kernel.
	versioned=$(apt-cache depends "$kernel" | sed -n 's/^ *Depends: \(linux-image-[^:]*\).*/\1/p' | head -n 1)
	apt-get download -q "$versioned" busybox-static
) >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	echo "qemu-fetch: the packages could not be fetched, and $folder is not there: the tests on a real kernel cannot run" >&2
	exit 1
}

for deb in "$work"/debs/*.deb; do
	dpkg -x "$deb" "$work/root"
done
rm -rf "$work/root/usr/share"
version=$(ls "$work/root/lib/modules")
PATH=$PATH:/usr/sbin depmod -b "$work/root" "$version"
(cd "$work/root" && find . -type f -exec sha256sum {} +) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" "$work/root/"
# Somebody else's run may have been faster.
mv -T "$work/root" "$folder" 2>/dev/null || [ -d "$folder" ]
echo "$folder"
