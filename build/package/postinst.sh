#!/bin/sh
# After the files are there, also when a package is built into an image: then
# IPKG_INSTROOT is the image's root.
# shellcheck disable=SC1091
. "$IPKG_INSTROOT/lib/functions.sh"

PACKAGE_ARCH=@ARCH@ # filled in when the package is made

gid=$(group_add_next pngw)
user_exists pngw || user_add pngw '' "$gid"
group_exists dialout || group_add_next dialout >/dev/null
group_add_user dialout pngw

if [ -n "$IPKG_INSTROOT" ]; then
	/bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT/etc/init.d/pngw" enable
	exit 0
fi

# kind FILE: word size, byte order and processor, from a program's first bytes.
kind() {
	{
		dd if="$1" bs=1 skip=4 count=2
		dd if="$1" bs=1 skip=18 count=2
	} 2>/dev/null | md5sum
}

# runs: a program of another kind must not even be tried, for the shell would
# take it for a script.
runs() {
	said='another kind of processor'
	[ "$(kind /usr/bin/pngw)" = "$(kind /bin/sh)" ] || return
	said=$(/usr/bin/pngw version 2>&1) && return
	[ $? != 132 ] || said='Illegal instruction'
	return 1
}

# What does not run here is said now, and not when somebody wonders why nothing
# starts: opkg and apk go by names, which a person can overrule.
if ! runs; then
	. /etc/openwrt_release
	echo "pngw: this package's program does not run here: it is for $PACKAGE_ARCH, and the router is $DISTRIB_ARCH: $said" >&2
	echo "pngw: take the package for $DISTRIB_ARCH; if that is this one, docs/openwrt.md says more" >&2
	exit 1
fi

[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/pngw enable
/usr/libexec/pngw-serial-names
# It says what is missing, and that is no fault of the installation.
/etc/init.d/pngw restart || :
