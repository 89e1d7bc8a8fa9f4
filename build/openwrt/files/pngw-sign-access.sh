#!/bin/sh
# shellcheck shell=dash disable=SC3043 # ash has local
# Gives the agent, which is not root, its lights and its button, and puts the lights
# back afterwards as they were.
#   pngw-sign-access TOLD       by the init script, with what "pngw procd" prints
#   pngw-sign-access            when a light or an input device has come
#   pngw-sign-access restore    when the service has been stopped
# A light is given to the kernel's timer, by which it blinks without anybody's help: the
# files for that are the kernel's to make, and root's to hand over.

config=/etc/config/pngw
owner=pngw
saved=/var/run/pngw-leds # root's

case $# in
0)
	# Most routers have neither, and devices come one after the other.
	grep -qse 'option led' -e 'option alarm_led' -e 'option button' $config || exit 0
	told=$(/usr/bin/pngw procd --config $config 2>/dev/null) || exit 0
	;;
*) told=$1 ;;
esac
case $told in
restore | 'enabled 1'*) ;;
*) exit 0 ;;
esac

give_light() {
	local dir=$1 keep=$saved/${1##*/} file

	[ -f "$dir/trigger" ] || return 0
	if ! [ -f "$keep" ]; then
		mkdir -p $saved
		{
			echo "$dir"
			sed 's/.*\[\(.*\)\].*/\1/' "$dir/trigger"
			cat "$dir/brightness"
			cat "$dir/delay_on" "$dir/delay_off" 2>/dev/null
		} >"$keep.new"
		mv "$keep.new" "$keep"
	fi
	case $(cat "$dir/trigger") in
	*'[timer]'*) ;;
	*timer*) echo timer >"$dir/trigger" ;;
	*'[none]'*) ;;
	*) echo none >"$dir/trigger" ;; # the agent switches it
	esac
	for file in brightness delay_on delay_off; do
		[ -f "$dir/$file" ] || continue
		chgrp $owner "$dir/$file"
		chmod 0664 "$dir/$file"
	done
}

# restore_light FILE: as it was saved there.
restore_light() {
	local dir trigger brightness on off file

	{
		read -r dir
		read -r trigger
		read -r brightness
		read -r on
		read -r off
	} <"$1"
	rm "$1"
	[ -f "$dir/trigger" ] || return 0
	chmod 0644 "$dir/brightness"
	chgrp root "$dir/brightness"
	echo "${trigger:-none}" >"$dir/trigger"
	if [ -n "$off" ]; then
		echo "$on" >"$dir/delay_on"
		echo "$off" >"$dir/delay_off"
	else
		echo "$brightness" >"$dir/brightness"
		# That of 0 takes the trigger away, too.
		[ "$brightness" != 0 ] || echo "${trigger:-none}" >"$dir/trigger"
	fi
}

echo "$told" | while read -r word path; do
	case $word in
	led) give_light "$path" ;;
	input)
		[ -c "$path" ] || continue
		chgrp $owner "$path"
		chmod 0640 "$path"
		;;
	esac
done

# What it was told may be old by now, where it is not the init script that calls.
[ $# = 1 ] || exit 0
for keep in "$saved"/*; do
	[ -f "$keep" ] || continue
	read -r dir <"$keep"
	echo "$told" | grep -qxF "led $dir" || restore_light "$keep"
done
exit 0
