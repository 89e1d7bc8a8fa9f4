#!/bin/sh
# shellcheck shell=dash disable=SC3043 # ash has local
# Opens to group dialout the USB devices that a link is for: those with the id
# that the link has, else those with an interface of the protocol's class. Other
# devices stay root's. Called when a device comes, and by the init script, which
# knows already what "pngw procd" prints.

config=/etc/config/pngw

if [ $# -gt 0 ]; then
	told=$1
else
	# Most routers have no such link, and devices come one after the other.
	grep -qs usb $config || exit 0
	told=$(/usr/bin/pngw procd --config $config 2>/dev/null) || exit 0
fi
case $told in
'enabled 1'*) ;;
*) exit 0 ;;
esac
ids=$(echo "$told" | sed -n 's/^usb //p')
[ -n "$ids" ] || exit 0

# is ID: does a link want this?
is() {
	echo "$ids" | grep -qxF "$1"
}

wanted() {
	local interface

	is "$(cat "$1/idVendor"):$(cat "$1/idProduct")" && return 0
	is class || return 1
	for interface in "$1"/*:*; do
		[ -f "$interface/bInterfaceClass" ] || continue
		[ "$(cat "$interface/bInterfaceClass" "$interface/bInterfaceSubClass" "$interface/bInterfaceProtocol" | tr '\n' /)" != ff/43/01/ ] ||
			return 0
	done
	return 1
}

for device in /sys/bus/usb/devices/*; do
	if ! [ -f "$device/devnum" ] || ! wanted "$device"; then
		continue
	fi
	node=$(printf '/dev/bus/usb/%03d/%03d' "$(cat "$device/busnum")" "$(cat "$device/devnum")")
	[ -e "$node" ] && chgrp dialout "$node" && chmod 0660 "$node"
done
exit 0
