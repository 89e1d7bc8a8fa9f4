#!/bin/sh
# Builds pngw for every target of build/size-budget and holds it against the
# budget, in bytes of the ELF and under xz -9. USB=0 leaves out the builds with
# USB, which need a C compiler and take minutes the first time.
set -eu
cd "$(dirname "$0")/.."

USB=${USB:-1}
export USB
scripts/cross.sh >/dev/null

failed=0
printf '%-18s %10s %10s %10s %10s\n' target ELF 'at most' xz 'at most'
while read -r target max_elf max_xz; do
	case $target in
	'' | '#'*) continue ;;
	*-usb) [ "$USB" != 0 ] || continue ;;
	esac
	elf=$(wc -c <"build/out/pngw-$target")
	xz=$(xz -9 -c "build/out/pngw-$target" | wc -c)
	verdict=
	if [ "$elf" -gt "$max_elf" ] || [ "$xz" -gt "$max_xz" ]; then
		verdict='  TOO BIG'
		failed=1
	fi
	printf '%-18s %10d %10d %10d %10d%s\n' "$target" "$elf" "$max_elf" "$xz" "$max_xz" "$verdict"
done <build/size-budget
exit $failed
