#!/bin/sh
# After the files are there. dpkg says "configure" and the version that was there before;
# rpm says how many versions there are now.
set -eu

name=@NAME@
home=/var/lib/$name

case ${1:-} in
configure) upgrade=${2:-} ;;
1) upgrade= ;;
[2-9]*) upgrade=yes ;;
*) exit 0 ;; # something of dpkg's was undone: all this is done already
esac

if ! getent passwd "$name" >/dev/null; then
	useradd --system --user-group --home-dir "$home" --shell /usr/sbin/nologin "$name"
fi
# The folder is its owner's, and not the package's: it stays when the package goes. One that
# is there is left as it is.
if [ ! -d "$home" ]; then
	mkdir -m 0700 "$home"
	chown "$name:$name" "$home"
fi
if [ -f /etc/config/pngw ] && [ "$name" = pngw ]; then
	chgrp pngw /etc/config/pngw
	chmod 0640 /etc/config/pngw
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	[ ! -d /run/udev ] || udevadm control --reload || :
	# One that runs goes on as the new one; one that does not is not started.
	[ -z "$upgrade" ] || systemctl try-restart "$name.service" || :
fi
[ -n "$upgrade" ] || cat <<'EOF'
@NEXT@
EOF
