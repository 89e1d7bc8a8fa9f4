#!/bin/sh
# shellcheck shell=dash disable=SC3043
# Stands in for OpenWrt's /lib/functions.sh: what the package's scripts call, as
# it behaves there.

root=$IPKG_INSTROOT

# next FILE: the first number that is not taken. STAND_IN_ID is the only one
# that there is where the test has not got more.
next() {
	local id=${STAND_IN_ID:-32768}

	[ -z "$STAND_IN_ID" ] || { echo "$id" && return; }
	while cut -d : -f 3 "$1" | grep -q "^$id$"; do
		id=$((id + 1))
	done
	echo "$id"
}

group_exists() {
	grep -qs "^$1:" "$root/etc/group"
}

group_add_next() {
	group_exists "$1" || echo "$1:x:$(next "$root/etc/group"):" >>"$root/etc/group"
	grep "^$1:" "$root/etc/group" | cut -d : -f 3
}

group_add_user() {
	grep "^$1:" "$root/etc/group" | cut -d : -f 4 | grep -q "$2" ||
		sed -i "s/^$1:.*[^:]$/&,$2/; s/^$1:.*:$/&$2/" "$root/etc/group"
}

user_exists() {
	grep -qs "^$1:" "$root/etc/passwd"
}

user_add() {
	local uid=${2:-$(next "$root/etc/passwd")}

	echo "$1:x:$uid:${3:-$uid}:$1:/var/run/$1:/bin/false" >>"$root/etc/passwd"
}
