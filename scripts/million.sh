#!/bin/sh
# A million devices in a file and in PostgreSQL: how long importing, listing, a backup
# and a check of it take, and how much memory these and the server need. DEVICES says how
# many instead (default 1000000). The tests have a short form of it.
set -eu
cd "$(dirname "$0")/.."

go test ./cmd/cpns-server -run '^TestMillion$' -v -count 1 -timeout 60m -million "${DEVICES:-1000000}"
