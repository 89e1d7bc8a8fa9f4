#!/bin/sh
# shellcheck shell=dash
# Has a service read its keys anew: the agent writes a line to a FIFO when they have
# changed, and is not allowed to send another user's process a signal.
#   pngw-signal FIFO SERVICE
fifo=$1 service=$2

# Open for both, so that it never comes to an end, and the agent always has a reader.
exec 3<>"$fifo" || exit 1

# takes_hangup: a service that is starting does not catch the signal yet, and would end.
takes_hangup() {
	for pid in $(pidof "$service"); do
		grep -q '^SigCgt:.*[13579bdf]$' "/proc/$pid/status" 2>/dev/null || return 1
	done
}

while read -r _ <&3; do
	for _ in 1 2 3 4 5; do
		takes_hangup && break
		sleep 1
	done
	takes_hangup || continue
	ubus call service signal "{\"name\":\"$service\",\"signal\":1}" >/dev/null 2>&1 ||
		killall -HUP "$service" 2>/dev/null # it may not run: then it reads them when it starts
done
