#!/bin/sh
# After the files have gone. Keys and data are their owner's, also at a purge.
set -eu

[ ! -d /run/systemd/system ] || systemctl daemon-reload || :
case ${1:-} in
purge | 0)
	[ ! -d /var/lib/@NAME@ ] || echo '@NAME@: /var/lib/@NAME@ and the user @NAME@ are left as they are: remove them by hand when nobody needs the keys any more'
	;;
esac
