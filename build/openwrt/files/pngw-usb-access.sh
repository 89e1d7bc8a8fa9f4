#!/bin/sh
# shellcheck shell=dash disable=SC1091,SC2317,SC3043 # ash has local, config_foreach calls
# Opens to group dialout the USB devices that a link is for: those with the id
# that the link has, else those with an interface of the protocol's class. Other
# devices stay root's. Called by the init script and when a device comes.

. /lib/functions.sh

ids='' any=

usb_link() {
	local enabled type id

	config_get_bool enabled "$1" enabled 1
	config_get type "$1" type
	[ "$enabled" = 1 ] && [ "$type" = usb ] || return 0
	config_get id "$1" id
	case $id in
	'') any=1 ;;
	# VVVV:PPPP, and perhaps the interface behind it; the kernel writes lower case.
	*) ids="$ids $(echo "$id" | cut -d : -f 1,2 | tr A-F a-f) " ;;
	esac
}

wanted() {
	local interface

	case $ids in *" $(cat "$1/idVendor"):$(cat "$1/idProduct") "*) return 0 ;; esac
	[ -n "$any" ] || return 1
	for interface in "$1"/*:*; do
		[ -f "$interface/bInterfaceClass" ] || continue
		[ "$(cat "$interface/bInterfaceClass" "$interface/bInterfaceSubClass" "$interface/bInterfaceProtocol" | tr '\n' /)" != ff/43/01/ ] ||
			return 0
	done
	return 1
}

config_load pngw
config_foreach usb_link link
[ -n "$ids$any" ] || exit 0
for device in /sys/bus/usb/devices/*; do
	if ! [ -f "$device/devnum" ] || ! wanted "$device"; then
		continue
	fi
	node=$(printf '/dev/bus/usb/%03d/%03d' "$(cat "$device/busnum")" "$(cat "$device/devnum")")
	[ -e "$node" ] && chgrp dialout "$node" && chmod 0660 "$node"
done
exit 0
