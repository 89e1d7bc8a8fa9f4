# Every target is one line; what it does is in scripts/.

.PHONY: help build test web pictures demo demo-gba bench fuzz search conform conform-archive man cross package package-linux release repro size device qemu powercut renewal failover million setup clean

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 14

build: ## pngw, cpns-server and pne for this machine, into build/out/bin
	@scripts/build.sh

test: ## everything that CI runs; installs what the tests need
	@scripts/test.sh

demo: ## server, gateway, three devices on this machine; ARGS=--keep leaves them running
	@scripts/demo.sh $(ARGS)

demo-gba: ## the same with a SIM: a lab's mobile operator, and PSK1 by 3GPP GBA
	@scripts/demo.sh --gba $(ARGS)

bench: ## all benchmarks, and a table of them in build/out/bench.md
	@scripts/bench.sh

fuzz: ## every fuzz target for FUZZTIME seconds (default 300)
	@scripts/fuzz.sh

web: ## the pages for technicians, operators and LuCI in a real browser; screenshots into build/out/screenshots
	@scripts/web.sh

pictures: ## those of docs/provisioning.md, out of what make web has shot
	@scripts/web.sh pictures

search: ## the attacker's search, through STATES states of each scenario (default 200000)
	@scripts/search.sh

conform: ## each case of the conformance kit on each faulty party, not only its own, and all on ours; a quarter of an hour
	@scripts/conform.sh

conform-archive: ## the kit, vectors, the PNE in C and their pages, for who builds a device
	@scripts/conform-archive.sh

man: ## the programs' manual pages, into build/out/man
	@scripts/man.sh

cross: ## static pngw for six kinds of router, into build/out; USB=0 without USB
	@scripts/cross.sh

package: ## .ipk and .apk of what make cross has built, into build/out/packages
	@scripts/package.sh

package-linux: ## .deb and .rpm of cpns-server, and of pngw as make cross has built it
	@scripts/package-linux.sh

release: ## archives, packages, notes and checksums of the tag TAG
	@scripts/release.sh $(TAG)

repro: ## build one target twice, elsewhere, and compare the bytes
	@scripts/reproduce.sh

size: ## hold the cross builds against build/size-budget
	@scripts/size.sh

device: ## the PNE in C: sizes, checkers, other processors, its Go sibling, a fuzzer; FUZZTIME, SCRIPTS
	@scripts/device.sh $(ARGS)

qemu: ## unit tests on routers' processors, USB on a real kernel, whole routers, by QEMU
	@scripts/qemu.sh

powercut: ## cut a router's power ROUNDS times (default 20) and look at its keys
	@scripts/qemu.sh powercut

renewal: ## a gateway that renews PSK1 of the shortest life, by itself; minutes
	@go test -count=1 -tags slow -run '^TestSlow$$' ./scripts/e2e

failover: ## kill databases and servers under 200 gateways, ROUNDS times (default 5): nothing is lost
	@scripts/failover.sh

million: ## import, list and serve DEVICES (default a million), from a file and from PostgreSQL
	@scripts/million.sh

setup: ## install what the tests need, by apt-get
	@scripts/setup.sh

clean: ## remove what was built
	rm -rf build/out
