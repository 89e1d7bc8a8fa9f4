#!/bin/sh
# shellcheck shell=dash disable=SC3043 # ash has local
# Names the serial lines that are on USB, in the manner of udev, which OpenWrt
# has not: under /dev/serial/by-id by what an adapter says of itself, under
# by-path by where it is plugged in. ttyUSB numbers move as adapters come and go,
# these names stay. Called when a line comes or goes; somebody else's names are
# left alone.

made=/dev/serial/.pngw # the names that were made here

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

mkdir -p /dev/serial/by-id /dev/serial/by-path
touch "$made"
# Two adapters of a kind without serial numbers have one name: it is nobody's.
now=$(names | awk '{ n[$1]++; line[$1] = $2 } END { for (i in n) if (n[i] == 1) print i, line[i] }' | sort)
while read -r name line; do
	echo "$now" | grep -qxF "$name $line" || rm -f "/dev/serial/$name"
done <"$made"
echo "$now" | while read -r name line; do
	[ -n "$name" ] || continue
	if ! [ -L "/dev/serial/$name" ]; then
		ln -s "../../$line" "/dev/serial/$name" && echo "$name $line"
	else
		grep -xF "$name $line" "$made"
	fi
done >"$made.new"
mv "$made.new" "$made"
