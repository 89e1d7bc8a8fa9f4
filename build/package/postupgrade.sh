#!/bin/sh
# What apk runs instead of the other two when it replaces a package: whether the
# service is enabled stays as it is.
/etc/init.d/pngw restart || :
