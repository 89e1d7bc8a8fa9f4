# Stands in for OpenWrt's package.mk: installs into DEST, has sysupgrade keep those
# conffiles that are none of the package's files, puts the script for after the
# installation beside DEST, and says what the Go build would be told.
define BuildPackage
export POSTINST:=$$(Package/$(1)/postinst)
install:
	$(call Package/$(1)/install,$(DEST))
	@rm -f $(DEST)/lib/upgrade/keep.d/$(1)
	@for x in $$(strip $$(Package/$(1)/conffiles)); do \
		[ -f "$(DEST)$$$$x" ] || { mkdir -p $(DEST)/lib/upgrade/keep.d && echo "$$$$x" >>$(DEST)/lib/upgrade/keep.d/$(1); } \
	done
	@echo "$$$$POSTINST" >$(DEST).postinst
	@$$(foreach v,PKG_MAINTAINER GO_PKG GO_PKG_BUILD_PKG GO_PKG_LDFLAGS_X GO_PKG_TAGS,echo '$$(v)=$$($$(v))';)
endef
