#!/bin/sh
# Sourced by the scripts that build what is given to others: takes everything that
# a person may have set for the go command, in the environment or by go env -w,
# out of the way, so that one commit makes the same program on every machine. Only
# where modules and caches are stays as it was.
#   . scripts/pin.sh

# An empty variable would fall back to go env -w's file, which GOENV=off leaves out.
for pin_name in GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE GOVCS GOAUTH GOMODCACHE GOCACHE GOPATH GOTOOLCHAIN; do
	pin_value=$(go env "$pin_name") || exit
	export "$pin_name=$pin_value"
done
unset pin_name pin_value
export GOENV=off

# The oldest processor of each kind, as its name in build/size-budget says: what a
# newer one could do more ends on an older one as an illegal instruction. Routers'
# MIPS cores have no FPU. ARM is told by whoever sources this, v5 from v7.
export GOAMD64=v1 GOARM64=v8.0 GOMIPS=softfloat GO386=sse2
unset GOOS GOARCH GOARM

# Flags, experiments, another workspace, another FIPS mode, another linker or C compiler.
export GOWORK=off
unset GOFLAGS GOEXPERIMENT GOFIPS140 GODEBUG GO_EXTLINK_ENABLED
unset CC CXX CGO_CFLAGS CGO_CPPFLAGS CGO_CXXFLAGS CGO_FFLAGS CGO_LDFLAGS
unset CGO_CFLAGS_ALLOW CGO_LDFLAGS_ALLOW PKG_CONFIG PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
