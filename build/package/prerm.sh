#!/bin/sh
# Before the files go. Keys stay where they are: /etc/pngw is the owner's.
if [ -z "$IPKG_INSTROOT" ]; then
	[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/pngw disable
	/etc/init.d/pngw stop
fi
exit 0
