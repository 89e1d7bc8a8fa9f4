#!/bin/sh
# Builds pngw for every target of build/size-budget and holds it against the
# budget, in bytes of the ELF and under xz -9. USB=0 leaves out the builds with
# USB, which need a C compiler and take minutes the first time.
set -eu
cd "$(dirname "$0")/.."

USB=${USB:-1}
export USB
scripts/cross.sh >/dev/null

targets=$(awk '/^[^#]/ { print $1 }' build/size-budget)
[ "$USB" != 0 ] || targets=$(echo "$targets" | grep -v -e '-usb$')
sizes=$(mktemp -d)
trap 'rm -rf "$sizes"' EXIT
export sizes
# shellcheck disable=SC2016 # expanded by the inner shell
echo "$targets" | xargs -P "$(nproc)" -I TARGET sh -c 'xz -9 -c build/out/pngw-TARGET | wc -c >"$sizes/TARGET"'

failed=0
printf '%-18s %10s %10s %10s %10s\n' target ELF 'at most' xz 'at most'
for target in $targets; do
	# shellcheck disable=SC2046 # two words
	set -- $(awk -v t="$target" '$1 == t { print $2, $3 }' build/size-budget)
	elf=$(wc -c <"build/out/pngw-$target")
	read -r xz <"$sizes/$target"
	verdict=
	if [ "$elf" -gt "$1" ] || [ "$xz" -gt "$2" ]; then
		verdict='  TOO BIG'
		failed=1
	fi
	printf '%-18s %10d %10d %10d %10d%s\n' "$target" "$elf" "$1" "$xz" "$2" "$verdict"
done
exit $failed
