################################################################################
#
# iscsi
#
################################################################################

ISCSI_VERSION = 0.1.0
# There is no public place of releases: scripts/packaging/source.sh -o THIS_FOLDER makes the source. Whoever hosts it sets ISCSI_SITE.
ISCSI_SITE ?= file://$(ISCSI_PKGDIR)
ISCSI_SOURCE = iscsi-$(ISCSI_VERSION).tar.gz
ISCSI_LICENSE = MIT
ISCSI_LICENSE_FILES = LICENSE
ISCSI_DEPENDENCIES = boost openssl

ISCSI_PARTS = all
ifeq ($(BR2_PACKAGE_ISCSI_TARGET),y)
ISCSI_PARTS = target
else ifeq ($(BR2_PACKAGE_ISCSI_INITIATOR),y)
ISCSI_PARTS = initiator
else ifeq ($(BR2_PACKAGE_ISCSI_BOOT),y)
ISCSI_PARTS = boot
endif

ISCSI_CONF_OPTS = \
	-DCMAKE_BUILD_TYPE=MinSizeRel \
	-DISCSI_APPLETS=$(ISCSI_PARTS) \
	-DISCSI_TESTS=OFF \
	-DISCSI_MANUAL=OFF

# a system of shared libraries gets a binary that uses them
ifeq ($(BR2_SHARED_LIBS),y)
ISCSI_CONF_OPTS += -DISCSI_STATIC=OFF
endif

define ISCSI_INSTALL_INIT_SYSV
	if [ -e $(TARGET_DIR)/usr/sbin/tgtd ]; then \
		$(INSTALL) -D -m 755 $(@D)/scripts/packaging/busybox/S60tgt $(TARGET_DIR)/etc/init.d/S60tgt; fi
	if [ -e $(TARGET_DIR)/usr/sbin/iscsid ]; then \
		$(INSTALL) -D -m 755 $(@D)/scripts/packaging/busybox/S55iscsi $(TARGET_DIR)/etc/init.d/S55iscsi; fi
endef

$(eval $(cmake-package))
