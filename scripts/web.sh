#!/bin/sh
# The pages for browsers: holds what is embedded against its sources, and tries them in a
# real Chromium against a real gateway, server, broker and devices. Screenshots go to
# build/out/screenshots.
#   scripts/web.sh          all of it, or page, admin, openapi or luci alone
#   scripts/web.sh build    makes what is embedded anew out of its sources
#   scripts/web.sh pictures makes those of the guides anew out of the screenshots
# CHROMIUM names the browser, /usr/bin/chromium if not given.
set -eu
cd "$(dirname "$0")/.."

top=$PWD
work=$top/build/out/web
mkdir -p "$work"
cp scripts/web/* scripts/luci/web/* "$work/"
# The packages are those of the lock file, by their hashes.
if ! cmp -s scripts/web/package-lock.json "$work/installed"; then
	npm ci --prefix "$work" --no-audit --no-fund --ignore-scripts >"$work/npm.log" 2>&1 || { cat "$work/npm.log" >&2; exit 1; }
	cp scripts/web/package-lock.json "$work/installed"
fi
export TOP="$top"
if [ "${1:-}" = build ]; then
	exec node "$work/build.mjs"
fi
export SHOTS="$top/build/out/screenshots"
if [ "${1:-}" = pictures ]; then
	exec node "$work/pictures.mjs"
fi
node "$work/build.mjs" --check

CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
if ! [ -x "$CHROMIUM" ]; then
	echo "web: no Chromium at $CHROMIUM: apt-get install chromium, or name another by CHROMIUM" >&2
	[ "${CI:-}" != true ]
	exit
fi
go build -o "$work/bin/" ./cmd/pngw ./cmd/cpns-server ./cmd/pne
export CHROMIUM BIN="$work/bin" LUCI_APP="$top/build/openwrt/luci-app-pngw"
rm -rf "$SHOTS"
cd "$work"
failed=0
for what in page admin openapi luci; do
	case ${1:-$what} in
	"$what") node --test --test-reporter=spec "$what.test.mjs" || failed=1 ;;
	esac
done
exit $failed
