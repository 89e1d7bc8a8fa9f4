#!/bin/sh
# Before the files go. Keys stay where they are: /etc/pngw is the owner's.
if [ -z "$IPKG_INSTROOT" ]; then
	[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/pngw disable
	# procd complains of a service that was never started.
	/etc/init.d/pngw stop 2>/dev/null
fi
exit 0
