#!/bin/sh
# Before the files go for good: dpkg says "remove", rpm that none is left. At an upgrade
# the service goes on until the new one is there.
set -eu

case ${1:-} in
remove | 0) ;;
*) exit 0 ;;
esac
# Disabled also where systemd does not run, as in an image that is being made.
if command -v systemctl >/dev/null; then
	[ ! -d /run/systemd/system ] || systemctl stop @NAME@.service || :
	systemctl --no-reload disable @NAME@.service || :
fi
