// What the firmware knows of the boot target: the iBFT that the kernel's iscsi_ibft shows under /sys/firmware/ibft.
#pragma once
#include <string>
#include <vector>

#include "core/config/records.h"

namespace iscsi::config {

struct FirmwareNic {
    int index = 0;
    bool boot = false;
    std::string ip_address, subnet_mask, gateway, primary_dns, secondary_dns, dhcp, mac, hostname;
    int prefix_len = -1, vlan = 0;
    int origin = 0;                      // 3: DHCP (IP_PREFIX_ORIGIN of the iBFT)
    std::string net_ifacename;           // found by the hardware address in /sys/class/net; "" if none has it
};

struct FirmwareTarget {
    int index = 0;
    bool boot = false;                   // flagged as selected for boot
    std::string name, address;
    int port = 3260;
    std::string lun;
    std::string chap_name, chap_password, rev_chap_name, rev_chap_password;
    int nic = 0;                         // index of FirmwareNic
};

struct Firmware {
    std::string initiator_name;
    std::vector<FirmwareNic> nics;
    std::vector<FirmwareTarget> targets;

    const FirmwareNic* nic_of(const FirmwareTarget&) const;
};

// `sysfs` is "/sys"; a test gives a tree of its own. An error if there is no firmware table.
Result<Firmware> read_firmware(const std::string& sysfs = "/sys");

// The node record that logs in to a firmware target (startup onboot, CHAP set), on top of `base`.
Record firmware_node(const Firmware&, const FirmwareTarget&, const Record& base);

// What `iscsistart -f` prints: one BEGIN/END block per target.
std::string firmware_text(const Firmware&, bool show_secrets = false);

}  // namespace iscsi::config
