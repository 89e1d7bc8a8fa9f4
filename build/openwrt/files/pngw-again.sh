#!/bin/sh
# shellcheck shell=dash
# Reloads the service where something has come that may help it, or that its jail
# lacks. What procd does not have is left alone: it has not been started yet, or
# somebody has stopped it.
#   pngw-again clock      the time is right now
#   pngw-again network    a network has come up, or is another
#   pngw-again line|usb   a serial line, or a device on USB, has come
#   pngw-again input      an input device has come
told=$(ubus call service list '{"name":"pngw"}' 2>/dev/null)
case $told in
*'"instances"'*) ;;
*) exit 0 ;;
esac

case $told in
*'"running": true'*)
	case $1 in
	clock) exit 0 ;; # it waits for that by itself
	network)
		# A new jail, where the agent's has the names of servers that are no longer
		# asked.
		if ! [ -x /sbin/ujail ] || cmp -s /etc/resolv.conf /var/run/pngw.resolv; then
			exit 0
		fi
		;;
	usb)
		# A jail that was made before there was any USB bus.
		case $told in *'"/dev/bus/usb"'*) exit 0 ;; esac
		;;
	input)
		# Likewise, and most routers have no such button.
		case $told in *'"/dev/input"'*) exit 0 ;; esac
		grep -qs 'option button' /etc/config/pngw || exit 0
		;;
	esac
	;;
esac
exec /etc/init.d/pngw reload
