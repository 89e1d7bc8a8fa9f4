#!/bin/sh
# After the files have come or gone: LuCI keeps its menu, and rpcd its plugins and who
# may call them. In an image that is being built neither runs.
[ -z "$IPKG_INSTROOT" ] || exit 0
rm -f /tmp/luci-indexcache.*
rm -rf /tmp/luci-modulecache/
# On a router without it nobody is to be told.
/etc/init.d/rpcd reload 2>/dev/null || :
