#!/bin/sh
# The conformance kit against itself: every case on every faulty party, to see that each
# fault is found by the case that is there for it and by no other (docs/conformance.md
# names the exceptions); and every case on our own gateway, on a line and at a broker, which
# takes six minutes. Go's tests try each fault on its own case only, and our own gateway on
# some.
set -eu
cd "$(dirname "$0")/.."

go test -count=1 -run TestFaults ./cmd/cpns-conform/internal/againstserver ./cmd/cpns-conform/internal/againstgateway -matrix
go test -count=1 -timeout 20m -run TestOurs ./cmd/cpns-conform -whole
