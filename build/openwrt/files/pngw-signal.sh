#!/bin/sh
# shellcheck shell=dash
# Has a service read its keys anew: the agent writes a line to a FIFO when they have
# changed, and is not allowed to send another user's process a signal.
#   pngw-signal FIFO SERVICE
fifo=$1 service=$2

# Open for both, so that it never comes to an end, and the agent always has a reader.
exec 3<>"$fifo" || exit 1
while read -r _ <&3; do
	ubus call service signal "{\"name\":\"$service\",\"signal\":1}" >/dev/null 2>&1 ||
		killall -HUP "$service" 2>/dev/null # it may not run: then it reads them when it starts
done
