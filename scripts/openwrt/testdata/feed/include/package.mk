# Stands in for OpenWrt's package.mk: installs into DEST, and says what the Go
# build would be told.
define BuildPackage
install:
	$(call Package/$(1)/install,$(DEST))
	@$$(foreach v,GO_PKG GO_PKG_BUILD_PKG GO_PKG_LDFLAGS_X GO_PKG_TAGS,echo '$$(v)=$$($$(v))';)
endef
