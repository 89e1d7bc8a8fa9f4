#!/bin/sh
# Fuzzes every target of the module, one after the other.
#   FUZZTIME=300 scripts/fuzz.sh            seconds for each target
#   scripts/fuzz.sh BUDGET                  seconds for all of them together
set -eu
cd "$(dirname "$0")/.."

# Lines "PACKAGE TARGET": go test names the targets, then their package.
targets=$(go test -list '^Fuzz' ./... | awk '
	/^Fuzz/ { names[n++] = $1 }
	/^ok/   { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }')
if [ -z "$targets" ]; then
	echo 'fuzz: no targets found' >&2
	exit 1
fi
count=$(echo "$targets" | wc -l)

each=${FUZZTIME:-300}
if [ $# -gt 0 ]; then
	each=$(($1 / count))
	[ "$each" -ge 1 ] || each=1
fi
echo "fuzz: $count targets, ${each} s each"

# What go test says of a failure. Before Go 1.27 a run that only came to its end
# can say "context deadline exceeded" and nothing else (go.dev/issue/75804).
failure() {
	sed -n '/^--- FAIL/,/^FAIL$/{/^--- FAIL/d;/^FAIL$/d;p;}'
}

echo "$targets" | while read -r package target; do
	# Minimising what is merely interesting would eat the budget.
	if ! log=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${each}s" -fuzzminimizetime 1s "$package" 2>&1) &&
		[ "$(echo "$log" | failure)" != '    context deadline exceeded' ]; then
		echo "$log"
		echo "fuzz: $target of $package failed" >&2
		exit 1
	fi
	printf 'ok  \t%s %s\t%s\n' "$package" "$target" "$(echo "$log" | sed -n 's/.*execs: \([0-9]*\).*/\1 execs/p' | tail -n 1)"
done
