#!/bin/sh
# shellcheck shell=dash disable=SC3043 # ash has local
# Names the serial lines that are on USB, in the manner of udev, which OpenWrt
# has not: under /dev/serial/by-id by what an adapter says of itself, under
# by-path by where it is plugged in. ttyUSB numbers move as adapters come and go,
# these names stay. Called when a line comes or goes.

# Somebody else's names are left alone: ours are those that lead to their line by
# this way, which nobody else would write. So it is known whose a name is however
# this script ended the last time.
way=../../../dev

# word FILE: what an adapter says, as part of a file's name.
word() {
	[ -r "$1" ] && head -n 1 "$1" | sed 's/^ *//; s/ *$//; s/  */_/g; s/[^A-Za-z0-9#+.:=@_-]/_/g' | cut -c 1-72
}

# names prints "NAME LINE" for each name that a line has.
names() {
	local class line interface port usb serial host bus

	for class in /sys/class/tty/*/device; do
		line=${class%/device}
		line=${line##*/}
		interface=$(readlink -f "$class")
		port=
		if [ -f "$interface/port_number" ]; then
			port=-port$(cat "$interface/port_number")
			interface=${interface%/*}
		fi
		[ -f "$interface/bInterfaceNumber" ] || continue
		usb=${interface%/*}
		serial=$(word "$usb/serial")
		echo "by-id/usb-$(word "$usb/manufacturer" || word "$usb/idVendor")_$(
			word "$usb/product" || word "$usb/idProduct"
		)${serial:+_$serial}-if$(cat "$interface/bInterfaceNumber")$port $line"
		# The host controller, for the numbers of buses may move too.
		host=${interface%%/usb[0-9]*}
		bus=$(readlink "$host/subsystem")
		interface=${interface##*/}
		echo "by-path/${bus##*/}-${host##*/}-usb-0:${interface#*-}$port $line"
	done
}

# ours NAME: does it lead to its line by our way?
ours() {
	case $(readlink "$1") in "$way"/*) return 0 ;; esac
	return 1
}

# mend makes the names what they are to be; it fails where that was so already.
mend() {
	local now name line changed=1

	# Two adapters of a kind without serial numbers have one name: it is nobody's.
	now=$(names | awk '{ n[$1]++; line[$1] = $2 } END { for (i in n) if (n[i] == 1) print i, line[i] }')
	for name in /dev/serial/by-id/* /dev/serial/by-path/*; do
		ours "$name" || continue
		line=$(readlink "$name")
		echo "$now" | grep -qxF "${name#/dev/serial/} ${line#"$way"/}" || { rm -f "$name" && changed=0; }
	done
	while read -r name line; do
		[ -z "$name" ] || [ -L "/dev/serial/$name" ] || { ln -s "$way/$line" "/dev/serial/$name" && changed=0; }
	done <<EOF
$now
EOF
	return $changed
}

mkdir -p /dev/serial/by-id /dev/serial/by-path
# Adapters come side by side, and this with them. Whoever was the last to change
# anything looks once more.
tries=20
while mend 2>/dev/null && [ $tries -gt 0 ]; do
	tries=$((tries - 1))
done
exit 0
