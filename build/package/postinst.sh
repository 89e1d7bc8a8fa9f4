#!/bin/sh
# After the files are there, also when a package is built into an image: then
# IPKG_INSTROOT is the image's root.
# shellcheck disable=SC1091
. "$IPKG_INSTROOT/lib/functions.sh"

gid=$(group_add_next pngw)
user_exists pngw || user_add pngw '' "$gid"
group_exists dialout || group_add_next dialout >/dev/null
group_add_user dialout pngw

if [ -n "$IPKG_INSTROOT" ]; then
	/bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT/etc/init.d/pngw" enable
	exit 0
fi
[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/pngw enable
# It says what is missing, and that is no fault of the installation.
/etc/init.d/pngw restart || :
