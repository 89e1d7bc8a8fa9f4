#!/bin/sh
# shellcheck shell=dash disable=SC1090,SC2034,SC3043
# Stands in for OpenWrt's /lib/functions.sh: what the package's scripts call, as
# it behaves there. A configuration that uci could not read is one that the
# shell cannot: their quoting is the same.

root=$IPKG_INSTROOT

config() {
	CONFIG_SECTION=${2:-cfg$((CONFIG_COUNT += 1))}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_SECTION"
	eval "CONFIG_${CONFIG_SECTION}_TYPE=\$1"
}

option() {
	eval "CONFIG_${CONFIG_SECTION}_$1=\$2"
}

config_load() {
	(set -e && . "/etc/config/$1") >/dev/null 2>&1 || return 1
	CONFIG_SECTIONS=
	CONFIG_COUNT=0
	. "/etc/config/$1"
}

config_get() {
	eval "$1=\${CONFIG_${2}_$3:-\$4}"
}

config_get_bool() {
	local value

	config_get value "$2" "$3" "$4"
	case $value in
	1 | on | true | yes | enabled) value=1 ;;
	0 | off | false | no | disabled) value=0 ;;
	*) value=$4 ;;
	esac
	eval "$1=\$value"
}

config_foreach() {
	local section type

	for section in $CONFIG_SECTIONS; do
		config_get type "$section" TYPE
		[ "$type" != "$2" ] || "$1" "$section"
	done
}

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
