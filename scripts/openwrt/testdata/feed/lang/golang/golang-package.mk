# Stands in for the feed's golang-package.mk.
define GoPackage/Package/Install/Bin
	$(INSTALL_DIR) $(1)/usr/bin
	touch $(1)/usr/bin/pngw
endef
