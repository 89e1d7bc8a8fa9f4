#!/bin/sh
# Three cpns-servers on PostgreSQL with a synchronous standby, 200 gateways: kills and
# starts servers, cuts connections in the middle of COMMIT, kills the primary and
# promotes the standby. ROUNDS times (default 5). The tests have a short form of it.
set -eu
cd "$(dirname "$0")/.."

go test ./cmd/cpns-server -run '^TestFailover$' -v -count 1 -timeout 60m \
	-failover.rounds "${ROUNDS:-5}" -failover.time 30s -failover.gateways 200
