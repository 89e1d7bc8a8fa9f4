#!/bin/sh
# The conformance kit against itself: every case on every faulty party, to see that each
# fault is found by the case that is there for it and by no other (docs/conformance.md
# names the exceptions); and every case on our own gateway, on a line and at a broker, and
# on our own devices, in Go and in C, on ptys, a broker and a microcontroller, which takes
# ten minutes. Go's tests try each fault of a server and a gateway on its own case only, and
# our own parties on some. Last, the archive for those who build devices is made and tried.
set -eu
cd "$(dirname "$0")/.."

go test -count=1 -run TestFaults ./cmd/cpns-conform/internal/againstserver ./cmd/cpns-conform/internal/againstgateway -matrix
go test -count=1 ./cmd/cpns-conform/internal/device
go test -count=1 -timeout 20m -run TestOurs ./cmd/cpns-conform -whole
go test -count=1 -timeout 20m -tags conform -run '^TestConform$' ./scripts/e2e
scripts/conform-archive.sh
