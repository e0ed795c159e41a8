// What the kernel command line says of booting from iSCSI: RFC 4173's root path (`root=iscsi:…`, `netroot=iscsi:…` with
// dracut's credentials), the words of initramfs-tools (`iscsi_target_name=`) and dracut (`rd.iscsi.target.name=`), and
// `ip=`. Pure text; nothing is looked up or brought up here.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/base/secret.h"
#include "core/initiator/dhcp.h"
#include "core/initiator/network_setup.h"

namespace iscsi::initiator {

struct BootRequest {
    std::string initiator_name;             // empty: the machine's own
    std::string target_name, address;
    uint16_t port = 3260;
    int32_t tpgt = 1;
    std::optional<uint64_t> lun;            // nothing: 0, or the only disk there is
    std::string user, user_in;
    Secret password, password_in;
    std::string iface_name, net_device;     // dracut's two fields; may be empty
    std::vector<std::pair<std::string, std::string>> params;    // rd.iscsi.param=KEY=VALUE: keys of a node record
    bool firmware = false;                  // iscsi_auto, rd.iscsi.firmware: ask the iBFT
    bool root_from_dhcp = false;            // root=dhcp, netroot=dhcp: the root path comes with the address
    std::vector<NetworkPlan> networks;      // ip=; none given: DHCP on the first device, if nothing has an address
    bool network_off = false;               // ip=off: leave the network alone
};

// [user:password[:user_in:password_in]@]server:protocol:port:LUN:target, with or without "iscsi:" in front; also dracut's
// two extra fields (iface, network device) before the LUN. The error names what is wrong.
Result<void> parse_root_path(std::string_view text, BootRequest& out);

// One ip= value: "dhcp", "eth0:dhcp", "client:server:gateway:mask:host:device:autoconf", "off".
Result<void> parse_ip(std::string_view text, BootRequest& out);

// The whole command line. An error if it names no target (and no firmware).
Result<BootRequest> parse_cmdline(std::string_view cmdline);

// A LUN of a root path: a decimal number, 0x and hex digits, or RFC 4173's groups ("4001-0-0-0").
std::optional<uint64_t> parse_boot_lun(std::string_view text);

}  // namespace iscsi::initiator
